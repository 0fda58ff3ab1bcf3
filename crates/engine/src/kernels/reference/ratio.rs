//! What exact integer ops share: the way from an exact numerator to a byte.
//!
//! Eight parameter words: a factor (`i64`, two words, low first, below 2^56 in magnitude), a
//! divisor (`u64`, two words, 1 to 2^63 - 1), a shift (0 to 54), a zero point, a minimum and a
//! maximum (each -128 to 127). The result for a numerator is `numerator / (divisor·2^shift)`,
//! rounded half to even, plus the zero point, limited to minimum and maximum. What the numerator
//! is, and what the factor is in it, each op says.

use super::rescale::is_code;
use crate::error::OpFault;
use crate::exact;
use crate::op::{Op, Parameters, check};

/// The number of words.
pub(super) const WORDS: usize = 8;

/// Largest shift, so that a divisor shifted by it stays below 2^117.
const MAX_SHIFT: u32 = 54;
/// Bits of a factor, less the sign.
const FACTOR_BITS: u32 = 56;

/// The words, read.
#[derive(Clone, Copy)]
pub(super) struct Ratio {
    pub factor: i64,
    denominator: u128,
    zero_point: i32,
    minimum: i32,
    maximum: i32,
}

impl Ratio {
    /// The words from `first` on; none where one is missing or out of range.
    #[inline(never)]
    pub fn of(op: &Op, first: usize) -> Option<Self> {
        let words: &[[u8; 4]; WORDS] = op.words.get(first..)?.first_chunk()?;
        let [f0, f1, d0, d1, shift, codes @ ..] = words.map(u32::from_le_bytes);
        let [factor, divisor] = [[f0, f1], [d0, d1]].map(joined);
        let codes = codes.map(u32::cast_signed);
        let [zero_point, minimum, maximum] = codes;
        let valid = factor.unsigned_abs() >> FACTOR_BITS == 0
            && divisor > 0
            && shift <= MAX_SHIFT
            && codes.into_iter().all(is_code)
            && minimum <= maximum;
        valid.then_some(Self {
            factor,
            denominator: u128::from(divisor.cast_unsigned()) << (shift & 63),
            zero_point,
            minimum,
            maximum,
        })
    }

    /// The output code for the share of an exact numerator that one of `parts` has. The
    /// denominator times `parts` is below 2^118.
    #[inline(never)]
    pub fn code_of_share(&self, numerator: i128, parts: u32) -> u8 {
        let denominator = self.denominator.wrapping_mul(parts.into());
        let code = exact::round_small(numerator, denominator) + self.zero_point;
        code.max(self.minimum).min(self.maximum) as i8 as u8
    }

    /// The output code for the share of `sum·factor` that one of `parts` has; as [`Self::code_of_share`] otherwise.
    #[inline(never)]
    pub fn code_of_sum(&self, sum: i32, parts: u32) -> u8 {
        self.code_of_share(i128::from(sum).wrapping_mul(self.factor.into()), parts)
    }

    /// The output code for an exact numerator.
    #[inline(always)]
    pub fn code(&self, numerator: i128) -> u8 {
        self.code_of_share(numerator, 1)
    }
}

/// A factor in two words, low first; none where it is missing or too large.
pub(super) fn factor(parameters: &Parameters, first: usize) -> Option<i64> {
    long(parameters, first).filter(|factor| factor.unsigned_abs() >> FACTOR_BITS == 0)
}

/// 64 bits in two words, low first.
pub(super) fn long(parameters: &Parameters, first: usize) -> Option<i64> {
    let (low, high) = (
        parameters.u32(first)?,
        parameters.i32(first.checked_add(1)?)?,
    );
    Some(joined([low, high.cast_unsigned()]))
}

fn joined([low, high]: [u32; 2]) -> i64 {
    i64::from(high.cast_signed()) << 32 | i64::from(low)
}

/// Holds a parameter word to the codes of a byte.
pub(super) fn check_code(op: &Op, word: usize) -> Result<(), OpFault> {
    let code = op.parameters().need_i32(word)?;
    check(is_code(code), OpFault::Parameters)
}
