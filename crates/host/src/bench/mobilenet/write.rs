//! Writes the quantized network as ONNX.

use super::float::Layer;
use crate::onnx::builder::{Extent, GraphBuilder, Value, int, ints};
use crate::onnx::proto::{DataType, ModelProto};

const OPSET: i64 = 13;
const IR_VERSION: i64 = 7;
/// Scale of the input: a byte from 0 to 1.
const INPUT_SCALE: f32 = 1.0 / 255.0;
const PROBABILITY_SCALE: f32 = 1.0 / 256.0;
/// Zero point of what is never below zero.
const LEAST: i8 = -128;

/// Weights of a convolution and the scale of what it gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantized {
    /// In the order of ONNX.
    pub taps: Vec<i8>,
    /// One for every output channel.
    pub scales: Vec<f32>,
    /// One for every output channel, not quantized.
    pub bias: Vec<f32>,
    /// Scale of the output; its zero point is -128.
    pub output_scale: f32,
}

/// The last layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Dense {
    /// Inputs × classes.
    pub weights: Vec<i8>,
    /// Inputs.
    pub width: usize,
    /// Scale of the weights.
    pub scale: f32,
    /// One for every class, not quantized.
    pub bias: Vec<f32>,
    /// Scale of the logits.
    pub output_scale: f32,
    /// Zero point of the logits.
    pub output_zero_point: i8,
}

/// A quantized value and what its codes mean.
struct Code {
    value: Value,
    scale: f32,
    zero_point: i8,
}

/// The whole network for an input of `size` × `size` pixels.
pub fn model(size: usize, layers: &[(Layer, Quantized)], dense: &Dense) -> ModelProto {
    let mut graph = GraphBuilder::new("mobilenet_v1_0.25_96");
    let channels = layers.first().map_or(0, |(layer, _)| layer.inputs);
    let extents = [1, size, size, channels].map(Extent::Fixed);
    let input = graph.input("input_int8", DataType::Int8, &extents);
    let mut code = Code {
        value: graph.node("Transpose", &[&input], vec![ints("perm", vec![0, 3, 1, 2])]),
        scale: INPUT_SCALE,
        zero_point: LEAST,
    };
    let mut extent = size;
    for (layer, weights) in layers {
        code = convolution(&mut graph, &code, layer, weights);
        extent = extent.div_ceil(layer.stride);
    }
    let pooled = average(&mut graph, &code, extent);
    let logits = classes(&mut graph, &pooled, dense);
    let real = dequantize(&mut graph, &logits);
    let probabilities = graph.node("Softmax", &[&real], vec![]);
    let output = quantize(&mut graph, &probabilities, PROBABILITY_SCALE, LEAST);
    let extents = [1, dense.bias.len()].map(Extent::Fixed);
    graph.output(
        &output.value,
        "probabilities_int8",
        DataType::Int8,
        &extents,
    );
    let mut model = graph.finish();
    model.ir_version = IR_VERSION;
    model
        .opset_import
        .iter_mut()
        .for_each(|set| set.version = OPSET);
    model
}

fn quantize(graph: &mut GraphBuilder, value: &Value, scale: f32, zero_point: i8) -> Code {
    let factor = graph.constant_f32("scale", &[], &[scale]);
    let zero = graph.constant_i8("zero_point", &[], &[zero_point]);
    Code {
        value: graph.node("QuantizeLinear", &[value, &factor, &zero], vec![]),
        scale,
        zero_point,
    }
}

fn dequantize(graph: &mut GraphBuilder, code: &Code) -> Value {
    let factor = graph.constant_f32("scale", &[], &[code.scale]);
    let zero = graph.constant_i8("zero_point", &[], &[code.zero_point]);
    graph.node("DequantizeLinear", &[&code.value, &factor, &zero], vec![])
}

