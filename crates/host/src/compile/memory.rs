//! Places every computed tensor in the arena.
//!
//! A tensor lives from the op that writes it to the last op that reads it; the input from the
//! start, outputs to the end; an op's scratch during the op. What is kept from run to run comes first in the
//! arena, where nothing else lies. Values that share bytes (a view with
//! its source, an op that may overwrite its operand) form one block. Blocks whose lives overlap
//! must not overlap in the arena, with one exception: an op that reads its input ahead of what it
//! writes ([`needs::reach`]) lets its output reach into an input that dies with it, as far as the
//! output stays behind. For an output at `y`, an input at `x` and a lead `l` that forbids
//! `x - y < l` alone, where apart would forbid `x - y < bytes of y`; an op that goes from the end to the start
//! forbids `y - x < l`, where apart would forbid `y - x < bytes of x`. Placing the blocks in the best
//! order at the lowest free offset is a small packing problem: several orders are tried, then
//! exchanges of two blocks in the best of them.
//! [`Layout::floor_bytes`] is the most bytes alive at once, what no placement without such overlaps can undercut.

use super::graph::{Element, Graph, Node, Op, ValueId};
use super::needs::{self, Reach};
use dunlin_engine::format::ARENA_ALIGNMENT;
use std::cmp::Reverse;
use std::collections::HashMap;

/// Where values lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub offsets: HashMap<ValueId, usize>,
    /// Of every node, in their order.
    pub scratch: Vec<Option<Scratch>>,
    /// Bytes at the start that stay from run to run.
    pub kept_bytes: usize,
    pub arena_bytes: usize,
    /// Most bytes alive during one op.
    pub floor_bytes: usize,
}

/// Bytes that an op uses while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scratch {
    pub offset: usize,
    pub bytes: usize,
}

#[derive(Clone, Debug)]
struct Block {
    values: Vec<ValueId>,
    /// The node whose scratch this is.
    scratch: Option<usize>,
    bytes: usize,
    first: usize,
    last: usize,
    /// Offset of what is kept from run to run.
    kept: Option<usize>,
    /// How far the first value may reach into a dying operand.
    reaches: Option<(ValueId, Reach)>,
}

impl Block {
    fn life(&self) -> usize {
        self.last - self.first
    }

    fn lives_with(&self, other: &Block) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// Offsets of `self` that are taken by `other` at `offset`: from the first to before the second.
    fn taken_by(&self, other: &Block, offset: usize) -> (usize, usize) {
        let (mine, its) = (self.bytes as i64, other.bytes as i64);
        let offset = offset as i64;
        let (into, from) = (self.reach_into(other), other.reach_into(self));
        let before = into.before.or(from.behind).unwrap_or(mine);
        let behind = into.behind.or(from.before).unwrap_or(its);
        let start = offset - before.clamp(0, mine) + 1;
        let end = offset + behind.clamp(0, its);
        (start.max(0) as usize, end.max(0) as usize)
    }

    /// How far the block may reach into what its op reads.
    fn reach_into(&self, other: &Block) -> Reach {
        let reaches = |&(value, _): &(ValueId, Reach)| {
            other.last == self.first && other.values.contains(&value)
        };
        let reach = self.reaches.filter(reaches).map(|(_, reach)| reach);
        reach.unwrap_or(Reach {
            before: None,
            behind: None,
        })
    }
}

/// Sorts blocks; the smallest is placed first.
type Rank = (Reverse<usize>, Reverse<usize>, usize);

/// The orders with which the search begins: large ones first, long lives first, in the order of
/// their ops, and against it.
const ORDERS: [fn(&Block) -> Rank; 4] = [
    |block| (Reverse(block.bytes), Reverse(block.life()), block.first),
    |block| (Reverse(block.life()), Reverse(block.bytes), block.first),
    |block| {
        let from_end = Reverse(usize::MAX - block.first);
        (from_end, Reverse(block.bytes), block.first)
    },
    |block| (Reverse(block.first), Reverse(block.bytes), block.first),
];

/// Exchanges of two blocks in the best order that are tried behind that.
const EXCHANGES: usize = 1500;

/// Most bytes alive at once, what is kept included.
pub(crate) fn most_alive(graph: &Graph) -> usize {
    let mut blocks = blocks(graph);
    keep(graph, &mut blocks) + most_held(&blocks)
}

/// Most bytes alive at once of those that are not kept.
fn most_held(blocks: &[Block]) -> usize {
    let moving = || blocks.iter().filter(|block| block.kept.is_none());
    let held_at = |time: usize| {
        let held = moving().filter(|b| b.first <= time && time <= b.last);
        held.map(|b| b.bytes).sum()
    };
    moving()
        .map(|block| held_at(block.first))
        .max()
        .unwrap_or(0)
}

pub(crate) fn plan(graph: &Graph) -> Layout {
    let mut blocks = blocks(graph);
    let kept_bytes = keep(graph, &mut blocks);
    let floor_bytes = kept_bytes + most_held(&blocks);
    let empty = Layout {
        offsets: HashMap::new(),
        scratch: vec![None; graph.nodes.len()],
        kept_bytes,
        arena_bytes: kept_bytes,
        floor_bytes,
    };
    let order = best_order(&blocks, &empty);
    place(&order, empty)
}

