//! A proposal as a recipe.

use std::fmt::Write as _;

use super::{ColumnProposal, ColumnType, Proposal};
use crate::recipe::{Format, Period};

const DAY_MS: u64 = 86_400_000;
const HOUR_MS: u64 = 3_600_000;
const MINUTE_MS: u64 = 60_000;

impl Proposal {
    /// The `[data]` and `[target]` sections of a recipe for this file. Ranges are those seen,
    /// widened by a tenth; the sensor's own belong there.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = self.write_data(&mut text);
        text
    }

    /// A whole recipe for this file: [`Proposal::to_toml`] and defaults for the other sections.
    pub fn to_recipe(&self, name: &str) -> String {
        let period_ms = self
            .time
            .as_ref()
            .map_or(1000, |time| time.period_ms.max(1));
        let span_ms = self
            .time
            .as_ref()
            .map_or(0, |time| time.last_ms.abs_diff(time.first_ms));
        let window = [DAY_MS, HOUR_MS, MINUTE_MS]
            .into_iter()
            .find(|window| span_ms >= 4 * window && *window >= period_ms);
        let window = Period::from_ms(window.unwrap_or(period_ms));
        let split = if self.time.is_some() {
            "time"
        } else {
            "stratified"
        };
        format!(
            "name = {}\nversion = 1\n\n{}\n[split]\nkind = \"{split}\"\nvalidation = 0.2\ntest = 0.2\n\n\
             [[features]]\nkind = \"standardize\"\n\n[train]\nalgorithm = \"mlp\"\n\n\
             [monitor]\nwindow = \"{window}\"\nblock = \"{window}\"\nsample_period = \"{}\"\n",
            quoted(name),
            self.to_toml(),
            Period::from_ms(period_ms)
        )
    }

    fn write_data(&self, text: &mut String) -> std::fmt::Result {
        let format = if self.format == Format::Parquet {
            "parquet"
        } else {
            "csv"
        };
        writeln!(
            text,
            "[data]\nformat = \"{format}\"\nfiles = [{}]",
            quoted(&self.file.display().to_string())
        )?;
        if let Some(delimiter) = self.delimiter {
            writeln!(text, "delimiter = {}", quoted(&delimiter.to_string()))?;
            writeln!(
                text,
                "encoding = {}",
                quoted(self.encoding.as_deref().unwrap_or("utf-8"))
            )?;
            writeln!(text, "row_number = {}", self.row_number)?;
            writeln!(text, "decimal = \"{}\"", self.decimal)?;
        }
        if let Some(thousands) = self.thousands {
            writeln!(text, "thousands = \"{thousands}\"")?;
        }
        if let Some(time) = &self.time {
            writeln!(
                text,
                "\n[data.time]\ncolumn = {}\nformat = {}",
                quoted(&time.column),
                quoted(&time.format)
            )?;
            if time.backwards > 0 {
                writeln!(text, "order = \"sort\"")?;
            }
        }
        for column in &self.columns {
            self.write_column(text, column)?;
        }
        self.write_target(text)
    }

    fn write_column(&self, text: &mut String, column: &ColumnProposal) -> std::fmt::Result {
        let timed = self
            .time
            .as_ref()
            .is_some_and(|time| time.column == column.name);
        if timed || self.target.as_ref() == Some(&column.name) {
            return Ok(());
        }
        writeln!(text, "\n[[data.column]]\nname = {}", quoted(&column.name))?;
        let (Some(minimum), Some(maximum)) = (column.minimum, column.maximum) else {
            return writeln!(text, "kind = \"ignore\" # {}", column.kind.name());
        };
        if minimum == maximum {
            return writeln!(text, "kind = \"ignore\" # always {minimum}");
        }
        let range = widened(minimum, maximum);
        writeln!(text, "kind = \"number\"\nunit = \"\"")?;
        writeln!(text, "minimum = {} # seen {minimum}", range.minimum)?;
        writeln!(text, "maximum = {} # seen {maximum}", range.maximum)?;
        if column.nulls > 0 {
            writeln!(text, "nulls = \"drop\" # {} missing", column.nulls)?;
        }
        Ok(())
    }

    fn write_target(&self, text: &mut String) -> std::fmt::Result {
        let target = self
            .columns
            .iter()
            .find(|column| self.target.as_ref() == Some(&column.name));
        let Some(column) = target else {
            return writeln!(
                text,
                "\n[target]\ncolumn = \"\" # the column to tell\nlabels = []"
            );
        };
        let integer = column.kind == ColumnType::Integer;
        let value = |value: &String| match value.trim().parse::<f64>() {
            Ok(number) if integer => format!("{number}"),
            _ => quoted(value.trim()),
        };
        let values: Vec<String> = column
            .examples
            .iter()
            .map(|example| value(&example.value))
            .collect();
        let labels: Vec<String> = column
            .examples
            .iter()
            .map(|example| quoted(example.value.trim()))
            .collect();
        writeln!(text, "\n[target]\ncolumn = {}", quoted(&column.name))?;
        writeln!(
            text,
            "labels = [{}]\nvalues = [{}]",
            labels.join(", "),
            values.join(", ")
        )
    }
}

/// A range as texts.
struct Range {
    minimum: String,
    maximum: String,
}

/// The range widened by a tenth on each side, but not below 0 if it was not, and rounded outwards
/// to the first digit of that tenth.
fn widened(minimum: f64, maximum: f64) -> Range {
    let margin = (maximum - minimum) / 10.0;
    let exponent = margin.log10().floor();
    let step = 10_f64.powf(exponent);
    let digits = (-exponent).clamp(1.0, 17.0) as usize;
    let least = ((minimum - margin) / step).floor() * step;
    let least = if minimum >= 0.0 {
        least.max(0.0)
    } else {
        least
    };
    let greatest = ((maximum + margin) / step).ceil() * step;
    Range {
        minimum: format!("{least:.digits$}"),
        maximum: format!("{greatest:.digits$}"),
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
