//! A proposal for people.

use std::fmt;

use super::column::MOST_DISTINCT;
use super::{ColumnProposal, Proposal, TimeProposal};
use crate::data::time::show;
use crate::recipe::Period;

const HEADINGS: [&str; 7] = [
    "column", "type", "missing", "distinct", "minimum", "mean", "maximum",
];

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {} rows, {}",
            self.file.display(),
            self.rows,
            self.layout()
        )?;
        if self.broken_rows > 0 {
            writeln!(
                f,
                "{} rows do not have {} fields and are left out here",
                self.broken_rows,
                self.columns.len()
            )?;
        }
        writeln!(f)?;
        write_table(f, &self.columns)?;
        writeln!(f)?;
        match &self.time {
            Some(time) => write_time(f, time)?,
            None => writeln!(f, "time: no column of times found")?,
        }
        match &self.target {
            Some(target) => writeln!(
                f,
                "target: \"{target}\" has few values and none missing: {}",
                self.classes(target)
            ),
            None => writeln!(f, "target: no column with 2 to 10 values found"),
        }
    }
}

impl Proposal {
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

fn write_table(f: &mut fmt::Formatter<'_>, columns: &[ColumnProposal]) -> fmt::Result {
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

fn write_time(f: &mut fmt::Formatter<'_>, time: &TimeProposal) -> fmt::Result {
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
