//! Packs the weights of four channels into one stream, with start, factor and offset of each.

use super::IntegerLayer;
use super::requantisation::{Fast, fit};
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

/// Packs a layer; none where a lane overflows or a channel has no proved requantisation.
pub(crate) fn pack(layer: &IntegerLayer, places: &Places) -> Option<Vec<u8>> {
    let count = layer.weights.len();
    let fasts: Option<Vec<Fast>> = (0..count)
        .map(|index| {
            let fast = fit(&layer.channel(index), layer.reach(index), index & 1 == 1)?;
            sums_fit(layer.reach(index), fast).then_some(fast)
        })
        .collect();
    let fasts = fasts?;
    let mut bytes = Vec::new();
    for first in (0..count).step_by(GROUP) {
        let lane = |channel: usize| Lane {
            weights: layer
                .weights
                .get(first + channel)
                .map_or(&[], Vec::as_slice),
            fast: fasts.get(first + channel).copied().unwrap_or(NO_CHANNEL),
        };
        group(&[lane(0), lane(1), lane(2), lane(3)], places, &mut bytes)?;
    }
    debug_assert_eq!(
        bytes.len(),
        count.div_ceil(GROUP) * group_bytes(places.len() / 2)
    );
    Some(bytes)
}

/// A channel that fills a group up.
const NO_CHANNEL: Fast = Fast {
    start: 0,
    factor: 0,
    offset: 0,
    shift: 0,
};

/// Whether 256 times every sum fits 32 bits.
fn sums_fit((low, high): (i64, i64), fast: Fast) -> bool {
    let start = i64::from(fast.start);
    [low.min(0) + start, high.max(0) + start]
        .iter()
        .all(|sum| (-(1 << 23)..1 << 23).contains(sum))
}

struct Lane<'l> {
    weights: &'l [i32],
    fast: Fast,
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
    for lane in lanes {
        bytes.extend(lane.fast.factor.to_le_bytes());
        bytes.extend(lane.fast.offset.to_le_bytes());
        bytes.extend(lane.fast.shift.to_le_bytes());
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

    #[test]
    fn a_lane_that_would_overflow_is_refused() {
        assert_eq!(joined(-3, 2), Some(509));
        assert_eq!(joined(5, -128), Some(-32763));
        assert_eq!(joined(-1, -128), None);
        assert_eq!(joined(128, 0), None);
        assert_eq!(joined(0, 128), None);
    }
}
