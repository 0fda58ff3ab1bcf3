extern crate std;

use super::*;
use dunlin_wire::baseline::{
    Baseline, ChannelReference, FalseAlarms, MAX_BASELINE_BYTES, Reference, Statistic,
};
use proptest::prelude::*;
use std::vec::Vec;

fn empty(edges: [f32; 15]) -> Channel {
    let channel = ChannelReference {
        edges,
        counts: [1; 16],
        threshold: 1.0,
    };
    let reference = Reference {
        statistic: Statistic::PSI,
        window_ms: 1,
        minimum_samples: 0,
        false_alarms: FalseAlarms::default(),
        channels: &[channel],
        prediction_counts: &[],
        prediction_threshold: 1.0,
    };
    let mut section = [0; MAX_BASELINE_BYTES];
    let length = reference.encode(&mut section).expect("fits");
    empty_channel(
        &Baseline::parse(&section[..length])
            .expect("good")
            .channel(0)
            .expect("one"),
    )
}

fn counted(empty: Channel, values: &[f32]) -> Channel {
    let mut channel = empty;
    values
        .iter()
        .for_each(|&value| count_value(&mut channel, value, 0));
    channel
}

#[test]
fn the_spread_of_the_edges_takes_sixteen_bits() {
    for spread in [1e-9f32, 0.003, 0.7, 1.0, 1.5, 255.9, 4e6] {
        let channel = empty(core::array::from_fn(|i| {
            5.0 * spread + spread * i as f32 / 14.0
        }));
        let units = f64::from(spread) * 2f64.powi(i32::from(channel.exponent));
        assert!((32_700.0..65_600.0).contains(&units), "{spread}: {units}");
    }
}

#[test]
fn a_constant_training_channel_has_a_unit_too() {
    let channel = counted(empty([100.0; 15]), &[100.0, 101.0]);
    assert!((channel.mean().expect("two values") - 100.5).abs() < 0.001);
    let channel = counted(empty([0.0; 15]), &[0.0, 0.5]);
    assert!((channel.mean().expect("two values") - 0.25).abs() < 0.001);
}

#[test]
fn infinities_are_clamped_in_sums_and_kept_as_extremes() {
    let channel = counted(empty([1.0; 15]), &[f32::INFINITY, f32::NEG_INFINITY, 1.0]);
    assert_eq!(
        (channel.minimum, channel.maximum),
        (f32::NEG_INFINITY, f32::INFINITY)
    );
    assert_eq!((channel.sum, channel.sum_of_squares), (0, 2 * (1 << 46)));
}

proptest! {
    #[test]
    fn mean_and_variance_are_those_of_the_values(values in proptest::collection::vec(-40.0f32..60.0, 1..300)) {
        let channel = counted(empty(core::array::from_fn(|i| i as f32)), &values);
        let values: Vec<f64> = values.iter().map(|&value| f64::from(value)).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64;
        prop_assert!((channel.mean().expect("values") - mean).abs() < 2e-3);
        prop_assert!((channel.variance().expect("values") - variance).abs() < 0.05 * (1.0 + variance).sqrt());
    }
}
