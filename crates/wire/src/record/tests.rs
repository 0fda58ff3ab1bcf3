extern crate std;

use super::*;
use crate::histogram::Histogram;
use crate::limits::{BINS, CONFIDENCE_BINS, LATENCY_BINS, MAX_CHANNELS, MAX_LABELS};
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

fn credential() -> Credential {
    Credential(core::array::from_fn(|i| i as u8))
}

fn header() -> Header {
    Header {
        device: DeviceId([1, 2, 3, 4, 5, 6, 7, 8]),
        boot: 3,
        sequence: 1000,
        bundle: Some(BundleId([0xb0; 8])),
        firmware: FirmwareId([0xf0; 8]),
        kind: Kind(0),
        uptime_ms: 90_000_000,
        time_ms: Some(1_767_225_600_000),
    }
}

/// A day in the office: five channels, one input a minute.
fn office_day() -> Window {
    let channel = |index: u32| Channel {
        histogram: Histogram {
            counts: core::array::from_fn(|bin| 60 + (bin as u32 * (index + 3)) % 61),
        },
        pivot: 20.5 + index as f32,
        exponent: 12,
        sum: 30_000_000 + i64::from(index),
        sum_of_squares: 1_500_000_000_000,
        minimum: 17.25,
        maximum: 23.5,
        missing: index % 2,
        out_of_range: 0,
        stuck: 0,
        score: Some(0.75),
        drifted: index == 3,
    };
    let mut latency = Histogram::default();
    (latency.counts[20], latency.counts[21]) = (1_400, 40);
    Window {
        opened_ms: 1_767_225_600_000,
        span_ms: 86_340_000,
        partial: false,
        judged: true,
        inputs: 1_440,
        errors: 0,
        channels: (0..5).map(channel).collect(),
        predictions: [1_000, 440].into_iter().collect(),
        prediction_score: Some(0.125),
        prediction_drifted: false,
        confidence: Histogram {
            counts: [0, 0, 0, 0, 0, 10, 20, 30, 80, 1_300],
        },
        latency,
    }
}

fn encoded<B: Body>(body: &B) -> Vec<u8> {
    let mut buffer = vec![0; MAX_RECORD_BYTES];
    let length =
        encode(&header(), body, &credential(), &mut buffer).expect("the buffer is long enough");
    buffer.truncate(length);
    buffer
}

