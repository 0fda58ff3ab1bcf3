//! What somebody on the wire who can prove nothing can have written, and what not.

mod support;

use dunlin_wire::link::{Reason, Refusal, Reply, Request, Samples};
use dunlin_wire::record::EventCode;
use ed25519_dalek::SigningKey;
use support::bundle::Recipe;
use support::{Answer, Bench, begin, events, f32_bytes, head_bytes};

/// A device that runs version 3 and can fall back on version 2.
fn running() -> Bench {
    let mut bench = Bench::default();
    for version in [2, 3] {
        let answer = bench.install(&Recipe::version(version).build());
        assert!(matches!(answer.reply(), Reply::Activate { .. }));
    }
    bench
}

/// Writes and erases that `requests` cause in one start, beyond those of the start itself.
fn operations(bench: &mut Bench, requests: &[Request<'_>]) -> (usize, Vec<Answer>) {
    let mut idle = Bench {
        slots: bench.slots.clone(),
        state: bench.state.clone(),
        records: bench.records.clone(),
        ..Bench::default()
    };
    idle.ask(Request::Info);
    let before = bench.power.operations.get();
    let answers = bench.ask_all(requests);
    let all = bench.power.operations.get() - before;
    (all - idle.power.operations.get(), answers)
}

fn reason(answer: &Answer) -> Option<Reason> {
    match answer.reply() {
        Reply::Refused(refusal) => refusal.reason(),
        _ => None,
    }
}

fn put(bundle: &[u8]) -> [Request<'_>; 2] {
    let chunk = Request::PutChunk {
        offset: 0,
        bytes: bundle,
    };
    [begin(bundle), chunk]
}

#[test]
fn for_what_is_not_signed_or_would_not_run_nothing_is_erased_or_written() {
    let mut bench = running();
    let newer = || Recipe::version(9);
    let mut altered = newer().build();
    altered[head_bytes(&newer().build()) - 1] ^= 1;
    let bundles = [
        (vec![7; 900], Reason::NotABundle),
        (altered, Reason::BadSignature),
        (
            Recipe {
                key: SigningKey::from_bytes(&[9; 32]),
                ..newer()
            }
            .build(),
            Reason::UnknownKey,
        ),
        (Recipe::version(1).build(), Reason::OlderVersion),
        (
            Recipe {
                threshold: 0.7,
                ..Recipe::version(3)
            }
            .build(),
            Reason::VersionTaken,
        ),
        (
            Recipe {
                target: "moon",
                ..newer()
            }
            .build(),
            Reason::WrongTarget,
        ),
        (
            Recipe {
                arena_bytes: Some(65),
                ..newer()
            }
            .build(),
            Reason::ArenaTooSmall,
        ),
    ];
    let slots = bench.slots.clone();
    for (bundle, expected) in &bundles {
        let requests = [put(bundle), put(bundle)].concat();
        let requests = [requests, vec![Request::Activate; 20]].concat();
        let (operations, answers) = operations(&mut bench, &requests);
        assert_eq!(operations, 0, "{expected:?}");
        for answer in [&answers[1], &answers[3]] {
            assert_eq!(reason(answer), Some(*expected));
        }
        for answer in &answers[4..] {
            assert_eq!(reason(answer), Some(Reason::Incomplete), "{expected:?}");
        }
    }
    assert!(bench.slots == slots, "a slot was written");
}

#[test]
fn a_head_that_is_not_the_one_announced_erases_nothing() {
    let mut bench = running();
    let (told, comes) = (Recipe::version(8).build(), Recipe::version(9).build());
    assert_eq!(told.len(), comes.len());
    let requests = [begin(&told), put(&comes)[1]];
    let (operations, answers) = operations(&mut bench, &requests);
    assert_eq!(
        (operations, reason(&answers[1])),
        (0, Some(Reason::OtherBundle))
    );
}

#[test]
fn announcements_alone_write_nothing() {
    let mut bench = running();
    let announced: Vec<_> = (0..100)
        .map(|n| Request::PutBegin {
            total_bytes: 100 + n,
            digest: [n as u8; 32],
        })
        .collect();
    assert_eq!(operations(&mut bench, &announced).0, 0);
}

#[test]
fn chunks_too_short_to_be_written_do_not_erase_a_page_again_and_again() {
    let mut bench = running();
    let bundle = Recipe::version(9).build();
    let mut requests = put(&bundle[..512]).to_vec();
    requests[0] = begin(&bundle);
    let once = operations(&mut bench, &requests).0;
    let mut bench = running();
    requests.extend(
        [Request::PutChunk {
            offset: 512,
            bytes: &bundle[512..515],
        }; 50],
    );
    let (often, answers) = operations(&mut bench, &requests);
    assert_eq!(
        answers.last().expect("replies").reply(),
        Reply::PutChunk { held_bytes: 512 }
    );
    assert_eq!(often, once);
}

#[test]
fn a_refused_bundle_is_recorded_once_however_often_it_comes() {
    let mut bench = running();
    let wrong = Recipe {
        spoilt_vector: Some(1),
        ..Recipe::version(9)
    }
    .build();
    let attempt = [&put(&wrong)[..], &[Request::Activate; 4]].concat();
    let answers = bench.ask_all(&attempt.repeat(3));
    for attempt in answers.chunks(6) {
        assert_eq!(reason(&attempt[2]), Some(Reason::SelfTestFailed));
        for repeated in &attempt[3..] {
            assert_eq!(reason(repeated), Some(Reason::NoTransfer));
        }
    }
    let refused = events(&mut bench, EventCode::REFUSED);
    assert_eq!(refused.len(), 1);
    let id = dunlin_wire::bundle::verify(&wrong, &[support::bundle::public_key()]);
    assert_eq!(refused[0].bundle, Some(id.expect("is signed").id()));
    assert_eq!(refused[0].detail, Reason::SelfTestFailed as u32);
}

#[test]
fn transfers_that_lead_to_no_activation_end_until_the_next_start() {
    let mut bench = running();
    let good = Recipe::version(9).build();
    let mut spoilt = good.clone();
    *spoilt.last_mut().expect("bytes") ^= 1;
    let attempt = [&put(&spoilt)[..], &[Request::Activate]].concat();
    let answers = bench.ask_all(&attempt.repeat(40));
    for (number, attempt) in answers.chunks(3).enumerate() {
        if number < 16 {
            assert_eq!(reason(&attempt[2]), Some(Reason::SectionHashMismatch));
        } else {
            let Reply::Refused(refusal) = attempt[1].reply() else {
                panic!("{:?}", attempt[1].reply())
            };
            assert_eq!(refusal, Refusal::with(Reason::TooManyTransfers, 16, 0));
        }
    }
    assert!(matches!(
        bench.install(&good).reply(),
        Reply::Activate { .. }
    ));
}

#[test]
fn the_clock_may_be_set_at_any_time_and_is_recorded_a_few_times() {
    let mut bench = running();
    let times: Vec<_> = (1..=200)
        .map(|hour| Request::Time {
            unix_ms: 1_700_000_000_000 + hour * 3_600_000,
        })
        .chain([Request::Info])
        .collect();
    let answers = bench.ask_all(&times);
    let Reply::Info(info) = answers[200].reply() else {
        panic!("no info")
    };
    let last_ms = 1_700_000_000_000 + 200 * 3_600_000;
    assert!(
        info.time_ms
            .is_some_and(|time| time.abs_diff(last_ms) < 1000)
    );
    assert_eq!(events(&mut bench, EventCode::CLOCK_SET).len(), 8);
}

#[test]
fn the_time_that_is_known_already_and_a_window_without_inputs_write_nothing() {
    let mut bench = running();
    let time = Request::Time {
        unix_ms: 1_700_000_000_000,
    };
    let once = operations(&mut bench, &[time]).0;
    let requests = [&[time; 30][..], &[Request::CloseWindow; 30]].concat();
    assert_eq!(operations(&mut bench, &requests).0, once);
}

#[test]
fn inferences_and_reading_records_write_nothing() {
    let mut bench = running();
    let input = f32_bytes(&[1.0, 3.0]);
    let samples = Samples {
        input_bytes: 8,
        packed: &[],
    };
    let requests = [
        Request::Infer { input: &input },
        Request::RecordsSince { sequence: 0 },
        Request::Observe(samples),
        Request::Acknowledge {
            up_to: 1,
            tag: [0; 16],
        },
        Request::Unknown { code: 77 },
    ];
    assert_eq!(operations(&mut bench, &requests.repeat(20)).0, 0);
}
