//! Packs the weights of four channels into one stream, with start, factor and offset of each.

use super::requantisation::{Fast, fit};
use super::{IntegerLayer, Ties};
use dunlin_kernels::{GROUP, group_bytes};

/// Which weight each place of a column takes; none where the column is filled up.
pub(crate) type Places = Vec<Option<usize>>;

/// The places of runs of `run` inputs each, as a device widens them: four at a time, lanes (0, 2)
/// and (1, 3).
pub(crate) fn places(runs: usize, run: usize) -> Places {
    let quad = |start: usize, end: usize| {
        [0, 2, 1, 3].map(move |place| Some(start + place).filter(|&place| place < end))
    };
    (0..runs)
        .flat_map(|index| {
            let (first, end) = (index * run, (index + 1) * run);
            (first..end)
                .step_by(4)
                .flat_map(move |start| quad(start, end))
        })
        .collect()
}

/// Packs a layer, and says where ties go; none where a lane overflows or a channel has no proved requantisation.
///
/// Sums are modulo 2³²; the proof holds the final ones to what a register can take, 2²³ for the
/// second channel of a pair and 2³¹ for the first.
pub(crate) fn pack(layer: &IntegerLayer, places: &Places) -> Option<(Vec<u8>, Ties)> {
    let count = layer.weights.len();
    let lane = |index: usize| match layer.weights.get(index) {
        Some(weights) => Some(Lane {
            weights: weights.clone(),
            fast: fit(&layer.channel(index), layer.reach(index), index & 1 == 1)?,
            lowest: layer.reach(index).0,
        }),
        None => Some(Lane::default()),
    };
    let (mut bytes, mut ends) = (Vec::new(), Vec::new());
    for first in (0..count).step_by(GROUP) {
        let [a, b, c, d] = [0, 1, 2, 3].map(|channel| lane(first + channel));
        let (b, d) = (beside(a.as_ref()?, b?)?, beside(c.as_ref()?, d?)?);
        let lanes = [a?, b, c?, d];
        ends.extend(lanes.each_ref().map(|lane| lane.fast));
        group(&lanes, places, &mut bytes)?;
    }
    debug_assert_eq!(
        bytes.len(),
        count.div_ceil(GROUP) * group_bytes(places.len() / 2)
    );
    Some((bytes, Ties::of(layer, ends.iter())))
}

/// A channel in a group; one without weights fills the group up.
#[derive(Clone, Default)]
struct Lane {
    weights: Vec<i32>,
    fast: Fast,
    /// The least sum that can be reached.
    lowest: i64,
}

impl Lane {
    /// The same results from sums and a factor of the other sign: their product is what it was. None
    /// where 256 times a sum, or times the one before the least for ties, would leave 32 bits.
    fn negated(&self) -> Option<Lane> {
        let least = self.lowest + i64::from(self.fast.start - self.fast.step);
        (least > -(1 << 23)).then_some(())?;
        Some(Lane {
            weights: self.weights.iter().map(|weight| -weight).collect(),
            fast: Fast {
                start: -self.fast.start,
                factor: -self.fast.factor,
                step: -self.fast.step,
                ..self.fast
            },
            ..*self
        })
    }
}

/// The second channel of a pair so that every lane holds: as it is, or negated. `256·(-128) - 1` is too
/// low for a lane, `256·128 - 1` is not too high.
fn beside(low: &Lane, high: Lane) -> Option<Lane> {
    let zeros = || std::iter::repeat(&0);
    let fits = |high: &Lane| {
        let length = low.weights.len().max(high.weights.len());
        let lows = low.weights.iter().chain(zeros());
        let highs = high.weights.iter().chain(zeros());
        let mut pairs = lows.zip(highs).take(length);
        pairs.all(|(&low, &high)| joined(low, high).is_some())
    };
    if fits(&high) {
        return Some(high);
    }
    high.negated().filter(fits)
}

fn group(lanes: &[Lane; GROUP], places: &Places, bytes: &mut Vec<u8>) -> Option<()> {
    let [a, b, c, d] = lanes;
    for [low, high] in [[a, b], [c, d]] {
        let joined = high
            .fast
            .start
            .wrapping_mul(256)
            .wrapping_add(low.fast.start);
        bytes.extend(joined.to_le_bytes());
        bytes.extend(low.fast.start.to_le_bytes());
    }
    for step in places.as_chunks::<2>().0 {
        for [low, high] in [[a, b], [c, d]] {
            for place in step {
                let weight = |lane: &Lane| {
                    place
                        .and_then(|place| lane.weights.get(place).copied())
                        .unwrap_or(0)
                };
                bytes.extend(joined(weight(low), weight(high))?.to_le_bytes());
            }
        }
    }
    for (index, lane) in lanes.iter().enumerate() {
        bytes.extend(lane.fast.factor.to_le_bytes());
        bytes.extend(lane.fast.offset.to_le_bytes());
        bytes.extend(lane.fast.shift_word(index & 1 == 1).to_le_bytes());
    }
    Some(())
}

