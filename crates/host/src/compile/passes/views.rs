//! Ops that only move elements go past quantization, so that integer layers see their neighbours
//! and a byte is moved instead of a float.
//!
//! `view(dequantize(q))` becomes `dequantize(view(q))`, `quantize(view(x))` becomes
//! `view(quantize(x))`, and `quantize(concat(x, y))` becomes `concat(quantize(x), quantize(y))`: both
//! sides do the same to every element. A dequantization that others use too is repeated for the view.

use super::super::constant::Data;
use super::super::graph::{Content, Element, Graph, Node, Op, ValueId};
use super::super::real::Real;
use super::pairs;

pub(super) fn hoist(graph: &mut Graph) {
    loop {
        let pairs = pairs(graph);
        if let Some(view) = view_of_shared(graph) {
            separate(graph, view);
        } else if let Some(&(first, second)) = pairs.iter().find(|pair| swaps(graph, **pair)) {
            swap(graph, first, second);
        } else if let Some(&(concat, quantize)) = pairs.iter().find(|pair| joins(graph, **pair)) {
            spread(graph, concat, quantize);
        } else {
            return;
        }
    }
}

fn is_view(op: &Op) -> bool {
    matches!(op, Op::Reshape | Op::StridedCopy { .. })
}

fn swaps(graph: &Graph, (first, second): (usize, usize)) -> bool {
    match (&graph.nodes[first].op, &graph.nodes[second].op) {
        (Op::DequantizeLinear { .. }, view) | (view, Op::QuantizeLinear { .. }) => is_view(view),
        _ => false,
    }
}

fn joins(graph: &Graph, (first, second): (usize, usize)) -> bool {
    let ops = (&graph.nodes[first].op, &graph.nodes[second].op);
    matches!(ops, (Op::Concat { .. }, Op::QuantizeLinear { .. }))
}

/// A view of a dequantised value that is used elsewhere too.
fn view_of_shared(graph: &Graph) -> Option<usize> {
    (0..graph.nodes.len()).find(|&at| {
        let node = &graph.nodes[at];
        let source = node.inputs.first().and_then(|&input| graph.producer(input));
        let dequantizes =
            |source: usize| matches!(graph.nodes[source].op, Op::DequantizeLinear { .. });
        is_view(&node.op) && source.is_some_and(dequantizes) && graph.uses(node.inputs[0]) > 1
    })
}

/// Gives a view a dequantization of its own.
fn separate(graph: &mut Graph, view: usize) {
    let shared = graph.nodes[view].inputs[0];
    let Some(source) = graph.producer(shared) else {
        return;
    };
    let (name, shape) = (
        graph.values[shared].name.clone(),
        graph.values[shared].shape.clone(),
    );
    let output = graph.add_value(&name, Element::F32, &shape);
    let node = Node {
        output,
        ..graph.nodes[source].clone()
    };
    graph.nodes[view].inputs[0] = output;
    graph.nodes.insert(view, node);
}

/// Exchanges two ops in a row; the value between them becomes `i8`.
fn swap(graph: &mut Graph, first: usize, second: usize) {
    let (a, b) = (graph.nodes[first].clone(), graph.nodes[second].clone());
    let (middle, scale) = match (&a.op, &b.op) {
        (Op::DequantizeLinear { scale, zero_point }, _) => (b.output, (*scale, *zero_point)),
        (_, Op::QuantizeLinear { scale, zero_point }) => (a.inputs[0], (*scale, *zero_point)),
        _ => return,
    };
    let between = quantized_like(graph, middle, scale);
    graph.nodes[first] = Node {
        op: b.op,
        inputs: a.inputs,
        output: between,
        origins: b.origins,
    };
    graph.nodes[second] = Node {
        op: a.op,
        inputs: vec![between],
        output: b.output,
        origins: a.origins,
    };
}

/// A new `i8` value with the name and shape of another.
fn quantized_like(graph: &mut Graph, like: ValueId, quantization: (f32, i32)) -> ValueId {
    let (name, shape) = (
        graph.values[like].name.clone(),
        graph.values[like].shape.clone(),
    );
    let value = graph.add_value(&name, Element::I8, &shape);
    graph.values[value].quantization = Some(quantization);
    value
}

