//! Rows of a Parquet file with flat columns.
//!
//! The library panics on some damaged files where it should give an error; such a panic is caught
//! here and becomes the error it should have been.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use parquet::basic::{LogicalType, TimeUnit};
use parquet::errors::ParquetError;
use parquet::file::reader::FileReader;
use parquet::file::serialized_reader::SerializedFileReader;
use parquet::record::Field;
use parquet::record::reader::RowIter;
use sha2::{Digest, Sha256};

use super::source::{Cell, Row, file_error};
use super::{DataError, hex};

const MS_PER_DAY: i64 = 86_400_000;

/// A Parquet file, read row by row.
pub(super) struct ParquetSource {
    pub(super) columns: Vec<String>,
    pub(super) sha256: String,
    path: PathBuf,
    nanoseconds: Vec<bool>,
    rows: RowIter<'static>,
    line: u64,
}

impl ParquetSource {
    pub(super) fn open(path: &Path) -> Result<ParquetSource, DataError> {
        let sha256 = file_hash(path)?;
        let file = File::open(path).map_err(file_error(path))?;
        let reader = guarded(|| SerializedFileReader::new(file))
            .map_err(|message| format_error(path, 1, &message))?;
        let schema = reader.metadata().file_metadata().schema_descr_ptr();
        let fields = schema.root_schema().get_fields();
        if let Some(nested) = fields.iter().find(|field| !field.is_primitive()) {
            return Err(DataError::Format {
                path: path.to_owned(),
                line: 1,
                message: format!(
                    "the column \"{}\" is nested; expected flat columns of single values",
                    nested.name()
                ),
            });
        }
        let columns = fields.iter().map(|field| field.name().to_owned()).collect();
        let nanoseconds = schema
            .columns()
            .iter()
            .map(|column| is_nanoseconds(column.logical_type_ref()))
            .collect();
        let rows = RowIter::from_file_into(Box::new(reader));
        Ok(ParquetSource {
            columns,
            sha256,
            path: path.to_owned(),
            nanoseconds,
            rows,
            line: 0,
        })
    }

    pub(super) fn next_row(&mut self) -> Result<Option<Row>, DataError> {
        self.line += 1;
        let rows = &mut self.rows;
        let row = guarded(|| rows.next().transpose())
            .map_err(|message| format_error(&self.path, self.line, &message))?;
        let Some(row) = row else { return Ok(None) };
        let fields = row.into_columns().into_iter().zip(&self.nanoseconds);
        let cells = fields
            .map(|((_, field), &nanoseconds)| cell(field, nanoseconds))
            .collect();
        Ok(Some(Row {
            line: self.line,
            cells,
        }))
    }
}

fn is_nanoseconds(logical: Option<&LogicalType>) -> bool {
    matches!(logical, Some(LogicalType::Timestamp(timestamp)) if timestamp.unit == TimeUnit::NANOS)
}

fn cell(field: Field, nanoseconds: bool) -> Cell {
    match field {
        Field::Null => Cell::Null,
        Field::Bool(value) => Cell::Number(f64::from(u8::from(value))),
        Field::Byte(value) => Cell::Number(f64::from(value)),
        Field::Short(value) => Cell::Number(f64::from(value)),
        Field::Int(value) => Cell::Number(f64::from(value)),
        Field::Long(value) if nanoseconds => Cell::TimeMs(value.div_euclid(1_000_000)),
        Field::Long(value) => Cell::Number(value as f64),
        Field::UByte(value) => Cell::Number(f64::from(value)),
        Field::UShort(value) => Cell::Number(f64::from(value)),
        Field::UInt(value) => Cell::Number(f64::from(value)),
        Field::ULong(value) => Cell::Number(value as f64),
        Field::Float16(value) => Cell::Number(f64::from(value)),
        Field::Float(value) => Cell::Number(f64::from(value)),
        Field::Double(value) => Cell::Number(value),
        Field::Date(days) => Cell::TimeMs(i64::from(days) * MS_PER_DAY),
        Field::TimestampMillis(ms) => Cell::TimeMs(ms),
        Field::TimestampMicros(us) => Cell::TimeMs(us.div_euclid(1_000)),
        Field::Str(text) => Cell::Text(text),
        other => Cell::Text(other.to_string()),
    }
}

fn file_hash(path: &Path) -> Result<String, DataError> {
    use std::io::Read;
    let mut file = File::open(path).map_err(file_error(path))?;
    let mut hash = Sha256::new();
    let mut block = vec![0; 1 << 16];
    loop {
        let count = file.read(&mut block).map_err(file_error(path))?;
        if count == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(block.get(..count).unwrap_or_default());
    }
}

/// Runs a step of the library and gives its error, or its panic, as text.
fn guarded<T>(step: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(step)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("a page is damaged".to_owned()),
    }
}

fn format_error(path: &Path, line: u64, error: &str) -> DataError {
    let message =
        format!("not a readable Parquet file: {error}; expected a whole file with flat columns");
    DataError::Format {
        path: path.to_owned(),
        line,
        message,
    }
}
