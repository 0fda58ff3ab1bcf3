//! Orders of axes and shapes: what the layout pass computes with.
//!
//! An order says of a transposition that axis `i` of the result is axis `order[i]` of the operand.

use super::super::graph::{Op, strides};
use std::ops::Range;

/// A view of all elements of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Order(Vec<usize>),
    /// The same elements in the same order under another shape.
    Shape(Vec<usize>),
}

impl Turn {
    pub fn op(&self) -> Op {
        match self {
            Turn::Order(order) => Op::Transpose {
                order: order.clone(),
            },
            Turn::Shape(_) => Op::Reshape,
        }
    }

    /// Whether it changes nothing about a tensor of a shape.
    pub fn keeps(&self, shape: &[usize]) -> bool {
        match self {
            Turn::Order(order) => order.iter().copied().eq(0..order.len()),
            Turn::Shape(to) => to == shape,
        }
    }

    /// This, then another, as one view of a tensor of a shape.
    pub fn then(&self, other: &Turn, shape: &[usize]) -> Option<Turn> {
        match (self, other) {
            (Turn::Order(first), Turn::Order(second)) => Some(Turn::Order(
                second.iter().map(|&axis| first[axis]).collect(),
            )),
            (Turn::Shape(_), Turn::Shape(to)) => Some(Turn::Shape(to.clone())),
            (Turn::Order(order), Turn::Shape(to)) if keeps_elements(shape, order) => {
                Some(Turn::Shape(to.clone()))
            }
            (Turn::Shape(middle), Turn::Order(order)) if keeps_elements(middle, order) => {
                Some(Turn::Shape(permuted(middle, order)))
            }
            _ => None,
        }
    }
}

fn permuted(shape: &[usize], order: &[usize]) -> Vec<usize> {
    order.iter().map(|&axis| shape[axis]).collect()
}

/// The order that takes another back.
pub(super) fn inverse(order: &[usize]) -> Vec<usize> {
    let mut inverse = vec![0; order.len()];
    order
        .iter()
        .enumerate()
        .for_each(|(to, &from)| inverse[from] = to);
    inverse
}

/// The shape that an order made this one of.
pub(super) fn undo(order: &[usize], shape: &[usize]) -> Vec<usize> {
    permuted(shape, &inverse(order))
}

/// Whether only axes of extent 1 move, so that the elements stay where they are.
pub(super) fn keeps_elements(shape: &[usize], order: &[usize]) -> bool {
    let moved: Vec<usize> = order
        .iter()
        .copied()
        .filter(|&axis| shape[axis] != 1)
        .collect();
    moved.is_sorted()
}

/// Element `i` of the transposed tensor is element `places[i]` of one of this shape.
pub(super) fn places(shape: &[usize], order: &[usize]) -> Vec<usize> {
    let (from, result) = (strides(shape), permuted(shape, order));
    let own = strides(&result);
    let place = |element: usize| {
        let along = |axis: usize| element / own[axis] % result[axis] * from[order[axis]];
        (0..result.len()).map(along).sum()
    };
    (0..result.iter().product()).map(place).collect()
}

/// The axes whose extents multiply to `size`, behind others that multiply to `outer`.
pub(super) fn block(shape: &[usize], outer: usize, size: usize) -> Option<Range<usize>> {
    let product = |range: Range<usize>| shape[range].iter().product::<usize>();
    let ranges =
        (0..shape.len()).flat_map(|first| (first + 1..=shape.len()).map(move |end| first..end));
    // Axes of extent 1 may belong to the block or not: the smallest block will do.
    let fitting =
        ranges.filter(|range| product(0..range.start) == outer && product(range.clone()) == size);
    fitting.min_by_key(|range| range.len())
}

/// The axis along which tensors were joined, given the elements of a result before it.
pub(super) fn joined_axis(parts: &[&[usize]], result: &[usize], outer: usize) -> Option<usize> {
    let fits = |&axis: &usize| {
        let alike = |part: &&[usize]| {
            part.len() == result.len()
                && (0..result.len()).all(|i| i == axis || part[i] == result[i])
        };
        result[..axis].iter().product::<usize>() == outer
            && parts.iter().all(alike)
            && parts.iter().map(|part| part[axis]).sum::<usize>() == result[axis]
    };
    (0..result.len()).find(fits)
}

