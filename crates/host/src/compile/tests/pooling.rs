//! Pools, borders and batch normalisation, compiled and run, against exact arithmetic and tract.

use super::convolution::{computing, difference, finished, quantization};
use super::exact::Evaluator;
use super::{compiled, compiled_for_reference, pseudo_random, run};
use crate::onnx::builder::{Extent, GraphBuilder, Value, float, int, ints, string};
use crate::onnx::proto::{AttributeProto, DataType, ModelProto};
use proptest::prelude::*;

fn image(graph: &mut GraphBuilder, element: DataType, shape: &[usize]) -> Value {
    let extents: Vec<Extent> = shape.iter().map(|&extent| Extent::Fixed(extent)).collect();
    graph.input("input", element, &extents)
}

/// `dequantize → ops → quantize` of bytes, with scales and zero points of input and output.
fn between(
    shape: &[usize],
    (from, to): ((f32, i8), (f32, i8)),
    ops: impl Fn(&mut GraphBuilder, &Value) -> Value,
) -> ModelProto {
    let mut graph = GraphBuilder::new("between");
    let input = image(&mut graph, DataType::Int8, shape);
    let (scale, zero) = quantization(&mut graph, from.0, from.1);
    let x = graph.node("DequantizeLinear", &[&input, &scale, &zero], vec![]);
    let y = ops(&mut graph, &x);
    let (scale, zero) = quantization(&mut graph, to.0, to.1);
    let codes = graph.node("QuantizeLinear", &[&y, &scale, &zero], vec![]);
    finished(graph, &codes, DataType::Int8)
}

fn of_floats(shape: &[usize], ops: impl Fn(&mut GraphBuilder, &Value) -> Value) -> ModelProto {
    let mut graph = GraphBuilder::new("floats");
    let input = image(&mut graph, DataType::Float, shape);
    let y = ops(&mut graph, &input);
    finished(graph, &y, DataType::Float)
}

/// Codes that a plan gives, those of exact arithmetic, and the kernels that computed them.
fn answers(model: &ModelProto, codes: &[i8]) -> (Vec<i8>, Vec<i8>, Vec<String>) {
    let reference = compiled_for_reference(model);
    let bytes: Vec<u8> = codes.iter().map(|&code| code as u8).collect();
    let ours = run(&reference.plan, &bytes).remove(0);
    assert_eq!(run(&compiled(model).plan, &bytes)[0], ours);
    let ours = ours.into_iter().map(|byte| byte as i8).collect();
    let exact = Evaluator::new(model).last_quantized(codes);
    let kernels = computing(&reference.report.kernels);
    let kernels = kernels.into_iter().map(str::to_owned).collect();
    (ours, exact, kernels)
}

