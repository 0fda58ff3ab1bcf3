//! `add`, `sub`, `mul` of `i8`: two tensors, element by element, with broadcast, exactly.
//!
//! Inputs 0 and 1: `i8`, at least one in the arena, shapes as for `f32` (`binary.rs`). The output
//! may replace an input of its own shape. One step per output element.
//!
//! Parameters: the eight words of a ratio (`ratio.rs`) with the factor `P`, then a₀ and b₀,
//! for `add` and `sub` then `R` in two words. The numerator is
//!
//! | op | numerator |
//! |---|---|
//! | `add` | `(a - a₀)·P + (b - b₀)·R` |
//! | `sub` | `(a - a₀)·P - (b - b₀)·R` |
//! | `mul` | `(a - a₀)·(b - b₀)·P` |
//!
//! With scales `s_a = A·2^α` and so on, the compiler writes `P:R = s_a:s_b` as integers over the
//! common power of two, and the divisor and shift of `s_y` over that power, so the real result is
//! rounded once. A folded activation is the minimum and maximum.

use super::ratio::{self, Ratio};
use super::{Kernel, binary, elementwise};
use crate::KernelId;
use crate::bytes::{array, put};
use crate::error::OpFault;
use crate::format::{DType, OpCode};
use crate::op::{Op, check};

/// The numerator for `a - a₀`, `b - b₀`, `P` and `R`.
type Numerator = fn(i64, i64, [i64; 2]) -> i128;

pub(in crate::kernels) static ADD: Kernel = Kernel {
    id: id(OpCode::Add),
    check: check_sum,
    run: |op, arena| run(op, arena, |a, b, [p, r]| wide(a, p) + wide(b, r)),
};
pub(in crate::kernels) static SUB: Kernel = Kernel {
    id: id(OpCode::Sub),
    check: check_sum,
    run: |op, arena| run(op, arena, |a, b, [p, r]| wide(a, p) - wide(b, r)),
};
pub(in crate::kernels) static MUL: Kernel = Kernel {
    id: id(OpCode::Mul),
    check: check_product,
    run: |op, arena| run(op, arena, |a, b, [p, _]| wide(a.wrapping_mul(b), p)),
};

/// Position of a₀ and b₀.
const ZERO_POINTS: usize = ratio::WORDS;
/// Position of `R`.
const SECOND_FACTOR: usize = ZERO_POINTS + 2;

const fn id(op: OpCode) -> KernelId {
    KernelId::new(op as u16, 1, 1)
}

/// Below 2^16 times below 2^56.
fn wide(value: i64, factor: i64) -> i128 {
    i128::from(value) * i128::from(factor)
}

fn check_sum(op: &Op) -> Result<u64, OpFault> {
    op.has(2, SECOND_FACTOR + 2)?;
    check(factors(op).is_some(), OpFault::Parameters)?;
    check_op(op)
}

fn check_product(op: &Op) -> Result<u64, OpFault> {
    op.has(2, SECOND_FACTOR)?;
    check_op(op)
}

fn check_op(op: &Op) -> Result<u64, OpFault> {
    check(Ratio::of(op, 0).is_some(), OpFault::Parameters)?;
    ratio::check_code(op, ZERO_POINTS)?;
    ratio::check_code(op, ZERO_POINTS + 1)?;
    binary::check_operands(op, DType::I8)
}

fn factors(op: &Op) -> Option<[i64; 2]> {
    let parameters = op.parameters();
    let first = ratio::factor(&parameters, 0)?;
    Some([first, ratio::factor(&parameters, SECOND_FACTOR)?])
}

#[inline(never)]
fn run(op: &Op, arena: &mut [u8], numerator: Numerator) -> Option<()> {
    let (a, b, y) = (op.input(0)?, op.input(1)?, op.output(0)?);
    let ratio = Ratio::of(op, 0)?;
    let factors = factors(op).unwrap_or([ratio.factor, 0]);
    let zero_point = |word| op.parameters().i32(word).map(i64::from);
    let (a_zero, b_zero) = (zero_point(ZERO_POINTS)?, zero_point(ZERO_POINTS + 1)?);
    let (a_strides, b_strides) = (binary::strides(&a), binary::strides(&b));
    let start = y.range().start;
    elementwise::for_each_index(y.dims(), |element, index| {
        let left = code_at(a.bytes(arena)?, elementwise::offset(index, a_strides))?;
        let right = code_at(b.bytes(arena)?, elementwise::offset(index, b_strides))?;
        let numerator = numerator(
            left.wrapping_sub(a_zero),
            right.wrapping_sub(b_zero),
            factors,
        );
        put(arena, start + element, [ratio.code(numerator)])
    })
}

fn code_at(bytes: &[u8], at: usize) -> Option<i64> {
    let [code] = array(bytes, at)?;
    Some(i64::from(code as i8))
}
