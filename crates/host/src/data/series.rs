//! Rules over the rows of one file: repeats, order and pace of time, columns that do not move.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::rc::Rc;

use super::findings::{Findings, finding};
use super::report::{Finding, Rule, Severity};
use super::rows::Rows;
use super::time::show;
use crate::recipe::{Column, Duplicates, Order, Recipe};

/// Rows of one part seen so far: their keys with file and line.
#[derive(Default)]
pub(super) struct Seen {
    rows: HashMap<[u8; 16], Place>,
    times: HashSet<(u32, i64)>,
}

#[derive(Clone)]
struct Place {
    file: Rc<str>,
    line: u64,
}

/// What the rules need to know of the recipe.
pub(super) struct SeriesRules<'r> {
    pub(super) recipe: &'r Recipe,
    pub(super) file: &'r Path,
    /// Milliseconds from one row to the next; `None` where rows carry no time.
    pub(super) row_period_ms: Option<u64>,
}

impl SeriesRules<'_> {
    /// Applies every rule to the rows of one file and gives back those that stay, in order.
    pub(super) fn apply(&self, rows: Rows, seen: &mut Seen, findings: &mut Findings) -> Rows {
        let rows = self.unique(self.ordered(rows, findings), seen, findings);
        if let Some(period) = self.row_period_ms {
            self.pace(&rows, period, findings);
        }
        self.movement(&rows, findings);
        self.classes(&rows, findings);
        rows
    }

    fn found(&self, line: u64, rule: Rule, severity: Severity, message: String) -> Finding {
        Finding {
            line: Some(line),
            ..finding(self.file, rule, severity, message)
        }
    }

    fn time_column(&self) -> Option<String> {
        self.recipe
            .data
            .time
            .as_ref()
            .map(|time| time.column.clone())
    }

    /// Reports times that go backwards within a group; sorts by group and time where the recipe
    /// says so.
    fn ordered(&self, rows: Rows, findings: &mut Findings) -> Rows {
        let Some(time) = self.recipe.data.time.as_ref() else {
            return rows;
        };
        let (severity, advice) = match time.order {
            Order::Reject => (
                Severity::Error,
                "the recipe may sort with data.time.order = \"sort\"",
            ),
            Order::Sort => (Severity::Warning, "rows are sorted by time"),
        };
        let mut last: HashMap<u32, i64> = HashMap::new();
        let mut jumps = 0;
        for row in 0..rows.len() {
            let now = rows.time_ms[row];
            let before = last.insert(rows.group[row], now).unwrap_or(now);
            if now < before {
                jumps += 1;
                let message = format!(
                    "the time goes back by {} s from {}; {advice}",
                    (before - now) as f64 / 1000.0,
                    show(before)
                );
                let found = self.found(rows.line[row], Rule::ClockJump, severity, message);
                findings.add(Finding {
                    column: self.time_column(),
                    value: Some(show(now)),
                    ..found
                });
            }
        }
        if jumps == 0 || time.order == Order::Reject {
            return rows;
        }
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by_key(|&row| (rows.group[row], rows.time_ms[row]));
        rows.pick(&order)
    }

    fn unique(&self, rows: Rows, seen: &mut Seen, findings: &mut Findings) -> Rows {
        let timed = self.recipe.data.time.is_some();
        let usual = if timed {
            Duplicates::Reject
        } else {
            Duplicates::Keep
        };
        let policy = self.recipe.data.duplicates.unwrap_or(usual);
        let file: Rc<str> = self.file.display().to_string().into();
        let mut stay = Vec::with_capacity(rows.len());
        for row in 0..rows.len() {
            let place = Place {
                file: file.clone(),
                line: rows.line[row],
            };
            let earlier = seen.rows.get(&rows.key(row)).cloned();
            let same_time = timed && !seen.times.insert((rows.group[row], rows.time_ms[row]));
            let finding = match &earlier {
                Some(earlier) => Some(self.duplicate_row(&rows, row, earlier, policy)),
                None if same_time => Some(self.duplicate_time(&rows, row, policy)),
                None => None,
            };
            let stays = finding.is_none() || policy != Duplicates::Drop;
            finding
                .into_iter()
                .for_each(|finding| findings.add(finding));
            if stays {
                seen.rows.entry(rows.key(row)).or_insert(place);
                stay.push(row);
            }
        }
        if stay.len() == rows.len() {
            rows
        } else {
            rows.pick(&stay)
        }
    }

    fn duplicate_row(
        &self,
        rows: &Rows,
        row: usize,
        earlier: &Place,
        policy: Duplicates,
    ) -> Finding {
        let message = format!(
            "the same row as {}:{}; {}",
            earlier.file,
            earlier.line,
            duplicate_advice(policy)
        );
        self.found(
            rows.line[row],
            Rule::DuplicateRow,
            duplicate_severity(policy),
            message,
        )
    }

    fn duplicate_time(&self, rows: &Rows, row: usize, policy: Duplicates) -> Finding {
        let message = format!(
            "another row has this time, with other values; {}",
            duplicate_advice(policy)
        );
        let found = self.found(
            rows.line[row],
            Rule::DuplicateTime,
            duplicate_severity(policy),
            message,
        );
        Finding {
            column: self.time_column(),
            value: Some(show(rows.time_ms[row])),
            ..found
        }
    }

    /// Gaps and rows that come too early, within each group.
    fn pace(&self, rows: &Rows, period_ms: u64, findings: &mut Findings) {
        let mut last: HashMap<u32, i64> = HashMap::new();
        for row in 0..rows.len() {
            let now = rows.time_ms[row];
            let Some(before) = last.insert(rows.group[row], now) else {
                continue;
            };
            let step = now.saturating_sub(before);
            let (rule, what) = match u64::try_from(step) {
                Ok(step) if step > longest_step_ms(period_ms) => (Rule::Gap, "a gap"),
                Ok(step) if step > 0 && step * 2 < period_ms => (Rule::Early, "an early row"),
                _ => continue,
            };
            let message = format!(
                "{what} of {} s, expected {} s (monitor.sample_period)",
                step as f64 / 1000.0,
                period_ms as f64 / 1000.0
            );
            let found = self.found(rows.line[row], rule, Severity::Warning, message);
            findings.add(Finding {
                column: self.time_column(),
                value: Some(show(now)),
                ..found
            });
        }
    }

    /// Columns with one value only, and values that repeat for too long.
    fn movement(&self, rows: &Rows, findings: &mut Findings) {
        for (channel, column) in self.recipe.data.channels().enumerate() {
            if rows.len() > 1 && constant(rows, channel) {
                let count = rows.len();
                let message = format!(
                    "all {count} rows have the same value; a sensor that does not move tells nothing"
                );
                let found = finding(self.file, Rule::Constant, Severity::Warning, message);
                findings.add(of_value(found, column, value_at(rows, 0, channel)));
            } else {
                self.stuck(rows, channel, column, findings);
            }
        }
    }

    fn stuck(&self, rows: &Rows, channel: usize, column: &Column, findings: &mut Findings) {
        let limit = u64::from(self.recipe.monitor.stuck_after);
        for run in runs(rows, channel) {
            if limit > 0 && run.length >= limit {
                let length = run.length;
                let message = format!(
                    "the same value for {length} rows, expected fewer than {limit} (monitor.stuck_after)"
                );
                let found = self.found(
                    rows.line[run.first],
                    Rule::Stuck,
                    Severity::Warning,
                    message,
                );
                findings.add(of_value(found, column, value_at(rows, run.first, channel)));
            }
        }
    }

    fn classes(&self, rows: &Rows, findings: &mut Findings) {
        let target = &self.recipe.target;
        for (label, name) in target.labels.iter().enumerate() {
            if !rows.labels.contains(&(label as u32)) {
                let message = format!("no row is labelled \"{name}\"");
                let found = finding(self.file, Rule::MissingClass, Severity::Warning, message);
                findings.add(Finding {
                    column: Some(target.column.clone()),
                    ..found
                });
            }
        }
    }
}

