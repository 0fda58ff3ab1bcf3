//! Random quantised layers, compiled and run, against exact arithmetic.

use super::exact::Evaluator;
use super::{compiled, run};
use crate::compile::{CompileOptions, compile};
use crate::onnx::builder::{Extent, GraphBuilder, Value, int, value_info};
use crate::onnx::proto::{DataType, ModelProto};
use proptest::prelude::*;

/// A layer of int8 weights with its scales, as a file has them.
#[derive(Clone, Debug)]
struct Layer {
    inputs: usize,
    weights: Vec<i8>,
    weight_scales: Vec<f32>,
    bias: Vec<i32>,
    bias_scale_error: f32,
    relu: bool,
    input: (f32, i8),
    output: (f32, i8),
}

/// Scales as calibration gives them, and powers of two, which make ties.
fn scale(powers: std::ops::Range<i32>) -> impl Strategy<Value = f32> {
    prop_oneof![
        (powers.clone(), 1.0_f32..2.0).prop_map(|(power, mantissa)| mantissa * 2_f32.powi(power)),
        powers.clone().prop_map(|power| 2_f32.powi(power)),
        powers.prop_map(|power| 1.5 * 2_f32.powi(power)),
    ]
}

fn layer() -> impl Strategy<Value = Layer> {
    (1_usize..20, 1_usize..6, any::<bool>()).prop_flat_map(|(inputs, outputs, per_channel)| {
        let scales = if per_channel { outputs } else { 1 };
        (
            prop::collection::vec(any::<i8>(), inputs * outputs),
            prop::collection::vec(scale(-10..-4), scales),
            prop::collection::vec(-20_000..20_000, outputs),
            prop_oneof![Just(1.0_f32), 0.9_f32..1.1],
            any::<bool>(),
            (scale(-8..-3), any::<i8>()),
            (scale(-8..-1), any::<i8>()),
        )
            .prop_map(
                move |(weights, weight_scales, bias, bias_scale_error, relu, input, output)| {
                    Layer {
                        inputs,
                        weights,
                        weight_scales,
                        bias,
                        bias_scale_error,
                        relu,
                        input,
                        output,
                    }
                },
            )
    })
}

impl Layer {
    fn model(&self) -> ModelProto {
        let mut graph = GraphBuilder::new("layer");
        let extents = [Extent::Named("batch"), Extent::Fixed(self.inputs)];
        let input = graph.input("input", DataType::Int8, &extents);
        let (scale, zero) = quantization(&mut graph, self.input);
        let x = graph.node("DequantizeLinear", &[&input, &scale, &zero], vec![]);
        let (weights, bias) = self.constants(&mut graph);
        let mut y = graph.node("Gemm", &[&x, &weights, &bias], vec![int("transB", 1)]);
        if self.relu {
            y = graph.node("Relu", &[&y], vec![]);
        }
        let (scale, zero) = quantization(&mut graph, self.output);
        let codes = graph.node("QuantizeLinear", &[&y, &scale, &zero], vec![]);
        let mut model = graph.finish();
        let output = value_info(codes.name(), DataType::Int8, &[]);
        model.graph.as_mut().expect("a graph").output.push(output);
        model
    }

    fn constants(&self, graph: &mut GraphBuilder) -> (Value, Value) {
        let (scales, outputs) = (self.weight_scales.len(), self.bias.len());
        let shape: Vec<usize> = if scales == 1 { vec![] } else { vec![scales] };
        let bias_scales: Vec<f32> = self
            .weight_scales
            .iter()
            .map(|scale| scale * self.input.0 * self.bias_scale_error)
            .collect();
        let axis = || vec![int("axis", 0)];
        let weights = graph.constant_i8("weights", &[outputs, self.inputs], &self.weights);
        let scale = graph.constant_f32("weights_scale", &shape, &self.weight_scales);
        let weights = graph.node("DequantizeLinear", &[&weights, &scale], axis());
        let bias = graph.constant_i32("bias", &[outputs], &self.bias);
        let scale = graph.constant_f32("bias_scale", &shape, &bias_scales);
        let bias = graph.node("DequantizeLinear", &[&bias, &scale], axis());
        (weights, bias)
    }
}

fn quantization(graph: &mut GraphBuilder, (scale, zero): (f32, i8)) -> (Value, Value) {
    (
        graph.constant_f32("scale", &[], &[scale]),
        graph.constant_i8("zero", &[], &[zero]),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_compiled_layer_equals_exact_arithmetic(layer in layer(), seed in prop::collection::vec(any::<i8>(), 20)) {
        let model = layer.model();
        let reference = CompileOptions { reference: true, ..CompileOptions::default() };
        let by_definition = compile(&model, &reference).expect("the model compiles");
        prop_assert_eq!(&by_definition.report.kernels, &["fully_connected.1.1"]);
        let compiled = compiled(&model);
        let input: Vec<i8> = seed.into_iter().take(layer.inputs).collect();
        let bytes: Vec<u8> = input.iter().map(|&code| code as u8).collect();
        let ours: Vec<i8> = run(&compiled.plan, &bytes)[0].iter().map(|&byte| byte as i8).collect();
        prop_assert_eq!(run(&by_definition.plan, &bytes), run(&compiled.plan, &bytes));
        prop_assert_eq!(ours, Evaluator::new(&model).last_quantized(&input));
    }
}
