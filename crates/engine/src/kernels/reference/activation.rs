//! `leaky_relu`, `hard_sigmoid`, `hard_swish`, `erf`: one `f32` in, one out.
//!
//! Input 0: `f32`, any shape, in the arena. Output: the same shape, may replace the input. One step
//! per element.
//!
//! | op | parameters | result |
//! |---|---|---|
//! | `leaky_relu` | α | `x` where it is not below 0, else `x·α` |
//! | `hard_sigmoid` | α, β | `x·α + β` limited to 0 and 1 |
//! | `hard_swish` | – | `x` times `x·(1/6) + 0.5` limited to 0 and 1, 1/6 the nearest `f32` |
//! | `erf` | – | `libm`'s |
//!
//! Every operation rounds to `f32` in the order written. A NaN stays NaN.

use super::{Kernel, clamp, elementwise};
use crate::KernelId;
use crate::error::OpFault;
use crate::format::OpCode;
use crate::op::{Op, check};

macro_rules! kernel {
    ($name:ident, $op:ident, $parameters:literal, $function:expr) => {
        pub(in crate::kernels) static $name: Kernel = Kernel {
            id: KernelId::new(OpCode::$op as u16, 1, 0),
            check: |op| check_op(op, $parameters),
            run: |op, arena| run(op, arena, $function),
        };
    };
}

kernel!(LEAKY_RELU, LeakyRelu, 1, |x, [alpha, _]| match x < 0.0 {
    true => x * alpha,
    false => x,
});
kernel!(HARD_SIGMOID, HardSigmoid, 2, |x, [alpha, beta]| unit(
    x * alpha + beta
));
kernel!(HARD_SWISH, HardSwish, 0, |x, _| x * unit(x * SIXTH + 0.5));
kernel!(ERF, Erf, 0, |x, _| libm::erff(x));

const SIXTH: f32 = 1.0 / 6.0;

fn unit(x: f32) -> f32 {
    clamp::limit(x, 0.0, 1.0)
}

fn check_op(op: &Op, parameters: usize) -> Result<u64, OpFault> {
    op.has(1, parameters)?;
    for word in 0..parameters {
        let finite = op.parameters().need_f32(word)?.is_finite();
        check(finite, OpFault::Parameters)?;
    }
    elementwise::check_unary(op)
}

/// One copy of the loop for all functions.
#[inline(never)]
fn run(op: &Op, arena: &mut [u8], f: fn(f32, [f32; 2]) -> f32) -> Option<()> {
    let word = |position| op.parameters().f32(position).unwrap_or(0.0);
    let parameters = [word(0), word(1)];
    elementwise::map(op, arena, |x| f(x, parameters))
}
