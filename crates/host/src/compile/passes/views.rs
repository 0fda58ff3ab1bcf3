//! Reshapes move past quantization, so that integer layers see their neighbours.
//!
//! `reshape(dequantize(q))` becomes `dequantize(reshape(q))`, `quantize(reshape(x))` becomes
//! `reshape(quantize(x))`: both act on single elements.

use super::super::graph::{Element, Graph, Node, Op};
use super::pairs;

pub(super) fn hoist(graph: &mut Graph) {
    while let Some((first, second)) = pairs(graph).into_iter().find(|&pair| swaps(graph, pair)) {
        swap(graph, first, second);
    }
}

fn swaps(graph: &Graph, (first, second): (usize, usize)) -> bool {
    matches!(
        (&graph.nodes[first].op, &graph.nodes[second].op),
        (Op::DequantizeLinear { .. }, Op::Reshape) | (Op::Reshape, Op::QuantizeLinear { .. })
    )
}

/// Exchanges two ops in a row; the value between them becomes `i8`.
fn swap(graph: &mut Graph, first: usize, second: usize) {
    let (a, b) = (graph.nodes[first].clone(), graph.nodes[second].clone());
    let (middle, scale) = match (&a.op, &b.op) {
        (Op::DequantizeLinear { scale, zero_point }, _) => (b.output, (*scale, *zero_point)),
        (_, Op::QuantizeLinear { scale, zero_point }) => (a.inputs[0], (*scale, *zero_point)),
        _ => return,
    };
    let shape = graph.values[middle].shape.clone();
    let name = graph.values[middle].name.clone();
    let between = graph.add_value(&name, Element::I8, &shape);
    graph.values[between].quantization = Some(scale);
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

#[cfg(test)]
mod tests {
    use super::super::testing::{graph, node, ops};
    use super::*;

    #[test]
    fn a_reshape_moves_before_dequantization_and_behind_quantization() {
        let mut graph = graph();
        let (scale, zero_point) = (0.5, 3);
        let x = graph.input;
        graph.values[x].element = Element::I8;
        let float = node(
            &mut graph,
            Op::DequantizeLinear { scale, zero_point },
            &[x],
            &[1, 2],
        );
        let column = node(&mut graph, Op::Reshape, &[float], &[2, 1]);
        let flat = node(&mut graph, Op::Reshape, &[column], &[2]);
        let quantized = node(
            &mut graph,
            Op::QuantizeLinear { scale, zero_point },
            &[flat],
            &[2],
        );
        graph.outputs = vec![quantized];
        hoist(&mut graph);
        let dequantize = Op::DequantizeLinear { scale, zero_point };
        let quantize = Op::QuantizeLinear { scale, zero_point };
        assert_eq!(
            ops(&graph),
            [&Op::Reshape, &Op::Reshape, &dequantize, &quantize]
        );
        assert_eq!(graph.values[graph.nodes[1].output].shape, [2]);
        assert_eq!(graph.nodes[3].output, quantized);
    }
}
