//! The report of a run: one HTML file that needs nothing else.

use super::metrics::{Estimate, Metrics, RELIABILITY_BINS, RESAMPLES};
use super::table::estimate;
use super::{Evaluation, Judged};
use crate::plot::{self, Axes, Bars, Mark, PlotError, Series, escaped};
use crate::runs::Record;

const STYLE: &str = include_str!("report.css");

/// The report of a run that was evaluated.
///
/// # Errors
/// [`PlotError`] when a plot cannot be drawn.
pub fn html(record: &Record, evaluation: &Evaluation) -> Result<String, PlotError> {
    let mut body = header(record, evaluation);
    body.push_str(&gates(evaluation));
    body.push_str(&overview(evaluation));
    for test in &evaluation.tests {
        body.push_str(&part(test)?);
    }
    body.push_str(&training(record)?);
    body.push_str(&notes(record, evaluation));
    body.push_str(&provenance(record, evaluation));
    let title = escaped(&format!("{} · {}", record.name, record.id));
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    ))
}

fn header(record: &Record, evaluation: &Evaluation) -> String {
    let (class, verdict) = match (evaluation.gates.is_empty(), evaluation.passed()) {
        (true, _) => ("open", "no gates in the recipe"),
        (false, true) => ("passed", "all gates passed"),
        (false, false) => ("failed", "a gate failed"),
    };
    format!(
        "<header><h1>{}</h1><p>{}</p><p class=\"verdict {class}\">{verdict}</p></header>\n",
        escaped(&record.name),
        escaped(&format!("{}, run {}", record.algorithm, record.id))
    )
}

fn gates(evaluation: &Evaluation) -> String {
    if evaluation.gates.is_empty() {
        return String::new();
    }
    let rows = evaluation.gates.iter().map(|gate| {
        let value = gate
            .value
            .map_or("undefined".to_owned(), |value| format!("{value:.4}"));
        let limit = format!("{} {}", if gate.at_most { "≤" } else { "≥" }, gate.limit);
        let verdict = if gate.passed { "passed" } else { "failed" };
        vec![
            gate.test.clone(),
            gate.measure.replace('_', " "),
            value,
            limit,
            verdict.to_owned(),
        ]
    });
    section(
        "Gates",
        &table(&["test", "measure", "reached", "demanded", ""], rows),
    )
}

fn overview(evaluation: &Evaluation) -> String {
    let all = evaluation
        .tests
        .iter()
        .map(|test| (test.name.as_str(), &test.metrics));
    let rows = all
        .chain([("validation (seen in training)", &evaluation.validation)])
        .map(|(name, metrics)| {
            vec![
                name.to_owned(),
                metrics.examples.to_string(),
                estimate(&metrics.accuracy),
                estimate(&metrics.balanced_accuracy),
                estimate(&metrics.macro_f1),
                optional(&metrics.roc_auc),
                estimate(&metrics.calibration_error),
                estimate(&metrics.log_loss),
                metrics.resampled.clone(),
            ]
        });
    let headings = [
        "part",
        "examples",
        "accuracy",
        "balanced accuracy",
        "F1, mean of classes",
        "ROC AUC, mean of classes",
        "calibration error",
        "log loss",
        "resampled",
    ];
    section("Measures, with 95 % intervals", &table(&headings, rows))
}

fn part(test: &Judged) -> Result<String, PlotError> {
    let metrics = &test.metrics;
    let rows = metrics.classes.iter().map(|class| {
        vec![
            class.name.clone(),
            class.support.to_string(),
            estimate(&class.precision),
            estimate(&class.recall),
            estimate(&class.f1),
            optional(&class.roc_auc),
        ]
    });
    let classes = table(
        &["class", "examples", "precision", "recall", "F1", "ROC AUC"],
        rows,
    );
    let mut figures = vec![confusion(metrics)?];
    if metrics.classes.iter().any(|class| !class.roc.is_empty()) {
        figures.push(roc(metrics)?);
    }
    figures.push(reliability(metrics)?);
    Ok(section(
        &format!("Test {}", test.name),
        &format!("{classes}{}", gallery(&figures)),
    ))
}

