//! What a report says of trouble: with sensors, clocks, identities, damaged records.

mod kit;

use dunlin_fleet::{Device, Report, TerminalOptions};
use dunlin_wire::BundleId;
use dunlin_wire::record::Window;
use kit::reports::*;
use kit::*;

#[test]
fn a_record_that_contradicts_a_stored_one_is_told_with_what_it_means() {
    let (mut shelf, bundle) = fleet();
    let room = device(1);
    let others = [5, 6].map(|sequence| window_record(&room, sequence, bundle, &window(3, 8.0)));
    take(&mut shelf, &room, &others);
    let report = made(&shelf);
    let told = finding(&report, "came twice with different content");
    for part in [
        "room 1",
        &room.id.to_string(),
        "records 5-6 of start 1",
        "two devices share this identity",
        "restored flash image",
        "2 windows, 2 with drift",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(wide(&report).contains("2 in conflict") && wide(&report).contains("CONFLICTS"));
    let html = report.html();
    well_formed(&html);
    assert!(html.contains("Records in conflict, in no sum (2)"));
    assert_eq!(
        (report.overview.conflicts, report.overview.windows),
        (2, 14)
    );
    let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
    let conflict = &json["devices"][0]["conflicts"][0];
    assert_eq!(
        (&conflict["boot"], &conflict["sequence"], &conflict["kind"]),
        (&1.into(), &5.into(), &"window".into())
    );
    assert_eq!(conflict["received_ms"], NOW_MS);
    assert_eq!(conflict["window"]["judgement"], "drifted");
}

#[test]
fn what_is_in_quarantine_is_told() {
    let (mut shelf, bundle) = fleet();
    let room = device(1);
    let mut damaged = window_record(&room, 10, bundle, &window(8, 0.0));
    *damaged.last_mut().unwrap() ^= 1;
    take(&mut shelf, &room, &[damaged, boot_record(&room, 1, 11)]);
    let report = made(&shelf);
    let told = finding(&report, "kept in quarantine");
    assert!(
        told.contains("1 item is not authentic")
            && told.contains("1 for bad tag")
            && told.contains("record 10 of start 1"),
        "{told}"
    );
    assert!(finding(&report, "1 record is missing").contains("room 1"));
    assert!(wide(&report).contains("QUARANTINE"));
    assert!(report.html().contains("Quarantine, in no sum (1)"));
    let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
    assert_eq!(json["devices"][0]["quarantine"][0]["sequence"], 10);
    assert_eq!(json["overview"]["quarantined"], 1);
}

/// A day in which the first channel was missing 12 times, stood still 20 times and left its range
/// 3 times, and 5 inputs had no answer.
fn troubled(day: u64) -> Window {
    let mut troubled = window(day, 0.0);
    troubled.errors = 5;
    let channels = troubled.channels.iter().enumerate();
    troubled.channels = channels
        .map(|(index, channel)| dunlin_wire::record::Channel {
            missing: 12 * u32::from(index == 0),
            stuck: 20 * u32::from(index == 0),
            out_of_range: 3 * u32::from(index == 0),
            ..*channel
        })
        .collect();
    troubled
}

#[test]
fn trouble_with_sensors_is_told_and_never_left_out_for_room() {
    let (mut shelf, bundle) = fleet();
    let room = device(1);
    let record = window_record(&room, 10, bundle, &troubled(8));
    take(&mut shelf, &room, &[record]);
    let report = made(&shelf);
    for part in [
        "no reading from temperature 12 of 2316 values (0.52 %), under occupancy 3 in 1 of 8 windows, that of 2015-02-19 00:00 UTC",
        "beyond what training allowed: temperature 3 of 2316 values (0.13 %, allowed -10 to 100 K)",
        "stood still: temperature 20 of 2316 values (0.86 %)",
        "no answer to 5 of 2304 inputs (0.22 %)",
    ] {
        assert!(finding(&report, part).contains("room 1"));
    }
    for width in [60, 80, 100] {
        let text = report.terminal(TerminalOptions {
            width,
            colour: false,
        });
        assert!(text.contains("SENSORS"), "{text}");
    }
    assert!(wide(&report).contains("temperature 12 missing"));
}

#[test]
fn a_narrow_screen_still_shows_what_is_missing() {
    let (mut shelf, _) = fleet();
    take(
        &mut shelf,
        &device(1),
        &[loss_record(&device(1), 15, 10, 12)],
    );
    let text = made(&shelf).terminal(TerminalOptions {
        width: 60,
        colour: false,
    });
    assert!(text.contains("LOST") && text.contains("MISSING"), "{text}");
    let (shelf, _) = fleet();
    assert!(!wide(&made(&shelf)).contains("MISSING"));
}

#[test]
fn what_thresholds_promise_is_said_once_for_all_targets() {
    let (mut shelf, bundle) = fleet();
    let other = BundleId([0xcc; 8]);
    let connection = rusqlite::Connection::open(shelf.path()).unwrap();
    connection
        .execute(
            "INSERT INTO bundles SELECT ?1, name, version, 'other', channels, labels, schema, baseline FROM bundles WHERE bundle = ?2",
            [other.to_string(), bundle.to_string()],
        )
        .unwrap();
    let record = window_record(&device(1), 10, other, &window(8, 0.0));
    take(&mut shelf, &device(1), &[record]);
    let report = made(&shelf);
    assert_eq!(report.bundles.len(), 2);
    finding(&report, "without drift, a window raises the flag");
    assert_eq!(report.html().matches("without drift, a window").count(), 1);
}

/// A window whose samples lie so many milliseconds apart from another's.
fn window_at(opened_ms: u64) -> Window {
    Window {
        opened_ms,
        span_ms: 59_000,
        ..window(0, 0.0)
    }
}

fn began(report: &Report) -> Vec<String> {
    let text = wide(report);
    let lines = text.lines().skip_while(|line| !line.contains("BEGAN"));
    let rows = lines.skip(1).take_while(|line| !line.is_empty());
    rows.map(|line| line.split("  288").next().unwrap().trim().to_owned())
        .collect()
}

#[test]
fn windows_shorter_than_a_minute_are_told_apart() {
    for (step, expected) in [
        (86_400_000, ["2015-02-11 00:00", "2015-02-12 00:00"]),
        (30_000, ["2015-02-11 00:00:00", "2015-02-11 00:00:30"]),
        (250, ["2015-02-11 00:00:00.000", "2015-02-11 00:00:00.250"]),
    ] {
        let (mut shelf, room) = (Shelf::new(), device(1));
        let windows = [START_MS, START_MS + step].map(window_at);
        let records = [1, 2].map(|sequence| {
            window_record(
                &room,
                sequence,
                BundleId([1; 8]),
                &windows[sequence as usize - 1],
            )
        });
        take(&mut shelf, &room, &records);
        let report = made(&shelf);
        assert_eq!(began(&report), expected);
        assert!(report.html().contains(expected[1]));
        assert!(finding(&report, "no drift").contains(expected[0]));
    }
}

/// A window record of a start, the way a device numbers them.
fn made_in(room: &Device, boot: u32, sequence: u32, opened_ms: u64) -> Vec<u8> {
    let header = dunlin_wire::record::Header {
        time_ms: None,
        ..header(room, boot, sequence, Some(BundleId([1; 8])))
    };
    encoded(room, &header, &window_at(opened_ms))
}

fn order(report: &Report) -> Vec<(u32, u32)> {
    let windows = report.devices[0].windows.iter();
    windows
        .map(|window| (window.boot, window.sequence))
        .collect()
}

#[test]
fn a_device_without_a_clock_is_shown_by_its_starts() {
    let (mut shelf, room) = (Shelf::new(), device(1));
    let records = [
        made_in(&room, 2, 4, 0),
        made_in(&room, 2, 5, 3_600_000),
        made_in(&room, 1, 1, 60_000),
        made_in(&room, 1, 2, 7_260_000),
    ];
    records
        .iter()
        .for_each(|record| take(&mut shelf, &room, std::slice::from_ref(record)));
    let report = made(&shelf);
    assert_eq!(order(&report), [(1, 1), (1, 2), (2, 4), (2, 5)]);
    assert_eq!(
        began(&report),
        [
            "1  start 1 + 0:01:00",
            "1  start 1 + 2:01:00",
            "2  start 2 + 0:00:00",
            "2  start 2 + 1:00:00"
        ]
    );
    assert!(report.devices[0].clock_jumps.is_empty());
    assert!(!finding(&report, "no drift").contains("UTC"));
    assert!(report.html().contains("start 2 + 1:00:00"));
}

#[test]
fn a_clock_that_goes_back_changes_no_order_and_is_told() {
    let (mut shelf, room) = (Shelf::new(), device(1));
    let times = [START_MS, START_MS + DAY_MS, START_MS - 3_600_000, START_MS];
    let records: Vec<Vec<u8>> = (1..)
        .zip(times)
        .map(|(sequence, opened_ms)| made_in(&room, 1, sequence, opened_ms))
        .collect();
    take(&mut shelf, &room, &records);
    let report = made(&shelf);
    assert_eq!(order(&report), [(1, 1), (1, 2), (1, 3), (1, 4)]);
    let told = finding(&report, "clock went back 1 time");
    assert!(
        told.contains("from 2015-02-12 00:00 UTC to 2015-02-10 23:00 UTC, at record 3 of start 1"),
        "{told}"
    );
    let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
    assert_eq!(json["devices"][0]["clock_jumps"][0]["sequence"], 3);
}

#[test]
fn two_starts_that_use_the_same_numbers_are_kept_apart_and_told() {
    let (mut shelf, room) = (Shelf::new(), device(1));
    for sequence in 3..6 {
        for boot in [2, 1] {
            let opened_ms = START_MS + u64::from(10 * boot + sequence) * DAY_MS;
            take(
                &mut shelf,
                &room,
                &[made_in(&room, boot, sequence, opened_ms)],
            );
        }
    }
    let report = made(&shelf);
    assert_eq!(
        order(&report),
        [(1, 3), (1, 4), (1, 5), (2, 3), (2, 4), (2, 5)]
    );
    assert_eq!(report.overview.missing_records, 0);
    assert!(
        finding(&report, "record numbers 3-5 came with more than one start").contains("room 1")
    );
}

#[test]
fn html_and_text_of_much_trouble_stay_whole() {
    let (mut shelf, bundle) = fleet();
    let room = device(1);
    let mut damaged = window_record(&room, 10, bundle, &window(8, 0.0));
    *damaged.last_mut().unwrap() ^= 1;
    let records = [
        damaged,
        b"rubbish".to_vec(),
        window_record(&room, 11, bundle, &troubled(9)),
        window_record(&room, 5, bundle, &window(3, 8.0)),
        loss_record(&room, 15, 12, 13),
    ];
    take(&mut shelf, &room, &records);
    let clockless = device(3);
    let records = [
        made_in(&clockless, 1, 1, 0),
        made_in(&clockless, 2, 2, 30_000),
        made_in(&clockless, 2, 3, 90_000),
    ];
    take(&mut shelf, &clockless, &records);
    let report = made(&shelf);
    let html = report.html();
    well_formed(&html);
    keep("trouble.html", &html);
    for width in [80, 100] {
        let text = report.terminal(TerminalOptions {
            width,
            colour: false,
        });
        keep(&format!("trouble-{width}.txt"), &text);
        let longest = text.lines().map(|line| line.chars().count()).max();
        assert!(longest <= Some(width), "{text}");
        assert!(text.contains("MISSING") && text.contains("QUARANTINE"));
    }
}

#[test]
fn records_that_a_device_could_not_write_are_told() {
    let (mut shelf, _) = fleet();
    let room = device(1);
    take(&mut shelf, &room, &[unwritten_record(&room, 10, 3)]);
    let report = made(&shelf);
    let told = finding(&report, "could not write 3 records");
    assert!(
        told.contains("room 1") && told.contains("disk was full"),
        "{told}"
    );
    let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
    assert_eq!(json["devices"][0]["unwritten_records"], 3);
    let what = |event: &serde_json::Value| event["what"] == "3 records could not be written";
    assert!(
        json["devices"][0]["events"]
            .as_array()
            .unwrap()
            .iter()
            .any(what)
    );
}
