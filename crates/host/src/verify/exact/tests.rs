//! Values worked out by hand.

use super::*;
use crate::onnx::builder::{Extent, GraphBuilder, Value, float, int, ints, string, value_info};
use crate::onnx::proto::{AttributeProto, DataType};

/// One node on float inputs of these shapes and values, evaluated.
fn evaluated(op: &str, inputs: &[(&[usize], &[f32])], attributes: Vec<AttributeProto>) -> Vec<f64> {
    let (tensor, _) = evaluated_with_shape(op, inputs, attributes);
    tensor
}

fn evaluated_with_shape(
    op: &str,
    inputs: &[(&[usize], &[f32])],
    attributes: Vec<AttributeProto>,
) -> (Vec<f64>, Vec<usize>) {
    let mut graph = GraphBuilder::new("one");
    let values: Vec<Value> = inputs
        .iter()
        .map(|(shape, values)| graph.constant_f32("x", shape, values))
        .collect();
    let borrowed: Vec<&Value> = values.iter().collect();
    let y = graph.node(op, &borrowed, attributes);
    graph.output(&y, "y", DataType::Float, &[]);
    let model = graph.finish();
    let evaluator = Evaluator::new(&model).unwrap();
    let y = evaluator.evaluate(Values::new(), &["y"]).unwrap()["y"].clone();
    let reals = y.as_reals().unwrap().iter().map(Real::approximate);
    (reals.collect(), y.shape.clone())
}

const NINE: [f32; 9] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];

#[test]
fn a_convolution_pads_with_nought_and_steps() {
    let x: (&[usize], &[f32]) = (&[1, 1, 3, 3], &NINE);
    let w: (&[usize], &[f32]) = (&[1, 1, 2, 2], &[1.0, 10.0, 100.0, 1000.0]);
    let bias: (&[usize], &[f32]) = (&[1], &[0.5]);
    let all = ints("pads", vec![1, 0, 0, 1]);
    let (sums, shape) = evaluated_with_shape(
        "Conv",
        &[x, w, bias],
        vec![all, ints("strides", vec![2, 2])],
    );
    assert_eq!(shape, [1, 1, 2, 2]);
    // Windows start at rows -1 and 1, columns 0 and 2; right of column 2 lies padding.
    assert_eq!(sums, [2100.5, 300.5, 8754.5, 906.5]);
}

#[test]
fn groups_keep_to_their_channels() {
    let x: (&[usize], &[f32]) = (&[1, 2, 1], &[3.0, 5.0]);
    let w: (&[usize], &[f32]) = (&[4, 1, 1], &[1.0, 2.0, 3.0, 4.0]);
    let sums = evaluated("Conv", &[x, w], vec![int("group", 2)]);
    assert_eq!(sums, [3.0, 6.0, 15.0, 20.0]);
}

#[test]
fn automatic_padding_lies_behind_or_before() {
    let x: (&[usize], &[f32]) = (&[1, 1, 4], &[1.0, 2.0, 3.0, 4.0]);
    let w: (&[usize], &[f32]) = (&[1, 1, 2], &[1.0, 10.0]);
    let upper = evaluated("Conv", &[x, w], vec![string("auto_pad", "SAME_UPPER")]);
    assert_eq!(upper, [21.0, 32.0, 43.0, 4.0]);
    let lower = evaluated("Conv", &[x, w], vec![string("auto_pad", "SAME_LOWER")]);
    assert_eq!(lower, [10.0, 21.0, 32.0, 43.0]);
}

#[test]
fn a_transposed_convolution_spreads_every_element() {
    let x: (&[usize], &[f32]) = (&[1, 1, 2], &[1.0, 2.0]);
    let w: (&[usize], &[f32]) = (&[1, 1, 3], &[1.0, 10.0, 100.0]);
    let sums = evaluated("ConvTranspose", &[x, w], vec![ints("strides", vec![2])]);
    assert_eq!(sums, [1.0, 10.0, 102.0, 20.0, 200.0]);
    let cut = vec![
        ints("strides", vec![2]),
        ints("pads", vec![1, 1]),
        ints("output_padding", vec![1]),
    ];
    assert_eq!(
        evaluated("ConvTranspose", &[x, w], cut),
        [10.0, 102.0, 20.0, 200.0]
    );
}

