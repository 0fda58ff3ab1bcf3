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
//! It fails where two sums lie on a tie that half-to-even rounds in different directions, as with scales that are
//! powers of two.
//!
//! # Ties
//!
//! Then let `t(a)` be what rounds every tie up, found and proved in the same way, but not saturated. A device that has
//! `t(a) & (t(a - 1) | !1)` instead changes nothing where `t(a - 1) = t(a)`; at a threshold, where
//! `t(a - 1) = t(a) - 1`, it gives the even one of both, as `t(a - 1) | (t(a) & 1)` gives the odd one, which is wanted
//! where `y₀` is odd. That is half-to-even if every threshold in reach that would come out as another result is a tie, as
//! with a scale of `1/(2n)` and an offset that is a multiple of it.
//!
//! What the device gives need not rise with `a`, but its value differs from `t(a)` at thresholds alone, and `t` rises. So
//! a threshold and the sums on both sides of it tell of all sums up to the next one, and those are compared, with both
//! ends of the reach. Where a threshold is no tie and its result would change, the exact path stays. So it does for
//! scales of 1 and more, for which no factor is small enough.

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
    /// How much less the sum is whose value decides ties; 0 where none are to be decided, -1 where sums are negated.
    pub step: i32,
}

impl Fast {
    /// The word of shift and step; sums of an odd channel are lifted.
    pub fn shift_word(&self, is_odd: bool) -> u32 {
        let step = self.step << if is_odd { 16 } else { 8 };
        self.shift | step.cast_unsigned()
    }
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
        self.rounded(sum, |floor| floor & 1)
    }

    /// The same with every tie rounded up.
    fn result_up(&self, sum: i64) -> i32 {
        self.rounded(sum, |_| 1)
    }

    /// The result for a sum, in which a tie adds to the whole number below what `of_tie` says.
    fn rounded(&self, sum: i64, of_tie: fn(i128) -> i128) -> i32 {
        let numerator = i128::from(sum) * self.factor + self.offset;
        let denominator = self.divisor << self.shift.min(100);
        let (floor, rest) = (
            numerator.div_euclid(denominator),
            numerator.rem_euclid(denominator),
        );
        let up = match (rest * 2).cmp(&denominator) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Greater => 1,
            std::cmp::Ordering::Equal => of_tie(floor),
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
}

/// Least sum in `reach` that gives at least each result; those all sums or none give are left out.
fn thresholds(result: impl Fn(i64) -> i32, (low, high): (i64, i64)) -> Vec<(i64, i64)> {
    let (first, last) = (result(low), result(high));
    let mut from = low;
    let mut thresholds = Vec::new();
    for value in first + 1..=last {
        let (mut below, mut at) = (from - 1, high);
        while at - below > 1 {
            let middle = below + (at - below) / 2;
            if result(middle) >= value {
                at = middle;
            } else {
                below = middle;
            }
        }
        from = at;
        thresholds.push((i64::from(value), at));
    }
    thresholds
}

/// Constants that give the exact result for every sum in `reach`, if it must be with a step for ties; none where none
/// are found.
pub(crate) fn fit(exact: &Exact, reach: (i64, i64), is_odd: bool) -> Option<Fast> {
    fit_with(exact, reach, is_odd, 0).or_else(|| fit_with(exact, reach, is_odd, 1))
}

fn fit_with(exact: &Exact, reach: (i64, i64), is_odd: bool, step: i32) -> Option<Fast> {
    let shift = exact.device_shift();
    let rule = if step == 0 {
        Exact::result
    } else {
        Exact::result_up
    };
    // The value before that of the least sum counts as well.
    let searched = (reach.0 - i64::from(step), reach.1);
    let search = Search {
        exact,
        rule,
        reach: searched,
        thresholds: thresholds(|sum| rule(exact, sum), searched),
        device: Device {
            is_odd,
            ties_to_odd: exact.zero_point & 1 == 1,
        },
        step,
    };
    if search.thresholds.is_empty() && exact.result(reach.0) == exact.result(reach.1) {
        return Some(constant(exact.result(reach.0), shift, is_odd));
    }
    if step != 0 && !search.ties_suffice() {
        return None;
    }
    let shifts = (shift.saturating_sub(SHIFTS)..=shift).rev();
    let mut tried = shifts.flat_map(|shift| FACTORS.map(|near| (shift, near)));
    tried.find_map(|(shift, near)| search.near(shift, near))
}

/// A channel whose constants are looked for.
struct Search<'e> {
    exact: &'e Exact,
    /// What the device's value is to be before ties go to the even result.
    rule: fn(&Exact, i64) -> i32,
    reach: (i64, i64),
    thresholds: Vec<(i64, i64)>,
    device: Device,
    step: i32,
}

