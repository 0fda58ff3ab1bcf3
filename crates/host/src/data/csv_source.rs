//! Rows of a separated text file.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::source::{Cell, Row, TextFormat, file_error};
use super::{DataError, hex, text};

/// A separated text file, decoded and read row by row.
pub(super) struct CsvSource {
    pub(super) columns: Vec<String>,
    pub(super) sha256: String,
    /// The separator, given or detected.
    pub(super) delimiter: u8,
    /// Whether rows start with a number the header does not name.
    pub(super) row_number: bool,
    path: PathBuf,
    reader: csv::Reader<Cursor<String>>,
    record: csv::StringRecord,
    /// Line breaks before `counted_to`, counted by ourselves: with CRLF the library names the
    /// line before.
    lines: LineCounter,
}

struct LineCounter {
    offset: usize,
    line: u64,
}

impl LineCounter {
    fn line_at(&mut self, text: &str, offset: usize) -> u64 {
        let rest = text.as_bytes();
        let passed = rest.get(self.offset..offset).unwrap_or_default();
        self.line += passed.iter().filter(|&&byte| byte == b'\n').count() as u64;
        self.offset = self.offset.max(offset);
        let breaks = rest
            .get(offset..)
            .unwrap_or_default()
            .iter()
            .take_while(|byte| matches!(byte, b'\r' | b'\n'));
        self.line + breaks.filter(|&&byte| byte == b'\n').count() as u64
    }
}

impl CsvSource {
    pub(super) fn open(path: &Path, format: &TextFormat) -> Result<CsvSource, DataError> {
        let bytes = std::fs::read(path).map_err(file_error(path))?;
        let sha256 = hex(&Sha256::digest(&bytes));
        let text = text::decode(bytes, format.encoding.as_deref(), path)?;
        let delimiter = format
            .delimiter
            .unwrap_or_else(|| text::detect_delimiter(&text));
        let counts = text::field_counts(&text, delimiter);
        let reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(false)
            .flexible(true)
            .from_reader(Cursor::new(text));
        let mut source = CsvSource {
            columns: Vec::new(),
            sha256,
            delimiter,
            row_number: false,
            path: path.to_owned(),
            reader,
            record: csv::StringRecord::new(),
            lines: LineCounter { offset: 0, line: 1 },
        };
        source.read_header(format, &counts)?;
        Ok(source)
    }

    fn read_header(&mut self, format: &TextFormat, counts: &[usize]) -> Result<(), DataError> {
        if self.next_record()?.is_none() {
            return Err(self.format_error(
                1,
                "the file is empty; expected a header with the names of the columns",
            ));
        }
        self.columns = self
            .record
            .iter()
            .map(|name| name.trim().to_owned())
            .collect();
        let body = counts.get(1..).unwrap_or_default();
        let longer = body
            .iter()
            .filter(|&&count| count == self.columns.len() + 1)
            .count();
        let unnamed = self.columns.first().is_some_and(String::is_empty);
        self.row_number = format
            .row_number
            .unwrap_or(unnamed || longer * 2 > body.len());
        if self.row_number && !unnamed && longer == 0 && !body.is_empty() {
            let message = "data.row_number is true, but rows have no field without a name; expected one field more than the header";
            return Err(self.format_error(2, message));
        }
        if self.row_number && unnamed {
            self.columns.remove(0);
        }
        self.check_names()
    }

    fn check_names(&self) -> Result<(), DataError> {
        let numbers = self
            .columns
            .iter()
            .filter(|name| name.parse::<f64>().is_ok())
            .count();
        if self.columns.is_empty() || numbers * 2 > self.columns.len() {
            return Err(self.format_error(
                1,
                "the first line holds numbers; expected a header with the names of the columns",
            ));
        }
        for (index, name) in self.columns.iter().enumerate() {
            if self
                .columns
                .iter()
                .take(index)
                .any(|earlier| earlier == name)
            {
                let message = format!(
                    "two columns are named \"{name}\"; expected a name of its own for each"
                );
                return Err(self.format_error(1, &message));
            }
        }
        Ok(())
    }

    pub(super) fn next_row(&mut self) -> Result<Option<Row>, DataError> {
        let Some(line) = self.next_record()? else {
            return Ok(None);
        };
        let skip = usize::from(self.row_number);
        let cells = self
            .record
            .iter()
            .skip(skip)
            .map(|field| Cell::Text(field.to_owned()))
            .collect();
        Ok(Some(Row { line, cells }))
    }