#[test]
fn averages_count_what_they_meet_or_the_padding_too() {
    let x: (&[usize], &[f32]) = (&[1, 1, 3, 3], &NINE);
    let attributes = |count: i64| {
        vec![
            ints("kernel_shape", vec![2, 2]),
            ints("strides", vec![2, 2]),
            ints("pads", vec![1, 1, 0, 0]),
            int("count_include_pad", count),
        ]
    };
    assert_eq!(
        evaluated("AveragePool", &[x], attributes(0)),
        [1.0, 2.5, 5.5, 7.0]
    );
    assert_eq!(
        evaluated("AveragePool", &[x], attributes(1)),
        [0.25, 1.25, 2.75, 7.0]
    );
    assert_eq!(evaluated("GlobalAveragePool", &[x], vec![]), [5.0]);
}

#[test]
fn a_last_window_over_the_edge_is_kept_with_ceil_mode() {
    let x: (&[usize], &[f32]) = (&[1, 1, 4], &[1.0, 5.0, 3.0, 2.0]);
    let attributes = |ceil: i64| {
        vec![
            ints("kernel_shape", vec![3]),
            ints("strides", vec![2]),
            int("ceil_mode", ceil),
        ]
    };
    assert_eq!(evaluated("MaxPool", &[x], attributes(0)), [5.0]);
    assert_eq!(evaluated("MaxPool", &[x], attributes(1)), [5.0, 3.0]);
    let average = evaluated("AveragePool", &[x], attributes(1));
    assert_eq!(average, [3.0, 2.5]);
}

#[test]
fn matrices_are_transposed_scaled_and_stretched() {
    let a: (&[usize], &[f32]) = (&[2, 1], &[1.0, 2.0]);
    let b: (&[usize], &[f32]) = (&[3, 2], &[1.0, 10.0, 2.0, 20.0, 3.0, 30.0]);
    let c: (&[usize], &[f32]) = (&[3], &[1.0, 2.0, 3.0]);
    let turned = vec![
        int("transA", 1),
        int("transB", 1),
        float("alpha", 2.0),
        float("beta", 0.5),
    ];
    assert_eq!(evaluated("Gemm", &[a, b, c], turned), [42.5, 85.0, 127.5]);
    let batch: (&[usize], &[f32]) = (&[2, 1, 2], &[1.0, 2.0, 3.0, 4.0]);
    let matrix: (&[usize], &[f32]) = (&[2, 2], &[1.0, 2.0, 3.0, 4.0]);
    let (product, shape) = evaluated_with_shape("MatMul", &[batch, matrix], vec![]);
    assert_eq!(
        (product, shape),
        (vec![7.0, 10.0, 15.0, 22.0], vec![2, 1, 2])
    );
}

#[test]
fn functions_are_near_their_values_and_exact_where_rational() {
    let x: (&[usize], &[f32]) = (&[1, 2], &[0.0, 1.0]);
    let near = |op: &str, expected: [f64; 2]| {
        for (got, expected) in evaluated(op, &[x], vec![]).into_iter().zip(expected) {
            assert!((got - expected).abs() < 1e-14, "{op} {got} {expected}");
        }
    };
    near("Sigmoid", [0.5, 0.731_058_578_630_004_9]);
    near("Tanh", [0.0, 0.761_594_155_955_764_9]);
    near(
        "Softmax",
        [0.268_941_421_369_995_1, 0.731_058_578_630_004_9],
    );
    near("Erf", [0.0, 0.842_700_792_949_714_9]);
    near("HardSwish", [0.0, 2.0 / 3.0]);
    let even = evaluated("Softmax", &[(&[1, 3], &[2.0, 2.0, 2.0])], vec![]);
    assert_eq!(even, [1.0 / 3.0; 3]);
    let scale: (&[usize], &[f32]) = (&[2], &[2.0, 4.0]);
    let normal = evaluated(
        "LayerNormalization",
        &[x, scale],
        vec![float("epsilon", 0.0)],
    );
    assert_eq!(normal, [-2.0, 4.0], "a deviation of a half is exact");
}

