extern crate std;

use super::*;
use dunlin_wire::baseline::{ChannelReference, FalseAlarms, Reference, Statistic};
use dunlin_wire::limits::MAX_RECORD_BYTES;
use dunlin_wire::record::Record;
use dunlin_wire::schema::ElementType;
use std::vec;
use std::vec::Vec;

const WINDOW_MS: u64 = 1_000;

fn section(channels: usize, statistic: Statistic) -> Vec<u8> {
    let channel = ChannelReference {
        edges: core::array::from_fn(|i| i as f32),
        counts: [100; 16],
        threshold: 1.0,
    };
    let reference = Reference {
        statistic,
        window_ms: WINDOW_MS,
        minimum_samples: 90,
        false_alarms: FalseAlarms::default(),
        channels: &vec![channel; channels],
        prediction_counts: &[500, 500],
        prediction_threshold: 1.0,
    };
    let mut section = vec![0; 1024];
    let length = reference.encode(&mut section).expect("fits");
    section.truncate(length);
    section
}

fn schema(channels: usize, steps: u32) -> Schema<'static> {
    let channel = dunlin_wire::schema::Channel {
        name: "level",
        unit: "m",
        minimum: 0.0,
        maximum: 15.0,
    };
    Schema {
        steps,
        element: ElementType::F32,
        sample_period_ms: 10,
        stuck_after: 3,
        channels: vec![channel; channels].into_iter().collect(),
        labels: ["low", "high"].into_iter().collect(),
    }
}

fn answer(label: u32) -> Outcome {
    Outcome::Answer {
        label: Some(label),
        confidence: 0.95,
        latency_us: 300,
    }
}

fn fill(monitor: &mut Monitor, from_ms: u64, inputs: u64, value: impl Fn(u64) -> f32) {
    for i in 0..inputs {
        monitor.observe(from_ms + 10 * i, &[value(i)], answer((i % 2) as u32));
    }
}

#[test]
fn a_window_like_the_reference_is_judged_and_quiet() {
    let section = section(1, Statistic::PSI);
    let mut monitor =
        Monitor::new(&schema(1, 1), Baseline::parse(&section).expect("good")).expect("fits");
    fill(&mut monitor, 5, 96, |i| (i * 7 % 16) as f32);
    assert!(!monitor.is_due(1_004) && monitor.is_due(1_005));
    let window = monitor.finish(1_005).expect("inputs came");
    assert!(window.judged && !window.partial && !window.drifted());
    assert!(window.channels[0].score.is_some_and(|score| score < 0.2));
    assert_eq!(
        (window.opened_ms, window.span_ms, window.inputs),
        (5, 950, 96)
    );
    assert_eq!(window.predictions[..], [48, 48]);
    assert_eq!(
        (window.confidence.counts[9], window.latency.counts[16]),
        (96, 96)
    );
}

#[test]
fn a_shifted_channel_raises_its_flag_alone() {
    let section = section(2, Statistic::PSI);
    let mut monitor =
        Monitor::new(&schema(2, 1), Baseline::parse(&section).expect("good")).expect("fits");
    for i in 0..96 {
        monitor.observe(i * 10, &[(i % 16) as f32, 3.5], answer((i % 2) as u32));
    }
    let window = monitor.finish(WINDOW_MS).expect("inputs came");
    assert_eq!(
        [
            window.channels[0].drifted,
            window.channels[1].drifted,
            window.prediction_drifted
        ],
        [false, true, false]
    );
}

#[test]
fn predictions_of_one_label_raise_the_predictions_flag() {
    let section = section(1, Statistic::PSI);
    let mut monitor =
        Monitor::new(&schema(1, 1), Baseline::parse(&section).expect("good")).expect("fits");
    for i in 0..96 {
        monitor.observe(i * 10, &[(i % 16) as f32], answer(1));
    }
    let window = monitor.finish(WINDOW_MS).expect("inputs came");
    assert!(window.prediction_drifted && !window.channels[0].drifted);
}

#[test]
fn a_partial_window_or_one_with_too_few_inputs_is_not_judged() {
    let section = section(1, Statistic::PSI);
    let mut monitor =
        Monitor::new(&schema(1, 1), Baseline::parse(&section).expect("good")).expect("fits");
    fill(&mut monitor, 0, 96, |_| 3.0);
    let early = monitor.finish(999).expect("inputs came");
    assert!(
        early.partial && !early.judged && !early.drifted() && early.channels[0].score.is_none()
    );
    fill(&mut monitor, 0, 89, |_| 3.0);
    let sparse = monitor.finish(WINDOW_MS).expect("inputs came");
    assert!(!sparse.partial && !sparse.judged && !sparse.drifted());
}

