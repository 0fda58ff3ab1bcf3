use super::metrics::{Answers, Metrics, MetricsError, Units};
use super::*;
use std::process::Command;

fn close(got: f64, wanted: f64) -> bool {
    (got - wanted).abs() < 1e-9
}

/// Ten examples of two classes with probabilities that tie once.
fn ten() -> Answers {
    let second = [0.1, 0.2, 0.3, 0.4, 0.8, 0.4, 0.6, 0.7, 0.9, 0.95f32];
    Answers {
        truth: vec![0, 0, 0, 0, 0, 1, 1, 1, 1, 1],
        predicted: second.iter().map(|&p| u32::from(p > 0.5)).collect(),
        probabilities: second.iter().flat_map(|&p| [1.0 - p, p]).collect(),
        class_names: vec!["no".into(), "yes".into()],
    }
}

#[test]
fn measures_equal_values_worked_out_by_hand() {
    let metrics = Metrics::measure(&ten(), &Units::rows(10)).unwrap();
    assert_eq!(metrics.confusion, [[4, 1], [1, 4]]);
    assert!(close(metrics.accuracy.value, 0.8) && close(metrics.balanced_accuracy.value, 0.8));
    let yes = &metrics.classes[1];
    assert!(
        close(yes.precision.value, 0.8) && close(yes.recall.value, 0.8) && close(yes.f1.value, 0.8)
    );
    let pairs_won = (3.0 + 0.5) + 4.0 + 4.0 + 5.0 + 5.0;
    assert!(
        close(yes.roc_auc.unwrap().value, pairs_won / 25.0),
        "{:?}",
        yes.roc_auc
    );
    let confidence: f64 = [0.9, 0.8, 0.7, 0.6, 0.8, 0.6, 0.6, 0.7, 0.9, 0.95]
        .iter()
        .sum::<f64>()
        / 10.0;
    assert!(metrics.calibration_error.value >= (confidence - 0.8).abs() - 1e-6);
    let sums: f64 = metrics
        .reliability
        .iter()
        .map(|bin| bin.examples as f64 * bin.confidence)
        .sum();
    assert!((sums / 10.0 - confidence).abs() < 1e-6);
}

#[test]
fn every_interval_holds_its_value_and_blocks_are_less_sure_than_rows() {
    let answers = blocky();
    let rows = Metrics::measure(&answers, &Units::rows(answers.truth.len())).unwrap();
    let blocks: Vec<usize> = (0..answers.truth.len()).map(|row| row / 50).collect();
    let blocks = Metrics::measure(&answers, &Units::keyed(&blocks, "block")).unwrap();
    let width = |estimate: &metrics::Estimate| {
        let interval = estimate.interval.unwrap();
        assert!(interval.low <= estimate.value && estimate.value <= interval.high);
        interval.high - interval.low
    };
    assert!(rows.independent && !blocks.independent);
    assert!(width(&blocks.accuracy) > 3.0 * width(&rows.accuracy));
    assert!((width(&rows.accuracy) / width(&rows.balanced_accuracy) - 1.0).abs() < 0.2);
    for class in 0..2 {
        let (of_blocks, of_rows) = (&blocks.classes[class], &rows.classes[class]);
        assert!(width(&of_blocks.precision) > 2.0 * width(&of_rows.precision));
        assert!(width(&of_blocks.recall) > 2.0 * width(&of_rows.recall));
    }
    [
        rows.macro_f1,
        rows.log_loss,
        rows.calibration_error,
        rows.roc_auc.unwrap(),
    ]
    .iter()
    .for_each(|estimate| {
        width(estimate);
    });
}

/// 1,000 examples in blocks of 50; one block in four is answered wrong as a whole.
fn blocky() -> Answers {
    let wrong = |row: usize| (row / 50) % 4 == 0;
    let truth: Vec<u32> = (0..1000).map(|row| (row % 2) as u32).collect();
    let predicted: Vec<u32> = truth
        .iter()
        .enumerate()
        .map(|(row, &label)| label ^ u32::from(wrong(row)))
        .collect();
    let probabilities = predicted
        .iter()
        .flat_map(|&label| {
            if label == 1 {
                [0.2, 0.8]
            } else {
                [0.7, 0.3f32]
            }
        })
        .collect();
    Answers {
        truth,
        predicted,
        probabilities,
        class_names: vec!["a".into(), "b".into()],
    }
}

#[test]
fn a_class_that_does_not_occur_has_no_area_and_does_not_count_as_missed() {
    let mut answers = ten();
    answers.class_names.push("never".into());
    answers.probabilities = answers
        .probabilities
        .chunks(2)
        .flat_map(|row| [row[0], row[1], 0.0])
        .collect();
    let metrics = Metrics::measure(&answers, &Units::rows(10)).unwrap();
    assert!(metrics.classes[2].roc_auc.is_none() && metrics.classes[2].recall.interval.is_none());
    assert!(close(metrics.balanced_accuracy.value, 0.8) && close(metrics.macro_f1.value, 0.8));
}

