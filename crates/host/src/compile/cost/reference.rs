//! Cycles of the reference kernels: rounds of their loops times what a round took in measurements.

use super::super::byte_op::ByteOp;
use super::super::graph::{Element, Graph, Node, Op, Svm, Window};
use super::super::recurrent::{Cell, Form, Recurrent};
use super::elements;
use crate::compile::report::macs;
use dunlin_engine::format::OpCode;

/// Channels that a pool folds at once.
const POOL_BLOCK: usize = 16;
/// Cycles to find the input under a tap.
const TAP: u64 = 110;
/// Cycles to divide a sum exactly and round it.
const DIVISION: u64 = 300;

/// Cycles of an op beside [`DISPATCH`](super::DISPATCH).
pub(super) fn cycles(graph: &Graph, node: &Node) -> u64 {
    let results = elements(graph, node) as u64;
    let inputs = graph.values[node.inputs[0]].elements() as u64;
    let macs = macs(graph, node);
    match node.op {
        Op::FullyConnected { .. } => 32 * macs / 5 + 139 * results,
        Op::FullyConnectedI8 { .. } => 5 * macs / 2 + 600 * results,
        Op::FullyConnectedI8ToF32 { .. } => 5 * macs / 2 + 250 * results,
        Op::Conv2d { .. } => taps(graph, node, [122, 155]) + 5 * macs,
        Op::Conv2dI8 { .. } => taps(graph, node, [126, 190]) + 5 * macs / 2 + 540 * results,
        Op::Conv2dI8ToF32 { .. } => taps(graph, node, [126, 190]) + 5 * macs / 2 + 250 * results,
        Op::MaxPool2d { ref window, .. } => pool(graph, node, window) + 20 * results,
        Op::AveragePool2d { ref window, .. } => pool(graph, node, window) + 60 * results,
        Op::Pad { .. } => 280 * results,
        Op::QuantizeLinear { .. } => 34 * results,
        Op::DequantizeLinear { .. } => 13 * results,
        Op::Scale(_) => 20 * results,
        Op::Clamp { .. } => 18 * results,
        Op::Binary(_) => 128 * results,
        Op::Unary(op) => unary(op) * results,
        Op::Activation { op, .. } => activation(op) * results,
        Op::LayerNormalization { .. } => 39 * results,
        Op::Reduce { .. } => 11 * inputs,
        Op::Softmax => 86 * results,
        Op::ArgMax => 9 * inputs,
        Op::TreeEnsemble { .. } => forest(graph, node),
        Op::MatMul { .. } => 25 * macs + 170 * results,
        Op::StridedCopy { .. } | Op::Transpose { .. } => copy(graph, node) * results,
        Op::Concat { .. } => 10 * results,
        Op::Reshape => 0,
        Op::Svm(Svm::Kernel { .. } | Svm::Decisions) => 30 * macs,
        Op::Svm(_) => 100 * results,
        Op::Bytes(ref op) => bytes(graph, node, op),
        Op::Recurrent(layer) => recurrent(graph, node, layer),
        Op::History => 6 * results,
        Op::FullyConnectedPacked { .. } | Op::Conv2dPacked { .. } | Op::DepthwisePacked { .. } => 0,
    }
}

/// To find the inputs under the taps of every result, in cycles for a tap that two filters of a group share and for one
/// that a filter has alone.
fn taps(graph: &Graph, node: &Node, [shared, alone]: [u64; 2]) -> u64 {
    let weights = &graph.values[node.inputs[1]];
    let kernel = match weights.shape[..] {
        [_, rows, columns, _] => rows * columns,
        _ => 1,
    };
    let groups = graph.values[node.inputs[0]].columns() / weights.columns().max(1);
    let has_neighbours = graph.values[node.output].columns() > groups;
    let tap = if has_neighbours { shared } else { alone };
    tap * (elements(graph, node) * kernel) as u64
}

