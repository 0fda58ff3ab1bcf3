//! From samples to records to an acknowledgement.

mod support;

use dunlin_runtime::{NoSource, SampleSource, Sampled};
use dunlin_wire::link::{Reason, Refusal, Reply, Request, Samples};
use dunlin_wire::record::{Boot, Event, EventCode, Kind, Loss, Record, ResetReason, Window};
use support::bundle::{PERIOD_MS, Recipe, WINDOW_MS};
use support::flash::Power;
use support::{Answer, Bench, BenchBoard, CREDENTIAL, DEVICE, bodies, events, f32_bytes, records};

const START_MS: i64 = 1_700_000_000_000;

fn running() -> Bench {
    let mut bench = Bench::default();
    assert!(matches!(
        bench.install(&Recipe::version(1).build()).reply(),
        Reply::Activate { .. }
    ));
    bench
}

/// Samples one period apart, packed.
fn packed(first: i64, values: &[[f32; 2]]) -> Vec<u8> {
    let times = (0..).map(|index| START_MS + (first + index) * PERIOD_MS as i64);
    times
        .zip(values)
        .flat_map(|(time, values)| [time.to_le_bytes().to_vec(), f32_bytes(values)].concat())
        .collect()
}

fn observe(packed: &[u8]) -> Request<'_> {
    Request::Observe(Samples {
        input_bytes: 8,
        packed,
    })
}

fn windows(records: &[Vec<u8>]) -> Vec<Window> {
    bodies(records, Kind::WINDOW)
}

