//! Real numbers: exact where they are rational, enclosed where they are not.

use super::interval::Interval;
use num_bigint::{BigInt, Sign};
use std::cmp::Ordering;

/// A real number. Arithmetic on exact numbers is exact whatever their size; a number that a
/// transcendental function gave is an [`Interval`] that holds it.
#[derive(Clone, Debug)]
pub(crate) enum Real {
    /// `mantissa · 2^exponent`.
    Dyadic { mantissa: i128, exponent: i32 },
    /// What is too long for that, or no such number.
    Ratio(Box<Ratio>),
    /// Neither of them.
    Near(Interval),
}

/// `numerator / denominator`, the denominator positive, not reduced.
#[derive(Clone, Debug)]
pub(crate) struct Ratio {
    numerator: BigInt,
    denominator: BigInt,
}

/// Quotients beyond this saturate every integer type.
const FAR: i64 = 1 << 40;

impl Real {
    pub const ZERO: Real = Real::Dyadic {
        mantissa: 0,
        exponent: 0,
    };

    pub fn integer(value: i64) -> Real {
        Real::Dyadic {
            mantissa: i128::from(value),
            exponent: 0,
        }
    }

    /// Mantissa and exponent; none of another rational number.
    fn dyadic(&self) -> Option<(i128, i32)> {
        match *self {
            Real::Dyadic { mantissa, exponent } => Some((mantissa, exponent)),
            _ => None,
        }
    }

    /// The value of a float; an error for one that is no number.
    pub fn from_f32(value: f32) -> Result<Real, String> {
        if !value.is_finite() {
            return Err(format!("{value} is not a real number"));
        }
        let bits = value.to_bits();
        let (biased, fraction) = ((bits >> 23 & 0xFF) as i32, i128::from(bits & 0x7F_FFFF));
        let magnitude = fraction + if biased == 0 { 0 } else { 1 << 23 };
        Ok(Real::Dyadic {
            mantissa: if value < 0.0 { -magnitude } else { magnitude },
            exponent: biased.max(1) - 150,
        })
    }

    pub fn is_zero(&self) -> bool {
        match self {
            Real::Dyadic { mantissa, .. } => *mantissa == 0,
            Real::Ratio(ratio) => ratio.numerator.sign() == Sign::NoSign,
            Real::Near(_) => false,
        }
    }

    pub fn negated(&self) -> Real {
        match self {
            Real::Dyadic { mantissa, exponent } => Real::Dyadic {
                mantissa: -mantissa,
                exponent: *exponent,
            },
            Real::Ratio(ratio) => Real::Ratio(Box::new(Ratio {
                numerator: -&ratio.numerator,
                denominator: ratio.denominator.clone(),
            })),
            Real::Near(interval) => Real::Near(interval.negated()),
        }
    }

    pub fn plus(&self, other: &Real) -> Real {
        match (self, other) {
            (Real::Near(_), _) | (_, Real::Near(_)) => {
                Real::Near(self.interval().plus(other.interval()))
            }
            _ if self.is_zero() => other.clone(),
            _ if other.is_zero() => self.clone(),
            _ => dyadic_sum(self, other).unwrap_or_else(|| {
                let (a, b) = (self.ratio(), other.ratio());
                Real::Ratio(Box::new(Ratio {
                    numerator: a.numerator * &b.denominator + b.numerator * &a.denominator,
                    denominator: a.denominator * b.denominator,
                }))
            }),
        }
    }

    pub fn minus(&self, other: &Real) -> Real {
        self.plus(&other.negated())
    }

    /// Nought times a number that is only enclosed is exactly nought.
    pub fn times(&self, other: &Real) -> Real {
        match (self, other) {
            _ if self.is_zero() || other.is_zero() => Real::ZERO,
            (Real::Near(_), _) | (_, Real::Near(_)) => {
                Real::Near(self.interval().times(other.interval()))
            }
            _ => dyadic_product(self, other).unwrap_or_else(|| {
                let (a, b) = (self.ratio(), other.ratio());
                Real::Ratio(Box::new(Ratio {
                    numerator: a.numerator * b.numerator,
                    denominator: a.denominator * b.denominator,
                }))
            }),
        }
    }

    /// The quotient; an error where the divisor is nought or may be.
    pub fn over(&self, other: &Real) -> Result<Real, String> {
        if other.is_zero() {
            return Err("divides by nought".into());
        }
        if self.is_zero() {
            return Ok(Real::ZERO);
        }
        if matches!(self, Real::Near(_)) || matches!(other, Real::Near(_)) {
            return Ok(Real::Near(self.interval().over(other.interval())?));
        }
        let (a, b) = (self.ratio(), other.ratio());
        let sign = match b.numerator.sign() {
            Sign::Minus => -1,
            _ => 1,
        };
        Ok(Real::Ratio(Box::new(Ratio {
            numerator: a.numerator * b.denominator * sign,
            denominator: a.denominator * b.numerator * sign,
        })))
    }

