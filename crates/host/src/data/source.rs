//! Rows of a file, whatever its format.

use std::path::{Path, PathBuf};

use super::DataError;
use super::csv_source::CsvSource;
use super::parquet_source::ParquetSource;
use crate::recipe::{Data, Format};

/// One field of a row.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Null,
    Text(String),
    Number(f64),
    /// Milliseconds since 1970-01-01 UTC.
    TimeMs(i64),
}

impl Cell {
    /// The value as it stands in the file, or close to it.
    pub(super) fn show(&self) -> String {
        match self {
            Cell::Null => String::new(),
            Cell::Text(text) => text.clone(),
            Cell::Number(number) => number.to_string(),
            Cell::TimeMs(ms) => super::time::show(*ms),
        }
    }
}

/// One row: a field per column, or more or fewer if the file is broken there.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// The line of a text file or the row of a Parquet file, from 1.
    pub(super) line: u64,
    pub(super) cells: Vec<Cell>,
}

/// A file that is being read from front to back.
pub(super) enum Source {
    Csv(Box<CsvSource>),
    Parquet(Box<ParquetSource>),
}

impl Source {
    /// Opens `path`. Cost: a CSV file is read whole into memory, a Parquet file by row groups.
    pub(super) fn open(path: &Path, data: &Data) -> Result<Source, DataError> {
        Source::open_as(path, data.format, &TextFormat::from(data))
    }

    pub(super) fn open_as(
        path: &Path,
        format: Format,
        text: &TextFormat,
    ) -> Result<Source, DataError> {
        Ok(match format {
            Format::Parquet => Source::Parquet(Box::new(ParquetSource::open(path)?)),
            Format::Csv | Format::Simulated => Source::Csv(Box::new(CsvSource::open(path, text)?)),
        })
    }

    /// The separator of a text file.
    pub(super) fn delimiter(&self) -> Option<u8> {
        match self {
            Source::Csv(source) => Some(source.delimiter),
            Source::Parquet(_) => None,
        }
    }

    /// Whether rows start with a number the header does not name.
    pub(super) fn row_number(&self) -> bool {
        matches!(self, Source::Csv(source) if source.row_number)
    }

    /// The names of the columns; a leading unnamed row number is left out.
    pub(super) fn columns(&self) -> &[String] {
        match self {
            Source::Csv(source) => &source.columns,
            Source::Parquet(source) => &source.columns,
        }
    }

    /// SHA-256 of the file's bytes in hex.
    pub(super) fn sha256(&self) -> &str {
        match self {
            Source::Csv(source) => &source.sha256,
            Source::Parquet(source) => &source.sha256,
        }
    }

    pub(super) fn next_row(&mut self) -> Result<Option<Row>, DataError> {
        match self {
            Source::Csv(source) => source.next_row(),
            Source::Parquet(source) => source.next_row(),
        }
    }
}

/// How a text file is written; what is absent is detected.
#[derive(Debug, Clone, Default)]
pub(super) struct TextFormat {
    pub(super) delimiter: Option<u8>,
    pub(super) encoding: Option<String>,
    pub(super) row_number: Option<bool>,
}

impl From<&Data> for TextFormat {
    fn from(data: &Data) -> Self {
        TextFormat {
            delimiter: data
                .delimiter
                .and_then(|delimiter| u8::try_from(delimiter).ok()),
            encoding: data.encoding.clone(),
            row_number: data.row_number,
        }
    }
}

/// A file error with its path.
pub(super) fn file_error(path: &Path) -> impl FnOnce(std::io::Error) -> DataError {
    let path: PathBuf = path.to_owned();
    move |source| DataError::File { path, source }
}
