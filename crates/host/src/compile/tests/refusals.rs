//! What cannot be compiled says which node, why, and what to do.

use crate::compile::{CompileError, CompileOptions, Limits, Resource, compile};
use crate::onnx::builder::{Extent, GraphBuilder, floats, int, ints, string, strings};
use crate::onnx::proto::{AttributeProto, DataType, ModelProto};

fn model(op: &str) -> ModelProto {
    let mut graph = GraphBuilder::new("refused");
    let extents = [Extent::Named("batch"), Extent::Fixed(4)];
    let input = graph.input("input", DataType::Float, &extents);
    let result = graph.node(op, &[&input], vec![int("axis", 1)]);
    graph.output(&result, "result", DataType::Float, &extents);
    graph.finish()
}

fn refusal(model: &ModelProto) -> (String, String, String) {
    match compile(model, &CompileOptions::default()).unwrap_err() {
        CompileError::Refused(refusal) => (refusal.node, refusal.op, refusal.reason),
        other => panic!("{other}"),
    }
}

#[test]
fn an_unknown_operator_is_named() {
    let (node, op, reason) = refusal(&model("Einsum"));
    assert_eq!((node.as_str(), op.as_str()), ("Einsum_0", "Einsum"));
    assert_eq!(reason, "the operator is not supported");
    let message = compile(&model("Einsum"), &CompileOptions::default())
        .unwrap_err()
        .to_string();
    assert!(message.contains("Gemm, MatMul"), "{message}");
}

#[test]
fn nodes_that_contradict_themselves_are_refused() {
    let axes = |axes: &[i64]| vec![ints("axes", axes.to_vec())];
    let cases: [(&str, Vec<AttributeProto>, Option<&[i64]>, &str); 6] = [
        ("Unsqueeze", axes(&[3, 3]), None, "an axis is named twice"),
        ("Squeeze", axes(&[0, 0]), None, "an axis is named twice"),
        ("Transpose", vec![ints("perm", vec![0, 1, 1])], None, "perm"),
        ("Gather", vec![int("axis", 1)], Some(&[]), "joins nothing"),
        ("Split", vec![int("axis", 1)], Some(&[-1]), "do not make 4"),
        ("Split", vec![int("axis", 1)], Some(&[3]), "do not make 4"),
    ];
    for (op, attributes, second, expected) in cases {
        let mut graph = GraphBuilder::new("refused");
        let extents = [Extent::Named("batch"), Extent::Fixed(4)];
        let input = graph.input("input", DataType::Float, &extents);
        let second = second.map(|values| graph.constant_i64("second", &[values.len()], values));
        let inputs: Vec<_> = std::iter::once(&input).chain(&second).collect();
        let result = graph.node(op, &inputs, attributes);
        graph.output(&result, "result", DataType::Float, &extents);
        let (_, refused, reason) = refusal(&graph.finish());
        assert!(refused == op && reason.contains(expected), "{op}: {reason}");
    }
}

#[test]
fn a_fixed_batch_is_refused_where_one_row_is_taken() {
    for op in [
        "TreeEnsembleClassifier",
        "TreeEnsembleRegressor",
        "LinearClassifier",
        "SVMRegressor",
    ] {
        let mut graph = GraphBuilder::new("refused");
        let extents = [Extent::Fixed(2), Extent::Fixed(4)];
        let input = graph.input("input", DataType::Float, &extents);
        let leaf = vec![
            ints("nodes_treeids", vec![0]),
            ints("nodes_nodeids", vec![0]),
            ints("nodes_featureids", vec![0]),
            strings("nodes_modes", &["LEAF"]),
            floats("nodes_values", vec![0.0]),
            ints("nodes_truenodeids", vec![0]),
            ints("nodes_falsenodeids", vec![0]),
            ints("classlabels_int64s", vec![0, 1]),
            ints("class_treeids", vec![0]),
            ints("class_nodeids", vec![0]),
            ints("class_ids", vec![1]),
            floats("class_weights", vec![1.0]),
            ints("target_treeids", vec![0]),
            ints("target_nodeids", vec![0]),
            ints("target_ids", vec![0]),
            floats("target_weights", vec![1.0]),
        ];
        let outputs = 1 + usize::from(op.ends_with("Classifier"));
        let results = graph.ml_node(op, &[&input], leaf, outputs);
        graph.output(&results[outputs - 1], "result", DataType::Float, &extents);
        let (_, refused, reason) = refusal(&graph.finish());
        assert_eq!(
            (refused.as_str(), reason.as_str()),
            (op, "its input is [2, 4], more than one row")
        );
    }
}

