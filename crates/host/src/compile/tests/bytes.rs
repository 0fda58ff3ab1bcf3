//! Ops between quantizations, against exact arithmetic over all bytes or pairs of bytes.

use super::exact::Evaluator;
use super::{compiled, run, shared_models};
use crate::onnx;
use crate::onnx::builder::{Extent, GraphBuilder, Value, float, int, ints, value_info};
use crate::onnx::proto::{AttributeProto, DataType, ModelProto};

/// Scale and zero point.
type Quantization = (f32, i8);

fn constants(graph: &mut GraphBuilder, (scale, zero): Quantization) -> (Value, Value) {
    (
        graph.constant_f32("scale", &[], &[scale]),
        graph.constant_i8("zero", &[], &[zero]),
    )
}

fn dequantize(graph: &mut GraphBuilder, codes: &Value, quantization: Quantization) -> Value {
    let (scale, zero) = constants(graph, quantization);
    graph.node("DequantizeLinear", &[codes, &scale, &zero], vec![])
}

fn quantize(graph: &mut GraphBuilder, value: &Value, quantization: Quantization) -> Value {
    let (scale, zero) = constants(graph, quantization);
    graph.node("QuantizeLinear", &[value, &scale, &zero], vec![])
}

/// A model from bytes of a shape to bytes.
fn model(
    shape: &[usize],
    build: impl FnOnce(&mut GraphBuilder, &Value) -> Value,
    output: Quantization,
) -> ModelProto {
    let mut graph = GraphBuilder::new("bytes");
    let extents: Vec<Extent> = shape.iter().map(|&extent| Extent::Fixed(extent)).collect();
    let input = graph.input("input", DataType::Int8, &extents);
    let result = build(&mut graph, &input);
    let codes = quantize(&mut graph, &result, output);
    let mut model = graph.finish();
    let output = value_info(codes.name(), DataType::Int8, &[]);
    model.graph.as_mut().expect("a graph").output.push(output);
    model
}

/// Holds a model against exact arithmetic and its plan to the kernels given; gives how many
/// results lie inside of the range of a byte.
fn compare(model: &ModelProto, input: &[i8], kernels: &[&str], what: &str) -> usize {
    let compiled = compiled(model);
    assert_eq!(compiled.report.kernels, kernels, "{what}");
    let bytes: Vec<u8> = input.iter().map(|&code| code as u8).collect();
    let ours: Vec<i8> = run(&compiled.plan, &bytes)[0]
        .iter()
        .map(|&byte| byte as i8)
        .collect();
    let expected = Evaluator::new(model).last_quantized(input);
    assert_eq!(ours.len(), expected.len(), "{what}");
    for (place, (ours, expected)) in ours.iter().zip(&expected).enumerate() {
        assert_eq!(ours, expected, "{what}, element {place}");
    }
    let inside = |code: &&i8| (-127..127).contains(*code);
    ours.iter().filter(inside).count()
}

fn all_codes() -> Vec<i8> {
    (0..=255_u8).map(|byte| byte as i8).collect()
}

/// Bytes that look random and are the same everywhere.
fn random(seed: u32) -> impl Iterator<Item = i8> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 11) as i8
    })
}

type Build = fn(&mut GraphBuilder, &Value) -> Value;

fn scalar(graph: &mut GraphBuilder, value: f32) -> Value {
    graph.constant_f32("scalar", &[], &[value])
}

fn with_scalar(graph: &mut GraphBuilder, op: &str, x: &Value, value: f32) -> Value {
    let scalar = scalar(graph, value);
    graph.node(op, &[x, &scalar], vec![])
}

