//! `tree_ensemble`: sums the leaves that decision trees reach.
//!
//! Inputs: `x f32 [features]` in the arena and one or more constants `u8 [n]`, each a group of
//! trees. Outputs: `f32 [width]`, at most 128 wide, and perhaps the label, `i32 [1]`: the index of
//! the largest score, the first of equals. The variants differ in tests and in leaves:
//!
//! | variant | tests | leaves |
//! |---|---|---|
//! | 0, 1 | ranks, see [`ranks`] | `f32`, whole steps |
//! | 2, 3 | thresholds, see [`direct`] | `f32`, whole steps |
//! | 4, 5 | ranks, see [`short`] | `f32`, whole steps |
//!
//! Variants 0, 1, 4 and 5 have a scratch tensor `u8 [256]`, the images of the inputs. All tensors in the
//! arena are apart.
//!
//! A tree reaches a leaf code. A code below `width` adds one unit to that score; a code
//! `width + r` adds the row that starts at entry `r` of the group's rows, which have an entry per
//! score that is not 0: the score (top bit: the row ends) and what is added: `u8` steps, an `f32`, or,
//! where the group has values, the place among them, `u16`.
//! Adding nothing where a dense row would add 0.0 gives the same sums, because a sum that starts
//! at 0.0 is never -0.0 and `a + 0.0 = a`.
//!
//! Parameters: the unit (`f32`, or steps below 256); the value of a step, `f32`; the form.
//! `f32` leaves are added in tree order, starting at 0.0, as ONNX does. Steps are added as
//! integers, exactly; then a score is
//!
//! | form | score of `n` steps |
//! |---|---|
//! | 0 | `n·step`, rounded once |
//! | 1 | `step` added `n` times, as ONNX adds `n` equal leaves: exact where every leaf is a vote |
//!
//! Forms 4 and 5 are 0 and 1 of the second of two scores, `s`; the first becomes `1 - s`. With
//! forms 8 and 9 it becomes `-s`. A group's sums are kept and the next group adds to them.
//! One step per branch at most, the longest row for each tree, and one per entry of a row, which the check reads.

mod direct;
mod ranks;
mod sections;
mod short;
mod sums;

use super::Kernel;
use super::arg_max::first_largest;
use crate::KernelId;
use crate::error::OpFault;
use crate::format::{DType, MAX_TREES, OpCode};
use crate::op::{Op, Tensors, check};
use crate::tensor::Tensor;
use core::ops::Range;
use short::ShortRows;
use sums::{Form, Rows};

pub(in crate::kernels) static RANKS_F32: Kernel = Kernel {
    id: id(0),
    check: |op| ranks::check::<Rows<true>>(op),
    run: ranks::run::<true>,
};
pub(in crate::kernels) static RANKS_STEPS: Kernel = Kernel {
    id: id(1),
    check: |op| ranks::check::<Rows<false>>(op),
    run: ranks::run::<false>,
};
pub(in crate::kernels) static DIRECT_F32: Kernel = Kernel {
    id: id(2),
    check: direct::check::<true>,
    run: direct::run::<true>,
};
pub(in crate::kernels) static DIRECT_STEPS: Kernel = Kernel {
    id: id(3),
    check: direct::check::<false>,
    run: direct::run::<false>,
};

pub(in crate::kernels) static SHORT_F32: Kernel = Kernel {
    id: id(4),
    check: |op| ranks::check::<ShortRows<true>>(op),
    run: short::run::<true>,
};
pub(in crate::kernels) static SHORT_STEPS: Kernel = Kernel {
    id: id(5),
    check: |op| ranks::check::<ShortRows<false>>(op),
    run: short::run::<false>,
};

const fn id(variant: u8) -> KernelId {
    KernelId::new(OpCode::TreeEnsemble as u16, 1, variant)
}

/// What every variant asks of its operands; gives the width.
fn check_operands(op: &Op, scratch: u8) -> Result<usize, OpFault> {
    let record = op.record();
    let counts = record.inputs > 1 && matches!(record.outputs, 1 | 2) && record.scratch == scratch;
    check(counts, OpFault::Operands)?;
    op.has_parameters(3)?;
    op.need_input(0)?.in_arena(DType::F32)?;
    for group in 1..usize::from(record.inputs) {
        op.need_input(group)?.is_constant(DType::U8)?;
    }
    let scores = op.need_output(0)?;
    check(scores.dtype() == DType::F32, OpFault::Type)?;
    check(scores.elements() <= sums::MAX_WIDTH, OpFault::Shape)?;
    let is_row = |tensor: Tensor| tensor.rows() == 1;
    let rows = is_row(scores) && is_row(op.need_input(0)?.info);
    check(rows, OpFault::Shape)?;
    if record.outputs == 2 {
        let label = op.need_output(1)?;
        check(label.dtype() == DType::I32, OpFault::Type)?;
        check(label.elements() == 1, OpFault::Shape)?;
    }
    let form = Form::of(op).ok_or(OpFault::Parameters)?;
    check(form.fits(scores.elements()), OpFault::Parameters)?;
    op.arena_operands_are_apart()?;
    Ok(scores.elements())
}

