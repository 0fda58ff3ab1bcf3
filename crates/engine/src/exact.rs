//! Exact rational arithmetic behind the integer ops.
//!
//! Every quantised result is defined over the reals: a rational number built from the integers
//! of the tensors and the scales as given, rounded once, half to even. A scale is an IEEE
//! `f32`, so it is exactly a 24-bit integer times a power of two. For
//! `y = (Σ(x - x₀)(w - w₀)·s_x·s_w + b) / s_y + y₀` the compiler therefore writes
//!
//! ```text
//! s_x·s_w = P·2^p      P < 2^56, the product of two 24-bit integers and room for Q
//! s_y     = D·2^d      D < 2^24
//! Q·2^p   = b - x₀·s_x·s_w·Σ(w - w₀)      b = bias·s_b, or an f32, both exact
//! y - y₀  = (Σ x(w - w₀)·P + Q) / (D·2^shift)      shift = d - p
//! ```
//!
//! where the common power of two is chosen so that `P` and `Q` are integers. `Σ x(w - w₀)` fits
//! an `i32` because rows are at most [`MAX_ROW`](crate::format::MAX_ROW) long, its product with
//! `P` is below 2^87 and `Q` has 96 bits, so the numerator is exact in an `i128`. The division
//! by `D` runs byte by byte: a remainder below 2^24 followed by one byte fits 32 bits, so each
//! step is one hardware division. What it leaves over decides ties together with the bits that
//! the shift drops. Nothing is approximated.

use core::cmp::Ordering;
use core::hint::black_box;

/// `numerator / (divisor · 2^shift)` rounded to the nearest integer, ties to even, saturated to
/// `i32`. `divisor` is in `1..2^24` and `shift` in `0..=127`; the cost is 16 divisions of 32
/// bits at most.
pub(crate) fn round_ratio(numerator: i128, divisor: u32, shift: u32) -> i32 {
    let (quotient, remainder) = divide(numerator.unsigned_abs(), divisor);
    let whole = quotient.checked_shr(shift).unwrap_or(0);
    let up = match compare_with_half(quotient, shift, remainder, divisor) {
        Ordering::Greater => true,
        Ordering::Equal => whole & 1 == 1,
        Ordering::Less => false,
    };
    let magnitude = i32::try_from(whole)
        .unwrap_or(i32::MAX)
        .saturating_add(i32::from(up));
    if numerator < 0 { -magnitude } else { magnitude }
}

/// Schoolbook division in base 256.
fn divide(magnitude: u128, divisor: u32) -> (u128, u32) {
    let mut remainder = 0_u32;
    let mut quotient = magnitude.to_be_bytes();
    for byte in &mut quotient {
        let step = remainder << 8 | u32::from(*byte);
        if step != 0 {
            *byte = step.checked_div(divisor).unwrap_or(0) as u8;
            remainder = step.checked_rem(divisor).unwrap_or(0);
        }
    }
    (u128::from_be_bytes(quotient), remainder)
}

/// How the part of `(quotient + remainder/divisor) / 2^shift` behind the point compares with ½.
fn compare_with_half(quotient: u128, shift: u32, remainder: u32, divisor: u32) -> Ordering {
    let Some(half) = shift.checked_sub(1).map(|bits| 1_u128 << (bits & 127)) else {
        return remainder.saturating_mul(2).cmp(&divisor);
    };
    let dropped = quotient & (half | (half - 1));
    dropped.cmp(&half).then(remainder.cmp(&0))
}

/// `(high·2^32 + low) / 2^shift` rounded to the nearest `f32`, ties to even. `shift` is at most 126.
///
/// The leading 31 bits become a float in one instruction; that something follows them is told by their last bit, which
/// is too low to be a tie by itself.
#[inline(always)]
pub(crate) fn nearest((high, low): (i64, u32), shift: u32) -> f32 {
    let magnitude = high ^ (high >> 63);
    let Some(up @ ..=32) = magnitude.leading_zeros().checked_sub(1) else {
        return nearest_wide(i128::from(high) << 32 | i128::from(low), shift);
    };
    let leading = high << up;
    let follows = (leading as u32 | low) != 0;
    let leading = (leading >> 32) as i32 | i32::from(follows);
    let down = shift.wrapping_add(up).cast_signed();
    leading as f32 * power_of_two(64_i32.wrapping_sub(down))
}