#[test]
fn a_statistic_that_is_unknown_judges_nothing() {
    let section = section(1, Statistic(77));
    let mut monitor =
        Monitor::new(&schema(1, 1), Baseline::parse(&section).expect("good")).expect("fits");
    fill(&mut monitor, 0, 96, |_| 3.0);
    let window = monitor.finish(WINDOW_MS).expect("inputs came");
    assert!(
        !window.drifted()
            && window.channels[0].score.is_none()
            && window.prediction_score.is_none()
    );
}

#[test]
fn faults_of_inputs_are_counted_per_step() {
    let section = section(2, Statistic::PSI);
    let mut monitor =
        Monitor::new(&schema(2, 3), Baseline::parse(&section).expect("good")).expect("fits");
    monitor.observe(
        0,
        &[1.0, f32::NAN, 16.0, f32::NAN, -1.0, 5.0, 9.0],
        answer(0),
    );
    monitor.observe(10, &[2.0; 6], Outcome::Failed);
    monitor.observe(20, &[2.0; 6], answer(5));
    let window = monitor.window();
    assert_eq!((window.inputs, window.errors), (3, 2));
    let [first, second] = [window.channels[0], window.channels[1]];
    assert_eq!(
        (
            first.count(),
            first.missing,
            first.out_of_range,
            first.stuck
        ),
        (9, 0, 2, 3)
    );
    assert_eq!(
        (
            second.count(),
            second.missing,
            second.out_of_range,
            second.stuck
        ),
        (7, 2, 0, 3)
    );
    assert_eq!((first.minimum, first.maximum), (-1.0, 16.0));
}

#[test]
fn a_run_of_equal_values_goes_on_across_windows() {
    let section = section(1, Statistic::PSI);
    let mut monitor =
        Monitor::new(&schema(1, 1), Baseline::parse(&section).expect("good")).expect("fits");
    fill(&mut monitor, 0, 3, |_| 4.0);
    assert_eq!(
        monitor.finish(30).expect("inputs came").channels[0].stuck,
        0
    );
    fill(&mut monitor, 30, 2, |_| 4.0);
    assert_eq!(monitor.window().channels[0].stuck, 2);
    fill(&mut monitor, 50, 1, |_| 4.5);
    assert_eq!(monitor.window().channels[0].stuck, 2);
}

#[test]
fn a_clock_that_goes_back_ends_the_window_as_partial() {
    let section = section(1, Statistic::PSI);
    let mut monitor =
        Monitor::new(&schema(1, 1), Baseline::parse(&section).expect("good")).expect("fits");
    fill(&mut monitor, 5_000, 96, |_| 1.0);
    assert!(monitor.is_due(4_999));
    assert!(monitor.finish(4_999).expect("inputs came").partial);
    assert!(!monitor.is_due(0) && monitor.finish(0).is_none());
}

#[test]
fn a_window_closes_into_a_record_and_begins_anew() {
    let (section, credential) = (section(1, Statistic::PSI), Credential([7; 32]));
    let mut monitor =
        Monitor::new(&schema(1, 1), Baseline::parse(&section).expect("good")).expect("fits");
    let (header, mut buffer) = (
        Header {
            sequence: 9,
            ..Header::default()
        },
        [0; MAX_RECORD_BYTES],
    );
    assert_eq!(
        monitor.close(0, &header, &credential, &mut buffer),
        Ok(None)
    );
    fill(&mut monitor, 0, 96, |_| 3.0);
    let refused = monitor.close(WINDOW_MS, &header, &credential, &mut [0; 40]);
    assert_eq!(refused, Err(BufferTooSmall { got: 40 }));
    let closed = monitor
        .close(WINDOW_MS, &header, &credential, &mut buffer)
        .expect("fits")
        .expect("inputs came");
    assert!(closed.judged && closed.drifted);
    let (record, rest) = Record::parse(&buffer[..closed.record_bytes]).expect("a record");
    assert!(record.confirmed_by(&credential) && rest.is_empty());
    assert_eq!(record.body::<Window>().expect("a window").inputs, 96);
    assert_eq!(monitor.window().inputs, 0);
}

#[test]
fn a_baseline_for_another_schema_is_refused() {
    let section = section(2, Statistic::PSI);
    let refused = Monitor::new(&schema(1, 1), Baseline::parse(&section).expect("good")).err();
    let wanted = MonitorError::WrongBaseline {
        channels: 1,
        baseline_channels: 2,
        labels: 2,
        baseline_labels: 2,
    };
    assert_eq!(refused, Some(wanted));
}

#[test]
fn a_monitor_is_as_small_as_stated() {
    let bytes = core::mem::size_of::<Monitor>();
    std::println!("{bytes} bytes");
    assert!(bytes <= 2_800, "{bytes}");
}