/// Checks every group of trees and adds up what `check` gives: the steps of one, and whether it has no rows.
fn check_groups<'p>(
    op: &Op<'p>,
    check: impl Fn(&'p [u8]) -> Result<(u64, bool), OpFault>,
) -> Result<u64, OpFault> {
    let mut steps = 0_u64;
    for position in 1..usize::from(op.record().inputs) {
        let bytes = op.need_input(position)?.constant.ok_or(OpFault::Type)?;
        let (of_group, no_rows) = check(bytes)?;
        steps = steps.saturating_add(of_group);
        check_votes(op, no_rows)?;
    }
    Ok(steps)
}

/// Votes are one step each, so that a score has no more steps than there are trees.
fn check_votes(op: &Op, no_rows: bool) -> Result<(), OpFault> {
    let form = Form::of(op).ok_or(OpFault::Parameters)?;
    let one_each = no_rows && form.unit == 1;
    check(one_each || !form.is_repeated(), OpFault::Parameters)
}

/// Steps of the walks over `trees` trees, beside those of their branches.
fn work(trees: usize, longest_row: usize) -> Result<u64, OpFault> {
    check(trees <= MAX_TREES as usize, OpFault::Shape)?;
    Ok((trees as u64).saturating_mul(longest_row.saturating_add(1) as u64))
}

/// What a run reads of the op.
struct Run<'p> {
    tensors: Tensors<'p>,
    groups: usize,
    form: Form,
}

impl<'p> Run<'p> {
    #[inline(always)]
    fn of(op: &Op<'p>) -> Option<Self> {
        Some(Self {
            tensors: op.tensors(),
            groups: op.record().inputs.into(),
            form: Form::of(op)?,
        })
    }

    /// Offset and elements of the inputs.
    #[inline(always)]
    fn x(&self) -> Option<(usize, usize)> {
        let x = self.tensors.get(0)?;
        Some((x.offset(), x.columns()))
    }

    /// Where the inputs lie, and the images of them.
    #[inline(always)]
    fn ranked(&self, op: &Op) -> Option<(Range<usize>, Range<usize>)> {
        let (x, features) = self.x()?;
        let images = self.groups.checked_add(op.record().outputs.into())?;
        let images = self.tensors.get(images)?.offset();
        Some((
            x..x.checked_add(features.checked_mul(4)?)?,
            images..images.checked_add(256)?,
        ))
    }

    #[inline(always)]
    fn scores(&self) -> Option<Range<usize>> {
        let scores = self.tensors.get(self.groups)?;
        let start = scores.offset();
        Some(start..start.checked_add(scores.columns().checked_mul(4)?)?)
    }

    /// The constants from the start of each group on.
    #[inline(always)]
    fn groups(&self, op: &Op<'p>) -> impl Iterator<Item = &'p [u8]> {
        let constants = op.tables.constants;
        (1..self.groups).map_while(move |group| constants.get(self.tensors.get(group)?.offset()..))
    }

    /// Writes the scores that sums become, and the label.
    #[inline(always)]
    fn write<const FLOATS: bool>(
        &self,
        op: &Op,
        arena: &mut [u8],
        place: Range<usize>,
        sums: &[[u8; 4]],
    ) -> Option<()> {
        let scores = arena.get_mut(place.clone())?.as_chunks_mut().0;
        for (score, sum) in scores.iter_mut().zip(sums) {
            *score = self.form.score::<FLOATS>(*sum);
        }
        self.form.pair(scores);
        self.finish(op, arena, place)
    }

    /// Writes the label.
    #[inline(always)]
    fn finish(&self, op: &Op, arena: &mut [u8], scores: Range<usize>) -> Option<()> {
        if op.record().outputs > 1 {
            let label = first_largest(arena.get(scores)?) as i32;
            let place = self.tensors.get(self.groups.wrapping_add(1))?.offset();
            *arena.get_mut(place..)?.first_chunk_mut()? = label.to_le_bytes();
        }
        Some(())
    }
}
