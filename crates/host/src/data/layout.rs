//! Which column of a file is what, and rows to clean rows.

use std::path::{Path, PathBuf};

use super::findings::{Findings, finding};
use super::number::NumberFormat;
use super::report::{Finding, Rule, Severity};
use super::rows::{CleanRow, Groups};
use super::source::{Cell, Row};
use super::time::TimeReader;
use crate::recipe::{Column, ColumnKind, Policy, Recipe, Target, Value};

/// Where in a row of one file the values of the recipe stand.
pub(super) struct Layout<'r> {
    recipe: &'r Recipe,
    file: PathBuf,
    fields: usize,
    channels: Vec<Channel<'r>>,
    label: usize,
    label_nulls: Policy,
    group: Option<usize>,
    time: Option<usize>,
    time_reader: Option<TimeReader>,
    numbers: NumberFormat,
}

struct Channel<'r> {
    field: usize,
    column: &'r Column,
}

impl<'r> Layout<'r> {
    /// Finds the recipe's columns among `columns`; what is missing or not described is reported
    /// and gives `None`.
    pub(super) fn resolve(
        recipe: &'r Recipe,
        file: &Path,
        columns: &[String],
        findings: &mut Findings,
    ) -> Option<Layout<'r>> {
        let before = findings.errors();
        report_unknown(recipe, file, columns, findings);
        let mut find = |name: &str| find_column(name, file, columns, findings);
        let data = &recipe.data;
        let channel = |column: &'r Column, field| Channel { field, column };
        let channels = data
            .channels()
            .map(|column| channel(column, find(&column.name)))
            .collect();
        let label = find(&recipe.target.column);
        let group = column_of(recipe, ColumnKind::Group).map(|column| find(&column.name));
        let time = data.time.as_ref().map(|time| find(&time.column));
        let label_nulls = column_of(recipe, ColumnKind::Label).map(|column| column.nulls);
        (findings.errors() == before).then(|| Layout {
            recipe,
            file: file.to_owned(),
            fields: columns.len(),
            channels,
            label,
            label_nulls: label_nulls.unwrap_or_default(),
            group,
            time,
            time_reader: data.time.as_ref().map(TimeReader::new),
            numbers: NumberFormat::from(data),
        })
    }

    /// The clean row, or `None` when a rule drops or refuses it; every reason is reported.
    pub(super) fn clean(
        &self,
        row: &Row,
        groups: &mut Groups,
        findings: &mut Findings,
    ) -> Option<CleanRow> {
        if row.cells.len() != self.fields {
            findings.add(self.field_count(row));
            return None;
        }
        let mut reject = Reject {
            layout: self,
            line: row.line,
            findings,
            rejected: false,
        };
        let values = self
            .channels
            .iter()
            .map(|channel| reject.number(channel, row.cells.get(channel.field)))
            .collect();
        let label = reject.label(row.cells.get(self.label));
        let time_ms = reject.time(self.time.and_then(|field| row.cells.get(field)));
        let group = self
            .group
            .and_then(|field| row.cells.get(field))
            .map_or(0, |cell| groups.number(cell.show().trim()));
        (!reject.rejected).then_some(CleanRow {
            values,
            label,
            time_ms,
            group,
            line: row.line,
        })
    }

    fn field_count(&self, row: &Row) -> Finding {
        let (found, expected) = (row.cells.len(), self.fields);
        let advice = match found == expected + 1 {
            true => {
                "an unquoted separator, or a row number without a name (data.row_number = true)"
            }
            false => "a missing separator or an unclosed quote",
        };
        let message = format!("found {found} fields, expected {expected}; look for {advice}");
        let found = finding(&self.file, Rule::FieldCount, Severity::Error, message);
        Finding {
            line: Some(row.line),
            ..found
        }
    }

    fn is_null(&self, cell: &Cell) -> bool {
        match cell {
            Cell::Null => true,
            Cell::Number(number) => number.is_nan(),
            Cell::TimeMs(_) => false,
            Cell::Text(text) => self
                .recipe
                .data
                .null_values
                .iter()
                .any(|null| null == text.trim()),
        }
    }
}

/// Reads the fields of one row and notes whether a rule rejected one.
struct Reject<'a, 'r> {
    layout: &'a Layout<'r>,
    line: u64,
    findings: &'a mut Findings,
    rejected: bool,
}

impl Reject<'_, '_> {
    fn add(&mut self, column: &str, cell: &Cell, (rule, policy): (Rule, Policy), message: String) {
        let severity = match policy {
            Policy::Reject => Severity::Error,
            Policy::Drop => Severity::Dropped,
        };
        self.rejected = true;
        self.findings.add(Finding {
            line: Some(self.line),
            column: Some(column.to_owned()),
            value: Some(cell.show()),
            ..finding(&self.layout.file, rule, severity, message)
        });
    }

