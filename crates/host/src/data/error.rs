//! Why data cannot be used.

use std::path::PathBuf;

use super::report::{CheckReport, Severity};
use crate::words::counted;

/// Values of all windows of one part at most, four bytes each; the parts of the split are held beside each other.
pub const MOST_VALUES: u64 = 250_000_000;

/// Findings shown in the text of an error; the report has the rest.
const SHOWN: usize = 5;

/// Why data cannot be loaded or looked at.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file cannot be read.
    #[error("{}: cannot read the data file: {source}; say where the files are with --data DIR", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Bytes that the encoding does not have.
    #[error("{}:{line}: not valid {encoding}; set data.encoding in the recipe, for example \"windows-1252\"", path.display())]
    Encoding {
        /// The file.
        path: PathBuf,
        /// The line with the first such byte, from 1.
        line: u64,
        /// The encoding that was expected.
        encoding: String,
    },
    /// A file that is not what its format says.
    #[error("{}:{line}: {message}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The line or row, from 1; 1 where the file as a whole is meant.
        line: u64,
        /// What was expected.
        message: String,
    },
    /// Rows break the rules of the recipe.
    #[error("{}", summary(report))]
    Rejected {
        /// Everything found.
        report: Box<CheckReport>,
    },
    /// Overlapping windows that would fill the memory.
    #[error(
        "data.window: {rows} rows make up to {inputs} windows of {values} values, which is {total} values, at most \
         {MOST_VALUES}; take a longer stride, fewer steps or fewer rows"
    )]
    TooManyValues {
        /// Rows of one part of the data.
        rows: usize,
        /// Windows they make at most.
        inputs: u64,
        /// Values of one window.
        values: usize,
        /// Values of all windows.
        total: u64,
    },
    /// A part of the split has no rows.
    #[error("the {part} part of the split has no rows; {advice}")]
    EmptyPart {
        /// `train`, `validation` or the test's name.
        part: String,
        /// What to do.
        advice: &'static str,
    },
}

fn summary(report: &CheckReport) -> String {
    let errors = report
        .findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error);
    let mut lines: Vec<String> = errors
        .take(SHOWN)
        .map(|finding| finding.to_string())
        .collect();
    let total = report.errors();
    let more = total.saturating_sub(lines.len() as u64);
    if more > 0 {
        lines.push(format!("and {more} more; see all with `dunlin data check`"));
    }
    lines.insert(
        0,
        format!("the data has {} and is not used:", counted(total, "error")),
    );
    lines.join("\n")
}
