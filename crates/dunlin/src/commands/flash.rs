//! `dunlin flash`: puts a bundle on a device, whatever kind of device it is.

use super::fleet::{FleetArguments, KeysArguments};
use super::run::RootArguments;
use crate::Outcome;
use crate::output::{self, Bar};
use anyhow::{Context, Result};
use clap::Args;
use dunlin_fleet::BrokerUrl;
use dunlin_host::flash::{self, FlashOptions, Lifetime, Step};
use dunlin_host::stages;
use dunlin_host::target::Target;
use dunlin_wire::bundle;
use std::path::{Path, PathBuf};

#[derive(Args)]
#[command(after_help = "Examples:
  dunlin flash latest --target local
  dunlin flash occupancy --target qemu-cortex-m4f --name bench
  dunlin flash latest --target local --mqtt mqtt://127.0.0.1:1883
  dunlin flash occupancy-nrf52840.bundle --link serial:/dev/ttyACM0
  dunlin flash --stop bench
  dunlin flash --forget bench

A name belongs to one device of one kind. --forget takes a device out of the fleet, with its identity
and the records that were not collected; what the collector has of it stays.")]
pub struct Arguments {
    /// A bundle file, or a run with --target: its id, a model's name, `latest`
    #[arg(required_unless_present_any = ["stop", "forget"])]
    bundle: Option<String>,
    /// Take the run's bundle for this target
    #[arg(long)]
    target: Option<String>,
    #[command(flatten)]
    root: RootArguments,
    /// What people call the device; the target's name unless given
    #[arg(long)]
    name: Option<String>,
    /// Where the device answers, if it is not started from here: serial:PATH[:BAUD], tcp:HOST:PORT, unix:PATH
    #[arg(long)]
    link: Option<String>,
    /// Have the agent upload its records to this broker, for `dunlin collect` without --from
    #[arg(long, value_name = "URL", conflicts_with_all = ["link", "install", "stop", "forget"])]
    mqtt: Option<BrokerUrl>,
    /// Firmware or program to use in place of the target's own
    #[arg(long)]
    image: Option<PathBuf>,
    /// Copy the device's program, identity and bundle to this folder instead of starting it
    #[arg(long, value_name = "DIR", conflicts_with_all = ["link", "stop", "forget"])]
    install: Option<PathBuf>,
    /// End the process of the device with this name
    #[arg(long, value_name = "NAME", conflicts_with = "bundle")]
    stop: Option<String>,
    /// Take the device with this name out of the fleet
    #[arg(long, value_name = "NAME", conflicts_with_all = ["bundle", "stop"])]
    forget: Option<String>,
    #[command(flatten)]
    fleet: FleetArguments,
    #[command(flatten)]
    keys: KeysArguments,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub fn run(self) -> Result<Outcome> {
        if let Some(name) = &self.stop {
            return self.stop(name);
        }
        if let Some(name) = &self.forget {
            return self.forget(name);
        }
        let path = self.bundle_file()?;
        let bytes = std::fs::read(&path).with_context(|| self.unread(&path))?;
        let trusted = self.keys.trusted()?;
        let verified =
            bundle::verify(&bytes, &trusted).with_context(|| path.display().to_string())?;
        let target = Target::find(verified.manifest().target)?;
        let name = self.name.clone().unwrap_or_else(|| target.name.clone());
        let (devices, state) = (self.fleet.devices_file(), self.fleet.state(&name));
        let upload = self.mqtt.as_ref().map(BrokerUrl::to_string);
        let options = FlashOptions {
            name: &name,
            upload: upload.as_deref(),
            devices: &devices,
            state: &state,
            trusted: &trusted,
            image: self.image.as_deref(),
            link: self.link.as_deref(),
            lifetime: Lifetime::Detached,
            ..FlashOptions::new(&target, &bytes)
        };
        self.register(&path, &trusted)?;
        match &self.install {
            Some(folder) => self.install(&options, folder),
            None => self.flash(&options),
        }
    }

    fn stop(&self, name: &str) -> Result<Outcome> {
        let state = self.fleet.state(name);
        anyhow::ensure!(
            state.join("provision.bin").is_file(),
            "{}: no device of that name was flashed here",
            state.display()
        );
        let stopped = flash::stop(&state)?;
        if self.json {
            output::json(&serde_json::json!({"name": name, "stopped": stopped}))?;
        } else if stopped {
            output::line(format!("{name} stopped"))?;
        } else {
            output::line(format!("{name} was not running"))?;
        }
        Ok(Outcome::of(stopped))
    }

    fn forget(&self, name: &str) -> Result<Outcome> {
        let (devices, state) = (self.fleet.devices_file(), self.fleet.state(name));
        let device = flash::forget(&devices, name, &state)?;
        if self.json {
            output::json(&serde_json::json!({
                "device": device.id.to_string(), "name": name, "forgotten": true,
            }))?;
        } else {
            output::line(format!("{name} ({}) is forgotten", device.id))?;
        }
        Ok(Outcome::Done)
    }

    /// Which bundle could not be read, and what makes it.
    fn unread(&self, path: &Path) -> String {
        match (&self.bundle, &self.target) {
            (Some(run), Some(target)) if !path.exists() => format!(
                "{}: not there yet; first `dunlin package {run} --target {target}`",
                path.display()
            ),
            (Some(_), None) if !path.exists() => format!(
                "{}: no such file; a run is named with its target (--target NAME)",
                path.display()
            ),
            _ => path.display().to_string(),
        }
    }

    /// The file named, or that of the run and target named.
    fn bundle_file(&self) -> Result<PathBuf> {
        let named = self.bundle.clone().unwrap_or_default();
        let Some(target) = &self.target else {
            return Ok(PathBuf::from(named));
        };
        let run = self.root.find(&named)?;
        Ok(run.path(&stages::bundle_file(&run, &Target::find(target)?)))
    }

    /// Lets the collector know the names of the bundle's channels and labels.
    fn register(&self, path: &Path, trusted: &[dunlin_wire::PublicKey]) -> Result<()> {
        self.fleet.store()?.register_bundle(path, trusted)?;
        Ok(())
    }

    fn flash(&self, options: &FlashOptions<'_>) -> Result<Outcome> {
        let device = {
            let bar = Bar::new("flash", 0);
            flash::flash(options, &mut |step: Step<'_>| bar.say(step.to_string()))?
        };
        if self.json {
            output::json(&serde_json::json!({
                "device": device.device.to_string(),
                "name": options.name,
                "link": device.link_url,
                "bundle": device.bundle.to_string(),
            }))?;
        } else {
            output::line(format!(
                "{} ({}) runs bundle {}",
                options.name, device.device, device.bundle
            ))?;
            output::line(format!("link {}", device.link_url))?;
        }
        Ok(Outcome::Done)
    }

    fn install(&self, options: &FlashOptions<'_>, folder: &Path) -> Result<Outcome> {
        let files = flash::install(options, folder, &mut |step: Step<'_>| output::notice(step))?;
        if self.json {
            output::json(&serde_json::json!({"name": options.name, "files": files}))?;
            return Ok(Outcome::Done);
        }
        for file in files {
            output::line(file.display())?;
        }
        Ok(Outcome::Done)
    }
}