/// A stream made of integer steps, so that every machine sees the same values. The checksum covers
/// bins, sums, extremes, scores and the tag: it is the same wherever this test runs.
#[test]
fn the_record_of_a_fixed_stream_is_the_same_bytes_everywhere() {
    let (section, credential) = (section(2, Statistic::PSI), Credential([7; 32]));
    let mut monitor =
        Monitor::new(&schema(2, 2), Baseline::parse(&section).expect("good")).expect("fits");
    let mut state = 1u32;
    for i in 0..96 {
        let values = [(); 4].map(|()| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as f32 / 4096.0 - 0.25
        });
        let confidence = (state >> 8 & 0xff) as f32 / 255.0;
        monitor.observe(
            10 * i,
            &values,
            Outcome::Answer {
                label: Some(state >> 31),
                confidence,
                latency_us: state >> 18,
            },
        );
    }
    let mut buffer = [0; MAX_RECORD_BYTES];
    let closed = monitor
        .close(WINDOW_MS, &Header::default(), &credential, &mut buffer)
        .expect("fits")
        .expect("inputs came");
    let checksum = dunlin_wire::frame::crc32(&buffer[..closed.record_bytes]);
    assert_eq!(
        (closed.record_bytes, checksum),
        (232, 0x4d3e_2c70),
        "{checksum:#010x}"
    );
}

#[test]
fn a_sensor_that_gives_no_readings_is_not_called_quiet() {
    let section = section(1, Statistic::PSI);
    let mut monitor =
        Monitor::new(&schema(1, 1), Baseline::parse(&section).expect("good")).expect("fits");
    for i in 0..96 {
        monitor.observe(10 * i, &[f32::NAN], Outcome::Failed);
    }
    let window = monitor.finish(1_000).expect("inputs came");
    assert!(!window.judged && !window.partial);
    assert_eq!((window.inputs, window.errors), (96, 96));
    assert_eq!(
        (window.channels[0].missing, window.channels[0].score),
        (96, None)
    );
    assert_eq!(window.prediction_score, None);
}

#[test]
fn a_channel_with_too_few_readings_has_no_score_and_the_others_do() {
    let section = section(2, Statistic::PSI);
    let mut monitor =
        Monitor::new(&schema(2, 1), Baseline::parse(&section).expect("good")).expect("fits");
    for i in 0..96 {
        let first = if i % 2 == 0 { f32::NAN } else { 3.0 };
        monitor.observe(
            10 * i,
            &[first, (i * 7 % 16) as f32],
            answer((i % 2) as u32),
        );
    }
    let window = monitor.finish(1_000).expect("inputs came");
    assert!(window.judged);
    assert_eq!(window.channels[0].score, None);
    assert!(window.channels[1].score.is_some_and(|score| score < 0.2));
}

#[test]
fn a_window_of_16_channels_and_labels_closes_however_much_it_has_counted() {
    let (channels, labels) = (MAX_CHANNELS, dunlin_wire::limits::MAX_LABELS);
    let channel = ChannelReference {
        edges: core::array::from_fn(|i| i as f32),
        counts: [u32::MAX; 16],
        threshold: 1.0,
    };
    let reference = Reference {
        statistic: Statistic::PSI,
        window_ms: WINDOW_MS,
        minimum_samples: 1,
        false_alarms: FalseAlarms::default(),
        channels: &vec![channel; channels],
        prediction_counts: &vec![1; labels],
        prediction_threshold: 0.0,
    };
    let mut section = vec![0; 4096];
    let length = reference.encode(&mut section).expect("fits");
    let baseline = Baseline::parse(&section[..length]).expect("good");
    let schema = Schema {
        labels: vec!["label"; labels].into_iter().collect(),
        ..schema(channels, 1)
    };
    let mut monitor = Monitor::new(&schema, baseline).expect("fits");
    fill(&mut monitor, 0, 100, |i| i as f32);
    for channel in monitor.window.channels.iter_mut() {
        channel.histogram.counts = [u32::MAX; 16];
        (channel.sum, channel.sum_of_squares) = (i64::MIN, u64::MAX);
        (channel.missing, channel.out_of_range) = (u32::MAX, u32::MAX);
        channel.stuck = u32::MAX;
    }
    monitor.window.predictions.fill(u32::MAX);
    monitor.window.latency.counts.fill(u32::MAX);
    monitor.window.confidence.counts.fill(u32::MAX);
    let mut buffer = vec![0; MAX_RECORD_BYTES];
    let closed = monitor
        .close(
            WINDOW_MS,
            &Header::default(),
            &Credential([1; 32]),
            &mut buffer,
        )
        .expect("fits")
        .expect("had inputs");
    assert!(closed.judged && closed.record_bytes > 2048);
    assert!(closed.record_bytes <= record::longest_window_bytes(channels, labels));
}
