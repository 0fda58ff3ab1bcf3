//! Convolutional networks made by others, with the answers others gave.

use super::convolution::{computing, difference};
use super::exact::Evaluator;
use super::models::{count_int8, differing};
use super::{
    compiled, compiled_for_reference, f32_bytes, f32_values, npz, pseudo_random, run, shared_models,
};
use crate::onnx;

/// Kernels that none of these networks should need.
fn has_copies(kernels: &[String]) -> bool {
    kernels
        .iter()
        .any(|kernel| kernel.starts_with("strided_copy"))
}

#[test]
fn the_image_classifier_equals_exact_arithmetic() {
    let Some((compiled, counts)) = count_int8("ic") else {
        return;
    };
    assert!(
        !has_copies(&compiled.report.kernels),
        "{:?}",
        compiled.report.kernels
    );
    assert_eq!((counts.values, counts.exact), (200, 0));
    assert!(counts.onnx_runtime <= 6 && counts.onnx_runtime_unoptimized <= 6);
    assert_eq!(compiled.report.macs, 12_501_632);
}

#[test]
fn the_keyword_spotter_equals_exact_arithmetic() {
    let Some((compiled, counts)) = count_int8("kws") else {
        return;
    };
    assert!(
        !has_copies(&compiled.report.kernels),
        "{:?}",
        compiled.report.kernels
    );
    assert_eq!((counts.values, counts.exact), (240, 0));
    assert!(counts.onnx_runtime < 12 && counts.onnx_runtime_unoptimized < 12);
    assert_eq!(compiled.report.macs, 2_656_768);
}

#[test]
fn float_networks_agree_with_tflite() {
    let Some(folder) = shared_models() else {
        return;
    };
    for (name, tolerance) in [("kws", 2e-6), ("ic", 2e-6)] {
        let model = onnx::read(&folder.join(format!("{name}_fp32.onnx"))).unwrap();
        let samples = npz::read(&folder.join(format!("{name}_samples.npz")));
        let compiled = compiled(&model);
        assert!(
            !has_copies(&compiled.report.kernels),
            "{:?}",
            compiled.report.kernels
        );
        let (mut worst, mut compared) = (0.0_f32, 0);
        for row in 0..samples["inputs_f32"].shape[0] {
            let ours = f32_values(&run(&compiled.plan, samples["inputs_f32"].row(row))[0]);
            let theirs = f32_values(samples["expected_f32"].row(row));
            let errors = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs());
            worst = errors.fold(worst, f32::max);
            compared += ours.len();
        }
        eprintln!("{name}: {compared} values within {worst:e} of TFLite");
        assert!(worst <= tolerance && compared >= 200, "{name}: {worst:e}");
    }
}

#[test]
fn networks_from_pytorch_agree_with_tract() {
    let Some(folder) = shared_models() else {
        return;
    };
    for name in ["pt_dscnn", "pt_dscnn_dynamo"] {
        let model = onnx::read(&folder.join(format!("imported/{name}.onnx"))).unwrap();
        let kernels = compiled(&model).report.kernels;
        assert!(!has_copies(&kernels), "{name}: {kernels:?}");
        let (worst, compared) = difference(&model, &[1, 1, 49, 10], 5);
        eprintln!("{name}: {compared} values within {worst:e} of tract");
        assert!(worst < 1e-5 && compared == 12, "{name}: {worst:e}");
    }
}

#[test]
fn a_quantized_network_from_pytorch_equals_exact_arithmetic() {
    let Some(folder) = shared_models() else {
        return;
    };
    let model = onnx::read(&folder.join("imported/q_dscnn_QDQ_pc.onnx")).unwrap();
    let compiled = compiled_for_reference(&model);
    let kernels = computing(&compiled.report.kernels);
    let expected = [
        "dequantize_linear.1.0",
        "quantize_linear.1.0",
        "fully_connected.1.1",
        "conv_2d.1.1",
        "reduce_mean.1.1",
    ];
    let unexpected = kernels.iter().filter(|kernel| !expected.contains(kernel));
    assert_eq!(unexpected.count(), 0, "{kernels:?}");
    let graph = model.graph().unwrap();
    let last = graph
        .node
        .iter()
        .rev()
        .find(|node| node.op_type == "QuantizeLinear")
        .unwrap();
    let constant = |index: usize| graph.initializer(&last.input[index]).unwrap();
    let scale = constant(1).to_f32().unwrap()[0];
    let zero = i32::from(constant(2).to_i8().unwrap()[0]);
    let evaluator = Evaluator::new(&model);
    let mut wrong = 0;
    for seed in 0..8 {
        let input: Vec<f32> = pseudo_random(seed)
            .map(|value| value * 2.0)
            .take(490)
            .collect();
        let ours = run(&compiled.plan, &f32_bytes(&input)).remove(0);
        let exact = evaluator.last_quantized_of(&input);
        let exact: Vec<f32> = exact
            .iter()
            .map(|&q| (i32::from(q) - zero) as f32 * scale)
            .collect();
        wrong += differing(&ours, &f32_bytes(&exact));
    }
    assert_eq!(wrong, 0);
}
