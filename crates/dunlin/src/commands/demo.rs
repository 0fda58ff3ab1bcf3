//! `dunlin demo`: the whole loop on a simulated machine, in a few minutes.

mod board;
mod machine;

use super::fleet::{FleetArguments, KeysArguments};
use super::report;
use super::{build, evaluate, model, recipe, train};
use crate::Outcome;
use crate::output::{self, Bar};
use anyhow::{Context, Result};
use board::Kind;
use clap::Args;
use dunlin_fleet::report::Judgement;
use dunlin_fleet::{Collecting, Polling, ReportOptions, Store, Until, collect_link};
use dunlin_host::data::{Examples, Splits};
use dunlin_host::flash::{self, FlashOptions, FlashedDevice, Step};
use dunlin_host::recipe::Recipe;
use dunlin_host::runs::Run;
use dunlin_host::stages;
use dunlin_host::stream::{StreamOptions, stream};
use dunlin_host::target::Target;
use dunlin_link::Link;
use machine::WINDOWS;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// The recipe of the demonstration, so that the command works from any folder.
const RECIPE: &str = include_str!("../../../../models/machine/recipe.toml");
/// The file that tells a demonstration's folder.
const MARKER: &str = "demonstration.txt";

#[derive(Args)]
#[command(after_help = "Example:\n  dunlin demo --device local")]
pub struct Arguments {
    /// Where everything is written
    #[arg(long, value_name = "DIR", default_value = "runs/demo")]
    folder: PathBuf,
    /// The device
    #[arg(long, value_enum, default_value_t = Kind::Auto)]
    device: Kind,
}

impl Arguments {
    pub fn run(self) -> Result<Outcome> {
        let recipe = Recipe::parse(RECIPE, Path::new("models/machine/recipe.toml"))?;
        let target = board::choose(self.device)?;
        let fleet = self.fresh_fleet()?;
        let splits = load(&recipe)?;
        let mut run = self.train(&recipe, &splits)?;
        let bundle = self.package(&mut run, (&recipe, &splits), &target)?;
        heading("4 flash", &target.summary)?;
        let device = self.flash(&fleet, &target, &bundle)?;
        output::line(format!(
            "{} runs bundle {} at {}",
            device.device, device.bundle, device.link_url
        ))?;
        monitor(&device, &recipe, &splits.train)?;
        let verdict = self.collect(&fleet, &device)?;
        device.stop()?;
        Ok(verdict)
    }

    fn train(&self, recipe: &Recipe, splits: &Splits) -> Result<Run> {
        heading("2 train, quantize, evaluate", "")?;
        let mut run = train::train(&self.folder.join("runs"), recipe, splits)?;
        if let Some(report) = build::quantize(&mut run, recipe, splits)? {
            output::line(report.to_string().trim_end())?;
        }
        let evaluation = evaluate::evaluate(&mut run, recipe, splits)?;
        evaluate::print(&run, &evaluation)?;
        Ok(run)
    }

    /// A fleet of its own, empty. What an earlier demonstration left is removed; a folder that is not a
    /// demonstration's is left alone.
    fn fresh_fleet(&self) -> Result<FleetArguments> {
        let fleet = FleetArguments {
            fleet: self.folder.join("fleet"),
        };
        let marker = self.folder.join(MARKER);
        let is_empty =
            |folder: &Path| std::fs::read_dir(folder).is_ok_and(|mut files| files.next().is_none());
        if self.folder.exists() && !marker.exists() && !is_empty(&self.folder) {
            anyhow::bail!(
                "{}: not empty and not left by a demonstration; name another folder with --folder DIR",
                self.folder.display()
            );
        }
        std::fs::create_dir_all(&self.folder).with_context(|| self.folder.display().to_string())?;
        std::fs::write(
            &marker,
            "A demonstration's folder: the next one removes what is in it.\n",
        )
        .with_context(|| marker.display().to_string())?;
        if fleet.fleet.exists() {
            flash::stop(&fleet.state("demo"))?;
            std::fs::remove_dir_all(&fleet.fleet)
                .with_context(|| fleet.fleet.display().to_string())?;
        }
        Ok(fleet)
    }

    fn keys(&self) -> KeysArguments {
        KeysArguments {
            keys: self.folder.join("keys"),
        }
    }

