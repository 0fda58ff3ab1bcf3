//! What became of ONNX nodes.

use super::text::shortened;
use super::{Compilation, NodeReport};
use crate::compile::encode::kernel;
use crate::compile::graph::Op;
use crate::onnx::proto::NodeProto;
use std::collections::HashSet;

/// What an operator is to a kernel that computes several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Layers, pools and whatever else is more than what follows.
    Body,
    /// Arithmetic and functions of single elements, which a layer takes in.
    Elements,
    /// Moves or renames elements.
    View,
    Quantization,
}

impl Part {
    fn of(operator: &str) -> Part {
        match operator {
            "QuantizeLinear" | "DequantizeLinear" => Part::Quantization,
            "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Transpose" | "Identity" | "Cast"
            | "Dropout" | "Pad" => Part::View,
            "Add" | "Sub" | "Mul" | "Div" | "BatchNormalization" | "Relu" | "Clip" | "Sigmoid"
            | "Tanh" | "LeakyRelu" | "HardSwish" | "HardSigmoid" => Part::Elements,
            _ => Part::Body,
        }
    }
}

/// The node that an op computes; those that are folded into it are its other origins.
pub(super) fn main_origin(op: &Op, origins: &[usize], nodes: &[NodeProto]) -> Option<usize> {
    let order = match op {
        Op::Reshape | Op::StridedCopy { .. } | Op::Transpose { .. } | Op::Pad { .. } => {
            [Part::View, Part::Body, Part::Elements, Part::Quantization]
        }
        Op::QuantizeLinear { .. } | Op::DequantizeLinear { .. } => {
            [Part::Quantization, Part::Body, Part::Elements, Part::View]
        }
        _ => [Part::Body, Part::Elements, Part::View, Part::Quantization],
    };
    let place = |origin: &usize| {
        let part = Part::of(&nodes[*origin].op_type);
        (order.iter().position(|&other| other == part), *origin)
    };
    let known = origins.iter().copied().filter(|&at| at < nodes.len());
    known.min_by_key(place)
}

/// Most characters of a name in a sentence.
const NAME_WIDTH: usize = 40;

/// Operator and name of a node.
pub(super) fn title(node: &NodeProto) -> String {
    format!("{} {}", node.op_type, shortened(&name(node), NAME_WIDTH))
}

/// A node's name, or that of its first output.
fn name(node: &NodeProto) -> String {
    match node.name.is_empty() {
        true => node.output.first().cloned().unwrap_or_default(),
        false => node.name.clone(),
    }
}

impl Compilation<'_> {
    /// The model's nodes, in its order.
    pub fn node_reports(&self) -> Vec<NodeReport> {
        let varying = self.varying();
        let report = |(index, node): (usize, &NodeProto)| {
            let (became, why) = self.fate(index, &varying);
            NodeReport {
                node: name(node),
                op: node.op_type.clone(),
                became,
                why,
            }
        };
        self.nodes.iter().enumerate().map(report).collect()
    }

    /// What a node became, and why.
    fn fate(&self, index: usize, varying: &HashSet<&str>) -> (String, String) {
        let ops = self.graph.nodes.iter();
        let ops: Vec<_> = ops.filter(|op| op.origins.contains(&index)).collect();
        if ops.is_empty() {
            return ("nothing".to_owned(), self.vanished(index, varying));
        }
        let kernels: Vec<String> = ops.iter().map(|op| kernel(&op.op).to_string()).collect();
        let main = |op: &&crate::compile::graph::Node| {
            main_origin(&op.op, &op.origins, self.nodes).unwrap_or(index)
        };
        let reasons = ops.iter().zip(&kernels).map(|(op, kernel)| match main(op) {
            main if main != index => format!("folded into {}", title(&self.nodes[main])),
            _ if ops.len() > 1 => format!("{kernel}: {}", self.why(op)),
            _ => self.why(op),
        });
        let mut reasons: Vec<String> = reasons.collect();
        reasons.dedup();
        (kernels.join(" + "), reasons.join("; "))
    }

    /// Why no op is left of a node.
    fn vanished(&self, index: usize, varying: &HashSet<&str>) -> String {
        let node = &self.nodes[index];
        let varies = node
            .output
            .iter()
            .any(|name| varying.contains(name.as_str()));
        let is_read = |name: &String| {
            let reads = |other: &NodeProto| other.input.contains(name);
            self.nodes.iter().any(reads) || self.outputs.contains(&name.as_str())
        };
        let why = match node.op_type.as_str() {
            _ if !node.output.iter().any(is_read) => "nobody reads its result",
            _ if !varies => "constant: computed when compiled",
            "QuantizeLinear" | "DequantizeLinear" => "undone by the next one with the same scale",
            "Transpose" => "not needed: tensors lie in the order in which it would leave them",
            "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Identity" | "Cast" | "Dropout" => {
                "view: no copy needed"
            }
            _ => "not needed: it changes no result",
        };
        why.to_owned()
    }

    /// Names of values that depend on the input's elements.
    fn varying(&self) -> HashSet<&str> {
        let mut varying: HashSet<&str> = self.inputs.iter().copied().collect();
        for node in self.nodes {
            let reads = node
                .input
                .iter()
                .any(|name| varying.contains(name.as_str()));
            if reads && node.op_type != "Shape" {
                varying.extend(node.output.iter().map(String::as_str));
            }
        }
        varying
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(operator: &str) -> NodeProto {
        NodeProto {
            op_type: operator.to_owned(),
            ..NodeProto::default()
        }
    }

    #[test]
    fn a_layer_takes_in_what_stands_around_it() {
        let operators = ["DequantizeLinear", "Add", "Conv", "Relu", "QuantizeLinear"];
        let nodes = operators.map(node);
        let all: Vec<usize> = (0..operators.len()).collect();
        assert_eq!(main_origin(&Op::Softmax, &all, &nodes), Some(2));
        assert_eq!(main_origin(&Op::Softmax, &[0, 3, 4], &nodes), Some(3));
        let view = [node("AveragePool"), node("Reshape")];
        assert_eq!(main_origin(&Op::Reshape, &[0, 1], &view), Some(1));
        assert_eq!(main_origin(&Op::Softmax, &[], &view), None);
    }
}