#[test]
fn shapes_whose_product_wraps_are_refused() {
    let extents = [Extent::Named("batch"), Extent::Fixed(4)];
    let mut graph = GraphBuilder::new("wrapped");
    let input = graph.input("input", DataType::Float, &extents);
    let shape = graph.constant_i64("shape", &[2], &[4, (1 << 62) + 1]);
    let result = graph.node("Reshape", &[&input, &shape], vec![]);
    graph.output(&result, "result", DataType::Float, &extents);
    let (_, op, reason) = refusal(&graph.finish());
    assert_eq!(op, "Reshape");
    assert!(reason.contains("cannot become"), "{reason}");

    let mut graph = GraphBuilder::new("wrapped");
    let extents = [1, 1 << 32, 1 << 32].map(Extent::Fixed);
    let input = graph.input("input", DataType::Float, &extents);
    let result = graph.node("Abs", &[&input], vec![]);
    graph.output(&result, "result", DataType::Float, &extents);
    let (node, _, reason) = refusal(&graph.finish());
    assert_eq!(node, "input");
    assert!(reason.contains("more than 67108864 elements"), "{reason}");
}

#[test]
fn a_result_larger_than_a_plan_holds_is_refused_before_it_is_computed() {
    let mut graph = GraphBuilder::new("wide");
    let extents = [Extent::Named("batch"), Extent::Fixed(4)];
    graph.input("input", DataType::Float, &extents);
    let ones = vec![1.0; 1 << 14];
    let column = graph.constant_f32("column", &[1 << 14, 1], &ones);
    let row = graph.constant_f32("row", &[1, 1 << 14], &ones);
    let result = graph.node("Add", &[&column, &row], vec![]);
    graph.output(&result, "result", DataType::Float, &extents);
    let (_, op, reason) = refusal(&graph.finish());
    assert_eq!(op, "Add");
    assert!(reason.contains("more than 67108864 elements"), "{reason}");
}

#[test]
fn an_open_extent_is_refused() {
    let mut graph = GraphBuilder::new("open");
    let extents = [Extent::Named("batch"), Extent::Named("width")];
    let input = graph.input("input", DataType::Float, &extents);
    let result = graph.node("Abs", &[&input], vec![]);
    graph.output(&result, "result", DataType::Float, &extents);
    assert_eq!(refusal(&graph.finish()).0, "input");
}

#[test]
fn budgets_are_held_and_their_numbers_named() {
    let limits = |plan_bytes, arena_bytes, stack_bytes| Limits {
        plan_bytes,
        arena_bytes,
        stack_bytes,
        kernels: None,
    };
    let cases = [
        (limits(Some(100), None, None), Resource::Flash),
        (limits(None, Some(15), None), Resource::Arena),
        (limits(None, None, Some(64)), Resource::Stack),
    ];
    for (limits, expected) in cases {
        let options = CompileOptions {
            limits,
            ..CompileOptions::default()
        };
        match compile(&model("Abs"), &options) {
            Err(CompileError::OverBudget {
                resource,
                needed,
                available,
            }) => {
                assert_eq!(resource, expected);
                assert!(needed > available);
            }
            other => panic!("{other:?}"),
        }
    }
    let enough = CompileOptions {
        limits: limits(Some(4096), Some(16), Some(4096)),
        ..CompileOptions::default()
    };
    assert!(compile(&model("Abs"), &enough).is_ok());
}

#[test]
fn a_kernel_the_firmware_lacks_is_named() {
    let kernels = Some(Vec::new());
    let options = CompileOptions {
        limits: Limits {
            kernels,
            ..Limits::default()
        },
        ..CompileOptions::default()
    };
    let error = compile(&model("Abs"), &options).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the target's firmware has no kernel abs.1.0"
    );
}

/// A model of one node on an image `[1, 4, 6, 6]` and constant float tensors of these shapes.
fn image_model(op: &str, attributes: Vec<AttributeProto>, constants: &[&[usize]]) -> ModelProto {
    let mut graph = GraphBuilder::new("refused");
    let extents = [1, 4, 6, 6].map(Extent::Fixed);
    let input = graph.input("input", DataType::Float, &extents);
    let constants: Vec<_> = constants
        .iter()
        .map(|shape| graph.constant_f32("c", shape, &vec![0.5; shape.iter().product()]))
        .collect();
    let inputs: Vec<_> = std::iter::once(&input).chain(&constants).collect();
    let result = graph.node(op, &inputs, attributes);
    graph.output(&result, "result", DataType::Float, &extents);
    graph.finish()
}

