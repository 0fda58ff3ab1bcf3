//! Integer layers whose constants the compiler has prepared: weights packed in pairs of channels,
//! sums that become bytes with one multiply. `dunlin_kernels` derives both.
//!
//! A kernel here gives the bytes of its `reference` kernel: the compiler writes these constants only
//! where it has proved that for every sum that can be reached. The engine need not know; any
//! constants give some bytes, the same on every machine.

pub(super) mod conv_2d;
pub(super) mod depthwise;
pub(super) mod fully_connected;
mod geometry;
mod pairs;
mod pixels;

pub use pixels::Walk;

use crate::error::OpFault;
use crate::format::DType;
use crate::op::{Op, check, disjoint};
use crate::tensor::Tensor;

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
    fn check(op: &Op<'a>, words: usize, has_scratch: bool) -> Result<Operands<'a>, OpFault> {
        let record = op.record();
        let counts = (record.inputs, record.outputs, record.scratch) == (2, 1, has_scratch.into());
        check(counts, OpFault::Operands)?;
        let length = record.parameters_bytes as usize == 4 * words;
        check(length, OpFault::Parameters)?;
        let (x, is_placed) = op.tensor(0)?;
        let (weights, is_variable) = op.tensor(1)?;
        let (y, _) = op.tensor(2)?;
        let codes = is_placed && x.dtype() == DType::I8 && y.dtype() == DType::I8;
        let packed = !is_variable && weights.dtype() == DType::U8;
        check(codes && packed, OpFault::Type)?;
        let mut operands = Operands {
            x,
            y,
            constants: weights.elements(),
            scratch: 0,
        };
        if has_scratch {
            let scratch = op.need_scratch(0)?;
            check(scratch.dtype() == DType::U8, OpFault::Type)?;
            operands.scratch = scratch.elements();
            let scratch = scratch.range();
            let apart =
                disjoint(&operands.x.range(), &scratch) && disjoint(&operands.y.range(), &scratch);
            check(apart, OpFault::Aliasing)?;
        }
        Ok(operands)
    }
}
