//! Lines of text to model inputs: CSV and JSON lines.
//!
//! A line is one reading: an optional time and one value per channel, in the schema's order or, when
//! a CSV header or JSON keys name them, by channel name. An empty field, `null` and `NaN` are a
//! missing value; the device counts it. `steps` readings in a row make one model input.
//!
//! | line | meaning |
//! |---|---|
//! | `23.1,27.2,0,585,0.0047` | one reading, now |
//! | `1423053300000,23.1,27.2,0,585,0.0047` | the same with unix milliseconds |
//! | `2015-02-04T17:55:00Z,23.1,27.2,0,585,0.0047` | the same with a date (UTC where no zone stands) |
//! | `time,CO2,Temperature,…` | first line without a number: names the fields of all later lines |
//! | `[23.1,27.2,0,585,0.0047]` | one reading, now |
//! | `{"time":1423053300000,"values":[…]}` | with time |
//! | `{"time":"2015-02-04 17:55:00","CO2":585,…}` | by channel name; other keys are ignored |
//!
//! Cost: a few string slices per line; a reader keeps one unfinished model input.

use std::io::{self, BufRead};

/// Longest line that is read, in bytes; a longer one is an error and its rest is skipped.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

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

/// Why a line was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Wrong number of fields.
    #[error("{got} fields where {channels} values, or a time and {channels} values, were expected")]
    FieldCount {
        /// Channels of the model.
        channels: usize,
        /// Fields of the line.
        got: usize,
    },
    /// A field that is neither a number nor empty.
    #[error("`{text}` in field {field} is not a number")]
    NotANumber {
        /// Field, counted from 1, or the JSON key.
        field: String,
        /// What stands there, cut to 32 characters.
        text: String,
    },
    /// A time that is neither unix milliseconds nor a date.
    #[error("`{text}` is neither unix milliseconds nor a date like 2015-02-04T17:55:00Z")]
    NotATime {
        /// What stands there, cut to 32 characters.
        text: String,
    },
    /// A channel of the model has no field.
    #[error("there is no field for channel `{channel}`")]
    MissingChannel {
        /// The channel.
        channel: String,
    },
    /// Not JSON, or neither an array nor an object.
    #[error("not a JSON array or object: {reason}")]
    Json {
        /// What the parser said.
        reason: String,
    },
    /// Longer than [`MAX_LINE_BYTES`].
    #[error("longer than {MAX_LINE_BYTES} bytes")]
    TooLong,
    /// Not UTF-8.
    #[error("not UTF-8")]
    NotText,
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

#[derive(Debug)]
struct Header {
    fields: usize,
    time: Option<usize>,
    /// Field of each channel.
    channels: Vec<usize>,
}

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
                let fields: Vec<&str> = line
                    .split(',')
                    .map(|field| field.trim().trim_matches('"'))
                    .collect();
                if first && is_header(&fields) {
                    let names = self
                        .names
                        .insert(fields.iter().map(|f| (*f).to_owned()).collect());
                    self.header = Some(Header::of(names, &self.shape)?);
                    return Ok(None);
                }
                self.csv_reading(&fields)?
            }
            LineFormat::Json => self.json_reading(line)?,
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
        let channels = self.shape.channels.len();
        match (&self.header, &self.names) {
            (Some(header), _) => return header.reading(fields, channels),
            (None, Some(names)) => Header::of(names, &self.shape).map(drop)?,
            (None, None) => {}
        }
        let wrong = LineError::FieldCount {
            channels,
            got: fields.len(),
        };
        let (time, values) = match fields.len().checked_sub(channels) {
            Some(0) => (None, fields),
            Some(1) => (fields.first().copied(), &fields[1..]),
            _ => return Err(wrong),
        };
        let offset = fields.len() - values.len();
        let time_ms = time.map(parse_time).transpose()?;
        let values = values
            .iter()
            .enumerate()
            .map(|(at, text)| number(text, at + offset))
            .collect::<Result<_, _>>()?;
        Ok(Reading { time_ms, values })
    }

    fn json_reading(&self, line: &str) -> Result<Reading, LineError> {
        let unreadable = |reason: String| LineError::Json { reason };
        match serde_json::from_str(line).map_err(|error| unreadable(error.to_string()))? {
            serde_json::Value::Array(items) => Ok(Reading {
                time_ms: None,
                values: self.json_values(&items)?,
            }),
            serde_json::Value::Object(object) => self.json_object(&object),
            _ => Err(unreadable("a bare value".into())),
        }
    }

    fn json_object(
        &self,
        object: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<Reading, LineError> {
        let time_ms = match ["time", "time_ms"].iter().find_map(|key| object.get(*key)) {
            None | Some(serde_json::Value::Null) => None,
            Some(serde_json::Value::String(text)) => Some(parse_time(text)?),
            Some(other) => Some(parse_time(&other.to_string())?),
        };
        if let Some(serde_json::Value::Array(items)) = object.get("values") {
            return Ok(Reading {
                time_ms,
                values: self.json_values(items)?,
            });
        }
        let named = |channel: &String| match object.get(channel) {
            Some(value) => json_number(value, channel),
            None => Err(LineError::MissingChannel {
                channel: channel.clone(),
            }),
        };
        Ok(Reading {
            time_ms,
            values: self
                .shape
                .channels
                .iter()
                .map(named)
                .collect::<Result<_, _>>()?,
        })
    }

    fn json_values(&self, items: &[serde_json::Value]) -> Result<Vec<f32>, LineError> {
        let channels = self.shape.channels.len();
        if items.len() != channels {
            return Err(LineError::FieldCount {
                channels,
                got: items.len(),
            });
        }
        items
            .iter()
            .enumerate()
            .map(|(at, value)| json_number(value, &(at + 1).to_string()))
            .collect()
    }
}

