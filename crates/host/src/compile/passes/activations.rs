//! A `clamp` behind a fully connected layer, a convolution or another `clamp` joins it.

use super::super::graph::{Graph, Node, Op};
use super::{pairs, replace};

pub(super) fn fold(graph: &mut Graph) {
    for (layer, clamp) in pairs(graph) {
        let (first, second) = (&graph.nodes[layer], &graph.nodes[clamp]);
        if let Some(op) = joined(&first.op, &second.op) {
            let node = Node {
                op,
                ..first.clone()
            };
            replace(graph, clamp, node);
        }
    }
}

fn joined(first: &Op, second: &Op) -> Option<Op> {
    let Op::Clamp {
        minimum: low,
        maximum: high,
    } = *second
    else {
        return None;
    };
    match *first {
        Op::FullyConnected { minimum, maximum } => Some(Op::FullyConnected {
            minimum: minimum.clamp(low, high),
            maximum: maximum.clamp(low, high),
        }),
        Op::Conv2d {
            window,
            transposed,
            minimum,
            maximum,
        } => Some(Op::Conv2d {
            window,
            transposed,
            minimum: minimum.clamp(low, high),
            maximum: maximum.clamp(low, high),
        }),
        Op::Clamp { minimum, maximum } => Some(Op::Clamp {
            minimum: minimum.clamp(low, high),
            maximum: maximum.clamp(low, high),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{graph, layer, node, ops};
    use super::*;

    #[test]
    fn limits_join_the_layer_and_each_other() {
        let mut graph = graph();
        let x = graph.input;
        let product = layer(&mut graph, x, &[0.0, 0.0]);
        let relu = Op::Clamp {
            minimum: 0.0,
            maximum: f32::INFINITY,
        };
        let positive = node(&mut graph, relu, &[product], &[1, 2]);
        let six = node(
            &mut graph,
            Op::Clamp {
                minimum: -1.0,
                maximum: 6.0,
            },
            &[positive],
            &[1, 2],
        );
        graph.outputs = vec![six];
        fold(&mut graph);
        graph.remove_unused();
        assert_eq!(
            ops(&graph),
            [&Op::FullyConnected {
                minimum: 0.0,
                maximum: 6.0
            }]
        );
        assert_eq!(graph.nodes[0].output, six);
    }

    #[test]
    fn a_result_used_elsewhere_is_not_limited() {
        let mut graph = graph();
        let x = graph.input;
        let product = layer(&mut graph, x, &[0.0, 0.0]);
        let relu = Op::Clamp {
            minimum: 0.0,
            maximum: f32::INFINITY,
        };
        let positive = node(&mut graph, relu, &[product], &[1, 2]);
        graph.outputs = vec![product, positive];
        fold(&mut graph);
        graph.remove_unused();
        assert_eq!(graph.nodes.len(), 2);
    }
}
