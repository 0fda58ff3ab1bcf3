use prost::Message;

use super::*;
use crate::compile::{CompileOptions, compile};
use crate::onnx;
use crate::onnx::builder::{Extent, GraphBuilder, int};
use crate::onnx::proto::DataType;

const CHANNELS: usize = 4;
const CLASSES: usize = 3;

/// Logistic regression: Gemm, Softmax, ArgMax. `bias` moves the first class.
pub(super) fn model(bias: f32) -> Vec<u8> {
    let mut graph = GraphBuilder::new("logistic");
    let batch = Extent::Named("batch");
    let input = graph.input(
        "input",
        DataType::Float,
        &[batch.clone(), Extent::Fixed(CHANNELS)],
    );
    let weights: Vec<f32> = (0..CHANNELS * CLASSES)
        .map(|index| ((index * 7 % 5) as f32 - 2.0) / 3.0)
        .collect();
    let weights = graph.constant_f32("weights", &[CHANNELS, CLASSES], &weights);
    let bias = graph.constant_f32("bias", &[CLASSES], &[bias, 0.25, -0.5]);
    let logits = graph.node("Gemm", &[&input, &weights, &bias], vec![]);
    let probabilities = graph.node("Softmax", &[&logits], vec![int("axis", 1)]);
    let label = graph.node(
        "ArgMax",
        &[&logits],
        vec![int("axis", 1), int("keepdims", 0)],
    );
    graph.output(&label, "label", DataType::Int64, &[batch.clone()]);
    graph.output(
        &probabilities,
        "probabilities",
        DataType::Float,
        &[batch, Extent::Fixed(CLASSES)],
    );
    graph.finish().encode_to_vec()
}

pub(super) fn inputs() -> Vec<Vec<f32>> {
    let value = |index: usize| ((index * 37 % 101) as f32 - 50.0) / 12.0;
    (0..200)
        .map(|row| {
            (0..CHANNELS)
                .map(|channel| value(row * CHANNELS + channel))
                .collect()
        })
        .collect()
}

/// The definition, in double precision.
struct Definition;

impl Backend for Definition {
    fn name(&self) -> &str {
        "definition"
    }

    fn run(&mut self, input: &[f32]) -> Result<Answer, BackendError> {
        let weight = |index: usize| f64::from(((index * 7 % 5) as f32 - 2.0) / 3.0);
        let logit = |class: usize| -> f64 {
            let sum: f64 = input
                .iter()
                .enumerate()
                .map(|(at, &x)| f64::from(x) * weight(at * CLASSES + class))
                .sum();
            sum + [0.5, 0.25, -0.5][class]
        };
        let powers: Vec<f64> = (0..CLASSES).map(|class| logit(class).exp()).collect();
        let total: f64 = powers.iter().sum();
        let label = (0..CLASSES)
            .rev()
            .max_by(|&a, &b| powers[a].total_cmp(&powers[b]))
            .unwrap();
        Ok(Answer {
            label: Some(label as i32),
            scores: powers.iter().map(|power| (power / total) as f32).collect(),
        })
    }
}

fn compared(backend: impl Backend + 'static) -> Verification {
    let mut rivals = [Rival {
        backend: Box::new(backend),
        tolerance: Tolerance::Absolute(1e-6),
    }];
    let inputs = inputs();
    verify(
        &mut Definition,
        &mut rivals,
        inputs.iter().map(Vec::as_slice),
    )
    .unwrap()
}

fn onnx_runtime(model: &[u8]) -> Option<OnnxRuntime> {
    let own = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../target/python/bin/python"
    )
    .into();
    let options = OnnxRuntimeOptions {
        library: None,
        pythons: vec![own],
    };
    match OnnxRuntime::load(model, &options) {
        Ok(backend) => Some(backend),
        Err(error) => {
            eprintln!("skipped: {error}");
            None
        }
    }
}

#[test]
fn tract_agrees_with_the_definition() {
    let found = compared(Tract::load(&model(0.5)).unwrap());
    assert!(found.passed(), "{found}");
    let comparison = &found.comparisons[0];
    assert_eq!(
        (comparison.inputs, comparison.values),
        (200, 200 * (1 + CLASSES))
    );
    assert!(
        comparison.differing > 0,
        "another order of additions shows in the count"
    );
}

#[test]
fn onnx_runtime_agrees_with_the_definition() {
    let Some(backend) = onnx_runtime(&model(0.5)) else {
        return;
    };
    let found = compared(backend);
    assert!(found.passed(), "{found}");
    assert_eq!(found.comparisons[0].values, 200 * (1 + CLASSES));
}

