use super::super::testing::{graph, layer, node, ops};
use super::*;
use crate::compile::constant::Data;
use crate::compile::graph::Element;
use crate::compile::recurrent::{Cell, Form, Recurrent};

/// A window of four rows of two floats.
fn window() -> Graph {
    let mut graph = Graph::default();
    graph.input = graph.add_value("x", Element::F32, &[1, 4, 2]);
    graph
}

fn rewritten(graph: &mut Graph, rows: usize) -> StreamingReport {
    rewrite(graph, rows).expect("a stream")
}

const RELU: Op = Op::Clamp {
    minimum: 0.0,
    maximum: f32::INFINITY,
};

#[test]
fn single_elements_flow_until_the_window_is_needed() {
    let mut graph = window();
    let x = graph.input;
    let positive = node(&mut graph, RELU, &[x], &[1, 4, 2]);
    let sum = Op::Reduce {
        op: dunlin_engine::format::OpCode::ReduceSum,
        outer: 1,
        reduced: 4,
        inner: 2,
    };
    let total = node(&mut graph, sum.clone(), &[positive], &[1, 2]);
    graph.outputs = vec![total];
    let report = rewritten(&mut graph, 1);
    assert_eq!(ops(&graph), [&RELU, &Op::History, &sum]);
    assert_eq!(graph.values[graph.input].shape, [1, 1, 2]);
    assert_eq!(graph.values[graph.nodes[1].output].shape, [1, 4, 2]);
    assert_eq!(
        (report.flowing_ops, report.axis, report.window_rows),
        (1, 1, 4)
    );
    assert_eq!(report.ends[0].reason, "it reduces over time");
}

#[test]
fn rows_flow_through_layers_and_reductions_of_other_axes() {
    let mut graph = window();
    let x = graph.input;
    let wide = layer(&mut graph, x, &[0.0, 1.0]);
    graph.values[wide].shape = vec![1, 4, 2];
    let mean = Op::Reduce {
        op: dunlin_engine::format::OpCode::ReduceMean,
        outer: 4,
        reduced: 2,
        inner: 1,
    };
    let means = node(&mut graph, mean, &[wide], &[1, 4]);
    let flat = node(&mut graph, Op::Reshape, &[means], &[4, 1]);
    graph.outputs = vec![flat];
    let report = rewritten(&mut graph, 2);
    assert!(matches!(graph.nodes[1].op, Op::Reduce { outer: 2, .. }));
    assert_eq!(graph.values[graph.nodes[2].output].shape, [2, 1]);
    assert_eq!(graph.values[graph.outputs[0]].shape, [4, 1]);
    assert_eq!(report.flowing_ops, 3);
    assert_eq!(report.ends[0].reason, "the output is the whole window");
}

fn recurrent(reverse: bool) -> Op {
    Op::Recurrent(Recurrent {
        cell: Cell::Gru {
            linear_before_reset: true,
        },
        hidden: 2,
        reverse,
        last: true,
        keeps: false,
        form: Form::Floats,
    })
}

fn with_layer(reverse: bool) -> Graph {
    let mut graph = window();
    let x = graph.input;
    let rows = node(&mut graph, Op::Reshape, &[x], &[4, 2]);
    let constants: Vec<ValueId> = [vec![6, 2], vec![6, 2], vec![8]]
        .iter()
        .map(|shape| {
            let count = shape.iter().product();
            graph.add_constant("w", shape, Data::F32(vec![0.5; count]))
        })
        .collect();
    let inputs = [&[rows], &constants[..]].concat();
    let h = node(&mut graph, recurrent(reverse), &inputs, &[1, 2]);
    graph.outputs = vec![h];
    graph
}

#[test]
fn a_layer_that_runs_forwards_keeps_its_state_and_one_that_does_not_gets_the_window() {
    let mut forwards = with_layer(false);
    let report = rewritten(&mut forwards, 1);
    assert!(matches!(ops(&forwards)[..], [Op::Reshape, Op::Recurrent(layer)] if layer.keeps));
    assert!(report.goes_on && report.ends.is_empty());
    let mut backwards = with_layer(true);
    let report = rewritten(&mut backwards, 1);
    assert!(
        matches!(ops(&backwards)[..], [Op::Reshape, Op::History, Op::Recurrent(layer)] if !layer.keeps)
    );
    assert!(!report.goes_on && report.ends[0].reason.contains("from the last row"));
}

#[test]
fn no_layer_goes_on_beside_one_that_runs_backwards() {
    let mut both = with_layer(false);
    let (rows, ahead) = (both.nodes[1].inputs[0], both.nodes[1].clone());
    let inputs = [&[rows], &ahead.inputs[1..]].concat();
    let back = node(&mut both, recurrent(true), &inputs, &[1, 2]);
    both.outputs.push(back);
    let report = rewritten(&mut both, 1);
    assert!(!report.goes_on && report.ends.len() == 2);
    assert_eq!(
        both.nodes
            .iter()
            .filter(|node| node.op == Op::History)
            .count(),
        1
    );
}

#[test]
fn an_input_shorter_than_a_call_is_refused() {
    let mut graph = graph();
    let x = graph.input;
    let positive = node(&mut graph, RELU, &[x], &[1, 2]);
    graph.outputs = vec![positive];
    let refusal = rewrite(&mut graph, 2).unwrap_err();
    assert!(
        refusal.reason.contains("no window of more than 2 rows"),
        "{}",
        refusal.reason
    );
    assert!(rewrite(&mut graph, 0).is_err());
}
