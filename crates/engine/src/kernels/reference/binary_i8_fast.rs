//! `add`, `sub`, `mul` of `i8` without a division, where the compiler has proved it equal.
//!
//! Inputs 0 and 1 and the output: `i8` of one shape, at least one input in the arena. The output
//! may replace one input. One step per element.
//!
//! | op | parameters | result |
//! |---|---|---|
//! | `add`, `sub` | M, N, C, k (0 to 31), minimum, maximum | `(⌊a·M / 2^8⌋ + ⌊b·N / 2^8⌋ + C) >> k` |
//! | `mul` | a₀, b₀, M, C in two words, k (32 to 63), minimum, maximum | `((a - a₀)·(b - b₀)·M + C) >> k` |
//!
//! limited to minimum and maximum; sums wrap at 32 bits, for `mul` at 64. C holds zero points and
//! the half that makes a shift round. The compiler writes these only after it has compared all
//! 65 536 pairs with the exact op (variant 1), so both give the same bytes; where ties between two
//! codes occur, no such constants exist and variant 1 stays.
//!
//! Four elements at a time come from one word. Cost on a Cortex-M4: about 8 instructions per
//! element for `add` and `sub`, 11 for `mul`, and 3 more where the limits are not those of a byte.

use super::ratio::{check_code, long};
use super::{Kernel, concat};
use crate::KernelId;
use crate::bytes::copy;
use crate::error::OpFault;
use crate::format::{DType, OpCode};
use crate::op::{Op, check};
use dunlin_kernels::{Sum as Lanes, sum_lanes};

pub(in crate::kernels) static ADD: Kernel = Kernel {
    id: id(OpCode::Add),
    check: check_sum,
    run: run_sum,
};
pub(in crate::kernels) static SUB: Kernel = Kernel {
    id: id(OpCode::Sub),
    check: check_sum,
    run: run_sum,
};
pub(in crate::kernels) static MUL: Kernel = Kernel {
    id: id(OpCode::Mul),
    check: check_product,
    run: run_product,
};

const fn id(op: OpCode) -> KernelId {
    KernelId::new(op as u16, 1, 2)
}

fn check_sum(op: &Op) -> Result<u64, OpFault> {
    op.has(2, 6)?;
    check(op.parameters().need_u32(3)? < 32, OpFault::Parameters)?;
    check_op(op, 4)
}

fn check_product(op: &Op) -> Result<u64, OpFault> {
    op.has(2, 8)?;
    check_code(op, 0)?;
    check_code(op, 1)?;
    let shift = op.parameters().need_u32(5)?;
    check((32..64).contains(&shift), OpFault::Parameters)?;
    check_op(op, 6)
}

/// Checks the operands, and minimum and maximum from word `limits` on.
fn check_op(op: &Op, limits: usize) -> Result<u64, OpFault> {
    check_code(op, limits)?;
    check_code(op, limits + 1)?;
    let ordered = op.parameters().i32(limits) <= op.parameters().i32(limits + 1);
    check(ordered, OpFault::Parameters)?;
    let (a, b, y) = (op.need_input(0)?, op.need_input(1)?, op.need_output(0)?);
    let types_fit = [a.info, b.info, y].iter().all(|t| t.dtype() == DType::I8);
    let computed = a.constant.is_none() || b.constant.is_none();
    check(types_fit && computed, OpFault::Type)?;
    check(
        a.info.has_shape(y.dims()) && b.info.has_shape(y.dims()),
        OpFault::Shape,
    )?;
    op.output_may_replace_an_input()?;
    let over =
        |input: &crate::op::Operand| input.constant.is_none() && input.info.range() == y.range();
    check(!(over(&a) && over(&b)), OpFault::Aliasing)?;
    Ok(y.elements() as u64)
}

/// Four results, before they are limited, for four elements of the output's own bytes and four of
/// the other input.
trait Four {
    fn four(&self, own: [u8; 4], other: [u8; 4]) -> [i32; 4];
}

struct Sum {
    own_factor: i32,
    other_factor: i32,
    constant: i32,
    shift: u32,
}

impl Sum {
    #[inline(always)]
    fn one(&self, own: i16, other: i16) -> i32 {
        let products = scaled(own, self.own_factor).wrapping_add(scaled(other, self.other_factor));
        products
            .wrapping_add(self.constant)
            .wrapping_shr(self.shift)
    }
}

/// The upper byte of both halves of a word: bytes as halfwords times 2^8.
const TOP_BYTES: u32 = 0xFF00_FF00;

/// `⌊code·factor / 2^8⌋`, for a code times 2^8.
#[inline(always)]
fn scaled(code: i16, factor: i32) -> i32 {
    (i64::from(code).wrapping_mul(i64::from(factor)) >> 16) as i32
}