/// As [`nearest`], of any numerator.
#[cold]
#[inline(never)]
pub(crate) fn nearest_wide(numerator: i128, shift: u32) -> f32 {
    numerator as f32 * power_of_two(shift.cast_signed().wrapping_neg())
}

/// `2^exponent`, which is a normal `f32`.
fn power_of_two(exponent: i32) -> f32 {
    f32::from_bits(exponent.wrapping_add(127).cast_unsigned() << 23)
}

/// `numerator / denominator` rounded to the nearest integer, ties to even, limited to ±512, which
/// added to any zero point is beyond every 8-bit result. `denominator` is in `1..2^118`; the cost
/// is ten subtractions.
#[inline(never)]
pub(crate) fn round_small(numerator: i128, denominator: u128) -> i32 {
    let mut remainder = numerator.unsigned_abs();
    let mut step = denominator << 9;
    let mut whole = 0;
    // Ten copies of the loop would be three times as long.
    for _ in 0..black_box(10) {
        whole <<= 1;
        let (rest, is_below) = remainder.overflowing_sub(step);
        if !is_below {
            (remainder, whole) = (rest, whole | 1);
        }
        step >>= 1;
    }
    // Up beyond the half, and from the half where that makes the result even.
    let up = (remainder << 1) + u128::from(whole & 1 == 1) > denominator;
    let magnitude = (whole + i32::from(up)).min(512);
    if numerator < 0 { -magnitude } else { magnitude }
}

/// `x / scale` rounded to the nearest integer, ties to even, exactly; limited to ±1024, which is
/// beyond every 8-bit result. `scale` is normal and positive. A NaN gives 0.
///
/// The `f32` quotient is the real one rounded monotonically, so it is on the right side of every
/// half-integer it does not hit. Where it hits one, the integers behind `x` and `scale` decide.
#[inline(always)]
pub(crate) fn round_quotient(x: f32, scale: f32) -> i32 {
    const LIMIT: f32 = 1024.0;
    const TO_INTEGER: f32 = 12_582_912.0; // 1.5 · 2^23: adding it leaves no bit below one
    let quotient = (x / scale).clamp(-LIMIT, LIMIT);
    let nearest = (quotient + TO_INTEGER) - TO_INTEGER;
    if (quotient - nearest).abs() == 0.5 && quotient.abs() < LIMIT {
        return round_exactly(x, scale);
    }
    nearest as i32
}

/// `x / scale` through the integers both are made of.
#[inline(never)]
fn round_exactly(x: f32, scale: f32) -> i32 {
    let ((numerator, x_exponent), (divisor, exponent)) = (parts(x), parts(scale));
    let shift = exponent.saturating_sub(x_exponent);
    let lift = shift.saturating_neg().clamp(0, 64).cast_unsigned();
    let shift = shift.clamp(0, 127).cast_unsigned();
    let numerator = i128::from(numerator) << lift;
    round_ratio(if x < 0.0 { -numerator } else { numerator }, divisor, shift)
}

