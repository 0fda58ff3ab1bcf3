//! What a report says. Field for field what [`Report::json`] writes.

use serde::Serialize;

use super::merge::Merged;
use super::text;

/// A fleet at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// When it was made, ms since 1970-01-01 UTC.
    pub made_ms: i64,
    /// Sums over the devices covered.
    pub overview: Overview,
    /// The news in sentences, the gravest first.
    pub findings: Vec<String>,
    /// Every bundle that the covered windows name or that was registered.
    pub bundles: Vec<BundleReport>,
    /// Every device covered, by name.
    pub devices: Vec<DeviceReport>,
    /// What was turned away, by whom and why.
    pub refusals: Vec<RefusalCount>,
}

/// Sums over the devices covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Overview {
    /// Devices known.
    pub devices: u64,
    /// Devices never heard of.
    pub silent: u64,
    /// When any device was last heard of.
    pub last_seen_ms: Option<i64>,
    /// Monitoring windows.
    pub windows: u64,
    /// Windows that were compared with a baseline.
    pub judged: u64,
    /// Judged windows in which something drifted.
    pub drifted: u64,
    /// Records that devices say they had to drop, and that had not come before.
    pub lost_records: u64,
    /// Further records that are missing between those that came.
    pub missing_records: u64,
    /// Authentic records that contradict a stored one.
    pub conflicts: u64,
    /// Refused items of known devices whose bytes are kept.
    pub quarantined: u64,
    /// Judged windows whose scores are not what their own counts and the baseline give.
    pub disagreements: u64,
    /// Records and logins refused.
    pub refusals: u64,
}

/// A bundle and its windows over the whole fleet.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BundleReport {
    /// Its id in hexadecimal.
    pub id: String,
    /// Its name; `None` until its file was registered.
    pub name: Option<String>,
    /// Its version; `None` until its file was registered.
    pub version: Option<u32>,
    /// What kind of device it is for; `None` until its file was registered.
    pub target: Option<String>,
    /// Names of its channels.
    pub channels: Vec<String>,
    /// Units of its channels.
    pub units: Vec<String>,
    /// What its channels may read.
    pub ranges: Vec<Range>,
    /// Names of its labels.
    pub labels: Vec<String>,
    /// What windows are compared with.
    pub reference: Option<Reference>,
    /// Its windows of all devices, added up.
    pub merged: Merged,
}

impl BundleReport {
    /// Name and version, or the id.
    pub fn title(&self) -> String {
        match (&self.name, self.version) {
            (Some(name), Some(version)) => format!("{name} {version}"),
            _ => format!("bundle {}", self.id),
        }
    }

    /// Name of a channel, or its number.
    pub fn channel(&self, index: usize) -> String {
        self.channels
            .get(index)
            .cloned()
            .unwrap_or_else(|| format!("channel {index}"))
    }

    /// Name of a label, or its number.
    pub fn label(&self, index: usize) -> String {
        self.labels
            .get(index)
            .cloned()
            .unwrap_or_else(|| format!("label {index}"))
    }
}

/// What a channel may read, in its unit; beyond is out of range.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Range {
    /// The lowest.
    pub minimum: f32,
    /// The highest.
    pub maximum: f32,
}

/// The thresholds of a bundle and what they promise.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reference {
    /// What a score is: `PSI`, or the code of a statistic unknown here.
    pub statistic: String,
    /// Length of a window in sample time.
    pub window_ms: u64,
    /// A window with fewer inputs is not judged.
    pub minimum_samples: u32,
    /// A channel's score above its threshold is drift; `None` for never.
    pub thresholds: Vec<Option<f32>>,
    /// The same for the predictions.
    pub prediction_threshold: Option<f32>,
    /// How often that happens without drift.
    pub false_alarms: FalseAlarms,
}

/// How often a window without drift raises one channel's flag.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FalseAlarms {
    /// Share of windows asked for.
    pub target: f32,
    /// Share expected.
    pub expected: f32,
    /// Lower end of the share's 95 % interval.
    pub lower: f32,
    /// Upper end of the share's 95 % interval.
    pub upper: f32,
    /// Separate blocks of training data that this rests on.
    pub blocks: u32,
}