#[test]
fn axes_are_reduced_and_moved() {
    let x: (&[usize], &[f32]) = (&[1, 3, 3], &NINE);
    let (means, shape) = evaluated_with_shape("ReduceMean", &[x], vec![int("keepdims", 0)]);
    assert_eq!((means, shape), (vec![5.0], vec![]));
    let (turned, shape) =
        evaluated_with_shape("Transpose", &[x], vec![ints("perm", vec![2, 0, 1])]);
    assert_eq!(
        (&turned[..4], &shape[..]),
        (&[1.0, 4.0, 7.0, 2.0][..], &[3, 1, 3][..])
    );
    let (joined, shape) = evaluated_with_shape("Concat", &[x, x], vec![int("axis", 2)]);
    assert_eq!(
        (&joined[..7], &shape[..]),
        (&[1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 4.0][..], &[1, 3, 6][..])
    );
}

/// `x` of int8 scaled by `scale`, through a node of nothing, to `to` and a zero point.
fn requantized(codes: &[i64], (scale, zero): (f32, i8), (to, to_zero): (f32, i8)) -> Vec<i64> {
    let mut graph = GraphBuilder::new("requantize");
    let x = graph.input("x", DataType::Int8, &[Extent::Fixed(codes.len())]);
    let scale = graph.constant_f32("s", &[], &[scale]);
    let zero = graph.constant_i8("z", &[], &[zero]);
    let real = graph.node("DequantizeLinear", &[&x, &scale, &zero], vec![]);
    let to = graph.constant_f32("t", &[], &[to]);
    let to_zero = graph.constant_i8("u", &[], &[to_zero]);
    let y = graph.node("QuantizeLinear", &[&real, &to, &to_zero], vec![]);
    let mut model = graph.finish();
    let output = value_info(y.name(), DataType::Int8, &[]);
    model.graph.as_mut().unwrap().output.push(output);
    let evaluator = Evaluator::new(&model).unwrap();
    let x = Tensor::integers(DataType::Int8, &[codes.len()], codes.to_vec());
    let given = Values::from([("x".to_owned(), Rc::new(x))]);
    let values = evaluator.evaluate(given, &[y.name()]).unwrap();
    values[y.name()].codes().unwrap().to_vec()
}

#[test]
fn a_quantization_rounds_halves_to_even_before_the_zero_point_and_saturates() {
    let codes = requantized(&[-3, -1, 0, 1, 3, 5, 127], (1.0, 0), (2.0, 1));
    assert_eq!(codes, [-1, 1, 1, 1, 3, 3, 65]);
    assert_eq!(requantized(&[127, -128], (1.0, 0), (0.5, 5)), [127, -128]);
}

#[test]
fn scales_are_the_floats_as_stored() {
    // 0.1 as a float is above a tenth: fifteen of them are above 1.5 of 1.0.
    assert_eq!(requantized(&[15, 25], (0.1, 0), (1.0, 0)), [2, 3]);
    let below = f32::from_bits(0.1_f32.to_bits() - 1);
    assert_eq!(requantized(&[15, 25], (below, 0), (1.0, 0)), [1, 2]);
}

#[test]
fn an_op_that_is_not_known_is_named() {
    let mut graph = GraphBuilder::new("odd");
    let x = graph.input("x", DataType::Float, &[Extent::Fixed(1)]);
    let y = graph.node("Det", &[&x], vec![]);
    graph.output(&y, "y", DataType::Float, &[]);
    let model = graph.finish();
    let given = Values::from([(
        "x".to_owned(),
        Rc::new(Tensor::floats(&[1], &[1.0]).unwrap()),
    )]);
    let error = Evaluator::new(&model)
        .unwrap()
        .evaluate(given, &["y"])
        .unwrap_err();
    assert_eq!(error.op, "Det");
}
