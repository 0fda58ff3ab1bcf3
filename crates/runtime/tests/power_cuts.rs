//! The power goes at every write and erase of an update: afterwards the old bundle runs or the new.

mod support;

use dunlin_runtime::NoSource;
use dunlin_wire::link::{Reply, Request};
use support::bundle::Recipe;
use support::{Answer, Bench, BenchBoard};

/// What a cut during an update has left.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcomes {
    old_runs: usize,
    new_runs: usize,
}

fn version(bench: &mut Bench) -> Option<u32> {
    match bench.ask(Request::Info).reply() {
        Reply::Info(info) => info.bundle.map(|bundle| bundle.version),
        other => panic!("expected info, got {other:?}"),
    }
}

/// A device that runs version 1, with version 0 of something else in the other slot.
fn running_version_1() -> Bench {
    let mut bench = Bench::default();
    assert!(matches!(
        bench.install(&Recipe::version(0).build()).reply(),
        Reply::Activate { .. }
    ));
    assert!(matches!(
        bench.install(&Recipe::version(1).build()).reply(),
        Reply::Activate { .. }
    ));
    bench
}

fn copy_of(bench: &Bench) -> Bench {
    Bench {
        slots: bench.slots.clone(),
        state: bench.state.clone(),
        records: bench.records.clone(),
        ..Bench::default()
    }
}

/// Updates with a cut after `operations` writes and erases; the replies until then.
fn update_with_cut(bench: &mut Bench, bundle: &[u8], operations: usize, noise: u64) -> Vec<Answer> {
    let mut messages = bench.transfer(bundle, 0, 256);
    messages.push(bench.message(Request::Activate));
    messages.push(bench.message(Request::Info));
    bench.power.cut_after(operations, noise);
    let mut answers = Vec::new();
    let _ = bench.try_start(NoSource, &mut BenchBoard::default(), messages, &mut answers);
    bench.power.left.set(None);
    answers
}

fn operations_of_an_update(bundle: &[u8]) -> usize {
    let mut bench = running_version_1();
    let before = bench.power.operations.get();
    let answers = update_with_cut(&mut bench, bundle, usize::MAX, 1);
    assert!(
        answers
            .iter()
            .any(|answer| matches!(answer.reply(), Reply::Activate { .. }))
    );
    bench.power.operations.get() - before
}

fn was_activated(answers: &[Answer]) -> bool {
    answers
        .iter()
        .any(|answer| matches!(answer.reply(), Reply::Activate { .. }))
}

#[test]
fn after_a_cut_at_any_write_the_old_bundle_runs_or_the_new_one() {
    let new = Recipe::version(2).build();
    let (start, operations) = (running_version_1(), operations_of_an_update(&new));
    assert!(operations > 15, "{operations} operations");
    let mut outcomes = Outcomes::default();
    for cut in 0..operations {
        for noise in 1..8 {
            let mut bench = copy_of(&start);
            let answers = update_with_cut(
                &mut bench,
                &new,
                cut,
                u64::wrapping_mul(noise, 0x9e37_79b9_7f4a_7c15),
            );
            match version(&mut bench) {
                Some(1) => {
                    assert!(
                        !was_activated(&answers),
                        "an activation was confirmed and undone, cut {cut}"
                    );
                    outcomes.old_runs += 1;
                }
                Some(2) => outcomes.new_runs += 1,
                other => panic!("version {other:?} runs after cut {cut}, noise {noise}"),
            }
            assert!(
                matches!(bench.install(&new).reply(), Reply::Activate { .. }),
                "cut {cut}, noise {noise}"
            );
            assert_eq!(version(&mut bench), Some(2));
        }
    }
    assert!(
        outcomes.old_runs > 50 && outcomes.new_runs > 5,
        "{outcomes:?}"
    );
}

#[test]
fn a_second_cut_while_going_on_after_the_first_changes_nothing_of_that() {
    let new = Recipe::version(2).build();
    let (start, operations) = (running_version_1(), operations_of_an_update(&new));
    let mut tried = 0;
    for first in (0..operations).step_by(2) {
        for second in (0..operations).step_by(3) {
            let noise =
                u64::wrapping_mul((first * 1000 + second) as u64, 0x9e37_79b9_7f4a_7c15) | 1;
            let mut bench = copy_of(&start);
            update_with_cut(&mut bench, &new, first, noise);
            update_with_cut(&mut bench, &new, second, noise >> 1);
            let runs = version(&mut bench);
            assert!(
                matches!(runs, Some(1 | 2)),
                "version {runs:?} runs after cuts {first} and {second}"
            );
            assert!(
                matches!(bench.install(&new).reply(), Reply::Activate { .. }),
                "cuts {first} and {second}"
            );
            tried += 1;
        }
    }
    assert!(tried > 40, "{tried} pairs of cuts");
}

#[test]
fn a_refused_bundle_leaves_what_runs_whatever_the_cut() {
    let wrong = Recipe {
        spoilt_vector: Some(0),
        ..Recipe::version(7)
    }
    .build();
    let start = running_version_1();
    for cut in 0..40 {
        let mut bench = copy_of(&start);
        update_with_cut(&mut bench, &wrong, cut, cut as u64 + 1);
        assert_eq!(version(&mut bench), Some(1), "cut {cut}");
    }
}