    fn next_record(&mut self) -> Result<Option<u64>, DataError> {
        match self.reader.read_record(&mut self.record) {
            Ok(false) => Ok(None),
            Ok(true) => {
                let offset = self.record.position().map_or(0, |position| position.byte());
                let offset = usize::try_from(offset).unwrap_or(usize::MAX);
                let text = self.reader.get_ref().get_ref();
                Ok(Some(self.lines.line_at(text, offset)))
            }
            Err(error) => {
                let line = error.position().map_or(1, |position| position.line());
                Err(self.format_error(line, &error.to_string()))
            }
        }
    }

    fn format_error(&self, line: u64, message: &str) -> DataError {
        DataError::Format {
            path: self.path.clone(),
            line,
            message: message.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn open(content: &[u8], format: &TextFormat) -> Result<CsvSource, DataError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.csv");
        std::fs::write(&path, content).unwrap();
        CsvSource::open(&path, format)
    }

    fn rows(source: &mut CsvSource) -> Vec<(u64, Vec<String>)> {
        let next = || source.next_row().unwrap();
        std::iter::from_fn(next)
            .map(|row| (row.line, row.cells.iter().map(Cell::show).collect()))
            .collect()
    }

    fn texts(fields: &[&str]) -> Vec<String> {
        fields.iter().map(|field| field.to_string()).collect()
    }

    #[test]
    fn row_number_without_a_name_is_left_out() {
        let mut source = open(
            b"\"a\",\"b\"\n\"1\",2,3\n\"2\",4,5\n",
            &TextFormat::default(),
        )
        .unwrap();
        assert!(source.row_number);
        assert_eq!(source.columns, ["a", "b"]);
        assert_eq!(
            rows(&mut source),
            [(2, texts(&["2", "3"])), (3, texts(&["4", "5"]))]
        );
    }

    #[test]
    fn row_number_that_is_not_there_is_refused() {
        let format = TextFormat {
            row_number: Some(true),
            ..TextFormat::default()
        };
        let error = open(b"a,b\n1,2\n", &format).err().unwrap().to_string();
        assert!(
            error.contains("x.csv:2: data.row_number is true")
                && error.contains("expected one field more"),
            "{error}"
        );
    }

    #[test]
    fn row_number_with_an_empty_name_is_left_out() {
        let mut source = open(b"\"\",\"a\",\"b\"\n\"1\",2,3\n", &TextFormat::default()).unwrap();
        assert_eq!(source.columns, ["a", "b"]);
        assert_eq!(rows(&mut source), [(2, texts(&["2", "3"]))]);
    }

    #[test]
    fn lines_are_counted_through_crlf_blank_lines_and_breaks_in_quotes() {
        for newline in ["\n", "\r\n"] {
            let text = ["a,b", "1,2", "", "\"x\ny\",3", "4,5", ""].join(newline);
            let mut source = open(text.as_bytes(), &TextFormat::default()).unwrap();
            let lines: Vec<u64> = rows(&mut source).iter().map(|row| row.0).collect();
            assert_eq!(lines, [2, 4, 6], "{newline:?}");
        }
    }

    #[test]
    fn quotes_keep_separators_breaks_and_quotes() {
        let mut source = open(b"a,b\n\"x,\"\"y\"\"\nz\",2\n", &TextFormat::default()).unwrap();
        assert_eq!(rows(&mut source), [(2, texts(&["x,\"y\"\nz", "2"]))]);
    }

    #[test]
    fn files_without_a_header_are_refused() {
        for (content, expected) in [
            (&b""[..], "the file is empty"),
            (b"1,2\n3,4\n", "holds numbers"),
            (b"a,a\n1,2\n", "two columns are named \"a\""),
        ] {
            let error = open(content, &TextFormat::default())
                .err()
                .unwrap()
                .to_string();
            assert!(
                error.contains("x.csv:1: ")
                    && error.contains(expected)
                    && error.contains("expected a"),
                "{error}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_survives_quoting(table in prop::collection::vec(prop::collection::vec("[a-z ,;\"\r\n\té°€]{0,6}", 3), 1..12)) {
            let mut writer = csv::WriterBuilder::new().quote_style(csv::QuoteStyle::Always).from_writer(Vec::new());
            writer.write_record(["a", "b", "c"]).unwrap();
            for row in &table {
                writer.write_record(row).unwrap();
            }
            let bytes = writer.into_inner().unwrap();
            let format = TextFormat { delimiter: Some(b','), ..TextFormat::default() };
            let read: Vec<Vec<String>> = rows(&mut open(&bytes, &format).unwrap()).into_iter().map(|row| row.1).collect();
            prop_assert_eq!(read, table);
        }
    }
}