/// `256·high + low` in 16 bits, from which both can be taken again.
fn joined(low: i32, high: i32) -> Option<i16> {
    let low = i32::from(i8::try_from(low).ok()?);
    i16::try_from(256 * high + low).ok()
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::random_graph::Chance;
    use super::*;

    #[test]
    fn a_run_is_filled_up_to_four() {
        let some = |places: [usize; 4]| places.map(Some).to_vec();
        let expected = [some([0, 2, 1, 3]), vec![Some(4), None, None, None]].concat();
        assert_eq!(places(1, 5), expected);
        assert_eq!(
            places(2, 4),
            [some([0, 2, 1, 3]), some([4, 6, 5, 7])].concat()
        );
    }

    fn lane(weights: &[i32]) -> Lane {
        Lane {
            weights: weights.to_vec(),
            fast: Fast {
                start: 5,
                factor: 1 << 30,
                offset: 3,
                shift: 2,
                step: 1,
            },
            lowest: -1000,
        }
    }

    #[test]
    fn a_second_channel_is_negated_where_only_that_fits() {
        let second = |low: &[i32], high: &[i32]| beside(&lane(low), lane(high));
        let as_it_is = second(&[1, -2], &[-128, 127]).expect("it fits");
        assert_eq!(
            (as_it_is.weights, as_it_is.fast.start),
            (vec![-128, 127], 5)
        );
        let negated = second(&[-1, -2], &[-128, 127]).expect("it fits negated");
        assert_eq!(negated.weights, [128, -127]);
        let fast = negated.fast;
        assert_eq!((fast.start, fast.factor, fast.offset), (-5, -(1 << 30), 3));
        assert_eq!(fast.shift_word(true), 2_u32.wrapping_sub(1 << 16));
        assert!(second(&[-1, 0], &[-128, -128]).is_none());
    }

    /// Weights with steps of 1/127.5 of the largest, as PyTorch's observers choose them: where that one is
    /// negative, it becomes -128.
    #[test]
    fn most_layers_with_a_few_weights_of_minus_128_fit() {
        let mut chance = Chance::new(7);
        let mut channel = || {
            let uniform =
                |chance: &mut Chance| chance.next() as u32 as f64 / f64::from(u32::MAX) - 0.5;
            let mut weight = || (0..6).map(|_| uniform(&mut chance)).sum::<f64>();
            let real: Vec<f64> = (0..64).map(|_| weight()).collect();
            let most = real
                .iter()
                .fold(0.0_f64, |most, weight| most.max(weight.abs()));
            let steps = |weight: &f64| (weight / most * 127.5).round_ties_even();
            lane(
                &real
                    .iter()
                    .map(|weight| steps(weight).min(127.0) as i32)
                    .collect::<Vec<_>>(),
            )
        };
        let (mut as_they_are, mut negated) = (0, 0);
        for _ in 0..200 {
            let pairs: Vec<[Lane; 2]> = (0..32).map(|_| [channel(), channel()]).collect();
            let plain = |[low, high]: &[Lane; 2]| {
                let mut both = low.weights.iter().zip(&high.weights);
                both.all(|(&low, &high)| joined(low, high).is_some())
            };
            as_they_are += usize::from(pairs.iter().all(plain));
            let fits = |[low, high]: &[Lane; 2]| beside(low, high.clone()).is_some();
            negated += usize::from(pairs.iter().all(fits));
        }
        eprintln!("of 200 layers {as_they_are} fit as they are, {negated} with negated channels");
        assert!(
            as_they_are < 10 && negated > 190,
            "{as_they_are}, {negated}"
        );
    }

    #[test]
    fn a_sum_whose_opposite_is_too_large_is_not_negated() {
        let low = lane(&[-1]);
        let mut high = lane(&[-128]);
        let (start, step) = (i64::from(high.fast.start), i64::from(high.fast.step));
        assert_eq!(step, 1);
        high.lowest = -(1 << 23) - start + step;
        assert!(beside(&low, high.clone()).is_none());
        high.lowest += 1;
        assert!(beside(&low, high.clone()).is_some());
        (high.fast.step, high.lowest) = (0, -(1 << 23) - start);
        assert!(beside(&low, high.clone()).is_none());
        high.lowest += 1;
        assert!(beside(&low, high).is_some());
    }

    #[test]
    fn a_lane_that_would_overflow_is_refused() {
        assert_eq!(joined(-3, 2), Some(509));
        assert_eq!(joined(5, -128), Some(-32763));
        assert_eq!(joined(-1, -128), None);
        assert_eq!(joined(128, 0), None);
        assert_eq!(joined(0, 128), None);
    }
}