    /// The larger one.
    pub fn max(&self, other: &Real) -> Real {
        match self.order(other) {
            Some(Ordering::Less) => other.clone(),
            Some(_) => self.clone(),
            None => Real::Near(self.interval().max(other.interval())),
        }
    }

    /// The smaller one.
    pub fn min(&self, other: &Real) -> Real {
        self.negated().max(&other.negated()).negated()
    }

    /// The order of two exact numbers; none where one is only enclosed.
    pub fn order(&self, other: &Real) -> Option<Ordering> {
        if matches!(self, Real::Near(_)) || matches!(other, Real::Near(_)) {
            return None;
        }
        Some(match self.minus(other) {
            Real::Dyadic { mantissa, .. } => mantissa.cmp(&0),
            Real::Ratio(ratio) => ratio.numerator.cmp(&BigInt::ZERO),
            Real::Near(_) => return None,
        })
    }

    /// The nearest integer, of two equally near ones the even one; far ones are drawn in.
    ///
    /// # Errors
    /// When the number is only enclosed and the enclosure holds a boundary between integers.
    pub fn rounded(&self) -> Result<i64, String> {
        match self {
            Real::Near(interval) => interval.rounded(),
            Real::Dyadic { mantissa, exponent } => Ok(rounded_dyadic(*mantissa, *exponent)),
            Real::Ratio(ratio) => Ok(ratio.rounded()),
        }
    }

    /// This number over `step`, rounded as [`Real::rounded`] does.
    ///
    /// # Errors
    /// When the quotient is no number or cannot be rounded.
    pub fn steps(&self, step: &Real) -> Result<i64, String> {
        match (self, step) {
            (Real::Dyadic { .. }, Real::Dyadic { .. }) => match dyadic_steps(self, step) {
                Some(steps) => Ok(steps),
                None => self.over(step)?.rounded(),
            },
            _ => self.over(step)?.rounded(),
        }
    }

    /// A float near the number, for people and for bounds.
    pub fn approximate(&self) -> f64 {
        match self {
            Real::Near(interval) => interval.middle(),
            Real::Dyadic { mantissa, exponent } => scaled(*mantissa as f64, *exponent),
            Real::Ratio(ratio) => ratio.approximate(),
        }
    }

    /// An interval that holds the number.
    pub fn interval(&self) -> Interval {
        match self {
            Real::Near(interval) => *interval,
            exact => Interval::around(exact.approximate()),
        }
    }

    fn ratio(&self) -> Ratio {
        match self {
            Real::Ratio(ratio) => (**ratio).clone(),
            Real::Dyadic { mantissa, exponent } => {
                let power = BigInt::from(1) << exponent.unsigned_abs();
                match *exponent >= 0 {
                    true => Ratio {
                        numerator: BigInt::from(*mantissa) * power,
                        denominator: BigInt::from(1),
                    },
                    false => Ratio {
                        numerator: BigInt::from(*mantissa),
                        denominator: power,
                    },
                }
            }
            Real::Near(_) => unreachable!("an enclosure is no ratio"),
        }
    }
}

impl Ratio {
    fn rounded(&self) -> i64 {
        let (mut floor, mut rest) = (
            &self.numerator / &self.denominator,
            &self.numerator % &self.denominator,
        );
        if rest.sign() == Sign::Minus {
            floor -= 1;
            rest += &self.denominator;
        }
        let far = || match self.numerator.sign() {
            Sign::Minus => -FAR,
            _ => FAR,
        };
        let floor = i64::try_from(&floor).unwrap_or_else(|_| far());
        nearest(floor.clamp(-FAR, FAR), (rest * 2_u8).cmp(&self.denominator))
    }

    fn approximate(&self) -> f64 {
        let bits = |value: &BigInt| i32::try_from(value.bits()).unwrap_or(i32::MAX);
        let lift = 66 - (bits(&self.numerator) - bits(&self.denominator));
        let quotient = match lift >= 0 {
            true => (&self.numerator << lift.unsigned_abs()) / &self.denominator,
            false => &self.numerator / (&self.denominator << lift.unsigned_abs()),
        };
        let quotient = i128::try_from(&quotient).unwrap_or(0);
        scaled(quotient as f64, -lift)
    }
}

/// The mantissas of two dyadic numbers at their smaller exponent, and that; none where one is not dyadic or does not fit.
fn aligned(a: &Real, b: &Real) -> Option<(i128, i128, i32)> {
    let ((a, of_a), (b, of_b)) = (a.dyadic()?, b.dyadic()?);
    let exponent = of_a.min(of_b);
    Some((
        lifted(a, of_a - exponent)?,
        lifted(b, of_b - exponent)?,
        exponent,
    ))
}

fn dyadic_sum(a: &Real, b: &Real) -> Option<Real> {
    let (a, b, exponent) = aligned(a, b)?;
    let mantissa = a.checked_add(b)?;
    Some(Real::Dyadic { mantissa, exponent })
}

