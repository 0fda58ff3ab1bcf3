//! A reading from comma-separated values.
//!
//! How many fields a line has is the only thing that tells values from a time or a row number, so a
//! field too many must not pass for one of these: a time in front of bare values is a date or unix
//! milliseconds of 1973 or later, and a row number in front of the fields that a header names is a
//! whole number with a date behind it where the header says.

use super::error::shortened;
use super::time::{is_date, parse_time};
use super::{LineError, Reading, Shape};

/// A bare number below this, in unix milliseconds, is no time: 3 March 1973.
const EARLIEST_UNIX_MS: i64 = 100_000_000_000;

/// Where a header says that the fields are.
#[derive(Debug)]
pub(super) struct Header {
    fields: usize,
    time: Option<usize>,
    /// Field of each channel.
    channels: Vec<usize>,
}

/// The fields of a line, without blanks and quotes.
pub(super) fn fields(line: &str) -> Vec<&str> {
    line.split(',')
        .map(|field| field.trim().trim_matches('"'))
        .collect()
}

/// Whether these fields are names; the first may have none.
pub(super) fn is_header(fields: &[&str]) -> bool {
    let is_name = |field: &str| field.parse::<f64>().is_err() && parse_time(field).is_err();
    let unnamed = fields.iter().filter(|field| field.is_empty()).count();
    let may_be_unnamed = usize::from(fields.len() > 1 && fields[0].is_empty());
    unnamed <= may_be_unnamed && fields.iter().all(|field| is_name(field))
}

/// Reads a line that no header explains: values, or a time and values.
pub(super) fn bare_reading(fields: &[&str], shape: &Shape) -> Result<Reading, LineError> {
    let channels = shape.channels.len();
    let wrong = LineError::FieldCount {
        channels,
        got: fields.len(),
    };
    let (time_ms, values) = match fields.split_first() {
        _ if fields.len() == channels => (None, fields),
        Some((time, values)) if values.len() == channels => (Some(bare_time(time, wrong)?), values),
        _ => return Err(wrong),
    };
    let offset = fields.len() - values.len();
    let values = values
        .iter()
        .enumerate()
        .map(|(at, text)| number(text, at + offset))
        .collect::<Result<_, _>>()?;
    Ok(Reading { time_ms, values })
}

/// A time that no header calls one; a number that is none is `wrong`.
fn bare_time(text: &str, wrong: LineError) -> Result<i64, LineError> {
    match (parse_time(text), text.parse::<f64>()) {
        (Ok(time_ms), Ok(_)) if time_ms < EARLIEST_UNIX_MS => Err(wrong),
        (Err(_), Ok(_)) => Err(wrong),
        (time, _) if text.is_empty() => time.map_err(|_| wrong),
        (time, _) => time,
    }
}

impl Header {
    /// Where the channels of `shape` are among the named fields.
    pub fn of(fields: &[String], shape: &Shape) -> Result<Self, LineError> {
        let find = |name: &str| {
            fields
                .iter()
                .position(|field| field.eq_ignore_ascii_case(name))
        };
        let channels = shape
            .channels
            .iter()
            .map(|channel| {
                find(channel).ok_or_else(|| LineError::MissingChannel {
                    channel: channel.clone(),
                })
            })
            .collect::<Result<_, _>>()?;
        let time = ["time", "time_ms", "date", "timestamp"]
            .iter()
            .find_map(|name| find(name));
        Ok(Self {
            fields: fields.len(),
            time,
            channels,
        })
    }

    /// Reads a line whose fields the header names, or those behind a row number.
    pub fn reading(&self, fields: &[&str]) -> Result<Reading, LineError> {
        let offset = match fields.len().checked_sub(self.fields) {
            Some(0) => 0,
            Some(1) if self.has_row_number(fields) => 1,
            _ => {
                return Err(LineError::HeaderFieldCount {
                    expected: self.fields,
                    got: fields.len(),
                });
            }
        };
        let field = |at: usize| fields.get(at + offset).copied().unwrap_or_default();
        let time_ms = self.time.map(|at| parse_time(field(at))).transpose()?;
        let values = self
            .channels
            .iter()
            .map(|at| number(field(*at), at + offset))
            .collect::<Result<_, _>>()?;
        Ok(Reading { time_ms, values })
    }

    fn has_row_number(&self, fields: &[&str]) -> bool {
        let is_whole = fields
            .first()
            .is_some_and(|field| field.parse::<u64>().is_ok());
        let time = self.time.and_then(|at| fields.get(at + 1));
        is_whole && time.is_some_and(|field| is_date(field))
    }
}

fn number(text: &str, field: usize) -> Result<f32, LineError> {
    match text {
        "" => Ok(f32::NAN),
        _ => text.parse().map_err(|_| LineError::NotANumber {
            field: (field + 1).to_string(),
            text: shortened(text),
        }),
    }
}
