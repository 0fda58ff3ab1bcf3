//! `mat_mul` of `i8`: products of matrices, either of them constant or computed, exactly.
//!
//! Inputs, output and the first six parameters as for `f32` (`mat_mul.rs`), all tensors `i8`, `k`
//! at most 2^15. Then a₀, b₀ and the eight words of a ratio (`ratio.rs`), whose numerator is
//! `Σ(a - a₀)(b - b₀)·P`. `batch·m·k·n` steps.

use super::Kernel;
use super::mat_mul::{self, Sizes};
use super::ratio::{self, Ratio};
use crate::KernelId;
use crate::bytes::put;
use crate::error::OpFault;
use crate::format::{DType, OpCode};
use crate::op::{Op, check};

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    id: KernelId::new(OpCode::MatMul as u16, 1, 1),
    check: check_op,
    run,
};

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
    let zeros = (zero(ZERO_POINTS)?, zero(ZERO_POINTS + 1)?);
    let (m, k, n) = (sizes.m, sizes.k, sizes.n);
    let mut place = y.range().start;
    for matrix in 0..sizes.batch {
        let a_start = matrix * sizes.a_batched * m * k;
        let b_start = matrix * sizes.b_batched * k * n;
        for row in 0..m {
            for column in 0..n {
                let left = a.bytes(arena)?.get(a_start + row * k..)?.get(..k)?;
                let right = b.bytes(arena)?.get(b_start + column..)?;
                let sum = dot(left, right.iter().step_by(n.max(1)), zeros);
                let numerator = i128::from(sum) * i128::from(ratio.factor);
                put(arena, place, [ratio.code(numerator)])?;
                place += 1;
            }
        }
    }
    Some(())
}

/// A row of `a` times a column of `b`.
fn dot<'b>(row: &[u8], column: impl Iterator<Item = &'b u8>, (a_zero, b_zero): (i32, i32)) -> i32 {
    let products = row.iter().zip(column).map(|(&a, &b)| {
        let (a, b) = (i32::from(a as i8), i32::from(b as i8));
        a.wrapping_sub(a_zero).wrapping_mul(b.wrapping_sub(b_zero))
    });
    products.fold(0, i32::wrapping_add)
}
