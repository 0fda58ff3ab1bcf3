//! Real scales as exact integers: the constants of an integer layer.
//!
//! The derivation stands in the engine's `exact.rs`. A finite `f32` is `m·2^e` with a 24-bit
//! integer `m`; products and sums of such numbers are integers times a power of two.

/// `mantissa · 2^exponent`, the mantissa odd or zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dyadic {
    pub mantissa: i128,
    pub exponent: i32,
}

impl Dyadic {
    pub const ZERO: Dyadic = Dyadic {
        mantissa: 0,
        exponent: 0,
    };

    /// The number with the fewest bits in its mantissa.
    fn new(mantissa: i128, exponent: i32) -> Dyadic {
        match mantissa {
            0 => Dyadic::ZERO,
            _ => {
                let zeros = mantissa.trailing_zeros();
                Dyadic {
                    mantissa: mantissa >> zeros,
                    exponent: exponent + zeros as i32,
                }
            }
        }
    }

    /// A finite float, exactly.
    pub fn from_f32(value: f32) -> Dyadic {
        let bits = value.to_bits();
        let (biased, fraction) = ((bits >> 23 & 0xFF) as i32, i128::from(bits & 0x7F_FFFF));
        let magnitude = if biased == 0 {
            fraction
        } else {
            fraction | 0x80_0000
        };
        Dyadic::new(
            if value < 0.0 { -magnitude } else { magnitude },
            biased.max(1) - 150,
        )
    }

    /// The least exponent of two that is above the magnitude; none of zero.
    pub fn end(&self) -> Option<i32> {
        let bits = 128 - self.mantissa.unsigned_abs().leading_zeros().cast_signed();
        (self.mantissa != 0).then_some(self.exponent + bits)
    }

    pub fn times(self, other: Dyadic) -> Dyadic {
        Dyadic::new(
            self.mantissa * other.mantissa,
            self.exponent + other.exponent,
        )
    }

    pub fn times_integer(self, factor: i64) -> Dyadic {
        Dyadic::new(self.mantissa * i128::from(factor), self.exponent)
    }
}

/// One output channel: `(dot·P + Q)·2^exponent` is the real result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Channel {
    pub factor: u64,
    pub offset: i128,
    pub exponent: i32,
}

/// Room that a bias with finer steps than the products may take in the 56 bits of a factor.
const SPARE_BITS: i32 = 7;
/// Bits of a factor.
const FACTOR_BITS: u32 = 56;
/// Bits of an offset entry, less the sign.
const OFFSET_BITS: u32 = 95;

impl Channel {
    /// The channel with `product = s_x·s_w`, the constant part of the sum `fixed` (in products)
    /// and the bias, to be divided by `divisor = D·2^exponent`. None where the bias is too large for
    /// the offset.
    ///
    /// A bias with bits below the smallest step kept sets the lowest bit of the offset instead:
    /// it moves no sum across a rounding boundary, because those lie on even numbers of steps,
    /// of which half a divisor is a multiple.
    pub fn new(product: Dyadic, fixed: i64, bias: Dyadic, divisor: Dyadic) -> Option<Channel> {
        let bits = 128 - product.mantissa.unsigned_abs().leading_zeros();
        let room = FACTOR_BITS.saturating_sub(bits).cast_signed();
        let finest = (product.exponent - SPARE_BITS).min(divisor.exponent - 2);
        let finest = finest.max(product.exponent - room);
        let exponent = match bias.mantissa {
            0 => product.exponent,
            _ if bias.exponent >= finest => product.exponent.min(bias.exponent),
            _ => finest,
        };
        let factor = u64::try_from(product.mantissa << (product.exponent - exponent)).ok()?;
        let constant = i128::from(factor) * i128::from(fixed);
        let offset = constant.checked_add(aligned(bias, exponent)?)?;
        (offset.unsigned_abs() >> OFFSET_BITS == 0).then_some(Channel {
            factor,
            offset,
            exponent,
        })
    }

    /// The channel and the right shift behind the division by `divisor = D·2^exponent`. Where
    /// the shift would be negative, factor and offset take it. None where the quotient of the
    /// scales is outside of what the format holds.
    pub fn divided_by(&self, divisor: Dyadic) -> Option<(Channel, u8)> {
        let shift = divisor.exponent - self.exponent;
        let lift = u32::try_from(-shift.min(0)).ok()?;
        let fits = self.factor.leading_zeros() >= lift.saturating_add(64 - FACTOR_BITS)
            && self.offset.unsigned_abs().leading_zeros()
                > lift.saturating_add(128 - OFFSET_BITS - 1)
            || lift == 0;
        if !fits {
            return None;
        }
        let (factor, offset) = (self.factor << lift, self.offset << lift);
        let lifted = Channel {
            factor,
            offset,
            exponent: self.exponent - lift as i32,
        };
        // Numerators are below 2^96: from 127 on, every result is zero.
        Some((lifted, u8::try_from(shift.clamp(0, 127)).ok()?))
    }
}

/// `value / 2^exponent` as an integer; where bits are lost, rounded down to an odd one.
pub(crate) fn aligned(value: Dyadic, exponent: i32) -> Option<i128> {
    if value.mantissa == 0 {
        return Some(0);
    }
    let up = value.exponent - exponent;
    if up >= 0 {
        let bits = 128 - value.mantissa.unsigned_abs().leading_zeros();
        return (bits + up.unsigned_abs() <= OFFSET_BITS).then(|| value.mantissa << up);
    }
    Some(value.mantissa >> up.unsigned_abs().min(127) | 1)
}

