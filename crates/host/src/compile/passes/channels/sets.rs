//! Which values lose a channel together.

use super::super::super::byte_op::ByteOp;
use super::super::super::graph::{Element, Graph, Node, Op, ValueId};
use super::super::super::packing::Geometry;
use super::ranges::Ranges;

/// What a node does to channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Every channel of the result is made from the same channel of each operand.
    Carries,
    /// A layer: reads all channels, and gives others.
    Mixes,
    /// A layer with a float result, whose channels stay.
    Ends,
    /// Anything else: all its channels stay.
    Pins,
}

pub(super) fn role(graph: &Graph, node: &Node) -> Role {
    let columns = |id: ValueId| graph.values[id].columns();
    let (x, y) = (node.inputs[0], node.output);
    let same = columns(x) == columns(y);
    let carries = match node.op {
        Op::FullyConnectedI8 { .. } => return Role::Mixes,
        Op::FullyConnectedI8ToF32 { .. } => return Role::Ends,
        Op::Conv2dI8 { transposed, .. } | Op::Conv2dI8ToF32 { transposed, .. } => {
            let in_group = columns(node.inputs[1]);
            let mixes = match node.op {
                Op::Conv2dI8 { .. } => Role::Mixes,
                _ => Role::Ends,
            };
            match in_group {
                _ if transposed => return Role::Pins,
                all if all == columns(x) => return mixes,
                1 => same && mixes == Role::Mixes,
                _ => false,
            }
        }
        Op::MaxPool2d { element, .. } => element == Element::I8,
        Op::Pad {
            element,
            ref border,
        } => element == Element::I8 && same && border.before.last() == Some(&0),
        Op::Reshape => columns(y).is_multiple_of(columns(x).max(1)),
        Op::Bytes(ByteOp::Lookup | ByteOp::AveragePool2d { .. }) => true,
        Op::Bytes(ByteOp::Mean {
            sizes: [_, _, inner],
            ..
        }) => same && inner == columns(x),
        Op::Bytes(ByteOp::Pair { .. } | ByteOp::FastSum { .. } | ByteOp::FastProduct { .. }) => {
            node.inputs.iter().all(|&id| carries_operand(graph, id, y))
        }
        _ => false,
    };
    if carries { Role::Carries } else { Role::Pins }
}

/// Whether an operand of a sum or product has the result's channels, or one constant for all.
fn carries_operand(graph: &Graph, id: ValueId, result: ValueId) -> bool {
    let (operand, result) = (&graph.values[id], &graph.values[result]);
    match operand.is_computed() {
        true => operand.shape == result.shape,
        false => operand.columns() == result.columns() || operand.elements() == 1,
    }
}

/// Values whose channels are the same ones; a row of several pixels repeats them.
#[derive(Clone, Debug)]
pub(super) struct ChannelSet {
    pub values: Vec<ValueId>,
    pub channels: usize,
}

/// The sets whose channels may go.
pub(super) fn find(graph: &Graph) -> Vec<ChannelSet> {
    let mut set_of: Vec<usize> = (0..graph.values.len()).collect();
    let mut pinned = vec![false; graph.values.len()];
    graph.outputs.iter().for_each(|&id| pinned[id] = true);
    pinned[graph.input] = true;
    for node in &graph.nodes {
        let operands = computed_inputs(graph, node);
        match role(graph, node) {
            Role::Carries => operands.for_each(|id| join(&mut set_of, id, node.output)),
            Role::Mixes => {}
            Role::Ends => pinned[node.output] = true,
            Role::Pins => operands
                .chain(node.outputs())
                .for_each(|id| pinned[id] = true),
        }
    }
    let members = |set: usize| -> Vec<ValueId> {
        let computed = graph.nodes.iter().map(|node| node.output);
        std::iter::once(graph.input)
            .chain(computed)
            .filter(|&id| set_of[id] == set)
            .collect()
    };
    let sets = (0..graph.values.len()).map(members);
    let free = |values: &Vec<ValueId>| !values.is_empty() && values.iter().all(|&id| !pinned[id]);
    sets.filter(free)
        .filter_map(|values| {
            let columns = |&id: &ValueId| graph.values[id].columns();
            let channels = values.iter().map(columns).min()?;
            let repeats = values
                .iter()
                .all(|id| columns(id).is_multiple_of(channels.max(1)));
            repeats.then_some(ChannelSet { values, channels })
        })
        .collect()
}

