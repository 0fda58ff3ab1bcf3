//! What the fleet has been doing, from the database: as a value, as text, as one HTML file, as JSON.

mod chart;
mod drifts;
mod events;
mod filler;
mod findings;
mod gaps;
mod gather;
mod html;
mod merge;
mod model;
mod table;
mod tables;
mod terminal;
mod text;
mod trouble;

pub use merge::{Merged, MergedChannel};
pub use model::{
    BundleReport, ChannelReport, ClockJump, Conflict, DeviceReport, Drift, EventReport,
    FalseAlarms, Gap, Judgement, Overview, PredictionReport, Quarantined, Range, Reference,
    RefusalCount, Report, WindowReport,
};
pub use terminal::TerminalOptions;

use dunlin_wire::DeviceId;

use crate::{FleetError, Store};

/// What a report covers.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReportOptions {
    /// Only this device.
    pub device: Option<DeviceId>,
    /// Only windows whose first sample is not older than this, ms since 1970-01-01 UTC.
    pub since_ms: Option<i64>,
}

/// Makes a report. `made_ms` is the time of making, ms since 1970-01-01 UTC.
///
/// Reads and decodes every record of the devices covered: about 2 KiB and some microseconds each.
///
/// # Errors
/// When the database fails or holds what this program did not write.
pub fn report(store: &Store, options: ReportOptions, made_ms: i64) -> Result<Report, FleetError> {
    gather::gather(store, options, made_ms)
}

impl Report {
    /// The report as JSON, indented. Times are ms since 1970-01-01 UTC; what is not known is `null`.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// The report as aligned text.
    pub fn terminal(&self, options: TerminalOptions) -> String {
        terminal::render(self, options)
    }

    /// The report as one HTML file that needs nothing else: no script, no network.
    pub fn html(&self) -> String {
        html::render(self)
    }
}
