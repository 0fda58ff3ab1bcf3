use super::*;
use crate::data::{self, LoadOptions};
use crate::evaluate::{self, Evaluation};
use crate::onnx::{self, session::Session};
use std::path::Path;
use std::process::Command;

/// How far a probability may be from what was trained: the order of float sums differs between runtimes.
const PROBABILITY_TOLERANCE: f32 = 2e-5;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn occupancy(algorithm: Algorithm) -> Option<(Recipe, Splits)> {
    let data_dir = root().join("../shared/data/occupancy");
    if !data_dir.is_dir() {
        eprintln!("skipped: no occupancy data beside the repository");
        return None;
    }
    let recipe = Recipe::read(&root().join("models/occupancy"))
        .unwrap()
        .with_algorithm(algorithm);
    let splits = data::load(
        &recipe,
        &LoadOptions {
            data_dir: Some(data_dir),
            progress: None,
        },
    )
    .unwrap();
    Some((recipe, splits))
}

fn machine(sessions: usize, windows: usize) -> (Recipe, Splits) {
    let mut recipe = Recipe::read(&root().join("models/machine")).unwrap();
    if let Some(simulation) = &mut recipe.data.simulation {
        simulation.sessions = sessions;
        simulation.windows = windows;
    }
    let splits = data::load(&recipe, &LoadOptions::default()).unwrap();
    (recipe, splits)
}

fn judged(recipe: &Recipe, splits: &Splits) -> Evaluation {
    let trained = train(recipe, splits, &mut |_| ()).unwrap();
    let evaluation = evaluate::evaluate(&trained.model, recipe, splits).unwrap();
    eprintln!(
        "{}\n{}",
        recipe.train.algorithm,
        evaluate::table::text(&evaluation)
    );
    evaluation
}

/// The accuracy of scikit-learn's defaults when trained on the same file; a budget, not a goal.
#[test]
fn occupancy_is_told_as_well_as_scikit_learn_tells_it() {
    let floors = [
        (Algorithm::Logistic, [0.977, 0.985]),
        (Algorithm::Forest, [0.949, 0.973]),
        (Algorithm::Mlp, [0.970, 0.964]),
    ];
    for (algorithm, floors) in floors {
        let Some((recipe, splits)) = occupancy(algorithm) else {
            return;
        };
        let evaluation = judged(&recipe, &splits);
        assert_eq!(evaluation.tests.len(), 2);
        for (test, floor) in evaluation.tests.iter().zip(floors) {
            let accuracy = (1000.0 * test.metrics.accuracy.value).round() / 1000.0;
            assert!(
                accuracy >= floor,
                "{algorithm} on {}: {accuracy}, floor {floor}",
                test.name
            );
        }
    }
}

#[test]
fn every_algorithm_tells_the_simulated_faults_far_better_than_chance() {
    let (recipe, splits) = machine(20, 20);
    for algorithm in Algorithm::ALL {
        let evaluation = judged(&recipe.clone().with_algorithm(algorithm), &splits);
        let accuracy = evaluation.tests[0].metrics.balanced_accuracy.value;
        assert!(accuracy > 0.7, "{algorithm}: {accuracy}");
    }
}

#[test]
fn equal_recipe_and_data_give_equal_bytes_and_another_seed_does_not() {
    let (recipe, splits) = machine(10, 5);
    for algorithm in Algorithm::ALL {
        let mut recipe = recipe.clone().with_algorithm(algorithm);
        recipe.train.mlp.max_epochs = 3;
        let bytes =
            |recipe: &Recipe| onnx::encode(&train(recipe, &splits, &mut |_| ()).unwrap().model);
        let first = bytes(&recipe);
        assert_eq!(first, bytes(&recipe), "{algorithm}");
        recipe.train.seed += 1;
        assert_ne!(
            first,
            bytes(&recipe),
            "{algorithm}: the seed is in the metadata at least"
        );
    }
}

