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

use super::{Kernel, elementwise};
use crate::KernelId;
use crate::bytes::{array, copy, pieces_mut};
use crate::error::OpFault;
use crate::exact;
use crate::format::{DType, MAX_ROW, OpCode};
use crate::op::{Op, check, split};

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    id: KernelId::new(OpCode::Softmax as u16, 1, 1),
    check: check_op,
    run,
};

const MAX_ENTRIES: usize = 256;

fn check_op(op: &Op) -> Result<u64, OpFault> {
    op.has(2, 3)?;
    let (divisor, shift) = (op.parameters().need_u32(0)?, op.parameters().need_u32(1)?);
    let zero_point = op.parameters().need_i32(2)?;
    let valid = (1..1 << 24).contains(&divisor) && shift < 64;
    check(
        valid && (-128..=127).contains(&zero_point),
        OpFault::Parameters,
    )?;
    let table = op.need_input(1)?;
    table.is_constant(DType::I32)?;
    check(table.info.elements() <= MAX_ENTRIES, OpFault::Shape)?;
    let entries = table.constant.unwrap_or_default().as_chunks::<4>().0;
    let (one, largest) = (
        1,
        i32::from_le_bytes(entries.first().copied().unwrap_or_default()),
    );
    let within = |entry: &[u8; 4]| (one..=largest).contains(&i32::from_le_bytes(*entry));
    check(entries.iter().all(within), OpFault::Constant)?;
    let rows = elementwise::check_unary_of(op, DType::I8)?;
    check(
        op.need_output(0)?.columns() <= MAX_ROW as usize,
        OpFault::Shape,
    )?;
    Ok(rows.saturating_mul(5).saturating_add(entries.len() as u64))
}

fn run(op: &Op, arena: &mut [u8]) -> Option<()> {
    let (x, table, y) = (op.input(0)?.info, op.input(1)?.constant?, op.output(0)?);
    if x.range() != y.range() {
        let (from, to) = split(arena, x.range(), y.range())?;
        copy(from, to);
    }
    let (divisor, shift) = (op.parameters().u32(0)?, op.parameters().u32(1)?);
    let zero_point = op.parameters().i32(2)?;
    for row in pieces_mut(arena.get_mut(y.range())?, y.columns()) {
        let largest = row.iter().map(|&x| x as i8).max()?;
        let sum: u64 = row
            .iter()
            .filter_map(|&x| exponential(table, largest, x))
            .sum();
        let denominator = u128::from(sum).wrapping_mul(u128::from(divisor));
        for x in row {
            let numerator = i128::from(exponential(table, largest, *x)?) << (shift & 63);
            let code = exact::round_small(numerator, denominator) + zero_point;
            *x = code.clamp(-128, 127) as i8 as u8;
        }
    }
    Some(())
}

/// `E` of the distance between a code and the row's largest.
fn exponential(table: &[u8], largest: i8, code: u8) -> Option<u64> {
    let last = (table.len() / 4).checked_sub(1)?;
    let distance = usize::from(largest.abs_diff(code as i8)).min(last);
    array(table, 4 * distance).map(|entry| u64::from(u32::from_le_bytes(entry)))
}
