//! Layers over rows read a tensor of the same rows in place of a view of it: they look at no other extent.

use super::super::graph::{Graph, Op, ValueId};

pub(super) fn read(graph: &mut Graph) {
    for at in 0..graph.nodes.len() {
        let is_over_rows = matches!(
            graph.nodes[at].op,
            Op::FullyConnected { .. }
                | Op::FullyConnectedI8 { .. }
                | Op::FullyConnectedI8ToF32 { .. }
        );
        if !is_over_rows {
            continue;
        }
        while let Some(seen) = seen(graph, graph.nodes[at].inputs[0]) {
            graph.nodes[at].inputs[0] = seen;
        }
    }
}

/// What a value is a view of, if that has the same rows.
fn seen(graph: &Graph, value: ValueId) -> Option<ValueId> {
    let view = &graph.nodes[graph.producer(value)?];
    let seen = *view.inputs.first()?;
    let columns = |id: ValueId| graph.values[id].columns();
    (view.op == Op::Reshape && columns(seen) == columns(value)).then_some(seen)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{graph, layer, node, ops};
    use super::*;

    fn read_ops(shape: &[usize]) -> usize {
        let mut graph = graph();
        let x = graph.input;
        let view = node(&mut graph, Op::Reshape, &[x], shape);
        let seen_back = node(&mut graph, Op::Reshape, &[view], &[1, 2]);
        let layer = layer(&mut graph, seen_back, &[0.0, 0.0]);
        graph.outputs = vec![layer];
        read(&mut graph);
        graph.remove_unused();
        ops(&graph).len()
    }

    #[test]
    fn views_of_the_same_rows_are_not_needed() {
        assert_eq!(read_ops(&[1, 1, 1, 2]), 1);
    }

    #[test]
    fn a_view_with_other_rows_stays() {
        assert_eq!(read_ops(&[2, 1]), 3);
    }
}