#[test]
fn balanced_classes_train_on_as_many_rows_of_each() {
    let (_, splits) = machine(10, 5);
    let mut uneven = splits.train.clone();
    uneven
        .labels
        .iter_mut()
        .for_each(|label| *label = u32::from(*label == 0));
    let rows = chosen_rows(&uneven.labels, 4, ClassWeights::Balanced, 1);
    let ones = rows.iter().filter(|&&row| uneven.labels[row] == 1).count();
    assert_eq!(2 * ones, rows.len());
    assert!(rows.len() > uneven.len());
}

#[test]
fn one_class_alone_is_refused() {
    let (recipe, mut splits) = machine(10, 5);
    splits.train.labels.fill(2);
    assert!(matches!(
        train(&recipe, &splits, &mut |_| ()),
        Err(TrainError::OneClass { .. })
    ));
}

#[test]
fn tract_answers_as_what_was_trained() {
    let (recipe, splits) = machine(10, 10);
    for algorithm in Algorithm::ALL {
        let trained = train(
            &recipe.clone().with_algorithm(algorithm),
            &splits,
            &mut |_| (),
        )
        .unwrap();
        let (_, examples) = &splits.tests[0];
        let own = trained.probabilities(&examples.inputs).unwrap();
        let session = Session::new(&trained.model).unwrap();
        let answers = evaluate::answers(&session, &trained.model, examples).unwrap();
        alike(
            algorithm,
            &own,
            &answers.probabilities,
            examples.label_names.len(),
            &answers.predicted,
        );
    }
}

/// Equal within the tolerance, labels being the first of the highest; guarded against being about nothing.
fn alike(algorithm: Algorithm, own: &[f32], other: &[f32], classes: usize, labels: &[u32]) {
    assert!(
        own.len() == other.len() && own.len() >= 100,
        "{algorithm}: {} values",
        own.len()
    );
    let worst = own
        .iter()
        .zip(other)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    let tolerance = if algorithm == Algorithm::Forest {
        0.0
    } else {
        PROBABILITY_TOLERANCE
    };
    assert!(worst <= tolerance, "{algorithm}: {worst}");
    let distinct: std::collections::BTreeSet<u32> = own.iter().map(|p| p.to_bits()).collect();
    assert!(
        distinct.len() > 10,
        "{algorithm}: only {} different probabilities",
        distinct.len()
    );
    for (row, &label) in other.chunks_exact(classes).zip(labels) {
        let first_best = (0..classes)
            .rev()
            .max_by(|&a, &b| row[a].total_cmp(&row[b]))
            .unwrap();
        assert_eq!(first_best as u32, label, "{algorithm}: {row:?}");
    }
}

const SCRIPT: &str = r#"
import json, sys, numpy as np, onnx, onnxruntime
data = json.load(sys.stdin)
onnx.checker.check_model(onnx.load(data["model"]), full_check=True)
session = onnxruntime.InferenceSession(data["model"])
rows = np.array(data["inputs"], dtype=np.float32).reshape(-1, data["width"])
label, probabilities = session.run(["label", "probabilities"], {"input": rows})
print(json.dumps({"label": label.tolist(), "probabilities": probabilities.reshape(-1).astype(float).tolist()}))
"#;

#[test]
fn the_checker_accepts_every_export_and_onnx_runtime_answers_as_what_was_trained() {
    let Some(python) = crate::python::with("onnx, onnxruntime") else {
        return;
    };
    let (recipe, splits) = machine(10, 10);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    for algorithm in Algorithm::ALL {
        let trained = train(
            &recipe.clone().with_algorithm(algorithm),
            &splits,
            &mut |_| (),
        )
        .unwrap();
        onnx::write(&trained.model, &path).unwrap();
        let (_, examples) = &splits.tests[0];
        let inputs: Vec<f64> = examples
            .inputs
            .iter()
            .map(|&value| f64::from(value))
            .collect();
        let input =
            serde_json::json!({"model": path, "width": examples.schema.width(), "inputs": inputs});
        let answers = crate::python::json(Command::new(&python).args(["-c", SCRIPT]), &input);
        let probabilities: Vec<f32> =
            serde_json::from_value(answers["probabilities"].clone()).unwrap();
        let labels: Vec<u32> = serde_json::from_value(answers["label"].clone()).unwrap();
        let own = trained.probabilities(&examples.inputs).unwrap();
        alike(
            algorithm,
            &own,
            &probabilities,
            examples.label_names.len(),
            &labels,
        );
    }
}

