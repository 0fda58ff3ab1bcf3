//! What a report says, and that it says it whole: in the value, as text, as HTML, as JSON.

mod kit;

use dunlin_fleet::report::{Judgement, Merged};
use dunlin_fleet::{FleetError, ReportOptions, Store, TerminalOptions, report};
use dunlin_monitor::Monitor;
use dunlin_wire::BundleId;
use dunlin_wire::baseline::Baseline;
use dunlin_wire::record::{EventCode, Window};
use kit::reports::*;
use kit::*;
use proptest::prelude::*;

#[test]
fn drift_is_named_where_it_was_and_since_when() {
    let (shelf, bundle) = fleet();
    let report = made(&shelf);
    let overview = report.overview;
    assert_eq!(
        (overview.devices, overview.silent, overview.refusals),
        (3, 1, 1)
    );
    assert_eq!(
        (overview.windows, overview.judged, overview.drifted),
        (14, 14, 3)
    );
    assert_eq!(overview.disagreements, 0);
    let [drift] = &report.devices[1].drifts[..] else {
        panic!("{:?}", report.devices[1].drifts)
    };
    assert_eq!((drift.what.as_str(), drift.ongoing), (CHANNELS[1], true));
    assert_eq!((drift.windows, drift.judged), (3, 3));
    assert_eq!(drift.since_ms, (START_MS + 4 * DAY_MS) as i64);
    assert_eq!(drift.bundle, Some(bundle.to_string()));
    assert!(drift.peak > drift.threshold && drift.threshold == Some(0.5));
    assert!(report.devices[0].drifts.is_empty());
}

#[test]
fn findings_tell_who_drifted_who_is_quiet_and_who_is_silent() {
    let (shelf, _) = fleet();
    let report = made(&shelf);
    let drifted =
        "CO2 <ppm> drifted under occupancy 3 in 3 of 3 judged windows since 2015-02-15 00:00 UTC";
    assert!(
        report.findings[0].contains(drifted),
        "{}",
        report.findings[0]
    );
    assert!(finding(&report, "no drift in 7 judged windows").contains("room 1"));
    assert!(finding(&report, "never heard of").contains("room 3"));
}

#[test]
fn what_drifted_together_is_told_in_one_sentence() {
    let (mut shelf, bundle) = fleet();
    let mut both = window(8, 8.0);
    both.prediction_drifted = true;
    both.channels = both
        .channels
        .iter()
        .map(|channel| dunlin_wire::record::Channel {
            drifted: true,
            ..*channel
        })
        .collect();
    take(
        &mut shelf,
        &device(1),
        &[window_record(&device(1), 10, bundle, &both)],
    );
    let told = "temperature, CO2 <ppm> and the mix of predictions drifted under occupancy 3 in 1 of 1 judged window since 2015-02-19 00:00 UTC";
    let report = made(&shelf);
    assert!(finding(&report, told).contains("They still do"));
}

#[test]
fn the_false_alarm_rate_is_told_with_its_uncertainty() {
    let (shelf, _) = fleet();
    let promise = "about 17 % of cases (95 % interval 0.50 % to 52 %, from 5 blocks of training data; asked for: 5.0 %)";
    let report = made(&shelf);
    let text = report.terminal(TerminalOptions {
        width: 1000,
        colour: false,
    });
    assert!(text.contains(promise), "{text}");
    assert!(report.html().replace('\u{a0}', " ").contains(promise));
}

fn not_judged(window: &Window) -> Window {
    let channels = window.channels.iter();
    Window {
        partial: true,
        judged: false,
        channels: channels
            .map(|channel| dunlin_wire::record::Channel {
                score: None,
                drifted: false,
                ..*channel
            })
            .collect(),
        ..*window
    }
}

#[test]
fn a_partial_window_is_marked_and_not_judged() {
    let (mut shelf, bundle) = fleet();
    let partial = not_judged(&window(9, 8.0));
    let record = window_record(&device(1), 20, bundle, &partial);
    take(&mut shelf, &device(1), &[record]);
    let report = made(&shelf);
    let last = report.devices[0].windows.last().unwrap();
    assert_eq!(last.judgement, Judgement::Partial);
    assert_eq!((report.overview.windows, report.overview.judged), (15, 14));
    assert!(wide(&report).contains("not judged: partial"));
    assert!(report.html().contains("not judged: partial"));
}

#[test]
fn drift_can_be_asked_for_in_sql() {
    let (shelf, _) = fleet();
    let format = include_str!("../FORMAT.md");
    let (_, query) = format.split_once("```sql\n").unwrap();
    let (query, _) = query.split_once("```").unwrap();
    let connection = rusqlite::Connection::open(shelf.path()).unwrap();
    let mut statement = connection.prepare(query).unwrap();
    let rows = statement
        .query_map([], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(2)?))
        })
        .unwrap();
    let expected = ("room 2".to_owned(), CHANNELS[1].to_owned());
    assert_eq!(
        rows.map(Result::unwrap).collect::<Vec<_>>(),
        vec![expected; 3]
    );
}

