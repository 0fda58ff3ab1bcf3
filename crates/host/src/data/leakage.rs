//! Whether what judges the model has been seen by it.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::findings::{Findings, finding};
use super::report::{Finding, Rule, Severity};
use super::rows::Rows;
use super::time::show;
use crate::recipe::{Recipe, SplitKind};

/// Name of the part that trains.
pub(super) const TRAIN: &str = "train";

/// Name of the part that tunes.
pub(super) const VALIDATION: &str = "validation";

/// Rows of one part, by their place in the tables they come from.
pub(super) struct Part<'a> {
    pub(super) name: &'a str,
    pub(super) rows: &'a Rows,
    pub(super) chosen: &'a [usize],
    /// Names of the files by [`Rows::file`].
    pub(super) files: &'a [String],
}

impl Part<'_> {
    fn place(&self, row: usize) -> String {
        let file = usize::try_from(self.rows.file[row])
            .ok()
            .and_then(|file| self.files.get(file));
        format!(
            "{}:{}",
            file.map_or("data", String::as_str),
            self.rows.line[row]
        )
    }

    /// Adds a finding about a row, or about the part as a whole.
    fn add(
        &self,
        (rule, severity): (Rule, Severity),
        row: Option<usize>,
        message: String,
        findings: &mut Findings,
    ) {
        let of_row = row.or(self.chosen.first().copied());
        let file = of_row.and_then(|row| self.files.get(self.rows.file[row] as usize));
        let name = Path::new(file.map_or("data", String::as_str));
        findings.add(Finding {
            line: row.map(|row| self.rows.line[row]),
            ..finding(name, rule, severity, message)
        });
    }

    fn span(&self) -> Option<(i64, i64)> {
        let times = || self.chosen.iter().map(|&row| self.rows.time_ms[row]);
        Some((times().min()?, times().max()?))
    }
}

/// Compares every part with every later one: same rows, same time, same groups. A row is the same
/// when its time, group, label and values are. Cost: linear in rows.
pub(super) fn check(recipe: &Recipe, parts: &[Part<'_>], findings: &mut Findings) {
    for (index, later) in parts.iter().enumerate() {
        for earlier in parts.iter().take(index) {
            shared_rows(recipe, earlier, later, findings);
            shared_time(recipe, earlier, later, findings);
            shared_groups(recipe, earlier, later, findings);
        }
    }
}

fn shared_rows(recipe: &Recipe, earlier: &Part, later: &Part, findings: &mut Findings) {
    let known: HashMap<[u8; 16], usize> = earlier
        .chosen
        .iter()
        .map(|&row| (earlier.rows.key(row), row))
        .collect();
    let severity = if recipe.data.time.is_some() {
        Severity::Error
    } else {
        Severity::Warning
    };
    for &row in later.chosen {
        if let Some(&same) = known.get(&later.rows.key(row)) {
            let message = format!(
                "the {} part has the same row as the {} part, at {}; expected each row in one part",
                later.name,
                earlier.name,
                earlier.place(same)
            );
            later.add((Rule::SharedRow, severity), Some(row), message, findings);
        }
    }
}

/// Times that two parts both cover. Chosen days of validation may lie between those of training;
/// whole days are then what keeps the two apart.
fn shared_time(recipe: &Recipe, earlier: &Part, later: &Part, findings: &mut Findings) {
    let split = &recipe.split;
    let days = !split.validation_days.is_empty() && later.name == VALIDATION;
    if recipe.data.time.is_none() || split.kind == SplitKind::Group || days {
        return;
    }
    let (Some((first, last)), Some((from, to))) = (earlier.span(), later.span()) else {
        return;
    };
    if from > last || first > to {
        return;
    }
    let (severity, advice) = match split.kind {
        SplitKind::Time => (Severity::Error, "expected parts that do not overlap"),
        _ => (
            Severity::Warning,
            "neighbouring rows resemble each other, so the score flatters; consider split.kind = \"time\"",
        ),
    };
    let message = format!(
        "the {} part ({} to {}) and the {} part ({} to {}) cover the same time; {advice}",
        earlier.name,
        show(first),
        show(last),
        later.name,
        show(from),
        show(to)
    );
    later.add((Rule::TimeOverlap, severity), None, message, findings);
}

fn shared_groups(recipe: &Recipe, earlier: &Part, later: &Part, findings: &mut Findings) {
    let groups: HashSet<u32> = earlier
        .chosen
        .iter()
        .map(|&row| earlier.rows.group[row])
        .collect();
    let mut told = HashSet::new();
    if !groups_are_known(recipe) || recipe.split.kind == SplitKind::Time {
        return;
    }
    let severity = if recipe.split.kind == SplitKind::Group {
        Severity::Error
    } else {
        Severity::Warning
    };
    for &row in later.chosen {
        let group = later.rows.group[row];
        if groups.contains(&group) && told.insert(group) {
            let message = format!(
                "the {} part has rows of a group that the {} part has too; expected whole groups in one part (split.kind = \"group\")",
                later.name, earlier.name
            );
            later.add((Rule::SharedGroup, severity), Some(row), message, findings);
        }
    }
}

fn groups_are_known(recipe: &Recipe) -> bool {
    use crate::recipe::{ColumnKind, Format};
    recipe.data.format == Format::Simulated
        || recipe
            .data
            .column
            .iter()
            .any(|column| column.kind == ColumnKind::Group)
}
