//! Data: from files to checked, split, hashed examples.
//!
//! Runs on the workstation. Costs one pass over each file; a CSV file and all clean rows are held
//! in memory (4 bytes a value and 40 a row), a Parquet file is read by row groups.
//!
//! ```no_run
//! use dunlin_host::data::{LoadOptions, load};
//! use dunlin_host::recipe::Recipe;
//! let recipe = Recipe::read("models/occupancy/recipe.toml".as_ref())?;
//! let options = LoadOptions { data_dir: Some("data/occupancy".into()), ..LoadOptions::default() };
//! let splits = load(&recipe, &options)?;
//! println!("{} rows train, {} rows tune", splits.train.len(), splits.validation.len());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **Architecture invariants.** Nothing is dropped, sorted or filled in unless the recipe says so,
//! and then it is counted. A finding names file, line, column, value and rule. No value is
//! computed from others here: what a model sees beyond raw values is a feature in its graph. The
//! data hash does not depend on names or formats of files.

mod csv_source;
mod error;
mod findings;
mod infer;
mod ingest;
mod layout;
mod leakage;
mod number;
mod parquet_source;
mod report;
pub(crate) mod rows;
mod series;
mod source;
mod split;
mod text;
mod time;

use std::path::PathBuf;

use ingest::{Ingested, ingest, row_period_ms};
use rows::{Assembly, Rows};
pub(crate) use time::offset_seconds;

use crate::recipe::Recipe;

pub use error::DataError;
pub use infer::{ColumnProposal, ColumnType, Proposal, TimeProposal, ValueCount, infer};
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

/// Reads, checks and splits the data of a recipe.
///
/// # Errors
/// [`DataError::Rejected`] with the whole report when a rule of the recipe is broken,
/// [`DataError::EmptyPart`] when a part of the split has no input, and the other variants when a
/// file cannot be read at all.
pub fn load(recipe: &Recipe, options: &LoadOptions<'_>) -> Result<Splits, DataError> {
    let ingested = ingest(recipe, options, CheckOptions::default().kept)?;
    let of_tests = ingested.tests.iter().map(|(_, rows)| rows.len());
    for rows in std::iter::once(ingested.rows.len()).chain(of_tests) {
        require_memory(recipe, &ingested.schema, rows)?;
    }
    let parts = [
        &ingested.parts.train,
        &ingested.parts.validation,
        &ingested.parts.test,
    ];
    let make = |rows, chosen: &[usize]| examples(recipe, &ingested.schema, rows, chosen);
    let [train, validation, test] = parts.map(|chosen| make(&ingested.rows, chosen));
    let share = recipe.split.test.map(|_| (SHARE_TEST.to_owned(), test));
    let files = ingested.tests.iter().map(|(name, rows)| {
        let all: Vec<usize> = (0..rows.len()).collect();
        (name.clone(), make(rows, &all))
    });
    let tests = share.into_iter().chain(files).collect();
    let data_hash = ingested.data_hash.clone();
    let report = report_of(ingested);
    if !report.passed() {
        return Err(DataError::Rejected {
            report: Box::new(report),
        });
    }
    let splits = Splits {
        train,
        validation,
        tests,
        data_hash,
        report,
    };
    splits.require_inputs()?;
    Ok(splits)
}

/// Refuses windows that overlap so much that their values would fill the memory.
fn require_memory(recipe: &Recipe, schema: &InputSchema, rows: usize) -> Result<(), DataError> {
    let Some(window) = recipe.data.window else {
        return Ok(());
    };
    let (inputs, values) = ((rows / window.stride) as u64, schema.width());
    let total = inputs.saturating_mul(values as u64);
    if total <= error::MOST_VALUES {
        return Ok(());
    }
    Err(DataError::TooManyValues {
        rows,
        inputs,
        values,
        total,
    })
}

fn examples(recipe: &Recipe, schema: &InputSchema, rows: &Rows, chosen: &[usize]) -> Examples {
    let longest_step_ms = row_period_ms(recipe).map(series::longest_step_ms);
    let assembly = Assembly {
        window: recipe.data.window,
        longest_step_ms,
    };
    rows::examples(
        rows,
        chosen,
        assembly,
        schema.clone(),
        recipe.target.labels.clone(),
    )
}

/// Reads and checks the data of a recipe without making examples of it.
///
/// # Errors
/// Only when a file cannot be read at all; broken rows are in the report, and
/// [`CheckReport::passed`] tells whether the data is fit for use.
pub fn check(recipe: &Recipe, options: &CheckOptions) -> Result<CheckReport, DataError> {
    let load_options = LoadOptions {
        data_dir: options.data_dir.clone(),
        progress: None,
    };
    Ok(report_of(ingest(recipe, &load_options, options.kept)?))
}

fn report_of(ingested: Ingested) -> CheckReport {
    let data_hash = (ingested.findings.errors() == 0).then_some(ingested.data_hash);
    let (findings, counts) = ingested.findings.finish();
    CheckReport {
        files: ingested.files,
        findings,
        counts,
        data_hash,
    }
}

impl Splits {
    fn require_inputs(&self) -> Result<(), DataError> {
        let tests = self
            .tests
            .iter()
            .map(|(name, examples)| (name.as_str(), examples));
        let parts = [
            (leakage::TRAIN, &self.train),
            (leakage::VALIDATION, &self.validation),
        ];
        match parts
            .into_iter()
            .chain(tests)
            .find(|(_, examples)| examples.is_empty())
        {
            None => Ok(()),
            Some((part, _)) => Err(DataError::EmptyPart {
                part: part.to_owned(),
                advice: "expected at least one; change the shares, days or window in the recipe, or give more data",
            }),
        }
    }
}

/// Bytes as lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod parquet_tests;
#[cfg(test)]
mod tests;