/// Quantises what is joined instead of the joined; constants at once.
fn spread(graph: &mut Graph, concat: usize, quantize: usize) {
    let Op::QuantizeLinear { scale, zero_point } = graph.nodes[quantize].op else {
        return;
    };
    let quantize = graph.nodes.remove(quantize);
    let mut at = concat;
    for position in 0..graph.nodes[concat].inputs.len() {
        let input = graph.nodes[at].inputs[position];
        graph.nodes[at].inputs[position] = match codes(graph, input, (scale, zero_point)) {
            Some(data) => {
                let shape = graph.values[input].shape.clone();
                graph.add_constant("codes", &shape, Data::I8(data))
            }
            None => {
                let output = quantized_like(graph, input, (scale, zero_point));
                let node = Node {
                    inputs: vec![input],
                    output,
                    ..quantize.clone()
                };
                graph.nodes.insert(at, node);
                at += 1;
                output
            }
        };
    }
    graph.nodes[at].output = quantize.output;
}

/// The codes of a constant; none of a computed value.
fn codes(graph: &Graph, value: ValueId, (scale, zero_point): (f32, i32)) -> Option<Vec<i8>> {
    let reals: Option<Vec<Real>> = match &graph.values[value].content {
        Content::Constant(Data::F32(values)) => values.iter().map(|&v| Real::from_f32(v)).collect(),
        Content::Quantized(quantized) => quantized
            .steps(&graph.values[value].shape)
            .map(|(steps, scale)| Some(Real::from_f32(scale)?.times(&Real::integer(steps))))
            .collect(),
        _ => None,
    };
    let codes = reals?.into_iter().map(|real| real.code(scale, zero_point));
    codes.collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{floats, graph, node, ops};
    use super::*;

    const QUANTIZE: Op = Op::QuantizeLinear {
        scale: 0.5,
        zero_point: 3,
    };
    const DEQUANTIZE: Op = Op::DequantizeLinear {
        scale: 0.5,
        zero_point: 3,
    };

    #[test]
    fn a_view_moves_before_dequantization_and_behind_quantization() {
        let mut graph = graph();
        let x = graph.input;
        graph.values[x].element = Element::I8;
        let float = node(&mut graph, DEQUANTIZE, &[x], &[1, 2]);
        let column = node(&mut graph, Op::Reshape, &[float], &[2, 1]);
        let reversed = Op::StridedCopy {
            base: 1,
            strides: [0, 0, 0, -1],
        };
        let turned = node(&mut graph, reversed.clone(), &[column], &[2]);
        let quantized = node(&mut graph, QUANTIZE, &[turned], &[2]);
        graph.outputs = vec![quantized];
        hoist(&mut graph);
        assert_eq!(
            ops(&graph),
            [&Op::Reshape, &reversed, &DEQUANTIZE, &QUANTIZE]
        );
        assert_eq!(graph.values[graph.nodes[1].output].shape, [2]);
        assert_eq!(graph.nodes[3].output, quantized);
    }

    #[test]
    fn views_of_one_dequantised_tensor_each_move_before_it() {
        let mut graph = graph();
        let x = graph.input;
        graph.values[x].element = Element::I8;
        let float = node(&mut graph, DEQUANTIZE, &[x], &[1, 2]);
        let part = |base| Op::StridedCopy {
            base,
            strides: [0; 4],
        };
        let first = node(&mut graph, part(0), &[float], &[1, 1]);
        let second = node(&mut graph, part(1), &[float], &[1, 1]);
        graph.outputs = vec![first, second];
        hoist(&mut graph);
        graph.remove_unused();
        let views: Vec<&Node> = graph.nodes.iter().filter(|n| is_view(&n.op)).collect();
        assert!(graph.nodes.len() == 4 && views.len() == 2);
        assert!(views.iter().all(|view| view.inputs == [x]));
    }

    #[test]
    fn what_is_joined_is_quantised_one_by_one() {
        let mut graph = graph();
        let x = graph.input;
        let constant = floats(&mut graph, &[1.25, -100.0]);
        let concat = Op::Concat { outer: 1 };
        let joined = node(&mut graph, concat.clone(), &[x, constant], &[1, 4]);
        let quantized = node(&mut graph, QUANTIZE, &[joined], &[1, 4]);
        graph.outputs = vec![quantized];
        hoist(&mut graph);
        assert_eq!(ops(&graph), [&QUANTIZE, &concat]);
        let codes = graph.constant(graph.nodes[1].inputs[1]);
        // 2.5 steps go to the even 2.
        assert_eq!(codes, Some(&Data::I8(vec![5, -128])));
        assert_eq!(graph.nodes[1].output, quantized);
    }
}