#[test]
fn losses_and_gaps_are_told_apart() {
    let (mut shelf, _) = fleet();
    let room = device(1);
    for record in [loss_record(&room, 15, 10, 12), boot_record(&room, 2, 16)] {
        shelf
            .store
            .ingest(&devices([1]), sender(&room), NOW_MS, [record.as_slice()])
            .unwrap();
    }
    let report = made(&shelf);
    let gaps: Vec<_> = report.devices[0]
        .gaps
        .iter()
        .map(|gap| (gap.first_sequence, gap.last_sequence))
        .collect();
    assert_eq!(
        (report.devices[0].lost_records, &*gaps),
        (3, &[(13, 14)][..])
    );
    assert_eq!(
        (
            report.overview.lost_records,
            report.overview.missing_records
        ),
        (3, 2)
    );
    assert!(
        report
            .findings
            .iter()
            .any(|finding| finding.contains("had to drop 3 records")
                && finding.contains("2 records are missing"))
    );
}

#[test]
fn a_score_that_its_own_counts_do_not_give_is_found() {
    let (mut shelf, bundle) = fleet();
    let mut wrong = window(10, 0.0);
    wrong.channels[0].score = Some(0.25);
    let record = window_record(&device(1), 10, bundle, &wrong);
    shelf
        .store
        .ingest(
            &devices([1]),
            sender(&device(1)),
            NOW_MS,
            [record.as_slice()],
        )
        .unwrap();
    assert_eq!(made(&shelf).overview.disagreements, 1);
}

#[test]
fn windows_of_an_unregistered_bundle_are_shown_by_number() {
    let (mut shelf, room) = (Shelf::new(), device(1));
    let records = week(&room, BundleId([0xb; 8]), 1);
    shelf
        .store
        .ingest(
            &devices([1]),
            sender(&room),
            NOW_MS,
            records.iter().map(Vec::as_slice),
        )
        .unwrap();
    let report = made(&shelf);
    assert_eq!(report.devices[0].drifts[0].what, "channel 1");
    assert!(
        report
            .terminal(TerminalOptions::default())
            .contains("bundle 0b0b0b0b0b0b0b0b")
    );
    assert!(report.html().contains("was not registered"));
}

#[test]
fn a_bundle_that_nobody_trusted_signed_is_not_registered() {
    let mut shelf = Shelf::new();
    let (path, _) = bundle_file(shelf.folder.path());
    assert!(shelf.store.register_bundle(&path, &[]).is_err());
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert!(shelf.store.register_bundle(&path, &[public_key()]).is_err());
    assert_eq!(number(&shelf.path(), "SELECT count(*) FROM bundles"), 0);
}

#[test]
fn a_report_can_be_of_one_device_and_of_late_windows() {
    let (shelf, _) = fleet();
    let since_ms = Some((START_MS + 5 * DAY_MS) as i64);
    let options = ReportOptions {
        device: Some(device(2).id),
        since_ms,
    };
    let report = report(&shelf.store, options, NOW_MS).unwrap();
    assert_eq!(
        (
            report.devices.len(),
            report.overview.windows,
            report.overview.drifted
        ),
        (1, 2, 2)
    );
}

#[test]
fn text_keeps_to_the_width_and_is_plain() {
    let (shelf, _) = fleet();
    let report = made(&shelf);
    for width in [80, 100, 140] {
        let text = report.terminal(TerminalOptions {
            width,
            colour: false,
        });
        keep(&format!("fleet-{width}.txt"), &text);
        let longest = text.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(
            longest <= width && !text.contains('\x1b'),
            "{width}: {longest}\n{text}"
        );
        assert!(text.contains("····###"), "{text}");
    }
    assert!(
        report
            .terminal(TerminalOptions {
                width: 100,
                colour: true
            })
            .contains('\x1b')
    );
}

#[test]
fn html_is_whole_well_formed_and_needs_nothing_from_elsewhere() {
    let (shelf, _) = fleet();
    let html = made(&shelf).html();
    well_formed(&html);
    keep("fleet.html", &html);
    for number in 1..=3 {
        assert!(html.contains(&device(number).id.to_string()));
    }
    assert!(html.contains("CO2 &lt;ppm&gt; drifted") && !html.contains("<ppm>"));
    for outside in [
        "http:", "https:", "src=", "href=", "url(", "@import", "<script",
    ] {
        assert!(!html.contains(outside), "{outside}");
    }
    assert!(html.matches("<svg").count() >= 2 * (CHANNELS.len() + 2));
}

#[test]
fn html_of_an_empty_fleet_is_well_formed() {
    let html = made(&Shelf::new()).html();
    well_formed(&html);
    assert!(html.contains("No records yet."));
}

#[test]
fn json_has_the_numbers() {
    let (shelf, _) = fleet();
    let report = made(&shelf);
    let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
    assert_eq!(json["overview"]["drifted"], 3);
    assert_eq!(json["devices"][1]["drifts"][0]["what"], CHANNELS[1]);
    assert_eq!(json["devices"][1]["windows"][6]["judgement"], "drifted");
    assert_eq!(
        json["bundles"][0]["merged"]["channels"][0]["histogram"][0],
        2 * 7 * 18
    );
    assert_eq!(json["bundles"][0]["merged"]["channels"][0]["mean"], 7.5);
    assert_eq!(json["bundles"][0]["reference"]["false_alarms"]["blocks"], 5);
}

