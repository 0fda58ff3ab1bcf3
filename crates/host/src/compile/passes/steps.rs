//! Recurrent layers compute only the steps that are read.
//!
//! Behind many a layer stands one row of its states: the last. Such a layer gives that state alone
//! and needs no room for the others. A layer that runs forwards ends there; one that runs
//! backwards begins at the end, so for the last row it takes a single step. The state has the same
//! bits, as its steps are the same. A row of two directions side by side is a row of each.

use super::super::graph::{Content, Graph, Node, Op, Value, ValueId};
use super::super::recurrent::{Cell, Recurrent};

pub(super) fn shorten(graph: &mut Graph) {
    while (0..graph.nodes.len()).any(|at| part(graph, at) || end(graph, at)) {
        graph.remove_unused();
    }
}

/// Elements in a row that a copy takes: the first, and how many.
fn run_of(graph: &Graph, at: usize) -> Option<(usize, usize)> {
    let node = &graph.nodes[at];
    let Op::StridedCopy { base, strides } = node.op else {
        return None;
    };
    let shape = &graph.values[node.output].shape;
    let mut next = 1;
    for (&extent, &stride) in shape.iter().rev().zip(strides.iter().rev()) {
        if extent != 1 && stride != next {
            return None;
        }
        next *= extent as i64;
    }
    Some((base, graph.values[node.output].elements()))
}

/// The node behind views whose result only the given one uses.
fn source(graph: &Graph, mut value: ValueId) -> Option<usize> {
    loop {
        let at = graph.producer(value)?;
        graph.only_consumer(value)?;
        match graph.nodes[at].op {
            Op::Reshape => value = graph.nodes[at].inputs[0],
            _ => return Some(at),
        }
    }
}

/// A row of operands side by side becomes the row of each, side by side.
fn part(graph: &mut Graph, at: usize) -> bool {
    let Some((first, count)) = run_of(graph, at) else {
        return false;
    };
    let Some(join) = source(graph, graph.nodes[at].inputs[0]) else {
        return false;
    };
    let joined = graph.nodes[join].clone();
    let Op::Concat { outer } = joined.op else {
        return false;
    };
    let width = graph.values[joined.output].elements() / outer;
    let is_layer = |&id: &ValueId| {
        let producer = graph.producer(id).map(|at| &graph.nodes[at].op);
        matches!(producer, Some(Op::Recurrent(layer)) if !layer.last)
    };
    if outer == 1
        || count != width
        || !first.is_multiple_of(width)
        || !joined.inputs.iter().all(is_layer)
    {
        return false;
    }
    let mut nodes = Vec::new();
    for &input in &joined.inputs {
        let columns = graph.values[input].elements() / outer;
        let row = row_like(graph, input, columns);
        nodes.push(Node {
            op: Op::StridedCopy {
                base: first / width * columns,
                strides: [0, 0, columns as i64, 1],
            },
            inputs: vec![input],
            output: row,
            origins: joined.origins.clone(),
        });
    }
    nodes.push(Node {
        op: Op::Concat { outer: 1 },
        inputs: nodes.iter().map(|node| node.output).collect(),
        ..graph.nodes[at].clone()
    });
    graph.nodes.splice(at..=at, nodes);
    true
}

/// A layer of which one row is read ends with it.
fn end(graph: &mut Graph, at: usize) -> bool {
    let Some((first, count)) = run_of(graph, at) else {
        return false;
    };
    let Some(source) = source(graph, graph.nodes[at].inputs[0]) else {
        return false;
    };
    let node = graph.nodes[source].clone();
    let Op::Recurrent(layer) = node.op else {
        return false;
    };
    let one_row = count == layer.hidden && first.is_multiple_of(count);
    if layer.last || layer.cell == (Cell::Lstm { with_cell: true }) || !one_row {
        return false;
    }
    let steps = graph.values[node.inputs[0]].shape[0];
    let row = first / count;
    let range = match layer.reverse {
        true => row..steps,
        false => 0..row + 1,
    };
    let mut nodes = Vec::new();
    let mut inputs = node.inputs.clone();
    if range.len() < steps {
        inputs[0] = rows_of(graph, &mut nodes, (node.inputs[0], range));
    }
    let state = row_like(graph, node.output, layer.hidden);
    nodes.push(Node {
        op: Op::Recurrent(Recurrent {
            last: true,
            ..layer
        }),
        inputs,
        output: state,
        origins: node.origins,
    });
    nodes.push(Node {
        op: Op::Reshape,
        inputs: vec![state],
        ..graph.nodes[at].clone()
    });
    graph.nodes.splice(at..=at, nodes);
    true
}

