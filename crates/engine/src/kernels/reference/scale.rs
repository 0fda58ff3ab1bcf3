//! `scale`: an affine map with its own constants for every channel.
//!
//! Input 0: `f32 [.., c]` in the arena. Inputs 1 and 2: constants `a` and `b`, `f32 [c]`.
//! Output: the shape of input 0, may replace it. Parameter: the form, which fixes the order of
//! the two roundings: 0 is `x·a + b`, 1 is `(x - a)·b`, 2 is `(x - a)/b`. Two steps per element.

use super::Kernel;
use super::elementwise;
use crate::KernelId;
use crate::bytes::{f32_at, f32s, put};
use crate::error::OpFault;
use crate::format::{DType, OpCode};
use crate::op::{Op, check};

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    id: KernelId::new(OpCode::Scale as u16, 1, 0),
    check: check_op,
    run,
};

fn check_op(op: &Op) -> Result<u64, OpFault> {
    op.has(3, 1)?;
    for position in [1, 2] {
        let constant = op.need_input(position)?;
        constant.is_constant(DType::F32)?;
        constant.has_elements(op.need_output(0)?.columns())?;
    }
    check(op.parameters().need_u32(0)? <= 2, OpFault::Parameters)?;
    let x = op.need_input(0)?;
    x.in_arena(DType::F32)?;
    let steps = elementwise::check_unary(op)?;
    Ok(steps.saturating_mul(2))
}

fn run(op: &Op, arena: &mut [u8]) -> Option<()> {
    match op.parameters().u32(0)? {
        0 => run_form(op, arena, |x, a, b| x * a + b),
        1 => run_form(op, arena, |x, a, b| (x - a) * b),
        _ => run_form(op, arena, |x, a, b| (x - a) / b),
    }
}

#[inline(never)]
fn run_form(op: &Op, arena: &mut [u8], f: fn(f32, f32, f32) -> f32) -> Option<()> {
    let (a, b) = (op.input(1)?.constant?, op.input(2)?.constant?);
    let (mut from, mut to) = (op.input(0)?.info.range().start, op.output(0)?.range().start);
    for _ in 0..op.output(0)?.rows() {
        for (a, b) in f32s(a).zip(f32s(b)) {
            let x = f32_at(arena, from)?;
            put(arena, to, f(x, a, b).to_le_bytes())?;
            (from, to) = (from + 4, to + 4);
        }
    }
    Some(())
}