fn confusion(metrics: &Metrics) -> Result<String, PlotError> {
    let names: Vec<&str> = metrics
        .classes
        .iter()
        .map(|class| class.name.as_str())
        .collect();
    let axes = Axes {
        title: "Confusion",
        x_label: "predicted",
        y_label: "true",
        ..Axes::default()
    };
    plot::matrix(&axes, &names, &metrics.confusion)
}

fn roc(metrics: &Metrics) -> Result<String, PlotError> {
    let unit = Some((0.0, 1.0));
    let axes = Axes {
        title: "ROC, each class against the rest",
        x_label: "false positive rate",
        y_label: "true positive rate",
        x_range: unit,
        y_range: unit,
    };
    let mut series: Vec<Series> = metrics
        .classes
        .iter()
        .map(|class| Series {
            name: &class.name,
            points: class
                .roc
                .iter()
                .map(|point| (point.false_positive_rate, point.true_positive_rate))
                .collect(),
            mark: Mark::Line,
        })
        .collect();
    series.push(Series {
        name: "",
        points: vec![(0.0, 0.0), (1.0, 1.0)],
        mark: Mark::Reference,
    });
    plot::lines(&axes, &series)
}

fn reliability(metrics: &Metrics) -> Result<String, PlotError> {
    let unit = Some((0.0, 1.0));
    let axes = Axes {
        title: "Reliability: how sure, how often right",
        x_label: "highest probability, mean of the bin",
        y_label: "share of right answers",
        x_range: unit,
        y_range: unit,
    };
    let filled = metrics.reliability.iter().filter(|bin| bin.examples > 0);
    let series = [
        Series {
            name: "",
            points: filled.map(|bin| (bin.confidence, bin.accuracy)).collect(),
            mark: Mark::LineAndDots,
        },
        Series {
            name: "",
            points: vec![(0.0, 0.0), (1.0, 1.0)],
            mark: Mark::Reference,
        },
    ];
    plot::lines(&axes, &series)
}

fn training(record: &Record) -> Result<String, PlotError> {
    let mut figures = Vec::new();
    if !record.curve.is_empty() {
        figures.push(curve(record)?);
    }
    figures.push(distribution(record)?);
    let kept = match record.best_epoch {
        0 => String::new(),
        epoch => format!(
            "<p>The weights of pass {epoch} of {} were kept.</p>",
            record.curve.len()
        ),
    };
    Ok(section("Training", &format!("{kept}{}", gallery(&figures))))
}

fn curve(record: &Record) -> Result<String, PlotError> {
    let axes = Axes {
        title: "Loss",
        x_label: "pass",
        y_label: "mean log loss",
        ..Axes::default()
    };
    let points = |loss: fn(&crate::train::Epoch) -> f64| {
        record
            .curve
            .iter()
            .map(|epoch| (epoch.epoch as f64, loss(epoch)))
            .collect()
    };
    let series = [
        Series {
            name: "training",
            points: points(|epoch| epoch.train_loss),
            mark: Mark::Line,
        },
        Series {
            name: "validation",
            points: points(|epoch| epoch.validation_loss),
            mark: Mark::Line,
        },
    ];
    plot::lines(&axes, &series)
}

fn distribution(record: &Record) -> Result<String, PlotError> {
    let names: Vec<&str> = record.labels.iter().map(String::as_str).collect();
    let axes = Axes {
        title: "Classes per part",
        x_label: "",
        y_label: "share of the part",
        ..Axes::default()
    };
    let groups: Vec<Bars> = record
        .parts
        .iter()
        .map(|part| Bars {
            name: &part.name,
            values: part
                .labels
                .iter()
                .map(|&count| count as f64 / part.examples.max(1) as f64)
                .collect(),
        })
        .collect();
    plot::bars(&axes, &names, &groups)
}

