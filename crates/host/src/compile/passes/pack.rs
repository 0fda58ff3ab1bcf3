//! Integer layers whose requantisation can be proved take the engine's packed kernels.
//!
//! A convolution of single pixels is a fully connected layer over all pixels. One with a filter per
//! channel is computed plane by plane. Other groups, transposed windows and layers without a proof keep
//! their reference kernel.

use super::super::constant::Data;
use super::super::graph::{Graph, Node, Op};
use super::super::packing::groups::{pack, places};
use super::super::packing::{Geometry, IntegerLayer, depthwise};

pub(super) fn run(graph: &mut Graph) {
    for at in 0..graph.nodes.len() {
        let packed = match graph.nodes[at].op {
            Op::FullyConnectedI8 { .. } => fully_connected(graph, at),
            Op::Conv2dI8 { .. } => convolution(graph, at),
            _ => None,
        };
        if let Some((op, bytes)) = packed {
            replace_constants(graph, at, op, bytes);
        }
    }
}

/// Gives a node another op, whose inputs are the first one and the packed constants.
fn replace_constants(graph: &mut Graph, at: usize, op: Op, bytes: Vec<u8>) {
    let name = graph.values[graph.nodes[at].inputs[1]].name.clone();
    let constants = graph.add_constant(&name, &[bytes.len()], Data::Bytes(bytes));
    let node: &mut Node = &mut graph.nodes[at];
    node.op = op;
    node.inputs = vec![node.inputs[0], constants];
}

fn fully_connected(graph: &Graph, at: usize) -> Option<(Op, Vec<u8>)> {
    let node = &graph.nodes[at];
    let x = &graph.values[node.inputs[0]];
    let rows = x.elements() / x.columns().max(1);
    over_rows(&IntegerLayer::of(graph, node)?, rows)
}

/// The layer over rows of inputs.
fn over_rows(layer: &IntegerLayer, rows: usize) -> Option<(Op, Vec<u8>)> {
    let k = layer.weights.first()?.len();
    let bytes = pack(layer, &places(1, k))?;
    let op = Op::FullyConnectedPacked {
        rows,
        k,
        n: layer.weights.len(),
        limits: layer.limits,
    };
    Some((op, bytes))
}

fn convolution(graph: &Graph, at: usize) -> Option<(Op, Vec<u8>)> {
    let node = &graph.nodes[at];
    let layer = IntegerLayer::of(graph, node)?;
    let geometry = geometry(graph, node)?;
    let limits = layer.limits;
    let [.., in_group] = graph.values[node.inputs[1]].shape[..] else {
        return None;
    };
    let groups = geometry.channels / in_group.max(1);
    if groups == 1 && is_pointwise(&geometry) {
        return over_rows(&layer, geometry.outputs());
    }
    if groups == 1 {
        let (runs, run) = geometry.runs();
        let bytes = pack(&layer, &places(runs, run))?;
        return Some((Op::Conv2dPacked { geometry, limits }, bytes));
    }
    let is_depthwise = groups == geometry.channels && geometry.filters == geometry.channels;
    if !is_depthwise || geometry.dilation != [1, 1] {
        return None;
    }
    let bytes = depthwise::pack(&layer, &geometry)?;
    Some((Op::DepthwisePacked { geometry, limits }, bytes))
}

/// Whether every output pixel is computed from the input pixel at its place.
fn is_pointwise(geometry: &Geometry) -> bool {
    geometry.kernel == [1, 1]
        && geometry.stride == [1, 1]
        && geometry.padding == [0, 0]
        && geometry.input == geometry.output
}

fn geometry(graph: &Graph, node: &Node) -> Option<Geometry> {
    let Op::Conv2dI8 {
        ref window,
        input_zero_point,
        ..
    } = node.op
    else {
        return None;
    };
    let shape = |id: usize| graph.values[id].shape.as_slice();
    let (&[1, h, w, c], &[1, rows, columns, filters]) = (shape(node.inputs[0]), shape(node.output))
    else {
        return None;
    };
    let [top, left, ..] = window.pads;
    Some(Geometry {
        input: [h, w],
        channels: c,
        output: [rows, columns],
        filters,
        kernel: window.kernel,
        stride: window.strides,
        dilation: window.dilations,
        padding: [top, left],
        zero: i8::try_from(input_zero_point).ok()?,
    })
}
