//! `fully_connected`: dot products of every input row with every weight row, plus a bias.
//!
//! Inputs `x [rows, k]` in the arena and `weights [n, k]` constant, output `[rows, n]` apart from
//! `x`, `k` at most [`MAX_ROW`]. `rows·n·k` steps.
//!
//! | variant | `x`, weights → output | further constants | parameters |
//! |---|---|---|---|
//! | 0 | `f32`, `f32` → `f32` | `bias f32 [n]` | minimum, maximum |
//! | 1 | `i8`, `i8` → `i8` | multipliers, offsets | w₀, divisor, y₀, minimum, maximum |
//! | 2 | `i8`, `i8` → `f32` | multipliers, offsets | w₀, minimum, maximum |
//!
//! Minimum and maximum are a folded activation. Variant 0 sums products from element 0 upwards,
//! starting at 0.0, then adds the bias. Variants 1 and 2 compute `Σ x(w - w₀)·P + Q` exactly
//! (`exact.rs` has the derivation): a multiplier entry is `P` in 7 bytes and `shift` in one, an
//! offset entry is `Q` in 12 bytes, two's complement. Multipliers have one entry, or one per
//! output; offsets have one per output. Variant 1 divides by `divisor·2^shift`, rounds half to
//! even, adds y₀ and limits. Variant 2 rounds the numerator to `f32` once and divides by
//! `2^shift`; a bias finer than the steps of `P` is off by less than one of them.

use super::dot::{correction, dot_rows, dot_rows_f32};
use super::rescale::{self, Channels, ToF32, ToI8};
use super::{Kernel, clamp};
use crate::KernelId;
use crate::bytes::{f32_at, pieces, pieces_mut};
use crate::error::OpFault;
use crate::format::{DType, MAX_ROW, OpCode};
use crate::op::{Op, check, split};

pub(in crate::kernels) static F32: Kernel = Kernel {
    id: id(0),
    check: check_f32,
    run: run_f32,
};
pub(in crate::kernels) static I8: Kernel = Kernel {
    id: id(1),
    check: check_i8,
    run: run_i8,
};
pub(in crate::kernels) static I8_TO_F32: Kernel = Kernel {
    id: id(2),
    check: check_i8_to_f32,
    run: run_i8_to_f32,
};

const fn id(variant: u8) -> KernelId {
    KernelId::new(OpCode::FullyConnected as u16, 1, variant)
}

/// Checks types and shapes of `x`, the weights and the output; gives the steps of one run.
fn check_shapes(op: &Op, element: DType, output: DType) -> Result<u64, OpFault> {
    let (x, w, y) = (op.need_input(0)?, op.need_input(1)?, op.need_output(0)?);
    x.in_arena(element)?;
    w.is_constant(element)?;
    check(y.dtype() == output, OpFault::Type)?;
    let (rows, k, n) = (x.info.rows(), x.info.columns(), y.columns());
    let weights_fit = w.info.rows() == n && w.info.columns() == k && k <= MAX_ROW as usize;
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
    check_shapes(op, DType::F32, DType::F32)
}

fn check_i8(op: &Op) -> Result<u64, OpFault> {
    op.has(4, ToI8::WORDS)?;
    ToI8::check(op)?;
    check_shapes(op, DType::I8, DType::I8)
}

fn check_i8_to_f32(op: &Op) -> Result<u64, OpFault> {
    op.has(4, ToF32::WORDS)?;
    ToF32::check(op)?;
    check_shapes(op, DType::I8, DType::F32)
}

fn run_f32(op: &Op, arena: &mut [u8]) -> Option<()> {
    let biases = op.input(2)?.constant?;
    let (minimum, maximum) = (op.parameters().f32(0)?, op.parameters().f32(1)?);
    let sums = |x: &[u8], rows: [&[u8]; 2], _| dot_rows_f32([0.0; 2], x, rows);
    let bias = |index: usize| f32_at(biases, index.checked_mul(4)?);
    for_each_channel(op, arena, (|_| 0, sums), bias, |sum, bias, y| {
        *y = clamp::limit(sum + bias, minimum, maximum).to_le_bytes();
    })
}

fn run_i8(op: &Op, arena: &mut [u8]) -> Option<()> {
    let target = ToI8::read(op)?;
    for_each_numerator(op, arena, |numerator, shift, y| {
        target.write(numerator, shift, y);
    })
}

fn run_i8_to_f32(op: &Op, arena: &mut [u8]) -> Option<()> {
    let target = ToF32::read(op)?;
    for_each_numerator(op, arena, |numerator, shift, y| {
        target.write(numerator, shift, y);
    })
}

/// Gives `write` the exact numerator, the shift and the output element of every channel.
#[inline(always)]
fn for_each_numerator<const N: usize>(
    op: &Op,
    arena: &mut [u8],
    write: impl Fn(i128, u32, &mut [u8; N]),
) -> Option<()> {
    let (channels, w0) = (Channels::of(op)?, rescale::weight_zero_point(op)?);
    let sums = (|x: &[u8]| correction(x, w0), dot_rows);
    let each = |index| channels.get(index);
    for_each_channel(op, arena, sums, each, |sum, channel, y| {
        write(channel.numerator(sum), channel.shift, y);
    })
}

/// Gives `write` the sum, the constants and the output element of every channel; the sums of two channels are taken
/// together, with what they need of their input beside it.
#[inline(always)]
fn for_each_channel<S, C, const N: usize>(
    op: &Op,
    arena: &mut [u8],
    (prepare, sums): (
        impl Fn(&[u8]) -> i32,
        impl Fn(&[u8], [&[u8]; 2], i32) -> [S; 2],
    ),
    constants: impl Fn(usize) -> Option<C>,
    write: impl Fn(S, C, &mut [u8; N]),
) -> Option<()> {
    let (x, weights, output) = (op.input(0)?.info, op.input(1)?.constant?, op.output(0)?);
    let row_bytes = x.columns().checked_mul(x.dtype().bytes())?;
    let row = |index: usize| {
        weights
            .get(index.checked_mul(row_bytes)?..)?
            .get(..row_bytes)
    };
    let (inputs, outputs) = split(arena, x.range(), output.range())?;
    let result_rows = pieces_mut(outputs, output.columns().checked_mul(N)?);
    for (input, results) in pieces(inputs, row_bytes).zip(result_rows) {
        let results: &mut [[u8; N]] = results.as_chunks_mut().0;
        let (last, prepared) = (results.len().checked_sub(1)?, prepare(input));
        for first in (0..=last).step_by(2) {
            let second = first.checked_add(1)?.min(last);
            let sums = sums(input, [row(first)?, row(second)?], prepared);
            for (index, sum) in (first..=second).zip(sums) {
                write(sum, constants(index)?, results.get_mut(index)?);
            }
        }
    }
    Some(())
}
