//! What this crate itself emits, compiled and held against tract.

use super::{compiled, f32_bytes, f32_values, pseudo_random, run};
use crate::data::{self, ChannelSchema, Examples, InputSchema, LoadOptions, Splits};
use crate::features::Features;
use crate::onnx::proto::ModelProto;
use crate::onnx::session::{Output, Session};
use crate::quantize::{QuantizeOptions, quantize};
use crate::recipe::{Algorithm, Feature, Recipe, Statistic};
use crate::train::train;
use dunlin_engine::Plan;
use std::path::Path;

const STEPS: usize = 128;
const EXAMPLES: usize = 24;

fn vibration() -> Examples {
    let channel = |name: &str| ChannelSchema {
        name: name.to_owned(),
        unit: "m/s²".to_owned(),
        minimum: -50.0,
        maximum: 50.0,
    };
    let schema = InputSchema {
        steps: STEPS,
        channels: ["x", "y", "z"].map(channel).into(),
        sample_period_ms: 100,
        stuck_after: 10,
    };
    let mut examples = Examples::new(schema, vec!["a".to_owned(), "b".to_owned()]);
    let tone = |i: usize| ((i / 3) as f32 * 0.3).sin() * 4.0;
    let values = pseudo_random(5).take(EXAMPLES * STEPS * 3).enumerate();
    examples.inputs = values.map(|(i, noise)| tone(i) + noise + 9.81).collect();
    examples.labels = vec![0; EXAMPLES];
    examples.time_ms = vec![0; EXAMPLES];
    examples.group = vec![0; EXAMPLES];
    examples
}

fn compare(declared: &[Feature]) -> (usize, f32) {
    let examples = vibration();
    let features = Features::fit(declared, &examples).expect("features fit");
    let expected = features.apply(&examples.inputs).expect("tract runs them");
    let compiled = compiled(&features.model());
    let ours: Vec<f32> = examples
        .inputs
        .chunks_exact(STEPS * 3)
        .flat_map(|window| f32_values(&run(&compiled.plan, &f32_bytes(window))[0]))
        .collect();
    assert_eq!(ours.len(), expected.len());
    let error = |(a, b): (&f32, &f32)| (a - b).abs() / b.abs().max(1.0);
    let worst = ours.iter().zip(&expected).map(error).fold(0.0, f32::max);
    let report = compiled.report;
    eprintln!(
        "{} features of {} windows within {worst:e} of tract; plan {} B, arena {} B, {} MAC",
        features.width(),
        EXAMPLES,
        report.plan_bytes,
        report.arena_bytes,
        report.macs
    );
    (ours.len(), worst)
}

#[test]
fn spectra_and_statistics_compile_and_agree_with_tract() {
    let channels: Vec<String> = ["x", "y", "z"].map(str::to_owned).into();
    let statistics = Feature::Statistics {
        channels: channels.clone(),
        statistics: vec![Statistic::Rms, Statistic::Kurtosis, Statistic::Deviation],
    };
    let spectrum = Feature::Spectrum {
        channels,
        bands: 16,
    };
    let (values, worst) = compare(&[statistics, spectrum, Feature::Standardize]);
    assert_eq!(values, EXAMPLES * 3 * (3 + 16));
    assert!(worst < 2e-4, "{worst:e}");
}

/// A small simulated machine, as the recipe in `models/machine` describes it.
fn machine() -> (Recipe, Splits) {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/machine"));
    let mut recipe = Recipe::read(path).expect("the recipe is there");
    if let Some(simulation) = &mut recipe.data.simulation {
        (simulation.sessions, simulation.windows) = (8, 8);
    }
    let splits = data::load(&recipe, &LoadOptions::default()).expect("the simulator gives data");
    (recipe, splits)
}

/// Labels that differ, largest difference of probabilities, rows compared.
fn against_tract(model: &ModelProto, plan: &[u8], examples: &Examples) -> (usize, f32, usize) {
    let mut outputs = Session::new(model)
        .and_then(|session| session.run(&examples.inputs))
        .expect("tract runs it");
    let probabilities = outputs
        .pop()
        .and_then(Output::floats)
        .expect("probabilities");
    let labels = outputs.pop().and_then(Output::integers).expect("labels");
    let plan = Plan::load(plan).expect("the plan loads");
    let mut arena = vec![0; plan.requirements().arena_bytes];
    let (mut different, mut worst) = (0, 0.0_f32);
    let rows = examples.inputs.chunks_exact(plan.input().elements());
    for ((row, label), expected) in rows
        .zip(&labels)
        .zip(probabilities.chunks_exact(examples.label_names.len()))
    {
        arena[plan.input().range()].copy_from_slice(&f32_bytes(row));
        plan.run(&mut arena).expect("the plan runs");
        different += usize::from(plan.label(&arena).map(i64::from) != Some(*label));
        for (class, expected) in expected.iter().enumerate() {
            worst = worst.max((plan.probability(&arena, class).expect("a class") - expected).abs());
        }
    }
    (different, worst, labels.len())
}

#[test]
fn trained_models_give_the_same_labels_as_tract() {
    let (recipe, splits) = machine();
    for algorithm in Algorithm::ALL {
        let mut recipe = recipe.clone().with_algorithm(algorithm);
        recipe.train.mlp.max_epochs = 20;
        let model = train(&recipe, &splits, &mut |_| ())
            .expect("it trains")
            .model;
        let compiled = compiled(&model);
        let (labels, worst, rows) = against_tract(&model, &compiled.plan, &splits.train);
        let report = compiled.report;
        eprintln!(
            "{algorithm}: {labels} of {rows} labels differ, probabilities by {worst:e}; plan {} B, arena {} B, {} MAC",
            report.plan_bytes, report.arena_bytes, report.macs
        );
        assert_eq!(labels, 0, "{algorithm}");
        assert!(worst < 1e-3 && rows > 50, "{algorithm}: {worst:e}");
    }
}

#[test]
fn a_trained_network_is_quantized_and_keeps_its_labels() {
    let (recipe, splits) = machine();
    let recipe = recipe.with_algorithm(Algorithm::Mlp);
    let model = train(&recipe, &splits, &mut |_| ())
        .expect("it trains")
        .model;
    let options = QuantizeOptions {
        max_rows: 200,
        ..QuantizeOptions::default()
    };
    let quantized = quantize(&model, &splits.train.inputs, &options).expect("it quantizes");
    let compiled = compiled(&quantized.model);
    let (labels, worst, rows) = against_tract(&quantized.model, &compiled.plan, &splits.train);
    eprintln!(
        "{}\nint8: {labels} of {rows} labels differ from tract's, probabilities by {worst:e}; plan {} B, arena {} B",
        quantized.report, compiled.report.plan_bytes, compiled.report.arena_bytes
    );
    assert!(
        compiled
            .report
            .kernels
            .contains(&"fully_connected.2.3".to_owned())
    );
    assert!(quantized.report.label_agreement.expect("it has labels") > 0.95);
    assert!(labels * 50 <= rows);
}
