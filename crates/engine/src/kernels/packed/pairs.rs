//! Outputs of two columns of inputs at once, from a scratch that both stand in.
//!
//! The scratch has 8 bytes per step, and room for the outputs that nobody wants where the last column has no
//! neighbour.

use super::around::Around;
use super::{Limits, constants};
use crate::op::Op;
use dunlin_kernels::{Layer, multiply_pair};

/// A layer whose inputs are brought two by two; `TIES` says where ties go.
pub(super) struct Pairs<'a, 'm, const TIES: u8> {
    layer: Layer<'a>,
    /// Bytes of an output.
    pub filters: usize,
    limits: Limits,
    pub arena: Around<'m>,
    pub columns: &'m mut [u8],
}

/// Bytes of scratch for so many columns.
pub(super) fn scratch_bytes(columns: usize, steps: usize, filters: usize) -> usize {
    let spare = if columns.is_multiple_of(2) {
        0
    } else {
        filters
    };
    // A column has at most `MAX_ROW` steps, and an output as many filters as elements.
    steps.wrapping_mul(8).wrapping_add(spare)
}

impl<'a, 'm, const TIES: u8> Pairs<'a, 'm, TIES> {
    /// Of an op whose inputs have so many steps, and which has so many filters and columns.
    #[inline(never)]
    pub fn of(
        op: &Op<'a>,
        [steps, filters, columns]: [usize; 3],
        limits: Limits,
        arena: &'m mut [u8],
    ) -> Option<Self> {
        let bytes = scratch_bytes(columns, steps, filters);
        let (arena, columns) = Around::scratch(op, arena, bytes)?;
        Some(Self {
            layer: Layer::new(constants(op)?, steps, filters)?,
            filters,
            limits,
            arena,
            columns,
        })
    }

    /// Computes two outputs at `y`.
    #[cfg_attr(target_os = "none", inline(never))]
    pub fn write(&mut self, y: usize) -> Option<()> {
        let both = self.filters.wrapping_mul(2);
        let out = self.arena.at(y, both)?;
        let (first, second) = out.split_at_mut_checked(self.filters)?;
        multiply_pair::<TIES>(&self.layer, self.columns, first, second)?;
        self.limits.hold(out);
        Some(())
    }

    /// Computes an output without a neighbour, whose results go to the end of the scratch.
    #[inline(never)]
    pub fn write_last(&mut self, y: usize) -> Option<()> {
        let out = self.arena.at(y, self.filters)?;
        let columns = self.columns.len().checked_sub(self.filters)?;
        let (columns, unwanted) = self.columns.split_at_mut_checked(columns)?;
        multiply_pair::<TIES>(&self.layer, columns, out, unwanted)?;
        self.limits.hold(out);
        Some(())
    }
}
