//! Requantisation with one multiply, proved equal to the exact one.
//!
//! # What is to be matched
//!
//! The exact result of a sum `a` is `y(a) = sat(round((a·P + Q) / (D·2^shift)) + y₀)`. It never falls
//! as `a` grows, because `P ≥ 0`, so between two results lies one threshold: the least sum `a_t`
//! that gives at least `t`. At most 255 thresholds describe `y` completely.
//!
//! # What a device computes
//!
//! With `F = M` in even channels, `F = 256·M` in odd ones, and `S = 32 + e` or `40 + e`:
//!
//! ```text
//! (⌊(a + b)·F / 2³²⌋ + R) >> (S - 32)  =  ⌊(a·F + O) / 2^S⌋      O = b·F + R·2³²
//! ```
//!
//! because `R` is whole and a floor of a floor is a floor. This, too, never falls. So both agree
//! on every sum in reach if they do at the thresholds and beside them:
//!
//! ```text
//! a_t·F + O ≥ t·2^S        (a_t - 1)·F + O < t·2^S        for every threshold in reach
//! ```
//!
//! For a given `M` that is an interval of `O`. `M` is the real factor `P·2^S/(D·2^shift·256^odd)`
//! rounded, or a neighbour. `b` starts at the whole part of `Q/P`; moving it by `k` moves `O` by
//! `k·F`, whose remainder modulo 2³² is as good as random, so that some small `k` with the right
//! `R` hits the interval. What was found is checked again by computing both sides as the device and
//! the reference do, at every threshold, beside it, and at both ends of the reach.
//!
//! It fails where two sums lie on a tie that half-to-even rounds in different directions, as with
//! scales that are powers of two; then the exact path stays.

/// The exact requantisation of a channel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exact {
    pub factor: i128,
    pub offset: i128,
    pub divisor: i128,
    pub shift: u32,
    pub zero_point: i32,
}

/// Constants of a channel for the device: start of the sum, factor and offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fast {
    pub start: i32,
    pub factor: i32,
    pub offset: i32,
    pub shift: u32,
}

/// Largest right shift: with 8 more in odd channels, offsets stay below 2³¹.
const MAX_SHIFT: u32 = 15;
/// How many smaller shifts are tried, in case multiples of a factor lie close together modulo 2³².
const SHIFTS: u32 = 3;
/// How far the start of a sum is moved in search of a fit.
const MAX_MOVE: i64 = 1 << 17;
/// Where sums start at most, so that there is room for the sum; what a bias has more is in the offset.
const MAX_START: i128 = 1 << 21;
/// Neighbours of the rounded factor that are tried.
const FACTORS: [i64; 5] = [0, 1, -1, 2, -2];

impl Exact {
    /// The result for a sum.
    pub fn result(&self, sum: i64) -> i32 {
        let numerator = i128::from(sum) * self.factor + self.offset;
        let denominator = self.divisor << self.shift.min(100);
        let (floor, rest) = (
            numerator.div_euclid(denominator),
            numerator.rem_euclid(denominator),
        );
        let up = match (rest * 2).cmp(&denominator) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Greater => 1,
            std::cmp::Ordering::Equal => floor & 1,
        };
        let value = floor
            .saturating_add(up)
            .saturating_add(i128::from(self.zero_point));
        value.clamp(-128, 127) as i32
    }

    /// Real steps of the result for one of the sum.
    fn scale(&self) -> f64 {
        self.factor as f64 / self.divisor as f64 * (-f64::from(self.shift)).exp2()
    }

    /// The largest right shift with which the factor fits 31 bits.
    fn device_shift(&self) -> u32 {
        let room = -(self.scale() * 2.0).log2();
        (room.ceil() - 1.0).clamp(0.0, f64::from(MAX_SHIFT)) as u32
    }

    /// Least sum in `reach` that gives at least each result; those all sums or none give are left out.
    fn thresholds(&self, (low, high): (i64, i64)) -> Vec<(i64, i64)> {
        let (first, last) = (self.result(low), self.result(high));
        let mut from = low;
        let mut thresholds = Vec::new();
        for result in first + 1..=last {
            let (mut below, mut at) = (from - 1, high);
            while at - below > 1 {
                let middle = below + (at - below) / 2;
                if self.result(middle) >= result {
                    at = middle;
                } else {
                    below = middle;
                }
            }
            from = at;
            thresholds.push((i64::from(result), at));
        }
        thresholds
    }
}