fn computed_inputs<'g>(graph: &'g Graph, node: &'g Node) -> impl Iterator<Item = ValueId> + 'g {
    let inputs = node.inputs.iter().copied();
    inputs.filter(|&id| graph.values[id].is_computed())
}

fn join(set_of: &mut [usize], a: ValueId, b: ValueId) {
    let (from, to) = (set_of[a], set_of[b]);
    set_of
        .iter_mut()
        .filter(|set| **set == from)
        .for_each(|set| *set = to);
}

impl ChannelSet {
    /// Layers that give the channels, or filter each for itself.
    pub fn layers<'g>(&'g self, graph: &'g Graph) -> impl Iterator<Item = usize> + 'g {
        let is_layer =
            |node: &Node| matches!(node.op, Op::FullyConnectedI8 { .. } | Op::Conv2dI8 { .. });
        self.producers(graph)
            .filter(move |&at| is_layer(&graph.nodes[at]))
    }

    /// Nodes that compute a value of the set.
    pub fn producers<'g>(&'g self, graph: &'g Graph) -> impl Iterator<Item = usize> + 'g {
        let nodes = 0..graph.nodes.len();
        nodes.filter(|&at| self.values.contains(&graph.nodes[at].output))
    }

    /// Layers that read all channels of a value of the set.
    pub fn readers<'g>(&'g self, graph: &'g Graph) -> impl Iterator<Item = usize> + 'g {
        let reads = |at: &usize| {
            let node = &graph.nodes[*at];
            let is_layer = matches!(role(graph, node), Role::Mixes | Role::Ends);
            is_layer && self.values.contains(&node.inputs[0])
        };
        (0..graph.nodes.len()).filter(reads)
    }

    /// Channels that every reader can do without.
    pub fn removable(&self, graph: &Graph, ranges: &Ranges) -> Vec<usize> {
        let readers: Vec<usize> = self.readers(graph).collect();
        let every_reader = |channel: &usize| {
            let spares = |&at: &usize| self.is_spared(graph, &graph.nodes[at], *channel, ranges);
            readers.iter().all(spares)
        };
        (0..self.channels).filter(every_reader).collect()
    }

    /// Whether a reader needs no input of a channel: each is constant where it counts, or weighs nothing.
    fn is_spared(&self, graph: &Graph, reader: &Node, channel: usize, ranges: &Ranges) -> bool {
        let x = reader.inputs[0];
        let padding = Geometry::of(graph, reader).filter(Geometry::is_padded);
        let is_pinned = Geometry::of(graph, reader).is_none() && is_convolution(reader);
        let mut inputs = (channel..graph.values[x].columns()).step_by(self.channels);
        inputs.all(|input| {
            let constant = ranges.constant(x, input);
            let folds = constant.is_some_and(|code| {
                let sees_code = |geometry: &Geometry| i32::from(geometry.zero) == code;
                !is_pinned && padding.as_ref().is_none_or(sees_code)
            });
            folds || weighs_nothing(graph, reader, input)
        })
    }
}

fn is_convolution(node: &Node) -> bool {
    matches!(node.op, Op::Conv2dI8 { .. } | Op::Conv2dI8ToF32 { .. })
}

/// Whether all weights of a layer for an input channel are the zero point.
fn weighs_nothing(graph: &Graph, layer: &Node, input: usize) -> bool {
    let columns = graph.values[layer.inputs[1]].columns().max(1);
    let zero_point = super::removal::weight_zero_point(&layer.op);
    let weights = graph
        .constant(layer.inputs[1])
        .and_then(|data| data.integers());
    weights.is_some_and(|weights| {
        let mut of_channel = weights.iter().skip(input).step_by(columns);
        of_channel.all(|&weight| Some(weight) == zero_point)
    })
}