/// A copy of some rows of a matrix.
fn rows_of(
    graph: &mut Graph,
    nodes: &mut Vec<Node>,
    (x, rows): (ValueId, std::ops::Range<usize>),
) -> ValueId {
    let columns = graph.values[x].columns();
    let part = row_like(graph, x, columns);
    graph.values[part].shape[0] = rows.len();
    nodes.push(Node {
        op: Op::StridedCopy {
            base: rows.start * columns,
            strides: [0, 0, columns as i64, 1],
        },
        inputs: vec![x],
        output: part,
        origins: Vec::new(),
    });
    part
}

/// A value like `model`, of one row.
fn row_like(graph: &mut Graph, model: ValueId, columns: usize) -> ValueId {
    let value = Value {
        shape: vec![1, columns],
        content: Content::Computed,
        ..graph.values[model].clone()
    };
    graph.values.push(value);
    graph.values.len() - 1
}

#[cfg(test)]
mod tests {
    use super::super::super::constant::Data;
    use super::super::super::graph::Element;
    use super::super::super::recurrent::Form;
    use super::super::testing::{node, ops};
    use super::*;

    /// A layer of two units over five rows of three.
    fn layer(graph: &mut Graph, reverse: bool) -> ValueId {
        let x = graph.input;
        let constants = [vec![6, 3], vec![6, 2], vec![12]].map(|shape| {
            let count = shape.iter().product();
            graph.add_constant("w", &shape, Data::F32(vec![0.5; count]))
        });
        let op = Op::Recurrent(Recurrent {
            cell: Cell::Gru {
                linear_before_reset: true,
            },
            hidden: 2,
            reverse,
            last: false,
            keeps: false,
            form: Form::Open,
        });
        let [w, r, b] = constants;
        node(graph, op, &[x, w, r, b], &[5, 2])
    }

    fn picked(graph: &mut Graph, x: ValueId, (row, columns): (usize, usize)) {
        let op = Op::StridedCopy {
            base: row * columns,
            strides: [0, 0, 0, 1],
        };
        let y = node(graph, op, &[x], &[1, columns]);
        graph.outputs = vec![y];
        shorten(graph);
        graph.remove_unused();
    }

    fn graph() -> Graph {
        let mut graph = Graph::default();
        graph.input = graph.add_value("x", Element::F32, &[5, 3]);
        graph
    }

    #[test]
    fn the_last_row_of_two_directions_takes_one_step_backwards() {
        let mut graph = graph();
        let (ahead, back) = (layer(&mut graph, false), layer(&mut graph, true));
        let both = node(&mut graph, Op::Concat { outer: 5 }, &[ahead, back], &[5, 4]);
        picked(&mut graph, both, (4, 4));
        let steps = |node: &&Node| matches!(node.op, Op::Recurrent(layer) if layer.last);
        let layers: Vec<&Node> = graph.nodes.iter().filter(steps).collect();
        assert_eq!(layers.len(), 2, "{:?}", ops(&graph));
        let rows = layers
            .iter()
            .map(|node| graph.values[node.inputs[0]].shape[0]);
        assert_eq!(rows.collect::<Vec<_>>(), [5, 1]);
    }

    #[test]
    fn a_row_in_between_ends_the_layer_there() {
        let mut graph = graph();
        let y = layer(&mut graph, false);
        picked(&mut graph, y, (2, 2));
        let rows = Op::StridedCopy {
            base: 0,
            strides: [0, 0, 3, 1],
        };
        assert_eq!(ops(&graph)[0], &rows);
        assert_eq!(graph.values[graph.nodes[0].output].shape, [3, 3]);
    }

    #[test]
    fn a_layer_whose_states_are_read_elsewhere_keeps_its_steps() {
        let mut graph = graph();
        let y = layer(&mut graph, false);
        graph.outputs = vec![y];
        let last = Op::StridedCopy {
            base: 8,
            strides: [0, 0, 0, 1],
        };
        let state = node(&mut graph, last, &[y], &[1, 2]);
        graph.outputs = vec![y, state];
        shorten(&mut graph);
        assert!(matches!(ops(&graph)[0], Op::Recurrent(layer) if !layer.last));
        assert_eq!(graph.nodes.len(), 2);
    }
}
