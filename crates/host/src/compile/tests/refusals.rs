//! What cannot be compiled says which node, why, and what to do.

use crate::compile::{CompileError, CompileOptions, Limits, Resource, compile};
use crate::onnx::builder::{Extent, GraphBuilder, int, ints};
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
