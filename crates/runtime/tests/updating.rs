//! Bundles that come over the link: taken, refused, resumed, fallen back from.

mod support;

use dunlin_wire::bundle;
use dunlin_wire::link::{ActiveBundle, Reason, Refusal, Reply, Request};
use dunlin_wire::record::EventCode;
use ed25519_dalek::SigningKey;
use support::bundle::Recipe;
use support::{Answer, Bench, f32_bytes};

fn id_of(bundle: &[u8]) -> dunlin_wire::BundleId {
    bundle::verify(bundle, &[support::bundle::public_key()])
        .expect("a good bundle")
        .id()
}

/// The reason and numbers of a refusal.
fn refusal(answer: &Answer) -> (Reason, u32, u32) {
    match answer.reply() {
        Reply::Refused(Refusal { needed, got, code }) => (
            Refusal { code, needed, got }
                .reason()
                .expect("a known reason"),
            needed,
            got,
        ),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

fn active(bench: &mut Bench) -> Option<(u32, dunlin_wire::BundleId)> {
    match bench.ask(Request::Info).reply() {
        Reply::Info(info) => info
            .bundle
            .map(|ActiveBundle { version, id, .. }| (version, id)),
        other => panic!("expected info, got {other:?}"),
    }
}

#[test]
fn a_new_device_runs_nothing_and_says_so() {
    let mut bench = Bench::default();
    assert_eq!(active(&mut bench), None);
    assert_eq!(
        refusal(&bench.ask(Request::Infer { input: &[0; 8] })),
        (Reason::NoBundle, 0, 0)
    );
    assert_eq!(
        refusal(&bench.ask(Request::Activate)),
        (Reason::NoTransfer, 0, 0)
    );
}

#[test]
fn a_bundle_that_was_put_and_activated_runs_also_after_a_restart() {
    let mut bench = Bench::default();
    let bundle = Recipe::version(3).build();
    assert_eq!(
        bench.install(&bundle).reply(),
        Reply::Activate {
            bundle: id_of(&bundle)
        }
    );
    assert_eq!(active(&mut bench), Some((3, id_of(&bundle))));
    let input = f32_bytes(&[1.0, 3.0]);
    let answer = bench.ask(Request::Infer { input: &input });
    let Reply::Infer { output, latency_us } = answer.reply() else {
        panic!("{:?}", answer.reply())
    };
    assert_eq!(
        output,
        [&1_i32.to_le_bytes()[..], &f32_bytes(&[-1.75, 5.25])].concat()
    );
    assert_eq!(latency_us, 10);
}

#[test]
fn a_newer_bundle_replaces_the_one_that_runs_within_one_start() {
    let mut bench = Bench::default();
    let (old, new) = (Recipe::version(1).build(), Recipe::version(2).build());
    bench.install(&old);
    let mut messages = bench.transfer(&new, 0, 300);
    messages.push(bench.message(Request::Activate));
    messages.push(bench.message(Request::Info));
    let answers = bench.start(messages);
    let Reply::Info(info) = answers.last().expect("answers").reply() else {
        panic!("no info")
    };
    assert_eq!(info.bundle.map(|bundle| bundle.version), Some(2));
    assert_eq!(info.lowest_version, 2);
}

#[test]
fn a_request_right_behind_an_activation_is_answered_by_the_new_bundle() {
    let mut bench = Bench {
        is_eager: true,
        ..Bench::default()
    };
    let input = f32_bytes(&[1.0, 3.0]);
    let mut messages = bench.transfer(&Recipe::version(1).build(), 0, 300);
    messages.push(bench.message(Request::Activate));
    messages.push(bench.message(Request::Infer { input: &input }));
    let answer = bench.start(messages).pop().expect("replies");
    assert!(
        matches!(answer.reply(), Reply::Infer { .. }),
        "{:?}",
        answer.reply()
    );
}

#[test]
fn activating_again_because_the_reply_was_lost_gives_the_same_reply() {
    let mut bench = Bench::default();
    let bundle = Recipe::version(1).build();
    let mut messages = bench.transfer(&bundle, 0, 300);
    let activate = bench.message(Request::Activate);
    messages.extend([activate.clone(), activate.clone(), activate]);
    let answers = bench.start(messages);
    for answer in &answers[answers.len() - 3..] {
        assert_eq!(
            answer.reply(),
            Reply::Activate {
                bundle: id_of(&bundle)
            }
        );
    }
}

struct Wrong {
    name: &'static str,
    bundle: Vec<u8>,
    refusal: (Reason, u32, u32),
}

fn wrong(name: &'static str, bundle: Vec<u8>, reason: Reason, needed: usize, got: usize) -> Wrong {
    Wrong {
        name,
        bundle,
        refusal: (reason, needed as u32, got as u32),
    }
}

/// Every way in which a bundle that is whole can be wrong, with the refusal it gets.
fn wrong_bundles() -> Vec<Wrong> {
    let good = Recipe::version(5).build();
    let length = good.len();
    let mut altered = good.clone();
    *altered.last_mut().expect("bytes") ^= 1;
    let recipe = || Recipe::version(5);
    let kernel = 0x0001_0999;
    let stranger = SigningKey::from_bytes(&[9; 32]);
    vec![
        wrong("garbage", vec![7; 900], Reason::NotABundle, 0, 0),
        wrong(
            "altered section",
            altered,
            Reason::SectionHashMismatch,
            0,
            4,
        ),
        wrong(
            "cut",
            good[..length - 1].to_vec(),
            Reason::Truncated,
            length,
            length - 1,
        ),
        wrong(
            "stranger's",
            Recipe {
                key: stranger,
                ..recipe()
            }
            .build(),
            Reason::UnknownKey,
            0,
            0,
        ),
        wrong(
            "older",
            Recipe::version(1).build(),
            Reason::OlderVersion,
            2,
            1,
        ),
        wrong(
            "other target",
            Recipe {
                target: "moon",
                ..recipe()
            }
            .build(),
            Reason::WrongTarget,
            0,
            0,
        ),
        wrong(
            "other kernels",
            Recipe {
                kernel_class: "fast",
                ..recipe()
            }
            .build(),
            Reason::WrongKernelClass,
            0,
            0,
        ),
        wrong(
            "unknown kernel",
            Recipe {
                extra_kernel: Some(kernel),
                ..recipe()
            }
            .build(),
            Reason::MissingKernel,
            kernel as usize,
            0,
        ),
        wrong(
            "plan format",
            Recipe {
                plan_format: Some(9),
                ..recipe()
            }
            .build(),
            Reason::UnsupportedPlan,
            1,
            9,
        ),
        wrong(
            "arena",
            Recipe {
                arena_bytes: Some(65),
                ..recipe()
            }
            .build(),
            Reason::ArenaTooSmall,
            65,
            64,
        ),
        wrong(
            "stack",
            Recipe {
                stack_bytes: Some(1025),
                ..recipe()
            }
            .build(),
            Reason::StackTooSmall,
            1025,
            1024,
        ),
        wrong(
            "schema",
            Recipe {
                channels: 3,
                ..recipe()
            }
            .build(),
            Reason::InputMismatch,
            3,
            2,
        ),
        wrong(
            "baseline",
            Recipe {
                baseline_channels: 1,
                ..recipe()
            }
            .build(),
            Reason::BadBaseline,
            0,
            0,
        ),
        wrong(
            "golden vector",
            Recipe {
                spoilt_vector: Some(2),
                ..recipe()
            }
            .build(),
            Reason::SelfTestFailed,
            0,
            2,
        ),
    ]
}

#[test]
fn each_wrong_bundle_is_refused_for_its_reason_and_the_old_one_goes_on() {
    let mut bench = Bench::default();
    let good = Recipe::version(2).build();
    bench.install(&good);
    let wrong = wrong_bundles();
    assert_eq!(wrong.len(), 14);
    for Wrong {
        name,
        bundle,
        refusal: expected,
    } in wrong
    {
        assert_eq!(refusal(&bench.install(&bundle)), expected, "{name}");
        assert_eq!(active(&mut bench), Some((2, id_of(&good))), "{name}");
        assert_eq!(
            refusal(&bench.ask(Request::Activate)).0,
            Reason::NoTransfer,
            "{name} is forgotten"
        );
    }
    assert_eq!(
        bench.install(&Recipe::version(5).build()).reply(),
        Reply::Activate {
            bundle: id_of(&Recipe::version(5).build())
        }
    );
}

#[test]
fn an_altered_signature_is_refused_as_such() {
    let mut bench = Bench::default();
    let bundle = Recipe::version(5).build();
    let signed = bundle::signed_bytes(&bundle).expect("a bundle").len();
    let mut altered = bundle;
    altered[16 + signed - 1] ^= 1;
    assert_eq!(refusal(&bench.install(&altered)).0, Reason::BadSignature);
}

#[test]
fn a_bundle_longer_than_a_slot_is_refused_before_a_byte_is_sent() {
    let mut bench = Bench::default();
    let answer = bench.ask(Request::PutBegin {
        total_bytes: 7 * 512 + 1,
        digest: [0; 32],
    });
    assert_eq!(
        refusal(&answer),
        (Reason::BundleTooLong, 7 * 512, 7 * 512 + 1)
    );
}

#[test]
fn chunks_that_do_not_follow_are_refused_and_nothing_is_lost() {
    let mut bench = Bench::default();
    let bundle = Recipe::version(1).build();
    let total = bundle.len() as u32;
    let chunk = |offset: usize, to: usize| Request::PutChunk {
        offset: offset as u32,
        bytes: &bundle[offset..to],
    };
    let beyond = vec![0; bundle.len() - 599];
    let answers = bench.ask_all(&[
        chunk(0, 601),
        support::begin(&bundle),
        chunk(0, 100),
        chunk(4, 601),
        chunk(0, 601),
        chunk(601, 700),
        Request::PutChunk {
            offset: 600,
            bytes: &beyond,
        },
        Request::Activate,
        chunk(600, bundle.len()),
        Request::Activate,
    ]);
    assert_eq!(refusal(&answers[0]).0, Reason::NoTransfer);
    let head = support::head_bytes(&bundle) as u32;
    assert_eq!(refusal(&answers[2]), (Reason::Truncated, head, 100));
    assert_eq!(refusal(&answers[3]), (Reason::WrongOffset, 0, 4));
    assert_eq!(answers[4].reply(), Reply::PutChunk { held_bytes: 600 });
    assert_eq!(refusal(&answers[5]), (Reason::WrongOffset, 600, 601));
    assert_eq!(refusal(&answers[6]), (Reason::PastTheEnd, total, total + 1));
    assert_eq!(refusal(&answers[7]), (Reason::Incomplete, total, 600));
    assert_eq!(
        answers[9].reply(),
        Reply::Activate {
            bundle: id_of(&bundle)
        }
    );
}

#[test]
fn a_transfer_goes_on_after_a_restart_at_the_last_whole_page() {
    let mut bench = Bench::default();
    let bundle = Recipe::version(1).build();
    assert!(
        bundle.len() > 1100,
        "{} bytes are enough for two pages",
        bundle.len()
    );
    let first: Vec<_> = bench
        .transfer(&bundle, 0, 100)
        .into_iter()
        .take(8)
        .collect();
    bench.start(first);
    assert_eq!(
        bench.ask(support::begin(&bundle)).reply(),
        Reply::PutBegin { held_bytes: 1024 }
    );
    let mut rest = bench.transfer(&bundle, 1024, 256);
    rest.push(bench.message(Request::Activate));
    assert_eq!(
        bench.start(rest).pop().expect("replies").reply(),
        Reply::Activate {
            bundle: id_of(&bundle)
        }
    );
    let other = Recipe::version(2).build();
    assert_eq!(
        bench.ask(support::begin(&other)).reply(),
        Reply::PutBegin { held_bytes: 0 }
    );
}

/// A bundle that differs from `Recipe::version(version)` in one channel's threshold only.
fn other_content(version: u32) -> Vec<u8> {
    Recipe {
        threshold: 0.75,
        ..Recipe::version(version)
    }
    .build()
}

#[test]
fn another_bundle_of_the_same_version_is_refused_with_both_versions() {
    let mut bench = Bench::default();
    let good = Recipe::version(2).build();
    assert_ne!(id_of(&good), id_of(&other_content(2)));
    bench.install(&good);
    let answer = bench.install(&other_content(2));
    assert_eq!(refusal(&answer), (Reason::VersionTaken, 2, 2));
    let Reply::Refused(told) = answer.reply() else {
        panic!("refused above")
    };
    assert!(
        told.to_string()
            .contains("raise `version` in the recipe above 2"),
        "{told}"
    );
    assert_eq!(active(&mut bench), Some((2, id_of(&good))));
    assert!(matches!(
        bench.install(&other_content(3)).reply(),
        Reply::Activate { .. }
    ));
}

#[test]
fn the_version_that_fell_back_is_still_taken_and_that_very_bundle_may_come_again() {
    let mut bench = Bench::default();
    let (old, new) = (Recipe::version(2).build(), Recipe::version(3).build());
    bench.install(&old);
    bench.install(&new);
    damage(&mut bench, &new);
    assert_eq!(active(&mut bench), Some((2, id_of(&old))));
    assert_eq!(
        refusal(&bench.install(&other_content(2))),
        (Reason::OlderVersion, 3, 2)
    );
    assert_eq!(
        refusal(&bench.install(&other_content(3))),
        (Reason::VersionTaken, 3, 3)
    );
    assert_eq!(active(&mut bench), Some((2, id_of(&old))));
    bench.install(&new);
    assert_eq!(active(&mut bench), Some((3, id_of(&new))));
}

#[test]
fn the_bundle_that_runs_may_come_again_and_changes_nothing() {
    let mut bench = Bench::default();
    let (old, new) = (Recipe::version(1).build(), Recipe::version(2).build());
    bench.install(&old);
    bench.install(&new);
    let slots = bench.slots.clone();
    let answers = bench.ask_all(&[
        support::begin(&new),
        Request::PutChunk {
            offset: 0,
            bytes: &new,
        },
        Request::Activate,
        Request::Activate,
    ]);
    let total = new.len() as u32;
    assert_eq!(answers[0].reply(), Reply::PutBegin { held_bytes: total });
    assert_eq!(refusal(&answers[1]), (Reason::WrongOffset, total, 0));
    for answer in &answers[2..] {
        let bundle = id_of(&new);
        assert_eq!(answer.reply(), Reply::Activate { bundle });
    }
    assert!(bench.slots == slots, "a slot was written");
    damage(&mut bench, &new);
    assert_eq!(active(&mut bench), Some((1, id_of(&old))));
}

#[test]
fn the_bundle_to_fall_back_on_is_refused_as_older_and_kept() {
    let mut bench = Bench::default();
    let (old, new) = (Recipe::version(1).build(), Recipe::version(2).build());
    bench.install(&old);
    bench.install(&new);
    let slots = bench.slots.clone();
    let answers = bench.ask_all(&[support::begin(&old), Request::Activate]);
    let held_bytes = old.len() as u32;
    assert_eq!(answers[0].reply(), Reply::PutBegin { held_bytes });
    assert_eq!(refusal(&answers[1]), (Reason::OlderVersion, 2, 1));
    assert!(bench.slots == slots, "a slot was written");
    damage(&mut bench, &new);
    assert_eq!(active(&mut bench), Some((1, id_of(&old))));
}

/// What the records tell of bundles that were given up: which, and why.
fn given_up(bench: &mut Bench) -> Vec<(Option<dunlin_wire::BundleId>, u32)> {
    support::events(bench, EventCode::ROLLED_BACK)
        .iter()
        .map(|event| (event.bundle, event.detail))
        .collect()
}

#[test]
fn a_fallback_is_recorded_once_for_each_activation() {
    let mut bench = Bench::default();
    let (old, new) = (Recipe::version(1).build(), Recipe::version(2).build());
    bench.install(&old);
    bench.install(&new);
    assert_eq!(given_up(&mut bench), []);
    damage(&mut bench, &new);
    let told = (Some(id_of(&new)), Reason::SectionHashMismatch as u32);
    for _ in 0..3 {
        assert_eq!(given_up(&mut bench), [told]);
    }
    bench.install(&new);
    assert_eq!(given_up(&mut bench), [told]);
    damage(&mut bench, &new);
    assert_eq!(given_up(&mut bench), [told; 2]);
    assert_eq!(given_up(&mut bench), [told; 2]);
}

#[test]
fn a_fallback_that_could_not_be_recorded_is_recorded_after_a_later_start() {
    let mut bench = Bench::default();
    let (old, new) = (Recipe::version(1).build(), Recipe::version(2).build());
    bench.install(&old);
    bench.install(&new);
    damage(&mut bench, &new);
    bench.records_fail = true;
    assert_eq!(active(&mut bench), Some((1, id_of(&old))));
    bench.records_fail = false;
    assert_eq!(given_up(&mut bench).len(), 1);
    assert_eq!(given_up(&mut bench).len(), 1);
}

#[test]
fn a_bundle_that_fails_without_one_to_fall_back_on_is_recorded_too() {
    let mut bench = Bench::default();
    let bundle = Recipe::version(1).build();
    bench.install(&bundle);
    damage(&mut bench, &bundle);
    assert_eq!(active(&mut bench), None);
    assert_eq!(given_up(&mut bench).len(), 1);
}

/// Spoils a byte of a bundle that is in a slot.
fn damage(bench: &mut Bench, bundle: &[u8]) {
    let slot = bench
        .slots
        .iter()
        .position(|slot| slot[512..].starts_with(bundle))
        .expect("it is in a slot");
    bench.slots[slot][512 + 600] ^= 4;
}

#[test]
fn when_the_active_bundle_is_damaged_the_one_before_it_runs() {
    let mut bench = Bench::default();
    let (old, new) = (Recipe::version(1).build(), Recipe::version(2).build());
    bench.install(&old);
    bench.install(&new);
    assert_eq!(active(&mut bench).map(|(version, _)| version), Some(2));
    damage(&mut bench, &new);
    assert_eq!(active(&mut bench), Some((1, id_of(&old))));
    assert_eq!(refusal(&bench.install(&old)), (Reason::OlderVersion, 2, 1));
    assert_eq!(
        bench.install(&new).reply(),
        Reply::Activate {
            bundle: id_of(&new)
        }
    );
    assert_eq!(active(&mut bench).map(|(version, _)| version), Some(2));
}

#[test]
fn what_took_over_from_a_damaged_bundle_is_fallen_back_on_once_more() {
    let mut bench = Bench::default();
    let [first, second, third] = [1, 2, 3].map(|version| Recipe::version(version).build());
    bench.install(&first);
    bench.install(&second);
    damage(&mut bench, &second);
    assert_eq!(active(&mut bench), Some((1, id_of(&first))));
    bench.install(&third);
    assert_eq!(active(&mut bench), Some((3, id_of(&third))));
    damage(&mut bench, &third);
    assert_eq!(active(&mut bench), Some((1, id_of(&first))));
}

#[test]
fn an_activation_without_a_transfer_leaves_the_bundle_to_fall_back_on() {
    let mut bench = Bench::default();
    let (old, new) = (Recipe::version(1).build(), Recipe::version(2).build());
    bench.install(&old);
    bench.install(&new);
    let stray = bench.ask(Request::Activate);
    assert_eq!(refusal(&stray).0, Reason::NoTransfer);
    damage(&mut bench, &new);
    assert_eq!(active(&mut bench), Some((1, id_of(&old))));
}

#[test]
fn when_no_bundle_can_be_verified_the_device_still_answers() {
    let mut bench = Bench::default();
    bench.install(&Recipe::version(1).build());
    bench.slots.iter_mut().for_each(|slot| slot[512 + 100] ^= 1);
    assert_eq!(active(&mut bench), None);
    assert!(matches!(
        bench.install(&Recipe::version(1).build()).reply(),
        Reply::Activate { .. }
    ));
}
