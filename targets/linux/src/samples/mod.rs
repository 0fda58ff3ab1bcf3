//! Lines of text to model inputs: CSV and JSON lines.
//!
//! A line is one reading: an optional time and one value per channel, in the schema's order or, when
//! a CSV header or JSON keys name them, by channel name. An empty field, `null` and `NaN` are a
//! missing value; the device counts it. `steps` readings in a row make one model input.
//!
//! | line | meaning |
//! |---|---|
//! | `23.1,27.2,0,585,0.0047` | one reading, now |
//! | `1423053300000,23.1,27.2,0,585,0.0047` | the same with unix milliseconds (1973 or later) |
//! | `2015-02-04T17:55:00Z,23.1,27.2,0,585,0.0047` | the same with a date (UTC where no zone stands) |
//! | `time,CO2,Temperature,…` | first line without a number: names the fields of all later lines |
//! | `[23.1,27.2,0,585,0.0047]` | one reading, now |
//! | `{"time":1423053300000,"values":[…]}` | with time |
//! | `{"time":"2015-02-04 17:55:00","CO2":585,…}` | by channel name; other keys are ignored |
//!
//! A line with more or fewer fields than that is refused, so that no value passes for another one.
//! Only a row number in front of the fields of a header is passed over, where a date behind it proves it.
//!
//! Cost: a few string slices per line; a reader keeps one unfinished model input.

mod csv;
mod error;
mod json;
mod lines;
mod time;

pub use error::LineError;
pub use lines::{MAX_LINE_BYTES, next_line};
pub use time::parse_time;

use csv::Header;

/// What the lines must give: the shape of the active model's input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Readings that make one model input.
    pub steps: usize,
    /// Channel names, in the order of the model input.
    pub channels: Vec<String>,
}

/// The language of the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LineFormat {
    /// Comma-separated values, with or without a header.
    Csv,
    /// One JSON array or object per line.
    Json,
}

/// One complete model input.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Unix milliseconds of its last reading, where the line gave one.
    pub time_ms: Option<i64>,
    /// `steps × channels` values, row-major by step; `NaN` for a missing one.
    pub values: Vec<f32>,
}

/// Turns lines into model inputs.
#[derive(Debug)]
pub struct LineReader {
    shape: Shape,
    format: LineFormat,
    names: Option<Vec<String>>,
    /// Where the fields are that `names` names; absent when a channel has none.
    header: Option<Header>,
    fresh: bool,
    pending: Vec<f32>,
}

/// One line's worth.
struct Reading {
    time_ms: Option<i64>,
    values: Vec<f32>,
}

impl LineReader {
    /// A reader of `format` for models of `shape`.
    pub fn new(format: LineFormat, shape: Shape) -> Self {
        Self {
            shape,
            format,
            names: None,
            header: None,
            fresh: true,
            pending: Vec::new(),
        }
    }

    /// The shape it reads for.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Reads for another shape from now on; an unfinished model input is dropped, a header stays.
    pub fn reshape(&mut self, shape: Shape) {
        self.header = self
            .names
            .as_ref()
            .and_then(|names| Header::of(names, &shape).ok());
        self.pending.clear();
        self.shape = shape;
    }

    /// Takes one line without its line end; `Ok(None)` for blank lines, headers and readings that do
    /// not complete a model input yet.
    ///
    /// # Errors
    /// [`LineError`]; the line is dropped, an unfinished model input is kept.
    pub fn take(&mut self, line: &str) -> Result<Option<Sample>, LineError> {
        let line = line.trim();
        if line.is_empty() {
            return Ok(None);
        }
        let first = std::mem::replace(&mut self.fresh, false);
        let reading = match self.format {
            LineFormat::Csv => {
                let fields = csv::fields(line);
                if first && csv::is_header(&fields) {
                    let names = self
                        .names
                        .insert(fields.iter().map(|f| (*f).to_owned()).collect());
                    self.header = Some(Header::of(names, &self.shape)?);
                    return Ok(None);
                }
                self.csv_reading(&fields)?
            }
            LineFormat::Json => json::reading(line, &self.shape)?,
        };
        Ok(self.complete(reading))
    }

    fn complete(&mut self, reading: Reading) -> Option<Sample> {
        let width = self.shape.steps.max(1) * self.shape.channels.len();
        self.pending.extend_from_slice(&reading.values);
        if self.pending.len() < width {
            return None;
        }
        let values = std::mem::take(&mut self.pending);
        Some(Sample {
            time_ms: reading.time_ms,
            values,
        })
    }

    fn csv_reading(&self, fields: &[&str]) -> Result<Reading, LineError> {
        match (&self.header, &self.names) {
            (Some(header), _) => header.reading(fields),
            (None, Some(names)) => Header::of(names, &self.shape)?.reading(fields),
            (None, None) => csv::bare_reading(fields, &self.shape),
        }
    }
}

#[cfg(test)]
mod tests;