/// The folding of a pool: taps per block of channels, and elements under them.
fn pool(graph: &Graph, node: &Node, window: &Window) -> u64 {
    let results = elements(graph, node);
    let channels = graph.values[node.output].columns().max(1);
    let kernel: usize = window.kernel.iter().product();
    let blocks = results / channels * channels.div_ceil(POOL_BLOCK);
    (blocks * kernel) as u64 * TAP + 19 * (results * kernel) as u64
}

/// The sums of a mean of bytes: rows of a window per block of channels, and elements under it.
fn mean(graph: &Graph, node: &Node, window: &Window) -> u64 {
    let results = elements(graph, node);
    let channels = graph.values[node.output].columns().max(1);
    let [rows, columns] = window.kernel;
    let blocks = results / channels * channels.div_ceil(POOL_BLOCK);
    (700 * blocks * rows + 5 * results * rows * columns / 2) as u64
}

fn unary(op: OpCode) -> u64 {
    match op {
        OpCode::Sqrt => 73,
        OpCode::Log => 61,
        OpCode::Exp => 77,
        OpCode::Tanh => 134,
        OpCode::Sigmoid => 86,
        _ => 9,
    }
}

fn activation(op: OpCode) -> u64 {
    match op {
        OpCode::Erf => 79,
        OpCode::LeakyRelu => 15,
        _ => 24,
    }
}

/// Cycles to copy an element from elsewhere.
fn copy(graph: &Graph, node: &Node) -> u64 {
    match graph.values[node.output].element {
        Element::I8 => 61,
        _ => 82,
    }
}

/// The way through a tree, and the rank of an input.
fn forest(graph: &Graph, node: &Node) -> u64 {
    let Op::TreeEnsemble { packing, .. } = node.op else {
        return 0;
    };
    let count_at = if packing.direct { 4 } else { 8 };
    let count = |id: &usize| {
        let bytes = graph.constant(*id)?.to_bytes()?;
        let word = bytes.get(count_at..count_at + 4)?;
        Some(u64::from(u32::from_le_bytes(word.try_into().ok()?)))
    };
    let trees: u64 = node.inputs.iter().filter_map(count).sum();
    let features = match packing.direct {
        true => 0,
        false => 8 * graph.values[node.inputs[0]].elements() as u64,
    };
    110 * trees + features + 700
}

fn bytes(graph: &Graph, node: &Node, op: &ByteOp) -> u64 {
    let results = elements(graph, node) as u64;
    match *op {
        ByteOp::Lookup => 10 * results,
        ByteOp::Pair { .. } => (150 + DIVISION) * results,
        ByteOp::FastSum { .. } => 12 * results,
        ByteOp::FastProduct { .. } => 17 * results,
        ByteOp::AveragePool2d { ref window, .. } => {
            mean(graph, node, window) + (60 + DIVISION) * results
        }
        ByteOp::Softmax { .. } => 324 * results,
        ByteOp::Mean {
            sizes: [outer, reduced, inner],
            ..
        } => 3 * (outer * reduced * inner) as u64 + (50 + DIVISION) * results,
        ByteOp::MatMul { .. } => 17 * macs(graph, node) / 2 + (150 + DIVISION) * results,
        ByteOp::LayerNormalization { .. } => 445 * results,
    }
}

/// Products of every step, in tenths of a cycle, and what becomes of the sums of every unit.
fn recurrent(graph: &Graph, node: &Node, layer: Recurrent) -> u64 {
    let steps = graph.values[node.inputs[0]].shape[0] as u64;
    let (product, lstm, gru) = match layer.form {
        Form::Open | Form::Floats => (71, 1290, 1080),
        Form::FloatsByI8 { .. } => (95, 1410, 1170),
        Form::I8 { .. } => (21, 1880, 1650),
    };
    let unit = match layer.cell {
        Cell::Lstm { .. } => lstm,
        Cell::Gru { .. } => gru,
    };
    product * macs(graph, node) / 10 + unit * steps * layer.hidden as u64
}
