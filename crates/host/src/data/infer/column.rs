//! What the values of one column have in common.

use std::collections::BTreeMap;

use serde::Serialize;

use super::NUMBER_FORMATS;
use crate::data::number::NumberFormat;
use crate::data::source::Cell;
use crate::data::time::TimeReader;

/// Distinct values are counted up to here.
pub(super) const MOST_DISTINCT: usize = 1000;

/// Texts taken for a missing value.
const NULLS: [&str; 8] = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "?"];

/// Formats of times, the more exact before the less.
const TIME_FORMATS: [&str; 16] = [
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%SZ",
    "%Y-%m-%dT%H:%M:%S%.fZ",
    "%Y-%m-%dT%H:%M:%S%:z",
    "%Y-%m-%d %H:%M:%S%:z",
    "%Y-%m-%d %H:%M",
    "%Y/%m/%d %H:%M:%S",
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d/%m/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M:%S",
    "%Y-%m-%d",
    "%d.%m.%Y",
];

/// Parts of names of columns that hold a time.
const TIME_NAMES: [&str; 4] = ["time", "date", "ts", "epoch"];

/// What the values of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnType {
    /// No value at all.
    Empty,
    /// Whole numbers.
    Integer,
    /// Numbers.
    Number,
    /// Times.
    Time,
    /// Anything else.
    Text,
}

impl ColumnType {
    /// The name in proposals.
    pub fn name(self) -> &'static str {
        match self {
            ColumnType::Empty => "empty",
            ColumnType::Integer => "integer",
            ColumnType::Number => "number",
            ColumnType::Time => "time",
            ColumnType::Text => "text",
        }
    }
}

/// What one column holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ColumnProposal {
    /// The name in the header.
    pub name: String,
    /// What the values are.
    pub kind: ColumnType,
    /// Values that are there.
    pub values: u64,
    /// Values that are missing.
    pub nulls: u64,
    /// Distinct values, counted up to 1000.
    pub distinct: usize,
    /// The least number.
    pub minimum: Option<f64>,
    /// The greatest number.
    pub maximum: Option<f64>,
    /// The mean of the numbers.
    pub mean: Option<f64>,
    /// Up to ten values with how often they stand there, in order of the values.
    pub examples: Vec<ValueCount>,
}

/// How often a value stands in a column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ValueCount {
    /// The value as it stands in the file.
    pub value: String,
    /// How often.
    pub count: u64,
}

/// What is still possible for a column after the values seen.
pub(super) struct Survey {
    pub(super) field: usize,
    pub(super) name: String,
    values: u64,
    nulls: u64,
    counts: BTreeMap<String, u64>,
    numeric: [bool; NUMBER_FORMATS.len()],
    integer: bool,
    times: Vec<Candidate>,
    unix_ms: bool,
    unix: bool,
    typed_time: bool,
}

struct Candidate {
    format: &'static str,
    reader: TimeReader,
}

impl Survey {
    pub(super) fn new(field: usize, name: &str) -> Self {
        let candidate = |format: &'static str| Candidate {
            format,
            reader: TimeReader::utc(format),
        };
        let lower = name.to_ascii_lowercase();
        let named_time = TIME_NAMES.iter().any(|part| lower.contains(part)) || lower == "t";
        Survey {
            field,
            name: name.to_owned(),
            values: 0,
            nulls: 0,
            counts: BTreeMap::new(),
            numeric: [true; NUMBER_FORMATS.len()],
            integer: true,
            times: TIME_FORMATS.into_iter().map(candidate).collect(),
            unix_ms: named_time,
            unix: named_time,
            typed_time: true,
        }
    }

    pub(super) fn see(&mut self, cell: &Cell) {
        let shown = cell.show();
        if matches!(cell, Cell::Null) || NULLS.contains(&shown.trim()) {
            self.nulls += 1;
            return;
        }
        self.values += 1;
        if self.counts.len() < MOST_DISTINCT || self.counts.contains_key(&shown) {
            *self.counts.entry(shown).or_default() += 1;
        }
        for (numeric, format) in self.numeric.iter_mut().zip(NUMBER_FORMATS) {
            *numeric = *numeric && number(cell, format).is_some();
        }
        let value = number(cell, NUMBER_FORMATS[0]);
        self.integer = self.integer && value.is_some_and(|value| value.fract() == 0.0);
        self.unix = self.unix && value.is_some_and(|value| (1e8..1e10).contains(&value));
        self.unix_ms = self.unix_ms && value.is_some_and(|value| (1e11..1e13).contains(&value));
        self.typed_time = self.typed_time && matches!(cell, Cell::TimeMs(_));
        let text = matches!(cell, Cell::Text(_));
        self.times
            .retain(|candidate| text && candidate.reader.read(cell).is_some());
    }

    pub(super) fn is_number(&self, format: NumberFormat) -> bool {
        let numeric = NUMBER_FORMATS
            .iter()
            .zip(self.numeric)
            .find(|(other, _)| **other == format);
        self.values > 0 && numeric.is_some_and(|(_, numeric)| numeric)
    }

    /// The format of the column's times; `None` when it holds none.
    pub(super) fn time_format(&self, numbers: NumberFormat) -> Option<&'static str> {
        let by_number = match (self.unix, self.unix_ms) {
            (true, _) => Some("unix"),
            (_, true) => Some("unix_ms"),
            _ => None,
        };
        match self.values {
            0 => None,
            _ if self.typed_time => Some(TIME_FORMATS[0]),
            _ if by_number.is_some() => by_number,
            _ if self.is_number(numbers) => None,
            _ => self.times.first().map(|candidate| candidate.format),
        }
    }

    pub(super) fn proposal(&self, numbers: NumberFormat) -> ColumnProposal {
        let kind = match () {
            () if self.values == 0 => ColumnType::Empty,
            () if self.time_format(numbers).is_some() => ColumnType::Time,
            () if self.integer => ColumnType::Integer,
            () if self.is_number(numbers) => ColumnType::Number,
            () => ColumnType::Text,
        };
        let example = |(value, &count): (&String, &u64)| ValueCount {
            value: value.clone(),
            count,
        };
        ColumnProposal {
            name: self.name.clone(),
            kind,
            values: self.values,
            nulls: self.nulls,
            distinct: self.counts.len(),
            minimum: None,
            maximum: None,
            mean: None,
            examples: self.counts.iter().take(10).map(example).collect(),
        }
    }
}

/// The number in a cell.
pub(super) fn number(cell: &Cell, format: NumberFormat) -> Option<f64> {
    match cell {
        Cell::Number(number) => Some(*number).filter(|number| number.is_finite()),
        Cell::Text(text) => format.parse(text),
        Cell::Null | Cell::TimeMs(_) => None,
    }
}
