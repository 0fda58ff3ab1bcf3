extern crate std;

use super::*;
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
    ];
    assert_eq!(events.map(|event| event.0), [1, 2, 3, 4, 5]);
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

#[test]
fn sixteen_busy_channels_fit_a_record() {
    let busy = Channel {
        histogram: Histogram {
            counts: [65_535; BINS],
        },
        sum: i64::from(u32::MAX),
        sum_of_squares: u64::MAX,
        stuck: 65_535,
        missing: 65_535,
        out_of_range: 65_535,
        score: Some(1.0),
        drifted: true,
        exponent: 30,
        ..Channel::default()
    };
    let window = Window {
        channels: [busy; MAX_CHANNELS].into_iter().collect(),
        predictions: [65_535; MAX_LABELS].into_iter().collect(),
        latency: Histogram {
            counts: [200; LATENCY_BINS],
        },
        confidence: Histogram {
            counts: [65_535; CONFIDENCE_BINS],
        },
        ..office_day()
    };
    let length = encoded(&window).len();
    std::println!("{length} bytes of {MAX_RECORD_BYTES}");
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
