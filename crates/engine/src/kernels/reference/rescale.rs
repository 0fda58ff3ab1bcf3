//! From the exact integer sums of a layer to its results.
//!
//! Input 2 of a layer holds multipliers, one or one per output channel: `P` in 7 bytes and
//! `shift` in one. Input 3 holds offsets, one per channel: `Q` in 12 bytes, two's complement. The
//! numerator is `sum·P + Q` (`exact.rs` has the derivation).
//!
//! To `i8`, parameters w₀, divisor, y₀, minimum, maximum: the numerator divided by
//! `divisor·2^shift`, rounded half to even, plus y₀, limited. To `f32`, parameters w₀, minimum,
//! maximum: the numerator rounded to `f32` once, divided by `2^shift`, limited.

use super::clamp;
use crate::bytes::array;
use crate::error::OpFault;
use crate::exact;
use crate::format::DType;
use crate::op::{Op, Parameters, check};

const MULTIPLIER_BYTES: usize = 8;
const OFFSET_BYTES: usize = 12;
/// Largest shift for `f32` results, so that `2^-shift` is a normal `f32`.
const MAX_F32_SHIFT: u8 = 126;

/// Zero point of the weights.
pub(super) fn weight_zero_point(op: &Op) -> Option<i32> {
    op.parameters().i32(0)
}

/// Whether a value is one of an `i8`.
pub(super) fn is_code(value: i32) -> bool {
    (-128..=127).contains(&value)
}

/// Multipliers and offsets of a layer's channels.
#[derive(Clone, Copy)]
pub(super) struct Channels<'a> {
    multipliers: &'a [[u8; MULTIPLIER_BYTES]],
    offsets: &'a [[u8; OFFSET_BYTES]],
}

/// `P`, `Q` and the shift of a channel.
pub(super) struct Channel {
    factor: i128,
    offset: i128,
    pub shift: u32,
}

impl<'a> Channels<'a> {
    pub fn of(op: &Op<'a>) -> Option<Self> {
        Some(Channels {
            multipliers: op.input(2)?.constant?.as_chunks().0,
            offsets: op.input(3)?.constant?.as_chunks().0,
        })
    }

    #[inline(always)]
    pub fn get(&self, index: usize) -> Option<Channel> {
        let multiplier = match self.multipliers {
            [only] => only,
            all => all.get(index)?,
        };
        Some(Channel::of(multiplier, self.offsets.get(index)?))
    }

    /// Checks multipliers and offsets against the output's channels.
    fn check(op: &Op, max_shift: u8) -> Result<(), OpFault> {
        let (multipliers, offsets) = (op.need_input(2)?, op.need_input(3)?);
        multipliers.is_constant(DType::U8)?;
        offsets.is_constant(DType::U8)?;
        let channels = op.need_output(0)?.columns();
        let entries = multipliers.info.elements() / MULTIPLIER_BYTES;
        multipliers.has_elements(entries.saturating_mul(MULTIPLIER_BYTES))?;
        check(entries == channels || entries == 1, OpFault::Shape)?;
        offsets.has_elements(channels.saturating_mul(OFFSET_BYTES))?;
        let table = multipliers
            .constant
            .unwrap_or_default()
            .as_chunks::<MULTIPLIER_BYTES>()
            .0;
        let valid = table.iter().all(|&[.., shift]| shift <= max_shift);
        check(valid, OpFault::Constant)?;
        check(is_code(op.parameters().need_i32(0)?), OpFault::Parameters)
    }
}

impl Channel {
    #[inline(always)]
    fn of(multiplier: &[u8; MULTIPLIER_BYTES], offset: &[u8; OFFSET_BYTES]) -> Channel {
        let (factor, shift) = decode_multiplier(multiplier);
        Channel {
            factor,
            offset: decode_offset(offset),
            shift,
        }
    }

    #[inline(always)]
    pub fn numerator(&self, sum: i32) -> i128 {
        i128::from(sum)
            .wrapping_mul(self.factor)
            .wrapping_add(self.offset)
    }
}

/// `P` and the shift.
pub(super) fn decode_multiplier(entry: &[u8; MULTIPLIER_BYTES]) -> (i128, u32) {
    let code = u64::from_le_bytes(*entry);
    (i128::from(code & (u64::MAX >> 8)), (code >> 56) as u32)
}

fn decode_offset(entry: &[u8; OFFSET_BYTES]) -> i128 {
    let low = array(entry, 0).map_or(0, u64::from_le_bytes);
    let high = array(entry, 8).map_or(0, i32::from_le_bytes);
    i128::from(high) << 64 | i128::from(low)
}

/// Parameters of `i8` results.
#[derive(Clone, Copy)]
pub(super) struct ToI8 {
    pub divisor: u32,
    zero_point: i32,
    minimum: i32,
    maximum: i32,
}

impl ToI8 {
    /// Parameter words, the weights' zero point among them.
    pub const WORDS: usize = 5;

    pub fn check(op: &Op) -> Result<(), OpFault> {
        Channels::check(op, 127)?;
        Self::check_words(&op.parameters(), 1)
    }

    /// Checks divisor, zero point and limits, which stand at `word`.
    pub fn check_words(parameters: &Parameters, word: usize) -> Result<(), OpFault> {
        let target = Self::read_words(parameters, word).ok_or(OpFault::Parameters)?;
        let ordered = -128 <= target.minimum && target.minimum <= target.maximum;
        let within = (1..1 << 24).contains(&target.divisor) && is_code(target.zero_point);
        check(
            ordered && target.maximum <= 127 && within,
            OpFault::Parameters,
        )
    }

    pub fn read(op: &Op) -> Option<Self> {
        Self::read_words(&op.parameters(), 1)
    }

    pub fn read_words(parameters: &Parameters, word: usize) -> Option<Self> {
        Some(ToI8 {
            divisor: parameters.u32(word)?,
            zero_point: parameters.i32(word.checked_add(1)?)?,
            minimum: parameters.i32(word.checked_add(2)?)?,
            maximum: parameters.i32(word.checked_add(3)?)?,
        })
    }

    #[inline(always)]
    pub fn write(&self, numerator: i128, shift: u32, y: &mut [u8; 1]) {
        self.finish(exact::round_ratio(numerator, self.divisor, shift), y);
    }

    /// Adds the zero point and limits.
    #[inline(always)]
    pub fn finish(&self, rounded: i32, [y]: &mut [u8; 1]) {
        let code = rounded.saturating_add(self.zero_point);
        *y = code.max(self.minimum).min(self.maximum) as i8 as u8;
    }
}

/// Parameters of `f32` results.
#[derive(Clone, Copy)]
pub(super) struct ToF32 {
    minimum: f32,
    maximum: f32,
}

impl ToF32 {
    /// Parameter words, the weights' zero point among them.
    pub const WORDS: usize = 3;

    pub fn check(op: &Op) -> Result<(), OpFault> {
        Channels::check(op, MAX_F32_SHIFT)?;
        let target = Self::read(op).ok_or(OpFault::Parameters)?;
        check(target.minimum <= target.maximum, OpFault::Parameters)
    }

    pub fn read(op: &Op) -> Option<Self> {
        Some(ToF32 {
            minimum: op.parameters().f32(1)?,
            maximum: op.parameters().f32(2)?,
        })
    }

    #[inline(always)]
    pub fn write(&self, numerator: i128, shift: u32, y: &mut [u8; 4]) {
        let unit = f32::from_bits(127_u32.saturating_sub(shift) << 23);
        *y = clamp::limit(numerator as f32 * unit, self.minimum, self.maximum).to_le_bytes();
    }
}
