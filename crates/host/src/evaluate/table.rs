//! Measures as a table for a terminal.

use super::metrics::{Estimate, Metrics};
use super::{Evaluation, GateResult};

const HEADINGS: [&str; 8] = [
    "part",
    "examples",
    "accuracy",
    "balanced",
    "F1",
    "ROC AUC",
    "calibration",
    "log loss",
];

/// The measures of all parts and the gates, ending with a newline. Training has seen the validation part: it stopped
/// the perceptron, and the other algorithms learnt from it.
pub fn text(evaluation: &Evaluation) -> String {
    let mut rows = vec![HEADINGS.map(str::to_owned).to_vec()];
    rows.extend(
        evaluation
            .tests
            .iter()
            .map(|test| row(&test.name, &test.metrics)),
    );
    rows.push(row("validation (seen in training)", &evaluation.validation));
    let mut text = aligned(&rows);
    text.push_str(&intervals(evaluation));
    if !evaluation.gates.is_empty() {
        text.push('\n');
        text.push_str(&aligned(
            &evaluation.gates.iter().map(gate_row).collect::<Vec<_>>(),
        ));
    }
    text
}

/// How the intervals of each part came about, a line each.
pub fn intervals(evaluation: &Evaluation) -> String {
    let tests = evaluation.tests.iter();
    tests
        .map(|test| (test.name.as_str(), &test.metrics))
        .chain([("validation", &evaluation.validation)])
        .map(|(part, metrics)| format!("{part}: {}\n", method(metrics)))
        .collect()
}

/// How the intervals of one part came about.
pub fn method(metrics: &Metrics) -> String {
    if metrics.independent {
        return format!(
            "95 % intervals for {} independent rows (Wilson for accuracy, precision and recall; else bootstrap)",
            metrics.examples
        );
    }
    format!(
        "95 % intervals by drawing {} with replacement (bootstrap), for examples within one resemble each other",
        metrics.resampled
    )
}

/// A measure with its interval: `0.977 [0.971, 0.982]`.
pub fn estimate(estimate: &Estimate) -> String {
    match estimate.interval {
        Some(interval) => format!(
            "{:.3} [{:.3}, {:.3}]",
            estimate.value, interval.low, interval.high
        ),
        None => format!("{:.3} [?]", estimate.value),
    }
}

/// Rows of cells with columns of equal width, two spaces apart; each line ends with a newline.
pub fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let length =
        |row: &Vec<String>, column: usize| row.get(column).map_or(0, |cell| cell.chars().count());
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter()
                .map(|row| length(row, column))
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, &width)| format!("{cell:<width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn row(part: &str, metrics: &Metrics) -> Vec<String> {
    vec![
        part.to_owned(),
        metrics.examples.to_string(),
        estimate(&metrics.accuracy),
        estimate(&metrics.balanced_accuracy),
        estimate(&metrics.macro_f1),
        metrics.roc_auc.as_ref().map_or("-".to_owned(), estimate),
        estimate(&metrics.calibration_error),
        estimate(&metrics.log_loss),
    ]
}

fn gate_row(gate: &GateResult) -> Vec<String> {
    let value = gate
        .value
        .map_or("undefined".to_owned(), |value| format!("{value:.4}"));
    let limit = format!("{} {}", if gate.at_most { "≤" } else { "≥" }, gate.limit);
    let verdict = if gate.passed { "passed" } else { "FAILED" };
    vec![
        "gate".to_owned(),
        gate.test.clone(),
        gate.measure.clone(),
        value,
        limit,
        verdict.to_owned(),
    ]
}
