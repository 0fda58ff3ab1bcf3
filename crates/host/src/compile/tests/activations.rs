//! Float activations and normalisations against double precision.

use super::{compiled, f32_bytes, f32_values, pseudo_random, run};
use crate::onnx::builder::{Extent, GraphBuilder, Value, float, int, string};
use crate::onnx::proto::{AttributeProto, DataType, ModelProto};

const WIDTH: usize = 64;

fn model(build: impl FnOnce(&mut GraphBuilder, &Value) -> Value) -> ModelProto {
    let mut graph = GraphBuilder::new("activation");
    let extents = [Extent::Named("batch"), Extent::Fixed(WIDTH)];
    let input = graph.input("input", DataType::Float, &extents);
    let result = build(&mut graph, &input);
    graph.output(&result, "result", DataType::Float, &extents);
    graph.finish()
}

fn input() -> Vec<f32> {
    pseudo_random(4).map(|x| x * 6.0).take(WIDTH).collect()
}

/// The largest error of a model, relative where results are above one.
fn worst(model: &ModelProto, expected: impl Fn(f64) -> f64) -> f64 {
    let input = input();
    let ours = f32_values(&run(&compiled(model).plan, &f32_bytes(&input))[0]);
    let error = |(y, &x): (f32, &f32)| {
        let expected = expected(f64::from(x));
        (f64::from(y) - expected).abs() / expected.abs().max(1.0)
    };
    ours.into_iter().zip(&input).map(error).fold(0.0, f64::max)
}

fn softplus(x: f64) -> f64 {
    x.exp().ln_1p()
}

#[test]
fn activations_match_double_precision() {
    type Case = (&'static str, Vec<AttributeProto>, fn(f64) -> f64);
    let cases: Vec<Case> = vec![
        ("LeakyRelu", vec![], |x| x.max(0.01 * x)),
        ("HardSigmoid", vec![], |x| (0.2 * x + 0.5).clamp(0.0, 1.0)),
        ("HardSwish", vec![], |x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0)),
        ("Elu", vec![float("alpha", 0.5)], |x| {
            if x < 0.0 { 0.5 * x.exp_m1() } else { x }
        }),
        ("Selu", vec![], |x| {
            let scaled = if x < 0.0 { 1.673_263_2 * x.exp_m1() } else { x };
            1.050_701 * scaled
        }),
        ("Softplus", vec![], softplus),
        ("Softsign", vec![], |x| x / (1.0 + x.abs())),
        ("Mish", vec![], |x| x * softplus(x).tanh()),
        ("Swish", vec![float("alpha", 1.5)], |x| {
            x / (1.0 + (-1.5 * x).exp())
        }),
        ("Gelu", vec![string("approximate", "tanh")], |x| {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
            0.5 * x * (1.0 + inner.tanh())
        }),
    ];
    for (op, attributes, expected) in cases {
        let model = model(|graph, input| graph.node(op, &[input], attributes));
        let error = worst(&model, expected);
        assert!(error < 1e-6, "{op} is off by {error:e}");
    }
}

#[test]
fn gelu_and_the_error_function_match_known_values() {
    let model = model(|graph, input| graph.node("Gelu", &[input], vec![]));
    // The form with tanh is within 5·10^-4 of it.
    let error = worst(&model, |x| {
        let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
        0.5 * x * (1.0 + inner.tanh())
    });
    assert!(error > 1e-5 && error < 5e-4, "{error:e}");
}

#[test]
fn comparisons_with_a_constant_are_one_or_nought() {
    for (op, expected) in [("Less", [1.0, 0.0]), ("Greater", [0.0, 1.0])] {
        let model = model(|graph, input| {
            let bound = graph.constant_f32("bound", &[1], &[0.5]);
            let truth = graph.node(op, &[input, &bound], vec![]);
            graph.node("Cast", &[&truth], vec![int("to", 1)])
        });
        let error = worst(&model, |x| if x < 0.5 { expected[0] } else { expected[1] });
        assert!(error == 0.0, "{op}");
    }
}

