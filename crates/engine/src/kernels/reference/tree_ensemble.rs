//! `tree_ensemble`: sums the leaves that decision trees reach.
//!
//! Inputs: `x f32 [features]` in the arena; constants `trees i32 [t]` (branches of each tree),
//! `nodes u8 [branches, 8]`, `leaves u8 [leaves, 2]` (an index into `values` for each leaf) and
//! `values [v, width]`, `f32` in variant 0, `u8` in variant 1. Output: `f32 [width]`, apart from
//! `x`. Parameters: variant 0 none; variant 1 the real value of one step, `f32`.
//!
//! A tree of `n` branches has `n` nodes in pre-order and `n + 1` leaves from left to right; the
//! trees stand one after another in both tables. A node is threshold `f32`, feature `u16` (top
//! bit: a NaN goes left), and the number `a` of branches in its left subtree, `u16`. Nothing else
//! is stored, because nothing else is free: from branch `i` with `n` branches below and at it and
//! `l` leaves before it, the left child starts at branch `i + 1` with `a` branches and the same
//! `l`; the right one at branch `i + 1 + a` with `n - 1 - a` branches and `l + a + 1`. A child
//! without branches is the leaf `l`. `n` shrinks with every step, so a walk ends.
//!
//! An input goes left if `x ≤ threshold`, compared as `f32`. Variant 0 adds the leaves' values as
//! `f32` in tree order, starting at 0.0, as ONNX does. Variant 1 adds whole steps exactly and
//! multiplies once. One step per branch at most, and `t·width` for the sums.

use super::Kernel;
use crate::KernelId;
use crate::bytes::{f32_at, f32s};
use crate::error::OpFault;
use crate::format::{DType, MAX_TREE_NESTING, MAX_TREES, OpCode};
use crate::op::{Op, check, split};

pub(in crate::kernels) static F32_LEAVES: Kernel = Kernel {
    id: id(0),
    check: check_f32,
    run: run_f32,
};
pub(in crate::kernels) static U8_LEAVES: Kernel = Kernel {
    id: id(1),
    check: check_u8,
    run: run_u8,
};

const NODE_BYTES: usize = 8;
const LEAF_BYTES: usize = 2;
const NAN_GOES_LEFT: u16 = 0x8000;

const fn id(variant: u8) -> KernelId {
    KernelId::new(OpCode::TreeEnsemble as u16, 1, variant)
}

/// The constants of an ensemble.
struct Ensemble<'a> {
    trees: &'a [[u8; 4]],
    nodes: &'a [[u8; NODE_BYTES]],
    leaves: &'a [[u8; LEAF_BYTES]],
    values: &'a [u8],
}

impl<'a> Ensemble<'a> {
    fn of(op: &Op<'a>) -> Option<Self> {
        Some(Self {
            trees: op.input(1)?.constant?.as_chunks().0,
            nodes: op.input(2)?.constant?.as_chunks().0,
            leaves: op.input(3)?.constant?.as_chunks().0,
            values: op.input(4)?.constant?,
        })
    }

    /// Calls `add` with the index of the leaf each tree reaches, in tree order.
    fn for_each_leaf(&self, x: &[u8], mut add: impl FnMut(usize) -> Option<()>) -> Option<()> {
        let (mut nodes, mut leaves) = (self.nodes, self.leaves);
        for tree in self.trees {
            let branches = usize::try_from(i32::from_le_bytes(*tree)).ok()?;
            let leaf = walk(nodes.get(..branches)?, x)?;
            add(usize::from(u16::from_le_bytes(*leaves.get(leaf)?)))?;
            nodes = nodes.get(branches..)?;
            leaves = leaves.get(branches.checked_add(1)?..)?;
        }
        Some(())
    }
}

/// The leaf that `x` reaches in a tree.
#[inline(always)]
fn walk(mut nodes: &[[u8; NODE_BYTES]], x: &[u8]) -> Option<usize> {
    let mut leaf = 0;
    while let Some((node, below)) = nodes.split_first() {
        let node = Node::decode(node);
        let value = f32_at(x, 4 * usize::from(node.feature & !NAN_GOES_LEFT))?;
        let left = usize::from(node.left);
        if node.takes_left(value) {
            nodes = below.get(..left)?;
        } else {
            nodes = below.get(left..)?;
            leaf += left + 1;
        }
    }
    Some(leaf)
}

struct Node {
    threshold: f32,
    feature: u16,
    left: u16,
}

impl Node {
    #[inline(always)]
    fn decode(bytes: &[u8; NODE_BYTES]) -> Self {
        let [t0, t1, t2, t3, f0, f1, l0, l1] = *bytes;
        Self {
            threshold: f32::from_le_bytes([t0, t1, t2, t3]),
            feature: u16::from_le_bytes([f0, f1]),
            left: u16::from_le_bytes([l0, l1]),
        }
    }

    #[inline(always)]
    fn takes_left(&self, value: f32) -> bool {
        value <= self.threshold || self.feature & NAN_GOES_LEFT != 0 && value.is_nan()
    }
}

