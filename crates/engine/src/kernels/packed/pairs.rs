//! Outputs of two columns of inputs at once, from a scratch that both stand in.
//!
//! The scratch has 8 bytes per step, and room for the outputs that nobody wants where the last column has no
//! neighbour.

use super::Limits;
use crate::op::{split, split_mut};
use core::ops::Range;
use dunlin_kernels::{Layer, multiply_pair};

/// A layer whose inputs are brought two by two.
pub(super) struct Pairs<'a> {
    pub layer: Layer<'a>,
    /// Bytes of an output.
    pub filters: usize,
    pub limits: Limits,
    pub scratch: Range<usize>,
}

/// Bytes of scratch for so many columns.
pub(super) fn scratch_bytes(columns: usize, steps: usize, filters: usize) -> usize {
    let spare = if columns.is_multiple_of(2) {
        0
    } else {
        filters
    };
    steps.saturating_mul(8).saturating_add(spare)
}

impl Pairs<'_> {
    /// Computes two outputs at `y` and gives where the next begin.
    #[inline(always)]
    pub fn write(&self, arena: &mut [u8], y: usize) -> Option<usize> {
        let end = y.checked_add(self.filters.checked_mul(2)?)?;
        let (columns, out) = split(arena, self.scratch.clone(), y..end)?;
        let (first, second) = out.split_at_mut_checked(self.filters)?;
        multiply_pair(&self.layer, columns, first, second)?;
        self.limits.hold(out);
        Some(end)
    }

    /// Computes an output without a neighbour, whose results go to the end of the scratch.
    #[inline(never)]
    pub fn write_last(&self, arena: &mut [u8], y: usize) -> Option<()> {
        let end = y.checked_add(self.filters)?;
        let (scratch, out) = split_mut(arena, self.scratch.clone(), y..end)?;
        let columns = scratch.len().checked_sub(self.filters)?;
        let (columns, unwanted) = scratch.split_at_mut_checked(columns)?;
        multiply_pair(&self.layer, columns, out, unwanted)?;
        self.limits.hold(out);
        Some(())
    }
}
