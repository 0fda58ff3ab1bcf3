//! Integer layers whose requantisation can be proved take the engine's packed kernels.

use super::super::constant::Data;
use super::super::graph::{Graph, Node, Op};
use super::super::packing::groups::{pack, places};
use super::super::packing::{Constants, IntegerLayer};

pub(super) fn run(graph: &mut Graph) {
    for at in 0..graph.nodes.len() {
        if let Some(node) = packed(graph, at) {
            graph.nodes[at] = node;
        }
    }
}

fn packed(graph: &mut Graph, at: usize) -> Option<Node> {
    match graph.nodes[at].op {
        Op::FullyConnectedI8 { .. } => fully_connected(graph, at),
        _ => None,
    }
}

fn fully_connected(graph: &mut Graph, at: usize) -> Option<Node> {
    let node = graph.nodes[at].clone();
    let Op::FullyConnectedI8 {
        weight_zero_point,
        divisor,
        zero_point,
        minimum,
        maximum,
    } = node.op
    else {
        return None;
    };
    let constants = Constants {
        weight_zero_point,
        divisor,
        zero_point,
    };
    let k = graph.values[node.inputs[0]].columns();
    let layer = IntegerLayer::of(graph, &node, constants)?;
    let packed = pack(&layer, &places(1, k))?;
    let name = graph.values[node.inputs[1]].name.clone();
    let length = packed.bytes.len();
    let groups = graph.add_constant(&name, &[length], Data::Bytes(packed.bytes));
    Some(Node {
        op: Op::FullyConnectedPacked {
            rows: graph.values[node.inputs[0]].elements() / k.max(1),
            k,
            n: graph.values[node.output].columns(),
            shift: packed.shift,
            limits: (minimum as i8, maximum as i8),
        },
        inputs: vec![node.inputs[0], groups],
        ..node
    })
}