fn refusal(answer: &Answer) -> Refusal {
    match answer.reply() {
        Reply::Refused(refusal) => refusal,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[test]
fn a_start_and_an_activation_leave_records() {
    let mut bench = running();
    let records = records(&mut bench);
    let boots: Vec<Boot> = bodies(&records, Kind::BOOT);
    assert_eq!(
        boots,
        [Boot {
            reason: ResetReason::POWER
        }; 2]
    );
    let events: Vec<Event> = bodies(&records, Kind::EVENT);
    assert_eq!(
        events.iter().map(|event| event.code).collect::<Vec<_>>(),
        [EventCode::ACTIVATED]
    );
}

#[test]
fn samples_observed_before_the_flash_fails_are_told() {
    let values = [[3.0, 1.0]; 25];
    let samples = packed(0, &values);
    let told = (0..12).find_map(|operations| {
        let mut bench = running();
        bench.outlives_flash = true;
        let message = bench.message(observe(&samples));
        let mut answers = Vec::new();
        bench.power.cut_after(operations, 1);
        let board = &mut BenchBoard::default();
        let started = bench.try_start(NoSource, board, vec![message], &mut answers);
        let refused = started.is_ok().then(|| refusal(&answers[0]));
        refused.filter(|refusal| refusal.got > 1)
    });
    let told = told.expect("the window is one of the first things written");
    assert_eq!(told.reason(), Some(Reason::StorageFailed));
    assert_eq!(
        (told.got, told.needed),
        (11, 25),
        "the one after a window of ten is counted"
    );
}

/// Closes six windows while `fault` befalls the flash: how many were refused, and how many starts and
/// windows are known of afterwards, stored or told to be missing. `None` where the device did not start.
fn six_windows(fault: impl Fn(&Power)) -> Option<(usize, usize)> {
    let samples = packed(0, &[[1.0, 2.0]; 3]);
    let mut bench = running();
    fault(&bench.power);
    let messages = [observe(&samples), Request::CloseWindow]
        .repeat(6)
        .into_iter()
        .map(|request| bench.message(request))
        .collect();
    let mut answers = Vec::new();
    let board = &mut BenchBoard::default();
    bench
        .try_start(NoSource, board, messages, &mut answers)
        .ok()?;
    bench.power.doubtful.set(None);
    bench.power.refused.set(None);
    let is_refused = |answer: &Answer| matches!(answer.reply(), Reply::Refused(_));
    assert!(
        !answers.last().is_none_or(is_refused),
        "the last one is stored"
    );
    let records = records(&mut bench);
    let told = events(&mut bench, EventCode::NOT_WRITTEN)
        .iter()
        .map(|event| event.detail as usize)
        .sum::<usize>();
    let refused = answers.iter().filter(|answer| is_refused(answer)).count();
    let stored = windows(&records).len() + bodies::<Boot>(&records, Kind::BOOT).len();
    Some((refused, stored + told))
}

#[test]
fn a_write_that_is_said_to_have_failed_costs_no_window_but_its_own() {
    let (_, all) = six_windows(|_| ()).expect("starts");
    let outcomes: Vec<(usize, usize)> = (0..30)
        .filter_map(|writes| six_windows(|power| power.doubtful.set(Some(writes))))
        .collect();
    assert!(
        outcomes
            .iter()
            .all(|&(refused, known)| refused <= 1 && known == all),
        "{outcomes:?}"
    );
    assert!(
        outcomes.iter().any(|&(refused, _)| refused == 1),
        "no window was hit"
    );
}

#[test]
fn windows_that_could_not_be_written_are_told_of_once_the_flash_works_again() {
    let (_, all) = six_windows(|_| ()).expect("starts");
    let outcomes: Vec<(usize, usize)> = (0..20)
        .flat_map(|until| (1..4).map(move |count| (until, count)))
        .filter_map(|fault| six_windows(|power| power.refused.set(Some(fault))))
        .collect();
    assert!(
        outcomes.iter().all(|&(_, known)| known == all),
        "{outcomes:?}"
    );
    assert!(
        outcomes.iter().any(|&(refused, _)| refused > 1),
        "{outcomes:?}"
    );
}

#[test]
fn windows_close_when_their_samples_span_them() {
    let mut bench = running();
    let values: Vec<[f32; 2]> = (0..25).map(|n| [(n % 7) as f32, 1.0]).collect();
    let (samples, rest) = (packed(0, &values[..12]), packed(12, &values[12..]));
    let answers = bench.ask_all(&[
        observe(&samples),
        observe(&rest),
        Request::CloseWindow,
        Request::CloseWindow,
    ]);
    assert_eq!(
        answers[0].reply(),
        Reply::Observe {
            samples: 12,
            windows_closed: 1
        }
    );
    assert_eq!(
        answers[1].reply(),
        Reply::Observe {
            samples: 13,
            windows_closed: 1
        }
    );
    assert_eq!(answers[2].reply(), Reply::CloseWindow { closed: true });
    assert_eq!(answers[3].reply(), Reply::CloseWindow { closed: false });
    let windows = windows(&records(&mut bench));
    let inputs: Vec<u32> = windows.iter().map(|window| window.inputs).collect();
    assert_eq!(inputs, [10, 10, 5]);
    let partial: Vec<bool> = windows.iter().map(|window| window.partial).collect();
    assert_eq!(partial, [false, false, true]);
    assert_eq!(windows[0].opened_ms, START_MS as u64);
    assert_eq!(windows[0].predictions.iter().sum::<u32>(), 10);
}

#[test]
fn a_window_that_is_closed_when_its_last_sample_has_passed_is_whole() {
    let mut bench = running();
    let samples = packed(0, &[[1.0, 2.0]; 10]);
    bench.ask_all(&[observe(&samples), Request::CloseWindow]);
    let windows = windows(&records(&mut bench));
    assert_eq!(
        (windows.len(), windows[0].partial, windows[0].inputs),
        (1, false, 10)
    );
    assert_eq!(WINDOW_MS, 10 * PERIOD_MS);
}

#[test]
fn samples_sent_twice_count_once() {
    let mut bench = running();
    let samples = packed(0, &[[1.0, 2.0]; 4]);
    let (message, close) = (
        bench.message(observe(&samples)),
        bench.message(Request::CloseWindow),
    );
    let answers = bench.start(vec![message.clone(), message.clone(), message, close]);
    assert!(answers[..3].iter().all(|answer| answer.reply()
        == Reply::Observe {
            samples: 4,
            windows_closed: 0
        }));
    assert_eq!(windows(&records(&mut bench))[0].inputs, 4);
}

#[test]
fn inferences_are_not_observed() {
    let mut bench = running();
    let input = f32_bytes(&[1.0, 3.0]);
    let answers = bench.ask_all(&[Request::Infer { input: &input }, Request::CloseWindow]);
    assert!(matches!(answers[0].reply(), Reply::Infer { .. }));
    assert_eq!(answers[1].reply(), Reply::CloseWindow { closed: false });
}

fn scores(answer: &Answer) -> [f32; 2] {
    let Reply::Infer { output, .. } = answer.reply() else {
        panic!("expected an answer, got {:?}", answer.reply());
    };
    let score = |at: usize| f32::from_le_bytes(output[at..at + 4].try_into().unwrap());
    [score(4), score(8)]
}

#[test]
fn a_streaming_model_goes_on_until_the_session_ends_or_its_arena_is_used() {
    let streaming = |version, spoilt_vector| Recipe {
        plan: support::bundle::plan::streaming_plan().build(),
        spoilt_vector,
        ..Recipe::version(version)
    };
    let mut bench = Bench::default();
    let installed = bench.install(&streaming(1, None).build());
    assert!(matches!(installed.reply(), Reply::Activate { .. }));
    let input = f32_bytes(&[1.0, 3.0]);
    let infer = Request::Infer { input: &input };
    for _ in 0..2 {
        let answers = bench.ask_all(&[infer, infer, infer]);
        let sums: Vec<[f32; 2]> = answers.iter().map(scores).collect();
        assert_eq!(sums, [[1.0, 3.0], [2.0, 6.0], [2.0, 6.0]]);
    }
    let mut messages = vec![bench.message(infer), bench.message(infer)];
    messages.extend(bench.transfer(&streaming(2, Some(2)).build(), 0, 256));
    messages.push(bench.message(Request::Activate));
    messages.push(bench.message(infer));
    let answers = bench.start(messages);
    let [.., activated, last] = &answers[..] else {
        panic!("a reply to every message");
    };
    assert_eq!(refusal(activated).reason(), Some(Reason::SelfTestFailed));
    assert_eq!(scores(last), [1.0, 3.0]);
}

#[test]
fn inputs_of_another_size_are_refused() {
    let mut bench = running();
    let size = Refusal::with(Reason::InputSize, 8, 12);
    assert_eq!(
        refusal(&bench.ask(Request::Infer { input: &[0; 12] })),
        size
    );
    let samples = Samples {
        input_bytes: 12,
        packed: &[0; 20],
    };
    assert_eq!(refusal(&bench.ask(Request::Observe(samples))), size);
}

#[test]
fn an_acknowledgement_needs_the_credential_and_a_record() {
    let mut bench = running();
    let newest = records(&mut bench).len() as u32 + 1;
    let tag = CREDENTIAL.acknowledgement(DEVICE, newest);
    let wrong = bench.ask(Request::Acknowledge {
        up_to: newest,
        tag: [0; 16],
    });
    assert_eq!(refusal(&wrong).reason(), Some(Reason::BadTag));
    let other = CREDENTIAL.acknowledgement(DEVICE, 9999);
    assert_eq!(
        refusal(&bench.ask(Request::Acknowledge {
            up_to: 9999,
            tag: other
        }))
        .reason(),
        Some(Reason::NotStored)
    );
    let answer = bench.ask(Request::Acknowledge { up_to: newest, tag });
    assert_eq!(answer.reply(), Reply::Acknowledge { up_to: newest });
    let answer = bench.ask(Request::Info);
    let Reply::Info(info) = answer.reply() else {
        panic!("no info")
    };
    assert_eq!(info.acknowledged_sequence, newest);
}

#[test]
fn what_a_full_store_drops_is_told_in_a_loss_record() {
    let mut bench = running();
    for start in 0..300 {
        let samples = packed(start * 100, &[[1.0, 2.0]; 3]);
        bench.ask_all(&[observe(&samples), Request::CloseWindow]);
    }
    let records = records(&mut bench);
    let losses: Vec<Loss> = bodies(&records, Kind::LOSS);
    let first = Record::parse(&records[0])
        .expect("a record")
        .0
        .header()
        .sequence;
    assert!(
        losses.len() > 3 && first > 1,
        "{} losses, the first record is {first}",
        losses.len()
    );
    assert!(
        losses
            .windows(2)
            .all(|pair| pair[0].last_sequence < pair[1].last_sequence),
        "{losses:?}"
    );
    let newest = losses.last().expect("a loss");
    assert_eq!(newest.first_sequence, 1, "earlier losses are told no more");
    assert!(newest.last_sequence + 1 >= first);
}

#[test]
fn the_time_told_stands_in_later_records() {
    let mut bench = running();
    let samples = packed(0, &[[1.0, 2.0]; 2]);
    bench.ask_all(&[
        Request::Time { unix_ms: START_MS },
        observe(&samples),
        Request::CloseWindow,
    ]);
    let records = records(&mut bench);
    let events: Vec<Event> = bodies(&records, Kind::EVENT);
    assert_eq!(
        events.last().map(|event| event.code),
        Some(EventCode::CLOCK_SET)
    );
    let header = *Record::parse(records.iter().rev().nth(1).expect("records"))
        .expect("a record")
        .0
        .header();
    assert_eq!(header.kind, Kind::WINDOW);
    assert!(
        header
            .time_ms
            .is_some_and(|time| time.abs_diff(START_MS as u64) < 1000)
    );
}

/// A sensor with a reading every second; the third fails.
struct Sensor {
    due_us: u64,
    taken: u32,
    channels: usize,
}

impl SampleSource for Sensor {
    fn channels(&self) -> Option<usize> {
        Some(self.channels)
    }

    fn sample(&mut self, now_us: u64, step: &mut [f32]) -> Sampled {
        if now_us < self.due_us {
            return Sampled::NotYet;
        }
        self.due_us += PERIOD_MS * 1000;
        self.taken += 1;
        step.iter_mut().for_each(|value| *value = self.taken as f32);
        if self.taken == 3 {
            Sampled::Failed
        } else {
            Sampled::Step
        }
    }
}

#[test]
fn the_devices_own_sensor_is_observed_as_time_goes_by() {
    let mut bench = running();
    let mut board = BenchBoard {
        step_us: 50_000,
        ..BenchBoard::default()
    };
    let messages: Vec<_> = (0..200).map(|_| bench.message(Request::Info)).collect();
    let sensor = Sensor {
        due_us: 0,
        taken: 0,
        channels: 2,
    };
    bench
        .try_start(sensor, &mut board, messages, &mut Vec::new())
        .expect("starts");
    let windows = windows(&records(&mut bench));
    assert!(!windows.is_empty());
    assert_eq!(
        (windows[0].partial, windows[0].channels[0].missing),
        (false, 1)
    );
    assert!(
        (10..=11).contains(&windows[0].inputs),
        "{} inputs",
        windows[0].inputs
    );
}

#[test]
fn a_bundle_with_another_number_of_channels_than_the_sensor_is_refused() {
    let mut bench = Bench::default();
    let bundle = Recipe::version(1).build();
    let mut messages = bench.transfer(&bundle, 0, 256);
    messages.push(bench.message(Request::Activate));
    let mut answers = Vec::new();
    let sensor = Sensor {
        due_us: 0,
        taken: 0,
        channels: 3,
    };
    bench
        .try_start(sensor, &mut BenchBoard::default(), messages, &mut answers)
        .expect("starts");
    let refusal = refusal(answers.last().expect("replies"));
    assert_eq!(
        (refusal.reason(), refusal.needed, refusal.got),
        (Some(Reason::ChannelMismatch), 3, 2)
    );
}

#[test]
fn garbage_on_the_line_does_not_stop_the_device() {
    let mut bench = running();
    let mut message = bench.message(Request::Info);
    message[3] = 0xff;
    let info = bench.message(Request::Info);
    let unknown = bench.message(Request::Unknown { code: 99 });
    let answers = bench.start(vec![message, unknown, info]);
    assert_eq!(
        refusal(&answers[0]).reason(),
        Some(Reason::MalformedRequest)
    );
    assert_eq!(
        refusal(&answers[1]),
        Refusal::with(Reason::UnknownRequest, 0, 99)
    );
    assert!(matches!(answers[2].reply(), Reply::Info(_)));
}

/// Numbers that repeat from run to run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 as usize
    }
}