#[test]
fn answers_that_do_not_fit_are_refused() {
    let mut answers = ten();
    answers.probabilities.pop();
    assert!(matches!(
        Metrics::measure(&answers, &Units::rows(10)),
        Err(MetricsError::Shape {
            probabilities: 19,
            ..
        })
    ));
    let mut answers = ten();
    answers.truth[0] = 2;
    assert_eq!(
        Metrics::measure(&answers, &Units::rows(10)),
        Err(MetricsError::Label { label: 2 })
    );
    assert_eq!(
        Metrics::measure(&Answers::default(), &Units::rows(0)),
        Err(MetricsError::Empty)
    );
}

#[test]
fn gates_fail_on_the_wrong_side_of_their_limit() {
    let metrics = Metrics::measure(&ten(), &Units::rows(10)).unwrap();
    let gates = crate::recipe::Gates {
        accuracy: Some(0.8),
        f1: Some(0.81),
        calibration_error: Some(0.0),
        ..Default::default()
    };
    let test = Judged {
        name: "test".to_owned(),
        metrics,
    };
    let results = judge(&test, &gates.demands_of("test"));
    let verdicts: Vec<(&str, bool)> = results
        .iter()
        .map(|gate| (gate.measure.as_str(), gate.passed))
        .collect();
    assert_eq!(
        verdicts,
        [
            ("accuracy", true),
            ("f1", false),
            ("calibration_error", false)
        ]
    );
}

const SCRIPT: &str = r#"
import json, sys, numpy as np
from sklearn import metrics as m
data = json.load(sys.stdin)
truth, predicted = np.array(data["truth"]), np.array(data["predicted"])
p = np.array(data["probabilities"]).reshape(len(truth), -1)
one_vs_rest = [m.roc_auc_score(truth == c, p[:, c]) for c in range(p.shape[1])]
print(json.dumps({
    "accuracy": m.accuracy_score(truth, predicted),
    "balanced": m.balanced_accuracy_score(truth, predicted),
    "f1": m.f1_score(truth, predicted, average="macro"),
    "auc": float(np.mean(one_vs_rest)),
    "log_loss": m.log_loss(truth, p, labels=list(range(p.shape[1]))),
    "confusion": m.confusion_matrix(truth, predicted).tolist(),
}))
"#;

#[test]
fn measures_equal_those_of_scikit_learn() {
    let Some(python) = crate::python::with("sklearn") else {
        return;
    };
    let answers = three_classes();
    let metrics = Metrics::measure(&answers, &Units::rows(answers.truth.len())).unwrap();
    let input = serde_json::json!({
        "truth": answers.truth, "predicted": answers.predicted,
        "probabilities": answers.probabilities.iter().map(|&p| f64::from(p)).collect::<Vec<_>>(),
    });
    let wanted = crate::python::json(Command::new(python).args(["-c", SCRIPT]), &input);
    let pairs = [
        ("accuracy", metrics.accuracy.value),
        ("balanced", metrics.balanced_accuracy.value),
        ("f1", metrics.macro_f1.value),
        ("auc", metrics.roc_auc.unwrap().value),
        ("log_loss", metrics.log_loss.value),
    ];
    for (name, got) in pairs {
        let wanted = wanted[name].as_f64().unwrap();
        assert!(
            (got - wanted).abs() < 1e-6 && got > 0.0 && got != 1.0,
            "{name}: {got} for {wanted}"
        );
    }
    assert_eq!(serde_json::json!(metrics.confusion), wanted["confusion"]);
}

/// 600 examples of three classes, right about three times in four, with coarse probabilities so that some tie.
fn three_classes() -> Answers {
    let mut state = 0x9e37_79b9u32;
    let mut draw = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / (1 << 24) as f32
    };
    let mut answers = Answers {
        class_names: vec!["a".into(), "b".into(), "c".into()],
        ..Answers::default()
    };
    for row in 0..600u32 {
        let label = row % 7 % 3;
        let mut scores: Vec<f32> = (0..3).map(|_| 1.0 + (8.0 * draw()).floor()).collect();
        scores[label as usize] += 5.0;
        let sum: f32 = scores.iter().sum();
        let best = (0..3)
            .rev()
            .max_by(|&a, &b| scores[a].total_cmp(&scores[b]))
            .unwrap_or(0);
        answers.truth.push(label);
        answers.predicted.push(best as u32);
        answers
            .probabilities
            .extend(scores.iter().map(|score| score / sum));
    }
    answers
}

#[test]
fn the_table_says_how_its_intervals_came_about() {
    let answers = blocky();
    let days: Vec<usize> = (0..answers.truth.len()).map(|row| row / 50).collect();
    let by_day = Metrics::measure(&answers, &Units::keyed(&days, "block of 1d")).unwrap();
    let by_row = Metrics::measure(&answers, &Units::rows(answers.truth.len())).unwrap();
    let evaluation = Evaluation {
        runtime: String::new(),
        model_hash: String::new(),
        validation: by_row,
        tests: vec![Judged {
            name: "week".to_owned(),
            metrics: by_day,
        }],
        gates: Vec::new(),
    };
    let text = table::text(&evaluation);
    assert!(text.contains("validation (seen in training)"), "{text}");
    for foot in [
        "week: 95 % intervals by drawing 20 × block of 1d",
        "validation: 95 % intervals for 1000 independent rows",
    ] {
        assert!(text.contains(foot), "{foot}\n{text}");
    }
}
