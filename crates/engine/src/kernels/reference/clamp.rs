//! `clamp`: limits every `f32` element to a closed interval.
//!
//! Input 0: `f32`, any shape. Output: the same shape, may replace the input.
//! Parameters: minimum `f32`, maximum `f32`. A NaN stays NaN. One step per element.

use super::Kernel;
use super::elementwise;
use crate::KernelId;
use crate::error::OpFault;
use crate::format::OpCode;
use crate::op::{Op, check};

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    id: KernelId::new(OpCode::Clamp as u16, 1, 0),
    check: check_op,
    run,
};

fn check_op(op: &Op) -> Result<u64, OpFault> {
    op.has(1, 2)?;
    let parameters = op.parameters();
    let (minimum, maximum) = (parameters.need_f32(0)?, parameters.need_f32(1)?);
    check(minimum <= maximum, OpFault::Parameters)?;
    elementwise::check_unary(op)
}

fn run(op: &Op, arena: &mut [u8]) -> Option<()> {
    let (minimum, maximum) = (op.parameters().f32(0)?, op.parameters().f32(1)?);
    elementwise::map(op, arena, |x| limit(x, minimum, maximum))
}

/// `x` limited to `minimum..=maximum`; a NaN stays NaN.
#[inline(always)]
pub(super) fn limit(x: f32, minimum: f32, maximum: f32) -> f32 {
    if x < minimum {
        minimum
    } else if x > maximum {
        maximum
    } else {
        x
    }
}
