//! `reduce_mean` of `i8`: neighbouring axes to one element, exactly.
//!
//! Input 0: `i8` in the arena, seen as `[outer, reduced, inner]`, `reduced` at most 2^23. Output:
//! `i8` of `outer·inner` elements, apart from the input. Parameters: outer, reduced, inner, x₀, then
//! the eight words of a ratio (`ratio.rs`), whose numerator is `(Σx - reduced·x₀)·P` and whose
//! divisor holds `reduced`. One step per input element.

use super::ratio::{self, Ratio};
use super::{Kernel, reduce};
use crate::KernelId;
use crate::bytes::{pieces, pieces_mut};
use crate::error::OpFault;
use crate::format::{DType, OpCode};
use crate::op::{Op, check, split};

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
    op.has(1, RATIO + ratio::WORDS)?;
    check(Ratio::of(op, RATIO).is_some(), OpFault::Parameters)?;
    ratio::check_code(op, ZERO_POINT)?;
    let [_, reduced, _] = reduce::sizes(op).ok_or(OpFault::Parameters)?;
    check(reduced <= MAX_REDUCED, OpFault::Parameters)?;
    reduce::check_operands(op, DType::I8)
}

fn run(op: &Op, arena: &mut [u8]) -> Option<()> {
    let [_, length, stride] = reduce::sizes(op)?;
    let ratio = Ratio::of(op, RATIO)?;
    let zero = i64::from(op.parameters().i32(ZERO_POINT)?).wrapping_mul(length as i64);
    let (input, output) = split(arena, op.input(0)?.info.range(), op.output(0)?.range())?;
    let blocks = pieces(input, length.checked_mul(stride)?);
    for (block, results) in blocks.zip(pieces_mut(output, stride)) {
        for (position, y) in results.iter_mut().enumerate() {
            let sum = i64::from(sum(block.get(position..)?, stride)).wrapping_sub(zero);
            *y = ratio.code(i128::from(sum) * i128::from(ratio.factor));
        }
    }
    Some(())
}

/// The sum of every `stride`-th code.
fn sum(codes: &[u8], stride: usize) -> i32 {
    let chosen = codes.iter().step_by(stride.max(1));
    chosen.fold(0, |sum, &code| sum.wrapping_add(i32::from(code as i8)))
}