/// One device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeviceReport {
    /// Its id in hexadecimal.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// How its records came last.
    pub transport: Option<String>,
    /// The firmware of its newest record.
    pub firmware: Option<String>,
    /// The bundle of its newest record.
    pub bundle: Option<String>,
    /// When it was first heard of.
    pub first_seen_ms: Option<i64>,
    /// When it was last heard of.
    pub last_seen_ms: Option<i64>,
    /// How often it started, as its newest record says.
    pub boots: u32,
    /// Records stored.
    pub records: u64,
    /// Stored records that this version does not understand.
    pub not_understood: u64,
    /// Records the device says it had to drop, and that had not come before.
    pub lost_records: u64,
    /// Records the device says it could not write.
    pub unwritten_records: u64,
    /// Sequence numbers between those that came which nothing explains; they may still be on their way.
    pub gaps: Vec<Gap>,
    /// Sequence numbers that came with more than one start.
    pub repeated: Vec<Gap>,
    /// Authentic records that contradict a stored one, as they came.
    pub conflicts: Vec<Conflict>,
    /// What was refused under its name and is kept, as it came.
    pub quarantine: Vec<Quarantined>,
    /// Judged windows whose scores are not what their own counts and the baseline give.
    pub disagreements: u64,
    /// Where the sample time of its windows went back within one start.
    pub clock_jumps: Vec<ClockJump>,
    /// Its windows in the order of starts and sequence numbers, whatever their times say.
    pub windows: Vec<WindowReport>,
    /// What drifted since when.
    pub drifts: Vec<Drift>,
    /// Starts and other events, in the same order.
    pub events: Vec<EventReport>,
    /// Its windows added up, for each bundle it ran.
    pub merged: Vec<Merged>,
}

impl DeviceReport {
    /// Records that nothing explains the absence of.
    pub fn missing_records(&self) -> u64 {
        self.gaps.iter().map(|gap| gap.records()).sum()
    }

    /// How its times are written.
    pub(super) fn clock(&self) -> text::Clock {
        let starts = self
            .windows
            .iter()
            .map(|window| (window.boot, window.opened_ms));
        let apart = starts
            .clone()
            .zip(starts.skip(1))
            .filter(|(a, b)| a.0 == b.0 && b.1 > a.1)
            .map(|(a, b)| a.1.abs_diff(b.1));
        let spans = self.windows.iter().map(|window| window.span_ms);
        text::Clock::for_steps_of(apart.min().or(spans.min()))
    }

    /// A number of [`Merged`] over all bundles.
    pub(super) fn sum(&self, of: fn(&Merged) -> u64) -> u64 {
        self.merged.iter().map(of).sum()
    }

    /// When it was last heard of, in words.
    pub(super) fn last_seen(&self) -> String {
        if self.last_seen_ms.is_some() {
            text::time(self.last_seen_ms)
        } else {
            "never".to_owned()
        }
    }
}

/// A run of sequence numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// The first.
    pub first_sequence: u32,
    /// The last.
    pub last_sequence: u32,
}

impl Gap {
    /// How many numbers.
    pub fn records(self) -> u64 {
        u64::from(self.last_sequence.saturating_sub(self.first_sequence)) + 1
    }
}

/// An authentic record whose start and sequence number were taken by one of other content.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Conflict {
    /// Which start of the device.
    pub boot: u32,
    /// Sequence number of both records.
    pub sequence: u32,
    /// What it tells: `window`, `loss`, `start`, `event`, or the code of a kind unknown here.
    pub kind: String,
    /// When the stored record came.
    pub first_received_ms: i64,
    /// When this one came.
    pub received_ms: i64,
    /// How this one came.
    pub transport: String,
    /// The window, where it is one; in no sum of this report.
    pub window: Option<WindowReport>,
}

/// Refused bytes that are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Quarantined {
    /// Which start they claim, where that can be read.
    pub boot: Option<u32>,
    /// Which sequence number they claim, where that can be read.
    pub sequence: Option<u32>,
    /// Why they were refused.
    pub reason: String,
    /// How they came first.
    pub transport: String,
    /// How many bytes.
    pub bytes: u64,
    /// How often they came.
    pub count: u64,
    /// First time.
    pub first_ms: i64,
    /// Last time.
    pub last_ms: i64,
}

