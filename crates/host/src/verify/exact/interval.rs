//! Enclosures of numbers that are not rational.
//!
//! Bounds are `f64`. Every operation widens its result by four units in the last place, twice what
//! the functions of the platform's mathematical library are off by, so an enclosure after a few
//! operations is relatively as wide as 2^-48: about 10^-12 of the step of an 8-bit tensor. A value
//! is rounded only where both bounds round to the same integer.

/// A number between two others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interval {
    low: f64,
    high: f64,
}

/// Units in the last place by which a result is widened.
pub(crate) const WIDENING: u32 = 4;
/// The same for [`erf`].
pub(crate) const ERF_WIDENING: u32 = 512;

impl Interval {
    /// The numbers that a float may have been rounded from.
    pub fn around(value: f64) -> Interval {
        widened(value, value)
    }

    pub fn middle(self) -> f64 {
        self.low + (self.high - self.low) / 2.0
    }

    pub fn negated(self) -> Interval {
        Interval {
            low: -self.high,
            high: -self.low,
        }
    }

    pub fn plus(self, other: Interval) -> Interval {
        widened(self.low + other.low, self.high + other.high)
    }

    pub fn times(self, other: Interval) -> Interval {
        hull([
            self.low * other.low,
            self.low * other.high,
            self.high * other.low,
            self.high * other.high,
        ])
    }

    pub fn over(self, other: Interval) -> Result<Interval, String> {
        if other.low <= 0.0 && other.high >= 0.0 {
            return Err("divides by what may be nought".into());
        }
        Ok(hull([
            self.low / other.low,
            self.low / other.high,
            self.high / other.low,
            self.high / other.high,
        ]))
    }

    pub fn max(self, other: Interval) -> Interval {
        Interval {
            low: self.low.max(other.low),
            high: self.high.max(other.high),
        }
    }

    /// A function that never falls, of every number in the interval. `error` is by how many units
    /// in the last place it may be off.
    pub fn rising(self, error: u32, function: fn(f64) -> f64) -> Result<Interval, String> {
        let (low, high) = (function(self.low), function(self.high));
        match low.is_finite() && high.is_finite() {
            true => Ok(widened_by(error, low, high)),
            false => Err(format!("is not a number at {}", self.middle())),
        }
    }

    /// The integer nearest to every number in the interval.
    pub fn rounded(self) -> Result<i64, String> {
        let (low, high) = (self.low.round_ties_even(), self.high.round_ties_even());
        match low == high {
            true => Ok(low as i64),
            false => Err(format!(
                "a value between {} and {} steps is too near to a rounding boundary to decide",
                self.low, self.high
            )),
        }
    }
}

fn hull(values: [f64; 4]) -> Interval {
    widened(
        values.into_iter().fold(f64::INFINITY, f64::min),
        values.into_iter().fold(f64::NEG_INFINITY, f64::max),
    )
}

fn widened(low: f64, high: f64) -> Interval {
    widened_by(WIDENING, low, high)
}

fn widened_by(units: u32, mut low: f64, mut high: f64) -> Interval {
    for _ in 0..units {
        (low, high) = (low.next_down(), high.next_up());
    }
    Interval { low, high }
}

/// The error function: its series of positive terms, whose sum is off by at most its length in
/// units in the last place; from 6 on it is 1 less at most 2.2·10^-17.
pub(crate) fn erf(x: f64) -> f64 {
    if x.abs() >= 6.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= 2.0 * x * x / f64::from(2 * n + 1);
        sum += term;
    }
    sum * (-x * x).exp() * std::f64::consts::FRAC_2_SQRT_PI
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enclosures_hold_the_number_and_are_narrow() {
        let e = Interval::around(1.0).rising(WIDENING, f64::exp).unwrap();
        assert!(e.low < std::f64::consts::E && std::f64::consts::E < e.high);
        assert!(e.high - e.low < 1e-14);
        let one = e.over(e).unwrap();
        assert!(one.low <= 1.0 && 1.0 <= one.high && one.high - one.low < 1e-13);
    }

    #[test]
    fn a_boundary_inside_is_not_decided() {
        assert!(Interval::around(2.5).rounded().is_err());
        assert_eq!(Interval::around(2.499_999).rounded().unwrap(), 2);
        assert!(Interval::around(1.0).over(Interval::around(0.0)).is_err());
        assert!(Interval::around(1e9).rising(WIDENING, f64::exp).is_err());
    }

    #[test]
    fn the_error_function_has_its_known_values() {
        for (x, expected) in [
            (0.5, 0.520_499_877_813_046_5),
            (1.0, 0.842_700_792_949_714_9),
            (3.0, 0.999_977_909_503_001_4),
            (-1.0, -0.842_700_792_949_714_9),
        ] {
            assert!((erf(x) - expected).abs() < 1e-14, "{x}");
        }
    }
}
