//! Bytes to text, and how a separated text is laid out.

use std::path::Path;

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

use super::DataError;

const DELIMITERS: [u8; 4] = *b",;\t|";
const SAMPLED_ROWS: usize = 50;

/// Decodes a whole file. A byte order mark decides before `label`, and `label` before UTF-8.
/// Cost: none for UTF-8 beyond one pass, otherwise a copy.
pub(super) fn decode(
    bytes: Vec<u8>,
    label: Option<&str>,
    path: &Path,
) -> Result<String, DataError> {
    let mark = Encoding::for_bom(&bytes);
    let named = label.and_then(|label| Encoding::for_label(label.as_bytes()));
    let (encoding, skip) = mark.unwrap_or((named.unwrap_or(UTF_8), 0));
    if encoding == UTF_8 {
        return utf8(bytes, skip, path);
    }
    let body = bytes.get(skip..).unwrap_or_default();
    match encoding.decode_without_bom_handling_and_without_replacement(body) {
        Some(text) => Ok(text.into_owned()),
        None => Err(DataError::Encoding {
            path: path.to_owned(),
            line: first_bad_line(encoding, body),
            encoding: encoding.name().to_owned(),
        }),
    }
}

fn utf8(mut bytes: Vec<u8>, skip: usize, path: &Path) -> Result<String, DataError> {
    bytes.drain(..skip);
    String::from_utf8(bytes).map_err(|error| {
        let good = error
            .as_bytes()
            .get(..error.utf8_error().valid_up_to())
            .unwrap_or_default();
        DataError::Encoding {
            path: path.to_owned(),
            line: 1 + newlines(good),
            encoding: UTF_8.name().to_owned(),
        }
    })
}

/// The first character that no text holds, and its line: a control character that is neither a tab nor a break.
pub(super) fn first_control(text: &str) -> Option<(u64, char)> {
    let control = |c: char| c < ' ' && !matches!(c, '\t' | '\n' | '\r' | '\x0c');
    let (place, found) = text.char_indices().find(|&(_, c)| control(c))?;
    let before = text.get(..place).unwrap_or_default();
    Some((1 + newlines(before.as_bytes()), found))
}

fn first_bad_line(encoding: &'static Encoding, body: &[u8]) -> u64 {
    let (text, _) = encoding.decode_without_bom_handling(body);
    let good = text.split('\u{FFFD}').next().unwrap_or_default();
    1 + newlines(good.as_bytes())
}

fn newlines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|&&byte| byte == b'\n').count() as u64
}

/// The encoding a file without a recipe is likely to have: that of its mark, UTF-8 if it is valid,
/// UTF-16 if every other byte is nearly always 0, otherwise windows-1252.
pub(super) fn detect_encoding(bytes: &[u8]) -> &'static Encoding {
    if let Some((encoding, _)) = Encoding::for_bom(bytes) {
        return encoding;
    }
    let zeros = |offset: usize| {
        bytes
            .iter()
            .skip(offset)
            .step_by(2)
            .filter(|&&byte| byte == 0)
            .count()
    };
    let most = bytes.len() * 2 / 5;
    match (zeros(0), zeros(1)) {
        (_, odd) if odd > most => encoding_rs::UTF_16LE,
        (even, _) if even > most => encoding_rs::UTF_16BE,
        _ if std::str::from_utf8(bytes).is_ok() => UTF_8,
        _ => WINDOWS_1252,
    }
}

/// The separator with which most of the first rows have the same number of fields, and many.
pub(super) fn detect_delimiter(text: &str) -> u8 {
    let score = |delimiter: u8| {
        let counts = field_counts(text, delimiter);
        let body = counts.get(1..).unwrap_or_default();
        let usual = most_frequent(body).or(counts.first().copied()).unwrap_or(0);
        let regular = counts
            .iter()
            .filter(|&&count| count == usual || count + 1 == usual)
            .count();
        if usual < 2 { 0 } else { regular * 1000 + usual }
    };
    DELIMITERS
        .into_iter()
        .rev()
        .max_by_key(|&delimiter| score(delimiter))
        .unwrap_or(b',')
}

