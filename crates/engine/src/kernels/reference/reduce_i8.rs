//! `reduce_mean` of `i8`: neighbouring axes to one element, exactly.
//!
//! Input 0: `i8` in the arena, seen as `[outer, reduced, inner]`, `reduced` at most 2^23. Output:
//! `i8` of `outer·inner` elements, apart from the input. Parameters: outer, reduced, inner, x₀, then
//! the eight words of a ratio (`ratio.rs`), whose numerator is `(Σx - reduced·x₀)·P` and whose
//! divisor holds `reduced`. One step per input element.

use super::ratio::{self, Ratio};
use super::{Kernel, reduce};
use crate::KernelId;
use crate::bytes::pieces_mut;
use crate::error::OpFault;
use crate::format::{DType, OpCode};
use crate::op::{Op, check, split};
use dunlin_kernels::{LANES, sum_channels};

pub(in crate::kernels) static MEAN: Kernel = Kernel {
    id: KernelId::new(OpCode::ReduceMean as u16, 1, 1),
    check: check_op,
    run,
};

/// Position of x₀.
const ZERO_POINT: usize = 3;
/// Position of the ratio.
const RATIO: usize = 4;
/// Longest axis: 128·2^23 is below 2^31.
const MAX_REDUCED: usize = 1 << 23;

fn check_op(op: &Op) -> Result<u64, OpFault> {
    let elements = reduce::check_operands(op, DType::I8, RATIO + ratio::WORDS)?;
    check(Ratio::of(op, RATIO).is_some(), OpFault::Parameters)?;
    ratio::check_code(op, ZERO_POINT)?;
    let [_, reduced, _] = reduce::sizes(op).ok_or(OpFault::Parameters)?;
    check(reduced <= MAX_REDUCED, OpFault::Parameters)?;
    Ok(elements)
}

fn run(op: &Op, arena: &mut [u8]) -> Option<()> {
    let [_, length, stride] = reduce::sizes(op)?;
    let ratio = Ratio::of(op, RATIO)?;
    let zero = op.parameters().i32(ZERO_POINT)?.wrapping_mul(length as i32);
    let (mut input, output) = split(arena, op.at(0).range(), op.at(1).range())?;
    for results in pieces_mut(output, stride) {
        for (block, results) in results.chunks_mut(LANES).enumerate() {
            let first = input.get(block * LANES..).unwrap_or_default();
            let sums = sum_channels(first, stride, length);
            for (y, sum) in results.iter_mut().zip(sums) {
                // Below 2^31: a distance of bytes times `MAX_REDUCED`.
                *y = ratio.code_of_sum(sum.wrapping_sub(zero), 1);
            }
        }
        input = input.get(length.wrapping_mul(stride)..).unwrap_or_default();
    }
    Some(())
}