/// Functions of one element, by name, as exporters write them.
const FUNCTIONS: [(&str, Build); 19] = [
    ("nothing", |_, x| x.clone()),
    ("Relu", |graph, x| graph.node("Relu", &[x], vec![])),
    ("Clip", |graph, x| {
        let limits = [-1.5, 4.0].map(|limit| scalar(graph, limit));
        graph.node("Clip", &[x, &limits[0], &limits[1]], vec![])
    }),
    ("LeakyRelu", |graph, x| {
        graph.node("LeakyRelu", &[x], vec![float("alpha", 0.1)])
    }),
    ("PRelu", |graph, x| {
        let slope = graph.constant_f32("slope", &[1], &[0.25]);
        graph.node("PRelu", &[x, &slope], vec![])
    }),
    ("HardSigmoid", |graph, x| {
        graph.node("HardSigmoid", &[x], vec![])
    }),
    ("HardSwish", |graph, x| {
        graph.node("HardSwish", &[x], vec![])
    }),
    ("Sigmoid", |graph, x| graph.node("Sigmoid", &[x], vec![])),
    ("Tanh", |graph, x| graph.node("Tanh", &[x], vec![])),
    ("Exp", |graph, x| graph.node("Exp", &[x], vec![])),
    ("Erf", |graph, x| graph.node("Erf", &[x], vec![])),
    ("Abs then Sqrt", |graph, x| {
        let positive = graph.node("Abs", &[x], vec![]);
        graph.node("Sqrt", &[&positive], vec![])
    }),
    ("Neg", |graph, x| graph.node("Neg", &[x], vec![])),
    ("Mul", |graph, x| with_scalar(graph, "Mul", x, -0.75)),
    ("Add", |graph, x| with_scalar(graph, "Add", x, 1.25)),
    ("Div", |graph, x| with_scalar(graph, "Div", x, 3.0)),
    ("swish", |graph, x| {
        let gate = graph.node("Sigmoid", &[x], vec![]);
        graph.node("Mul", &[x, &gate], vec![])
    }),
    ("hard swish of parts", |graph, x| {
        let gate = graph.node("HardSigmoid", &[x], vec![float("alpha", 1.0 / 6.0)]);
        graph.node("Mul", &[&gate, x], vec![])
    }),
    ("gelu of parts", |graph, x| {
        let scaled = with_scalar(graph, "Div", x, std::f32::consts::SQRT_2);
        let error = graph.node("Erf", &[&scaled], vec![]);
        let raised = with_scalar(graph, "Add", &error, 1.0);
        let product = graph.node("Mul", &[x, &raised], vec![]);
        with_scalar(graph, "Mul", &product, 0.5)
    }),
];

#[test]
fn functions_of_one_tensor_are_one_exact_table() {
    let quantizations: [(Quantization, Quantization); 3] = [
        ((0.05, 3), (0.031, -20)),
        ((0.0625, 0), (0.03125, -128)),
        ((0.02, -128), (0.017, 11)),
    ];
    for (name, build) in FUNCTIONS {
        let mut inside = 0;
        for (input, output) in quantizations {
            let model = model(
                &[1, 256],
                |graph, codes| {
                    let x = dequantize(graph, codes, input);
                    build(graph, &x)
                },
                output,
            );
            let what = format!("{name}, {input:?} to {output:?}");
            inside += compare(&model, &all_codes(), &["lookup.1.0"], &what);
        }
        assert!(inside > 150, "{name}: only {inside} results are inside");
    }
}

#[test]
fn chains_of_quantised_functions_are_one_table() {
    let model = model(
        &[1, 256],
        |graph, codes| {
            let x = dequantize(graph, codes, (0.04, 7));
            let gate = graph.node("Sigmoid", &[&x], vec![]);
            let coarse = quantize(graph, &gate, (0.03, -100));
            let fine = dequantize(graph, &coarse, (0.03, -100));
            with_scalar(graph, "Mul", &fine, 2.0)
        },
        (0.02, -90),
    );
    compare(&model, &all_codes(), &["lookup.1.0"], "two tables");
}

/// How two operands come from one input of twice their size.
struct Pairs {
    shape: [usize; 3],
    quantizations: [Quantization; 3],
    op: &'static str,
    relu: bool,
}

impl Pairs {
    fn model(&self) -> ModelProto {
        let [rows, a, b] = self.shape;
        let total = rows * a + rows * b;
        let build = |graph: &mut GraphBuilder, input: &Value| {
            let part = |graph: &mut GraphBuilder, from: usize, count: usize, at: usize| {
                let bounds = [[from as i64], [(from + count) as i64], [0]];
                let bounds = bounds.map(|value| graph.constant_i64("bound", &[1], &value));
                let inputs = [input, &bounds[0], &bounds[1], &bounds[2]];
                let codes = graph.node("Slice", &inputs, vec![]);
                let shape = graph.constant_i64("shape", &[2], &[rows as i64, -1]);
                let matrix = graph.node("Reshape", &[&codes, &shape], vec![]);
                dequantize(graph, &matrix, self.quantizations[at])
            };
            let first = part(graph, 0, rows * a, 0);
            let second = part(graph, rows * a, rows * b, 1);
            let result = graph.node(self.op, &[&first, &second], vec![]);
            match self.relu {
                true => graph.node("Relu", &[&result], vec![]),
                false => result,
            }
        };
        model(&[total], build, self.quantizations[2])
    }
}