/// Holds that a model of one node is refused for this reason, in full.
fn assert_refused(model: &ModelProto, op: &str, reason: &str) {
    match compile(model, &CompileOptions::default()) {
        Err(CompileError::Refused(refusal)) => {
            assert_eq!(refusal.op, op);
            assert!(refusal.reason.contains(reason), "{refusal}");
            assert!(
                !refusal.node.is_empty() && !refusal.nearest.is_empty(),
                "{refusal}"
            );
        }
        other => panic!("{op}, {reason}: {other:?}"),
    }
}

#[test]
fn impossible_convolutions_are_refused() {
    let list = |name: &str, values: &[i64]| vec![ints(name, values.to_vec())];
    let weights: &[usize] = &[8, 4, 3, 3];
    let cases: [(Vec<AttributeProto>, &[&[usize]], &str); 14] = [
        (vec![], &[&[8, 3, 3, 3]], "does not fit weights"),
        (vec![int("group", 2)], &[weights], "does not fit weights"),
        (vec![int("group", 3)], &[&[8, 4, 3, 3]], "in 3 groups"),
        (vec![int("group", 0)], &[weights], "0 groups"),
        (vec![int("group", -1)], &[weights], "-1 groups"),
        (vec![int("group", i64::MAX)], &[weights], "groups"),
        (vec![], &[&[8, 4, 3]], "with weights"),
        (vec![], &[&[8, 4, 0, 3]], "with weights"),
        (vec![], &[&[8, 4, 7, 7]], "does not fit an image"),
        (list("strides", &[0, 1]), &[weights], "strides of [0, 1]"),
        (list("strides", &[1]), &[weights], "strides of [1]"),
        (
            list("dilations", &[3, 3]),
            &[weights],
            "does not fit an image",
        ),
        (list("pads", &[-1, 0, 0, 0]), &[weights], "pads of"),
        (list("pads", &[i64::MAX, 0, 0, 0]), &[weights], "pads of"),
    ];
    for (attributes, constants, reason) in cases {
        assert_refused(&image_model("Conv", attributes, constants), "Conv", reason);
    }
    let bias = image_model("Conv", vec![], &[weights, &[3]]);
    assert_refused(&bias, "Conv", "the bias is not one constant per output");
    let padding = vec![string("auto_pad", "SAME")];
    let padding = image_model("Conv", padding, &[weights]);
    assert_refused(&padding, "Conv", "auto_pad SAME is not supported");
    let groups = image_model("ConvTranspose", vec![int("group", 3)], &[&[4, 2, 2, 2]]);
    assert_refused(&groups, "ConvTranspose", "in 3 groups");
    let nothing = list("pads", &[9, 9, 9, 9]);
    let nothing = image_model("ConvTranspose", nothing, &[&[4, 2, 2, 2]]);
    assert_refused(&nothing, "ConvTranspose", "leaves nothing");
}

#[test]
fn convolutions_of_other_ranks_or_computed_weights_are_refused() {
    for extents in [vec![1, 4], vec![1, 4, 2, 2, 2], vec![2, 4, 6, 6]] {
        let mut graph = GraphBuilder::new("refused");
        let fixed: Vec<Extent> = extents
            .iter()
            .map(|&extent| Extent::Fixed(extent))
            .collect();
        let input = graph.input("input", DataType::Float, &fixed);
        let shape = [&[8, 4][..], &vec![1; extents.len().saturating_sub(2)]].concat();
        let weights = graph.constant_f32("w", &shape, &[0.5; 32]);
        let result = graph.node("Conv", &[&input, &weights], vec![]);
        graph.output(&result, "result", DataType::Float, &fixed);
        let (_, op, reason) = refusal(&graph.finish());
        let told = op == "Conv" || reason.contains("rank 5");
        assert!(told && !reason.is_empty(), "{extents:?}: {op}: {reason}");
    }
    let mut graph = GraphBuilder::new("refused");
    let extents = [1, 1, 3, 3].map(Extent::Fixed);
    let input = graph.input("input", DataType::Float, &extents);
    let result = graph.node("Conv", &[&input, &input], vec![]);
    graph.output(&result, "result", DataType::Float, &extents);
    assert_refused(&graph.finish(), "Conv", "the weights are computed");
}