/// `reshape(transpose(x))` as `transpose(reshape(x))`: the shape of that reshape and the order.
/// None where the reshape tears apart or mixes axes that the transposition moved.
pub(super) fn exchange(
    shape: &[usize],
    order: &[usize],
    to: &[usize],
) -> Option<(Vec<usize>, Vec<usize>)> {
    let axes: Vec<usize> = order
        .iter()
        .copied()
        .filter(|&axis| shape[axis] != 1)
        .collect();
    let positions: Vec<usize> = (0..to.len())
        .filter(|&position| to[position] != 1)
        .collect();
    let extents: Vec<usize> = axes.iter().map(|&axis| shape[axis]).collect();
    let wanted: Vec<usize> = positions.iter().map(|&position| to[position]).collect();
    // Rank in the source of every wanted extent; those of one block follow one another.
    let mut keys = Vec::new();
    for (from, into) in blocks(&extents, &wanted)? {
        let members = &axes[from];
        let between = |pair: &[usize]| (pair[0] + 1..pair[1]).all(|axis| shape[axis] == 1);
        if !members
            .windows(2)
            .all(|pair| pair[0] < pair[1] && between(pair))
        {
            return None;
        }
        keys.extend(into.map(|index| (members[0], index)));
    }
    let mut sorted: Vec<usize> = (0..keys.len()).collect();
    sorted.sort_by_key(|&index| keys[index]);
    let (mut reshaped, mut result) = (to.to_vec(), (0..to.len()).collect::<Vec<_>>());
    for (slot, &index) in sorted.iter().enumerate() {
        reshaped[positions[slot]] = wanted[index];
        result[positions[index]] = positions[slot];
    }
    Some((reshaped, result))
}

/// Pairs of the shortest runs of extents with equal products.
fn blocks(from: &[usize], to: &[usize]) -> Option<Vec<(Range<usize>, Range<usize>)>> {
    let (mut blocks, mut a, mut b) = (Vec::new(), 0, 0);
    while a < from.len() && b < to.len() {
        let (start, mut left, mut right) = ((a, b), from[a], to[b]);
        (a, b) = (a + 1, b + 1);
        while left != right {
            if left < right {
                left *= from.get(a)?;
                a += 1;
            } else {
                right *= to.get(b)?;
                b += 1;
            }
        }
        blocks.push((start.0..a, start.1..b));
    }
    (a == from.len() && b == to.len()).then_some(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The elements of a reshape of a transposition of `0..`.
    fn elements(shape: &[usize], order: &[usize]) -> Vec<usize> {
        places(shape, order)
    }

    #[test]
    fn an_order_and_its_inverse_are_nothing() {
        let order = vec![0, 3, 1, 2];
        let back = Turn::Order(inverse(&order));
        let both = Turn::Order(order.clone())
            .then(&back, &[1, 2, 3, 4])
            .unwrap();
        assert!(both.keeps(&[1, 2, 3, 4]));
        assert_eq!(undo(&order, &[1, 4, 2, 3]), [1, 2, 3, 4]);
    }

    #[test]
    fn places_of_a_transposed_matrix_go_down_its_columns() {
        assert_eq!(places(&[2, 3], &[1, 0]), [0, 3, 1, 4, 2, 5]);
        assert!(keeps_elements(&[1, 4, 1, 5], &[2, 1, 0, 3]));
        assert!(!keeps_elements(&[1, 4, 1, 5], &[3, 1, 0, 2]));
    }

    #[test]
    fn a_transposition_behind_a_reshape_gives_the_same_elements() {
        let cases: [(&[usize], &[usize], &[usize]); 6] = [
            (&[1, 4, 5, 3], &[0, 3, 1, 2], &[1, 3, 20]),
            (&[1, 4, 5, 3], &[0, 3, 1, 2], &[3, 4, 5]),
            (&[1, 4, 1, 6], &[0, 3, 1, 2], &[1, 2, 3, 4]),
            (&[1, 4, 5, 3], &[0, 3, 1, 2], &[1, 1, 3, 4, 1, 5]),
            (&[1, 1, 5, 3], &[0, 3, 1, 2], &[1, 3, 5]),
            (&[2, 3, 4], &[2, 0, 1], &[4, 6]),
        ];
        for (shape, order, to) in cases {
            let (reshaped, turned) = exchange(shape, order, to).unwrap();
            assert_eq!(permuted(&reshaped, &turned), to);
            assert_eq!(
                elements(shape, order),
                elements(&reshaped, &turned),
                "{shape:?}"
            );
        }
        assert_eq!(exchange(&[1, 4, 5, 3], &[0, 3, 1, 2], &[1, 60]), None);
        assert_eq!(exchange(&[4, 5, 3], &[2, 0, 1], &[12, 5]), None);
    }

    #[test]
    fn reduced_and_joined_axes_are_found_again() {
        assert_eq!(block(&[1, 8, 5, 7], 8, 35), Some(2..4));
        assert_eq!(block(&[1, 8, 1, 7], 8, 7), Some(3..4));
        assert_eq!(block(&[2, 3], 4, 1), None);
        let parts: [&[usize]; 2] = [&[1, 2, 5, 5], &[1, 3, 5, 5]];
        assert_eq!(joined_axis(&parts, &[1, 5, 5, 5], 1), Some(1));
        assert_eq!(joined_axis(&parts, &[1, 2, 10, 5], 2), None);
    }
}