fn value_at(rows: &Rows, row: usize, channel: usize) -> Option<String> {
    rows.values(row).get(channel).map(f32::to_string)
}

fn of_value(found: Finding, column: &Column, value: Option<String>) -> Finding {
    Finding {
        column: Some(column.name.clone()),
        value,
        ..found
    }
}

/// The longest time between neighbouring rows that is no gap: one and a half periods.
pub(super) fn longest_step_ms(period_ms: u64) -> u64 {
    period_ms + period_ms / 2
}

fn duplicate_severity(policy: Duplicates) -> Severity {
    match policy {
        Duplicates::Reject => Severity::Error,
        Duplicates::Drop => Severity::Dropped,
        Duplicates::Keep => Severity::Warning,
    }
}

fn duplicate_advice(policy: Duplicates) -> &'static str {
    match policy {
        Duplicates::Reject => {
            "expected each once; the recipe may drop them with data.duplicates = \"drop\""
        }
        Duplicates::Drop => "dropped",
        Duplicates::Keep => "kept",
    }
}

struct Run {
    first: usize,
    length: u64,
}

/// Neighbouring rows of one group with the same value in a channel.
fn runs(rows: &Rows, channel: usize) -> Vec<Run> {
    let value = |row: usize| {
        (
            rows.group[row],
            rows.values(row).get(channel).map(|value| value.to_bits()),
        )
    };
    let mut runs: Vec<Run> = Vec::new();
    for row in 0..rows.len() {
        match runs.last_mut() {
            Some(run) if value(run.first) == value(row) => run.length += 1,
            _ => runs.push(Run {
                first: row,
                length: 1,
            }),
        }
    }
    runs
}

fn constant(rows: &Rows, channel: usize) -> bool {
    let value = |row: usize| rows.values(row).get(channel).map(|value| value.to_bits());
    (1..rows.len()).all(|row| value(row) == value(0))
}
