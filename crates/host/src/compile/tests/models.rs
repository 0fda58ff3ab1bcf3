//! Models made by others, with the answers others gave.

use super::exact::Evaluator;
use super::{Compiled, compiled, f32_bytes, f32_values, npz, pseudo_random, run, shared_models};
use crate::compile::{CompileOptions, Leaves, compile};
use crate::onnx;
use crate::onnx::proto::ModelProto;

pub(super) fn differing(a: &[u8], b: &[u8]) -> usize {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).filter(|(a, b)| a != b).count()
}

fn signed(bytes: &[u8]) -> Vec<i8> {
    bytes.iter().map(|&byte| byte as i8).collect()
}

fn unsigned(codes: &[i8]) -> Vec<u8> {
    codes.iter().map(|&code| code as u8).collect()
}

/// Values compared, and how many differ from exact arithmetic and from each recorded answer.
pub(super) struct Counts {
    pub values: usize,
    pub exact: usize,
    pub onnx_runtime: usize,
    pub onnx_runtime_unoptimized: usize,
    pub tflite: usize,
}

pub(super) fn count_int8(name: &str) -> Option<(Compiled, Counts)> {
    let folder = shared_models()?;
    let model = onnx::read(&folder.join(format!("{name}_int8_qdq.onnx"))).unwrap();
    let samples = npz::read(&folder.join(format!("{name}_samples.npz")));
    let (compiled, evaluator) = (compiled(&model), Evaluator::new(&model));
    let mut counts = Counts {
        values: 0,
        exact: 0,
        onnx_runtime: 0,
        onnx_runtime_unoptimized: 0,
        tflite: 0,
    };
    for row in 0..samples["inputs_int8"].shape[0] {
        let input = samples["inputs_int8"].row(row);
        let ours = run(&compiled.plan, input).remove(0);
        counts.values += ours.len();
        counts.exact += differing(&ours, &unsigned(&evaluator.last_quantized(&signed(input))));
        counts.onnx_runtime += differing(&ours, samples["onnx_int8_ort"].row(row));
        counts.onnx_runtime_unoptimized +=
            differing(&ours, samples["onnx_int8_ort_noopt"].row(row));
        counts.tflite += differing(&ours, samples["expected_int8_ref"].row(row));
    }
    eprintln!(
        "{name}: {} values; differ from exact {}, ONNX Runtime {}, unoptimized {}, TFLite reference {}",
        counts.values,
        counts.exact,
        counts.onnx_runtime,
        counts.onnx_runtime_unoptimized,
        counts.tflite
    );
    Some((compiled, counts))
}

#[test]
fn hello_equals_exact_arithmetic_and_onnx_runtime() {
    let Some((compiled, counts)) = count_int8("hello") else {
        return;
    };
    assert_eq!((counts.values, counts.exact), (20, 0));
    assert_eq!(
        (counts.onnx_runtime, counts.onnx_runtime_unoptimized),
        (0, 0)
    );
    // Four units of the first layer give 0 for every input.
    assert_eq!(compiled.report.arena_bytes, 28);
    assert_eq!(compiled.report.macs, 12 + 12 * 16 + 16);
}

#[test]
fn the_autoencoder_equals_exact_arithmetic() {
    let Some((compiled, counts)) = count_int8("ad") else {
        return;
    };
    assert_eq!((counts.values, counts.exact), (12_800, 0));
    assert!(counts.onnx_runtime <= 1 && counts.onnx_runtime_unoptimized <= 1);
    assert!(
        counts.tflite > 0,
        "double rounding is not what this engine does"
    );
    assert_eq!(compiled.report.arena_bytes, 768);
    assert_eq!(compiled.report.macs, 264_192);
}

#[test]
fn quantized_pytorch_models_equal_exact_arithmetic() {
    let Some(folder) = shared_models() else {
        return;
    };
    for name in ["q_mlp_QDQ_pc", "q_mlp_QDQ_pt"] {
        let model = onnx::read(&folder.join(format!("imported/{name}.onnx"))).unwrap();
        let compiled = compiled(&model);
        let graph = model.graph().unwrap();
        let scale = graph.initializer("7_scale").unwrap().to_f32().unwrap()[0];
        let zero = i32::from(graph.initializer("7_zero_point").unwrap().to_i8().unwrap()[0]);
        let mut compared = 0;
        for seed in 0..200 {
            let input: Vec<f32> = pseudo_random(seed)
                .map(|value| value * 4.0)
                .take(64)
                .collect();
            let exact = Evaluator::new(&model).last_quantized_of(&input);
            let expected: Vec<f32> = exact
                .iter()
                .map(|&q| (i32::from(q) - zero) as f32 * scale)
                .collect();
            assert_eq!(
                f32_values(&run(&compiled.plan, &f32_bytes(&input))[0]),
                expected,
                "{name}, seed {seed}"
            );
            compared += expected.len();
        }
        assert_eq!(compared, 2000);
    }
}