fn dyadic_product(a: &Real, b: &Real) -> Option<Real> {
    let ((a, of_a), (b, of_b)) = (a.dyadic()?, b.dyadic()?);
    Some(Real::Dyadic {
        mantissa: a.checked_mul(b)?,
        exponent: of_a + of_b,
    })
}

/// The rounded quotient; none where it takes more than 128 bits or the divisor is not positive.
fn dyadic_steps(a: &Real, b: &Real) -> Option<i64> {
    let (numerator, denominator, _) = aligned(a, b)?;
    if denominator <= 0 {
        return None;
    }
    let (floor, rest) = (
        numerator.div_euclid(denominator),
        numerator.rem_euclid(denominator),
    );
    let floor = floor.clamp(-i128::from(FAR), i128::from(FAR)) as i64;
    Some(nearest(floor, rest.cmp(&(denominator - rest))))
}

/// `mantissa · 2^up`; none where it does not fit.
fn lifted(mantissa: i128, up: i32) -> Option<i128> {
    let up = up.unsigned_abs();
    (mantissa.unsigned_abs().leading_zeros() > up + 1).then(|| mantissa << up)
}

fn rounded_dyadic(mantissa: i128, exponent: i32) -> i64 {
    if mantissa == 0 {
        return 0;
    }
    let bits = (128 - mantissa.unsigned_abs().leading_zeros()) as i32;
    if bits + exponent > 41 {
        return if mantissa < 0 { -FAR } else { FAR };
    }
    if exponent >= 0 {
        return (mantissa << exponent) as i64;
    }
    let down = exponent.unsigned_abs();
    if down > 126 {
        return 0;
    }
    let floor = mantissa >> down;
    let (rest, half) = (mantissa - (floor << down), 1_i128 << (down - 1));
    nearest(floor as i64, rest.cmp(&half))
}

/// The integer nearest to `floor` and a rest that is less than, equal to or more than a half.
fn nearest(floor: i64, rest_to_half: Ordering) -> i64 {
    match rest_to_half {
        Ordering::Less => floor,
        Ordering::Greater => floor + 1,
        Ordering::Equal => floor + (floor & 1),
    }
}

/// `value · 2^exponent` without an early overflow or underflow.
fn scaled(value: f64, exponent: i32) -> f64 {
    let half = (exponent / 2).clamp(-1000, 1000);
    value * 2_f64.powi(half) * 2_f64.powi(exponent - half)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn float(value: f32) -> Real {
        Real::from_f32(value).unwrap()
    }

    fn quotient(a: f32, b: f32) -> i64 {
        let rounded = float(a).over(&float(b)).unwrap().rounded().unwrap();
        assert_eq!(float(a).steps(&float(b)).unwrap(), rounded);
        rounded
    }

    #[test]
    fn halves_go_to_the_even_integer() {
        for (value, expected) in [(2.5, 2), (3.5, 4), (-2.5, -2), (-3.5, -4), (-0.5, 0)] {
            assert_eq!(float(value).rounded().unwrap(), expected, "{value}");
            assert_eq!(quotient(value * 3.0, 3.0), expected, "{value}");
        }
        assert_eq!(quotient(2.500_000_2, 1.0), 3);
        assert!(quotient(1e30, 1e-30) >= FAR);
        assert!(quotient(-1e30, 1e-30) <= -FAR);
        assert_eq!(quotient(1e-30, 1e30), 0);
    }

    #[test]
    fn a_sum_keeps_what_lies_far_below() {
        let tiny = float(1e-38).times(&float(1e-38)).times(&float(1e-38));
        let sum = float(2.5).plus(&tiny);
        assert!(matches!(sum, Real::Ratio(_)));
        assert_eq!(sum.rounded().unwrap(), 3);
        assert_eq!(sum.minus(&tiny).rounded().unwrap(), 2);
        assert_eq!(sum.order(&float(2.5)), Some(Ordering::Greater));
    }

    #[test]
    fn thirds_add_up() {
        let third = Real::integer(1).over(&Real::integer(3)).unwrap();
        let one = third.plus(&third).plus(&third);
        assert_eq!(one.order(&Real::integer(1)), Some(Ordering::Equal));
        assert!((third.approximate() - 1.0 / 3.0).abs() < 1e-16);
        assert!(Real::integer(1).over(&Real::ZERO).is_err());
        let negative = Real::integer(1).over(&Real::integer(-2)).unwrap();
        assert_eq!(negative.rounded().unwrap(), 0);
        assert_eq!(negative.approximate(), -0.5);
    }

    #[test]
    fn the_larger_is_the_larger() {
        assert_eq!(float(-1.0).max(&Real::ZERO).rounded().unwrap(), 0);
        assert_eq!(float(7.0).min(&float(6.0)).rounded().unwrap(), 6);
    }

    #[test]
    fn floats_that_are_no_numbers_are_refused() {
        assert!(Real::from_f32(f32::NAN).is_err() && Real::from_f32(f32::INFINITY).is_err());
        assert_eq!(float(f32::from_bits(1)).approximate(), 2_f64.powi(-149));
    }
}
