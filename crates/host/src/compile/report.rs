//! What became of every node, and what the plan costs.

use super::byte_op::ByteOp;
use super::encode::kernel;
use super::graph::{Graph, Op, Svm};
use super::passes::PassReport;
use crate::onnx::proto::NodeProto;
use serde::Serialize;
use std::fmt;

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
    /// What is kept from run to run, where the plan takes new rows only.
    pub streaming: Option<StreamingReport>,
    /// Bytes of the plan: what it takes in flash.
    pub plan_bytes: usize,
    /// Bytes of weights, trees and other constants among them.
    pub constants_bytes: usize,
    /// Bytes of arena a run needs.
    pub arena_bytes: usize,
    /// Bytes of arena that no placement can undercut: the most that lives at once.
    pub arena_floor_bytes: usize,
    /// Bytes of stack a run needs, an upper bound for every plan.
    pub stack_bytes: usize,
    /// Kernels the plan needs, as `name.version.variant`.
    pub kernels: Vec<String>,
    /// Class names found in the model's nodes; empty where there are none.
    pub class_names: Vec<String>,
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
    /// Kernels that do its work, or why none is needed.
    pub became: String,
}

/// One op of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OpReport {
    /// Kernel, as `name.version.variant`.
    pub kernel: String,
    /// Name of what it computes.
    pub output: String,
    /// Shape of what it computes.
    pub shape: Vec<usize>,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Bytes of its constants.
    pub constant_bytes: usize,
}

/// Multiply-accumulates of an op; 0 for ops without any.
fn macs(graph: &Graph, node: &super::graph::Node) -> u64 {
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
        | Op::FullyConnectedPacked { k, .. }
        | Op::Bytes(ByteOp::MatMul {
            sizes: [_, _, k, ..],
            ..
        }) => output * k as u64,
        Op::Conv2dPacked { ref geometry, .. } => {
            let taps: usize = geometry.kernel.iter().product();
            output * (taps * geometry.channels) as u64
        }
        Op::DepthwisePacked { ref geometry, .. } => {
            output * geometry.kernel.iter().product::<usize>() as u64
        }
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

pub(crate) fn op_reports(graph: &Graph) -> Vec<OpReport> {
    let constant_bytes = |id: &usize| {
        graph
            .constant(*id)
            .and_then(|data| data.to_bytes())
            .map_or(0, |bytes| bytes.len())
    };
    let report = |node: &super::graph::Node| OpReport {
        kernel: kernel(&node.op).to_string(),
        output: graph.values[node.output].name.clone(),
        shape: graph.values[node.output].shape.clone(),
        macs: macs(graph, node),
        constant_bytes: node.inputs.iter().map(constant_bytes).sum(),
    };
    graph.nodes.iter().map(report).collect()
}

pub(crate) fn node_reports(graph: &Graph, nodes: &[NodeProto]) -> Vec<NodeReport> {
    let report = |(index, node): (usize, &NodeProto)| {
        let ops = graph.nodes.iter().filter(|op| op.origins.contains(&index));
        let kernels: Vec<String> = ops.map(|op| kernel(&op.op).to_string()).collect();
        let output = node.output.first().cloned().unwrap_or_default();
        NodeReport {
            node: if node.name.is_empty() {
                output
            } else {
                node.name.clone()
            },
            op: node.op_type.clone(),
            became: match kernels.is_empty() {
                true => "nothing: folded into constants or shapes".to_owned(),
                false => kernels.join(" + "),
            },
        }
    };
    nodes.iter().enumerate().map(report).collect()
}

impl fmt::Display for CompileReport {
    /// A table of nodes, of ops and of passes, then the totals.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for node in &self.nodes {
            let (name, op, became) = (shortened(&node.node, 28), &node.op, &node.became);
            writeln!(f, "{name:<28} {op:<24} -> {became}")?;
        }
        writeln!(f)?;
        for op in &self.ops {
            let (kernel, output) = (&op.kernel, shortened(&op.output, 28));
            let shape = format!("{:?}", op.shape);
            writeln!(
                f,
                "{kernel:<24} {output:<28} {shape:<16} {:>9} MAC {:>9} B",
                op.macs, op.constant_bytes
            )?;
        }
        writeln!(f)?;
        for pass in &self.passes {
            let (name, before, after) = (&pass.name, pass.ops_before, pass.ops_after);
            writeln!(f, "{name:<56} {before:>3} -> {after:>3} ops")?;
        }
        writeln!(f)?;
        if let Some(streaming) = &self.streaming {
            writeln!(f, "{streaming}")?;
        }
        self.write_totals(f)
    }
}

impl fmt::Display for StreamingReport {
    /// What flows, what is kept and what needs the window, a line each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rows, window, axis) = (self.rows, self.window_rows, self.axis);
        writeln!(
            f,
            "streaming  {rows} new of {window} rows along axis {axis}, {} ops for new rows only",
            self.flowing_ops
        )?;
        let began = match self.goes_on {
            true => "of all rows since the reset",
            false => "of the last window",
        };
        writeln!(
            f,
            "           {} B kept, {} MACs for a whole window, results {began}",
            self.kept_bytes, self.window_macs
        )?;
        for end in &self.ends {
            let (node, reason) = (shortened(&end.node, 28), &end.reason);
            writeln!(f, "           whole window at {node}: {reason}")?;
        }
        Ok(())
    }
}

impl CompileReport {
    fn write_totals(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (plan, constants) = (self.plan_bytes, self.constants_bytes);
        let (arena, floor) = (self.arena_bytes, self.arena_floor_bytes);
        writeln!(f, "MACs       {:>10}", self.macs)?;
        writeln!(f, "plan       {plan:>10} B, of it constants {constants} B")?;
        writeln!(f, "arena      {arena:>10} B, at least {floor} B")?;
        write!(f, "stack      {:>10} B (upper bound)", self.stack_bytes)
    }
}

/// The end of a long name, which tells more than its start.
fn shortened(name: &str, width: usize) -> String {
    let length = name.chars().count();
    match length > width {
        true => format!(
            "…{}",
            name.chars().skip(length + 1 - width).collect::<String>()
        ),
        false => name.to_owned(),
    }
}