#[test]
fn another_model_is_noticed() {
    let found = compared(Tract::load(&model(0.5001)).unwrap());
    assert!(!found.passed());
    assert!(found.comparisons[0].first_failure.is_some());
    if let Some(backend) = onnx_runtime(&model(0.5001)) {
        assert!(!compared(backend).passed());
    }
}

#[test]
fn a_file_that_is_no_model_is_an_error() {
    assert!(Tract::load(b"no model").is_err());
    assert!(Tract::load(&[]).is_err());
}

#[test]
fn an_input_of_another_length_is_an_error_that_names_it() {
    let mut tract = Tract::load(&model(0.5)).unwrap();
    let error = verify(&mut tract, &mut [], [&[1.0_f32; 3][..]]).unwrap_err();
    assert_eq!(error.backend, "tract");
    assert!(error.reason.starts_with("input 0: "), "{error}");
    if let Some(mut backend) = onnx_runtime(&model(0.5)) {
        assert!(backend.run(&[1.0; 3]).is_err());
    }
}

#[test]
fn a_library_that_is_not_there_is_not_found() {
    let none = OnnxRuntimeOptions {
        library: Some("/nowhere/libonnxruntime.so".into()),
        pythons: Vec::new(),
    };
    assert_eq!(
        none.find(),
        Some("/nowhere/libonnxruntime.so".into()),
        "what was named is not second-guessed"
    );
}

#[test]
fn indices_are_spread_over_all_inputs() {
    assert_eq!(spread(10, 4).collect::<Vec<_>>(), [0, 2, 5, 7]);
    assert_eq!(spread(3, 100).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(spread(0, 5).count() + spread(5, 0).count(), 0);
}

pub(super) fn plan(model: &[u8]) -> Vec<u8> {
    compile(&onnx::decode(model).unwrap(), &CompileOptions::default())
        .unwrap()
        .plan
}

fn boxed(backend: impl Backend + 'static) -> Box<dyn Backend> {
    Box::new(backend)
}

fn rivals(model: &[u8], tolerance: Tolerance) -> Vec<Rival> {
    let tract = Tract::load(model).map(boxed).ok();
    let onnx_runtime = onnx_runtime(model).map(boxed);
    let opened = [tract, onnx_runtime].into_iter().flatten();
    opened.map(|backend| Rival { backend, tolerance }).collect()
}

#[test]
fn a_compiled_model_agrees_with_the_libraries_and_with_itself() {
    let (model, inputs) = (model(0.5), inputs());
    let plan: &'static [u8] = plan(&model).leak();
    let mut rivals = rivals(&model, Tolerance::Absolute(1e-6));
    rivals.push(Rival {
        backend: Box::new(Local::load(plan).unwrap()),
        tolerance: Tolerance::Exact,
    });
    let found = verify(
        &mut Local::load(plan).unwrap(),
        &mut rivals,
        inputs.iter().map(Vec::as_slice),
    )
    .unwrap();
    assert!(found.passed(), "{found}");
    assert!(
        found
            .comparisons
            .iter()
            .all(|comparison| comparison.values == 200 * (1 + CLASSES))
    );
    assert_eq!(found.comparisons.last().map(|own| own.differing), Some(0));
}

/// One number from a Gemm: a model without classes.
fn regression() -> Vec<u8> {
    let mut graph = GraphBuilder::new("regression");
    let batch = Extent::Named("batch");
    let input = graph.input(
        "input",
        DataType::Float,
        &[batch.clone(), Extent::Fixed(CHANNELS)],
    );
    let weights = graph.constant_f32("weights", &[CHANNELS, 1], &[0.5, -1.25, 0.1, 3.0]);
    let bias = graph.constant_f32("bias", &[1], &[0.75]);
    let value = graph.node("Gemm", &[&input, &weights, &bias], vec![]);
    graph.output(&value, "value", DataType::Float, &[batch, Extent::Fixed(1)]);
    graph.finish().encode_to_vec()
}

#[test]
fn a_model_without_classes_is_compared_by_its_numbers() {
    let plan = plan(&regression());
    let mut rivals = rivals(&regression(), Tolerance::Absolute(1e-5));
    let inputs = inputs();
    let found = verify(
        &mut Local::load(&plan).unwrap(),
        &mut rivals,
        inputs.iter().map(Vec::as_slice),
    )
    .unwrap();
    assert!(found.passed(), "{found}");
    assert!(
        found
            .comparisons
            .iter()
            .all(|comparison| comparison.values == 200)
    );
}