/// `numerator / denominator` rounded half to even, for a float and a scale.
pub(crate) fn round_quotient(value: f32, scale: f32) -> i64 {
    if !value.is_finite() {
        return if value.is_nan() {
            0
        } else {
            i64::from(i32::MAX) * value.signum() as i64
        };
    }
    let (value, scale) = (Dyadic::from_f32(value), Dyadic::from_f32(scale));
    let shift = value.exponent - scale.exponent;
    if value.mantissa != 0 && shift > 64 {
        return i64::from(i32::MAX) * value.mantissa.signum() as i64;
    }
    let numerator = value.mantissa << shift.max(0);
    let denominator = scale.mantissa << (-shift).clamp(0, 90);
    let (floor, rest) = (
        numerator.div_euclid(denominator),
        numerator.rem_euclid(denominator),
    );
    let rounded = match (2 * rest).cmp(&denominator) {
        std::cmp::Ordering::Less => floor,
        std::cmp::Ordering::Greater => floor + 1,
        std::cmp::Ordering::Equal => floor + (floor & 1),
    };
    rounded.clamp(-i128::from(i32::MAX), i128::from(i32::MAX)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A divisor that asks for no finer steps.
    const COARSE: Dyadic = Dyadic {
        mantissa: 1,
        exponent: 0,
    };

    #[test]
    fn floats_are_exact_integers_times_powers_of_two() {
        assert_eq!(
            Dyadic::from_f32(0.75),
            Dyadic {
                mantissa: 3,
                exponent: -2
            }
        );
        assert_eq!(
            Dyadic::from_f32(-6.0),
            Dyadic {
                mantissa: -3,
                exponent: 1
            }
        );
        assert_eq!(
            Dyadic::from_f32(f32::from_bits(1)),
            Dyadic {
                mantissa: 1,
                exponent: -149
            }
        );
        for value in [0.1_f32, 1e-20, 3.4e38] {
            let exact = Dyadic::from_f32(value);
            assert_eq!(
                exact.mantissa as f64 * 2_f64.powi(exact.exponent),
                f64::from(value)
            );
        }
    }

    #[test]
    fn a_channel_keeps_scales_and_bias_exactly() {
        let product = Dyadic::from_f32(0.02).times(Dyadic::from_f32(0.003));
        let bias = Dyadic::from_f32(6.0e-5).times_integer(-1234);
        let channel = Channel::new(product, 500, bias, COARSE).unwrap();
        let unit = 2_f64.powi(channel.exponent);
        let expected =
            500.0 * f64::from(0.02_f32) * f64::from(0.003_f32) - 1234.0 * f64::from(6.0e-5_f32);
        assert!((channel.offset as f64 * unit - expected).abs() < 1e-15 * expected.abs());
    }

    #[test]
    fn a_bias_below_every_step_leaves_a_trace() {
        let product = Dyadic {
            mantissa: 3,
            exponent: -10,
        };
        let bias = Dyadic {
            mantissa: 1,
            exponent: -60,
        };
        let channel = Channel::new(product, 0, bias, COARSE).unwrap();
        assert_eq!(
            (channel.factor, channel.offset, channel.exponent),
            (3 << 7, 1, -17)
        );
        let negative = Channel::new(
            product,
            0,
            Dyadic {
                mantissa: -1,
                exponent: -60,
            },
            COARSE,
        )
        .unwrap();
        assert_eq!(negative.offset, -1);
    }

    #[test]
    fn a_bias_of_nought_leaves_none_however_coarse_the_product() {
        let product = Dyadic {
            mantissa: 7,
            exponent: 3,
        };
        let channel = Channel::new(product, 5, Dyadic::ZERO, COARSE).unwrap();
        assert_eq!(
            (channel.factor, channel.offset, channel.exponent),
            (7, 35, 3)
        );
    }

    #[test]
    fn a_fine_bias_is_kept_down_to_the_steps_of_the_divisor() {
        let product = Dyadic {
            mantissa: 3,
            exponent: -10,
        };
        let bias = Dyadic {
            mantissa: 1,
            exponent: -60,
        };
        let divisor = Dyadic::from_f32(0.3);
        let channel = Channel::new(product, 0, bias, divisor).unwrap();
        let (_, shift) = channel.divided_by(divisor).unwrap();
        assert_eq!((channel.exponent, shift), (divisor.exponent - 2, 2));
    }

    #[test]
    fn a_coarse_product_is_lifted_to_a_fine_divisor() {
        let channel = Channel {
            factor: 1,
            offset: -3,
            exponent: -3,
        };
        let (lifted, shift) = channel.divided_by(Dyadic::from_f32(0.3)).unwrap();
        assert_eq!(
            (lifted.factor, lifted.offset, shift),
            (1 << 21, -3 << 21, 0)
        );
        assert!(
            Channel {
                factor: 1,
                offset: 0,
                exponent: 60
            }
            .divided_by(Dyadic::from_f32(0.3))
            .is_none()
        );
    }

    #[test]
    fn quotients_round_half_to_even() {
        assert_eq!(round_quotient(2.5, 1.0), 2);
        assert_eq!(round_quotient(3.5, 1.0), 4);
        assert_eq!(round_quotient(-0.75, 0.5), -2);
        assert_eq!(round_quotient(f32::INFINITY, 0.5), i64::from(i32::MAX));
        assert_eq!(round_quotient(1e30, 1e-30), i64::from(i32::MAX));
        assert_eq!(round_quotient(1e-30, 1.0), 0);
    }
}