/// Labels and probabilities of a forest against scikit-learn's, for every sample.
fn compare_forest(name: &str, leaves: Leaves) -> Option<(Compiled, usize, f32)> {
    let folder = shared_models()?;
    let model = onnx::read(&folder.join(format!("{name}.onnx"))).unwrap();
    let samples = npz::read(&folder.join(format!("{name}_samples.npz")));
    let options = CompileOptions {
        leaves,
        ..CompileOptions::default()
    };
    let compiled = compile(&model, &options).unwrap();
    let (mut labels, mut worst) = (0, 0.0_f32);
    for row in 0..samples["inputs"].shape[0] {
        let outputs = run(&compiled.plan, samples["inputs"].row(row));
        labels += usize::from(outputs[0] != samples["expected_label"].row(row)[..4]);
        let expected = f32_values(samples["expected_proba"].row(row));
        let errors = f32_values(&outputs[1])
            .into_iter()
            .zip(expected)
            .map(|(a, b)| (a - b).abs());
        worst = errors.fold(worst, f32::max);
    }
    let bytes = compiled.report.plan_bytes;
    eprintln!(
        "{name}, {leaves:?}: {labels} of 64 labels differ, probabilities by {worst:e}, plan {bytes} B"
    );
    Some((compiled, labels, worst))
}

#[test]
fn forests_give_the_labels_and_probabilities_of_scikit_learn() {
    for name in ["rf_bc_10", "rf_digits_100"] {
        let Some((_, labels, worst)) = compare_forest(name, Leaves::Exact) else {
            return;
        };
        assert_eq!(labels, 0);
        assert!(worst < 2e-6);
    }
}

#[test]
fn compact_leaves_keep_labels_and_stay_within_their_tolerance() {
    let Some((compact, labels, worst)) = compare_forest("rf_digits_100", Leaves::Compact) else {
        return;
    };
    let exact = compare_forest("rf_digits_100", Leaves::Exact).unwrap().0;
    assert_eq!(labels, 0);
    assert!(worst <= 1.0 / 510.0 + 1e-6);
    assert!(compact.report.plan_bytes < exact.report.plan_bytes);
    assert!(compact.report.plan_bytes <= 80_000);
    assert_eq!(compact.report.kernels, ["tree_ensemble.1.5"]);
    for leaves in [Leaves::Exact, Leaves::Compact] {
        let (votes, labels, worst) = compare_forest("rf_bc_10", leaves).unwrap();
        assert_eq!(labels, 0);
        assert!(worst < 2e-7);
        assert!(votes.report.plan_bytes <= 1_700);
        assert_eq!(votes.report.kernels, ["tree_ensemble.1.3"]);
    }
}

/// Largest difference from tract, and how many labels differ.
fn compare_with_tract(model: &ModelProto, width: usize, scale: f32) -> (f32, usize, usize) {
    use tract_onnx::prelude::*;
    let bytes = onnx::encode(model);
    let parsed = tract_onnx::onnx().model_for_read(&mut &bytes[..]).unwrap();
    let fact = InferenceFact::dt_shape(f32::datum_type(), [1, width]);
    let runnable = parsed
        .with_input_fact(0, fact)
        .unwrap()
        .into_optimized()
        .unwrap()
        .into_runnable()
        .unwrap();
    let plan = compiled(model).plan;
    let (mut worst, mut labels, mut compared) = (0.0_f32, 0, 0);
    for seed in 0..100 {
        let input: Vec<f32> = pseudo_random(seed)
            .map(|value| value.abs() * scale)
            .take(width)
            .collect();
        let tensor = tract_ndarray::Array2::from_shape_vec((1, width), input.clone())
            .unwrap()
            .into_tensor();
        let expected = runnable.run(tvec!(tensor.into())).unwrap();
        for (ours, theirs) in run(&plan, &f32_bytes(&input)).iter().zip(&expected) {
            if theirs.datum_type() == f32::datum_type() {
                let theirs = theirs.to_plain_array_view::<f32>().unwrap();
                let pairs = f32_values(ours).into_iter().zip(theirs.iter());
                worst = pairs.map(|(a, b)| (a - b).abs()).fold(worst, f32::max);
                compared += theirs.len();
            } else {
                let theirs = theirs.cast_to::<i64>().unwrap();
                let label = theirs
                    .to_plain_array_view::<i64>()
                    .unwrap()
                    .iter()
                    .next()
                    .copied()
                    .unwrap();
                labels += usize::from(ours[..] != (label as i32).to_le_bytes());
            }
        }
    }
    (worst, labels, compared)
}

#[test]
fn float_models_agree_with_tract() {
    let Some(folder) = shared_models() else {
        return;
    };
    let cases = [
        ("pt_mlp", 2.0, 1e-5),
        ("skl_tree", 16.0, 0.0),
        ("skl_rf", 16.0, 2e-6),
    ];
    for (name, scale, tolerance) in cases {
        let model = onnx::read(&folder.join(format!("imported/{name}.onnx"))).unwrap();
        let (worst, labels, compared) = compare_with_tract(&model, 64, scale);
        eprintln!("{name}: {compared} values within {worst:e} of tract, {labels} labels differ");
        assert_eq!((labels, compared), (0, 1000), "{name}");
        assert!(worst <= tolerance, "{name}: {worst:e}");
    }
}
