//! Clean rows of one part of the data, and their canonical hash.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::{Examples, InputSchema};
use crate::recipe::Window;

/// Rows that passed every rule, column by column; all vectors but `values` have one entry a row.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Rows {
    /// Values per row.
    pub(super) width: usize,
    pub(super) values: Vec<f32>,
    pub(super) labels: Vec<u32>,
    pub(super) time_ms: Vec<i64>,
    pub(super) group: Vec<u32>,
    /// Index of the file in the order of reading.
    pub(super) file: Vec<u32>,
    pub(super) line: Vec<u64>,
}

/// One row of [`Rows`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CleanRow {
    pub(crate) values: Vec<f32>,
    pub(crate) label: u32,
    pub(crate) time_ms: i64,
    pub(crate) group: u32,
    pub(crate) line: u64,
}

impl Rows {
    pub(crate) fn new(width: usize) -> Self {
        Rows {
            width,
            ..Rows::default()
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.labels.len()
    }

    pub(crate) fn push(&mut self, file: u32, row: CleanRow) {
        self.values.extend_from_slice(&row.values);
        self.labels.push(row.label);
        self.time_ms.push(row.time_ms);
        self.group.push(row.group);
        self.file.push(file);
        self.line.push(row.line);
    }

    pub(super) fn append(&mut self, other: Rows) {
        self.values.extend(other.values);
        self.labels.extend(other.labels);
        self.time_ms.extend(other.time_ms);
        self.group.extend(other.group);
        self.file.extend(other.file);
        self.line.extend(other.line);
    }

    pub(super) fn values(&self, row: usize) -> &[f32] {
        self.values
            .get(row * self.width..(row + 1) * self.width)
            .unwrap_or_default()
    }

    /// The rows at `order`, in that order; indices beyond the end are left out.
    pub(super) fn pick(&self, order: &[usize]) -> Rows {
        let mut picked = Rows::new(self.width);
        for &row in order.iter().filter(|&&row| row < self.len()) {
            picked.push(self.file[row], self.row(row));
        }
        picked
    }

    fn row(&self, row: usize) -> CleanRow {
        CleanRow {
            values: self.values(row).to_vec(),
            label: self.labels[row],
            time_ms: self.time_ms[row],
            group: self.group[row],
            line: self.line[row],
        }
    }

    /// The first half of a SHA-256 over time, group, values and label: equal rows have equal keys.
    pub(super) fn key(&self, row: usize) -> [u8; 16] {
        let mut hash = Sha256::new();
        self.hash_row(row, &mut hash);
        let digest = hash.finalize();
        std::array::from_fn(|byte| digest[byte])
    }

    fn hash_row(&self, row: usize, hash: &mut Sha256) {
        hash.update(self.time_ms[row].to_le_bytes());
        hash.update(self.group[row].to_le_bytes());
        hash.update(self.labels[row].to_le_bytes());
        for value in self.values(row) {
            hash.update(value.to_bits().to_le_bytes());
        }
    }
}

/// SHA-256 in hex over what the data says: steps, channels with units, labels, then each part with
/// its number of rows and every row (time, group, label, values; little-endian). Names and formats
/// of files are not in it.
pub(super) fn data_hash<'p>(
    schema: &InputSchema,
    labels: &[String],
    parts: impl IntoIterator<Item = &'p Rows>,
) -> String {
    let mut hash = Sha256::new();
    hash.update(b"dunlin-data-1\0");
    hash.update((schema.steps as u64).to_le_bytes());
    let channels = schema
        .channels
        .iter()
        .flat_map(|channel| [&channel.name, &channel.unit]);
    for text in channels.chain(labels) {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    }
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        (0..part.len()).for_each(|row| part.hash_row(row, &mut hash));
    }
    super::hex(&hash.finalize())
}

/// Names of groups to numbers, in the order of their first appearance.
#[derive(Debug, Default)]
pub(super) struct Groups {
    numbers: HashMap<String, u32>,
}

impl Groups {
    pub(super) fn number(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        let number = self.numbers.len() as u32;
        self.numbers.insert(name.to_owned(), number);
        number
    }
}

/// How rows become model inputs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Assembly {
    /// Rows per input and from one input to the next; `None` where each row is an input.
    pub(super) window: Option<Window>,
    /// The longest time from one row to the next within a window; `None` where rows carry no time.
    pub(super) longest_step_ms: Option<u64>,
}

