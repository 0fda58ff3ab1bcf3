//! What became of every node, and what the plan costs.

mod nodes;
mod reasons;
mod text;

use super::byte_op::ByteOp;
use super::cost;
use super::encode::kernel;
use super::graph::{Graph, Node, Op, Svm};
use super::memory::Layout;
use super::passes::{PassReport, Reasons};
use crate::onnx::proto::NodeProto;
use serde::Serialize;

/// The result of a compilation in numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CompileReport {
    /// The model's nodes, in its order.
    pub nodes: Vec<NodeReport>,
    /// The plan's ops, in the order in which they run.
    pub ops: Vec<OpReport>,
    /// What each rewrite did.
    pub passes: Vec<PassReport>,
    /// Multiply-accumulates of one run.
    pub macs: u64,
    /// Estimated cycles of one run on a Cortex-M4 without wait states.
    pub modelled_cycles: u64,
    /// What is kept from run to run, where the plan takes new rows only.
    pub streaming: Option<StreamingReport>,
    /// Bytes of the plan: what it takes in flash.
    pub plan_bytes: usize,
    /// Bytes of weights, trees and other constants among them.
    pub constants_bytes: usize,
    /// Bytes of arena a run needs.
    pub arena_bytes: usize,
    /// The most bytes that live at once. Only an output that lies over its input takes less arena.
    pub arena_floor_bytes: usize,
    /// Bytes of stack a run needs, an upper bound for every plan.
    pub stack_bytes: usize,
    /// Kernels the plan needs, as `name.version.variant`.
    pub kernels: Vec<String>,
    /// Class names found in the model's nodes; empty where there are none.
    pub class_names: Vec<String>,
    /// Inputs and outputs whose bytes are unsigned in the model; the plan's are less by 128.
    pub unsigned: Vec<String>,
}

/// What a plan that takes new rows of a stream computes, and what it keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StreamingReport {
    /// New rows of a call.
    pub rows: usize,
    /// Axis of the input along which they come.
    pub axis: usize,
    /// Rows of the model's window.
    pub window_rows: usize,
    /// Bytes of the arena that stay from call to call.
    pub kept_bytes: usize,
    /// Ops that compute new rows only.
    pub flowing_ops: usize,
    /// Whether a recurrent layer goes on from its state: results are then those of a window that
    /// began with the stream.
    pub goes_on: bool,
    /// Multiply-accumulates of the plan for the whole window.
    pub window_macs: u64,
    /// Where the window is needed as a whole.
    pub ends: Vec<StreamEnd>,
}

/// An op that needs the window as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StreamEnd {
    /// Name of what it computes.
    pub node: String,
    /// Why it cannot go row by row.
    pub reason: String,
}

/// What became of one ONNX node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeReport {
    /// Name of the node, or of its first output.
    pub node: String,
    /// ONNX operator.
    pub op: String,
    /// Kernels that do its work, or `nothing`.
    pub became: String,
    /// Why, or which node it is folded into.
    pub why: String,
}

/// One op of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OpReport {
    /// Kernel, as `name.version.variant`.
    pub kernel: String,
    /// The ONNX node that it computes with all that is folded into it: operator and name.
    pub node: String,
    /// Name of what it computes.
    pub output: String,
    /// Shape of what it computes.
    pub shape: Vec<usize>,
    /// Why this kernel, and where the result lies.
    pub why: String,
    /// Multiply-accumulates of the model's op, without those of zeros that fill its weights up.
    pub macs: u64,
    /// Bytes of its constants.
    pub constant_bytes: usize,
    /// Bytes of arena that it needs while it runs.
    pub scratch_bytes: usize,
    /// Estimated cycles on a Cortex-M4 without wait states.
    pub modelled_cycles: u64,
}

/// Multiply-accumulates of an op; 0 for ops without any.
pub(crate) fn macs(graph: &Graph, node: &Node) -> u64 {
    let output = graph.values[node.output].elements() as u64;
    match node.op {
        Op::FullyConnected { .. }
        | Op::FullyConnectedI8 { .. }
        | Op::FullyConnectedI8ToF32 { .. } => {
            output * graph.values[node.inputs[1]].columns() as u64
        }
        Op::Conv2d { transposed, .. }
        | Op::Conv2dI8 { transposed, .. }
        | Op::Conv2dI8ToF32 { transposed, .. } => {
            let id = if transposed {
                node.inputs[0]
            } else {
                node.output
            };
            let pixels = graph.values[id].elements() / graph.values[id].columns().max(1);
            pixels as u64 * graph.values[node.inputs[1]].elements() as u64
        }
        Op::MatMul { k, .. }
        | Op::Bytes(ByteOp::MatMul {
            sizes: [_, _, k, ..],
            ..
        }) => output * k as u64,
        Op::FullyConnectedPacked { macs, .. }
        | Op::Conv2dPacked { macs, .. }
        | Op::DepthwisePacked { macs, .. } => macs,
        Op::Recurrent(_) => {
            let weights = |index: usize| graph.values[node.inputs[index]].elements() as u64;
            let steps = graph.values[node.inputs[0]].shape[0] as u64;
            steps * (weights(1) + weights(2))
        }
        Op::Svm(Svm::Kernel { .. }) => graph.values[node.inputs[1]].elements() as u64,
        Op::Svm(Svm::Decisions) => graph.values[node.inputs[1]].elements() as u64,
        _ => 0,
    }
}

/// Multiply-accumulates of one run of a graph.
pub(crate) fn total_macs(graph: &Graph) -> u64 {
    graph.nodes.iter().map(|node| macs(graph, node)).sum()
}

/// What was compiled, and from what.
pub(crate) struct Compilation<'c> {
    pub nodes: &'c [NodeProto],
    pub outputs: Vec<&'c str>,
    pub inputs: Vec<&'c str>,
    pub graph: &'c Graph,
    pub layout: &'c Layout,
    pub reasons: &'c Reasons,
}

impl Compilation<'_> {
    /// The plan's ops, in their order.
    pub fn op_reports(&self) -> Vec<OpReport> {
        let reports = self.graph.nodes.iter().enumerate();
        reports.map(|(at, node)| self.op_report(at, node)).collect()
    }

    fn op_report(&self, at: usize, node: &Node) -> OpReport {
        let graph = self.graph;
        let constant_bytes = |id: &usize| graph.constant(*id).map_or(0, |data| data.byte_count());
        let main = nodes::main_origin(&node.op, &node.origins, self.nodes);
        OpReport {
            kernel: kernel(&node.op).to_string(),
            node: main.map_or_else(String::new, |main| nodes::title(&self.nodes[main])),
            output: graph.values[node.output].name.clone(),
            shape: graph.values[node.output].shape.clone(),
            why: self.why(node),
            macs: macs(graph, node),
            constant_bytes: node.inputs.iter().map(constant_bytes).sum(),
            scratch_bytes: self.layout.scratch[at].map_or(0, |scratch| scratch.bytes),
            modelled_cycles: cost::cycles(graph, node),
        }
    }
}

/// Names of the inputs and outputs whose bytes are unsigned in the model.
pub(super) fn unsigned_ports(graph: &Graph) -> Vec<String> {
    let ports = std::iter::once(&graph.input).chain(&graph.outputs);
    let unsigned = ports.filter(|&&port| graph.values[port].unsigned);
    unsigned
        .map(|&port| graph.values[port].name.clone())
        .collect()
}