fn notes(record: &Record, evaluation: &Evaluation) -> String {
    let uses = match record.test_uses {
        0 | 1 => {
            "The tests were used once in this run: to make this report. Nothing was tuned on them."
                .to_owned()
        }
        times => format!(
            "The tests were used {times} times in this run. Choosing between models by these numbers makes them too good."
        ),
    };
    let items = [
        uses,
        format!("All numbers were measured on the exported model, run by {} from raw inputs.", evaluation.runtime),
        "Rows of a time series or of a group resemble each other, so intervals for them come from drawing whole units \
         (last column of the table of measures). Where rows are independent, accuracy, precision and recall carry \
         Wilson's interval."
            .to_owned(),
        format!(
            "Drawing means {RESAMPLES} bootstrap resamples with a fixed seed. With fewer than about ten units their \
             percentiles say little, and they never reach beyond what was seen."
        ),
        format!(
            "Calibration error: {RELIABILITY_BINS} bins of the highest probability, mean gap between that probability \
             and the share of right answers, weighted by examples."
        ),
    ];
    let items: Vec<String> = items
        .iter()
        .map(|item| format!("<li>{}</li>", escaped(item)))
        .collect();
    section(
        "How to read this",
        &format!("<ul>{}</ul>", items.join("\n")),
    )
}

fn provenance(record: &Record, evaluation: &Evaluation) -> String {
    let mut rows: Vec<Vec<String>> = vec![
        vec!["recipe".into(), record.recipe_hash.clone()],
        vec!["data".into(), record.data_hash.clone()],
        vec!["model".into(), evaluation.model_hash.clone()],
        vec!["seed".into(), record.seed.to_string()],
        vec!["started".into(), record.started.clone()],
        vec![
            "tool".into(),
            format!("dunlin {}, {}", record.tool_version, record.rustc),
        ],
        vec![
            "machine".into(),
            format!(
                "{} {}, {} processors",
                record.host.system, record.host.architecture, record.host.processors
            ),
        ],
    ];
    rows.extend(
        record
            .timings
            .iter()
            .map(|(name, seconds)| vec![format!("{name} took"), format!("{seconds:.2} s")]),
    );
    rows.extend(
        record
            .data_files
            .iter()
            .map(|file| vec![file.name.clone(), file.sha256.clone()]),
    );
    let recipe = format!(
        "<details><summary>The recipe, with defaults</summary><pre>{}</pre></details>",
        escaped(&record.recipe)
    );
    section(
        "Where it comes from",
        &format!("{}{recipe}", table(&["", ""], rows.into_iter())),
    )
}

fn optional(value: &Option<Estimate>) -> String {
    value.as_ref().map_or("undefined".to_owned(), estimate)
}

fn section(title: &str, content: &str) -> String {
    format!(
        "<section><h2>{}</h2>\n{content}</section>\n",
        escaped(title)
    )
}

fn gallery(figures: &[String]) -> String {
    let figures: Vec<String> = figures
        .iter()
        .map(|figure| format!("<figure>{figure}</figure>"))
        .collect();
    format!("<div class=\"gallery\">{}</div>\n", figures.join("\n"))
}

fn table(headings: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let line = |tag: &str, cells: &[String]| {
        let cells: Vec<String> = cells
            .iter()
            .map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell)))
            .collect();
        format!("<tr>{}</tr>\n", cells.concat())
    };
    let headings: Vec<String> = headings.iter().map(|&heading| heading.to_owned()).collect();
    let head = if headings.iter().any(|heading| !heading.is_empty()) {
        line("th", &headings)
    } else {
        String::new()
    };
    let body: String = rows.map(|row| line("td", &row)).collect();
    format!("<div class=\"scroll\"><table>{head}{body}</table></div>\n")
}