/// The examples made of the rows at `chosen` (rising). A window spans neighbouring rows of one file
/// and group without a gap; rows left over at its end make none.
pub(super) fn examples(
    rows: &Rows,
    chosen: &[usize],
    assembly: Assembly,
    schema: InputSchema,
    labels: Vec<String>,
) -> Examples {
    let mut examples = Examples::new(schema, labels);
    let Window { steps, stride } = assembly.window.unwrap_or(Window {
        steps: 1,
        stride: 1,
    });
    let joined =
        |pair: &[usize]| matches!(pair, &[a, b] if follows(rows, a, b, assembly.longest_step_ms));
    for run in chosen.chunk_by(|&a, &b| assembly.window.is_some() && joined(&[a, b])) {
        for window in run.windows(steps).step_by(stride) {
            if let (Some(&first), Some(&last)) = (window.first(), window.last()) {
                window
                    .iter()
                    .for_each(|&row| examples.inputs.extend_from_slice(rows.values(row)));
                examples.labels.push(rows.labels[last]);
                examples.time_ms.push(rows.time_ms[first]);
                examples.group.push(rows.group[first]);
            }
        }
    }
    examples
}

fn follows(rows: &Rows, a: usize, b: usize, longest_step_ms: Option<u64>) -> bool {
    let near =
        longest_step_ms.is_none_or(|longest| rows.time_ms[b].abs_diff(rows.time_ms[a]) <= longest);
    b == a + 1 && rows.file[a] == rows.file[b] && rows.group[a] == rows.group[b] && near
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ChannelSchema;

    fn schema(steps: usize) -> InputSchema {
        let channel = ChannelSchema {
            name: "x".into(),
            unit: String::new(),
            minimum: 0.0,
            maximum: 100.0,
        };
        InputSchema {
            steps,
            channels: vec![channel],
            sample_period_ms: 10,
            stuck_after: 0,
        }
    }

    fn rows(times: &[i64]) -> Rows {
        let mut rows = Rows::new(1);
        for (index, &time_ms) in times.iter().enumerate() {
            let row = CleanRow {
                values: vec![index as f32],
                label: index as u32 % 2,
                time_ms,
                group: 0,
                line: index as u64 + 2,
            };
            rows.push(0, row);
        }
        rows
    }

    #[test]
    fn windows_do_not_span_gaps_and_take_the_last_label() {
        let rows = rows(&[0, 10, 20, 30, 100, 110, 120]);
        let assembly = Assembly {
            window: Some(Window {
                steps: 3,
                stride: 1,
            }),
            longest_step_ms: Some(15),
        };
        let chosen: Vec<usize> = (0..7).collect();
        let examples = examples(
            &rows,
            &chosen,
            assembly,
            schema(3),
            vec!["a".into(), "b".into()],
        );
        assert_eq!(
            examples.inputs,
            [0.0, 1.0, 2.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
        );
        assert_eq!(examples.labels, [0, 1, 0]);
        assert_eq!(examples.time_ms, [0, 10, 100]);
        assert_eq!(examples.input(1), Some(&[1.0, 2.0, 3.0][..]));
        assert_eq!(examples.input(3), None);
        assert_eq!(examples.label_counts(), [2, 1]);
    }

    #[test]
    fn each_row_is_an_input_without_windows() {
        let rows = rows(&[0, 10, 500]);
        let assembly = Assembly {
            window: None,
            longest_step_ms: Some(15),
        };
        let examples = examples(
            &rows,
            &[0, 2],
            assembly,
            schema(1),
            vec!["a".into(), "b".into()],
        );
        assert_eq!(examples.inputs, [0.0, 2.0]);
        assert_eq!(examples.len(), 2);
    }

    #[test]
    fn hash_follows_every_value_and_the_order_of_parts() {
        let (one, mut other) = (rows(&[0, 10]), rows(&[0, 10]));
        let labels = ["a".to_owned()];
        let hash = |parts: [&Rows; 2]| data_hash(&schema(1), &labels, parts);
        assert_eq!(hash([&one, &other]), hash([&other, &one]));
        other.values[1] = 1.5;
        assert_ne!(hash([&one, &other]), hash([&one, &one]));
        assert_ne!(hash([&one, &other]), hash([&other, &one]));
        assert_ne!(one.key(1), other.key(1));
        assert_eq!(one.key(0), other.key(0));
    }
}
