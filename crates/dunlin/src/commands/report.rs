//! `dunlin report`: what the fleet has been doing.

use super::fleet::FleetArguments;
use crate::{Outcome, output};
use anyhow::{Context, Result};
use clap::Args;
use dunlin_fleet::{Report, ReportOptions, Store, TerminalOptions, report};
use dunlin_wire::DeviceId;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

#[derive(Args)]
#[command(after_help = "Example:\n  dunlin report --html report.html")]
pub struct Arguments {
    /// Only this device: its id or its name
    #[arg(long)]
    device: Option<String>,
    /// Also write the report as one HTML file that needs nothing else
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    #[command(flatten)]
    fleet: FleetArguments,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub fn run(self) -> Result<Outcome> {
        let store = Store::open(&self.fleet.database())?;
        let device = self
            .device
            .as_deref()
            .map(|name| self.find(name))
            .transpose()?;
        let made = make(
            &store,
            ReportOptions {
                device,
                since_ms: None,
            },
        )?;
        if let Some(path) = &self.html {
            std::fs::write(path, made.html()).with_context(|| path.display().to_string())?;
            output::notice(format!("wrote {}", path.display()));
        }
        output::line(
            if self.json {
                made.json()
            } else {
                made.terminal(terminal())
            }
            .trim_end(),
        )?;
        Ok(Outcome::Done)
    }

    fn find(&self, name: &str) -> Result<DeviceId> {
        if let Ok(id) = name.parse() {
            return Ok(id);
        }
        let devices = self.fleet.devices()?.devices();
        let found = devices
            .iter()
            .find(|device| device.name == name)
            .map(|device| device.id);
        found.with_context(|| {
            format!(
                "{}: no device `{name}`",
                self.fleet.devices_file().display()
            )
        })
    }
}

/// Makes a report as of now.
pub fn make(store: &Store, options: ReportOptions) -> Result<Report> {
    let now_ms = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64);
    Ok(report(store, options, now_ms)?)
}

/// How wide the terminal is, and whether it takes colour.
pub fn terminal() -> TerminalOptions {
    let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let width = console::Term::stdout()
        .size_checked()
        .map_or(100, |(_, columns)| columns.into());
    TerminalOptions { width, colour }
}
