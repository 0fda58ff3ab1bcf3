//! `abs`, `sqrt`, `log`, `exp`, `neg`, `tanh`, `sigmoid`: one `f32` in, one out.
//!
//! Input 0: `f32`, any shape, in the arena. Output: the same shape, may replace the input. No
//! parameters. `abs`, `neg` and `sqrt` are exact IEEE operations; the others are `libm`'s. Domain
//! errors give what IEEE says (`log(-1)` and `sqrt(-1)` are NaN, `log(0)` is -∞). One step per
//! element.

use super::{Kernel, elementwise};
use crate::KernelId;
use crate::error::OpFault;
use crate::format::OpCode;
use crate::op::Op;

macro_rules! kernel {
    ($name:ident, $op:ident, $function:expr) => {
        pub(in crate::kernels) static $name: Kernel = Kernel {
            id: KernelId::new(OpCode::$op as u16, 1, 0),
            check,
            run: |op, arena| run(op, arena, $function),
        };
    };
}

kernel!(ABS, Abs, f32::abs);
kernel!(SQRT, Sqrt, libm::sqrtf);
kernel!(LOG, Log, libm::logf);
kernel!(EXP, Exp, libm::expf);
kernel!(NEG, Neg, |x: f32| -x);
kernel!(TANH, Tanh, libm::tanhf);
kernel!(SIGMOID, Sigmoid, sigmoid);

fn check(op: &Op) -> Result<u64, OpFault> {
    op.has(1, 0)?;
    elementwise::check_unary(op)
}

/// One copy of the loop for all functions: a call per element costs less than it saves in flash.
#[inline(never)]
fn run(op: &Op, arena: &mut [u8], f: fn(f32) -> f32) -> Option<()> {
    elementwise::map(op, arena, f)
}

/// `1/(1 + e^-x)`, by the form whose exponential cannot overflow.
pub(super) fn sigmoid(x: f32) -> f32 {
    let exponential = libm::expf(-x.abs());
    let positive = 1.0 / (1.0 + exponential);
    if x < 0.0 {
        exponential * positive
    } else {
        positive
    }
}
