//! Integer layers whose constants the compiler has prepared: weights packed in pairs of channels,
//! sums that become bytes with one multiply. `dunlin_kernels` derives both.
//!
//! A kernel here gives the bytes of its `reference` kernel: the compiler writes these constants only
//! where it has proved that for every sum that can be reached. The engine need not know; any
//! constants give some bytes, the same on every machine.

mod around;
pub(super) mod conv_2d;
pub(super) mod depthwise;
pub(super) mod fully_connected;
mod geometry;
mod pairs;
mod pixels;

pub use pixels::Walk;

use crate::error::OpFault;
use crate::format::{CONSTANT_ALIGNMENT, DType};
use crate::op::{Kind, Op, Signature, check, disjoint};
use crate::tensor::Tensor;
use dunlin_kernels::{GROUP, group_bytes};

/// Lowest and highest result, as `i8` in the two low bytes of a word.
#[derive(Clone, Copy)]
struct Limits(u32);

/// Limits that say nothing.
const ALL: u32 = 0x7F80;

impl Limits {
    /// Holds `bytes` to the limits.
    #[inline(always)]
    fn hold(self, bytes: &mut [u8]) {
        if self.0 != ALL {
            self.hold_all(bytes);
        }
    }

    #[inline(never)]
    fn hold_all(self, bytes: &mut [u8]) {
        let [low, high, _, _] = self.0.to_le_bytes();
        for byte in bytes {
            *byte = (*byte as i8).max(low as i8).min(high as i8) as u8;
        }
    }
}

/// Where an op's constants begin, as the last of its parameter words says.
#[inline(always)]
fn constants_place(op: &Op) -> Option<usize> {
    let place = op.words.last()?;
    Some(u32::from_le_bytes(*place) as usize)
}

/// The constants from an op's own on.
#[inline(always)]
fn constants<'a>(op: &Op<'a>) -> Option<&'a [u8]> {
    op.tables.constants.get(constants_place(op)?..)
}

/// The operands of a packed kernel: input and output in the arena, perhaps scratch. Its constants are no operand: a
/// parameter says where they lie, a multiple of 16, so that a plan has no tensor for what no other op could read.
struct Operands<'a> {
    x: Tensor<'a>,
    y: Tensor<'a>,
    /// Bytes of constants from its own on.
    constants: usize,
    /// Bytes of scratch, 0 without.
    scratch: usize,
}

impl<'a> Operands<'a> {
    /// Checks types and counts, that the constants begin where they may, and that scratch lies apart. The last of the
    /// parameter words is the constants' place.
    #[inline(never)]
    fn check(op: &Op<'a>, words: usize, has_scratch: bool) -> Result<Operands<'a>, OpFault> {
        let scratch: &[Kind] = match has_scratch {
            true => const { &[Kind::placed(DType::U8)] },
            false => &[],
        };
        let placed = [Kind::placed(DType::I8)];
        op.is(Signature::new(&placed, &placed, scratch, words))?;
        let place = constants_place(op).ok_or(OpFault::Parameters)?;
        let constants = op.tables.constants.len().checked_sub(place);
        let constants = constants.filter(|_| place.is_multiple_of(CONSTANT_ALIGNMENT));
        let (x, y) = (op.at(0), op.at(1));
        let mut operands = Operands {
            x,
            y,
            constants: constants.ok_or(OpFault::Constant)?,
            scratch: 0,
        };
        if has_scratch {
            let place = op.at(2).range();
            let apart = disjoint(&x.range(), &place) && disjoint(&y.range(), &place);
            check(apart, OpFault::Aliasing)?;
            operands.scratch = place.len();
        }
        Ok(operands)
    }

    /// Holds the constants to a layer of so many steps and filters.
    #[inline(never)]
    fn hold_groups(&self, steps: usize, filters: usize) -> Result<(), OpFault> {
        let groups = filters.div_ceil(GROUP).checked_mul(group_bytes(steps));
        let there = groups.is_some_and(|bytes| bytes <= self.constants);
        check(there, OpFault::Constant)
    }

    /// Holds constants and scratch to a layer that computes `columns` columns of `steps` two by two.
    #[inline(never)]
    fn hold_pairs(&self, steps: usize, filters: usize, columns: usize) -> Result<(), OpFault> {
        self.hold_groups(steps, filters)?;
        let needed = pairs::scratch_bytes(columns, steps, filters);
        check(self.scratch >= needed, OpFault::Shape)
    }
}
