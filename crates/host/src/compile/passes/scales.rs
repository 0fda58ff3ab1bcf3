//! Two constant rows in a row become one `scale`, with the same two roundings.
//!
//! `x - a` then `· b` or `/ b`, and `x · a` then `+ b`; an added row is a subtracted one negated,
//! which IEEE arithmetic gives exactly.

use super::super::constant::Data;
use super::super::graph::{Graph, Node, Op, ScaleForm, ValueId};
use super::{pairs, replace};
use dunlin_engine::format::OpCode;

pub(super) fn join(graph: &mut Graph) {
    for (first, second) in pairs(graph) {
        if let Some(node) = joined(graph, first, second) {
            replace(graph, second, node);
        }
    }
}

fn joined(graph: &mut Graph, first: usize, second: usize) -> Option<Node> {
    let (first, second) = (graph.nodes[first].clone(), graph.nodes[second].clone());
    let (Op::Binary(inner), Op::Binary(outer)) = (&first.op, &second.op) else {
        return None;
    };
    let (form, negate) = match (inner, outer) {
        (OpCode::Sub, OpCode::Mul) => (ScaleForm::SubMul, [false, false]),
        (OpCode::Add, OpCode::Mul) => (ScaleForm::SubMul, [true, false]),
        (OpCode::Sub, OpCode::Div) => (ScaleForm::SubDiv, [false, false]),
        (OpCode::Add, OpCode::Div) => (ScaleForm::SubDiv, [true, false]),
        (OpCode::Mul, OpCode::Add) => (ScaleForm::MulAdd, [false, false]),
        (OpCode::Mul, OpCode::Sub) => (ScaleForm::MulAdd, [false, true]),
        _ => return None,
    };
    let (x, a) = row_operand(graph, &first)?;
    let (between, b) = row_operand(graph, &second)?;
    if between != first.output {
        return None;
    }
    let columns = graph.values[second.output].columns();
    let a = expanded(graph, a, columns, negate[0])?;
    let b = expanded(graph, b, columns, negate[1])?;
    Some(Node {
        op: Op::Scale(form),
        inputs: vec![x, a, b],
        ..first
    })
}

/// The computed operand and the constant row of a node that keeps its operand's shape.
fn row_operand(graph: &Graph, node: &Node) -> Option<(ValueId, ValueId)> {
    let [left, right] = node.inputs[..] else {
        return None;
    };
    let commutes = matches!(node.op, Op::Binary(OpCode::Add | OpCode::Mul));
    let (x, row) = match (
        graph.values[left].is_computed(),
        graph.values[right].is_computed(),
    ) {
        (true, false) => (left, right),
        (false, true) if commutes => (right, left),
        _ => return None,
    };
    let value = &graph.values[row];
    let is_row = value.elements() == value.columns();
    (is_row && graph.values[x].shape == graph.values[node.output].shape).then_some((x, row))
}

fn expanded(graph: &mut Graph, row: ValueId, columns: usize, negate: bool) -> Option<ValueId> {
    let mut values = graph.floats(row)?;
    if values.len() == 1 {
        values = vec![values[0]; columns];
    }
    if negate {
        values.iter_mut().for_each(|value| *value = -*value);
    }
    let name = graph.values[row].name.clone();
    (values.len() == columns).then(|| graph.add_constant(&name, &[columns], Data::F32(values)))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{floats, graph, node, ops};
    use super::*;

    fn scaled(first: OpCode, second: OpCode) -> Graph {
        let mut graph = graph();
        let (a, b) = (floats(&mut graph, &[1.0, 2.0]), floats(&mut graph, &[4.0]));
        let x = graph.input;
        let middle = node(&mut graph, Op::Binary(first), &[x, a], &[1, 2]);
        let result = node(&mut graph, Op::Binary(second), &[middle, b], &[1, 2]);
        graph.outputs = vec![result];
        join(&mut graph);
        graph.remove_unused();
        graph
    }

    #[test]
    fn a_standardisation_is_one_op() {
        let graph = scaled(OpCode::Sub, OpCode::Div);
        assert_eq!(ops(&graph), [&Op::Scale(ScaleForm::SubDiv)]);
        assert_eq!(graph.floats(graph.nodes[0].inputs[1]), Some(vec![1.0, 2.0]));
        assert_eq!(graph.floats(graph.nodes[0].inputs[2]), Some(vec![4.0, 4.0]));
    }

    #[test]
    fn an_added_offset_is_negated() {
        let graph = scaled(OpCode::Add, OpCode::Mul);
        assert_eq!(ops(&graph), [&Op::Scale(ScaleForm::SubMul)]);
        assert_eq!(
            graph.floats(graph.nodes[0].inputs[1]),
            Some(vec![-1.0, -2.0])
        );
    }

    #[test]
    fn two_factors_stay_two_ops() {
        assert_eq!(scaled(OpCode::Mul, OpCode::Mul).nodes.len(), 2);
    }
}
