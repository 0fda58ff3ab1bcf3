//! A collector that is killed while it takes records in: what it acknowledged is there, once.

mod kit;

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use dunlin_fleet::Store;
use kit::*;

const DATABASE: &str = "DUNLIN_CRASH_DATABASE";
const RECORDS: u32 = 400;
const BATCH: usize = 3;
/// Batches that the victim may be ahead of what it told.
const AHEAD: usize = 3;

fn records() -> Vec<Vec<u8>> {
    (1..=RECORDS)
        .map(|sequence| boot_record(&device(1), 1, sequence))
        .collect()
}

/// Not a test of its own: the process that is killed. Takes everything in from the beginning, a
/// batch for every line it is given, and tells what it would acknowledge.
#[test]
fn victim() {
    let Some(path) = std::env::var_os(DATABASE) else {
        return;
    };
    let mut store = Store::create(path.as_ref()).unwrap();
    for (batch, _) in records().chunks(BATCH).zip(std::io::stdin().lines()) {
        let batch = batch.iter().map(Vec::as_slice);
        let ingested = store
            .ingest(&devices([1]), sender(&device(1)), 1, batch)
            .unwrap();
        println!("\nacknowledged {}", ingested.safe_up_to.unwrap());
    }
}

#[test]
fn what_a_killed_collector_acknowledged_is_there_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fleet.sqlite");
    for batches in [1, 2, 5, 40, 90, 120, records().chunks(BATCH).len()] {
        let acknowledged = kill_after(&path, batches);
        let stored = number(&path, "SELECT count(*) FROM records");
        let range = number(
            &path,
            "SELECT max(sequence) - min(sequence) + 1 FROM records",
        );
        assert!(
            acknowledged > 0 && stored >= acknowledged,
            "{stored} stored, {acknowledged} acknowledged"
        );
        assert!(
            stored <= ((batches + AHEAD) * BATCH) as i64,
            "it was killed under way"
        );
        assert_eq!(range, stored, "no hole, nothing twice");
    }
    assert_eq!(
        number(&path, "SELECT count(*) FROM records"),
        i64::from(RECORDS)
    );
    let connection = rusqlite::Connection::open(&path).unwrap();
    assert_eq!(column(&connection, "PRAGMA integrity_check"), ["ok"]);
}

/// Runs the victim and kills it after so many batches, while it may be busy with the next ones;
/// returns what it acknowledged last.
fn kill_after(path: &std::path::Path, batches: usize) -> i64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["victim", "--exact", "--nocapture"])
        .env(DATABASE, path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&vec![b'\n'; batches + AHEAD]).unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let told = output
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| line.strip_prefix("acknowledged ")?.parse().ok());
    let last = told.take(batches).last().unwrap_or(0);
    child.kill().unwrap();
    child.wait().unwrap();
    last
}