/// The order of placing that gives the smallest arena of those tried.
fn best_order<'b>(blocks: &'b [Block], empty: &Layout) -> Vec<&'b Block> {
    let arena = |order: &[&Block]| place(order, empty.clone()).arena_bytes;
    let sorted = ORDERS.map(|key| {
        let mut order: Vec<&Block> = blocks.iter().collect();
        order.sort_by_key(|block| key(block));
        (arena(&order), order)
    });
    let best = sorted.into_iter().min_by_key(|(bytes, _)| *bytes);
    let (mut least, mut best) = best.unwrap_or_default();
    let mut random = 1_u64;
    let mut position = || {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % blocks.len()
    };
    for _ in 0..EXCHANGES {
        let (a, b) = (position(), position());
        best.swap(a, b);
        let bytes = arena(&best);
        if bytes <= least {
            least = bytes;
        } else {
            best.swap(a, b);
        }
    }
    best
}

/// Gives blocks that are kept their places, in the order in which they are written, and the end of these.
fn keep(graph: &Graph, blocks: &mut [Block]) -> usize {
    let mut end = 0;
    for block in blocks {
        let result = block
            .values
            .first()
            .and_then(|&value| graph.producer(value));
        let is_kept = match (block.scratch, result) {
            (Some(node), _) => needs::keeps_scratch(&graph.nodes[node].op),
            (None, Some(node)) => needs::keeps_result(&graph.nodes[node].op),
            (None, None) => false,
        };
        if is_kept {
            (block.first, block.last) = (0, graph.nodes.len() + 1);
            block.kept = Some(end);
            end += block.bytes;
        }
    }
    end
}

/// Puts each block at the lowest offset that is free during its life, behind what is kept.
fn place(order: &[&Block], mut layout: Layout) -> Layout {
    let mut placed: Vec<(&Block, usize)> = Vec::new();
    for block in order {
        let mut taken: Vec<(usize, usize)> = placed
            .iter()
            .filter(|(other, _)| other.lives_with(block))
            .map(|(other, offset)| block.taken_by(other, *offset))
            .filter(|(start, end)| start < end)
            .collect();
        taken.sort_unstable();
        let mut offset = layout.kept_bytes;
        for (start, end) in taken {
            if start > offset {
                break;
            }
            offset = offset.max(end.next_multiple_of(ARENA_ALIGNMENT));
        }
        match block.kept {
            Some(kept) => offset = kept,
            None => placed.push((block, offset)),
        }
        layout.arena_bytes = layout.arena_bytes.max(offset + block.bytes);
        layout
            .offsets
            .extend(block.values.iter().map(|&value| (value, offset)));
        if let Some(node) = block.scratch {
            let bytes = block.bytes;
            layout.scratch[node] = Some(Scratch { offset, bytes });
        }
    }
    layout
}

/// Values in the order they are written, joined where they share bytes. Times are op numbers
/// from 1; the input is written at 0 and outputs are read after the last op.
fn blocks(graph: &Graph) -> Vec<Block> {
    let new = |value: ValueId, first: usize, reaches| Block {
        values: vec![value],
        scratch: None,
        bytes: padded_bytes(graph, value),
        first,
        last: last_use(graph, value).max(first),
        kept: None,
        reaches,
    };
    let mut blocks = vec![new(graph.input, 0, None)];
    for (index, node) in graph.nodes.iter().enumerate() {
        let time = index + 1;
        match shared_block(graph, node, &blocks, time) {
            Some(block) => {
                blocks[block].values.push(node.output);
                blocks[block].last = blocks[block].last.max(last_use(graph, node.output));
            }
            None => blocks.push(new(
                node.output,
                time,
                needs::reach(&node.op).map(|reach| (node.inputs[0], reach)),
            )),
        }
        blocks.extend(node.outputs().skip(1).map(|output| new(output, time, None)));
        let bytes = needs::scratch_bytes(&node.op).next_multiple_of(ARENA_ALIGNMENT);
        if bytes > 0 {
            blocks.push(Block {
                values: Vec::new(),
                scratch: Some(index),
                bytes,
                first: time,
                last: time,
                kept: None,
                reaches: None,
            });
        }
    }
    blocks
}

/// When a value is read last; behind the last op for an output, 0 for one that nobody reads.
fn last_use(graph: &Graph, value: ValueId) -> usize {
    if graph.outputs.contains(&value) {
        return graph.nodes.len() + 1;
    }
    let reads = |node: &Node| node.inputs.contains(&value);
    let last = graph.nodes.iter().rposition(reads);
    last.map_or(0, |index| index + 1)
}