#[test]
fn thousands_of_spoilt_messages_neither_stop_the_device_nor_change_what_runs() {
    let mut bench = running();
    bench.next_id = 0x1000;
    let (mut random, bundle) = (Random(0x5eed), Recipe::version(9).build());
    let samples = packed(0, &[[1.0, 2.0]; 3]);
    let mut good = bench.transfer(&bundle, 0, 200);
    good.extend([
        bench.message(observe(&samples)),
        bench.message(Request::Infer {
            input: &samples[8..16],
        }),
        bench.message(Request::RecordsSince { sequence: 2 }),
        bench.message(Request::Acknowledge {
            up_to: 1,
            tag: [3; 16],
        }),
        bench.message(Request::Activate),
    ]);
    let mut spoilt = Vec::new();
    for id in 0x2000..0x2000 + 4000_u16 {
        let mut message = good[random.next() % good.len()].clone();
        message[2..4].copy_from_slice(&id.to_be_bytes());
        let at = 4 + random.next() % (message.len() - 4);
        message[at] ^= 1 << (random.next() % 8);
        spoilt.push(message);
    }
    spoilt.push(bench.message(Request::Info));
    let answers = bench.start(spoilt);
    assert_eq!(answers.len(), 4001);
    let refused = answers
        .iter()
        .filter(|answer| matches!(answer.reply(), Reply::Refused(_)))
        .count();
    assert!((100..4000).contains(&refused), "{refused} of them refused");
    let Reply::Info(info) = answers[4000].reply() else {
        panic!("no info")
    };
    assert_eq!(info.bundle.map(|bundle| bundle.version), Some(1));
}