impl Search<'_> {
    /// Whether values as they are to be found give the exact results, with ties to one of two.
    fn ties_suffice(&self) -> bool {
        self.thresholds.iter().all(|&(_, sum)| {
            let [value, before] = [sum, sum - 1].map(|sum| self.exact.result_up(sum));
            self.device.of_two(value, before) == self.exact.result(sum)
        })
    }

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
        let room = 1 << (31 - lift);
        let leaves = |(low, high): (i64, i64)| {
            low + start + MAX_MOVE < -room || high + start - MAX_MOVE >= room
        };
        if leaves(self.reach) {
            return None;
        }
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
                step: self.step,
            };
            self.is_proved(fast).then_some(fast)
        })
    }

    /// The `O` that put every threshold in its place: from the first on, below the second.
    fn window(&self, whole: i128, total: u32) -> Option<(i128, i128)> {
        let at = |result: i64, sum: i64| (i128::from(result) << total) - i128::from(sum) * whole;
        let [first, last] =
            [self.reach.0, self.reach.1].map(|sum| i64::from((self.rule)(self.exact, sum)));
        let from = self.thresholds.iter().map(|&(result, sum)| at(result, sum));
        let before = |&(result, sum): &(i64, i64)| at(result, sum - 1);
        let below = self.thresholds.iter().map(before);
        let lowest = (first > -128).then(|| at(first, self.reach.0));
        let highest = (last < 127).then(|| at(last + 1, self.reach.1));
        let low = from.chain(lowest).max()?;
        let high = below.chain(highest).min()?;
        (low < high).then_some((low, high))
    }

    /// Whether the device gives the exact result at every threshold, on both sides of it, and at the ends.
    fn is_proved(&self, fast: Fast) -> bool {
        let (low, high) = (self.reach.0 + i64::from(self.step), self.reach.1);
        let beside = |&(_, sum): &(i64, i64)| [sum - 1, sum, sum + 1];
        let beside = self.thresholds.iter().flat_map(beside);
        // The ends first: where a register overflows, it does there.
        [low, high]
            .into_iter()
            .chain(beside.filter(|sum| (low..=high).contains(sum)))
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
        step: 0,
    }
}

/// What the loops compute.
#[derive(Clone, Copy)]
struct Device {
    is_odd: bool,
    /// Whether ties go to the odd result, as where the zero point is odd.
    ties_to_odd: bool,
}

impl Device {
    fn whole(self, factor: i32) -> i64 {
        i64::from(factor) << if self.is_odd { 8 } else { 0 }
    }

    /// The result; none where a register would overflow.
    fn result(self, fast: Fast, sum: i64) -> Option<i32> {
        let value = self.value(fast, sum)?;
        let before = self.value(fast, sum - i64::from(fast.step))?;
        Some(self.of_two(value, before).clamp(-128, 127))
    }

    /// The even or the odd one of two neighbours, or the same.
    fn of_two(self, value: i32, before: i32) -> i32 {
        match self.ties_to_odd {
            false => value & (before | !1),
            true => before | (value & 1),
        }
    }

    /// The value of a sum before it is saturated.
    fn value(self, fast: Fast, sum: i64) -> Option<i32> {
        let lift = if self.is_odd { 8 } else { 0 };
        let sum = i32::try_from((sum + i64::from(fast.start)) << lift).ok()?;
        let high = (i64::from(sum) * i64::from(fast.factor)) >> 32;
        let value = i32::try_from(high + i64::from(fast.offset)).ok()?;
        Some(value >> (fast.shift + lift))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn every_sum(exact: &Exact, reach: (i64, i64), is_odd: bool) -> Option<Fast> {
        let fast = fit(exact, reach, is_odd)?;
        for sum in reach.0..=reach.1 {
            let ties_to_odd = exact.zero_point & 1 == 1;
            let device = Device {
                is_odd,
                ties_to_odd,
            };
            let got = device.result(fast, sum);
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

        #[test]
        fn scales_of_one_over_a_whole_number_fit(
            parts in 2_i128..3000,
            offset in -1_000_000_i128..1_000_000,
            zero_point in -128_i32..128,
            reach in 1_i64..40_000,
            is_odd: bool,
        ) {
            let exact = Exact { factor: 1, offset, divisor: parts, shift: 0, zero_point };
            prop_assert!(every_sum(&exact, (-reach, reach), is_odd).is_some());
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

    /// `numerator/2^shift` and an offset of so many parts.
    fn tied(numerator: i128, shift: u32, offset: i128) -> Exact {
        Exact {
            factor: numerator,
            offset,
            divisor: 1,
            shift,
            zero_point: 0,
        }
    }

    #[test]
    fn ties_of_both_directions_take_a_step() {
        let exact = tied(1, 4, 0);
        assert_eq!((exact.result(8), exact.result(24)), (0, 2));
        for is_odd in [false, true] {
            let fast = every_sum(&exact, (-3000, 3000), is_odd).expect("it fits");
            assert_eq!(fast.step, 1);
        }
    }

    #[test]
    fn sums_that_no_register_holds_are_given_up_at_once() {
        let exact = tied(1, 6, 0);
        let reach = (-(1 << 24), 1 << 24);
        assert_eq!(fit(&exact, reach, true), None);
        assert!(fit(&exact, reach, false).is_some());
    }

    #[test]
    fn thresholds_of_which_only_some_are_ties_do_not_fit() {
        let exact = tied(3, 4, 0);
        let results = [8, 24].map(|sum| (exact.result(sum), exact.result_up(sum)));
        assert_eq!(results, [(2, 2), (4, 5)]);
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