#[test]
fn a_sum_of_many_and_slopes_per_channel_work() {
    let model = model(|graph, input| {
        let slopes: Vec<f32> = (0..WIDTH).map(|i| i as f32 / 10.0).collect();
        let slope = graph.constant_f32("slope", &[WIDTH], &slopes);
        let sloped = graph.node("PRelu", &[input, &slope], vec![]);
        graph.node("Sum", &[&sloped, input, input], vec![])
    });
    let input = input();
    let ours = f32_values(&run(&compiled(&model).plan, &f32_bytes(&input))[0]);
    for (channel, (&x, y)) in input.iter().zip(ours).enumerate() {
        let slope = if x < 0.0 { channel as f32 / 10.0 } else { 1.0 };
        assert!((y - (slope * x + 2.0 * x)).abs() < 1e-4, "{channel}");
    }
}

#[test]
fn layer_normalisation_matches_double_precision() {
    let model = model(|graph, input| {
        let shape = graph.constant_i64("shape", &[3], &[1, 4, 16]);
        let rows = graph.node("Reshape", &[input, &shape], vec![]);
        let scale = graph.constant_f32("scale", &[16], &[1.5; 16]);
        let normal = graph.node("LayerNormalization", &[&rows, &scale], vec![]);
        let shape = graph.constant_i64("shape", &[2], &[1, 64]);
        graph.node("Reshape", &[&normal, &shape], vec![])
    });
    let input = input();
    let ours = f32_values(&run(&compiled(&model).plan, &f32_bytes(&input))[0]);
    for (row, ours) in input.chunks(16).zip(ours.chunks(16)) {
        let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / 16.0;
        let square = |&x: &f32| (f64::from(x) - mean).powi(2);
        let variance = row.iter().map(square).sum::<f64>() / 16.0;
        for (&x, &y) in row.iter().zip(ours) {
            let expected = (f64::from(x) - mean) / (variance + 1e-5).sqrt() * 1.5;
            assert!((f64::from(y) - expected).abs() < 1e-5);
        }
    }
}

#[test]
fn larger_and_smaller_of_tensors_are_taken_by_element() {
    let model = model(|graph, input| {
        let row: Vec<f32> = (0..WIDTH).map(|i| i as f32 / 16.0 - 2.0).collect();
        let row = graph.constant_f32("row", &[WIDTH], &row);
        let larger = graph.node("Max", &[input, &row], vec![]);
        let half = with(graph, "Mul", input, 0.5);
        graph.node("Min", &[&larger, &half, input], vec![])
    });
    let input = input();
    let ours = f32_values(&run(&compiled(&model).plan, &f32_bytes(&input))[0]);
    for (i, (&x, y)) in input.iter().zip(ours).enumerate() {
        let expected = x.max(i as f32 / 16.0 - 2.0).min(x / 2.0).min(x);
        assert_eq!(y, expected, "{i}");
    }
}

fn with(graph: &mut GraphBuilder, op: &str, x: &Value, scalar: f32) -> Value {
    let scalar = graph.constant_f32("scalar", &[], &[scalar]);
    graph.node(op, &[x, &scalar], vec![])
}

#[test]
fn a_product_of_two_computed_matrices_may_be_turned_and_scaled() {
    let model = model(|graph, input| {
        let shape = graph.constant_i64("shape", &[2], &[8, 8]);
        let square = graph.node("Reshape", &[input, &shape], vec![]);
        let row = graph.constant_f32("row", &[8], &[1.0; 8]);
        let attributes = vec![int("transA", 1), float("alpha", 0.5), float("beta", 2.0)];
        let product = graph.node("Gemm", &[&square, &square, &row], attributes);
        let shape = graph.constant_i64("shape", &[2], &[1, 64]);
        graph.node("Reshape", &[&product, &shape], vec![])
    });
    let input = input();
    let ours = f32_values(&run(&compiled(&model).plan, &f32_bytes(&input))[0]);
    for (place, y) in ours.into_iter().enumerate() {
        let (i, j) = (place / 8, place % 8);
        let product = |k: usize| f64::from(input[k * 8 + i]) * f64::from(input[k * 8 + j]);
        let expected = (0..8).map(product).sum::<f64>() / 2.0 + 2.0;
        assert!((f64::from(y) - expected).abs() < 1e-4, "{place}");
    }
}
