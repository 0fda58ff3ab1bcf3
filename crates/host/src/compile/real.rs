//! Real numbers while compiling: rational ones exactly, others to some fifty digits.
//!
//! A number that is not rational is held as an integer of steps of 2^-192, off by a few steps for
//! every operation. It is rounded to a code only where it is farther from the boundary between two
//! codes than 2^-96 of itself, which is many orders more than it can be off by.

use num_bigint::{BigInt, Sign};
use std::cmp::Ordering;

/// Binary places of a number that is not rational.
const PLACES: usize = 192;
/// Numbers of steps below which such a number is too near to a boundary or to nought.
const DOUBT: usize = 96;
/// Exponents beyond this leave the range of every scale.
const FAR: i64 = 4096;

#[derive(Clone, Debug)]
pub(crate) enum Real {
    /// Numerator and positive denominator.
    Exact(BigInt, BigInt),
    /// Steps of 2^-[`PLACES`].
    Near(BigInt),
}

impl Real {
    pub fn integer(value: i64) -> Real {
        Real::Exact(value.into(), 1.into())
    }

    /// The value of a finite float.
    pub fn from_f32(value: f32) -> Option<Real> {
        if !value.is_finite() {
            return None;
        }
        let bits = value.to_bits();
        let (biased, fraction) = ((bits >> 23 & 0xFF) as i32, i64::from(bits & 0x7F_FFFF));
        let magnitude = fraction | if biased == 0 { 0 } else { 0x80_0000 };
        let mantissa = BigInt::from(if value < 0.0 { -magnitude } else { magnitude });
        let exponent = biased.max(1) - 150;
        let power = BigInt::from(1) << exponent.unsigned_abs();
        Some(match exponent >= 0 {
            true => Real::Exact(mantissa * power, 1.into()),
            false => Real::Exact(mantissa, power),
        })
    }

    /// Steps of 2^-[`PLACES`], rounded down.
    fn steps(&self) -> BigInt {
        match self {
            Real::Exact(numerator, denominator) => (numerator << PLACES) / denominator,
            Real::Near(steps) => steps.clone(),
        }
    }

    fn is_zero(&self) -> bool {
        matches!(self, Real::Exact(numerator, _) if numerator.sign() == Sign::NoSign)
    }

    pub fn is_negative(&self) -> bool {
        let (Real::Exact(value, _) | Real::Near(value)) = self;
        value.sign() == Sign::Minus
    }

    pub fn negated(&self) -> Real {
        match self {
            Real::Exact(numerator, denominator) => Real::Exact(-numerator, denominator.clone()),
            Real::Near(steps) => Real::Near(-steps),
        }
    }

    pub fn plus(&self, other: &Real) -> Real {
        match (self, other) {
            (Real::Exact(a, b), Real::Exact(c, d)) => Real::Exact(a * d + c * b, b * d),
            _ => Real::Near(self.steps() + other.steps()),
        }
    }

    pub fn minus(&self, other: &Real) -> Real {
        self.plus(&other.negated())
    }

    pub fn times(&self, other: &Real) -> Real {
        match (self, other) {
            (Real::Exact(a, b), Real::Exact(c, d)) => Real::Exact(a * c, b * d),
            _ if self.is_zero() || other.is_zero() => Real::integer(0),
            (Real::Exact(a, b), Real::Near(steps)) | (Real::Near(steps), Real::Exact(a, b)) => {
                Real::Near(steps * a / b)
            }
            (Real::Near(a), Real::Near(b)) => Real::Near((a * b) >> PLACES),
        }
    }

    /// None where the divisor is nought, or so near that the quotient would be vague.
    pub fn over(&self, other: &Real) -> Option<Real> {
        match (self, other) {
            (_, Real::Exact(numerator, denominator)) => match numerator.sign() {
                Sign::NoSign => None,
                Sign::Plus => {
                    Some(self.times(&Real::Exact(denominator.clone(), numerator.clone())))
                }
                Sign::Minus => Some(self.times(&Real::Exact(-denominator, -numerator))),
            },
            _ if self.is_zero() => Some(Real::integer(0)),
            (_, Real::Near(divisor)) => (divisor.bits() > (PLACES - 32) as u64)
                .then(|| Real::Near((self.steps() << PLACES) / divisor)),
        }
    }

    pub fn larger(&self, other: &Real) -> Real {
        match self.minus(other).is_negative() {
            true => other.clone(),
            false => self.clone(),
        }
    }

    pub fn smaller(&self, other: &Real) -> Real {
        self.negated().larger(&other.negated()).negated()
    }

    pub fn absolute(&self) -> Real {
        self.larger(&self.negated())
    }

    /// `e^x`; exact at nought, where alone it is rational. None beyond the range of floats.
    pub fn exponential(&self) -> Option<Real> {
        if self.is_zero() {
            return Some(Real::integer(1));
        }
        let x = self.steps();
        if x > BigInt::from(FAR) << PLACES {
            return None;
        }
        if x < BigInt::from(-FAR) << PLACES {
            return Some(Real::Near(0.into()));
        }
        Some(Real::Near(exponential(&x)))
    }