#[test]
fn an_export_says_what_its_numbers_mean() {
    let (recipe, splits) = machine(10, 5);
    let trained = train(
        &recipe.clone().with_algorithm(Algorithm::Logistic),
        &splits,
        &mut |_| (),
    )
    .unwrap();
    let model = onnx::decode(&onnx::encode(&trained.model)).unwrap();
    assert_eq!(
        model.metadata("labels"),
        Some(r#"["healthy","imbalance","misalignment","bearing"]"#)
    );
    assert_eq!(
        model.metadata("channels"),
        Some(r#"["horizontal","vertical","axial"]"#)
    );
    assert_eq!(model.metadata("data_hash"), Some(splits.data_hash.as_str()));
    assert_eq!(model.metadata("steps"), Some("128"));
    let outputs: Vec<&str> = model
        .graph()
        .unwrap()
        .output
        .iter()
        .map(|output| output.name.as_str())
        .collect();
    assert_eq!(outputs, ["label", "probabilities"]);
}

#[test]
fn unseen_answers_come_from_models_that_did_not_learn_the_labels_by_heart() {
    let (recipe, mut splits) = machine(10, 10);
    let mut recipe = recipe.with_algorithm(Algorithm::Forest);
    (recipe.train.forest.min_leaf, recipe.train.forest.trees) = (1, 20);
    let mut random = ChaCha8Rng::seed_from_u64(7);
    for part in [&mut splits.train, &mut splits.validation] {
        part.labels.shuffle(&mut random);
    }
    let effort = Effort {
        passes: 0,
        values: 54,
    };
    let trained = train(&recipe, &splits, &mut |_| ()).unwrap();
    let unseen = unseen_answers(&recipe, &splits, effort).unwrap().unwrap();
    let share_right = |said: &[u32]| {
        let right = said.iter().zip(&splits.train.labels);
        right.filter(|(said, label)| said == label).count() as f64 / said.len() as f64
    };
    let session = Session::new(&trained.model).unwrap();
    let seen = evaluate::answers(&session, &trained.model, &splits.train).unwrap();
    assert!(share_right(&seen.predicted) > 0.9, "learnt by heart");
    assert!(share_right(&unseen.train) < 0.4, "nothing to know");
    assert_eq!(unseen.validation.len(), splits.validation.len());
}

#[test]
fn no_unseen_answers_where_they_would_take_too_long_or_nothing_is_left_to_learn_from() {
    let (recipe, splits) = machine(10, 5);
    let effort = Effort {
        passes: 10_000_000,
        values: 54,
    };
    assert_eq!(unseen_answers(&recipe, &splits, effort).unwrap(), None);
    let recipe = recipe.with_algorithm(Algorithm::Logistic);
    let mut single = splits.clone();
    for part in [&mut single.train, &mut single.validation] {
        part.group.fill(0);
        part.time_ms.fill(0);
    }
    let effort = Effort {
        passes: 0,
        values: 54,
    };
    let one_block = {
        let mut recipe = recipe.clone();
        recipe.monitor.block.ms = u64::MAX;
        unseen_answers(&recipe, &single, effort).unwrap()
    };
    assert_eq!(one_block, None);
    assert!(unseen_answers(&recipe, &splits, effort).unwrap().is_some());
}