/// All pairs of bytes, first operands first.
fn all_pairs() -> Vec<i8> {
    let first = (0..=255_u8).flat_map(|a| std::iter::repeat_n(a as i8, 256));
    first.chain((0..256).flat_map(|_| all_codes())).collect()
}

#[test]
fn sums_and_products_of_all_pairs_are_exact_without_a_division() {
    let usual = [(0.031, -5), (0.022, 17), (0.04, -128)];
    for (op, output) in [("Add", 0.047), ("Sub", 0.039), ("Mul", 0.05)] {
        for relu in [false, true] {
            let quantizations = [usual[0], usual[1], (output, usual[2].1 + 28)];
            let pairs = Pairs {
                shape: [1, 65_536, 65_536],
                quantizations,
                op,
                relu,
            };
            let kernel = format!("{}.1.2", op.to_lowercase());
            let kernels = [kernel.as_str(), "strided_copy.1.0", "reshape.1.0"];
            let what = format!("{op}, relu {relu}");
            let inside = compare(&pairs.model(), &all_pairs(), &kernels, &what);
            assert!(inside > 10_000, "{what}: only {inside} inside");
        }
    }
}

#[test]
fn ties_are_left_to_the_division_and_shapes_broadcast() {
    let tied = [(0.25, 1), (0.125, -2), (0.5, 3)];
    for op in ["Add", "Sub", "Mul"] {
        let exact = format!("{}.1.1", op.to_lowercase());
        let kernels = [exact.as_str(), "strided_copy.1.0", "reshape.1.0"];
        let mut pairs = Pairs {
            shape: [1, 65_536, 65_536],
            quantizations: tied,
            op,
            relu: false,
        };
        let inside = compare(&pairs.model(), &all_pairs(), &kernels, op);
        assert!(inside > 10_000, "{op}: only {inside} inside");
        pairs.shape = [4, 64, 1];
        pairs.quantizations = [(0.031, -5), (0.022, 17), (0.04, 0)];
        let input: Vec<i8> = random(5).take(4 * 65).collect();
        compare(&pairs.model(), &input, &kernels, op);
    }
}

#[test]
fn the_sums_of_a_residual_network_need_no_division() {
    let Some(folder) = shared_models() else {
        return;
    };
    let model = onnx::read(&folder.join("ic_int8_qdq.onnx")).unwrap();
    let graph = model.graph().unwrap();
    let quantization = |name: &str, is_input: bool| {
        let node = graph.node.iter().find(|node| match is_input {
            true => node.output[0] == name,
            false => node.input[0] == name,
        })?;
        let known = matches!(node.op_type.as_str(), "DequantizeLinear" | "QuantizeLinear");
        let scale = graph.initializer(node.input_name(1)?)?.to_f32().ok()?[0];
        let zero = graph.initializer(node.input_name(2)?)?.to_i8().ok()?[0];
        known.then_some((scale, zero))
    };
    let mut found = 0;
    for add in graph.node.iter().filter(|node| node.op_type == "Add") {
        let relu = graph
            .node
            .iter()
            .find(|node| node.input[0] == add.output[0]);
        let behind = &relu.expect("something behind").output[0];
        let operands = [0, 1].map(|index| quantization(&add.input[index], true));
        let ([Some(a), Some(b)], Some(y)) = (operands, quantization(behind, false)) else {
            continue;
        };
        let pairs = Pairs {
            shape: [1, 65_536, 65_536],
            quantizations: [a, b, y],
            op: "Add",
            relu: true,
        };
        let kernels = ["add.1.2", "strided_copy.1.0", "reshape.1.0"];
        compare(&pairs.model(), &all_pairs(), &kernels, behind);
        found += 1;
    }
    assert_eq!(found, 3);
}

