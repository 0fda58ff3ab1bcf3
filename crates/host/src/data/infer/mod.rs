//! What a file without a recipe holds: a proposal to read, and a recipe to start from.

mod column;
mod recipe;
mod show;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use encoding_rs::Encoding;
use serde::Serialize;

use super::DataError;
use super::number::NumberFormat;
use super::series::longest_step_ms;
use super::source::{Cell, Source, TextFormat, file_error};
use super::text::{detect_encoding, first_control};
use super::time::TimeReader;
use crate::recipe::Format;

use column::Survey;
pub use column::{ColumnProposal, ColumnType, ValueCount};

/// The most classes a column is proposed as a target with.
const MOST_CLASSES: usize = 10;

/// Ways to write numbers, the plain one first.
const NUMBER_FORMATS: [NumberFormat; 4] = [
    NumberFormat {
        decimal: '.',
        thousands: None,
    },
    NumberFormat {
        decimal: ',',
        thousands: None,
    },
    NumberFormat {
        decimal: '.',
        thousands: Some(','),
    },
    NumberFormat {
        decimal: ',',
        thousands: Some('.'),
    },
];

/// What a file holds and how it could be read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Proposal {
    /// The file.
    pub file: PathBuf,
    /// CSV or Parquet, told by the first bytes.
    pub format: Format,
    /// The separator of a CSV file.
    pub delimiter: Option<char>,
    /// The encoding of a CSV file.
    pub encoding: Option<String>,
    /// Whether rows start with a number the header does not name.
    pub row_number: bool,
    /// The decimal separator.
    pub decimal: char,
    /// The thousands separator, if numbers carry one.
    pub thousands: Option<char>,
    /// Rows in the file.
    pub rows: u64,
    /// Rows with more or fewer fields than the header; they are left out below.
    pub broken_rows: u64,
    /// SHA-256 of the file's bytes in hex.
    pub sha256: String,
    /// The column with the time of a row, if there is one.
    pub time: Option<TimeProposal>,
    /// The columns in order.
    pub columns: Vec<ColumnProposal>,
    /// The column the model could tell, if there is one with 2 to 10 values.
    pub target: Option<String>,
}

/// What the times of a file look like.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TimeProposal {
    /// The column.
    pub column: String,
    /// The format, as in `[data.time]`.
    pub format: String,
    /// The earliest time, in milliseconds since 1970-01-01 UTC.
    pub first_ms: i64,
    /// The latest time.
    pub last_ms: i64,
    /// The median time from one row to the next in milliseconds; 0 with fewer than two times.
    pub period_ms: u64,
    /// Steps longer than one and a half periods.
    pub gaps: u64,
    /// The longest step in milliseconds.
    pub longest_step_ms: u64,
    /// Steps backwards.
    pub backwards: u64,
    /// Times that stand in an earlier row.
    pub duplicates: u64,
}

/// Looks at a file and proposes how to read it. Cost: two passes over the file.
///
/// # Errors
/// When the file cannot be read at all, or is a CSV file without a header.
pub fn infer(path: &Path) -> Result<Proposal, DataError> {
    let (format, text_format) = layout(path)?;
    let open = || Source::open_as(path, format, &text_format);
    let first = first_pass(open()?)?;
    let numbers = number_format(&first.surveys);
    let columns = second_pass(open()?, &first.surveys, numbers)?;
    let time = first
        .surveys
        .iter()
        .find_map(|survey| survey.time_format(numbers).map(|format| (survey, format)));
    let time = match time {
        Some((survey, format)) => Some(times(open()?, survey, format)?),
        None => None,
    };
    let target = target(&columns, time.as_ref());
    let source = open()?;
    Ok(Proposal {
        file: path.file_name().map(PathBuf::from).unwrap_or_default(),
        format,
        delimiter: source.delimiter().map(char::from),
        encoding: text_format.encoding,
        row_number: source.row_number(),
        decimal: numbers.decimal,
        thousands: numbers.thousands,
        rows: first.rows,
        broken_rows: first.broken,
        sha256: source.sha256().to_owned(),
        time,
        columns,
        target,
    })
}

fn layout(path: &Path) -> Result<(Format, TextFormat), DataError> {
    use std::io::Read;
    let mut head = Vec::new();
    let file = std::fs::File::open(path).map_err(file_error(path))?;
    file.take(4)
        .read_to_end(&mut head)
        .map_err(file_error(path))?;
    if head == b"PAR1" {
        return Ok((Format::Parquet, TextFormat::default()));
    }
    let bytes = std::fs::read(path).map_err(file_error(path))?;
    let encoding = detect_encoding(&bytes);
    require_text(path, bytes.get(..LOOKED_AT).unwrap_or(&bytes), encoding)?;
    Ok((
        Format::Csv,
        TextFormat {
            encoding: Some(encoding.name().to_ascii_lowercase()),
            ..TextFormat::default()
        },
    ))
}

/// Bytes from the start of a file that tell whether it is text.
const LOOKED_AT: usize = 1 << 16;

