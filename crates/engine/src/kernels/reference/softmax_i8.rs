//! `softmax` of `i8`: exponentials over the last axis, divided by their sum, in integers.
//!
//! Input 0: `i8 [rows, n]` in the arena, `n` at most [`MAX_ROW`]. Input 1: constant `i32 [m]`,
//! `m` from 1 to 256: `E_d`, a fixed-point `e^(-d·s_x)` for the codes `d` below the largest of the
//! row; from `m` on all are `E_(m-1)`. Each is at least 1 and none is above `E_0`. Output: `i8`,
//! the shape of input 0, may replace it.
//!
//! Parameters: D (1 to 2^24 - 1) and e (0 to 63) with the output's scale `D·2^-e`, zero point. Per
//! row: `m` is the largest code, `S = Σ E_(m - x_i)`, and `y_i` is `E_(m - x_i)·2^e / (S·D)`
//! rounded half to even, plus the zero point, limited to a byte. Five steps per element and one
//! per entry of the table.
//!
//! The compiler writes `E_d` as `2^30·e^(-d·s_x)`, rounded, but not below 1. Each entry is then off
//! by less than one unit of 2^-30, so `E/S` is off by less than `(1 + p·n)·2^-30` where the real
//! result is `p`, and a code is the correctly rounded one unless the real value divided by `s_y`
//! lies within `(1 + p·n)·2^-30 / s_y` of a tie; then it may be the other neighbour, one unit
//! away. With `s_y = 1/256` and 12 classes that is 3·10^-6 units at most.

use super::{Kernel, rescale};
use crate::KernelId;
use crate::bytes::pieces_mut;
use crate::error::OpFault;
use crate::exact;
use crate::format::{DType, MAX_ROW, OpCode};
use crate::op::{Kind, Op, Signature, check};

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    id: KernelId::new(OpCode::Softmax as u16, 1, 1),
    check: check_op,
    run,
};

const MAX_ENTRIES: usize = 256;

const SIGNATURE: Signature = Signature::new(
    &[Kind::placed(DType::I8), Kind::constant(DType::I32)],
    &[Kind::placed(DType::I8)],
    &[],
    3,
);

fn check_op(op: &Op) -> Result<u64, OpFault> {
    op.is(SIGNATURE)?;
    let [divisor, shift, zero_point] = op.parameters().words().ok_or(OpFault::Parameters)?;
    let valid = (1..1 << 24).contains(&divisor) && shift < 64;
    let valid = valid && rescale::is_code(zero_point.cast_signed());
    check(valid, OpFault::Parameters)?;
    let entries = op.constant(1).as_chunks::<4>().0;
    check(entries.len() <= MAX_ENTRIES, OpFault::Shape)?;
    let largest = entries.first().copied().map_or(0, i32::from_le_bytes);
    let within = |entry: &[u8; 4]| (1..=largest).contains(&i32::from_le_bytes(*entry));
    check(entries.iter().all(within), OpFault::Constant)?;
    let elements = op.is_in_place_or_apart()?;
    check(op.at(2).columns() <= MAX_ROW as usize, OpFault::Shape)?;
    Ok(elements * 5 + entries.len() as u64)
}

fn run(op: &Op, arena: &mut [u8]) -> Option<()> {
    let [divisor, shift, zero_point] = op.parameters().words()?;
    let (table, columns) = (op.constant(1), op.at(2).columns());
    let bytes = op.in_place(arena, 2)?;
    for row in pieces_mut(bytes, columns) {
        let largest = row.iter().fold(i8::MIN, |largest, &x| largest.max(x as i8));
        let mut sum = 0_u64;
        for &x in row.iter() {
            sum = sum.wrapping_add(exponential(table, largest, x).into());
        }
        let denominator = u128::from(sum).wrapping_mul(divisor.into());
        for x in row {
            let numerator = i128::from(exponential(table, largest, *x)) << (shift & 63);
            let code = exact::round_small(numerator, denominator) + zero_point.cast_signed();
            *x = code.clamp(-128, 127) as i8 as u8;
        }
    }
    Some(())
}

/// `E` of the distance between a code and the row's largest.
#[inline(never)]
fn exponential(table: &[u8], largest: i8, code: u8) -> u32 {
    let table = table.as_chunks::<4>().0;
    let entry = table.get(usize::from(largest.abs_diff(code as i8)));
    entry
        .or(table.last())
        .copied()
        .map_or(0, u32::from_le_bytes)
}