#[test]
fn softmax_of_bytes_is_exact_on_every_axis() {
    let (input, output) = ((0.17, 20), (1.0 / 256.0, -128));
    for (axis, kernels) in [
        (2, &["softmax.1.1"][..]),
        (1, &["softmax.1.1", "strided_copy.1.0"]),
        (-3, &["softmax.1.1", "strided_copy.1.0"]),
    ] {
        let model = model(
            &[4, 6, 12],
            |graph, codes| {
                let x = dequantize(graph, codes, input);
                graph.node("Softmax", &[&x], vec![int("axis", axis)])
            },
            output,
        );
        let mut inside = 0;
        for seed in 0..20 {
            let codes: Vec<i8> = random(seed)
                .take(288)
                .map(|x| x / (1 + (seed % 8) as i8))
                .collect();
            inside += compare(&model, &codes, kernels, &format!("axis {axis}"));
        }
        assert!(inside > 1000, "axis {axis}: only {inside} inside");
    }
}

#[test]
fn the_softmax_of_keyword_spotting_is_exact() {
    let Some(folder) = shared_models() else {
        return;
    };
    let graph = onnx::read(&folder.join("kws_int8_qdq.onnx")).unwrap();
    let graph = graph.graph().unwrap();
    let softmax = graph
        .node
        .iter()
        .find(|node| node.op_type == "Softmax")
        .unwrap();
    let before = graph
        .node
        .iter()
        .find(|node| node.output[0] == softmax.input[0])
        .unwrap();
    let scale = graph
        .initializer(&before.input[1])
        .unwrap()
        .to_f32()
        .unwrap()[0];
    let zero = graph
        .initializer(&before.input[2])
        .unwrap()
        .to_i8()
        .unwrap()[0];
    let model = model(
        &[1, 12],
        |graph, codes| {
            let x = dequantize(graph, codes, (scale, zero));
            graph.node("Softmax", &[&x], vec![])
        },
        (1.0 / 256.0, -128),
    );
    for seed in 0..200 {
        let codes: Vec<i8> = random(seed)
            .take(12)
            .map(|x| x / (1 + (seed % 6) as i8))
            .collect();
        compare(&model, &codes, &["softmax.1.1"], "keyword spotting");
    }
}

#[test]
fn means_over_space_are_exact() {
    let mut inside = 0;
    for (axes, zero) in [
        (vec![1, 2], -128_i8),
        (vec![2, 3], 5),
        (vec![3], 0),
        (vec![1], 9),
    ] {
        let what = format!("{axes:?}");
        let model = model(
            &[1, 5, 7, 6],
            |graph, codes| {
                let x = dequantize(graph, codes, (0.05, zero));
                graph.node(
                    "ReduceMean",
                    &[&x],
                    vec![ints("axes", axes), int("keepdims", 0)],
                )
            },
            (0.023, -30),
        );
        for seed in 0..20 {
            let codes: Vec<i8> = random(seed).take(210).map(|x| x / 2 + zero / 2).collect();
            inside += compare(&model, &codes, &["reduce_mean.1.1"], &what);
        }
    }
    assert!(inside > 1000, "only {inside} inside");
}

#[test]
fn ties_of_a_mean_go_to_the_even_code() {
    let model = model(
        &[1, 2, 256],
        |graph, codes| {
            let x = dequantize(graph, codes, (0.5, 0));
            graph.node("ReduceMean", &[&x], vec![ints("axes", vec![1])])
        },
        (0.5, 0),
    );
    let codes = [all_codes(), random(3).take(256).collect()].concat();
    compare(&model, &codes, &["reduce_mean.1.1"], "ties");
}

#[test]
fn products_of_two_computed_matrices_are_exact() {
    // Attention of 4 steps, 8 wide: x·xᵀ, softmax, and the result times x.
    let model = model(
        &[1, 4, 8],
        |graph, codes| {
            let x = dequantize(graph, codes, (0.03, 4));
            let turned = graph.node("Transpose", &[&x], vec![ints("perm", vec![0, 2, 1])]);
            let scores = graph.node("MatMul", &[&x, &turned], vec![]);
            let scaled = with_scalar(graph, "Mul", &scores, 0.353_553_4);
            let codes = quantize(graph, &scaled, (0.11, -3));
            let scores = dequantize(graph, &codes, (0.11, -3));
            let weights = graph.node("Softmax", &[&scores], vec![int("axis", -1)]);
            let codes = quantize(graph, &weights, (1.0 / 256.0, -128));
            let weights = dequantize(graph, &codes, (1.0 / 256.0, -128));
            graph.node("MatMul", &[&weights, &x], vec![])
        },
        (0.02, 1),
    );
    let kernels = compiled(&model).report.kernels;
    assert!(
        kernels.contains(&"mat_mul.1.1".to_owned()) && kernels.contains(&"softmax.1.1".to_owned())
    );
}