    fn number(&mut self, channel: &Channel<'_>, cell: Option<&Cell>) -> f32 {
        let column = channel.column;
        let cell = cell.unwrap_or(&Cell::Null);
        if self.layout.is_null(cell) {
            self.add(
                &column.name,
                cell,
                (Rule::Null, column.nulls),
                null_message("a number"),
            );
            return 0.0;
        }
        let parsed = match cell {
            Cell::Number(number) => Some(*number).filter(|number| number.is_finite()),
            Cell::Text(text) => self.layout.numbers.parse(text),
            Cell::Null | Cell::TimeMs(_) => None,
        };
        let Some(number) = parsed else {
            let message = self.number_message(cell);
            self.add(&column.name, cell, (Rule::Type, Policy::Reject), message);
            return 0.0;
        };
        let minimum = column.minimum.unwrap_or(f64::NEG_INFINITY);
        let maximum = column.maximum.unwrap_or(f64::INFINITY);
        if number < minimum || number > maximum {
            let message = format!("expected {minimum} to {maximum} {}", column.unit);
            self.add(
                &column.name,
                cell,
                (Rule::Range, column.out_of_range),
                message.trim_end().to_owned(),
            );
        }
        number as f32
    }

    fn number_message(&self, cell: &Cell) -> String {
        let shown = cell.show();
        if NumberFormat::is_not_finite(&shown) {
            return format!(
                "expected a finite number; correct it, or list \"{}\" in data.null_values if it stands for a missing value",
                shown.trim()
            );
        }
        format!(
            "expected a number with the decimal separator \"{}\"",
            self.layout.numbers.decimal
        )
    }

    fn label(&mut self, cell: Option<&Cell>) -> u32 {
        let target = &self.layout.recipe.target;
        let cell = cell.unwrap_or(&Cell::Null);
        if self.layout.is_null(cell) {
            self.add(
                &target.column,
                cell,
                (Rule::Null, self.layout.label_nulls),
                null_message("a label"),
            );
            return 0;
        }
        match label_of(target, cell, self.layout.numbers) {
            Some(label) => label,
            None => {
                self.add(
                    &target.column,
                    cell,
                    (Rule::Label, Policy::Reject),
                    expected_labels(target),
                );
                0
            }
        }
    }

    fn time(&mut self, cell: Option<&Cell>) -> i64 {
        let (Some(cell), Some(reader), Some(time)) = (
            cell,
            &self.layout.time_reader,
            &self.layout.recipe.data.time,
        ) else {
            return 0;
        };
        match reader.read(cell) {
            Some(ms) => ms,
            None => {
                let message = format!(
                    "expected a time as \"{}\"; set data.time.format in the recipe",
                    time.format
                );
                self.add(&time.column, cell, (Rule::Time, Policy::Reject), message);
                0
            }
        }
    }
}

fn label_of(target: &Target, cell: &Cell, numbers: NumberFormat) -> Option<u32> {
    let number = match cell {
        Cell::Number(number) => Some(*number),
        Cell::Text(text) => numbers.parse(text),
        Cell::Null | Cell::TimeMs(_) => None,
    };
    let text = cell.show();
    let position = if target.values.is_empty() {
        target.labels.iter().position(|label| label == text.trim())
    } else {
        target.values.iter().position(|value| match value {
            Value::Integer(integer) => number == Some(*integer as f64),
            Value::Text(value) => value == text.trim(),
        })
    };
    position.and_then(|position| u32::try_from(position).ok())
}

fn expected_labels(target: &Target) -> String {
    let values: Vec<String> = match target.values.is_empty() {
        true => target.labels.clone(),
        false => target.values.iter().map(show_value).collect(),
    };
    format!(
        "expected one of {}; see [target] in the recipe",
        values.join(", ")
    )
}

fn show_value(value: &Value) -> String {
    match value {
        Value::Integer(integer) => integer.to_string(),
        Value::Text(text) => text.clone(),
    }
}

fn null_message(what: &str) -> String {
    format!("a missing value, expected {what}; the recipe may drop such rows with nulls = \"drop\"")
}

fn column_of(recipe: &Recipe, kind: ColumnKind) -> Option<&Column> {
    recipe.data.column.iter().find(|column| column.kind == kind)
}

/// The field of a column; 0 and a finding when the file does not have it.
fn find_column(name: &str, file: &Path, columns: &[String], findings: &mut Findings) -> usize {
    let found = columns.iter().position(|column| column == name);
    if found.is_none() {
        findings.add(missing_column(file, name, columns));
    }
    found.unwrap_or_default()
}

fn missing_column(file: &Path, name: &str, columns: &[String]) -> Finding {
    let message = format!(
        "the recipe's column is not in the file, which has {}",
        columns.join(", ")
    );
    Finding {
        line: Some(1),
        column: Some(name.to_owned()),
        ..finding(file, Rule::Columns, Severity::Error, message)
    }
}

fn report_unknown(recipe: &Recipe, file: &Path, columns: &[String], findings: &mut Findings) {
    let described = |name: &String| {
        let time = recipe
            .data
            .time
            .as_ref()
            .is_some_and(|time| time.column == *name);
        time || recipe.target.column == *name
            || recipe.data.column.iter().any(|column| column.name == *name)
    };
    for name in columns.iter().filter(|name| !described(name)) {
        let message = "the recipe does not describe this column; add a [[data.column]], with kind = \"ignore\" if it is not used";
        let found = finding(file, Rule::Columns, Severity::Error, message);
        findings.add(Finding {
            line: Some(1),
            column: Some(name.clone()),
            ..found
        });
    }
}