/// The block of an input whose bytes the op's result may take.
fn shared_block(graph: &Graph, node: &Node, blocks: &[Block], time: usize) -> Option<usize> {
    node.inputs.iter().find_map(|&input| {
        let block = blocks
            .iter()
            .position(|block| block.values.contains(&input))?;
        let is_kept = |&value: &ValueId| {
            let node = graph.producer(value);
            node.is_some_and(|node| needs::keeps_result(&graph.nodes[node].op))
        };
        let dies_here = blocks[block].last <= time && !blocks[block].values.iter().any(is_kept);
        let same_size = byte_count(graph, input) == byte_count(graph, node.output);
        let shrinks = matches!(node.op, Op::DepthwisePacked { .. })
            && byte_count(graph, node.output) <= byte_count(graph, input);
        let may_share = node.op == Op::Reshape
            || dies_here && (shrinks || same_size && overwrites(graph, node, input));
        may_share.then_some(block)
    })
}

/// Whether the engine's kernel may write its result over this operand.
fn overwrites(graph: &Graph, node: &Node, input: ValueId) -> bool {
    let twice = || node.inputs.iter().filter(|&&other| other == input).count() > 1;
    let output = node.output;
    match &node.op {
        Op::Bytes(op) => op.overwrites(twice()),
        Op::Scale(_)
        | Op::Clamp { .. }
        | Op::Unary(_)
        | Op::Activation { .. }
        | Op::LayerNormalization { .. }
        | Op::Softmax => true,
        Op::Binary(_) => graph.values[input].elements() == graph.values[output].elements(),
        _ => false,
    }
}

/// Bytes of an element in a plan.
fn element_bytes(element: Element) -> usize {
    match element {
        Element::F32 | Element::I32 | Element::I64 => 4,
        Element::I8 | Element::Bytes => 1,
    }
}

/// Bytes of a value in a plan.
pub(crate) fn byte_count(graph: &Graph, value: ValueId) -> usize {
    graph.values[value].elements() * element_bytes(graph.values[value].element)
}

fn padded_bytes(graph: &Graph, value: ValueId) -> usize {
    byte_count(graph, value).next_multiple_of(ARENA_ALIGNMENT)
}

#[cfg(test)]
mod tests {
    use super::super::packing::Ties;
    use super::super::passes::testing::{graph, layer, node};
    use super::*;
    use dunlin_engine::format::OpCode;

    #[test]
    fn a_chain_of_layers_ping_pongs() {
        let mut graph = graph();
        let mut x = graph.input;
        for _ in 0..5 {
            x = layer(&mut graph, x, &[0.0, 0.0]);
        }
        graph.outputs = vec![x];
        let layout = plan(&graph);
        assert_eq!((layout.arena_bytes, layout.floor_bytes), (16, 16));
    }

    #[test]
    fn an_op_on_single_elements_overwrites_a_dying_operand_only() {
        let mut graph = graph();
        let x = graph.input;
        let a = node(&mut graph, Op::Unary(OpCode::Abs), &[x], &[1, 2]);
        let b = node(&mut graph, Op::Unary(OpCode::Sqrt), &[a], &[1, 2]);
        let sum = node(&mut graph, Op::Binary(OpCode::Add), &[a, b], &[1, 2]);
        graph.outputs = vec![sum];
        let layout = plan(&graph);
        assert_eq!(layout.offsets[&x], layout.offsets[&a]);
        assert_ne!(layout.offsets[&a], layout.offsets[&b]);
        assert_eq!(layout.arena_bytes, 16);
    }

    #[test]
    fn a_view_keeps_its_source_alive() {
        let mut graph = graph();
        let x = graph.input;
        let a = node(&mut graph, Op::Unary(OpCode::Abs), &[x], &[1, 2]);
        let view = node(&mut graph, Op::Reshape, &[a], &[2]);
        let b = node(&mut graph, Op::Unary(OpCode::Sqrt), &[view], &[2]);
        let sum = node(&mut graph, Op::Binary(OpCode::Add), &[a, b], &[1, 2]);
        graph.outputs = vec![sum];
        let layout = plan(&graph);
        assert_eq!(layout.offsets[&a], layout.offsets[&view]);
        assert_ne!(layout.offsets[&view], layout.offsets[&b]);
    }

    #[test]
    fn rows_that_grow_begin_where_their_inputs_do() {
        let mut graph = Graph::default();
        let rows = |graph: &mut Graph, columns| graph.add_value("rows", Element::I8, &[6, columns]);
        graph.input = rows(&mut graph, 8);
        let (y, z) = (rows(&mut graph, 16), rows(&mut graph, 8));
        for (from, to, k, n) in [(graph.input, y, 8, 16), (y, z, 16, 8)] {
            graph.nodes.push(Node {
                op: Op::FullyConnectedPacked {
                    rows: 6,
                    k,
                    n,
                    limits: (-128, 127),
                    ties: Ties::Up,
                    macs: 0,
                },
                inputs: vec![from],
                output: to,
                origins: Vec::new(),
            });
        }
        graph.outputs = vec![z];
        let layout = plan(&graph);
        assert!(layout.offsets[&y] >= layout.offsets[&graph.input]);
        let scratch = needs::scratch_bytes(&graph.nodes[1].op);
        assert_eq!(layout.arena_bytes, 6 * 16 + scratch);
    }
}