    /// The natural logarithm of a positive number; exact at one.
    pub fn logarithm(&self) -> Option<Real> {
        if self.minus(&Real::integer(1)).is_zero() {
            return Some(Real::integer(0));
        }
        let x = self.steps();
        (x.sign() == Sign::Plus && x.bits() > DOUBT as u64).then(|| Real::Near(logarithm(&x)))
    }

    /// The square root of a number that is not negative; exact where it is rational.
    pub fn square_root(&self) -> Option<Real> {
        if self.is_negative() {
            return None;
        }
        if let Real::Exact(numerator, denominator) = self {
            // a/b = ab/b², so the root is that of ab over b.
            let product = numerator * denominator;
            let root = product.sqrt();
            if &root * &root == product {
                return Some(Real::Exact(root, denominator.clone()));
            }
            let root = (product << (2 * PLACES)).sqrt();
            return Some(Real::Near(root / denominator));
        }
        Some(Real::Near((self.steps() << PLACES).sqrt()))
    }

    /// `1 / (1 + e^-x)`.
    pub fn sigmoid(&self) -> Option<Real> {
        let one = Real::integer(1);
        let small = self.absolute().negated().exponential()?;
        let positive = one.over(&one.plus(&small))?;
        Some(match self.is_negative() {
            true => one.minus(&positive),
            false => positive,
        })
    }

    /// `2·sigmoid(2x) - 1`.
    pub fn tangent(&self) -> Option<Real> {
        let two = Real::integer(2);
        let twice = two.times(&self.times(&two).sigmoid()?);
        Some(twice.minus(&Real::integer(1)))
    }

    /// `2/√π·∫₀ˣ e^(-t²) dt`.
    pub fn error_function(&self) -> Real {
        if self.is_zero() {
            return Real::integer(0);
        }
        let x = self.absolute().steps();
        // From 12 on it is less than a step of 2^-192 below one.
        let one = BigInt::from(1) << PLACES;
        let value = match x < BigInt::from(12) << PLACES {
            true => error_function(&x),
            false => one,
        };
        Real::Near(if self.is_negative() { -value } else { value })
    }

    /// The value divided by a scale, rounded half to even, plus a zero point, saturated. None where
    /// it is too near to a boundary to be sure.
    pub fn code(&self, scale: f32, zero_point: i32) -> Option<i8> {
        let quotient = self.over(&Real::from_f32(scale)?)?;
        let steps = quotient
            .rounded()?
            .clamp(BigInt::from(-1024), BigInt::from(1024));
        let code = i32::try_from(&steps).ok()? + zero_point;
        Some(code.clamp(-128, 127) as i8)
    }

    /// The nearest integer, of two equally near ones the even one.
    pub fn rounded(&self) -> Option<BigInt> {
        let (numerator, denominator) = match self {
            Real::Exact(numerator, denominator) => (numerator.clone(), denominator.clone()),
            Real::Near(steps) => (steps.clone(), BigInt::from(1) << PLACES),
        };
        let (mut floor, mut rest) = (&numerator / &denominator, &numerator % &denominator);
        if rest.sign() == Sign::Minus {
            floor -= 1;
            rest += &denominator;
        }
        let beside: BigInt = (rest << 1) - &denominator;
        let doubt = (numerator.bits() + 1).saturating_sub(DOUBT as u64);
        if matches!(self, Real::Near(_)) && beside.bits() <= doubt.max(DOUBT as u64) {
            return None;
        }
        let up = match beside.cmp(&BigInt::ZERO) {
            Ordering::Less => false,
            Ordering::Greater => true,
            Ordering::Equal => floor.bit(0),
        };
        Some(if up { floor + 1 } else { floor })
    }
}

/// `e^x` by the series of `x/2^s`, squared `s` times, with as many more places.
fn exponential(x: &BigInt) -> BigInt {
    const HALVINGS: usize = 24;
    let places = PLACES + 2 * HALVINGS;
    let one = BigInt::from(1) << places;
    let small: BigInt = x << HALVINGS;
    let (mut term, mut sum) = (one.clone(), one);
    for n in 1_u32.. {
        term = ((term * &small) >> places) / n;
        if term.sign() == Sign::NoSign || (term.sign() == Sign::Minus && term.bits() <= 1) {
            break;
        }
        sum += &term;
    }
    for _ in 0..HALVINGS {
        sum = (&sum * &sum) >> places;
    }
    sum >> (2 * HALVINGS)
}

/// `ln x` as `e·ln 2 + ln m`, `m` between a half and one.
fn logarithm(x: &BigInt) -> BigInt {
    let exponent = x.bits() as i64 - PLACES as i64;
    let mantissa = match exponent >= 0 {
        true => x >> exponent.unsigned_abs(),
        false => x << exponent.unsigned_abs(),
    };
    let two = BigInt::from(2) << PLACES;
    BigInt::from(exponent) * near_one(&two) + near_one(&mantissa)
}