#[test]
fn a_product_with_quantization_directly_behind_is_one_op() {
    let model = model(
        &[2, 4, 8],
        |graph, codes| {
            let x = dequantize(graph, codes, (0.03, 4));
            let turned = graph.node("Transpose", &[&x], vec![ints("perm", vec![0, 2, 1])]);
            graph.node("MatMul", &[&x, &turned], vec![])
        },
        (0.11, -3),
    );
    let mut inside = 0;
    for seed in 0..50 {
        let codes: Vec<i8> = random(seed).take(64).collect();
        let kernels = ["mat_mul.1.1", "strided_copy.1.0"];
        inside += compare(&model, &codes, &kernels, "x times its transpose");
    }
    assert!(inside > 800, "only {inside} inside");
}

#[test]
fn layer_normalisation_of_bytes_is_exact() {
    let mut inside = 0;
    for seed in 0..40 {
        let attributes: Vec<AttributeProto> = vec![int("axis", -1), float("epsilon", 1e-5)];
        let model = model(
            &[1, 3, 16],
            |graph, codes| {
                let x = dequantize(graph, codes, (0.021, 4));
                let row = |from: f32| (0..16).map(|i| from + i as f32 / 13.0).collect::<Vec<_>>();
                let scale = graph.constant_f32("scale", &[16], &row(0.5));
                let bias = graph.constant_f32("bias", &[16], &row(-0.7));
                graph.node("LayerNormalization", &[&x, &scale, &bias], attributes)
            },
            (0.027, -11),
        );
        let codes: Vec<i8> = random(seed)
            .take(48)
            .map(|x| x / (1 + seed as i8))
            .collect();
        let kernels = ["layer_normalization.1.1"];
        inside += compare(&model, &codes, &kernels, "layer normalisation");
    }
    assert!(inside > 1500, "only {inside} inside");
}

#[test]
fn bytes_are_moved_as_bytes() {
    let model = model(
        &[1, 4, 6],
        |graph, codes| {
            let x = dequantize(graph, codes, (0.05, 3));
            let parts = graph.constant_i64("parts", &[2], &[2, 4]);
            let mut halves = graph.nodes("Split", &[&x, &parts], vec![int("axis", 2)], 2);
            let second = halves.pop().expect("two parts");
            let first = halves.pop().expect("two parts");
            let first = graph.node("Transpose", &[&first], vec![ints("perm", vec![0, 2, 1])]);
            let shape = graph.constant_i64("shape", &[3], &[1, 2, 8]);
            let second = graph.node("Reshape", &[&second, &shape], vec![]);
            let positive = graph.node("Relu", &[&second], vec![]);
            let row = graph.constant_f32("row", &[1, 2, 1], &[1.25, -0.05]);
            graph.node("Concat", &[&first, &positive, &row], vec![int("axis", 2)])
        },
        (0.07, -10),
    );
    let codes: Vec<i8> = random(9).take(24).collect();
    let kernels = [
        "strided_copy.1.0",
        "concat.1.0",
        "reshape.1.0",
        "lookup.1.0",
    ];
    let inside = compare(&model, &codes, &kernels, "moves");
    assert!(inside > 10);
}

#[test]
fn axes_that_are_no_neighbours_are_averaged_in_one_op() {
    let model = model(
        &[1, 5, 7, 6],
        |graph, codes| {
            let x = dequantize(graph, codes, (0.05, 9));
            let axes = graph.constant_i64("axes", &[2], &[1, 3]);
            graph.node("ReduceMean", &[&x, &axes], vec![])
        },
        (0.013, -30),
    );
    let mut inside = 0;
    for seed in 0..20 {
        let codes: Vec<i8> = random(seed).take(210).collect();
        let kernels = ["reduce_mean.1.1", "strided_copy.1.0", "reshape.1.0"];
        inside += compare(&model, &codes, &kernels, "apart");
    }
    assert!(inside > 100, "only {inside} inside");
}
