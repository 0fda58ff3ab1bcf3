//! A factor and an offset per channel behind a convolution move into its weights and bias.
//!
//! That is how a batch normalisation ends. `(Σxw + b)·a + c` becomes `Σx(wa) + (ba + c)`: a result
//! may differ from the unfolded one in its last bits, as every weight is rounded once more. Integer
//! weights stay as they are.

use super::super::constant::Data;
use super::super::graph::{Graph, Node, Op, ScaleForm, ValueId};
use super::{pairs, replace};
use dunlin_engine::format::OpCode;

pub(super) fn fold(graph: &mut Graph) {
    while let Some((at, node)) = pairs(graph)
        .into_iter()
        .find_map(|(layer, scale)| Some((scale, folded(graph, layer, scale)?)))
    {
        replace(graph, at, node);
    }
}

fn folded(graph: &mut Graph, layer: usize, scale: usize) -> Option<Node> {
    let (layer, scale) = (graph.nodes[layer].clone(), graph.nodes[scale].clone());
    let Op::Conv2d {
        minimum, maximum, ..
    } = layer.op
    else {
        return None;
    };
    if minimum != f32::NEG_INFINITY || maximum != f32::INFINITY {
        return None;
    }
    let filters = graph.values[layer.output].columns();
    let (factors, offsets) = affine(graph, &scale, layer.output, filters)?;
    let Some(Data::F32(weights)) = graph.constant(layer.inputs[1]).cloned() else {
        return None;
    };
    let Some(Data::F32(bias)) = graph.constant(layer.inputs[2]).cloned() else {
        return None;
    };
    let row = weights.len() / filters;
    let scaled = weights.iter().enumerate();
    let weights = scaled
        .map(|(index, weight)| weight * factors[index / row])
        .collect();
    let bias = (0..filters)
        .map(|index| bias[index] * factors[index] + offsets[index])
        .collect();
    let constant = |graph: &mut Graph, id: ValueId, data: Vec<f32>| {
        let value = graph.values[id].clone();
        graph.add_constant(&value.name, &value.shape, Data::F32(data))
    };
    let weights = constant(graph, layer.inputs[1], weights);
    let bias = constant(graph, layer.inputs[2], bias);
    Some(Node {
        inputs: vec![layer.inputs[0], weights, bias],
        ..layer
    })
}

/// Factors and offsets of every channel of `x` in a node that keeps its shape.
fn affine(graph: &Graph, node: &Node, x: ValueId, channels: usize) -> Option<(Vec<f32>, Vec<f32>)> {
    let row = |id: ValueId| {
        let value = &graph.values[id];
        let floats = graph
            .floats(id)
            .filter(|_| value.elements() == value.columns())?;
        match floats.len() {
            1 => Some(vec![floats[0]; channels]),
            count => (count == channels).then_some(floats),
        }
    };
    if graph.values[node.output].shape != graph.values[x].shape {
        return None;
    }
    match node.op {
        Op::Scale(ScaleForm::MulAdd) => Some((row(node.inputs[1])?, row(node.inputs[2])?)),
        Op::Binary(op @ (OpCode::Mul | OpCode::Add | OpCode::Sub)) => {
            let other = match node.inputs[..] {
                [a, b] if a == x => b,
                [a, b] if b == x && op != OpCode::Sub => a,
                _ => return None,
            };
            let row = row(other)?;
            Some(match op {
                OpCode::Mul => (row, vec![0.0; channels]),
                OpCode::Add => (vec![1.0; channels], row),
                _ => (
                    vec![1.0; channels],
                    row.iter().map(|value| -value).collect(),
                ),
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::graph::Window;
    use super::super::testing::{floats, graph, node, ops};
    use super::*;

    #[test]
    fn a_factor_and_an_offset_join_weights_and_bias() {
        let mut graph = graph();
        graph.values[graph.input].shape = vec![1, 1, 1, 2];
        let window = Window {
            kernel: [1, 1],
            strides: [1, 1],
            dilations: [1, 1],
            pads: [0; 4],
        };
        let op = Op::Conv2d {
            window,
            transposed: false,
            minimum: f32::NEG_INFINITY,
            maximum: f32::INFINITY,
        };
        let weights = graph.add_constant("w", &[2, 1, 1, 2], Data::F32(vec![1.0, 2.0, 3.0, 4.0]));
        let bias = floats(&mut graph, &[1.0, -1.0]);
        let x = graph.input;
        let layer = node(&mut graph, op.clone(), &[x, weights, bias], &[1, 1, 1, 2]);
        let (a, b) = (
            floats(&mut graph, &[2.0, 10.0]),
            floats(&mut graph, &[0.5, 3.0]),
        );
        let scale = Op::Scale(ScaleForm::MulAdd);
        let scaled = node(&mut graph, scale, &[layer, a, b], &[1, 1, 1, 2]);
        let c = floats(&mut graph, &[4.0]);
        let end = node(
            &mut graph,
            Op::Binary(OpCode::Sub),
            &[scaled, c],
            &[1, 1, 1, 2],
        );
        graph.outputs = vec![end];
        fold(&mut graph);
        graph.remove_unused();
        assert_eq!(ops(&graph), [&op]);
        let constant = |index: usize| graph.floats(graph.nodes[0].inputs[index]).unwrap();
        assert_eq!(constant(1), [2.0, 4.0, 30.0, 40.0]);
        assert_eq!(constant(2), [2.0 + 0.5 - 4.0, -10.0 + 3.0 - 4.0]);
    }
}
