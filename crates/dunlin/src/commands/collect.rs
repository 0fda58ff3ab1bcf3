//! `dunlin collect`: takes records in, over a link or MQTT.

use super::fleet::FleetArguments;
use crate::{Outcome, output};
use anyhow::{Context, Result};
use clap::Args;
use dunlin_fleet::{
    BrokerChoice, BrokerUrl, Collected, Collecting, Event, Ingested, Password, Polling, Roster,
    Until, collect_link, collect_mqtt,
};
use dunlin_wire::DeviceId;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[derive(Args)]
#[command(after_help = "Examples:
  dunlin collect --from local
  dunlin collect --from serial:/dev/ttyACM0 --every 10
  dunlin collect --listen 0.0.0.0:1883
  dunlin collect --mqtt mqtt://broker.example --user collector

Records of unknown devices and records that are not authentic are refused and counted. A device that
is flashed while this runs is known at once.")]
pub struct Arguments {
    /// Fetch from this device: its name in the fleet, or an address (serial:PATH[:BAUD], tcp:HOST:PORT, unix:PATH)
    #[arg(long, value_name = "DEVICE", conflicts_with = "mqtt")]
    from: Option<String>,
    /// Ask the device again every so many seconds; once unless given
    #[arg(long, value_name = "SECONDS", requires = "from", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    every: Option<u64>,
    /// Run a broker of our own here for devices that upload over MQTT
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:1883")]
    listen: SocketAddr,
    /// Use this broker in place of our own
    #[arg(long, value_name = "URL")]
    mqtt: Option<BrokerUrl>,
    /// Name to log in to that broker; the password is read from DUNLIN_MQTT_PASSWORD
    #[arg(long, requires = "mqtt")]
    user: Option<String>,
    /// End after this many seconds without a record
    #[arg(long, value_name = "SECONDS")]
    idle: Option<u64>,
    #[command(flatten)]
    fleet: FleetArguments,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub fn run(self) -> Result<Outcome> {
        let devices = self.fleet.devices()?;
        let mut store = self.fleet.store()?;
        store.register_devices(&devices.devices())?;
        let stop = stop_on_interrupt()?;
        let until = Until {
            stop: &stop,
            idle: self.idle.map(Duration::from_secs),
        };
        let mut told = Told::new(&devices);
        let collecting = Collecting {
            store: &mut store,
            devices: &devices,
            until,
            show: &mut |event| told.show(&event),
        };
        let collected = match &self.from {
            Some(from) => {
                let polling = self.every.map_or(Polling::Once, |seconds| {
                    Polling::Every(Duration::from_secs(seconds))
                });
                let address = self.fleet.address(from)?;
                collect_link(collecting, &address, polling)
                    .with_context(|| super::fleet::silent(from, &address))?
            }
            None => collect_mqtt(collecting, &self.broker()?)?,
        };
        self.print(&collected)?;
        Ok(Outcome::of(
            collected.refused == 0 && collected.conflicts == 0,
        ))
    }

    fn broker(&self) -> Result<BrokerChoice> {
        let Some(url) = self.mqtt.clone() else {
            return Ok(BrokerChoice::Embedded {
                listen: self.listen,
            });
        };
        let login = match &self.user {
            Some(user) => {
                let password = std::env::var("DUNLIN_MQTT_PASSWORD")
                    .context("DUNLIN_MQTT_PASSWORD: expected the password of --user")?;
                Some((user.clone(), Password(password)))
            }
            None => None,
        };
        Ok(BrokerChoice::Remote { url, login })
    }

    fn print(&self, collected: &Collected) -> Result<()> {
        if self.json {
            return output::json(collected);
        }
        output::line(format!(
            "{} records stored, {} known already, {} in conflict with stored ones, {} refused, {} put in quarantine",
            collected.stored,
            collected.duplicates,
            collected.conflicts,
            collected.refused,
            collected.quarantined
        ))
    }
}

/// A flag that an interrupt from the keyboard raises.
fn stop_on_interrupt() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let raise = stop.clone();
    ctrlc::set_handler(move || raise.store(true, Ordering::Relaxed))
        .context("waiting for an interrupt")?;
    Ok(stop)
}

/// What a person was told so far: good news on a terminal only, trouble always, and the same trouble once.
struct Told<'d> {
    devices: &'d Roster,
    warnings: BTreeSet<String>,
}

impl<'d> Told<'d> {
    fn new(devices: &'d Roster) -> Self {
        Told {
            devices,
            warnings: BTreeSet::new(),
        }
    }

    fn show(&mut self, event: &Event<'_>) {
        match event {
            Event::Listening { address } => {
                output::notice(format!("devices may connect to mqtt://{address}"));
            }
            Event::Connected { to } => output::notice(format!("connected to {to}")),
            Event::Ingested { device, ingested } => self.ingested(*device, ingested),
            Event::Interrupted { reason } => {
                self.warn(format!("interrupted, trying again: {reason}"));
            }
            Event::Refused(refusal) => self.warn(format!("refused: {refusal}")),
            Event::DevicesRead { devices } => {
                output::notice(format!("{devices} devices are known now"));
            }
            Event::DevicesUnread { error } => {
                self.warn(format!("the devices known before still hold: {error}"))
            }
            other => output::notice(format!("{other:?}")),
        }
    }

    fn ingested(&mut self, device: DeviceId, ingested: &Ingested) {
        let name = self
            .devices
            .devices()
            .get(device)
            .map_or_else(|| device.to_string(), |device| device.name.clone());
        let mut refusals = ingested.refused.iter();
        if let Some(first) = refusals.next() {
            let more = match refusals.len() {
                0 => String::new(),
                more => format!(", and {more} more"),
            };
            self.warn(format!("refused: {first}{more}"));
        }
        output::notice(format!(
            "{name}: {} stored, {} known already",
            ingested.stored, ingested.duplicates
        ));
    }

    fn warn(&mut self, text: String) {
        if !self.warnings.contains(&text) {
            output::warning(&text);
            self.warnings.insert(text);
        }
    }
}
