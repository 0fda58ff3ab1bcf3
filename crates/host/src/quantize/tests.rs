//! Quantized models against their originals.

use super::{QuantizeError, QuantizeOptions, quantize};
use crate::compile::{CompileOptions, compile};
use crate::onnx;
use crate::onnx::builder::{Extent, GraphBuilder, Value, int};
use crate::onnx::proto::{DataType, ModelProto};
use dunlin_engine::Plan;

/// Numbers that look random and are the same everywhere, in -1..1.
fn pseudo_random(seed: u32) -> impl Iterator<Item = f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).max(1);
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as f32 / u32::MAX as f32 * 2.0 - 1.0
    })
}

fn weights(seed: u32, count: usize) -> Vec<f32> {
    pseudo_random(seed)
        .map(|value| value * 0.5)
        .take(count)
        .collect()
}

/// How a layer is written.
#[derive(Clone, Copy)]
enum Style {
    Gemm,
    MatMulAdd,
}

fn layer(graph: &mut GraphBuilder, input: &Value, sizes: [usize; 2], style: Style) -> Value {
    let [inputs, outputs] = sizes;
    let values = weights(inputs as u32, inputs * outputs);
    let bias = graph.constant_f32("bias", &[outputs], &weights(outputs as u32 + 100, outputs));
    match style {
        Style::Gemm => {
            let matrix = graph.constant_f32("weights", &[outputs, inputs], &values);
            graph.node("Gemm", &[input, &matrix, &bias], vec![int("transB", 1)])
        }
        Style::MatMulAdd => {
            let matrix = graph.constant_f32("weights", &[inputs, outputs], &values);
            let product = graph.node("MatMul", &[input, &matrix], vec![]);
            graph.node("Add", &[&product, &bias], vec![])
        }
    }
}

/// Standardisation, 6 → 16 → 12 → 3 with Relu, Softmax, label.
fn classifier(style: Style) -> ModelProto {
    let mut graph = GraphBuilder::new("mlp");
    let batch = Extent::Named("batch");
    let input = graph.input("input", DataType::Float, &[batch.clone(), Extent::Fixed(6)]);
    let mean = graph.constant_f32("mean", &[6], &[0.5, 0.0, -0.25, 0.0, 0.0, 0.125]);
    let mut values = graph.node("Sub", &[&input, &mean], vec![]);
    for sizes in [[6, 16], [16, 12]] {
        let dense = layer(&mut graph, &values, sizes, style);
        values = graph.node("Relu", &[&dense], vec![]);
    }
    let logits = layer(&mut graph, &values, [12, 3], style);
    let probabilities = graph.node("Softmax", &[&logits], vec![int("axis", 1)]);
    let label = graph.node(
        "ArgMax",
        &[&probabilities],
        vec![int("axis", 1), int("keepdims", 0)],
    );
    graph.output(
        &label,
        "label",
        DataType::Int64,
        std::slice::from_ref(&batch),
    );
    graph.output(
        &probabilities,
        "probabilities",
        DataType::Float,
        &[batch, Extent::Fixed(3)],
    );
    graph.finish()
}

fn rows(count: usize) -> Vec<f32> {
    pseudo_random(9)
        .map(|value| value * 3.0)
        .take(count * 6)
        .collect()
}

#[test]
fn the_quantized_model_compiles_to_integer_layers_between_float_features_and_softmax() {
    for style in [Style::Gemm, Style::MatMulAdd] {
        let quantized =
            quantize(&classifier(style), &rows(500), &QuantizeOptions::default()).unwrap();
        let compiled = compile(&quantized.model, &CompileOptions::default()).unwrap();
        let kernels: Vec<&str> = compiled
            .report
            .ops
            .iter()
            .map(|op| op.kernel.as_str())
            .collect();
        let expected = [
            "sub.1.0",
            "quantize_linear.1.0",
            "fully_connected.2.3",
            "fully_connected.2.3",
            "fully_connected.2.3",
            "dequantize_linear.1.0",
            "softmax.1.0",
            "arg_max.1.0",
        ];
        assert_eq!(kernels, expected);
    }
}

#[test]
fn labels_are_kept_and_errors_reported_per_layer() {
    let quantized = quantize(
        &classifier(Style::Gemm),
        &rows(500),
        &QuantizeOptions::default(),
    )
    .unwrap();
    let report = quantized.report;
    assert_eq!((report.rows, report.layers.len()), (500, 4));
    assert!(report.label_agreement.unwrap() > 0.97, "{report}");
    assert!(
        report
            .layers
            .iter()
            .all(|layer| layer.signal_to_noise_db > 30.0),
        "{report}"
    );
    assert!(report.layers[0].largest_error <= report.layers[0].scale * 0.501);
}

#[test]
fn the_original_is_not_changed_and_the_result_is_the_same_every_time() {
    let model = classifier(Style::Gemm);
    let once = quantize(&model, &rows(50), &QuantizeOptions::default()).unwrap();
    let twice = quantize(&model, &rows(50), &QuantizeOptions::default()).unwrap();
    assert_eq!(onnx::encode(&once.model), onnx::encode(&twice.model));
    assert_eq!(onnx::encode(&model), onnx::encode(&classifier(Style::Gemm)));
}

#[test]
fn a_model_of_layers_only_is_quantized_from_input_to_output() {
    let mut graph = GraphBuilder::new("layers");
    let extents = [Extent::Named("batch"), Extent::Fixed(6)];
    let input = graph.input("input", DataType::Float, &extents);
    let hidden = layer(&mut graph, &input, [6, 8], Style::MatMulAdd);
    let result = layer(&mut graph, &hidden, [8, 6], Style::Gemm);
    let name = result.name().to_owned();
    graph.output(&result, &name, DataType::Float, &extents);
    let model = graph.finish();
    let quantized = quantize(&model, &rows(100), &QuantizeOptions::default()).unwrap();
    assert_eq!(quantized.report.label_agreement, None);
    let compiled = compile(&quantized.model, &CompileOptions::default()).unwrap();
    assert_eq!(compiled.report.ops.len(), 4);
    assert_eq!(Plan::load(&compiled.plan).unwrap().outputs().count(), 1);
}

#[test]
fn what_cannot_be_quantized_is_refused() {
    let mut graph = GraphBuilder::new("no layers");
    let extents = [Extent::Named("batch"), Extent::Fixed(6)];
    let input = graph.input("input", DataType::Float, &extents);
    let result = graph.node("Abs", &[&input], vec![]);
    graph.output(&result, "result", DataType::Float, &extents);
    let model = graph.finish();
    let options = QuantizeOptions::default();
    assert!(matches!(
        quantize(&model, &rows(3), &options),
        Err(QuantizeError::NoLayers)
    ));
    let mut old = classifier(Style::Gemm);
    old.opset_import[0].version = 12;
    assert!(matches!(
        quantize(&old, &rows(3), &options),
        Err(QuantizeError::OldOpset { got: 12 })
    ));
    let uneven = quantize(&classifier(Style::Gemm), &[0.0; 7], &options);
    assert!(matches!(
        uneven,
        Err(QuantizeError::Rows {
            values: 7,
            width: 6
        })
    ));
    let none = QuantizeOptions {
        kept_share: 0.0,
        ..options
    };
    assert!(matches!(
        quantize(&model, &rows(3), &none),
        Err(QuantizeError::KeptShare(_))
    ));
}
