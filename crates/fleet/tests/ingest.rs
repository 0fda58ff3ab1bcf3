//! Records are stored once, whatever happens on their way; what is not authentic changes nothing.

mod kit;

use dunlin_fleet::{Device, Devices, Ingested, RefusalReason, Sender, Store};
use dunlin_wire::DeviceId;
use dunlin_wire::record::Record;
use kit::*;
use proptest::prelude::*;

const NOW_MS: i64 = 1_500_000_000_000;
const BUNDLE: dunlin_wire::BundleId = dunlin_wire::BundleId([0xb; 8]);

fn ingest(
    store: &mut Store,
    devices: &Devices,
    sender: Sender<'_>,
    records: &[Vec<u8>],
) -> Ingested {
    store
        .ingest(devices, sender, NOW_MS, records.iter().map(Vec::as_slice))
        .unwrap()
}

#[test]
fn records_that_come_again_are_stored_once() {
    let (mut shelf, room) = (Shelf::new(), device(1));
    let records = week(&room, BUNDLE, 2);
    let first = ingest(&mut shelf.store, &devices([1]), sender(&room), &records);
    let before = shelf.dump();
    let again = ingest(&mut shelf.store, &devices([1]), sender(&room), &records);
    assert_eq!(
        (first.stored, first.duplicates, first.safe_up_to),
        (9, 0, Some(9))
    );
    assert_eq!(
        (again.stored, again.duplicates, again.safe_up_to),
        (0, 9, Some(9))
    );
    assert_eq!(before, shelf.dump());
    assert_eq!(
        number(&shelf.path(), "SELECT count(*) FROM windows WHERE drifted"),
        2
    );
    assert_eq!(
        number(&shelf.path(), "SELECT count(*) FROM channel_windows"),
        14
    );
}

#[test]
fn decoded_columns_repeat_what_the_bytes_say() {
    let (mut shelf, room) = (Shelf::new(), device(1));
    ingest(
        &mut shelf.store,
        &devices([1]),
        sender(&room),
        &[window_record(&room, 3, BUNDLE, &window(0, 0.0))],
    );
    let path = shelf.path();
    assert_eq!(
        number(
            &path,
            "SELECT sum(json_each.value) FROM channel_windows, json_each(histogram) WHERE channel = 0"
        ),
        288
    );
    assert_eq!(number(&path, "SELECT inputs FROM windows"), 288);
    assert_eq!(
        number(&path, "SELECT opened_ms FROM windows"),
        START_MS as i64
    );
    assert_eq!(
        number(
            &path,
            "SELECT CAST(round(mean * 1000) AS INTEGER) FROM channel_windows WHERE channel = 0"
        ),
        7500
    );
}

#[test]
fn a_crash_between_commit_and_acknowledgement_costs_nothing() {
    let (mut shelf, room) = (Shelf::new(), device(1));
    let records = week(&room, BUNDLE, 1);
    ingest(&mut shelf.store, &devices([1]), sender(&room), &records);
    let crashed = tempfile::tempdir().unwrap();
    for name in ["fleet.sqlite", "fleet.sqlite-wal"] {
        std::fs::copy(shelf.folder.path().join(name), crashed.path().join(name)).unwrap();
    }
    let path = crashed.path().join("fleet.sqlite");
    let mut store = Store::create(&path).unwrap();
    let resent = ingest(&mut store, &devices([1]), sender(&room), &records);
    assert_eq!(
        (resent.stored, resent.duplicates, resent.safe_up_to),
        (0, 9, Some(9))
    );
    assert_eq!(dump(&path), shelf.dump());
}

/// Bytes that are not what `room` made, who sends them, and why they are refused.
fn forgeries(room: &Device, forger: &Device) -> Vec<(Sender<'static>, Vec<u8>, &'static str)> {
    let own = boot_record(room, 1, 1);
    let mut untagged = boot_record(room, 1, 2);
    *untagged.last_mut().unwrap() ^= 1;
    let mut impostor = forger.clone();
    impostor.id = room.id;
    let forged = boot_record(&impostor, 1, 2);
    let mut longer = boot_record(room, 1, 2);
    longer.push(0);
    vec![
        (sender(forger), boot_record(forger, 1, 1), "stranger"),
        (sender(room), boot_record(forger, 1, 1), "wrong sender"),
        (sender(room), forged, "bad tag"),
        (sender(room), untagged, "bad tag"),
        (sender(room), longer, "malformed"),
        (sender(room), own[..own.len() - 1].to_vec(), "malformed"),
        (sender(room), b"not a record".to_vec(), "malformed"),
        (sender(room), Vec::new(), "malformed"),
    ]
}

