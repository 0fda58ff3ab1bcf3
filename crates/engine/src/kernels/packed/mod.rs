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
use crate::format::DType;
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

/// The operands of a packed kernel.
struct Operands<'a> {
    x: Tensor<'a>,
    y: Tensor<'a>,
    constants: usize,
    /// Bytes of scratch, 0 without.
    scratch: usize,
}

impl<'a> Operands<'a> {
    /// Checks types and counts, and that scratch lies apart.
    #[inline(never)]
    fn check(op: &Op<'a>, words: usize, has_scratch: bool) -> Result<Operands<'a>, OpFault> {
        let scratch: &[Kind] = match has_scratch {
            true => const { &[Kind::placed(DType::U8)] },
            false => &[],
        };
        let inputs = [Kind::placed(DType::I8), Kind::constant(DType::U8)];
        let outputs = [Kind::placed(DType::I8)];
        op.is(Signature::new(&inputs, &outputs, scratch, words))?;
        let (x, y) = (op.at(0), op.at(2));
        let mut operands = Operands {
            x,
            y,
            constants: op.at(1).elements(),
            scratch: 0,
        };
        if has_scratch {
            let place = op.at(3).range();
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
        check(groups == Some(self.constants), OpFault::Constant)
    }

    /// Holds constants and scratch to a layer that computes `columns` columns of `steps` two by two.
    #[inline(never)]
    fn hold_pairs(&self, steps: usize, filters: usize, columns: usize) -> Result<(), OpFault> {
        self.hold_groups(steps, filters)?;
        let needed = pairs::scratch_bytes(columns, steps, filters);
        check(self.scratch >= needed, OpFault::Shape)
    }
}
