//! Devices that cannot record, or whose records would prove nothing: they run, and say so.

mod support;

use dunlin_wire::credential::Credential;
use dunlin_wire::link::{Reason, Refusal, Reply, Request, Samples};
use support::bundle::{PERIOD_MS, Recipe, WINDOW_MS};
use support::{Answer, Bench, DEVICE, f32_bytes};

const NO_SECRET: Credential = Credential([0; 32]);

fn reason(answer: &Answer) -> Option<Reason> {
    match answer.reply() {
        Reply::Refused(refusal) => refusal.reason(),
        _ => None,
    }
}

/// Whether the device says it is provisioned, why it records nothing, and its newest record.
fn told(bench: &mut Bench) -> (bool, Option<Refusal>, u32) {
    match bench.ask(Request::Info).reply() {
        Reply::Info(info) => (info.provisioned, info.recording_fault, info.last_sequence),
        other => panic!("expected info, got {other:?}"),
    }
}

/// Installs a bundle, runs it, and lets it observe two and a half windows.
fn runs_and_observes(bench: &mut Bench) {
    let bundle = Recipe::version(1).build();
    let installed = bench.install(&bundle);
    assert!(
        matches!(installed.reply(), Reply::Activate { .. }),
        "{:?}",
        installed.reply()
    );
    let input = f32_bytes(&[1.0, 3.0]);
    let inferred = bench.ask(Request::Infer { input: &input });
    assert!(matches!(inferred.reply(), Reply::Infer { .. }));
    let packed: Vec<u8> = (0..25)
        .flat_map(|n| {
            let time_ms = 1_700_000_000_000 + n * PERIOD_MS as i64;
            [&time_ms.to_le_bytes()[..], &input].concat()
        })
        .collect();
    let samples = Samples {
        input_bytes: 8,
        packed: &packed,
    };
    assert_eq!(
        bench.ask(Request::Observe(samples)).reply(),
        Reply::Observe {
            samples: 25,
            windows_closed: 2
        }
    );
    assert_eq!(WINDOW_MS, 10 * PERIOD_MS);
}

#[test]
fn a_device_with_a_credential_and_a_region_records_and_says_so() {
    let mut bench = Bench::default();
    runs_and_observes(&mut bench);
    let (provisioned, fault, newest) = told(&mut bench);
    assert_eq!((provisioned, fault), (true, None));
    assert!(newest > 5, "{newest} records");
}

#[test]
fn a_device_without_a_secret_runs_and_neither_makes_nor_hands_out_records() {
    let mut bench = Bench {
        credential: NO_SECRET,
        ..Bench::default()
    };
    let erased = bench.records.clone();
    runs_and_observes(&mut bench);
    let unprovisioned = Refusal::new(Reason::Unprovisioned);
    assert_eq!(told(&mut bench), (false, Some(unprovisioned), 0));
    let answers = bench.ask_all(&[
        Request::RecordsSince { sequence: 0 },
        Request::Acknowledge {
            up_to: 0,
            tag: NO_SECRET.acknowledgement(DEVICE, 0),
        },
    ]);
    for answer in &answers {
        assert_eq!(reason(answer), Some(Reason::Unprovisioned));
    }
    assert!(bench.records == erased, "something was recorded");
    assert!(unprovisioned.to_string().contains("identity of its own"));
}

#[test]
fn records_from_before_are_kept_while_the_identity_is_missing() {
    let mut bench = Bench::default();
    runs_and_observes(&mut bench);
    bench.credential = NO_SECRET;
    let answer = bench.ask(Request::RecordsSince { sequence: 0 });
    assert_eq!(reason(&answer), Some(Reason::Unprovisioned));
    bench.credential = support::CREDENTIAL;
    let answer = bench.ask(Request::RecordsSince { sequence: 0 });
    let Reply::Records { records, .. } = answer.reply() else {
        panic!("{:?}", answer.reply())
    };
    assert!(records.iter().count() > 5);
}

#[test]
fn a_device_whose_region_for_records_fails_runs_and_says_why_it_records_nothing() {
    let mut bench = Bench {
        records_fail: true,
        ..Bench::default()
    };
    runs_and_observes(&mut bench);
    let failed = Refusal::new(Reason::StorageFailed);
    assert_eq!(told(&mut bench), (true, Some(failed), 0));
    let answer = bench.ask(Request::RecordsSince { sequence: 0 });
    assert_eq!(reason(&answer), Some(Reason::StorageFailed));
}

#[test]
fn a_region_too_small_for_the_longest_record_is_told_with_its_numbers() {
    let mut bench = Bench::default();
    bench.records.truncate(13 * support::PAGE_BYTES);
    runs_and_observes(&mut bench);
    let too_small = Refusal::with(Reason::RegionTooSmall, 14 * 512, 13 * 512);
    assert_eq!(told(&mut bench), (true, Some(too_small), 0));
    assert_eq!(
        too_small.to_string(),
        "the device has a flash region of 6656 bytes where 7168 are needed: its firmware must give it more"
    );
}

#[test]
fn a_region_that_works_again_is_used_after_the_next_start() {
    let mut bench = Bench {
        records_fail: true,
        ..Bench::default()
    };
    runs_and_observes(&mut bench);
    bench.records_fail = false;
    let (_, fault, newest) = told(&mut bench);
    assert_eq!((fault, newest), (None, 1));
}