fn window_attributes(rank: usize, numbers: [i64; 4], more: i64) -> Vec<AttributeProto> {
    let [kernel, stride, before, behind] = numbers;
    vec![
        ints("kernel_shape", vec![kernel; rank]),
        ints("strides", vec![stride; rank]),
        ints("pads", [vec![before; rank], vec![behind; rank]].concat()),
        int("count_include_pad", more),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn a_quantized_average_equals_exact_arithmetic(
        rank in 1_usize..3,
        (kernel, stride, pads) in (2_i64..4, 1_i64..3, (0_i64..2, 0_i64..2)),
        counted in 0_i64..2,
        relu in any::<bool>(),
        scales in (0.01_f32..0.1, prop_oneof![Just(0.05_f32), 0.01_f32..0.1]),
        zero_points in (any::<i8>(), any::<i8>()),
        codes in prop::collection::vec(any::<i8>(), 3 * 36),
    ) {
        let shape = [&[1, 3][..], &[6, 6][..rank]].concat();
        let quantizations = ((scales.0, zero_points.0), (scales.1, zero_points.1));
        let model = between(&shape, quantizations, |graph, x| {
            let numbers = [kernel, stride, pads.0, pads.1];
            let mean = graph.node("AveragePool", &[x], window_attributes(rank, numbers, counted));
            if relu { graph.node("Relu", &[&mean], vec![]) } else { mean }
        });
        let (ours, exact, kernels) = answers(&model, &codes[..shape.iter().product()]);
        prop_assert_eq!(kernels, ["average_pool_2d.1.1"]);
        prop_assert_eq!(ours, exact);
    }

    #[test]
    fn maxima_borders_slices_and_joins_run_on_codes(
        codes in prop::collection::vec(any::<i8>(), 2 * 25),
        scale in 0.01_f32..0.1,
        zero in any::<i8>(),
    ) {
        let model = between(&[1, 2, 5, 5], ((scale, zero), (scale, zero)), |graph, x| {
            let pads = graph.constant_i64("pads", &[8], &[0, 0, 1, 0, 0, 0, 0, 2]);
            let padded = graph.node("Pad", &[x, &pads], vec![]);
            let window = vec![ints("kernel_shape", vec![3, 2]), ints("strides", vec![1, 2])];
            let best = graph.node("MaxPool", &[&padded], window);
            let one = graph.constant_i64("one", &[1], &[1]);
            let two = graph.constant_i64("two", &[1], &[2]);
            let channel = graph.node("Slice", &[&best, &one, &two, &one], vec![]);
            graph.node("Concat", &[&best, &channel], vec![int("axis", 1)])
        });
        let (ours, exact, kernels) = answers(&model, &codes);
        prop_assert_eq!(kernels, ["concat.1.0", "max_pool_2d.1.1", "pad.1.1"]);
        prop_assert_eq!(ours, exact);
    }
}

#[test]
fn a_border_before_a_quantized_convolution_becomes_its_padding() {
    let codes: Vec<i8> = pseudo_random(3)
        .take(2 * 20)
        .map(|x| (x * 127.0) as i8)
        .collect();
    let model = between(&[1, 2, 5, 4], ((0.05, 7), (0.1, -3)), |graph, x| {
        let pads = graph.constant_i64("pads", &[8], &[0, 0, 1, 0, 0, 0, 2, 1]);
        let padded = graph.node("Pad", &[x, &pads], vec![]);
        let (scale, zero) = quantization(graph, 0.05, 7);
        let again = graph.node("QuantizeLinear", &[&padded, &scale, &zero], vec![]);
        let again = graph.node("DequantizeLinear", &[&again, &scale, &zero], vec![]);
        let weights: Vec<i8> = (0..3 * 2 * 6)
            .map(|index| (index * 37 % 251) as u8 as i8)
            .collect();
        let weights = graph.constant_i8("weights", &[3, 2, 3, 2], &weights);
        let (scale, zero) = quantization(graph, 0.01, 2);
        let weights = graph.node("DequantizeLinear", &[&weights, &scale, &zero], vec![]);
        graph.node(
            "Conv",
            &[&again, &weights],
            vec![ints("strides", vec![2, 1])],
        )
    });
    let (ours, exact, kernels) = answers(&model, &codes);
    assert_eq!(kernels, ["conv_2d.1.1"]);
    assert_eq!((ours.len(), &ours), (3 * 3 * 4, &exact));
}

#[test]
fn float_pools_agree_with_tract() {
    let numbers = [3, 2, 1, 0];
    let cases: [(&str, Vec<AttributeProto>); 6] = [
        ("AveragePool", window_attributes(2, numbers, 0)),
        ("AveragePool", window_attributes(2, numbers, 1)),
        ("MaxPool", window_attributes(2, numbers, 0)[..3].to_vec()),
        (
            "MaxPool",
            [
                &window_attributes(2, [3, 2, 0, 0], 0)[..3],
                &[int("ceil_mode", 1)],
            ]
            .concat(),
        ),
        ("GlobalAveragePool", vec![]),
        ("GlobalMaxPool", vec![]),
    ];
    let shape = [1, 3, 8, 6];
    for (op, attributes) in cases {
        let model = of_floats(&shape, |graph, x| graph.node(op, &[x], attributes.clone()));
        let (worst, compared) = difference(&model, &shape, 2);
        assert!(
            worst < 1e-6 && compared >= 3,
            "{op} {attributes:?}: {worst:e} of {compared}"
        );
    }
}

#[test]
fn a_float_border_agrees_with_tract() {
    let shape = [1, 2, 4, 5];
    for mode in ["constant"] {
        let model = of_floats(&shape, |graph, x| {
            let pads = graph.constant_i64("pads", &[8], &[0, 0, 1, 2, 0, 0, 3, 0]);
            let value = graph.constant_f32("value", &[], &[1.5]);
            graph.node("Pad", &[x, &pads, &value], vec![string("mode", mode)])
        });
        assert_eq!(difference(&model, &shape, 4), (0.0, 2 * 8 * 7), "{mode}");
    }
}

/// A batch normalisation of three channels.
fn normalized(graph: &mut GraphBuilder, x: &Value) -> Value {
    let gamma = graph.constant_f32("gamma", &[3], &[0.5, -1.5, 2.0]);
    let beta = graph.constant_f32("beta", &[3], &[0.1, 0.2, -0.3]);
    let mean = graph.constant_f32("mean", &[3], &[0.4, -0.5, 0.0]);
    let variance = graph.constant_f32("variance", &[3], &[1.0, 0.3, 2.5]);
    let inputs = [x, &gamma, &beta, &mean, &variance];
    graph.node("BatchNormalization", &inputs, vec![float("epsilon", 1e-3)])
}

#[test]
fn a_batch_normalisation_joins_the_convolution_before_it() {
    let shape = [1, 3, 6, 5];
    for op in ["Conv", "ConvTranspose"] {
        let model = of_floats(&shape, |graph, x| {
            let weights: Vec<f32> = pseudo_random(8).take(3 * 3 * 4).collect();
            let weights = graph.constant_f32("weights", &[3, 3, 2, 2], &weights);
            let y = graph.node(op, &[x, &weights], vec![]);
            let y = normalized(graph, &y);
            graph.node("Relu", &[&y], vec![])
        });
        let kernels = compiled(&model).report.kernels;
        assert_eq!(computing(&kernels).len(), 1, "{kernels:?}");
        let (worst, compared) = difference(&model, &shape, 9);
        assert!(
            worst < 5e-6 && compared > 50,
            "{op}: {worst:e} of {compared}"
        );
    }
}

#[test]
fn a_batch_normalisation_alone_is_a_scale() {
    for shape in [vec![1, 3, 4, 5], vec![1, 3, 7]] {
        let model = of_floats(&shape, |graph, x| {
            let y = normalized(graph, x);
            graph.node("Abs", &[&y], vec![])
        });
        let kernels = compiled(&model).report.kernels;
        assert_eq!(computing(&kernels), ["scale.1.0", "abs.1.0"]);
        let (worst, _) = difference(&model, &shape, 9);
        assert!(worst < 1e-6, "{worst:e}");
    }
}

#[test]
fn a_residual_network_of_1_d_convolutions_has_no_transposition_inside() {
    let shape = [1, 4, 16];
    let model = of_floats(&shape, |graph, x| {
        let layer = |graph: &mut GraphBuilder, x: &Value, seed: u32| {
            let weights: Vec<f32> = pseudo_random(seed).take(4 * 4 * 3).collect();
            let weights = graph.constant_f32("weights", &[4, 4, 3], &weights);
            let y = graph.node("Conv", &[x, &weights], vec![ints("pads", vec![1, 1])]);
            graph.node("Relu", &[&y], vec![])
        };
        let first = layer(graph, x, 1);
        let second = layer(graph, &first, 2);
        let sum = graph.node("Add", &[&first, &second], vec![]);
        let row = graph.constant_f32("row", &[4, 1], &[1.0, 2.0, 3.0, 4.0]);
        let scaled = graph.node("Mul", &[&sum, &row], vec![]);
        let flat = graph.node("Flatten", &[&scaled], vec![int("axis", 1)]);
        let limited = graph.node("Relu", &[&flat], vec![]);
        let weights: Vec<f32> = pseudo_random(5).take(64 * 3).collect();
        let weights = graph.constant_f32("dense", &[64, 3], &weights);
        graph.node("MatMul", &[&limited, &weights], vec![])
    });
    let report = compiled(&model).report;
    let copies = report
        .ops
        .iter()
        .filter(|op| op.kernel == "strided_copy.1.0");
    assert_eq!(copies.count(), 1, "{report}");
    let (worst, compared) = difference(&model, &shape, 6);
    assert!(worst < 2e-5 && compared == 3, "{worst:e}");
}

#[test]
fn edges_and_mirrors_stand_around_the_image() {
    let shape = [1, 1, 2, 3];
    for (mode, expected) in [
        (
            "edge",
            [
                1.0, 1.0, 2.0, 3.0, 3.0, 1.0, 1.0, 2.0, 3.0, 3.0, 4.0, 4.0, 5.0, 6.0, 6.0,
            ],
        ),
        (
            "reflect",
            [
                5.0, 4.0, 5.0, 6.0, 5.0, 2.0, 1.0, 2.0, 3.0, 2.0, 5.0, 4.0, 5.0, 6.0, 5.0,
            ],
        ),
    ] {
        let model = of_floats(&shape, |graph, x| {
            let pads = graph.constant_i64("pads", &[8], &[0, 0, 1, 1, 0, 0, 0, 1]);
            graph.node("Pad", &[x, &pads], vec![string("mode", mode)])
        });
        let input = super::f32_bytes(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let ours = super::f32_values(&run(&compiled(&model).plan, &input)[0]);
        assert_eq!(ours, expected, "{mode}");
    }
}
