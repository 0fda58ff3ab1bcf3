//! What a check of the data found: per finding the file, line, column, value and rule.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// One thing a rule says about the data.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// The file.
    pub file: PathBuf,
    /// The line in a text file or the row in a Parquet file, from 1; absent for the whole file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The column's name; absent for the whole row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// The value as it stands in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The rule.
    pub rule: Rule,
    /// What follows from it.
    pub severity: Severity,
    /// What was expected, and what to do.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(column) = &self.column {
            write!(f, ": column \"{column}\"")?;
        }
        if let Some(value) = &self.value {
            write!(f, ": found \"{value}\"")?;
        }
        write!(f, ": {} [{}]", self.message, self.rule.name())
    }
}

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// A row has more or fewer fields than the header.
    FieldCount,
    /// A column of the recipe is not in the file, or the reverse.
    Columns,
    /// A value is not a number.
    Type,
    /// A value is missing.
    Null,
    /// A number is outside the sensor's range.
    Range,
    /// A target value has no label.
    Label,
    /// A time cannot be read.
    Time,
    /// A row is the same as an earlier one.
    DuplicateRow,
    /// Two rows of one group have the same time.
    DuplicateTime,
    /// The time goes backwards.
    ClockJump,
    /// The time from one row to the next is longer than one and a half sample periods.
    Gap,
    /// The time from one row to the next is shorter than half a sample period.
    Early,
    /// A column has one value in all rows.
    Constant,
    /// A value repeats for `monitor.stuck_after` rows.
    Stuck,
    /// A class of the target is not in the file.
    MissingClass,
    /// A row of one part of the split stands in another part too.
    SharedRow,
    /// Two parts of the split cover the same time.
    TimeOverlap,
    /// A group stands in two parts of the split.
    SharedGroup,
}

impl Rule {
    /// Every rule there is.
    pub const ALL: [Rule; 18] = [
        Rule::FieldCount,
        Rule::Columns,
        Rule::Type,
        Rule::Null,
        Rule::Range,
        Rule::Label,
        Rule::Time,
        Rule::DuplicateRow,
        Rule::DuplicateTime,
        Rule::ClockJump,
        Rule::Gap,
        Rule::Early,
        Rule::Constant,
        Rule::Stuck,
        Rule::MissingClass,
        Rule::SharedRow,
        Rule::TimeOverlap,
        Rule::SharedGroup,
    ];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Rule::FieldCount => "field-count",
            Rule::Columns => "columns",
            Rule::Type => "type",
            Rule::Null => "null",
            Rule::Range => "range",
            Rule::Label => "label",
            Rule::Time => "time",
            Rule::DuplicateRow => "duplicate-row",
            Rule::DuplicateTime => "duplicate-time",
            Rule::ClockJump => "clock-jump",
            Rule::Gap => "gap",
            Rule::Early => "early",
            Rule::Constant => "constant",
            Rule::Stuck => "stuck",
            Rule::MissingClass => "missing-class",
            Rule::SharedRow => "shared-row",
            Rule::TimeOverlap => "time-overlap",
            Rule::SharedGroup => "shared-group",
        }
    }
}

/// What follows from a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing follows.
    Warning,
    /// The row was dropped because the recipe says so.
    Dropped,
    /// The data is not fit for use.
    Error,
}

impl Severity {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Warning => "warning",
            Severity::Dropped => "dropped",
            Severity::Error => "error",
        }
    }
}

/// How often a rule spoke in one file, whether or not each finding is kept.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RuleCount {
    /// The file.
    pub file: PathBuf,
    /// The rule.
    pub rule: Rule,
    /// What followed.
    pub severity: Severity,
    /// How often.
    pub count: u64,
}

/// What was read from one file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FileSummary {
    /// The file, as named in the recipe.
    pub file: PathBuf,
    /// `data` for the files of `[data]`, the test's name for the files of `[[split.test_file]]`.
    pub part: String,
    /// SHA-256 of the file's bytes in hex; of the settings for simulated data.
    pub sha256: String,
    /// Rows in the file.
    pub rows: u64,
    /// Rows dropped because the recipe says so.
    pub dropped: u64,
    /// Rows that stay, per label name.
    pub labels: Vec<LabelCount>,
    /// Time of the earliest row that stays, in milliseconds since 1970-01-01 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_ms: Option<i64>,
    /// Time of the latest row that stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_ms: Option<i64>,
}

/// How many rows carry a label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LabelCount {
    /// The label's name.
    pub label: String,
    /// Rows.
    pub count: u64,
}

/// Everything a check found.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CheckReport {
    /// One per file, in the order they were read.
    pub files: Vec<FileSummary>,
    /// Findings, at most [`CheckOptions::kept`] per file, column, rule and severity.
    pub findings: Vec<Finding>,
    /// How often each rule spoke, all of them counted.
    pub counts: Vec<RuleCount>,
    /// SHA-256 in hex of the canonical content of all files; absent when there are errors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_hash: Option<String>,
}

impl CheckReport {
    /// Whether nothing makes the data unfit for use.
    pub fn passed(&self) -> bool {
        self.errors() == 0
    }

    /// Number of errors, kept in [`CheckReport::findings`] or not.
    pub fn errors(&self) -> u64 {
        self.count(Severity::Error)
    }

    /// Number of warnings.
    pub fn warnings(&self) -> u64 {
        self.count(Severity::Warning)
    }

    /// Rows dropped because the recipe says so.
    pub fn dropped(&self) -> u64 {
        self.files.iter().map(|file| file.dropped).sum()
    }

    fn count(&self, severity: Severity) -> u64 {
        self.counts
            .iter()
            .filter(|count| count.severity == severity)
            .map(|count| count.count)
            .sum()
    }
}

/// How a check is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckOptions {
    /// The directory of the data files; the recipe's folder when absent.
    pub data_dir: Option<PathBuf>,
    /// Findings kept per file, column, rule and severity; all are counted.
    pub kept: usize,
}

impl Default for CheckOptions {
    fn default() -> Self {
        CheckOptions {
            data_dir: None,
            kept: 20,
        }
    }
}