/// Fields per row of the first rows, the header's first.
pub(super) fn field_counts(text: &str, delimiter: u8) -> Vec<usize> {
    let reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes());
    reader
        .into_byte_records()
        .take(SAMPLED_ROWS)
        .filter_map(|row| row.ok().map(|row| row.len()))
        .collect()
}

fn most_frequent(counts: &[usize]) -> Option<usize> {
    counts
        .iter()
        .copied()
        .max_by_key(|count| counts.iter().filter(|&other| other == count).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8], label: Option<&str>) -> String {
        decode(bytes.to_vec(), label, Path::new("x.csv")).unwrap()
    }

    fn utf16(text: &str, little: bool) -> Vec<u8> {
        let unit = |unit: u16| {
            if little {
                unit.to_le_bytes()
            } else {
                unit.to_be_bytes()
            }
        };
        text.encode_utf16().flat_map(unit).collect()
    }

    #[test]
    fn marks_decide_the_encoding() {
        assert_eq!(decoded(b"\xEF\xBB\xBFa,b", Some("windows-1252")), "a,b");
        assert_eq!(
            decoded(&[b"\xFF\xFE".to_vec(), utf16("°C,é", true)].concat(), None),
            "°C,é"
        );
        assert_eq!(
            decoded(&[b"\xFE\xFF".to_vec(), utf16("°C,é", false)].concat(), None),
            "°C,é"
        );
    }

    #[test]
    fn named_encodings_are_decoded() {
        assert_eq!(decoded(b"\xB0C,\x80", Some("windows-1252")), "°C,€");
        assert_eq!(decoded(&utf16("°C", true), Some("utf-16le")), "°C");
    }

    #[test]
    fn bytes_outside_the_encoding_are_refused_with_their_line() {
        let error = decode(b"a\nb\n\xB0C\n".to_vec(), None, Path::new("x.csv"))
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("x.csv:3: not valid UTF-8") && error.contains("windows-1252"),
            "{error}"
        );
        let lone = [utf16("a\n", true), vec![0x00, 0xD8], utf16("b", true)].concat();
        let error = decode(lone, Some("utf-16le"), Path::new("x.csv"))
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("x.csv:2: not valid UTF-16LE"), "{error}");
    }

    #[test]
    fn control_characters_are_no_text() {
        assert_eq!(first_control("a\tb\r\n1,2\x0c\n"), None);
        assert_eq!(first_control("a\n\nb\0c\x01"), Some((3, '\0')));
    }

    #[test]
    fn encodings_are_told_apart() {
        assert_eq!(detect_encoding("a,é".as_bytes()), UTF_8);
        assert_eq!(detect_encoding(b"a,\xE9"), WINDOWS_1252);
        assert_eq!(
            detect_encoding(&utf16("a,b,c", true)),
            encoding_rs::UTF_16LE
        );
        assert_eq!(
            detect_encoding(&utf16("a,b,c", false)),
            encoding_rs::UTF_16BE
        );
    }

    #[test]
    fn separators_are_told_apart() {
        assert_eq!(detect_delimiter("a,b\n1,2\n"), b',');
        assert_eq!(detect_delimiter("a;b\n1,5;2,5\n3,5;4,5\n"), b';');
        assert_eq!(detect_delimiter("a\tb\n1\t2\n"), b'\t');
        assert_eq!(detect_delimiter("a|b\n1|2\n"), b'|');
        assert_eq!(
            detect_delimiter("date,x\n1,2015-02-02 14:19:00,3\n2,2015-02-02 14:20:00,4\n"),
            b','
        );
        assert_eq!(detect_delimiter("alone\n1\n"), b',');
    }
}
