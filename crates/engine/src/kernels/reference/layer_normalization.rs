//! `layer_normalization`: rows brought to mean 0 and variance 1, then scaled and shifted.
//!
//! Input 0: `f32 [rows, n]` in the arena. Inputs 1 and 2: constants γ and β, `f32 [n]`. Output: the
//! shape of input 0, may replace it. Parameter: ε, not negative. Per row, sums from element 0
//! upwards: `μ = Σx / n`, `v = Σ(x - μ)² / n`, `y = (x - μ) / √(v + ε)·γ + β`. Four steps per
//! element.

use super::{Kernel, elementwise};
use crate::KernelId;
use crate::bytes::{f32s, pieces_mut};
use crate::error::OpFault;
use crate::format::{DType, OpCode};
use crate::op::{Op, check};

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    id: KernelId::new(OpCode::LayerNormalization as u16, 1, 0),
    check: check_op,
    run,
};

fn check_op(op: &Op) -> Result<u64, OpFault> {
    op.has(3, 1)?;
    check(op.parameters().need_f32(0)? >= 0.0, OpFault::Parameters)?;
    check_constants(op, DType::F32)?;
    Ok(elementwise::check_unary(op)?.saturating_mul(4))
}

/// Two constants with one element per column.
pub(super) fn check_constants(op: &Op, element: DType) -> Result<(), OpFault> {
    for position in [1, 2] {
        let constant = op.need_input(position)?;
        constant.is_constant(element)?;
        constant.has_elements(op.need_output(0)?.columns())?;
    }
    Ok(())
}

fn run(op: &Op, arena: &mut [u8]) -> Option<()> {
    let epsilon = op.parameters().f32(0)?;
    let (gain, offset) = (op.input(1)?.constant?, op.input(2)?.constant?);
    let output = op.output(0)?;
    elementwise::map(op, arena, |x| x)?;
    let bytes = arena.get_mut(output.range())?;
    for row in pieces_mut(bytes, output.columns().checked_mul(4)?) {
        let count = output.columns() as f32;
        let mean = f32s(row).fold(0.0, |sum, x| sum + x) / count;
        let squares = f32s(row).map(|x| (x - mean) * (x - mean));
        let variance = squares.fold(0.0, |sum, square| sum + square) / count;
        let deviation = libm::sqrtf(variance + epsilon);
        let constants = f32s(gain).zip(f32s(offset));
        for (element, (gain, offset)) in row.as_chunks_mut().0.iter_mut().zip(constants) {
            let unit = (f32::from_le_bytes(*element) - mean) / deviation;
            *element = (unit * gain + offset).to_le_bytes();
        }
    }
    Some(())
}