fn require_text(path: &Path, head: &[u8], encoding: &'static Encoding) -> Result<(), DataError> {
    let (text, _) = encoding.decode_with_bom_removal(head);
    match first_control(&text) {
        None => Ok(()),
        Some((line, found)) => Err(DataError::Format {
            path: path.to_owned(),
            line,
            message: format!(
                "not a text file: it holds the control character U+{:04X}; expected CSV in UTF-8, UTF-16 or \
                 windows-1252, or Parquet",
                u32::from(found)
            ),
        }),
    }
}

struct FirstPass {
    surveys: Vec<Survey>,
    rows: u64,
    broken: u64,
}

fn first_pass(mut source: Source) -> Result<FirstPass, DataError> {
    let names = source.columns().to_vec();
    let mut surveys: Vec<Survey> = names
        .iter()
        .enumerate()
        .map(|(field, name)| Survey::new(field, name))
        .collect();
    let (mut rows, mut broken) = (0, 0);
    while let Some(row) = source.next_row()? {
        rows += 1;
        if row.cells.len() != names.len() {
            broken += 1;
            continue;
        }
        surveys
            .iter_mut()
            .zip(&row.cells)
            .for_each(|(survey, cell)| survey.see(cell));
    }
    Ok(FirstPass {
        surveys,
        rows,
        broken,
    })
}

/// The way of writing numbers under which most columns are numbers.
fn number_format(surveys: &[Survey]) -> NumberFormat {
    let columns = |format: &NumberFormat| {
        surveys
            .iter()
            .filter(|survey| survey.is_number(*format))
            .count()
    };
    let best = NUMBER_FORMATS
        .iter()
        .rev()
        .max_by_key(|format| columns(format));
    best.copied().unwrap_or(NUMBER_FORMATS[0])
}

fn second_pass(
    mut source: Source,
    surveys: &[Survey],
    numbers: NumberFormat,
) -> Result<Vec<ColumnProposal>, DataError> {
    let mut columns: Vec<ColumnProposal> = surveys
        .iter()
        .map(|survey| survey.proposal(numbers))
        .collect();
    let mut sums = vec![0.0; columns.len()];
    while let Some(row) = source.next_row()? {
        if row.cells.len() != columns.len() {
            continue;
        }
        for ((column, sum), cell) in columns.iter_mut().zip(&mut sums).zip(&row.cells) {
            if let (ColumnType::Integer | ColumnType::Number, Some(value)) =
                (column.kind, column::number(cell, numbers))
            {
                column.minimum = Some(column.minimum.map_or(value, |minimum| minimum.min(value)));
                column.maximum = Some(column.maximum.map_or(value, |maximum| maximum.max(value)));
                *sum += value;
            }
        }
    }
    for (column, sum) in columns.iter_mut().zip(sums) {
        column.mean = column.minimum.map(|_| sum / column.values as f64);
    }
    Ok(columns)
}

fn times(mut source: Source, survey: &Survey, format: &str) -> Result<TimeProposal, DataError> {
    let reader = TimeReader::utc(format);
    let mut times = Vec::new();
    while let Some(row) = source.next_row()? {
        times.extend(
            row.cells
                .get(survey.field)
                .and_then(|cell: &Cell| reader.read(cell)),
        );
    }
    Ok(time_proposal(&survey.name, format, &times))
}

fn time_proposal(column: &str, format: &str, times: &[i64]) -> TimeProposal {
    let steps = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
    let (forward, others): (Vec<i64>, Vec<i64>) = steps.partition(|&step| step > 0);
    let mut forward: Vec<u64> = forward.into_iter().map(i64::unsigned_abs).collect();
    forward.sort_unstable();
    let period_ms = forward.get(forward.len() / 2).copied().unwrap_or(0);
    let distinct: HashSet<i64> = times.iter().copied().collect();
    let gap = |step: &&u64| **step > longest_step_ms(period_ms);
    TimeProposal {
        column: column.to_owned(),
        format: format.to_owned(),
        first_ms: times.iter().min().copied().unwrap_or(0),
        last_ms: times.iter().max().copied().unwrap_or(0),
        period_ms,
        gaps: forward.iter().filter(gap).count() as u64,
        longest_step_ms: forward.last().copied().unwrap_or(0),
        backwards: others.iter().filter(|&&step| step < 0).count() as u64,
        duplicates: (times.len() - distinct.len()) as u64,
    }
}

/// The last column with a few values and none missing.
fn target(columns: &[ColumnProposal], time: Option<&TimeProposal>) -> Option<String> {
    let fits = |column: &&ColumnProposal| {
        let countable = matches!(column.kind, ColumnType::Integer | ColumnType::Text);
        let timed = time.is_some_and(|time| time.column == column.name);
        let repeats = column.values > 2 * column.distinct as u64;
        countable
            && !timed
            && column.nulls == 0
            && (2..=MOST_CLASSES).contains(&column.distinct)
            && repeats
    };
    columns
        .iter()
        .rev()
        .find(fits)
        .map(|column| column.name.clone())
}

#[cfg(test)]
mod tests;
