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

use super::{Kernel, clamp};
use crate::KernelId;
use crate::bytes::{array, f32s, pieces, pieces_mut};
use crate::error::OpFault;
use crate::exact;
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

const MULTIPLIER_BYTES: usize = 8;
const OFFSET_BYTES: usize = 12;
/// Largest shift of variant 2, so that `2^-shift` is a normal `f32`.
const MAX_F32_SHIFT: u8 = 126;

const fn id(variant: u8) -> KernelId {
    KernelId::new(OpCode::FullyConnected as u16, 1, variant)
}

/// Checks types and shapes of `x`, the weights and the output; gives the steps of one run.
fn check_shapes(op: &Op, element: DType, output: DType) -> Result<u64, OpFault> {
    let (x, w, y) = (op.need_input(0)?, op.need_input(1)?, op.need_output(0)?);
    x.in_arena(element)?;
    w.is_constant(element)?;
    check(y.dtype == output, OpFault::Type)?;
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
    op.has(4, 5)?;
    check_rescaling(op, 127)?;
    let parameters = op.parameters();
    let divisor = parameters.need_u32(1)?;
    let (zero_point, minimum, maximum) = (
        parameters.need_i32(2)?,
        parameters.need_i32(3)?,
        parameters.need_i32(4)?,
    );
    let ordered = -128 <= minimum && minimum <= maximum && maximum <= 127;
    let within = (1..1 << 24).contains(&divisor) && (-128..=127).contains(&zero_point);
    check(ordered && within, OpFault::Parameters)?;
    check_shapes(op, DType::I8, DType::I8)
}

fn check_i8_to_f32(op: &Op) -> Result<u64, OpFault> {
    op.has(4, 3)?;
    check_rescaling(op, MAX_F32_SHIFT)?;
    let parameters = op.parameters();
    check(
        parameters.need_f32(1)? <= parameters.need_f32(2)?,
        OpFault::Parameters,
    )?;
    check_shapes(op, DType::I8, DType::F32)
}

fn check_rescaling(op: &Op, max_shift: u8) -> Result<(), OpFault> {
    let (multipliers, offsets) = (op.need_input(2)?, op.need_input(3)?);
    multipliers.is_constant(DType::U8)?;
    offsets.is_constant(DType::U8)?;
    let channels = op.need_output(0)?.columns();
    let entries = multipliers.info.elements() / MULTIPLIER_BYTES;
    multipliers.has_elements(entries.saturating_mul(MULTIPLIER_BYTES))?;
    check(entries == channels || entries == 1, OpFault::Shape)?;
    offsets.has_elements(channels.saturating_mul(OFFSET_BYTES))?;
    let table = multipliers
        .constant
        .unwrap_or_default()
        .as_chunks::<MULTIPLIER_BYTES>()
        .0;
    let valid = table.iter().all(|&[.., shift]| shift <= max_shift);
    check(valid, OpFault::Constant)?;
    check(
        (-128..=127).contains(&op.parameters().need_i32(0)?),
        OpFault::Parameters,
    )
}

fn run_f32(op: &Op, arena: &mut [u8]) -> Option<()> {
    let (x, weights, bias) = (op.input(0)?, op.input(1)?.constant?, op.input(2)?.constant?);
    let (minimum, maximum) = (op.parameters().f32(0)?, op.parameters().f32(1)?);
    let output = op.output(0)?;
    let row_bytes = x.info.columns().checked_mul(4)?;
    let (inputs, outputs) = split(arena, x.info.range(), output.range())?;
    let rows = pieces(inputs, row_bytes);
    for (input, result) in rows.zip(pieces_mut(outputs, output.columns().checked_mul(4)?)) {
        let channels = pieces(weights, row_bytes).zip(f32s(bias));
        for ((row, bias), y) in channels.zip(result.as_chunks_mut().0) {
            let sum = dot_f32(input, row) + bias;
            *y = clamp::limit(sum, minimum, maximum).to_le_bytes();
        }
    }
    Some(())
}