/// A bias in steps of input scale × weight scale.
fn bias_codes(bias: &[f32], scales: &[f32]) -> Vec<i32> {
    let code = |(bias, scale): (&f32, &f32)| {
        (f64::from(*bias) / f64::from(*scale)).round_ties_even() as i32
    };
    bias.iter().zip(scales).map(code).collect()
}

fn convolution(graph: &mut GraphBuilder, input: &Code, layer: &Layer, weights: &Quantized) -> Code {
    let channels = [layer.outputs];
    let shape = [layer.outputs, layer.depth(), layer.kernel, layer.kernel];
    let taps = graph.constant_i8("weights", &shape, &weights.taps);
    let scales = graph.constant_f32("weight_scales", &channels, &weights.scales);
    let zeros = graph.constant_i8("weight_zero_points", &channels, &vec![0; layer.outputs]);
    let taps = graph.node(
        "DequantizeLinear",
        &[&taps, &scales, &zeros],
        vec![int("axis", 0)],
    );
    let steps: Vec<f32> = weights
        .scales
        .iter()
        .map(|scale| scale * input.scale)
        .collect();
    let bias = graph.constant_i32("bias", &channels, &bias_codes(&weights.bias, &steps));
    let scales = graph.constant_f32("bias_scales", &channels, &steps);
    let zeros = graph.constant_i32("bias_zero_points", &channels, &vec![0; layer.outputs]);
    let bias = graph.node(
        "DequantizeLinear",
        &[&bias, &scales, &zeros],
        vec![int("axis", 0)],
    );
    let real = dequantize(graph, input);
    let (kernel, stride) = (layer.kernel as i64, layer.stride as i64);
    let [before, behind] = layer.padding().map(|pixels| pixels as i64);
    let attributes = vec![
        ints("dilations", vec![1, 1]),
        int("group", layer.groups as i64),
        ints("kernel_shape", vec![kernel, kernel]),
        ints("pads", vec![before, before, behind, behind]),
        ints("strides", vec![stride, stride]),
    ];
    let sum = graph.node("Conv", &[&real, &taps, &bias], attributes);
    let rectified = graph.node("Relu", &[&sum], vec![]);
    quantize(graph, &rectified, weights.output_scale, LEAST)
}

/// The mean over all pixels, in the steps of its input, as one row.
fn average(graph: &mut GraphBuilder, input: &Code, extent: usize) -> Code {
    let real = dequantize(graph, input);
    let size = vec![extent as i64; 2];
    let attributes = vec![ints("kernel_shape", size.clone()), ints("strides", size)];
    let mean = graph.node("AveragePool", &[&real], attributes);
    let pooled = quantize(graph, &mean, input.scale, input.zero_point);
    let shape = graph.constant_i64("row", &[2], &[1, -1]);
    Code {
        value: graph.node("Reshape", &[&pooled.value, &shape], vec![]),
        ..pooled
    }
}

fn classes(graph: &mut GraphBuilder, input: &Code, dense: &Dense) -> Code {
    let classes = dense.bias.len();
    let weights = Code {
        value: graph.constant_i8("dense_weights", &[dense.width, classes], &dense.weights),
        scale: dense.scale,
        zero_point: 0,
    };
    let weights = dequantize(graph, &weights);
    let step = input.scale * dense.scale;
    let bias = graph.constant_i32(
        "dense_bias",
        &[classes],
        &bias_codes(&dense.bias, &vec![step; classes]),
    );
    let factor = graph.constant_f32("dense_bias_scale", &[], &[step]);
    let zero = graph.constant_i32("dense_bias_zero_point", &[], &[0]);
    let bias = graph.node("DequantizeLinear", &[&bias, &factor, &zero], vec![]);
    let real = dequantize(graph, input);
    let product = graph.node("MatMul", &[&real, &weights], vec![]);
    let logits = graph.node("Add", &[&product, &bias], vec![]);
    quantize(graph, &logits, dense.output_scale, dense.output_zero_point)
}
