extern crate std;

use super::*;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

const CHANNELS: [ChannelReference; 2] = [
    ChannelReference {
        edges: [
            1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0,
        ],
        counts: [
            90, 91, 92, 93, 94, 95, 96, 97, 98, 99, 100, 101, 102, 103, 104, 105,
        ],
        threshold: 2.5,
    },
    ChannelReference {
        edges: [
            0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5,
        ],
        counts: [900, 0, 0, 0, 0, 0, 0, 0, 80, 80, 80, 80, 80, 80, 80, 80],
        threshold: f32::INFINITY,
    },
];

fn reference() -> Reference<'static> {
    Reference {
        statistic: Statistic::PSI,
        window_ms: 86_400_000,
        minimum_samples: 1_296,
        false_alarms: FalseAlarms {
            target: 0.05,
            expected: 0.17,
            lower: 0.005,
            upper: 0.52,
            blocks: 5,
            exceedances: 0,
        },
        channels: &CHANNELS,
        prediction_counts: &[1_000, 440],
        prediction_threshold: 1.5,
    }
}

fn encoded(reference: &Reference) -> Vec<u8> {
    let mut section = vec![0; MAX_BASELINE_BYTES];
    let length = reference.encode(&mut section).expect("always enough");
    section.truncate(length);
    section
}

#[test]
fn statistics_are_pinned() {
    assert_eq!(Statistic::PSI.0, 1);
}

#[test]
fn golden_section() {
    assert_eq!(
        encoded(&reference()),
        include_bytes!("../../golden/baseline-1.bin")
    );
}

#[test]
fn what_was_written_is_read_in_place() {
    let section = encoded(&reference());
    assert_eq!(section.len(), 64 + 2 * 128 + 2 * 4);
    let baseline = Baseline::parse(&section).expect("a good section");
    assert_eq!(baseline.statistic(), Statistic::PSI);
    assert_eq!(
        (baseline.window_ms(), baseline.minimum_samples()),
        (86_400_000, 1_296)
    );
    assert_eq!(baseline.false_alarms(), reference().false_alarms);
    assert!(baseline.prediction_counts().eq([1_000, 440]));
    assert_eq!(baseline.prediction_threshold(), 1.5);
    for (channel, wanted) in baseline.channels().zip(CHANNELS) {
        assert!(channel.edges().eq(wanted.edges));
        assert_eq!(
            (channel.counts(), channel.threshold()),
            (wanted.counts, wanted.threshold)
        );
    }
    assert_eq!(baseline.channels().len(), 2);
    assert!(baseline.channel(2).is_none());
}

#[test]
fn a_bin_ends_with_its_edge() {
    let section = encoded(&reference());
    let baseline = Baseline::parse(&section).expect("a good section");
    let bins = |channel: usize, values: [f32; 6]| {
        values.map(|value| baseline.channel(channel).expect("there are two").bin(value))
    };
    assert_eq!(
        bins(0, [f32::NEG_INFINITY, 1.0, 1.5, 15.0, 15.5, f32::INFINITY]),
        [0, 0, 1, 14, 15, 15]
    );
    assert_eq!(
        bins(1, [-1.0, 0.0, -0.0, 0.1, 0.5, f32::NAN]),
        [0, 0, 0, 8, 8, 0]
    );
}

#[test]
fn every_rule_has_its_refusal() {
    let section = encoded(&reference());
    let refusal = |at: usize, bytes: &[u8]| {
        let mut altered = section.clone();
        altered[at..at + bytes.len()].copy_from_slice(bytes);
        Baseline::parse(&altered).expect_err("a broken section")
    };
    assert_eq!(refusal(0, b"XXXX"), BaselineError::NotABaseline);
    assert_eq!(
        refusal(4, &[2]),
        BaselineError::UnsupportedFormat {
            format: 2,
            bins: 16
        }
    );
    assert_eq!(
        refusal(9, &[8]),
        BaselineError::UnsupportedFormat { format: 1, bins: 8 }
    );
    assert_eq!(
        refusal(6, &[17]),
        BaselineError::TooMany {
            channels: 17,
            labels: 2
        }
    );
    assert_eq!(
        refusal(7, &[17]),
        BaselineError::TooMany {
            channels: 2,
            labels: 17
        }
    );
    assert_eq!(
        refusal(6, &[3]),
        BaselineError::Length {
            needed: 456,
            got: 328
        }
    );
    assert_eq!(refusal(16, &[0; 8]), BaselineError::NoWindow);
    assert_eq!(
        refusal(64, &9.0f32.to_le_bytes()),
        BaselineError::Edges { channel: 0 }
    );
    assert_eq!(
        refusal(64 + 128, &f32::NEG_INFINITY.to_le_bytes()),
        BaselineError::Edges { channel: 1 }
    );
    assert_eq!(
        refusal(64 + 56, &f32::NAN.to_le_bytes()),
        BaselineError::Edges { channel: 0 }
    );
    assert_eq!(
        refusal(64 + 124, &f32::NAN.to_le_bytes()),
        BaselineError::Threshold
    );
    assert_eq!(
        refusal(48, &f32::NAN.to_le_bytes()),
        BaselineError::Threshold
    );
}

#[test]
fn a_section_of_another_length_is_refused() {
    let section = encoded(&reference());
    for length in 0..section.len() {
        assert!(
            matches!(
                Baseline::parse(&section[..length]),
                Err(BaselineError::Length { .. })
            ),
            "{length}"
        );
    }
    let mut longer = section.clone();
    longer.push(0);
    assert_eq!(
        Baseline::parse(&longer),
        Err(BaselineError::Length {
            needed: 328,
            got: 329
        })
    );
    assert!(reference().encode(&mut [0; 327]).is_err());
}

#[test]
fn a_statistic_that_is_unknown_survives() {
    let section = encoded(&Reference {
        statistic: Statistic(200),
        ..reference()
    });
    assert_eq!(
        Baseline::parse(&section)
            .expect("a good section")
            .statistic(),
        Statistic(200)
    );
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), fix in any::<bool>()) {
        let mut bytes = bytes;
        if fix && bytes.len() >= 64 {
            bytes[..12].copy_from_slice(&[b'D', b'L', b'B', b'L', 1, 0, 1, 1, 1, 16, 0, 0]);
            bytes.truncate(64 + 128 + 4);
        }
        if let Ok(baseline) = Baseline::parse(&bytes) {
            let _ = baseline.channels().map(|channel| channel.bin(1.0)).sum::<usize>();
        }
    }

    #[test]
    fn a_bin_is_the_number_of_edges_below(mut edges in proptest::array::uniform15(-50i32..50), value in -60i32..60) {
        edges.sort();
        let edges = edges.map(|edge| edge as f32 / 4.0);
        let value = value as f32 / 4.0;
        let channel = ChannelReference { edges, counts: [1; BINS], threshold: 1.0 };
        let section = encoded(&Reference { channels: &[channel], ..reference() });
        let baseline = Baseline::parse(&section).expect("a good section");
        let below = edges.iter().filter(|&&edge| edge < value).count();
        prop_assert_eq!(baseline.channel(0).expect("one").bin(value), below);
    }
}