/// Constants that give the exact result for every sum in `reach`; none where none are found.
pub(crate) fn fit(exact: &Exact, reach: (i64, i64), is_odd: bool) -> Option<Fast> {
    let shift = exact.device_shift();
    let search = Search {
        exact,
        reach,
        thresholds: exact.thresholds(reach),
        device: Device { is_odd },
    };
    if search.thresholds.is_empty() {
        return Some(constant(exact.result(reach.0), shift, is_odd));
    }
    let shifts = (shift.saturating_sub(SHIFTS)..=shift).rev();
    let mut tried = shifts.flat_map(|shift| FACTORS.map(|near| (shift, near)));
    tried.find_map(|(shift, near)| search.near(shift, near))
}

/// A channel whose constants are looked for.
struct Search<'e> {
    exact: &'e Exact,
    reach: (i64, i64),
    thresholds: Vec<(i64, i64)>,
    device: Device,
}

impl Search<'_> {
    /// Constants with this shift and the rounded factor moved by `near`.
    fn near(&self, shift: u32, near: i64) -> Option<Fast> {
        let lift = if self.device.is_odd { 8 } else { 0 };
        let rounded = (self.exact.scale() * f64::from(shift + 32).exp2()).round() as i64;
        let factor = i32::try_from(rounded + near).ok();
        let factor = factor.filter(|&factor| factor >= 0)?;
        let whole = i128::from(self.device.whole(factor));
        let (low, high) = self.window(whole, 32 + shift + lift)?;
        let bias = self.exact.offset.checked_div(self.exact.factor);
        let start = bias.unwrap_or(0).clamp(-MAX_START, MAX_START) as i64;
        let mut moves = (0..=MAX_MOVE).flat_map(|step| [step, -step]);
        moves.find_map(|step| {
            let start = i32::try_from(start + step).ok()?;
            let base = i128::from(start) * whole;
            let offset = -((base - low).div_euclid(1 << 32));
            if base + (offset << 32) >= high {
                return None;
            }
            let fast = Fast {
                start,
                factor,
                offset: i32::try_from(offset).ok()?,
                shift,
            };
            self.is_proved(fast).then_some(fast)
        })
    }

    /// The `O` that put every threshold in its place: from the first on, below the second.
    fn window(&self, whole: i128, total: u32) -> Option<(i128, i128)> {
        let at = |result: i64, sum: i64| (i128::from(result) << total) - i128::from(sum) * whole;
        let [first, last] =
            [self.reach.0, self.reach.1].map(|sum| i64::from(self.exact.result(sum)));
        let from = self.thresholds.iter().map(|&(result, sum)| at(result, sum));
        let before = |&(result, sum): &(i64, i64)| at(result, sum - 1);
        let below = self.thresholds.iter().map(before);
        let lowest = (first > -128).then(|| at(first, self.reach.0));
        let highest = (last < 127).then(|| at(last + 1, self.reach.1));
        let low = from.chain(lowest).max()?;
        let high = below.chain(highest).min()?;
        (low < high).then_some((low, high))
    }

    /// Whether the device gives the exact result at every threshold, beside it, and at the ends.
    fn is_proved(&self, fast: Fast) -> bool {
        let beside = self.thresholds.iter().flat_map(|&(_, sum)| [sum - 1, sum]);
        beside
            .chain([self.reach.0, self.reach.1])
            .all(|sum| self.device.result(fast, sum) == Some(self.exact.result(sum)))
    }
}