/// A window that began earlier than the one made before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ClockJump {
    /// Which start of the device.
    pub boot: u32,
    /// Sequence number of the later record.
    pub sequence: u32,
    /// When the window before began.
    pub from_ms: i64,
    /// When this one began.
    pub to_ms: i64,
}

/// Whether a window was compared with the baseline, and how it came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    /// Nothing lay above its threshold.
    Quiet,
    /// Something lay above its threshold.
    Drifted,
    /// Not judged: closed before its time.
    Partial,
    /// Not judged: fewer inputs than the baseline asks for, or no baseline.
    TooFew,
}

/// One window of one device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WindowReport {
    /// Which start of the device.
    pub boot: u32,
    /// Sequence number of the record.
    pub sequence: u32,
    /// The bundle that ran.
    pub bundle: Option<String>,
    /// Sample time of the first input.
    pub opened_ms: i64,
    /// Sample time from the first input to the last.
    pub span_ms: u64,
    /// How it came out.
    pub judgement: Judgement,
    /// Inputs seen.
    pub inputs: u32,
    /// Inputs that gave no answer.
    pub errors: u32,
    /// The channels in the schema's order.
    pub channels: Vec<ChannelReport>,
    /// The answers.
    pub predictions: PredictionReport,
    /// Mean confidence from the histogram's bin centres, exact to 0.05.
    pub confidence: Option<f64>,
    /// Median latency from the histogram, µs, exact to 19 %.
    pub latency_median_us: Option<f64>,
    /// 99th percentile of the latency from the histogram, µs, exact to 19 %.
    pub latency_99_us: Option<f64>,
}

/// One channel in one window.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChannelReport {
    /// Its name.
    pub name: String,
    /// Distance from the baseline, when the window was judged.
    pub score: Option<f32>,
    /// A score above it is drift.
    pub threshold: Option<f32>,
    /// Whether it drifted, as the device says.
    pub drifted: bool,
    /// Values that were numbers.
    pub count: u64,
    /// Values that were none.
    pub missing: u32,
    /// Values outside the schema's range.
    pub out_of_range: u32,
    /// Values that stood still for too long.
    pub stuck: u32,
    /// Mean, in the channel's unit.
    pub mean: Option<f64>,
    /// Population standard deviation, in the channel's unit.
    pub deviation: Option<f64>,
    /// Smallest value.
    pub minimum: Option<f32>,
    /// Largest value.
    pub maximum: Option<f32>,
}

/// The answers in one window.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PredictionReport {
    /// Answers per label.
    pub counts: Vec<u32>,
    /// Distance of the mix from the baseline, when the window was judged.
    pub score: Option<f32>,
    /// A score above it is drift.
    pub threshold: Option<f32>,
    /// Whether the mix drifted, as the device says.
    pub drifted: bool,
}

/// One thing that drifted on one device while one bundle ran.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Drift {
    /// The bundle.
    pub bundle: Option<String>,
    /// The channel's name, or `predictions` for the mix of answers.
    pub what: String,
    /// Which start of the device made that window.
    pub since_boot: u32,
    /// When the first window in which it drifted began.
    pub since_ms: i64,
    /// When the last window in which it drifted began.
    pub until_ms: i64,
    /// Windows in which it drifted.
    pub windows: u64,
    /// Windows judged from the first of these on.
    pub judged: u64,
    /// Whether it drifted in the newest judged window.
    pub ongoing: bool,
    /// The highest score.
    pub peak: Option<f32>,
    /// The threshold.
    pub threshold: Option<f32>,
}

/// A start or another event of a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventReport {
    /// Which start of the device.
    pub boot: u32,
    /// Sequence number of the record.
    pub sequence: u32,
    /// When, where the device knew.
    pub time_ms: Option<i64>,
    /// How long after the start.
    pub uptime_ms: i64,
    /// What, in words.
    pub what: String,
}

/// How often one sender was refused for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusalCount {
    /// How it came.
    pub transport: String,
    /// The device that was named; nothing proves it was that one.
    pub device: Option<String>,
    /// Why.
    pub reason: String,
    /// How often.
    pub count: u64,
    /// First time.
    pub first_ms: i64,
    /// Last time.
    pub last_ms: i64,
}