impl Four for Sum {
    #[inline(always)]
    fn four(&self, own: [u8; 4], other: [u8; 4]) -> [i32; 4] {
        let (a, b) = (u32::from_le_bytes(own), u32::from_le_bytes(other));
        let (even_a, even_b) = ((a << 8) & TOP_BYTES, (b << 8) & TOP_BYTES);
        let (odd_a, odd_b) = (a & TOP_BYTES, b & TOP_BYTES);
        [
            self.one(even_a as i16, even_b as i16),
            self.one(odd_a as i16, odd_b as i16),
            self.one((even_a >> 16) as i16, (even_b >> 16) as i16),
            self.one((odd_a >> 16) as i16, (odd_b >> 16) as i16),
        ]
    }
}

fn run_sum(op: &Op, arena: &mut [u8]) -> Option<()> {
    let word = |position| op.parameters().i32(position);
    let (first, second) = (word(0)?, word(1)?);
    let (swapped, own, other) = operands(op, arena)?;
    let sum = Sum {
        own_factor: if swapped { second } else { first },
        other_factor: if swapped { first } else { second },
        constant: word(2)?,
        shift: word(3)?.cast_unsigned(),
    };
    let limits = [word(4)?, word(5)?];
    let lanes = Lanes {
        factors: [sum.own_factor, sum.other_factor],
        constant: sum.constant,
        shift: sum.shift,
        limits: limits.map(|limit| limit as i8),
    };
    let done = sum_lanes(&lanes, own, other);
    let (own, other) = (own.get_mut(done..)?, other.get(done..)?);
    for_each_word(own, other, limits, &sum);
    Some(())
}

struct Product {
    own_zero: i32,
    other_zero: i32,
    factor: i64,
    constant: i64,
    /// Less 32.
    shift: u32,
}

impl Product {
    #[inline(always)]
    fn one(&self, own: u8, other: u8) -> i32 {
        let own = i32::from(own as i8).wrapping_sub(self.own_zero);
        let other = i32::from(other as i8).wrapping_sub(self.other_zero);
        let product = i64::from(own.wrapping_mul(other)).wrapping_mul(self.factor);
        ((product.wrapping_add(self.constant) >> 32) as i32).wrapping_shr(self.shift)
    }
}

impl Four for Product {
    #[inline(always)]
    fn four(&self, [a0, a1, a2, a3]: [u8; 4], [b0, b1, b2, b3]: [u8; 4]) -> [i32; 4] {
        let (first, second) = (self.one(a0, b0), self.one(a1, b1));
        [first, second, self.one(a2, b2), self.one(a3, b3)]
    }
}

fn run_product(op: &Op, arena: &mut [u8]) -> Option<()> {
    let word = |position| op.parameters().i32(position);
    let (first, second) = (word(0)?, word(1)?);
    let (swapped, own, other) = operands(op, arena)?;
    let product = Product {
        own_zero: if swapped { second } else { first },
        other_zero: if swapped { first } else { second },
        factor: i64::from(word(2)?),
        constant: long(&op.parameters(), 3)?,
        shift: word(5)?.cast_unsigned().wrapping_sub(32),
    };
    for_each_word(own, other, [word(6)?, word(7)?], &product);
    Some(())
}

/// The output, which already holds one input, and the other input; whether that is the first.
fn operands<'b>(op: &Op<'b>, arena: &'b mut [u8]) -> Option<(bool, &'b mut [u8], &'b [u8])> {
    let (a, b, y) = (op.input(0)?, op.input(1)?, op.output(0)?.range());
    let swapped = b.constant.is_none() && b.info.range() == y;
    let (own, other) = if swapped { (b, a) } else { (a, b) };
    if own.constant.is_some() || own.info.range() != y {
        let (from, to) = concat::source_and_target(arena, &own, y.clone())?;
        copy(from, to);
    }
    let (other, own) = concat::source_and_target(arena, &other, y)?;
    Some((swapped, own, other))
}

/// Writes every result, limited, over the elements of `own`.
#[inline(always)]
fn for_each_word(own: &mut [u8], other: &[u8], limits: [i32; 2], op: &impl Four) {
    let (words, tail) = own.as_chunks_mut::<4>();
    let (other_words, other_tail) = other.as_chunks::<4>();
    for (own, other) in words.iter_mut().zip(other_words) {
        *own = limited(op.four(*own, *other), limits);
    }
    if !tail.is_empty() {
        finish(tail, other_tail, limits, op);
    }
}

/// The last one to three elements.
#[cold]
#[inline(never)]
fn finish(own: &mut [u8], other: &[u8], limits: [i32; 2], op: &impl Four) {
    let (mut last, mut other_last) = ([0; 4], [0; 4]);
    copy(own, &mut last);
    copy(other, &mut other_last);
    copy(&limited(op.four(last, other_last), limits), own);
}

/// To bytes, which takes one instruction per element, and to narrower limits where there are any.
#[inline(always)]
fn limited(results: [i32; 4], [minimum, maximum]: [i32; 2]) -> [u8; 4] {
    let mut codes = results.map(|code| code.clamp(-128, 127));
    if minimum > -128 || maximum < 127 {
        codes = codes.map(|code| code.max(minimum).min(maximum));
    }
    codes.map(|code| code as i8 as u8)
}