    fn flash(&self, fleet: &FleetArguments, target: &Target, path: &Path) -> Result<FlashedDevice> {
        let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
        let trusted = self.keys().trusted()?;
        fleet.store()?.register_bundle(path, &trusted)?;
        let (devices, state) = (fleet.devices_file(), fleet.state("demo"));
        let options = FlashOptions {
            name: "demo",
            devices: &devices,
            state: &state,
            trusted: &trusted,
            ..FlashOptions::new(target, &bytes)
        };
        let bar = Bar::new("flash", 0);
        Ok(flash::flash(&options, &mut |step: Step<'_>| {
            bar.say(step.to_string())
        })?)
    }

    /// Calibrates and signs; gives the bundle's file.
    fn package(
        &self,
        run: &mut Run,
        (recipe, splits): (&Recipe, &Splits),
        target: &Target,
    ) -> Result<PathBuf> {
        heading("3 calibrate, compile, sign", "")?;
        let key = model::signing_key(&self.keys().keys, model::DEFAULT_KEY)?;
        let account = model::calibrate(run, recipe, splits)?;
        output::line(account.to_string().trim_end())?;
        let targets = std::slice::from_ref(target);
        let options = model::BundleOptions {
            recipe,
            splits,
            key: &key,
        };
        let bundles = model::bundles(run, targets, &options)?;
        bundles.iter().try_for_each(model::Bundle::print)?;
        Ok(run.path(&stages::bundle_file(run, target)))
    }

    /// Collects, reports, and says whether the drift is where it was put.
    fn collect(&self, fleet: &FleetArguments, device: &FlashedDevice) -> Result<Outcome> {
        heading("6 collect and report", "")?;
        let mut store = fleet.store()?;
        let stored = take_in(&mut store, fleet, &device.link_url)?;
        output::line(format!("{stored} records stored"))?;
        let made = report::make(&store, ReportOptions::default())?;
        let path = self.folder.join("report.html");
        std::fs::write(&path, made.html()).with_context(|| path.display().to_string())?;
        output::line(made.terminal(report::terminal()).trim_end())?;
        let windows = made.devices.iter().flat_map(|device| &device.windows);
        let judged: Vec<bool> = windows
            .filter_map(|window| drifted(window.judgement))
            .collect();
        let seen = expected_at_the_change(&judged);
        output::line(if seen {
            "the drift is seen where it was put: none before the bearing wore, in every window after"
        } else {
            "the drift is NOT seen exactly where it was put"
        })?;
        output::line(format!("report: {}", path.display()))?;
        Ok(Outcome::of(seen))
    }
}

fn load(recipe: &Recipe) -> Result<Splits> {
    heading(
        "1 data",
        "a rotating machine's vibration, SIMULATED: healthy, imbalance, misalignment, bearing wear",
    )?;
    let splits = recipe::load(recipe, None)?;
    let to_judge: usize = splits.tests.iter().map(|(_, part)| part.len()).sum();
    output::line(format!(
        "{} windows of {} samples × {} axes to learn from, {} to tune, {to_judge} to judge",
        splits.train.len(),
        splits.train.schema.steps,
        splits.train.schema.channels.len(),
        splits.validation.len(),
    ))?;
    Ok(splits)
}

/// Streams a machine that wears out half-way.
fn monitor(device: &FlashedDevice, recipe: &Recipe, like: &Examples) -> Result<()> {
    heading(
        "5 monitor",
        &format!("{WINDOWS} windows of a healthy machine, then {WINDOWS} with a worn bearing"),
    )?;
    let mut link = Link::open(&device.link_url)?;
    let examples = machine::changing(recipe, like);
    let bar = Bar::new("stream", examples.len() as u64);
    let done = stream(
        &mut link,
        &examples,
        &StreamOptions::default(),
        &mut |streamed| bar.set(streamed.samples),
    )?;
    drop(bar);
    output::line(format!(
        "{} monitoring windows closed on the device",
        done.windows_closed
    ))
}

/// Fetches what the device recorded; gives the number of records stored.
fn take_in(store: &mut Store, fleet: &FleetArguments, link_url: &str) -> Result<u64> {
    let devices = fleet.devices()?;
    store.register_devices(&devices.devices())?;
    let stop = AtomicBool::new(false);
    let collecting = Collecting {
        store,
        devices: &devices,
        until: Until {
            stop: &stop,
            idle: None,
        },
        show: &mut |_| (),
    };
    let collected = collect_link(collecting, link_url, Polling::Once)?;
    Ok(collected.stored)
}

/// Whether a window drifted; `None` for one that was not judged.
fn drifted(judgement: Judgement) -> Option<bool> {
    match judgement {
        Judgement::Quiet => Some(false),
        Judgement::Drifted => Some(true),
        Judgement::Partial | Judgement::TooFew => None,
    }
}

/// Whether the first windows are quiet and the later ones drift.
fn expected_at_the_change(judged: &[bool]) -> bool {
    let (before, after) = judged.split_at(WINDOWS.min(judged.len()));
    judged.len() == 2 * WINDOWS
        && before.iter().all(|drift| !drift)
        && after.iter().all(|drift| *drift)
}

fn heading(title: &str, detail: &str) -> Result<()> {
    output::line(format!(
        "\n== {title}{}{detail}",
        if detail.is_empty() { "" } else { ": " }
    ))
}
