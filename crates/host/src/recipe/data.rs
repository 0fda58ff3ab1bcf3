//! `[data]`, `[target]` and `[split]`: where the rows come from and what each part of them is for.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Simulation;

/// `[data]`: the files, how they are written and what their columns mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// How the rows are stored.
    pub format: Format,
    /// File names relative to the data directory, read in this order; empty for simulated data.
    #[serde(default)]
    pub files: Vec<PathBuf>,
    /// Where the data can be had, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// The licence of the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// Whom to cite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub citation: Option<String>,
    /// The field separator of a CSV file; detected when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
    /// The WHATWG label of a CSV file's encoding; a byte order mark or UTF-8 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// Whether rows start with a row number that the header does not name. When absent it is
    /// taken from the file: rows with one field more than the header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row_number: Option<bool>,
    /// The decimal separator of a CSV file.
    #[serde(default = "dot")]
    pub decimal: char,
    /// The thousands separator of a CSV file, if numbers carry one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thousands: Option<char>,
    /// Texts that stand for a missing value, compared after trimming spaces.
    #[serde(default = "null_values")]
    pub null_values: Vec<String>,
    /// What becomes of a row that was seen before. When absent: refused where rows carry a time,
    /// kept with a warning where they do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicates: Option<Duplicates>,
    /// The column with the time of a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// Consecutive rows that make one model input; one row each when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// The columns; the `number` columns in this order are the channels of the model.
    #[serde(default)]
    pub column: Vec<Column>,
    /// What to simulate when `format = "simulated"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulation: Option<Simulation>,
}

impl Data {
    /// The columns that are inputs of the model, in channel order.
    pub fn channels(&self) -> impl Iterator<Item = &Column> {
        self.column
            .iter()
            .filter(|column| column.kind == ColumnKind::Number)
    }

    /// Time steps per model input; 1 for tabular rows.
    pub fn steps(&self) -> usize {
        match (&self.window, &self.simulation) {
            (Some(window), _) => window.steps,
            (None, Some(simulation)) => simulation.steps,
            (None, None) => 1,
        }
    }
}

fn dot() -> char {
    '.'
}

fn null_values() -> Vec<String> {
    ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "?"]
        .map(str::to_owned)
        .to_vec()
}

/// How rows are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Text with separators: comma, semicolon, tab or bar.
    Csv,
    /// Apache Parquet.
    Parquet,
    /// No file: the rotating machine of [`crate::simulate`].
    Simulated,
}

/// What becomes of a repeated row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Duplicates {
    /// The check fails.
    Reject,
    /// The first one stays, the rest are dropped and counted.
    Drop,
    /// All stay, with a warning.
    Keep,
}

/// `[data.time]`: the column with the time of a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Time {
    /// The column's name.
    pub column: String,
    /// `strftime` fields (`"%Y-%m-%d %H:%M:%S"`), `"unix"` (seconds) or `"unix_ms"`. Parquet
    /// columns that are timestamps need no format.
    #[serde(default = "iso")]
    pub format: String,
    /// The offset of times that do not carry one, as `"+01:00"`.
    #[serde(default = "utc")]
    pub offset: String,
    /// What becomes of rows whose time goes backwards.
    #[serde(default)]
    pub order: Order,
}

fn iso() -> String {
    "%Y-%m-%d %H:%M:%S".to_owned()
}

fn utc() -> String {
    "+00:00".to_owned()
}

/// What becomes of rows whose time goes backwards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// The check fails.
    #[default]
    Reject,
    /// Rows are put in order of time within their file and group, with a warning.
    Sort,
}

/// `[data.window]`: consecutive rows of one group, without a gap, that make one model input. The
/// last row gives the label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Rows per input.
    pub steps: usize,
    /// Rows from the start of one input to the start of the next.
    pub stride: usize,
}

/// `[[data.column]]`: one column of the files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// The name in the header.
    pub name: String,
    /// What the column is for.
    pub kind: ColumnKind,
    /// The unit of a number, as a person writes it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// The least value the sensor can give.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<f64>,
    /// The greatest value the sensor can give.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum: Option<f64>,
    /// What becomes of a row in which this value is missing.
    #[serde(default)]
    pub nulls: Policy,
    /// What becomes of a row in which this number is outside `minimum..=maximum`.
    #[serde(default)]
    pub out_of_range: Policy,
}

/// What a column is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnKind {
    /// A number the model sees.
    Number,
    /// What the model is to tell; the column named in `[target]`.
    Label,
    /// Rows that belong together: a machine, a session, a person.
    Group,
    /// Read by nobody.
    Ignore,
}

/// What becomes of a row that breaks a rule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// The check fails.
    #[default]
    Reject,
    /// The row is dropped and counted.
    Drop,
}

/// `[target]`: what the model is to tell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The column; `condition` for simulated data.
    pub column: String,
    /// Names of the classes in the order of the model's outputs, at least two.
    pub labels: Vec<String>,
    /// What stands in the column for each label; the labels themselves when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Value>,
}

/// A value in the target column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// Compared as a number: `1` equals `1.0`.
    Integer(i64),
    /// Compared as text.
    Text(String),
}

/// `[split]`: which rows train, which tune, which judge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// How rows are chosen.
    pub kind: SplitKind,
    /// The share of the rows of `data.files` that tune the model, above 0 and below 1. By time it
    /// is the end of the training period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<f64>,
    /// Days (`"2015-02-09"`, in the offset of `data.time`) that tune the model, in place of a share.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validation_days: Vec<String>,
    /// The share of the rows that judge the model; by time the last ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<f64>,
    /// The seed of a group, stratified or random split.
    #[serde(default)]
    pub seed: u64,
    /// Files that judge the model, in place of a share.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub test_file: Vec<TestFile>,
}

/// How rows are chosen for a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SplitKind {
    /// Blocks of time: train, then validation, then test.
    Time,
    /// Whole groups, drawn per class of their most frequent label.
    Group,
    /// Rows, drawn per class.
    Stratified,
    /// Rows.
    Random,
}

/// `[[split.test_file]]`: a file that only judges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestFile {
    /// The name of the test in reports and gates.
    pub name: String,
    /// The file, relative to the data directory.
    pub file: PathBuf,
}