#[test]
fn impossible_pools_are_refused() {
    let kernel = |values: &[i64]| ints("kernel_shape", values.to_vec());
    let cases: [(Vec<AttributeProto>, &str); 9] = [
        (vec![], "it has no kernel_shape"),
        (vec![kernel(&[7, 7])], "does not fit an image"),
        (vec![kernel(&[0, 2])], "a kernel of [0, 2]"),
        (vec![kernel(&[-1, 2])], "a kernel of [0, 2]"),
        (vec![kernel(&[2])], "a kernel of [2]"),
        (vec![kernel(&[2, 2, 2])], "a kernel of [2, 2, 2]"),
        (
            vec![kernel(&[2, 2]), ints("strides", vec![-1, 1])],
            "strides of",
        ),
        (vec![kernel(&[2, 2]), ints("pads", vec![1, 1])], "pads of"),
        (
            vec![kernel(&[2, 2]), string("auto_pad", "ALL")],
            "auto_pad ALL",
        ),
    ];
    for op in ["MaxPool", "AveragePool"] {
        for (attributes, reason) in cases.clone() {
            assert_refused(&image_model(op, attributes, &[]), op, reason);
        }
    }
    let mut graph = GraphBuilder::new("refused");
    let extents = [1, 4, 6, 6].map(Extent::Fixed);
    let input = graph.input("input", DataType::Float, &extents);
    let results = graph.nodes("MaxPool", &[&input], vec![kernel(&[2, 2])], 2);
    graph.output(&results[0], "result", DataType::Float, &extents);
    assert_refused(
        &graph.finish(),
        "MaxPool",
        "indices of the largest elements",
    );
    assert_refused(
        &model("GlobalAveragePool"),
        "GlobalAveragePool",
        "an input of shape [1, 4]",
    );
}

#[test]
fn images_that_cannot_be_resized_are_refused() {
    let linear = vec![string("mode", "linear")];
    let cases: [(Vec<AttributeProto>, &[f32], &str); 4] = [
        (
            linear,
            &[1.0, 1.0, 2.0, 2.0],
            "mode linear is not supported",
        ),
        (vec![], &[1.0, 1.0, 1.5, 1.0], "its scale is neither"),
        (
            vec![],
            &[1.0, 2.0, 1.0, 1.0],
            "from shape [1, 4, 6, 6] to [1, 8, 6, 6]",
        ),
        (vec![], &[1.0, 1.0, -2.0, 1.0], "not positive constants"),
    ];
    for (attributes, scales, reason) in cases {
        let mut graph = GraphBuilder::new("refused");
        let extents = [1, 4, 6, 6].map(Extent::Fixed);
        let input = graph.input("input", DataType::Float, &extents);
        let region = graph.constant_f32("region", &[0], &[]);
        let scales = graph.constant_f32("scales", &[scales.len()], scales);
        let result = graph.node("Resize", &[&input, &region, &scales], attributes);
        graph.output(&result, "result", DataType::Float, &extents);
        assert_refused(&graph.finish(), "Resize", reason);
    }
}

#[test]
fn what_is_not_eight_bits_wide_is_refused() {
    let mut graph = GraphBuilder::new("refused");
    let extents = [Extent::Fixed(4)];
    let input = graph.input("input", DataType::Float, &extents);
    let scale = graph.constant_f32("scale", &[], &[0.5]);
    let result = graph.node(
        "QuantizeLinear",
        &[&input, &scale],
        vec![int("output_dtype", 5)],
    );
    graph.output(&result, "result", DataType::Int16, &extents);
    assert_refused(&graph.finish(), "QuantizeLinear", "neither int8 nor uint8");
}

#[test]
fn more_ops_than_a_plan_holds_are_refused_at_once() {
    let mut graph = GraphBuilder::new("long");
    let extents = [Extent::Fixed(4)];
    let input = graph.input("input", DataType::Float, &extents);
    let mut result = graph.node("Abs", &[&input], vec![]);
    for _ in 0..4096 {
        result = graph.node("Neg", &[&result], vec![]);
    }
    graph.output(&result, "result", DataType::Float, &extents);
    assert_refused(&graph.finish(), "Neg", "more than 4096 ops");
}

/// Nodes that take what comes behind them, or themselves, and inputs that nobody computes.
#[test]
fn cycles_and_missing_values_are_refused() {
    for (name, expected) in [
        ("Abs_0", "no node before it computes"),
        ("nothing", "no node"),
    ] {
        let mut model = model("Abs");
        let graph = model.graph.as_mut().unwrap();
        let output = graph.node[0].output[0].clone();
        graph.node[0].input[0] = if name == "nothing" {
            name.into()
        } else {
            output
        };
        assert_refused(&model, "Abs", expected);
    }
}