#[test]
fn a_report_changes_nothing_and_needs_nothing_that_can_be_written() {
    let (shelf, _) = fleet();
    let expected = made(&shelf).json();
    let path = shelf.path();
    let Shelf { folder, store } = shelf;
    drop(store);
    let before = std::fs::read(&path).unwrap();
    let mode = |mode| {
        use std::os::unix::fs::PermissionsExt;
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(folder.path(), permissions).unwrap();
    };
    mode(0o555);
    let names = || {
        let entries = std::fs::read_dir(folder.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        let is_sqlites_own = |name: &str| name.ends_with("-shm") || name.ends_with("-wal");
        names.retain(|name| !is_sqlites_own(&name.to_string_lossy()));
        names.sort();
        names
    };
    let files = names();
    let store = Store::open(&path).unwrap();
    let read = report(&store, ReportOptions::default(), NOW_MS).unwrap();
    assert_eq!(read.json(), expected);
    drop(store);
    assert_eq!(names(), files, "also for who may write into any folder");
    mode(0o755);
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

/// A database that was not closed, somewhere else: either its newest records are read or it is said
/// that they cannot be.
#[test]
fn a_report_is_never_of_old_records_without_saying_so() {
    let (shelf, _) = fleet();
    let copy = tempfile::tempdir().unwrap();
    for name in ["fleet.sqlite", "fleet.sqlite-wal"] {
        std::fs::copy(shelf.folder.path().join(name), copy.path().join(name)).unwrap();
    }
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(copy.path(), std::fs::Permissions::from_mode(0o555)).unwrap();
    match Store::open(&copy.path().join("fleet.sqlite")) {
        Ok(store) => {
            let read = report(&store, ReportOptions::default(), NOW_MS).unwrap();
            assert_eq!(read.overview.windows, 14);
        }
        Err(error) => assert!(matches!(error, FleetError::Unfinished { .. }), "{error}"),
    }
    std::fs::set_permissions(copy.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn events_are_told_in_words() {
    let (shelf, bundle) = fleet();
    let report = made(&shelf);
    let events: Vec<&str> = report.devices[0]
        .events
        .iter()
        .map(|event| event.what.as_str())
        .collect();
    assert_eq!(
        events,
        [
            "started: reason unknown".to_owned(),
            format!("bundle {bundle} became active")
        ]
    );
    assert_eq!(EventCode::ACTIVATED.0, 1);
}

fn some_windows() -> Vec<Window> {
    (0..10_u64)
        .map(|day| window(day, (day % 4) as f32 * 3.3 - 1.0))
        .collect()
}

fn merged<'w>(windows: impl IntoIterator<Item = &'w Window>) -> Merged {
    let mut merged = Merged::default();
    windows.into_iter().for_each(|window| merged.add(window));
    merged
}

/// One window over all inputs of `days`, as a monitor makes it.
fn whole(days: std::ops::Range<u64>) -> Window {
    let baseline = baseline();
    let mut monitor = Monitor::new(&schema(), Baseline::parse(&baseline).unwrap()).unwrap();
    days.clone().for_each(|day| observe(&mut monitor, day, 8.0));
    monitor.finish(START_MS + days.end * DAY_MS).unwrap()
}

#[test]
fn windows_add_up_to_the_window_of_all_their_inputs() {
    let parts: Vec<Window> = (0..10).map(|day| window(day, 8.0)).collect();
    let (sum, once) = (merged(&parts), merged([&whole(0..10)]));
    assert_eq!((sum.windows, once.windows), (10, 1));
    assert_eq!((sum.inputs, once.inputs), (2880, 2880));
    assert_eq!(sum.predictions, once.predictions);
    assert_eq!(sum.confidence, once.confidence);
    assert_eq!(sum.latency, once.latency);
    assert_eq!(sum.channels, once.channels);
    let (mean, variance) = (sum.channels[0].mean(), sum.channels[0].variance());
    assert_eq!((mean, variance), (Some(7.5), Some(21.25)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn windows_add_up_to_the_same_in_any_order_and_grouping(
        order in Just((0_usize..10).collect::<Vec<_>>()).prop_shuffle(),
        cuts in proptest::collection::vec(0_usize..=10, 2),
    ) {
        let windows = some_windows();
        let straight = merged(&windows);
        let shuffled: Vec<Window> = order.iter().map(|&index| windows[index]).collect();
        let (low, high) = (cuts[0].min(cuts[1]), cuts[0].max(cuts[1]));
        let groups = [&shuffled[..low], &shuffled[low..high], &shuffled[high..]].map(merged);
        let mut grouped = Merged::default();
        groups.iter().rev().for_each(|group| grouped.merge(group));
        prop_assert_eq!(&grouped, &straight);
        prop_assert_eq!(merged(&shuffled), straight);
    }
}