#[test]
fn codes_are_pinned() {
    assert_eq!(
        [Kind::WINDOW, Kind::LOSS, Kind::BOOT, Kind::EVENT].map(|kind| kind.0),
        [1, 2, 3, 4]
    );
    let reasons = [
        ResetReason::UNKNOWN,
        ResetReason::POWER,
        ResetReason::EXTERNAL,
        ResetReason::SOFTWARE,
        ResetReason::WATCHDOG,
    ];
    assert_eq!(reasons.map(|reason| reason.0), [0, 1, 2, 3, 4]);
    let events = [
        EventCode::ACTIVATED,
        EventCode::ROLLED_BACK,
        EventCode::REFUSED,
        EventCode::CONFIRMED,
        EventCode::CLOCK_SET,
        EventCode::NOT_WRITTEN,
    ];
    assert_eq!(events.map(|event| event.0), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn golden_window() {
    assert_eq!(
        encoded(&office_day()),
        include_bytes!("../../golden/record-window-1.bin")
    );
}

#[test]
fn golden_small_records() {
    let loss = encoded(&Loss {
        first_sequence: 20,
        last_sequence: 999,
    });
    assert_eq!(loss, include_bytes!("../../golden/record-loss-1.bin"));
    let boot = encoded(&Boot {
        reason: ResetReason::WATCHDOG,
    });
    assert_eq!(boot, include_bytes!("../../golden/record-boot-1.bin"));
    let event = encoded(&Event {
        code: EventCode::REFUSED,
        detail: 7,
        bundle: Some(BundleId([9; 8])),
    });
    assert_eq!(event, include_bytes!("../../golden/record-event-1.bin"));
}

#[test]
fn a_day_of_five_channels_fits_600_bytes() {
    let bytes = encoded(&office_day());
    std::println!("{} bytes", bytes.len());
    assert!(bytes.len() <= 600, "{}", bytes.len());
}

/// A window in which everything is as wide as it can be.
fn extreme_window(channels: usize, labels: usize) -> Window {
    let channel = Channel {
        histogram: Histogram {
            counts: [u32::MAX; BINS],
        },
        pivot: f32::MAX,
        exponent: i8::MIN,
        sum: i64::MIN,
        sum_of_squares: u64::MAX,
        minimum: f32::MIN,
        maximum: f32::MAX,
        missing: u32::MAX,
        out_of_range: u32::MAX,
        stuck: u32::MAX,
        score: Some(f32::MAX),
        drifted: true,
    };
    Window {
        opened_ms: u64::MAX,
        span_ms: u64::MAX,
        partial: true,
        judged: true,
        inputs: u32::MAX,
        errors: u32::MAX,
        channels: vec![channel; channels].into_iter().collect(),
        predictions: vec![u32::MAX; labels].into_iter().collect(),
        prediction_score: Some(f32::MAX),
        prediction_drifted: true,
        confidence: Histogram {
            counts: [u32::MAX; CONFIDENCE_BINS],
        },
        latency: Histogram {
            counts: [u32::MAX; LATENCY_BINS],
        },
    }
}

fn extreme_header() -> Header {
    Header {
        boot: u32::MAX,
        sequence: u32::MAX,
        uptime_ms: u64::MAX,
        time_ms: Some(u64::MAX),
        ..header()
    }
}

fn record_bytes<B: Body>(body: &B) -> usize {
    let mut buffer = vec![0; 2 * MAX_RECORD_BYTES];
    encode(&extreme_header(), body, &credential(), &mut buffer).expect("fits")
}

#[test]
fn the_widest_window_of_every_size_is_exactly_as_long_as_foretold() {
    for channels in 0..=MAX_CHANNELS {
        for labels in 0..=MAX_LABELS {
            let got = record_bytes(&extreme_window(channels, labels));
            assert_eq!(
                got,
                longest_window_bytes(channels, labels),
                "{channels} channels, {labels} labels"
            );
        }
    }
    assert_eq!(longest_window_bytes(MAX_CHANNELS, MAX_LABELS), 2925);
}

#[test]
fn sixteen_busy_channels_fit_a_record() {
    let mut buffer = vec![0; MAX_RECORD_BYTES];
    let window = extreme_window(MAX_CHANNELS, MAX_LABELS);
    let length = encode(&extreme_header(), &window, &credential(), &mut buffer).expect("fits");
    let (record, _) = Record::parse(&buffer[..length]).expect("a record");
    assert_eq!(record.body::<Window>(), Ok(window));
}

#[test]
fn no_other_record_is_longer_than_foretold() {
    let event = record_bytes(&Event {
        code: EventCode(u32::MAX),
        detail: u32::MAX,
        bundle: Some(BundleId([0xff; 8])),
    });
    let loss = record_bytes(&Loss {
        first_sequence: u32::MAX,
        last_sequence: u32::MAX,
    });
    let boot = record_bytes(&Boot {
        reason: ResetReason(u32::MAX),
    });
    assert_eq!(event, LONGEST_PLAIN_BYTES);
    assert!(loss.max(boot) < event);
}

/// Counters that lie at, and right beside, every width of CBOR.
fn any_count() -> impl Strategy<Value = u32> {
    let edges = prop::sample::select(vec![
        0,
        1,
        23,
        24,
        255,
        256,
        65_535,
        65_536,
        u32::MAX - 1,
        u32::MAX,
    ]);
    prop_oneof![3 => edges, 1 => any::<u32>()]
}

fn any_extreme_window() -> impl Strategy<Value = Window> {
    let counts = prop::collection::vec(any_count(), 200);
    let sizes = (0..=MAX_CHANNELS, 0..=MAX_LABELS);
    (counts, sizes, any::<i64>(), any::<u64>(), any::<bool>()).prop_map(
        |(counts, (channels, labels), sum, wide, flag)| {
            let mut next = counts.iter().copied().cycle();
            let mut count = || next.next().unwrap_or_default();
            let mut window = extreme_window(channels, labels);
            for channel in window.channels.iter_mut() {
                channel.histogram.counts = core::array::from_fn(|_| count());
                (channel.missing, channel.stuck) = (count(), count());
                (channel.sum, channel.sum_of_squares) = (sum, wide);
                (channel.exponent, channel.drifted) = (sum as i8, flag);
            }
            (window.opened_ms, window.partial, window.inputs) = (wide, flag, count());
            window.latency.counts = core::array::from_fn(|_| count());
            window.confidence.counts = core::array::from_fn(|_| count());
            window
        },
    )
}

proptest! {
    #[test]
    fn no_window_is_longer_than_foretold(window in any_extreme_window()) {
        let limit = longest_window_bytes(window.channels.len(), window.predictions.len());
        prop_assert!(record_bytes(&window) <= limit);
    }
}

#[test]
fn a_buffer_too_small_by_one_is_refused() {
    let length = encoded(&office_day()).len();
    let mut buffer = vec![0; length - 1];
    let refused = encode(&header(), &office_day(), &credential(), &mut buffer);
    assert_eq!(refused, Err(BufferTooSmall { got: length - 1 }));
}

#[test]
fn records_stand_one_after_the_other() {
    let mut bytes = encoded(&office_day());
    bytes.extend(encoded(&Loss {
        first_sequence: 1,
        last_sequence: 2,
    }));
    let (window, rest) = Record::parse(&bytes).expect("a record");
    let (loss, rest) = Record::parse(rest).expect("another");
    assert_eq!(window.body::<Window>(), Ok(office_day()));
    assert_eq!(loss.body::<Loss>().map(|loss| loss.records()), Ok(2));
    assert!(rest.is_empty());
}

#[test]
fn the_header_comes_back_with_the_kind_of_the_body() {
    let bytes = encoded(&Boot::default());
    let (record, _) = Record::parse(&bytes).expect("a record");
    assert_eq!(
        *record.header(),
        Header {
            kind: Kind::BOOT,
            ..header()
        }
    );
    assert_eq!(
        record.body::<Loss>(),
        Err(RecordError::WrongKind {
            wanted: Kind::LOSS,
            got: Kind::BOOT
        })
    );
}

/// `[{0: device, 1: 1, 2: 5, 4: firmware, 5: 99, 6: 7, 50: "?"}, [1, {2: 3}], tag]`
#[test]
fn a_kind_and_keys_that_are_unknown_survive() {
    let mut bytes = vec![
        0x83, 0xa7, 0, 0x48, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 5, 4, 0x48, 2, 2, 2, 2, 2, 2, 2, 2,
    ];
    bytes.extend([5, 0x18, 99, 6, 7, 0x18, 50, 0x61, b'?', 0x82, 1, 0xa1, 2, 3]);
    let tag = credential().tag(Domain::Record, &[&bytes]);
    bytes.push(0x50);
    bytes.extend(tag);
    let (record, rest) = Record::parse(&bytes).expect("a record");
    assert_eq!(
        (
            record.header().kind,
            record.header().sequence,
            record.header().bundle
        ),
        (Kind(99), 5, None)
    );
    assert_eq!(record.body_bytes(), [0x82, 1, 0xa1, 2, 3]);
    assert!(record.confirmed_by(&credential()) && rest.is_empty());
    assert_eq!(record.bytes(), bytes);
}

#[test]
fn any_altered_byte_is_noticed() {
    let bytes = encoded(&office_day());
    for at in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[at] ^= 1;
        let passes = Record::parse(&altered)
            .is_ok_and(|(record, rest)| rest.is_empty() && record.confirmed_by(&credential()));
        assert!(!passes, "byte {at}");
    }
}

#[test]
fn no_beginning_of_a_record_is_a_record() {
    let bytes = encoded(&office_day());
    for length in 0..bytes.len() {
        assert!(Record::parse(&bytes[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn latency_bins_are_two_to_the_octave() {
    let bins = [
        0,
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        8,
        11,
        12,
        16,
        1_000,
        1_000_000,
        u32::MAX,
    ]
    .map(latency_bin);
    assert_eq!(bins, [0, 0, 2, 3, 4, 4, 5, 5, 6, 6, 7, 8, 19, 39, 47]);
    for bin in 0..LATENCY_BINS {
        let start = latency_bin_start_us(bin);
        assert_eq!(latency_bin(start.ceil() as u32).min(bin), bin, "bin {bin}");
        assert!(
            start < 2.0 || latency_bin((start - 1.0).floor() as u32) < bin,
            "bin {bin}"
        );
    }
}

#[test]
fn confidence_bins_are_tenths() {
    let bins = [
        0.0,
        0.0999,
        0.1,
        0.55,
        0.999,
        1.0,
        2.0,
        -1.0,
        f32::NAN,
        f32::INFINITY,
    ]
    .map(confidence_bin);
    assert_eq!(bins, [0, 0, 1, 5, 9, 9, 9, 0, 0, 9]);
}

#[test]
fn mean_and_variance_follow_from_the_sums() {
    let mut channel = Channel {
        pivot: 10.0,
        exponent: 2,
        ..Channel::default()
    };
    assert_eq!((channel.mean(), channel.variance()), (None, None));
    for quarter in [-4i64, 0, 4, 8] {
        channel.histogram.add(0);
        channel.sum += quarter;
        channel.sum_of_squares += quarter.unsigned_abs().pow(2);
    }
    assert_eq!(
        (channel.mean(), channel.variance()),
        (Some(10.5), Some(1.25))
    );
}

#[test]
fn sums_at_their_limits_do_not_overflow() {
    let histogram = Histogram {
        counts: [u32::MAX; BINS],
    };
    let channel = Channel {
        histogram,
        sum: i64::MIN,
        sum_of_squares: u64::MAX,
        exponent: i8::MIN,
        ..Channel::default()
    };
    assert!(channel.mean().is_some() && channel.variance().is_some());
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok((record, _)) = Record::parse(&bytes) {
            let _ = (record.body::<Window>(), record.body::<Event>(), record.confirmed_by(&credential()));
        }
    }

    #[test]
    fn no_altered_record_makes_the_reader_panic(at in any::<proptest::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = encoded(&office_day());
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok((record, _)) = Record::parse(&bytes)
            && let Ok(window) = record.body::<Window>()
        {
            let _ = window.channels.first().map(|channel| (channel.mean(), channel.variance()));
        }
    }
}