#[test]
fn strangers_and_forgers_change_nothing_but_a_count() {
    let (mut shelf, room, forger) = (Shelf::new(), device(1), device(2));
    let own = [boot_record(&room, 1, 1)];
    ingest(&mut shelf.store, &devices([1]), sender(&room), &own);
    let path = shelf.path();
    let tables = "SELECT count(*) + 100 * (SELECT count(*) FROM devices) FROM records";
    let before = number(&path, tables);
    let cases = forgeries(&room, &forger);
    for (sender, bytes, reason) in &cases {
        let bytes = std::slice::from_ref(bytes);
        let ingested = ingest(&mut shelf.store, &devices([1]), *sender, bytes);
        assert_eq!(ingested.refused[0].reason.name(), *reason);
        assert_eq!((ingested.stored, ingested.safe_up_to), (0, None));
    }
    assert_eq!(number(&path, tables), before);
    assert_eq!(
        number(&path, "SELECT sum(count) FROM refusals"),
        cases.len() as i64
    );
    assert_eq!(
        number(&path, "SELECT count(*) FROM quarantine"),
        cases.len() as i64 - 1,
        "a stranger's bytes are not kept"
    );
}

#[test]
fn any_altered_bit_is_refused() {
    let (mut store, room) = (Store::in_memory().unwrap(), device(1));
    let record = boot_record(&room, 1, 1);
    for bit in 0..8 * record.len() {
        let mut altered = record.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        let ingested = ingest(&mut store, &devices([1]), sender(&room), &[altered]);
        assert_eq!(
            (ingested.stored, ingested.refused.len()),
            (0, 1),
            "bit {bit}"
        );
    }
    assert_eq!(
        ingest(&mut store, &devices([1]), sender(&room), &[record]).stored,
        1
    );
}

/// Five records of a room, of which the fourth is damaged.
fn damaged(room: &Device) -> Vec<Vec<u8>> {
    let mut records: Vec<Vec<u8>> = (1..=5)
        .map(|sequence| boot_record(room, 1, sequence))
        .collect();
    *records[3].last_mut().unwrap() ^= 1;
    records
}

#[test]
fn nothing_after_a_refused_record_is_acknowledged_before_its_same_bytes_come_again() {
    let (mut shelf, room) = (Shelf::new(), device(1));
    let records = damaged(&room);
    let first = ingest(&mut shelf.store, &devices([1]), sender(&room), &records);
    assert_eq!((first.stored, first.safe_up_to), (4, Some(3)));
    assert!(first.held_up && first.quarantined == 1);
    assert_eq!(first.refused[0].reason, RefusalReason::BadTag);
    assert_eq!(first.refused[0].sequence, Some(4));

    let mut otherwise = records.clone();
    otherwise[3][20] ^= 1;
    let other = ingest(&mut shelf.store, &devices([1]), sender(&room), &otherwise);
    assert_eq!(other.safe_up_to, Some(3), "damaged on the way: other bytes");

    let again = ingest(&mut shelf.store, &devices([1]), sender(&room), &records);
    assert_eq!((again.safe_up_to, again.held_up), (Some(5), false));
    let kept = column(
        &rusqlite::Connection::open(shelf.path()).unwrap(),
        "SELECT hex(bytes) FROM quarantine WHERE count = 2 AND sequence = 4",
    );
    let hexadecimal: String = records[3]
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    assert_eq!(kept, [hexadecimal]);
}

#[test]
fn the_same_refused_bytes_twice_in_one_batch_still_hold_up() {
    let (mut shelf, room) = (Shelf::new(), device(1));
    let mut records = damaged(&room);
    records.insert(3, records[3].clone());
    let ingested = ingest(&mut shelf.store, &devices([1]), sender(&room), &records);
    assert_eq!((ingested.safe_up_to, ingested.quarantined), (Some(3), 1));
}

