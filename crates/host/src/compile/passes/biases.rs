//! A constant row added to a fully connected layer or convolution without a bias becomes its bias.
//!
//! The layer adds its bias last, so the sum has the same rounding.

use super::super::graph::{Graph, Node, Op};
use super::{pairs, replace};
use dunlin_engine::format::OpCode;

pub(super) fn fold(graph: &mut Graph) {
    for (layer, add) in pairs(graph) {
        if let Some(node) = folded(graph, layer, add) {
            replace(graph, add, node);
        }
    }
}

fn folded(graph: &Graph, layer: usize, add: usize) -> Option<Node> {
    let (layer, add) = (&graph.nodes[layer], &graph.nodes[add]);
    let (
        Op::FullyConnected { minimum, maximum }
        | Op::Conv2d {
            minimum, maximum, ..
        },
        Op::Binary(OpCode::Add),
    ) = (&layer.op, &add.op)
    else {
        return None;
    };
    let row = *add.inputs.iter().find(|&&input| input != layer.output)?;
    let row_value = &graph.values[row];
    let (before, after) = (&graph.values[layer.output], &graph.values[add.output]);
    let fits = !row_value.is_computed()
        && row_value.elements() == before.columns()
        && row_value.columns() == before.columns()
        && before.shape == after.shape;
    let no_bias = graph
        .floats(layer.inputs[2])?
        .iter()
        .all(|&value| value == 0.0);
    let unlimited = *minimum == f32::NEG_INFINITY && *maximum == f32::INFINITY;
    (fits && no_bias && unlimited).then(|| {
        let inputs = vec![layer.inputs[0], layer.inputs[1], row];
        Node {
            inputs,
            ..layer.clone()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{floats, graph, layer, node, ops};
    use super::*;

    #[test]
    fn an_added_row_becomes_the_bias() {
        let mut graph = graph();
        let x = graph.input;
        let product = layer(&mut graph, x, &[0.0, 0.0]);
        let row = floats(&mut graph, &[5.0, 6.0]);
        let sum = node(
            &mut graph,
            Op::Binary(OpCode::Add),
            &[row, product],
            &[1, 2],
        );
        graph.outputs = vec![sum];
        fold(&mut graph);
        graph.remove_unused();
        assert_eq!(graph.nodes.len(), 1);
        assert_eq!(
            (graph.nodes[0].inputs[2], graph.nodes[0].output),
            (row, sum)
        );
        assert_eq!(graph.nodes[0].origins, [0, 1]);
    }

    #[test]
    fn a_layer_with_a_bias_keeps_it() {
        let mut graph = graph();
        let x = graph.input;
        let product = layer(&mut graph, x, &[0.0, 1.0]);
        let row = floats(&mut graph, &[5.0, 6.0]);
        let sum = node(
            &mut graph,
            Op::Binary(OpCode::Add),
            &[product, row],
            &[1, 2],
        );
        graph.outputs = vec![sum];
        fold(&mut graph);
        assert_eq!(ops(&graph)[1], &Op::Binary(OpCode::Add));
    }
}