fn run_i8(op: &Op, arena: &mut [u8]) -> Option<()> {
    let parameters = op.parameters();
    let (divisor, zero_point) = (parameters.u32(1)?, parameters.i32(2)?);
    let (minimum, maximum) = (parameters.i32(3)?, parameters.i32(4)?);
    for_each_channel(op, arena, |numerator, shift, [y]: &mut [u8; 1]| {
        let rounded = exact::round_ratio(numerator, divisor, shift);
        *y = rounded.saturating_add(zero_point).max(minimum).min(maximum) as i8 as u8;
    })
}

fn run_i8_to_f32(op: &Op, arena: &mut [u8]) -> Option<()> {
    let (minimum, maximum) = (op.parameters().f32(1)?, op.parameters().f32(2)?);
    for_each_channel(op, arena, |numerator, shift, y: &mut [u8; 4]| {
        let unit = f32::from_bits(127_u32.saturating_sub(shift) << 23);
        *y = clamp::limit(numerator as f32 * unit, minimum, maximum).to_le_bytes();
    })
}

/// Gives `write` the exact numerator, the shift and the output element of every channel.
#[inline(always)]
fn for_each_channel<const N: usize>(
    op: &Op,
    arena: &mut [u8],
    write: impl Fn(i128, u32, &mut [u8; N]),
) -> Option<()> {
    let (x, weights) = (op.input(0)?.info, op.input(1)?.constant?);
    let multipliers = op.input(2)?.constant?.as_chunks::<MULTIPLIER_BYTES>().0;
    let offsets = op.input(3)?.constant?.as_chunks::<OFFSET_BYTES>().0;
    let weight_zero_point = op.parameters().i32(0)?;
    let output = op.output(0)?;
    let (inputs, outputs) = split(arena, x.range(), output.range())?;
    let result_rows = pieces_mut(outputs, output.columns().checked_mul(N)?);
    for (input, result) in pieces(inputs, x.columns()).zip(result_rows) {
        let per_channel = multipliers.iter().cycle().zip(offsets);
        let channels = pieces(weights, x.columns()).zip(per_channel);
        for ((row, (multiplier, offset)), y) in channels.zip(result.as_chunks_mut().0) {
            let sum = i128::from(dot_i8(input, row, weight_zero_point));
            let (factor, shift) = decode_multiplier(multiplier);
            let numerator = sum.wrapping_mul(factor).wrapping_add(decode_offset(offset));
            write(numerator, shift, y);
        }
    }
    Some(())
}

/// `P` and the shift.
fn decode_multiplier(entry: &[u8; MULTIPLIER_BYTES]) -> (i128, u32) {
    let code = u64::from_le_bytes(*entry);
    (i128::from(code & (u64::MAX >> 8)), (code >> 56) as u32)
}

fn decode_offset(entry: &[u8; OFFSET_BYTES]) -> i128 {
    let low = array(entry, 0).map_or(0, u64::from_le_bytes);
    let high = array(entry, 8).map_or(0, i32::from_le_bytes);
    i128::from(high) << 64 | i128::from(low)
}

/// The sum of products, from element 0 upwards.
#[inline(always)]
fn dot_f32(a: &[u8], b: &[u8]) -> f32 {
    f32s(a).zip(f32s(b)).fold(0.0, |sum, (a, b)| sum + a * b)
}

/// `Σ x(w - w₀)`. Below 2^31 in magnitude for rows up to [`MAX_ROW`].
#[inline(always)]
fn dot_i8(x: &[u8], w: &[u8], weight_zero_point: i32) -> i32 {
    let products = x.iter().zip(w).map(|(&x, &w)| {
        let (x, w) = (i32::from(x as i8), i32::from(w as i8));
        x.wrapping_mul(w.wrapping_sub(weight_zero_point))
    });
    products.fold(0, i32::wrapping_add)
}