#[test]
fn what_a_refused_record_says_of_itself_is_never_acknowledged() {
    let (mut shelf, room, forger) = (Shelf::new(), device(1), device(2));
    let mut impostor = forger;
    impostor.id = room.id;
    let forged = [boot_record(&impostor, 1, 4000)];
    for _ in 0..3 {
        let ingested = ingest(&mut shelf.store, &devices([1]), sender(&room), &forged);
        assert_eq!((ingested.safe_up_to, ingested.last), (None, None));
    }
}

#[test]
fn a_full_quarantine_loses_nothing_and_holds_up() {
    let (mut shelf, room) = (Shelf::new(), device(1));
    let rubbish: Vec<Vec<u8>> = (0..700_u32)
        .map(|number| {
            let mut bytes = vec![0xff; 2000];
            bytes[..4].copy_from_slice(&number.to_le_bytes());
            bytes
        })
        .collect();
    let ingested = ingest(&mut shelf.store, &devices([1]), sender(&room), &rubbish);
    assert!(ingested.quarantined < 700 && ingested.quarantined > 400);
    let held = number(&shelf.path(), "SELECT sum(length(bytes)) FROM quarantine");
    assert!(held as u64 <= dunlin_fleet::MAX_QUARANTINE_BYTES);
    for _ in 0..3 {
        let ingested = ingest(
            &mut shelf.store,
            &devices([1]),
            sender(&room),
            &damaged(&room),
        );
        assert_eq!((ingested.safe_up_to, ingested.held_up), (Some(3), true));
    }
}

#[test]
fn a_record_that_contradicts_a_stored_one_is_kept_beside_it() {
    let (mut shelf, room) = (Shelf::new(), device(1));
    let (one, other) = (loss_record(&room, 5, 1, 2), loss_record(&room, 5, 1, 3));
    ingest(
        &mut shelf.store,
        &devices([1]),
        sender(&room),
        std::slice::from_ref(&one),
    );
    for expected in [1, 0] {
        let ingested = ingest(
            &mut shelf.store,
            &devices([1]),
            sender(&room),
            std::slice::from_ref(&other),
        );
        assert_eq!(
            (ingested.stored, ingested.conflicts, ingested.safe_up_to),
            (0, expected, Some(5))
        );
    }
    let connection = rusqlite::Connection::open(shelf.path()).unwrap();
    let bytes = |table: &str| {
        connection
            .query_row(&format!("SELECT bytes FROM {table}"), [], |row| {
                row.get::<_, Vec<u8>>(0)
            })
            .unwrap()
    };
    assert_eq!((bytes("records"), bytes("conflicts")), (one, other));
}

#[test]
fn a_record_of_an_unknown_kind_is_kept() {
    let (mut shelf, room) = (Shelf::new(), device(1));
    let record = unknown_record(&room, 1);
    let ingested = ingest(
        &mut shelf.store,
        &devices([1]),
        sender(&room),
        std::slice::from_ref(&record),
    );
    assert_eq!(
        (
            ingested.stored,
            ingested.not_understood,
            ingested.safe_up_to
        ),
        (1, 1, Some(1))
    );
    assert_eq!(
        number(
            &shelf.path(),
            "SELECT kind FROM records WHERE NOT understood"
        ),
        23
    );
}

#[test]
fn a_broken_upload_gives_what_came_before_the_break() {
    let (mut shelf, room) = (Shelf::new(), device(1));
    let mut upload = packed(&[boot_record(&room, 1, 1), boot_record(&room, 1, 2)]);
    upload.truncate(upload.len() - 3);
    let ingested = shelf
        .store
        .ingest_packed(&devices([1]), sender(&room), NOW_MS, &upload)
        .unwrap();
    assert_eq!(
        (ingested.stored, ingested.safe_up_to, ingested.refused.len()),
        (1, Some(1), 1)
    );
}

