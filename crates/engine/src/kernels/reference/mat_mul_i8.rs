//! `mat_mul` of `i8`: products of matrices, either of them constant or computed, exactly.
//!
//! Inputs, output and the first six parameters as for `f32` (`mat_mul.rs`), all tensors `i8`, `k`
//! at most 2^15. Then a₀, b₀ and the eight words of a ratio (`ratio.rs`), whose numerator is
//! `Σ(a - a₀)(b - b₀)·P`. `batch·m·k·n` steps.

use super::Kernel;
use super::mat_mul::{self, Sizes};
use super::ratio::{self, Ratio};
use crate::KernelId;
use crate::bytes::{copy, put};
use crate::error::OpFault;
use crate::format::{DType, OpCode};
use crate::op::{Op, check};

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    id: KernelId::new(OpCode::MatMul as u16, 1, 1),
    check: check_op,
    run,
};

/// Columns of `b` that are taken together.
const LANES: usize = 4;
/// Position of a₀ and b₀.
const ZERO_POINTS: usize = 6;
/// Position of the ratio.
const RATIO: usize = 8;
/// Longest dot product: 255·255·2^15 is below 2^31.
const MAX_LENGTH: usize = 1 << 15;

fn check_op(op: &Op) -> Result<u64, OpFault> {
    op.has(2, RATIO + ratio::WORDS)?;
    check(Ratio::of(op, RATIO).is_some(), OpFault::Parameters)?;
    ratio::check_code(op, ZERO_POINTS)?;
    ratio::check_code(op, ZERO_POINTS + 1)?;
    let sizes = Sizes::of(op).ok_or(OpFault::Parameters)?;
    check(sizes.k <= MAX_LENGTH, OpFault::Parameters)?;
    mat_mul::check_operands(op, DType::I8)
}

fn run(op: &Op, arena: &mut [u8]) -> Option<()> {
    let (a, b, y) = (op.input(0)?, op.input(1)?, op.output(0)?);
    let (sizes, ratio) = (Sizes::of(op)?, Ratio::of(op, RATIO)?);
    let zero = |word| op.parameters().i32(word);
    let zeros = [zero(ZERO_POINTS)?, zero(ZERO_POINTS + 1)?];
    let (m, k, n) = (sizes.m, sizes.k, sizes.n);
    let mut place = y.range().start;
    for matrix in 0..sizes.batch {
        let a_start = matrix * sizes.a_batched * m * k;
        let b_start = matrix * sizes.b_batched * k * n;
        for row in 0..m {
            for first in (0..n).step_by(LANES) {
                let left = a.bytes(arena)?.get(a_start + row * k..)?.get(..k)?;
                let right = b.bytes(arena)?.get(b_start + first..)?;
                let sums = dots(left, right, n, zeros);
                for sum in sums.into_iter().take(n - first) {
                    let numerator = i128::from(sum) * i128::from(ratio.factor);
                    put(arena, place, [ratio.code(numerator)])?;
                    place += 1;
                }
            }
        }
    }
    Some(())
}

/// A row of `a` times the first columns of `b`, whose lines are `n` apart, as `Σ(a - a₀)b - b₀·Σ(a - a₀)`: about 5
/// instructions for a product on a Cortex-M4.
#[inline(never)]
fn dots(row: &[u8], b: &[u8], n: usize, [a_zero, b_zero]: [i32; 2]) -> [i32; LANES] {
    let ([mut s0, mut s1, mut s2, mut s3], mut total) = ([0_i32; LANES], 0_i32);
    let mut b = b;
    for &a in row {
        let a = i32::from(a as i8).wrapping_sub(a_zero);
        total = total.wrapping_add(a);
        // As a word, which is loaded and taken apart with less than four bytes are.
        let lanes = b.first_chunk().copied().unwrap_or_else(|| filled_up(b));
        let lanes = u32::from_le_bytes(lanes);
        let product = |lane: u32| a.wrapping_mul(i32::from((lanes >> lane) as i8));
        s0 = s0.wrapping_add(product(0));
        s1 = s1.wrapping_add(product(8));
        s2 = s2.wrapping_add(product(16));
        s3 = s3.wrapping_add(product(24));
        b = b.get(n..).unwrap_or_default();
    }
    [s0, s1, s2, s3].map(|sum| sum.wrapping_sub(b_zero.wrapping_mul(total)))
}

/// The last elements of `b`.
#[cold]
#[inline(never)]
fn filled_up(b: &[u8]) -> [u8; LANES] {
    let mut lanes = [0; LANES];
    copy(b, &mut lanes);
    lanes
}
