//! `dequantize → op → quantize` becomes one op in integers.
//!
//! Every op so formed is exact: it gives the codes that real arithmetic with the scales as given
//! gives, rounded once, half to even. What no form takes runs in floats between its
//! dequantization and quantization.
//!
//! To add a form: write a function like [`layer::to_i8`] in a file of its family and name it in
//! [`FORMS`].

mod layer;
mod lookup;
mod mean;
mod normalization;
mod pair;
mod pool;
mod product;
mod recurrent;
mod softmax;

use super::super::byte_op::Target;
use super::super::graph::{Graph, Node, Op, ValueId};
use super::super::rational::round_quotient;
use super::replace;

/// What a form makes of a node: an integer op that takes the place and the result of node `at`,
/// which is the node itself or the quantization behind it.
struct Formed {
    at: usize,
    node: Node,
}

/// Finds the integer form of a node, if it has one.
type Form = fn(&mut Graph, usize) -> Option<Formed>;

/// The forms, tried in this order at every node.
const FORMS: &[Form] = &[
    layer::to_i8,
    layer::to_f32,
    pair::form,
    pool::form,
    softmax::form,
    mean::form,
    product::form,
    normalization::form,
    lookup::form,
    recurrent::close,
];

pub(super) fn form(graph: &mut Graph) {
    cancel(graph);
    for at in 0..graph.nodes.len() {
        if let Some(formed) = FORMS.iter().find_map(|form| form(graph, at)) {
            replace(graph, formed.at, formed.node);
        }
    }
}

/// Where a float comes from: the codes behind its dequantization.
#[derive(Clone, Debug)]
struct Source {
    codes: ValueId,
    scale: f32,
    zero_point: i32,
    /// Of the dequantization.
    origins: Vec<usize>,
}

impl Source {
    /// Whether both are the same codes, read in the same way.
    fn is_like(&self, other: &Source) -> bool {
        (self.codes, self.scale, self.zero_point) == (other.codes, other.scale, other.zero_point)
    }
}

/// The codes that a value is dequantised from.
fn source(graph: &Graph, value: ValueId) -> Option<Source> {
    let node = &graph.nodes[graph.producer(value)?];
    let Op::DequantizeLinear { scale, zero_point } = node.op else {
        return None;
    };
    Some(Source {
        codes: node.inputs[0],
        scale,
        zero_point,
        origins: node.origins.clone(),
    })
}

/// The quantization of a node's result.
#[derive(Clone, Copy, Debug)]
struct Quantization {
    /// The node that quantises.
    at: usize,
    scale: f32,
    zero_point: i32,
}

impl Quantization {
    /// The code of a real number, saturated.
    fn code(&self, value: f32) -> i32 {
        let steps = round_quotient(value, self.scale);
        (steps + i64::from(self.zero_point)).clamp(-128, 127) as i32
    }
}

/// The quantization that is the only use of a node's result.
fn quantization_behind(graph: &Graph, at: usize) -> Option<Quantization> {
    let at = graph.only_consumer(graph.nodes[at].output)?;
    match graph.nodes[at].op {
        Op::QuantizeLinear { scale, zero_point } => Some(Quantization {
            at,
            scale,
            zero_point,
        }),
        _ => None,
    }
}

/// A quantization behind limits, or behind a node itself.
struct Limited {
    /// The node that quantises.
    at: usize,
    target: Target,
    /// Of the limits.
    origins: Vec<usize>,
}

/// The quantization that is the only use of a node's result, or of its limited result.
fn quantization_through_limits(graph: &Graph, at: usize) -> Option<Limited> {
    let next = graph.only_consumer(graph.nodes[at].output)?;
    let (limits, last, origins) = match graph.nodes[next].op {
        Op::Clamp { minimum, maximum } => {
            ([minimum, maximum], next, graph.nodes[next].origins.clone())
        }
        _ => ([f32::NEG_INFINITY, f32::INFINITY], at, Vec::new()),
    };
    let behind = quantization_behind(graph, last)?;
    Some(Limited {
        at: behind.at,
        target: Target {
            scale: behind.scale,
            zero_point: behind.zero_point,
            limits,
        },
        origins,
    })
}

/// `quantize(dequantize(q))` with the same scale and zero point is `q`.
fn cancel(graph: &mut Graph) {
    for at in 0..graph.nodes.len() {
        let Op::QuantizeLinear { scale, zero_point } = graph.nodes[at].op else {
            continue;
        };
        let Some(source) = graph.producer(graph.nodes[at].inputs[0]) else {
            continue;
        };
        let same = Op::DequantizeLinear { scale, zero_point };
        let (original, copy) = (graph.nodes[source].inputs[0], graph.nodes[at].output);
        if graph.nodes[source].op == same && !graph.outputs.contains(&copy) {
            for node in &mut graph.nodes {
                node.inputs
                    .iter_mut()
                    .filter(|input| **input == copy)
                    .for_each(|input| *input = original);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::graph::Element;
    use super::super::testing::{graph, node};
    use super::*;

    #[test]
    fn requantising_with_the_same_scale_is_nothing() {
        let mut graph = graph();
        let x = graph.input;
        graph.values[x].element = Element::I8;
        let (scale, zero_point) = (0.5, 10);
        let float = node(
            &mut graph,
            Op::DequantizeLinear { scale, zero_point },
            &[x],
            &[1, 2],
        );
        let again = node(
            &mut graph,
            Op::QuantizeLinear { scale, zero_point },
            &[float],
            &[1, 2],
        );
        let end = node(
            &mut graph,
            Op::DequantizeLinear { scale, zero_point },
            &[again],
            &[1, 2],
        );
        graph.outputs = vec![end];
        form(&mut graph);
        graph.remove_unused();
        assert_eq!(
            (graph.nodes.len(), graph.nodes[0].inputs[0]),
            (1, graph.input)
        );
    }
}
