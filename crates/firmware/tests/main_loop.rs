//! The whole firmware but for the registers: flash, link, sensor and watchdog in virtual time.

mod support;

use dunlin_firmware::{Clock, firmware_id};
use dunlin_runtime::NoSource;
use dunlin_wire::DeviceId;
use dunlin_wire::link::{Reason, Reply, Request};
use dunlin_wire::record::{Boot, Kind, Record, ResetReason, Window};
use std::collections::BTreeMap;
use support::bundle::Recipe;
use support::{Answer, Bench, CREDENTIAL, DEVICE};

/// Records of all kinds in these answers, each once.
fn records(answers: &[Answer]) -> Vec<Record<'_>> {
    let packed = answers.iter().filter_map(|answer| match answer.reply() {
        Reply::Records { records, .. } => Some(records),
        _ => None,
    });
    let all: BTreeMap<u32, Record<'_>> = packed
        .flat_map(|records| records.iter())
        .map(|record| Record::parse(record).expect("a record").0)
        .inspect(|record| assert!(record.confirmed_by(&CREDENTIAL)))
        .map(|record| (record.header().sequence, record))
        .collect();
    all.into_values().collect()
}

fn windows(answers: &[Answer]) -> Vec<Window> {
    let records = records(answers);
    let windows = records
        .iter()
        .filter(|record| record.header().kind == Kind::WINDOW);
    windows
        .map(|record| record.body().expect("a window"))
        .collect()
}

#[test]
fn a_bundle_that_came_over_the_link_runs_and_outlives_a_restart() {
    let mut bench = Bench::provisioned();
    bench.ask_install(&Recipe::version(4));
    let answers = bench.start();
    let Reply::Activate { bundle } = answers.last().expect("answers").reply() else {
        panic!("{:?}", answers.last().map(Answer::reply))
    };
    bench.ask(Request::Info);
    bench.ask(Request::RecordsSince { sequence: 0 });
    let answers = bench.start();
    let Reply::Info(info) = answers[0].reply() else {
        panic!("no info")
    };
    assert_eq!((info.device, info.boot, info.target), (DEVICE, 2, "bench"));
    assert_eq!(info.firmware, firmware_id(b"firmware"));
    assert_eq!(info.bundle.map(|active| active.id), Some(bundle));
    let boots = records(&answers)
        .iter()
        .filter(|record| record.header().kind == Kind::BOOT)
        .map(|record| record.body::<Boot>().expect("a boot").reason)
        .collect::<Vec<_>>();
    assert_eq!(boots, [ResetReason::WATCHDOG; 2]);
}

#[test]
fn a_board_without_a_provisioning_block_answers_and_refuses_every_bundle() {
    let mut bench = Bench::bare();
    bench.ask(Request::Info);
    bench.ask_install(&Recipe::version(1));
    let answers = bench.start();
    let Reply::Info(info) = answers[0].reply() else {
        panic!("no info")
    };
    assert_eq!((info.device, info.bundle), (DeviceId([0; 8]), None));
    let refusals: Vec<_> = answers
        .iter()
        .filter_map(|answer| match answer.reply() {
            Reply::Refused(refusal) => refusal.reason(),
            _ => None,
        })
        .collect();
    assert_eq!(refusals.first(), Some(&Reason::UnknownKey));
    assert_eq!(refusals.last(), Some(&Reason::Incomplete));
    assert!(!info.provisioned);
}

#[test]
fn the_watchdog_is_fed_once_a_turn_whatever_the_turn_brings() {
    let mut bench = Bench::provisioned();
    bench.ask_install(&Recipe::version(1));
    (0..100).for_each(|_| bench.ask(Request::Info));
    bench.pace_us = 10_000;
    let clock = Clock::new(bench.time.clone());
    let script = bench.start_with::<1, _, _>(&clock, NoSource, ());
    let sessions = 2;
    assert_eq!(script.feeds, script.rests + sessions);
    assert!(script.rests > 1000, "{} turns", script.rests);
    assert!(
        (85_000..1_000_000).contains(&script.hungriest_us),
        "a turn took {} µs",
        script.hungriest_us
    );
}

/// What became of the accelerometer's steps while windows were closed so often that pages were erased.
struct Observed {
    /// Steps that the sensor made.
    made: u64,
    /// Steps of them that it overwrote.
    overwritten: u64,
    erases: u64,
    /// Steps in the windows, and of them the missing.
    inputs: u64,
    missing: u64,
}

fn observe<const SLICES: usize>() -> Observed {
    let mut bench = Bench::provisioned();
    bench.ask_install(&Recipe::version(1));
    bench.start();
    let erased = bench.erases.get();
    bench.pace_us = 40_000;
    (0..200).for_each(|_| bench.ask(Request::CloseWindow));
    let (made, overwritten) = bench.start_sensing::<SLICES>();
    let erases = (bench.erases.get() - erased) as u64;
    bench.pace_us = 0;
    for sequence in (0..220).step_by(5) {
        bench.ask(Request::RecordsSince { sequence });
    }
    let windows = windows(&bench.start());
    assert!(windows.len() > 150, "{} windows", windows.len());
    Observed {
        made,
        overwritten,
        erases,
        inputs: windows.iter().map(|window| u64::from(window.inputs)).sum(),
        missing: windows
            .iter()
            .map(|window| u64::from(window.channels[0].missing))
            .sum(),
    }
}

#[test]
fn no_step_is_lost_while_a_page_is_erased_in_slices() {
    let observed = observe::<9>();
    assert!(observed.erases >= 5, "{} erases", observed.erases);
    assert!(observed.made > 3000, "{} steps", observed.made);
    assert_eq!((observed.overwritten, observed.missing), (0, 0));
    let open = observed.made - observed.inputs;
    assert!(open <= 32, "{open} steps are in no window");
}

#[test]
fn steps_that_an_erase_costs_are_counted_as_missing() {
    let observed = observe::<1>();
    assert!(
        observed.overwritten >= observed.erases,
        "85 ms outlast 80 ms"
    );
    assert!(
        observed.missing.abs_diff(observed.overwritten) <= observed.erases,
        "{} of {} lost steps are counted, to one an erase",
        observed.missing,
        observed.overwritten
    );
    let open = observed.made.abs_diff(observed.inputs);
    assert!(
        open <= 32 + observed.erases,
        "{open} steps are in no window"
    );
}
