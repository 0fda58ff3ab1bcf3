//! A fleet to report on, and what is asked of its reports.

use dunlin_fleet::{Device, Report, ReportOptions, TerminalOptions, report};
use dunlin_wire::BundleId;

use super::*;

pub const NOW_MS: i64 = 1_424_304_000_000;

/// Two rooms with a week each, one of which drifts on its last three days, one device that was
/// never heard of, and a stranger.
pub fn fleet() -> (Shelf, BundleId) {
    let mut shelf = Shelf::new();
    let (path, bundle) = bundle_file(shelf.folder.path());
    shelf.store.register_bundle(&path, &[public_key()]).unwrap();
    let known = devices([1, 2, 3]);
    shelf.store.register_devices(&known).unwrap();
    for (number, drifted) in [(1, 0), (2, 3)] {
        let records = week(&device(number), bundle, drifted);
        shelf
            .store
            .ingest(
                &known,
                sender(&device(number)),
                NOW_MS,
                records.iter().map(Vec::as_slice),
            )
            .unwrap();
    }
    let stranger = boot_record(&device(7), 1, 1);
    shelf
        .store
        .ingest(&known, sender(&device(7)), NOW_MS, [stranger.as_slice()])
        .unwrap();
    (shelf, bundle)
}

pub fn made(shelf: &Shelf) -> Report {
    report(&shelf.store, ReportOptions::default(), NOW_MS).unwrap()
}

pub fn take(shelf: &mut Shelf, room: &Device, records: &[Vec<u8>]) {
    let records = records.iter().map(Vec::as_slice);
    shelf
        .store
        .ingest(&devices([1, 2, 3]), sender(room), NOW_MS, records)
        .unwrap();
}

pub fn finding<'r>(report: &'r Report, part: &str) -> &'r str {
    let mut found = report.findings.iter().filter(|text| text.contains(part));
    let first = found
        .next()
        .unwrap_or_else(|| panic!("{part}: {:?}", report.findings));
    assert_eq!(found.next(), None);
    first
}

pub fn wide(report: &Report) -> String {
    report.terminal(TerminalOptions {
        width: 1000,
        colour: false,
    })
}

/// Every tag that opens closes, in order; void elements of HTML and self-closed ones of SVG apart.
pub fn well_formed(html: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut tags = 0;
    for part in html.split('<').skip(1) {
        let (tag, _) = part
            .split_once('>')
            .unwrap_or_else(|| panic!("a tag that does not end: {part}"));
        let name = tag
            .trim_start_matches('/')
            .split([' ', '\n', '/'])
            .next()
            .unwrap();
        tags += 1;
        match tag {
            _ if tag.starts_with('!') || tag.ends_with('/') || name == "meta" => {}
            _ if tag.starts_with('/') => assert_eq!(open.pop(), Some(name), "near {part}"),
            _ => open.push(name),
        }
    }
    assert!(open.is_empty() && tags > 20, "{open:?}");
}

/// Leaves a report for people to look at, in the folder that `DUNLIN_KEEP_REPORT` names.
pub fn keep(name: &str, text: &str) {
    if let Some(folder) = std::env::var_os("DUNLIN_KEEP_REPORT") {
        std::fs::write(std::path::Path::new(&folder).join(name), text).unwrap();
    }
}
