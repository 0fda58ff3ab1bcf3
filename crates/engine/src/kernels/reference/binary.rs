//! `add`, `sub`, `mul`, `div`, `maximum`, `minimum`: two `f32` tensors, element by element, with
//! broadcast. A NaN is larger and smaller than any number.
//!
//! Inputs 0 and 1: `f32`, at least one in the arena. Aligned to the right, each of their
//! dimensions equals the output's or is 1, as in NumPy. The output may replace an input of its
//! own shape. No parameters. One step per output element.

use super::{Kernel, elementwise};
use crate::KernelId;
use crate::bytes::{f32_at, put};
use crate::error::OpFault;
use crate::format::{DType, OpCode};
use crate::op::{Op, Operand, check};

macro_rules! kernel {
    ($name:ident, $op:ident, $function:expr) => {
        pub(in crate::kernels) static $name: Kernel = Kernel {
            id: KernelId::new(OpCode::$op as u16, 1, 0),
            check: check_op,
            run: |op, arena| run(op, arena, $function),
        };
    };
}

kernel!(ADD, Add, |a, b| a + b);
kernel!(SUB, Sub, |a, b| a - b);
kernel!(MUL, Mul, |a, b| a * b);
kernel!(DIV, Div, |a, b| a / b);
kernel!(MAXIMUM, Maximum, larger);
kernel!(MINIMUM, Minimum, |a, b| -larger(-a, -b));

fn larger(a: f32, b: f32) -> f32 {
    if a > b || a.is_nan() { a } else { b }
}

fn check_op(op: &Op) -> Result<u64, OpFault> {
    op.has(2, 0)?;
    check_operands(op, DType::F32)
}

/// Two inputs and an output of one element type, at least one input in the arena, which broadcast.
pub(super) fn check_operands(op: &Op, element: DType) -> Result<u64, OpFault> {
    let (a, b, y) = (op.need_input(0)?, op.need_input(1)?, op.need_output(0)?);
    let types_fit = [a.info, b.info, y]
        .iter()
        .all(|tensor| tensor.dtype() == element);
    check(
        types_fit && (a.constant.is_none() || b.constant.is_none()),
        OpFault::Type,
    )?;
    let broadcasts = |x: &Operand| {
        x.info
            .dims()
            .iter()
            .zip(y.dims())
            .all(|(&x, y)| x == y || x == 1)
    };
    check(broadcasts(&a) && broadcasts(&b), OpFault::Shape)?;
    op.output_may_replace_an_input()?;
    Ok(y.elements() as u64)
}

#[inline(never)]
fn run(op: &Op, arena: &mut [u8], f: fn(f32, f32) -> f32) -> Option<()> {
    let (a, b, y) = (op.input(0)?, op.input(1)?, op.output(0)?);
    let (a_strides, b_strides) = (strides(&a), strides(&b));
    let start = y.range().start;
    elementwise::for_each_index(y.dims(), |element, index| {
        let left = f32_at(a.bytes(arena)?, 4 * elementwise::offset(index, a_strides))?;
        let right = f32_at(b.bytes(arena)?, 4 * elementwise::offset(index, b_strides))?;
        put(arena, start + 4 * element, f(left, right).to_le_bytes())
    })
}

/// Elements between neighbours along each dimension; 0 where the dimension is repeated.
pub(super) fn strides(operand: &Operand) -> [usize; 4] {
    let [_, d1, d2, d3] = operand.info.dims().map(|d| d as usize);
    let [n0, n1, n2, n3] = operand.info.dims().map(|d| usize::from(d != 1));
    [n0 * d1 * d2 * d3, n1 * d2 * d3, n2 * d3, n3]
}
