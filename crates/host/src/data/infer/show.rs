//! A proposal for people: a table in comments, then a recipe, so that the whole is a recipe too.

use std::fmt;
use std::fmt::Write as _;

use super::column::MOST_DISTINCT;
use super::{ColumnProposal, Proposal, TimeProposal};
use crate::data::time::show;
use crate::recipe::Period;

const HEADINGS: [&str; 7] = [
    "column", "type", "missing", "distinct", "minimum", "mean", "maximum",
];

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.summary().lines() {
            writeln!(f, "{}", format!("# {line}").trim_end())?;
        }
        write!(f, "\n{}", self.to_recipe(&self.model_name()))
    }
}

impl Proposal {
    /// What the file holds: its layout, a table of its columns, its times and a candidate target.
    pub fn summary(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = self.write_summary(&mut text);
        text
    }

    fn write_summary(&self, text: &mut String) -> fmt::Result {
        writeln!(
            text,
            "{}: {} rows, {}",
            self.file.display(),
            self.rows,
            self.layout()
        )?;
        if self.broken_rows > 0 {
            let fields = self.columns.len();
            writeln!(
                text,
                "{} rows do not have {fields} fields and are left out here",
                self.broken_rows
            )?;
        }
        writeln!(text)?;
        write_table(text, &self.columns)?;
        writeln!(text)?;
        match &self.time {
            Some(time) => write_time(text, time)?,
            None => writeln!(text, "time: no column of times found")?,
        }
        match &self.target {
            Some(target) => {
                let classes = self.classes(target);
                writeln!(
                    text,
                    "target: \"{target}\" has few values and none missing: {classes}"
                )
            }
            None => writeln!(text, "target: no column with 2 to 10 values found"),
        }
    }

    /// The file's name in the characters a model's name may have.
    fn model_name(&self) -> String {
        let stem = self
            .file
            .file_stem()
            .map(|stem| stem.to_string_lossy().to_ascii_lowercase());
        let allowed = |c: char| {
            if c.is_ascii_lowercase() || c.is_ascii_digit() {
                c
            } else {
                '-'
            }
        };
        let name: String = stem
            .unwrap_or_default()
            .chars()
            .map(allowed)
            .take(32)
            .collect();
        if name.is_empty() {
            "model".to_owned()
        } else {
            name
        }
    }

    fn layout(&self) -> String {
        let Some(delimiter) = self.delimiter else {
            return "Parquet".to_owned();
        };
        let number = if self.row_number {
            ", a leading row number without a name"
        } else {
            ""
        };
        let encoding = self.encoding.as_deref().unwrap_or("utf-8");
        format!(
            "separated by {delimiter:?}, {encoding}, decimal separator {:?}{number}",
            self.decimal
        )
    }

    fn classes(&self, target: &str) -> String {
        let column = self.columns.iter().find(|column| column.name == target);
        let examples = column
            .map(|column| column.examples.as_slice())
            .unwrap_or_default();
        examples
            .iter()
            .map(|example| format!("{} ({})", example.value, example.count))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

fn write_table(f: &mut String, columns: &[ColumnProposal]) -> fmt::Result {
    let rows: Vec<[String; 7]> = std::iter::once(HEADINGS.map(str::to_owned))
        .chain(columns.iter().map(cells))
        .collect();
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; 7] = std::array::from_fn(width);
    for row in &rows {
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            let gap = if column == 0 { "" } else { "  " };
            if column < 2 {
                write!(f, "{gap}{cell:<width$}")?
            } else {
                write!(f, "{gap}{cell:>width$}")?
            }
        }
        writeln!(f)?;
    }
    Ok(())
}

fn cells(column: &ColumnProposal) -> [String; 7] {
    let number = |value: Option<f64>| value.map(short).unwrap_or_default();
    let more = if column.distinct >= MOST_DISTINCT {
        "+"
    } else {
        ""
    };
    [
        column.name.clone(),
        column.kind.name().to_owned(),
        column.nulls.to_string(),
        format!("{}{more}", column.distinct),
        number(column.minimum),
        number(column.mean),
        number(column.maximum),
    ]
}

/// A number with about five significant digits.
fn short(value: f64) -> String {
    let digits = if value == 0.0 {
        0
    } else {
        (4.0 - value.abs().log10().floor()).clamp(0.0, 12.0) as usize
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

fn write_time(f: &mut String, time: &TimeProposal) -> fmt::Result {
    let period = Period::from_ms(time.period_ms);
    writeln!(
        f,
        "time: \"{}\" as \"{}\", {} to {}, every {period}; {} gaps (longest step {} s), {} steps backwards, {} duplicates",
        time.column,
        time.format,
        show(time.first_ms),
        show(time.last_ms),
        time.gaps,
        time.longest_step_ms as f64 / 1000.0,
        time.backwards,
        time.duplicates
    )
}