fn check_f32(op: &Op) -> Result<u64, OpFault> {
    op.has(5, 0)?;
    check_tables(op, DType::F32)
}

fn check_u8(op: &Op) -> Result<u64, OpFault> {
    op.has(5, 1)?;
    let step = op.parameters().need_f32(0)?;
    check(step > 0.0 && step.is_normal(), OpFault::Parameters)?;
    check_tables(op, DType::U8)
}

fn check_tables(op: &Op, values: DType) -> Result<u64, OpFault> {
    let (x, y) = (op.need_input(0)?, op.need_output(0)?);
    x.in_arena(DType::F32)?;
    op.need_input(1)?.is_constant(DType::I32)?;
    op.need_input(2)?.is_constant(DType::U8)?;
    op.need_input(3)?.is_constant(DType::U8)?;
    op.need_input(4)?.is_constant(values)?;
    check(y.dtype == DType::F32, OpFault::Type)?;
    let width = y.elements();
    let table = op.need_input(4)?.info;
    check(table.columns() == width, OpFault::Shape)?;
    op.output_is_apart()?;
    let ensemble = Ensemble::of(op).ok_or(OpFault::Type)?;
    check(ensemble.trees.len() <= MAX_TREES as usize, OpFault::Shape)?;
    let indices = ensemble
        .leaves
        .iter()
        .map(|leaf| usize::from(u16::from_le_bytes(*leaf)));
    check(
        indices.max().is_some_and(|index| index < table.rows()),
        OpFault::Constant,
    )?;
    check_trees(&ensemble, x.info.elements())?;
    let sums = ensemble.trees.len() as u64 * width as u64;
    Ok(sums.saturating_add(ensemble.nodes.len() as u64))
}

/// Tables as long as the trees need, or with the unused rest of a table that cannot be empty.
fn check_trees(ensemble: &Ensemble, features: usize) -> Result<(), OpFault> {
    let (mut nodes, mut leaves) = (ensemble.nodes, ensemble.leaves);
    for tree in ensemble.trees {
        let branches = usize::try_from(i32::from_le_bytes(*tree)).map_err(|_| OpFault::Constant)?;
        let (tree, rest) = nodes.split_at_checked(branches).ok_or(OpFault::Constant)?;
        check_tree(tree, features)?;
        nodes = rest;
        let next = branches.saturating_add(1);
        leaves = leaves.get(next..).ok_or(OpFault::Constant)?;
    }
    check(leaves.is_empty(), OpFault::Constant)
}

/// Every node tests a feature that exists and splits its own branches.
///
/// `ends` holds where the subtrees around the current node end, innermost last.
fn check_tree(tree: &[[u8; NODE_BYTES]], features: usize) -> Result<(), OpFault> {
    let mut ends = [0_usize; MAX_TREE_NESTING];
    let mut depth = 0_usize;
    let mut end = tree.len();
    for (index, node) in tree.iter().enumerate() {
        let node = Node::decode(node);
        while index == end {
            depth = depth.checked_sub(1).ok_or(OpFault::Constant)?;
            end = *ends.get(depth).ok_or(OpFault::Constant)?;
        }
        let right = index + 1 + usize::from(node.left);
        let exists = usize::from(node.feature & !NAN_GOES_LEFT) < features;
        check(exists && right <= end, OpFault::Constant)?;
        if node.left > 0 && right < end {
            *ends.get_mut(depth).ok_or(OpFault::Constant)? = end;
            depth += 1;
            end = right;
        }
    }
    Ok(())
}

fn run_f32(op: &Op, arena: &mut [u8]) -> Option<()> {
    let ensemble = Ensemble::of(op)?;
    let (x, scores) = split(arena, op.input(0)?.info.range(), op.output(0)?.range())?;
    scores.fill(0);
    let width_bytes = scores.len();
    ensemble.for_each_leaf(x, |leaf| {
        let start = leaf.checked_mul(width_bytes)?;
        let values = ensemble
            .values
            .get(start..start.checked_add(width_bytes)?)?;
        for (score, value) in scores.as_chunks_mut().0.iter_mut().zip(f32s(values)) {
            *score = (f32::from_le_bytes(*score) + value).to_le_bytes();
        }
        Some(())
    })
}

fn run_u8(op: &Op, arena: &mut [u8]) -> Option<()> {
    let ensemble = Ensemble::of(op)?;
    let step = op.parameters().f32(0)?;
    let (x, scores) = split(arena, op.input(0)?.info.range(), op.output(0)?.range())?;
    scores.fill(0);
    let scores = scores.as_chunks_mut::<4>().0;
    ensemble.for_each_leaf(x, |leaf| {
        let start = leaf.checked_mul(scores.len())?;
        let values = ensemble
            .values
            .get(start..start.checked_add(scores.len())?)?;
        for (score, &value) in scores.iter_mut().zip(values) {
            let sum = u32::from_le_bytes(*score).wrapping_add(u32::from(value));
            *score = sum.to_le_bytes();
        }
        Some(())
    })?;
    for score in scores {
        *score = (u32::from_le_bytes(*score) as f32 * step).to_le_bytes();
    }
    Some(())
}
