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
mod pixels;

pub use pixels::Walk;

use crate::error::OpFault;
use crate::format::DType;
use crate::op::{Op, check, disjoint};
use dunlin_kernels::Layer;

/// Limits that say nothing.
const ALL: (i8, i8) = (i8::MIN, i8::MAX);

/// Lowest and highest result, in the two low bytes of a word.
fn limits(word: u32) -> (i8, i8) {
    let [low, high, _, _] = word.to_le_bytes();
    (low as i8, high as i8)
}

/// Holds `bytes` to the limits.
fn limit(bytes: &mut [u8], limits: (i8, i8)) {
    if limits != ALL {
        for byte in bytes {
            *byte = (*byte as i8).max(limits.0).min(limits.1) as u8;
        }
    }
}

/// Checks the operands `x`, constants, output and scratch that packed kernels have.
fn check_operands(op: &Op, words: usize, has_scratch: bool) -> Result<(), OpFault> {
    let record = op.record;
    let counts = (record.inputs, record.outputs, record.scratch) == (2, 1, has_scratch.into());
    check(counts, OpFault::Operands)?;
    check(
        record.parameters_bytes as usize == 4 * words,
        OpFault::Parameters,
    )?;
    let (x, y) = (op.need_input(0)?, op.need_output(0)?);
    x.in_arena(DType::I8)?;
    op.need_input(1)?.is_constant(DType::U8)?;
    check(y.dtype == DType::I8, OpFault::Type)?;
    if has_scratch {
        let scratch = op.need_scratch(0)?;
        check(scratch.dtype == DType::U8, OpFault::Type)?;
        let scratch = scratch.range();
        let apart = disjoint(&x.info.range(), &scratch) && disjoint(&y.range(), &scratch);
        check(apart, OpFault::Aliasing)?;
    }
    Ok(())
}

/// The groups of a layer, as the kernel's constants hold them.
fn layer(groups: &[u8], steps: usize, shift: u32) -> Layer<'_> {
    Layer {
        groups,
        steps,
        shift,
    }
}
