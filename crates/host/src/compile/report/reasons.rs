//! Why ops have the kernels they have.

use super::Compilation;
use crate::compile::byte_op::ByteOp;
use crate::compile::graph::{Graph, Node, Op, ValueId};
use crate::compile::memory::byte_count;
use crate::compile::recurrent::Form;

impl Compilation<'_> {
    /// Why a node has its kernel, and where its result lies.
    pub(super) fn why(&self, node: &Node) -> String {
        let noted = self.reasons.get(&node.output).map(|notes| notes.join("; "));
        let why = noted.or_else(|| own_reason(self.graph, node).map(str::to_owned));
        let parts = why.into_iter().chain(self.place(node));
        parts.collect::<Vec<_>>().join("; ")
    }

    /// Where the result lies, if that is over an operand.
    fn place(&self, node: &Node) -> Option<String> {
        let place = |id: ValueId| {
            let start = *self.layout.offsets.get(&id)?;
            Some(start..start + byte_count(self.graph, id))
        };
        let output = place(node.output)?;
        let shared = |&input: &ValueId| {
            let input = place(input)?;
            let (start, end) = (input.start.max(output.start), input.end.min(output.end));
            (start < end).then_some((input, end - start))
        };
        let (input, shared) = node.inputs.iter().find_map(shared)?;
        Some(match node.op {
            Op::Reshape => "view: no copy needed".to_owned(),
            _ if input.start == output.start => "in the place of its input".to_owned(),
            _ => format!("overlaps its input by {shared} B"),
        })
    }
}

/// What the op itself tells, where no pass has noted a reason.
fn own_reason(graph: &Graph, node: &Node) -> Option<&'static str> {
    let feeds = |wanted: fn(&Op) -> bool| {
        let producer = graph.producer(node.inputs[0]);
        producer.is_some_and(|at| wanted(&graph.nodes[at].op))
    };
    let is_quantized = || feeds(|op| matches!(op, Op::DequantizeLinear { .. }));
    Some(match node.op {
        Op::FullyConnectedI8 { .. } | Op::Conv2dI8 { .. } => {
            "reference: only reference kernels were asked for"
        }
        Op::FullyConnectedI8ToF32 { .. } | Op::Conv2dI8ToF32 { .. } => {
            "integers up to a float result: nothing quantises it"
        }
        Op::FullyConnected { .. } | Op::Conv2d { .. } if is_quantized() => {
            "floats: its weights are not bytes with a scale for all or for each output"
        }
        Op::FullyConnected { .. } | Op::Conv2d { .. } | Op::MatMul { .. } => {
            "floats: its input is not quantised"
        }
        Op::Bytes(ref op) => of_bytes(graph, node, op),
        Op::MaxPool2d { .. } | Op::Pad { .. } | Op::Concat { .. } if is_codes(graph, node) => {
            "bytes: it only picks elements, which keeps their scale"
        }
        Op::Reshape => return None,
        Op::StridedCopy { .. } | Op::Transpose { .. } => {
            "copy: its neighbours read elements in another order"
        }
        Op::QuantizeLinear { .. } => "what reads it takes bytes",
        Op::DequantizeLinear { .. } => "what reads it, or the caller, takes floats",
        Op::Recurrent(layer) => match layer.form {
            Form::I8 { .. } => "bytes: input, weights and state are quantised",
            Form::FloatsByI8 { .. } => "floats by byte weights: its result is not quantised",
            Form::Open | Form::Floats => "floats: its weights are not quantised",
        },
        Op::TreeEnsemble { packing, .. } => match packing.direct {
            true => "compares thresholds: few branches test each feature",
            false => "compares ranks: an input is ranked once, then branches test bytes",
        },
        Op::Svm(_) => "a step of a support vector machine",
        Op::History => "keeps the newest rows from run to run",
        Op::Scale(_) => "two constant rows in one op",
        _ => of_floats(graph, node),
    })
}

/// Why an op that has a form on bytes, or might have, computes floats.
fn of_floats(graph: &Graph, node: &Node) -> &'static str {
    let computed = node.inputs.iter().copied();
    let mut computed = computed.filter(|&id| graph.values[id].is_computed());
    let from_codes = |id: ValueId| {
        let producer = graph.producer(id);
        producer.is_some_and(|at| matches!(graph.nodes[at].op, Op::DequantizeLinear { .. }))
    };
    let reader = graph.only_consumer(node.output);
    let to_codes = reader.is_some_and(|at| matches!(graph.nodes[at].op, Op::QuantizeLinear { .. }));
    match (computed.all(from_codes), to_codes) {
        (true, true) => "floats: it has no exact form on bytes",
        (true, false) => "floats: its result is not quantised",
        (false, _) => "floats: its inputs are not quantised",
    }
}

fn is_codes(graph: &Graph, node: &Node) -> bool {
    graph.values[node.output].quantization.is_some()
}

fn of_bytes(graph: &Graph, node: &Node, op: &ByteOp) -> &'static str {
    let shape = |id: ValueId| &graph.values[id].shape;
    match op {
        ByteOp::Lookup => "a function of one byte: a table of its 256 results",
        ByteOp::FastSum { .. } | ByteOp::FastProduct { .. } => {
            "no division: proved for all 65,536 pairs of codes"
        }
        ByteOp::Pair { .. }
            if node
                .inputs
                .iter()
                .any(|&id| shape(id) != shape(node.output)) =>
        {
            "one exact division: its operands differ in shape"
        }
        ByteOp::Pair { .. } => {
            "one exact division: no constants without one are right for all pairs"
        }
        ByteOp::AveragePool2d { .. } | ByteOp::Mean { .. } => "integer sum, one exact division",
        ByteOp::Softmax { .. } => "bytes: exponentials from a table, one exact division",
        ByteOp::MatMul { .. } => "integer products of two computed tensors, one exact division",
        ByteOp::LayerNormalization { .. } => "bytes: integer sums, one exact rounding",
    }
}
