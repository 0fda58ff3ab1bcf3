//! Graphs with fewer channels.

use super::super::super::byte_op::ByteOp;
use super::super::super::constant::Data;
use super::super::super::graph::{Graph, Node, Op, ValueId};
use super::ranges::Ranges;
use super::sets::{ChannelSet, Role, role};

/// Most bits of an offset beside its sign.
const OFFSET_BITS: u32 = 95;

/// The graph without some channels of a set; none where an offset would not hold what they add.
pub(super) fn without(
    graph: &Graph,
    set: &ChannelSet,
    channels: &[usize],
    ranges: &Ranges,
) -> Option<Graph> {
    let mut smaller = graph.clone();
    let kept = |columns: usize| -> Vec<usize> {
        let is_kept = |column: &usize| !channels.contains(&(column % set.channels));
        (0..columns).filter(is_kept).collect()
    };
    for at in set.readers(graph) {
        fold(&mut smaller, at, (set, channels), ranges)?;
        let columns = kept(graph.values[graph.nodes[at].inputs[0]].columns());
        keep_along(&mut smaller, at, (1, 3), &columns)?;
    }
    for at in set.producers(graph) {
        let node = &graph.nodes[at];
        let columns = kept(graph.values[node.output].columns());
        shrink_producer(&mut smaller, at, &columns)?;
    }
    for &value in &set.values {
        let columns = kept(graph.values[value].columns()).len();
        *smaller.values[value].shape.last_mut()? = columns;
    }
    Some(smaller)
}

/// Adds to a layer's offsets what constant channels add to its sums.
fn fold(
    graph: &mut Graph,
    at: usize,
    (set, channels): (&ChannelSet, &[usize]),
    ranges: &Ranges,
) -> Option<()> {
    let node = graph.nodes[at].clone();
    let x = node.inputs[0];
    let columns = graph.values[x].columns();
    let zero_point = weight_zero_point(&node.op)?;
    let weights = graph.constant(node.inputs[1])?.integers()?;
    let (multipliers, offsets) = (bytes(graph, node.inputs[2])?, bytes(graph, node.inputs[3])?);
    let (multipliers, offsets) = (multipliers.as_chunks::<8>().0, offsets.as_chunks::<12>().0);
    // Of an unread channel all weights are the zero point, so whatever code is taken adds nothing.
    let codes: Vec<i64> = (0..columns)
        .map(|column| match channels.contains(&(column % set.channels)) {
            true => ranges.constant(x, column).unwrap_or(0).into(),
            false => 0,
        })
        .collect();
    let rows = weights.chunks_exact(weights.len() / offsets.len().max(1));
    let mut folded = Vec::new();
    for (index, (row, offset)) in rows.zip(offsets).enumerate() {
        let terms = row.iter().zip(codes.iter().cycle());
        let sum: i64 = terms
            .map(|(weight, code)| (weight - zero_point) * code)
            .sum();
        let multiplier = multipliers.get(index).or(multipliers.first())?;
        let factor = i128::from(u64::from_le_bytes(*multiplier) & (u64::MAX >> 8));
        let offset = wide(*offset).checked_add(factor.checked_mul(sum.into())?)?;
        (offset.unsigned_abs() >> OFFSET_BITS == 0).then_some(())?;
        folded.extend_from_slice(&offset.to_le_bytes()[..12]);
    }
    let shape = graph.values[node.inputs[3]].shape.clone();
    graph.nodes[at].inputs[3] = graph.add_constant("offsets", &shape, Data::Bytes(folded));
    Some(())
}

fn bytes(graph: &Graph, id: ValueId) -> Option<Vec<u8>> {
    match graph.constant(id)? {
        Data::Bytes(bytes) => Some(bytes.clone()),
        _ => None,
    }
}

/// A 96-bit integer in two's complement.
fn wide(entry: [u8; 12]) -> i128 {
    let mut bytes = [0; 16];
    bytes[4..].copy_from_slice(&entry);
    i128::from_le_bytes(bytes) >> 32
}

/// The zero point of a layer's weights.
pub(super) fn weight_zero_point(op: &Op) -> Option<i64> {
    match *op {
        Op::FullyConnectedI8 {
            weight_zero_point, ..
        }
        | Op::FullyConnectedI8ToF32 {
            weight_zero_point, ..
        }
        | Op::Conv2dI8 {
            weight_zero_point, ..
        }
        | Op::Conv2dI8ToF32 {
            weight_zero_point, ..
        } => Some(weight_zero_point.into()),
        _ => None,
    }
}

/// Takes the channels that are not kept from what a node is computed with.
fn shrink_producer(graph: &mut Graph, at: usize, columns: &[usize]) -> Option<()> {
    let node: Node = graph.nodes[at].clone();
    match node.op {
        Op::FullyConnectedI8 { .. } | Op::Conv2dI8 { .. } => {
            for input in 1..4 {
                let extent = *graph.values[node.inputs[input]].shape.first()?;
                if input != 2 || extent > 1 {
                    keep_along(graph, at, (input, 0), columns)?;
                }
            }
        }
        Op::Bytes(ByteOp::Mean { .. }) => {
            if let Op::Bytes(ByteOp::Mean { sizes, .. }) = &mut graph.nodes[at].op {
                sizes[2] = columns.len();
            }
        }
        Op::Bytes(ByteOp::Pair { .. } | ByteOp::FastSum { .. } | ByteOp::FastProduct { .. }) => {
            for (input, &id) in node.inputs.iter().enumerate() {
                let value = &graph.values[id];
                if !value.is_computed() && value.elements() > 1 {
                    keep_along(graph, at, (input, usize::MAX), columns)?;
                }
            }
        }
        _ => debug_assert_eq!(role(graph, &node), Role::Carries),
    }
    Some(())
}

/// Gives a node the part of a constant operand that some indices of an axis have; of the last axis where
/// there are fewer.
fn keep_along(
    graph: &mut Graph,
    at: usize,
    (input, axis): (usize, usize),
    kept: &[usize],
) -> Option<()> {
    let value = graph.values[graph.nodes[at].inputs[input]].clone();
    let axis = axis.min(value.shape.len().checked_sub(1)?);
    let data = graph.constant(graph.nodes[at].inputs[input])?;
    let inner: usize = value.shape[axis + 1..].iter().product();
    let extent = value.shape[axis];
    let is_kept = |place: &usize| kept.binary_search(&(place / inner.max(1) % extent)).is_ok();
    let places: Vec<usize> = (0..value.elements()).filter(is_kept).collect();
    let data = data.gather(&places);
    let mut shape = value.shape.clone();
    shape[axis] = kept.len();
    graph.nodes[at].inputs[input] = graph.add_constant(&value.name, &shape, data);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ninety_six_bits_keep_their_sign() {
        let mut entry = [0; 12];
        entry.copy_from_slice(&(-5_i128 << 70).to_le_bytes()[..12]);
        assert_eq!(wide(entry), -5 << 70);
    }
}