/// `ln m = 2·artanh((m - 1)/(m + 1))`.
fn near_one(m: &BigInt) -> BigInt {
    let one = BigInt::from(1) << PLACES;
    let z: BigInt = ((m - &one) << PLACES) / (m + &one);
    let square: BigInt = (&z * &z) >> PLACES;
    let (mut power, mut sum) = (z.clone(), z);
    for n in 1_u32..200 {
        power = (power * &square) >> PLACES;
        sum += &power / (2 * n + 1);
    }
    sum << 1
}

/// `2/√π·e^(-x²)·Σ 2^n·x^(2n+1)/(1·3·…·(2n+1))`, whose terms are all positive.
fn error_function(x: &BigInt) -> BigInt {
    let square: BigInt = (x * x) >> PLACES;
    let (mut term, mut sum) = (x.clone(), x.clone());
    for n in 1_u32.. {
        term = ((term * &square) >> (PLACES - 1)) / (2 * n + 1);
        if term.sign() == Sign::NoSign {
            break;
        }
        sum += &term;
    }
    let root: BigInt = (pi() << PLACES).sqrt();
    let scaled: BigInt = (sum * exponential(&-square)) >> (PLACES - 1);
    (scaled << PLACES) / root
}

/// `π = 16·arctan(1/5) - 4·arctan(1/239)`.
fn pi() -> BigInt {
    let arctangent = |inverse: u32| {
        let mut power = (BigInt::from(1) << PLACES) / inverse;
        let mut sum = power.clone();
        for n in 1_u32..200 {
            power = -power / (inverse * inverse);
            sum += &power / (2 * n + 1);
        }
        sum
    };
    arctangent(5) * 16 - arctangent(239) * 4
}

#[cfg(test)]
mod tests {
    use super::*;

    fn real(value: f32) -> Real {
        Real::from_f32(value).unwrap()
    }

    /// As a float, for comparison.
    fn float(value: &Real) -> f64 {
        let steps = value.steps() >> (PLACES - 100);
        i128::try_from(&steps).unwrap() as f64 / 2_f64.powi(100)
    }

    fn close(value: &Real, expected: f64) {
        let error = (float(value) - expected).abs();
        assert!(
            error <= 4e-15 * expected.abs().max(1e-6),
            "{} is not {expected}",
            float(value)
        );
    }

    #[test]
    fn functions_agree_with_double_precision() {
        for x in [-30.0_f32, -3.7, -0.01, 1e-5, 0.3, 1.0, 2.5, 11.0] {
            let (exact, wide) = (real(x), f64::from(x));
            close(&exact.sigmoid().unwrap(), 1.0 / (1.0 + (-wide).exp()));
            close(&exact.tangent().unwrap(), wide.tanh());
            if x < 12.0 {
                close(&exact.exponential().unwrap(), wide.exp());
            }
            if x > 0.0 {
                close(&exact.logarithm().unwrap(), wide.ln());
                close(&exact.square_root().unwrap(), wide.sqrt());
            }
        }
    }

    #[test]
    fn fifty_digits_of_known_numbers_are_right() {
        let digits = |value: &BigInt| ((value * BigInt::from(10).pow(50)) >> PLACES).to_string();
        let e = Real::integer(1).exponential().unwrap().steps();
        assert_eq!(
            digits(&e)[..50],
            *"27182818284590452353602874713526624977572470936999"
        );
        assert_eq!(
            digits(&pi())[..50],
            *"31415926535897932384626433832795028841971693993751"
        );
        let two = Real::integer(2).logarithm().unwrap().steps();
        assert_eq!(
            digits(&two)[..50],
            *"69314718055994530941723212145817656807550013436025"
        );
        let erf = Real::integer(1).error_function().steps();
        assert_eq!(
            digits(&erf)[..50],
            *"84270079294971486934122063508260925929606699796630"
        );
    }

    #[test]
    fn rational_results_stay_exact() {
        let quarter = real(0.25).square_root().unwrap();
        assert!(matches!(quarter, Real::Exact(..)));
        assert_eq!(quarter.code(0.2, 0), real(0.5).code(0.2, 0));
        let half = real(0.0).sigmoid().unwrap();
        assert_eq!(half.code(1.0, 0), Some(0));
        assert_eq!(real(1.5).code(1.0, 3), Some(5));
        assert_eq!(real(-2.5).code(1.0, 0), Some(-2));
        assert_eq!(real(1e30).code(1e-30, 0), Some(127));
    }

    #[test]
    fn a_number_on_a_boundary_is_not_rounded_by_chance() {
        let half = Real::Near(BigInt::from(1) << (PLACES - 1));
        assert!(half.rounded().is_none());
        let above = Real::Near((BigInt::from(1) << (PLACES - 1)) + (BigInt::from(1) << 120));
        assert_eq!(above.rounded(), Some(1.into()));
    }

    #[test]
    fn division_by_nearly_nought_is_refused() {
        assert!(real(1.0).over(&Real::integer(0)).is_none());
        let tiny = real(-300.0).exponential().unwrap();
        assert!(real(1.0).over(&tiny).is_none());
        assert!(real(-1.0).square_root().is_none());
        assert!(real(1e30).exponential().is_none());
    }
}
