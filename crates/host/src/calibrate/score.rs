//! Scores of windows against the training data without them, by the code that runs on the device.

use std::ops::Range;

use dunlin_monitor::drift;
use dunlin_wire::baseline::{EDGES, Statistic};
use dunlin_wire::limits::BINS;

use super::timeline::Candidate;

/// All values of one channel, sorted, each with the place of its input.
pub struct SortedChannel {
    values: Vec<(f32, u32)>,
    /// The same values in order of place, `per_place` each.
    in_order: Vec<f32>,
    per_place: usize,
}

impl SortedChannel {
    /// Takes values in order of place, `per_place` for each; NaN is left out of all counts.
    pub fn new(in_order: Vec<f32>, per_place: usize) -> Self {
        let mut values: Vec<(f32, u32)> = in_order
            .iter()
            .enumerate()
            .filter(|(_, value)| !value.is_nan())
            .map(|(index, &value)| (value, (index / per_place) as u32))
            .collect();
        values.sort_by(|a, b| a.0.total_cmp(&b.0));
        Self {
            values,
            in_order,
            per_place,
        }
    }

    /// Number of values that are numbers.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Quantiles 1/16 to 15/16 of the finite values outside `left_out` (smallest value that at least
    /// this share does not exceed) and all values' counts in the bins they bound.
    pub fn reference(&self, left_out: &Range<usize>) -> ([f32; EDGES], [u32; BINS]) {
        let kept = || {
            let outside = |place: u32| !left_out.contains(&(place as usize));
            self.values
                .iter()
                .filter(move |(_, place)| outside(*place))
                .map(|(value, _)| *value)
        };
        let finite = kept().filter(|value| value.is_finite()).count();
        let mut edges = [0.0; EDGES];
        let mut ranks = (1..=EDGES)
            .map(|i| (i * finite).div_ceil(BINS).max(1))
            .zip(edges.iter_mut())
            .peekable();
        for (seen, value) in kept().filter(|value| value.is_finite()).enumerate() {
            while let Some((_, edge)) = ranks.next_if(|(rank, _)| *rank == seen + 1) {
                *edge = value;
            }
        }
        drop(ranks);
        let mut counts = [0; BINS];
        let mut bin = 0;
        for value in kept() {
            while edges.get(bin).is_some_and(|&edge| edge < value) {
                bin += 1;
            }
            counts[bin] += 1;
        }
        (edges, counts)
    }

    fn count(&self, inside: &Range<usize>, edges: &[f32; EDGES]) -> [u32; BINS] {
        let mut counts = [0; BINS];
        let values = &self.in_order[inside.start * self.per_place..inside.end * self.per_place];
        for value in values.iter().filter(|value| !value.is_nan()) {
            counts[edges.partition_point(|edge| edge < value)] += 1;
        }
        counts
    }

    /// Score of a window against everything that does not depend on it.
    pub fn score(&self, statistic: Statistic, candidate: &Candidate) -> Option<f32> {
        let (edges, reference) = self.reference(&candidate.left_out);
        drift::score(
            statistic,
            &reference,
            &self.count(&candidate.inside, &edges),
        )
    }
}

/// The score of a window whose values all lie in the rarest bin of the reference: none is higher.
pub fn ceiling(statistic: Statistic, reference: &[u32], values: usize) -> Option<f32> {
    let lone = |bin: usize| {
        let mut window = vec![0; reference.len()];
        window[bin] = values as u32;
        drift::score(statistic, reference, &window)
    };
    (0..reference.len()).filter_map(lone).max_by(f32::total_cmp)
}

/// Predictions in order of place.
pub struct Predictions {
    /// The model's own, for the reference.
    pub said: Vec<u32>,
    /// Those that windows are scored with.
    pub unseen: Vec<u32>,
    /// Number of classes.
    pub classes: usize,
}

impl Predictions {
    /// How often each class was predicted outside `left_out`.
    pub fn reference(&self, left_out: &Range<usize>) -> Vec<u32> {
        let outside =
            |(place, label): (usize, &u32)| (!left_out.contains(&place)).then_some(*label);
        self.count(self.said.iter().enumerate().filter_map(outside))
    }

    fn count(&self, labels: impl Iterator<Item = u32>) -> Vec<u32> {
        let mut counts = vec![0; self.classes];
        for label in labels {
            if let Some(count) = counts.get_mut(label as usize) {
                *count += 1;
            }
        }
        counts
    }

    /// Score of a window against everything that does not depend on it.
    pub fn score(&self, statistic: Statistic, candidate: &Candidate) -> Option<f32> {
        let window = self.count(self.unseen[candidate.inside.clone()].iter().copied());
        drift::score(statistic, &self.reference(&candidate.left_out), &window)
    }
}
