//! Data: from files to checked, split, hashed examples.
//!
//! Runs on the workstation.

mod error;
mod report;

use std::path::PathBuf;

pub use error::DataError;
pub use report::{
    CheckOptions, CheckReport, FileSummary, Finding, LabelCount, Rule, RuleCount, Severity,
};

/// The name of the test that a share of the rows makes.
pub const SHARE_TEST: &str = "test";

/// One model input: `steps` time steps × channels, row-major (step, channel), in the data's own
/// units. Tabular rows have one step.
#[derive(Debug, Clone, PartialEq)]
pub struct InputSchema {
    /// Time steps per input.
    pub steps: usize,
    /// The channels in order.
    pub channels: Vec<ChannelSchema>,
    /// Milliseconds from one model input to the next.
    pub sample_period_ms: u64,
    /// A channel with this many equal values in a row is stuck; 0 turns the rule off.
    pub stuck_after: u32,
}

impl InputSchema {
    /// Values per input: steps × channels.
    pub fn width(&self) -> usize {
        self.steps * self.channels.len()
    }
}

/// One channel of a model's input.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelSchema {
    /// The column's name.
    pub name: String,
    /// The unit as a person writes it; empty for a number without one.
    pub unit: String,
    /// The least value the sensor can give.
    pub minimum: f32,
    /// The greatest value the sensor can give.
    pub maximum: f32,
}

/// A part of a data set, ready for training: n inputs with their labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Examples {
    /// What one input is.
    pub schema: InputSchema,
    /// Names of the classes by label.
    pub label_names: Vec<String>,
    /// `[n, steps, channels]`, row-major.
    pub inputs: Vec<f32>,
    /// n labels, each below `label_names.len()`.
    pub labels: Vec<u32>,
    /// n times in milliseconds since 1970-01-01 UTC (of the first step); 0 where rows carry none.
    pub time_ms: Vec<i64>,
    /// n group numbers, the same in every part of a data set; 0 where rows carry none.
    pub group: Vec<u32>,
}

impl Examples {
    /// An empty part.
    pub fn new(schema: InputSchema, label_names: Vec<String>) -> Self {
        Examples {
            schema,
            label_names,
            inputs: Vec::new(),
            labels: Vec::new(),
            time_ms: Vec::new(),
            group: Vec::new(),
        }
    }

    /// Number of inputs.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no input.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The values of input `index`, `[steps, channels]`; `None` beyond the end.
    pub fn input(&self, index: usize) -> Option<&[f32]> {
        let width = self.schema.width();
        self.inputs.get(index * width..(index + 1) * width)
    }

    /// How many inputs carry each label.
    pub fn label_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.label_names.len()];
        for &label in &self.labels {
            if let Some(count) = counts.get_mut(label as usize) {
                *count += 1;
            }
        }
        counts
    }
}

/// A data set, checked and split.
#[derive(Debug, Clone, PartialEq)]
pub struct Splits {
    /// What the model learns from.
    pub train: Examples,
    /// What tunes it and stops its training.
    pub validation: Examples,
    /// What judges it, by name, in the order of the recipe.
    pub tests: Vec<(String, Examples)>,
    /// SHA-256 in hex of the canonical content of all rows before the split; file names and
    /// formats do not matter.
    pub data_hash: String,
    /// What was read, dropped and found.
    pub report: CheckReport,
}

/// Where data is looked for and who is told how far it got.
#[derive(Default)]
pub struct LoadOptions<'a> {
    /// The directory of the data files; the recipe's folder when absent.
    pub data_dir: Option<PathBuf>,
    /// Told after every [`Progress::STEP`] rows and at the end of every file.
    pub progress: Option<&'a dyn Fn(Progress<'_>)>,
}

/// How far reading has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The file, as named in the recipe.
    pub file: &'a str,
    /// Rows read of it.
    pub rows: u64,
    /// Whether that was all.
    pub done: bool,
}

impl Progress<'_> {
    /// Rows between two reports.
    pub const STEP: u64 = 10_000;
}

/// The seconds east of UTC of an offset such as `+01:00`; `None` when it is not one.
pub(crate) fn offset_seconds(offset: &str) -> Option<i32> {
    let sign = match offset.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    let two_digits = |text: &str| (text.len() == 2).then(|| text.parse::<u8>().ok()).flatten();
    let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
    (hours < 24 && minutes < 60).then(|| sign * (i32::from(hours) * 3600 + i32::from(minutes) * 60))
}

/// Bytes as lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