/// The magnitude of a finite float as an integer below 2^24 and a power of two.
fn parts(value: f32) -> (u32, i32) {
    let bits = value.to_bits();
    let (biased, fraction) = (bits >> 23 & 0xFF, bits & 0x7F_FFFF);
    let mantissa = if biased == 0 {
        fraction
    } else {
        fraction | 0x80_0000
    };
    (mantissa, biased.max(1).cast_signed().saturating_sub(150))
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;

    /// Rounds by comparing twice the remainder of one wide division, the textbook way.
    fn oracle(numerator: i128, divisor: u32, shift: u32) -> i32 {
        let denominator = i128::from(divisor) << shift;
        let floor = numerator.div_euclid(denominator);
        let remainder = numerator.rem_euclid(denominator);
        let rounded = match (2 * remainder).cmp(&denominator) {
            Ordering::Less => floor,
            Ordering::Greater => floor + 1,
            Ordering::Equal => floor + (floor & 1),
        };
        rounded.clamp(-i128::from(i32::MAX), i128::from(i32::MAX)) as i32
    }

    fn round_half_up_mutant(numerator: i128, divisor: u32, shift: u32) -> i32 {
        let denominator = i128::from(divisor) << shift;
        (2 * numerator + denominator).div_euclid(2 * denominator) as i32
    }

    /// Numerators that lie on, just below and just above half-integers, of both signs.
    fn near_ties() -> impl Iterator<Item = (i128, u32, u32)> {
        let divisors = [1_u32, 2, 3, 10, 0x80_0000, 0xFF_FFFF];
        let cases = divisors
            .into_iter()
            .flat_map(|d| [0, 1, 2, 8, 31, 60].map(|s| (d, s)));
        cases.flat_map(|(divisor, shift)| {
            let denominator = i128::from(divisor) << shift;
            (-130..130).flat_map(move |whole: i128| {
                let twice = (2 * whole + 1) * denominator;
                [-1, 0, 1].map(|delta| (twice.div_euclid(2) + delta, divisor, shift))
            })
        })
    }

    #[test]
    fn ties_and_their_neighbours_match_the_oracle() {
        let mut compared = 0;
        for (numerator, divisor, shift) in near_ties() {
            let expected = oracle(numerator, divisor, shift);
            let case = std::format!("{numerator} / ({divisor} << {shift})");
            assert_eq!(round_ratio(numerator, divisor, shift), expected, "{case}");
            compared += 1;
        }
        assert_eq!(compared, 6 * 6 * 260 * 3);
    }

    #[test]
    fn rounding_half_up_would_be_noticed() {
        let differs =
            |&(n, d, s): &(i128, u32, u32)| round_half_up_mutant(n, d, s) != oracle(n, d, s);
        assert!(near_ties().filter(differs).count() > 1000);
    }

    #[test]
    fn quotients_beside_a_half_integer_round_by_the_real_value() {
        let mut corrected = 0;
        for mantissa in (0x3F00_0001_u32..0x3F80_0000).step_by(4099) {
            let scale = f32::from_bits(mantissa);
            for half in [-2.5_f32, -1.5, -0.5, 0.5, 1.5, 2.5, 126.5] {
                let near = half * scale;
                for x in [near.next_down(), near, near.next_up()] {
                    let expected = quotient_oracle(x, scale);
                    assert_eq!(round_quotient(x, scale), expected, "{x} / {scale}");
                    corrected += u32::from((x / scale).round_ties_even() as i32 != expected);
                }
            }
        }
        assert!(
            corrected > 100,
            "only {corrected} cases needed the exact comparison"
        );
    }

    /// Exact through integers: both values share the exponent of the smaller one.
    fn quotient_oracle(x: f32, scale: f32) -> i32 {
        let unit = f64::from(scale) * 2_f64.powi(-60);
        let numerator = (f64::from(x) / unit) as i128;
        oracle(numerator, 1, 60)
    }

    proptest! {
        #[test]
        fn round_ratio_matches_the_oracle(
            numerator in -(1_i128 << 95)..1_i128 << 95,
            drop in 0_u32..95,
            divisor in 1_u32..1 << 24,
            shift in 0_u32..80,
        ) {
            let numerator = numerator >> drop;
            prop_assert_eq!(round_ratio(numerator, divisor, shift), oracle(numerator, divisor, shift));
        }
    }

    #[test]
    fn small_quotients_match_the_oracle_on_and_beside_ties() {
        let mut compared = 0;
        for denominator in [
            1_i128,
            2,
            3,
            10,
            0xFF_FFFF,
            (1 << 80) + 1,
            (1 << 116) + 12_345,
        ] {
            for half_steps in -1030_i128..1030 {
                for delta in [-1, 0, 1] {
                    let numerator = (half_steps * denominator).div_euclid(2) + delta;
                    let floor = numerator.div_euclid(denominator);
                    let up = match (2 * numerator.rem_euclid(denominator)).cmp(&denominator) {
                        Ordering::Less => 0,
                        Ordering::Greater => 1,
                        Ordering::Equal => floor & 1,
                    };
                    let expected = (floor + up).clamp(-512, 512) as i32;
                    let rounded = round_small(numerator, denominator.unsigned_abs());
                    assert_eq!(rounded, expected, "{numerator} / {denominator}");
                    compared += 1;
                }
            }
        }
        assert_eq!(compared, 7 * 2060 * 3);
    }

    #[test]
    fn a_nan_is_zero_and_infinities_saturate() {
        assert_eq!(round_quotient(f32::NAN, 0.5), 0);
        assert_eq!(round_quotient(f32::INFINITY, 0.5), 1024);
        assert_eq!(round_quotient(f32::MIN, 1e-30), -1024);
    }
}
