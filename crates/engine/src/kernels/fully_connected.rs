//! `fully_connected`: dot products of every input row with every weight row, plus a bias.
//!
//! Variant 0, `f32`: inputs `x [rows, k]` in the arena, `weights [n, k]`, `bias [n]` constant;
//! output `[rows, n]`; parameters minimum and maximum `f32` (a folded activation). Products are
//! summed from element 0 upwards starting at 0.0, then the bias is added, then the result is
//! limited. `rows·n·k` steps.

use super::{Kernel, clamp};
use crate::KernelId;
use crate::bytes::f32s;
use crate::error::OpFault;
use crate::format::{DType, OpCode};
use crate::op::{Op, check, split};

pub(super) static F32: Kernel = Kernel {
    id: KernelId::new(OpCode::FullyConnected as u16, 1, 0),
    check: check_f32,
    run: run_f32,
};

/// Checks types and shapes of `x`, the weights and the output; gives the steps of one run.
fn check_shapes(op: &Op, input: DType, weights: DType, output: DType) -> Result<u64, OpFault> {
    let (x, w, y) = (op.need_input(0)?, op.need_input(1)?, op.need_output(0)?);
    x.in_arena(input)?;
    w.is_constant(weights)?;
    check(y.dtype == output, OpFault::Type)?;
    let (rows, k, n) = (x.info.rows(), x.info.columns(), y.columns());
    let weights_fit = w.info.rows() == n && w.info.columns() == k;
    check(weights_fit && y.rows() == rows, OpFault::Shape)?;
    op.output_is_apart()?;
    Ok((rows as u64)
        .saturating_mul(n as u64)
        .saturating_mul(k as u64))
}

fn check_f32(op: &Op) -> Result<u64, OpFault> {
    op.has(3, 2)?;
    let bias = op.need_input(2)?;
    bias.is_constant(DType::F32)?;
    bias.has_elements(op.need_output(0)?.columns())?;
    let parameters = op.parameters();
    check(
        parameters.need_f32(0)? <= parameters.need_f32(1)?,
        OpFault::Parameters,
    )?;
    check_shapes(op, DType::F32, DType::F32, DType::F32)
}

fn run_f32(op: &Op, arena: &mut [u8]) -> Option<()> {
    let (x, weights, bias) = (op.input(0)?, op.input(1)?.constant?, op.input(2)?.constant?);
    let (minimum, maximum) = (op.parameters().f32(0)?, op.parameters().f32(1)?);
    let output = op.output(0)?;
    let row_bytes = x.info.columns().checked_mul(4)?;
    let (inputs, outputs) = split(arena, x.info.range(), output.range())?;
    let rows = inputs.chunks_exact(row_bytes);
    for (input, result) in rows.zip(outputs.chunks_exact_mut(output.columns().checked_mul(4)?)) {
        let channels = weights.chunks_exact(row_bytes).zip(f32s(bias));
        for ((row, bias), y) in channels.zip(result.as_chunks_mut().0) {
            let sum = dot(input, row) + bias;
            *y = clamp::limit(sum, minimum, maximum).to_le_bytes();
        }
    }
    Some(())
}

/// The sum of products, from element 0 upwards.
#[inline(always)]
fn dot(a: &[u8], b: &[u8]) -> f32 {
    f32s(a).zip(f32s(b)).fold(0.0, |sum, (a, b)| sum + a * b)
}