#[test]
fn invented_names_do_not_fill_the_disk() {
    let mut shelf = Shelf::new();
    let limit = i64::from(dunlin_fleet::MAX_REFUSAL_ROWS);
    let refusals: Vec<dunlin_fleet::Refusal> = (0..limit as u64 + 50)
        .map(|number| dunlin_fleet::Refusal {
            device: Some(DeviceId(number.to_le_bytes())),
            boot: None,
            sequence: None,
            reason: RefusalReason::Login,
        })
        .collect();
    shelf
        .store
        .note_refusals("mqtt", NOW_MS, &refusals)
        .unwrap();
    assert_eq!(
        number(&shelf.path(), "SELECT count(*) FROM refusals"),
        limit + 1
    );
    assert_eq!(
        number(&shelf.path(), "SELECT sum(count) FROM refusals"),
        limit + 50
    );
}

/// One record each of every sort, of three devices with two starts each.
fn pool() -> Vec<(u8, Vec<u8>)> {
    let mut pool = Vec::new();
    for number in 1..=3 {
        let room = device(number);
        pool.extend(
            week(&room, BUNDLE, 3)
                .into_iter()
                .map(|record| (number, record)),
        );
        pool.push((number, loss_record(&room, 12, 10, 11)));
        pool.push((number, unknown_record(&room, 13)));
        pool.extend((14..18).map(|sequence| (number, boot_record(&room, 2, sequence))));
    }
    pool
}

fn fill(batches: &[Vec<&(u8, Vec<u8>)>]) -> (String, u64) {
    let (mut shelf, known) = (Shelf::new(), devices([1, 2, 3]));
    shelf.store.register_devices(&known).unwrap();
    let mut stored = 0;
    for batch in batches {
        for same in batch.chunk_by(|a, b| a.0 == b.0) {
            let records = same.iter().map(|(_, bytes)| bytes.as_slice());
            stored += shelf
                .store
                .ingest(&known, sender(&device(same[0].0)), NOW_MS, records)
                .unwrap()
                .stored;
        }
    }
    (shelf.dump(), stored)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_order_repetition_and_batching_gives_the_same_tables(
        order in proptest::collection::vec((0_usize..45, any::<bool>()), 0..120),
        shuffled in Just((0_usize..45).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let pool = pool();
        prop_assert_eq!(pool.len(), 45);
        let mut batches = vec![Vec::new()];
        for (index, next_batch) in order {
            if next_batch {
                batches.push(Vec::new());
            }
            batches.last_mut().unwrap().push(&pool[index]);
        }
        batches.extend(shuffled.into_iter().map(|index| vec![&pool[index]]));
        let (tables, stored) = fill(&batches);
        let (straight, _) = fill(&[pool.iter().collect()]);
        prop_assert_eq!(stored, 45);
        prop_assert_eq!(tables, straight);
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_stored_and_never_panic(uploads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..8)) {
        let (mut store, room) = (Store::in_memory().unwrap(), device(1));
        for upload in &uploads {
            let ingested = store.ingest_packed(&devices([1]), sender(&room), NOW_MS, upload).unwrap();
            prop_assert_eq!(ingested.stored, 0);
            prop_assert_eq!(ingested.refused.is_empty(), upload.is_empty());
        }
    }

    #[test]
    fn a_batch_with_altered_records_stores_exactly_the_others(altered in proptest::collection::vec(any::<Option<u16>>(), 12)) {
        let (mut store, room) = (Store::in_memory().unwrap(), device(1));
        let records: Vec<Vec<u8>> = (1..).zip(&altered).map(|(sequence, bit)| {
            let mut record = boot_record(&room, 1, sequence);
            if let Some(bit) = bit {
                let bit = usize::from(*bit) % (8 * record.len());
                record[bit / 8] ^= 1 << (bit % 8);
            }
            record
        }).collect();
        let ingested = ingest(&mut store, &devices([1]), sender(&room), &records);
        let whole = altered.iter().filter(|bit| bit.is_none()).count();
        prop_assert_eq!((ingested.stored, ingested.refused.len()), (whole as u64, 12 - whole));
        let prefix = altered.iter().take_while(|bit| bit.is_none()).count() as u32;
        prop_assert_eq!(ingested.safe_up_to, (prefix > 0).then_some(prefix));
        let again = ingest(&mut store, &devices([1]), sender(&room), &records);
        let last = altered.iter().rposition(|bit| bit.is_none()).map(|last| last as u32 + 1);
        prop_assert_eq!((again.safe_up_to, again.stored), (last, 0));
        prop_assert!(records.iter().all(|record| Record::parse(record).is_err() || record.len() > 17));
    }
}
