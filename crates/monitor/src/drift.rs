//! How far a window's histogram lies from the reference.
//!
//! One statistic so far: the population stability index over the baseline's bins, with half a count
//! added to every bin so that an empty bin is unlikely rather than impossible:
//!
//! ```text
//! p = (reference + ½) / (Σ reference + bins / 2)      q = the same of the window
//! PSI = Σ (q − p) · ln(q / p)
//! ```
//!
//! (Kullback and Leibler's J-divergence; Jeffreys' half count.) In `f32`, bins in ascending order,
//! logarithm from `libm`: the same bytes on every machine. Costs one logarithm and two divisions
//! per bin, once per window.

use dunlin_wire::baseline::{Baseline, ChannelBaseline, Statistic};
use dunlin_wire::record::Channel;
use libm::logf;

/// Distance between a reference and a window, bin by bin, by the statistic named; `None` when the
/// statistic is unknown here. 0 when both have the same shares, never negative, never NaN.
pub fn score(statistic: Statistic, reference: &[u32], window: &[u32]) -> Option<f32> {
    match statistic {
        Statistic::PSI => Some(population_stability_index(reference, window)),
        _ => None,
    }
}

/// How far a channel's readings in a window of so many `inputs` lie from its reference. `None` when too few of its
/// values were readings: an empty histogram, half counts added, looks like no drift at all. The share of readings
/// must make up `minimum_samples` of the inputs.
pub fn channel_score(
    baseline: &Baseline<'_>,
    reference: &ChannelBaseline<'_>,
    channel: &Channel,
    inputs: u32,
) -> Option<f32> {
    let readings = channel.count();
    let values = readings.saturating_add(u64::from(channel.missing));
    let needed = values.saturating_mul(u64::from(baseline.minimum_samples()));
    if readings == 0 || readings.saturating_mul(u64::from(inputs)) < needed {
        return None;
    }
    score(
        baseline.statistic(),
        &reference.counts(),
        &channel.histogram.counts,
    )
}

fn population_stability_index(reference: &[u32], window: &[u32]) -> f32 {
    let half = 0.5 * reference.len() as f32;
    let (reference_total, window_total) = (total(reference) + half, total(window) + half);
    let mut sum = 0.0;
    for (&in_reference, &in_window) in reference.iter().zip(window) {
        let p = (in_reference as f32 + 0.5) / reference_total;
        let q = (in_window as f32 + 0.5) / window_total;
        sum += (q - p) * logf(q / p);
    }
    sum.max(0.0)
}

fn total(counts: &[u32]) -> f32 {
    counts.iter().map(|&count| u64::from(count)).sum::<u64>() as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_unknown_statistic_gives_no_score() {
        assert_eq!(score(Statistic(99), &[1, 2], &[3, 4]), None);
    }

    /// In Python: p = [10.5/102, 91.5/102], q = [60.5/102, 41.5/102], sum((q-p)*log(q/p)).
    #[test]
    fn the_index_equals_an_independent_computation() {
        let score = population_stability_index(&[10, 91], &[60, 41]);
        assert!((score - 1.246_036).abs() < 1e-5, "{score}");
    }

    #[test]
    fn the_bytes_of_a_score_are_pinned() {
        let reference: [u32; 16] = core::array::from_fn(|i| 500 + 7 * i as u32);
        let window: [u32; 16] = core::array::from_fn(|i| (i * i) as u32);
        let score = population_stability_index(&reference, &window);
        assert_eq!(score.to_bits(), 0x3f96_fc25, "{score}");
    }

    proptest! {
        #[test]
        fn a_score_is_a_number_and_not_negative(a in proptest::array::uniform16(any::<u32>()), b in proptest::array::uniform16(any::<u32>())) {
            let score = population_stability_index(&a, &b);
            prop_assert!(score.is_finite() && score >= 0.0, "{}", score);
        }

        #[test]
        fn equal_shares_score_zero(a in proptest::array::uniform16(0u32..10_000)) {
            prop_assert_eq!(population_stability_index(&a, &a), 0.0);
        }
    }
}
