//! `layer_normalization` of `i8`, in integers with one rounding at the end.
//!
//! Input 0: `i8 [rows, n]` in the arena, `n` at most [`MAX_ROW`]. Inputs 1 and 2: constants `G` and
//! `B`, `i32 [n]`. Output: `i8`, the shape of input 0, may replace it. Parameters: `K` in two words
//! (low first, below 2^63), `F` (0 to 31), y₀, minimum, maximum. Per row, with sums over it:
//!
//! ```text
//! d_i = n·x_i - Σx                      exact: n times the distance from the mean, in steps
//! V   = n·Σx² - (Σx)²                   exact: n² times the variance, in steps²
//! R   = ⌊√((V·2^32 + K)·2^32)⌋          2^32·√(V + κ), at least 1
//! y_i = (d_i·G_i·2^32 + B_i·R) / (R·2^F)   rounded half to even, plus y₀, limited
//! ```
//!
//! The compiler writes `K ≈ κ·2^32` with `κ = ε·n²/s_x²`, `G_i ≈ γ_i/s_y·2^F` and
//! `B_i ≈ β_i/s_y·2^F`, each rounded, with the largest `F` for which they fit. The zero point of x
//! cancels. Where a row is not constant, `V` is at least `n - 1`, so `R` is relatively off by less
//! than 2^-31, and `y_i` before its rounding by less than `(|z_i| + 1)·2^-(F+1) + |y_i|·2^-31`
//! steps, where `z_i` is the normalised value, at most `√n`: the code is the correctly rounded one
//! unless the real value is that near to a tie, and then at most one away. Six steps per element
//! and 64 per row.

use super::ratio::{check_code, long};
use super::{Kernel, elementwise, layer_normalization};
use crate::KernelId;
use crate::bytes::{copy, pieces_mut};
use crate::error::OpFault;
use crate::exact;
use crate::format::{DType, MAX_ROW, OpCode};
use crate::op::{Op, check, split};

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    id: KernelId::new(OpCode::LayerNormalization as u16, 1, 1),
    check: check_op,
    run,
};

const MAX_SHIFT: u32 = 31;

fn check_op(op: &Op) -> Result<u64, OpFault> {
    op.has(3, 6)?;
    check(long(&op.parameters(), 0) >= Some(0), OpFault::Parameters)?;
    let shift = op.parameters().need_u32(2)?;
    check(shift <= MAX_SHIFT, OpFault::Parameters)?;
    for word in 3..6 {
        check_code(op, word)?;
    }
    let ordered = op.parameters().i32(4) <= op.parameters().i32(5);
    check(ordered, OpFault::Parameters)?;
    layer_normalization::check_constants(op, DType::I32)?;
    let output = op.need_output(0)?;
    check(output.columns() <= MAX_ROW as usize, OpFault::Shape)?;
    let elements = elementwise::check_unary_of(op, DType::I8)?;
    let rows = (output.rows() as u64).saturating_mul(64);
    Ok(elements.saturating_mul(6).saturating_add(rows))
}

fn run(op: &Op, arena: &mut [u8]) -> Option<()> {
    let (x, y) = (op.input(0)?.info.range(), op.output(0)?);
    if x != y.range() {
        let (from, to) = split(arena, x, y.range())?;
        copy(from, to);
    }
    let gains = op.input(1)?.constant?.as_chunks().0;
    let offsets = op.input(2)?.constant?.as_chunks().0;
    let parameters = op.parameters();
    let (constant, shift) = (long(&parameters, 0)?.cast_unsigned(), parameters.u32(2)?);
    let (zero_point, minimum) = (parameters.i32(3)?, parameters.i32(4)?);
    let maximum = parameters.i32(5)?;
    for row in pieces_mut(arena.get_mut(y.range())?, y.columns()) {
        let (sum, variance) = moments(row);
        let root = deviation(variance, constant);
        let denominator = u128::from(root) << (shift & MAX_SHIFT);
        for (x, (gain, offset)) in row.iter_mut().zip(gains.iter().zip(offsets)) {
            let distance = i64::from(*x as i8).wrapping_mul(y.columns() as i64);
            let distance = i128::from(distance.wrapping_sub(sum));
            let scaled = (distance * i128::from(i32::from_le_bytes(*gain))) << 32;
            let shifted = i128::from(i32::from_le_bytes(*offset)) * i128::from(root);
            let code = exact::round_small(scaled + shifted, denominator) + zero_point;
            *x = code.max(minimum).min(maximum) as i8 as u8;
        }
    }
    Some(())
}

/// `Σx` and `V` of a row: below 2^23 and 2^46 in magnitude.
fn moments(row: &[u8]) -> (i64, u64) {
    let codes = row.iter().map(|&x| i64::from(x as i8));
    let (sum, squares) = codes.fold((0_i64, 0_i64), |(sum, squares), x| {
        (sum.wrapping_add(x), squares.wrapping_add(x.wrapping_mul(x)))
    });
    let count = row.len() as i64;
    let variance = count
        .wrapping_mul(squares)
        .wrapping_sub(sum.wrapping_mul(sum));
    (sum, variance.cast_unsigned())
}

/// `R`, bit by bit from the highest.
fn deviation(variance: u64, constant: u64) -> u64 {
    let mut rest = ((u128::from(variance) << 32) + u128::from(constant)) << 32;
    let (mut root, mut bit) = (0_u128, 1_u128 << 112);
    while bit > 0 {
        let candidate = root + bit;
        root >>= 1;
        if rest >= candidate {
            rest = rest.wrapping_sub(candidate);
            root += bit;
        }
        bit >>= 2;
    }
    (root as u64).max(1)
}