impl Header {
    fn of(fields: &[String], shape: &Shape) -> Result<Self, LineError> {
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

    /// A data line may have one field more in front than the header names: a row number.
    fn reading(&self, fields: &[&str], channels: usize) -> Result<Reading, LineError> {
        let offset = match fields.len().checked_sub(self.fields) {
            Some(offset @ (0 | 1)) => offset,
            _ => {
                return Err(LineError::FieldCount {
                    channels,
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
}

fn is_header(fields: &[&str]) -> bool {
    fields.iter().all(|field| {
        !field.is_empty() && field.parse::<f64>().is_err() && parse_time(field).is_err()
    })
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

fn json_number(value: &serde_json::Value, field: &str) -> Result<f32, LineError> {
    match value {
        serde_json::Value::Null => Ok(f32::NAN),
        serde_json::Value::Bool(yes) => Ok(f32::from(u8::from(*yes))),
        _ => value
            .as_f64()
            .map(|wide| wide as f32)
            .ok_or_else(|| LineError::NotANumber {
                field: field.to_owned(),
                text: shortened(&value.to_string()),
            }),
    }
}

/// Unix milliseconds from a whole number of them or from a date; UTC where no zone stands.
///
/// # Errors
/// [`LineError::NotATime`].
pub fn parse_time(text: &str) -> Result<i64, LineError> {
    if let Ok(milliseconds) = text.parse::<i64>() {
        return Ok(milliseconds);
    }
    if let Ok(zoned) = text.parse::<jiff::Timestamp>() {
        return Ok(zoned.as_millisecond());
    }
    text.parse::<jiff::civil::DateTime>()
        .ok()
        .filter(|_| text.contains(':'))
        .and_then(|civil| jiff::tz::TimeZone::UTC.to_timestamp(civil).ok())
        .map(|timestamp| timestamp.as_millisecond())
        .ok_or_else(|| LineError::NotATime {
            text: shortened(text),
        })
}

fn shortened(text: &str) -> String {
    text.chars().take(32).collect()
}

/// Reads the next line into `line`, without its end. `Ok(None)` at the end of the stream,
/// `Ok(Some(Err(..)))` for a line that is too long or not text; reading can go on after it.
///
/// # Errors
/// The stream's own.
pub fn next_line<R: BufRead>(
    stream: &mut R,
    line: &mut Vec<u8>,
) -> io::Result<Option<Result<String, LineError>>> {
    line.clear();
    let mut too_long = false;
    loop {
        let available = match stream.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if available.is_empty() && line.is_empty() && !too_long {
            return Ok(None);
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let taken = end.unwrap_or(available.len());
        too_long |= line.len() + taken > MAX_LINE_BYTES;
        if !too_long {
            line.extend_from_slice(&available[..taken]);
        }
        let finished = end.is_some() || available.is_empty();
        stream.consume(taken + usize::from(end.is_some()));
        if finished {
            break;
        }
    }
    Ok(Some(match String::from_utf8(std::mem::take(line)) {
        _ if too_long => Err(LineError::TooLong),
        Ok(text) => Ok(text),
        Err(_) => Err(LineError::NotText),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(steps: usize) -> Shape {
        Shape {
            steps,
            channels: vec!["Temperature".into(), "CO2".into()],
        }
    }

    fn one(format: LineFormat, line: &str) -> Result<Option<Sample>, LineError> {
        LineReader::new(format, shape(1)).take(line)
    }

    fn sample(time_ms: Option<i64>, values: &[f32]) -> Option<Sample> {
        Some(Sample {
            time_ms,
            values: values.to_vec(),
        })
    }

    #[test]
    fn reads_values_with_and_without_a_time() {
        let at = Some(1_423_072_500_000);
        assert_eq!(
            one(LineFormat::Csv, "23.5, 600"),
            Ok(sample(None, &[23.5, 600.0]))
        );
        assert_eq!(
            one(LineFormat::Csv, "1423072500000,23.5,600\r"),
            Ok(sample(at, &[23.5, 600.0]))
        );
        for date in [
            "2015-02-04T17:55:00Z",
            "2015-02-04 17:55:00",
            "2015-02-04T18:55:00+01:00",
        ] {
            assert_eq!(
                one(LineFormat::Csv, &format!("\"{date}\",23.5,600")),
                Ok(sample(at, &[23.5, 600.0])),
                "{date}"
            );
        }
        assert_eq!(
            one(LineFormat::Json, "[23.5,600]"),
            Ok(sample(None, &[23.5, 600.0]))
        );
        let by_values = r#"{"time":1423072500000,"values":[23.5,600]}"#;
        assert_eq!(
            one(LineFormat::Json, by_values),
            Ok(sample(at, &[23.5, 600.0]))
        );
        let by_name = r#"{"CO2":600,"time":"2015-02-04T17:55:00Z","Temperature":23.5,"x":"y"}"#;
        assert_eq!(
            one(LineFormat::Json, by_name),
            Ok(sample(at, &[23.5, 600.0]))
        );
    }

    #[test]
    fn takes_empty_fields_and_null_as_missing() {
        for (format, line) in [
            (LineFormat::Csv, "23.5,"),
            (LineFormat::Csv, "23.5,NaN"),
            (LineFormat::Json, "[23.5,null]"),
        ] {
            let values = one(format, line).expect(line).expect("one reading").values;
            assert_eq!(values[0], 23.5);
            assert!(values[1].is_nan());
        }
    }

    #[test]
    fn a_header_names_fields_in_any_order_and_allows_an_unnamed_row_number() {
        let mut reader = LineReader::new(LineFormat::Csv, shape(1));
        assert_eq!(
            reader.take(r#""date","CO2","Humidity","Temperature","Occupancy""#),
            Ok(None)
        );
        let expected = Ok(sample(Some(1_423_072_500_000), &[23.5, 600.0]));
        assert_eq!(
            reader.take(r#""140","2015-02-04 17:55:00",600,27.2,23.5,1"#),
            expected
        );
        assert_eq!(reader.take("2015-02-04 17:55:00,600,27.2,23.5,1"), expected);
        let mut unnamed = LineReader::new(LineFormat::Csv, shape(1));
        let missing = Err(LineError::MissingChannel {
            channel: "Temperature".into(),
        });
        assert_eq!(unnamed.take("time,CO2"), missing);
        assert_eq!(unnamed.take("1000,600"), missing);
    }

    #[test]
    fn a_header_stays_when_the_model_changes() {
        let mut reader = LineReader::new(LineFormat::Csv, shape(1));
        assert_eq!(reader.take("CO2,Temperature,Light"), Ok(None));
        assert_eq!(reader.take("600,23.5,4"), Ok(sample(None, &[23.5, 600.0])));
        reader.reshape(Shape {
            steps: 1,
            channels: vec!["Light".into()],
        });
        assert_eq!(reader.take("600,23.5,4"), Ok(sample(None, &[4.0])));
    }

    #[test]
    fn says_what_is_wrong_with_a_line_and_goes_on() {
        let mut reader = LineReader::new(LineFormat::Csv, shape(1));
        assert_eq!(
            reader.take("1,2,3,4"),
            Err(LineError::FieldCount {
                channels: 2,
                got: 4
            })
        );
        assert_eq!(
            reader.take("23.5,6OO"),
            Err(LineError::NotANumber {
                field: "2".into(),
                text: "6OO".into()
            })
        );
        assert_eq!(
            reader.take("yesterday,23.5,600"),
            Err(LineError::NotATime {
                text: "yesterday".into()
            })
        );
        assert_eq!(reader.take("23.5,600"), Ok(sample(None, &[23.5, 600.0])));
        for broken in [
            "{",
            "3",
            "\"x\"",
            r#"{"values":[1]}"#,
            r#"{"CO2":1}"#,
            "[1,\"x\"]",
        ] {
            assert!(one(LineFormat::Json, broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn gathers_the_steps_of_one_model_input() {
        let mut reader = LineReader::new(LineFormat::Csv, shape(3));
        assert_eq!(reader.take("1000,1,2"), Ok(None));
        assert!(reader.take("broken").is_err());
        assert_eq!(reader.take("2000,3,4"), Ok(None));
        let expected = Ok(sample(Some(3000), &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
        assert_eq!(reader.take("3000,5,6"), expected);
        assert_eq!(reader.take("4000,7,8"), Ok(None));
    }

    #[test]
    fn reads_lines_past_one_that_is_too_long_or_not_text() {
        let mut bytes = b"first\r\n".to_vec();
        bytes.extend(std::iter::repeat_n(b'x', MAX_LINE_BYTES + 7));
        bytes.extend(b"\n\xFF\xFE\nlast without end");
        let mut stream = io::BufReader::with_capacity(100, &bytes[..]);
        let mut buffer = Vec::new();
        let mut next = || next_line(&mut stream, &mut buffer).expect("reading a slice cannot fail");
        assert_eq!(next(), Some(Ok("first\r".into())));
        assert_eq!(next(), Some(Err(LineError::TooLong)));
        assert_eq!(next(), Some(Err(LineError::NotText)));
        assert_eq!(next(), Some(Ok("last without end".into())));
        assert_eq!(next(), None);
    }
}