/// Constants of a channel that always gives `result`.
fn constant(result: i32, shift: u32, is_odd: bool) -> Fast {
    Fast {
        start: 0,
        factor: 0,
        offset: result << (shift + if is_odd { 8 } else { 0 }),
        shift,
    }
}

/// What the loops compute.
#[derive(Clone, Copy)]
struct Device {
    is_odd: bool,
}

impl Device {
    fn whole(self, factor: i32) -> i64 {
        i64::from(factor) << if self.is_odd { 8 } else { 0 }
    }

    /// The result; none where a register would overflow.
    fn result(self, fast: Fast, sum: i64) -> Option<i32> {
        let lift = if self.is_odd { 8 } else { 0 };
        let sum = i32::try_from((sum + i64::from(fast.start)) << lift).ok()?;
        let high = (i64::from(sum) * i64::from(fast.factor)) >> 32;
        let value = i32::try_from(high + i64::from(fast.offset)).ok()?;
        Some((value >> (fast.shift + lift)).clamp(-128, 127))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn every_sum(exact: &Exact, reach: (i64, i64), is_odd: bool) -> Option<Fast> {
        let fast = fit(exact, reach, is_odd)?;
        for sum in reach.0..=reach.1 {
            let got = Device { is_odd }.result(fast, sum);
            assert_eq!(got, Some(exact.result(sum)), "sum {sum} with {fast:?}");
        }
        Some(fast)
    }

    proptest! {
        #[test]
        fn a_fit_gives_the_exact_result_for_every_sum(
            factor in 1_i128 << 40..1 << 48,
            offset in -(1_i128 << 62)..1 << 62,
            divisor in 1_i128 << 23..1 << 24,
            shift in 26_u32..33,
            zero_point in -128_i32..128,
            is_odd: bool,
        ) {
            let exact = Exact { factor, offset, divisor, shift, zero_point };
            every_sum(&exact, (-60_000, 60_000), is_odd);
        }
    }

    #[test]
    fn nearly_every_channel_with_an_arbitrary_scale_fits() {
        let exact = |n: i128| Exact {
            factor: (1 << 45) + n * 98_765_432_123,
            offset: n * 1_234_567_890_123,
            divisor: (1 << 23) + n * 7919,
            shift: 30,
            zero_point: -128 + n as i32,
        };
        let fits =
            (0..100).filter(|&n| every_sum(&exact(n), (-200_000, 200_000), n & 1 == 1).is_some());
        assert!(fits.count() >= 99);
    }

    #[test]
    fn ties_of_both_directions_do_not_fit() {
        let exact = Exact {
            factor: 1,
            offset: 0,
            divisor: 1,
            shift: 4,
            zero_point: 0,
        };
        assert_eq!((exact.result(8), exact.result(24)), (0, 2));
        assert_eq!(fit(&exact, (-1000, 1000), false), None);
    }

    #[test]
    fn a_bias_far_beyond_the_sums_stays_in_the_offset() {
        let divisor = (1_i128 << 23) + 3;
        let exact = Exact {
            factor: (1 << 40) + 7,
            offset: 255 * divisor << 36,
            divisor,
            shift: 37,
            zero_point: -90,
        };
        assert_eq!((exact.result(-30_000), exact.result(30_000)), (37, 38));
        let fast = every_sum(&exact, (-30_000, 30_000), false).expect("it fits");
        assert!(exact.offset / exact.factor > i128::from(fast.start) * 10);
    }

    #[test]
    fn a_scale_of_zero_is_a_constant() {
        let exact = Exact {
            factor: 0,
            offset: 77,
            divisor: 10,
            shift: 0,
            zero_point: 5,
        };
        assert!(every_sum(&exact, (-300, 300), false).is_some());
    }
}
