extern crate std;

use super::*;
use crate::mock::{Flash, MockError, Random};
use embedded_storage::nor_flash::ErrorType;
use std::collections::BTreeMap;
use std::vec;
use std::vec::Vec;

type Failure = StoreError<MockError>;

/// A record that an append returned `Ok` for.
struct Promise {
    bytes: Vec<u8>,
    page: u32,
}

/// What the world outside the device knows of the store.
#[derive(Default)]
struct Oracle {
    promised: BTreeMap<u32, Promise>,
    attempted: BTreeMap<u32, Vec<Vec<u8>>>,
    acknowledged: u32,
    perhaps_acknowledged: u32,
    boot: u32,
    checks: u64,
    compared: u64,
}

struct Rig<const WRITE: usize, const ERASE: usize> {
    flash: Flash<WRITE, ERASE>,
    region: Region,
    oracle: Oracle,
    random: Random,
}

impl<const WRITE: usize, const ERASE: usize> Rig<WRITE, ERASE> {
    fn new(pages: u32, seed: u64, unstable: bool) -> Self {
        Self {
            flash: Flash::new(pages as usize, seed, unstable),
            region: Region {
                start: 0,
                page_bytes: ERASE as u32,
                pages,
            },
            oracle: Oracle::default(),
            random: Random::new(seed + 1),
        }
    }

    /// Starts, checks everything, does `actions` things; ends early when the power goes.
    fn session(&mut self, fuel: Option<u64>, actions: u32) {
        self.flash.power_on(fuel);
        match self.act(actions) {
            Ok(()) | Err(StoreError::Flash(MockError::PowerIsOff)) => {}
            Err(error) => panic!("{error:?}"),
        }
    }

    fn act(&mut self, actions: u32) -> Result<(), Failure> {
        let mut store = Store::mount(&mut self.flash, self.region)?;
        self.check(&store)?;
        for _ in 0..actions {
            match self.random.below(8) {
                0 => self.acknowledge(&mut store)?,
                1 => self.report_loss(&mut store)?,
                _ => self.append(&mut store)?,
            }
        }
        self.check(&store)
    }

    fn append(&mut self, store: &mut Store) -> Result<(), Failure> {
        let longest = store.longest_record() as u64;
        let most = if self.random.below(8) == 0 {
            longest
        } else {
            longest / 3
        };
        let length = self.random.below(most + 1);
        let (bytes, sequence) = (self.random.bytes(length as usize), store.next_sequence());
        self.oracle
            .attempted
            .entry(sequence)
            .or_default()
            .push(bytes.clone());
        store.append(&mut self.flash, sequence, &bytes)?;
        let page = store.log.newest().expect("something was written");
        assert!(
            !self.oracle.promised.contains_key(&sequence),
            "number {sequence} was given twice"
        );
        self.oracle
            .promised
            .insert(sequence, Promise { bytes, page });
        self.oracle.boot = self.oracle.boot.max(store.boot());
        Ok(())
    }

    fn acknowledge(&mut self, store: &mut Store) -> Result<(), Failure> {
        let unacknowledged = store.next_sequence() - 1 - store.acknowledged();
        let up_to = store.acknowledged() + self.random.below(u64::from(unacknowledged) + 1) as u32;
        self.oracle.perhaps_acknowledged = self.oracle.perhaps_acknowledged.max(up_to);
        store.acknowledge(&mut self.flash, up_to)?;
        self.oracle.acknowledged = self.oracle.acknowledged.max(up_to);
        Ok(())
    }

    fn report_loss(&mut self, store: &mut Store) -> Result<(), Failure> {
        if let Some(loss) = store.lost(&mut self.flash)? {
            self.append(store)?;
            store.loss_reported(&mut self.flash, loss.last_sequence)?;
        }
        Ok(())
    }

    fn check(&mut self, store: &Store) -> Result<(), Failure> {
        let found = read_all(store, &mut self.flash, 0)?;
        let oracle = &mut self.oracle;
        for (sequence, bytes) in &found {
            match oracle.promised.get(sequence) {
                Some(promise) => assert_eq!(&promise.bytes, bytes, "record {sequence} was changed"),
                None => assert!(
                    oracle.attempted[sequence].contains(bytes),
                    "record {sequence} was never appended"
                ),
            }
        }
        assert!(
            found.is_sorted_by(|a, b| a.0 < b.0),
            "records are out of order"
        );
        assert!(
            (oracle.acknowledged..=oracle.perhaps_acknowledged).contains(&store.acknowledged())
        );
        assert!(
            oracle
                .promised
                .last_key_value()
                .is_none_or(|(&last, _)| store.next_sequence() > last)
        );
        let newest = store.log.newest();
        let oldest = store.oldest_sequence(&mut self.flash)?;
        for (sequence, promise) in &oracle.promised {
            let dropped_at = u64::from(promise.page) + u64::from(self.region.pages);
            let present = found
                .binary_search_by_key(sequence, |(sequence, _)| *sequence)
                .is_ok();
            assert!(
                present || newest.is_some_and(|newest| u64::from(newest) + 1 >= dropped_at),
                "record {sequence} is gone"
            );
            assert!(
                present || newest.is_none_or(|n| u64::from(n) < dropped_at) || *sequence < oldest,
                "{sequence} not counted"
            );
            oracle.compared += 1;
        }
        oracle.checks += 1;
        Ok(())
    }
}

fn read_all<const W: usize, const E: usize>(
    store: &Store,
    flash: &mut Flash<W, E>,
    after: u32,
) -> Result<Vec<(u32, Vec<u8>)>, Failure> {
    let (mut cursor, mut buffer) = (store.after(flash, after)?, vec![0; store.longest_record()]);
    let mut records = Vec::new();
    while let Some(record) = store.read_next(flash, &mut cursor, &mut buffer)? {
        records.push((record.sequence, record.bytes.to_vec()));
    }
    Ok(records)
}

/// Cuts the power at every step of a session, and again at every `stride`th step of the next.
fn cut_everywhere_twice<const WRITE: usize, const ERASE: usize>(
    pages: u32,
    actions: u32,
    stride: u64,
    unstable: bool,
) {
    let mut cuts = 0u64;
    for first in 0.. {
        let mut finished = false;
        for second in (0..).step_by(stride as usize) {
            let seed = first * 100_003 + second;
            let mut rig = Rig::<WRITE, ERASE>::new(pages, seed, unstable);
            rig.random = Random::new(u64::from(actions));
            rig.session(None, 2 * actions);
            rig.session(Some(first), actions);
            finished = rig.flash.has_power();
            rig.session(Some(second), actions);
            let last = rig.flash.has_power();
            rig.session(None, actions);
            rig.session(None, 1);
            assert!(rig.oracle.checks >= 5 && rig.oracle.compared > 0);
            cuts += 1;
            if last || finished {
                break;
            }
        }
        if finished {
            break;
        }
    }
    assert!(cuts > 100, "{cuts} pairs of cuts");
}

/// Sessions of random length, each but the last ended by a cut.
fn cut_at_random<const WRITE: usize, const ERASE: usize>(
    pages: u32,
    seeds: core::ops::Range<u64>,
    unstable: bool,
) {
    for seed in seeds {
        let mut rig = Rig::<WRITE, ERASE>::new(pages, seed, unstable);
        if seed % 4 == 0 {
            rig.flash.scribble();
        }
        for _ in 0..12 {
            let fuel = rig.random.below(if seed % 3 == 0 {
                40
            } else {
                3 * ERASE as u64 / WRITE as u64
            });
            rig.session(Some(fuel), 30);
        }
        rig.session(None, 30);
        rig.session(None, 1);
        assert!(rig.oracle.compared > 0);
    }
}

#[test]
fn survives_two_cuts_anywhere_with_1_byte_words() {
    cut_everywhere_twice::<1, 256>(3, 4, 37, false);
    cut_everywhere_twice::<1, 128>(2, 4, 17, true);
}

#[test]
fn survives_two_cuts_anywhere_with_4_byte_words() {
    cut_everywhere_twice::<4, 256>(3, 6, 5, false);
    cut_everywhere_twice::<4, 128>(4, 6, 3, true);
}

#[test]
fn survives_two_cuts_anywhere_with_8_byte_words() {
    cut_everywhere_twice::<8, 256>(2, 6, 1, false);
    cut_everywhere_twice::<8, 256>(3, 6, 1, true);
}

#[test]
fn survives_two_cuts_anywhere_with_16_byte_words() {
    cut_everywhere_twice::<16, 256>(2, 6, 1, false);
    cut_everywhere_twice::<16, 512>(3, 8, 1, true);
}

#[test]
fn survives_twelve_cuts_at_random() {
    cut_at_random::<1, 256>(3, 0..60, false);
    cut_at_random::<1, 256>(2, 100..160, true);
    cut_at_random::<4, 256>(4, 200..300, false);
    cut_at_random::<4, 512>(2, 400..500, true);
    cut_at_random::<8, 256>(3, 600..700, true);
    cut_at_random::<16, 512>(3, 800..900, true);
    cut_at_random::<32, 512>(3, 1000..1100, true);
}

/// The oracle is not blind: a record that rots is missed.
#[test]
#[should_panic(expected = "is gone")]
fn a_record_that_vanishes_is_noticed() {
    let mut rig = Rig::<4, 512>::new(3, 1, false);
    rig.session(None, 12);
    rig.flash.corrupt(28 + 24 + 4);
    rig.session(None, 0);
}

fn new_store() -> (Flash<4, 512>, Store, Region) {
    let mut flash = Flash::new(4, 7, false);
    let region = Region {
        start: 0,
        page_bytes: 512,
        pages: 4,
    };
    let store = Store::mount(&mut flash, region).expect("the region suits");
    (flash, store, region)
}

fn fill(store: &mut Store, flash: &mut Flash<4, 512>, records: u32) {
    for _ in 0..records {
        let sequence = store.next_sequence();
        store
            .append(flash, sequence, &[sequence as u8; 88])
            .expect("power is on");
    }
}

#[test]
fn mounting_writes_nothing() {
    let (mut flash, mut store, region) = new_store();
    fill(&mut store, &mut flash, 3);
    let steps = flash.steps;
    Store::mount(&mut flash, region).expect("mounts");
    assert_eq!(flash.steps, steps);
}

#[test]
fn numbers_and_boots_go_on_after_a_restart() {
    let (mut flash, mut store, region) = new_store();
    assert_eq!((store.boot(), store.next_sequence()), (1, 1));
    fill(&mut store, &mut flash, 3);
    let mut store = Store::mount(&mut flash, region).expect("mounts");
    assert_eq!((store.boot(), store.next_sequence()), (2, 4));
    fill(&mut store, &mut flash, 1);
    assert_eq!(Store::mount(&mut flash, region).expect("mounts").boot(), 3);
}

#[test]
fn records_after_a_number_are_found_across_pages() {
    let (mut flash, mut store, _) = new_store();
    fill(&mut store, &mut flash, 14);
    for after in 0..15 {
        let found = read_all(&store, &mut flash, after).expect("power is on");
        assert!(
            found.iter().map(|record| record.0).eq(after + 1..=14),
            "after {after}"
        );
    }
}

#[test]
fn a_cursor_at_the_end_sees_what_comes() {
    let (mut flash, mut store, _) = new_store();
    let (mut cursor, mut buffer) = (store.after(&mut flash, 0).expect("reads"), [0; 128]);
    assert_eq!(
        store.read_next(&mut flash, &mut cursor, &mut buffer),
        Ok(None)
    );
    for sequence in 1..40 {
        fill(&mut store, &mut flash, 1);
        let record = store
            .read_next(&mut flash, &mut cursor, &mut buffer)
            .expect("reads")
            .expect("one");
        assert_eq!(
            (record.sequence, record.bytes[0]),
            (sequence, sequence as u8)
        );
    }
}

#[test]
fn a_cursor_whose_page_was_dropped_goes_on_with_the_oldest() {
    let (mut flash, mut store, _) = new_store();
    let mut buffer = [0; 128];
    fill(&mut store, &mut flash, 1);
    let mut cursor = store.after(&mut flash, 0).expect("reads");
    fill(&mut store, &mut flash, 40);
    let first = store
        .read_next(&mut flash, &mut cursor, &mut buffer)
        .expect("reads")
        .expect("one")
        .sequence;
    let loss = store
        .lost(&mut flash)
        .expect("reads")
        .expect("a full ring drops");
    assert_eq!(first, loss.last_sequence + 1);
}

#[test]
fn a_short_buffer_keeps_the_record_for_a_longer_one() {
    let (mut flash, mut store, _) = new_store();
    fill(&mut store, &mut flash, 1);
    let mut cursor = store.after(&mut flash, 0).expect("reads");
    let mut short = [0; 10];
    let refused = store.read_next(&mut flash, &mut cursor, &mut short);
    assert_eq!(
        refused,
        Err(StoreError::BufferTooSmall {
            needed: 88,
            got: 10
        })
    );
    assert!(
        store
            .read_next(&mut flash, &mut cursor, &mut [0; 88])
            .expect("reads")
            .is_some()
    );
}

#[test]
fn a_full_ring_drops_the_oldest_and_counts_them() {
    let (mut flash, mut store, region) = new_store();
    fill(&mut store, &mut flash, 12);
    assert_eq!(store.lost(&mut flash), Ok(None));
    fill(&mut store, &mut flash, 20);
    let found = read_all(&store, &mut flash, 0).expect("reads");
    let loss = store
        .lost(&mut flash)
        .expect("reads")
        .expect("some were dropped");
    assert_eq!(
        (loss.first_sequence, loss.last_sequence + 1),
        (1, found[0].0)
    );
    assert_eq!(loss.records() as usize + found.len(), 32);

    store
        .loss_reported(&mut flash, loss.last_sequence)
        .expect("power is on");
    assert_eq!(store.lost(&mut flash), Ok(None));
    let store = Store::mount(&mut flash, region).expect("mounts");
    assert_eq!(store.lost(&mut flash), Ok(None));
}

#[test]
fn a_loss_is_told_again_with_what_follows_until_it_is_acknowledged() {
    let (mut flash, mut store, _) = new_store();
    let tell = |store: &mut Store, flash: &mut Flash<4, 512>| {
        fill(store, flash, 32);
        let loss = store.lost(flash).expect("reads").expect("some are gone");
        store
            .loss_reported(flash, loss.last_sequence)
            .expect("power is on");
        loss
    };
    let losses = [(); 2].map(|()| tell(&mut store, &mut flash));
    assert_eq!(losses.map(|loss| loss.first_sequence), [1, 1]);
    assert!(losses[0].last_sequence < losses[1].last_sequence);
    let newest = store.next_sequence() - 1;
    store.acknowledge(&mut flash, newest).expect("power is on");
    assert_eq!(tell(&mut store, &mut flash).first_sequence, newest + 1);
}

#[test]
fn acknowledged_records_are_not_lost_when_dropped() {
    let (mut flash, mut store, region) = new_store();
    for _ in 0..20 {
        fill(&mut store, &mut flash, 3);
        let last = store.next_sequence() - 1;
        store.acknowledge(&mut flash, last).expect("power is on");
        assert_eq!(store.lost(&mut flash), Ok(None));
    }
    assert_eq!(
        Store::mount(&mut flash, region)
            .expect("mounts")
            .acknowledged(),
        60
    );
}

#[test]
fn what_was_never_written_cannot_be_acknowledged() {
    let (mut flash, mut store, _) = new_store();
    fill(&mut store, &mut flash, 2);
    assert_eq!(
        store.acknowledge(&mut flash, 3),
        Err(StoreError::NeverWritten { last: 2, got: 3 })
    );
    store.acknowledge(&mut flash, 2).expect("power is on");
    let steps = flash.steps;
    store
        .acknowledge(&mut flash, 1)
        .expect("an earlier one does nothing");
    assert_eq!((store.acknowledged(), flash.steps), (2, steps));
}

#[test]
fn a_record_out_of_turn_or_too_long_is_refused() {
    let (mut flash, mut store, _) = new_store();
    assert_eq!(
        store.append(&mut flash, 2, b"x"),
        Err(StoreError::WrongSequence {
            expected: 1,
            got: 2
        })
    );
    let limit = store.longest_record();
    let refused = store.append(&mut flash, 1, &vec![0; limit + 1]);
    assert_eq!(
        refused,
        Err(StoreError::RecordTooLong {
            limit,
            got: limit + 1
        })
    );
    assert_eq!(store.append(&mut flash, 1, &vec![0; limit]), Ok(()));
    assert_eq!(flash.bytes_written % 4, 0);
}

#[test]
fn regions_that_cannot_hold_a_store_are_refused() {
    let mut flash = Flash::<4, 512>::new(4, 1, false);
    let mut refusal = |start, page_bytes, pages| match Store::mount(
        &mut flash,
        Region {
            start,
            page_bytes,
            pages,
        },
    ) {
        Err(StoreError::Region(error)) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(refusal(0, 512, 1), RegionError::TooFewPages);
    assert_eq!(
        refusal(100, 512, 2),
        RegionError::PageSize { erase_bytes: 512 }
    );
    assert_eq!(
        refusal(0, 700, 2),
        RegionError::PageSize { erase_bytes: 512 }
    );
    assert_eq!(
        refusal(512, 512, 4),
        RegionError::OutOfBounds { capacity: 2048 }
    );
    let mut coarse = Flash::<64, 512>::new(4, 1, false);
    let refused = Store::mount(
        &mut coarse,
        Region {
            start: 0,
            page_bytes: 512,
            pages: 4,
        },
    );
    assert!(matches!(
        refused,
        Err(StoreError::Region(RegionError::Unit {
            write_bytes: 64,
            read_bytes: 4
        }))
    ));
}

#[test]
fn a_region_has_pages_of_as_few_erase_units_as_hold_the_longest_record() {
    for (record_bytes, units) in [(0, 1), (472, 1), (473, 2), (984, 2), (985, 3), (3072, 7)] {
        let mut flash = Flash::<4, 512>::new(20, 1, false);
        let region = Region::whole(&flash, record_bytes).expect("is large enough");
        assert_eq!((region.page_bytes, region.pages), (512 * units, 20 / units));
        let mut store = Store::mount(&mut flash, region).expect("mounts");
        assert!(store.longest_record() >= record_bytes);
        for sequence in 1..=50 {
            store
                .append(&mut flash, sequence, &vec![7; record_bytes])
                .expect("power is on");
        }
        let found = read_all(&store, &mut flash, 0).expect("power is on");
        assert_eq!(found.last().map(|(sequence, _)| *sequence), Some(50));
    }
    assert_eq!(
        Region::whole(&Flash::<4, 512>::new(13, 1, false), 3072),
        Err(RegionError::TooSmall {
            needed: 7168,
            got: 6656
        })
    );
    let coarse = Region::whole(&Flash::<32, 512>::new(4, 1, false), 500).expect("fits");
    assert_eq!((coarse.page_bytes, coarse.pages), (1024, 2));
}

#[test]
fn power_may_go_at_any_write_also_where_a_page_has_several_erase_units() {
    for seed in 0..200 {
        let mut rig = Rig::<4, 128>::new(8, seed, seed % 2 == 0);
        rig.region = Region::whole(&rig.flash, 300).expect("is large enough");
        assert_eq!((rig.region.page_bytes, rig.region.pages), (384, 2));
        for cut in 0..12 {
            let fuel = rig.random.below(60 + 20 * cut);
            rig.session(Some(fuel), 30);
        }
        rig.session(None, 30);
    }
}

#[test]
fn wear_is_as_stated() {
    let mut flash = Flash::<4, 4096>::new(4, 1, false);
    let mut store = Store::mount(
        &mut flash,
        Region {
            start: 0,
            page_bytes: 4096,
            pages: 4,
        },
    )
    .expect("mounts");
    for sequence in 1..=700 {
        store
            .append(&mut flash, sequence, &[1; 500])
            .expect("power is on");
    }
    assert_eq!(flash.erases, 100);
    assert_eq!(flash.bytes_written, 700 * 512 + 100 * 28 + 24);
}

/// Writes what it is given and, when told to, says that it failed.
struct Doubtful {
    flash: Flash<4, 512>,
    complains: bool,
}

impl ErrorType for Doubtful {
    type Error = MockError;
}

impl ReadNorFlash for Doubtful {
    const READ_SIZE: usize = 1;

    fn read(&mut self, at: u32, bytes: &mut [u8]) -> Result<(), MockError> {
        self.flash.read(at, bytes)
    }

    fn capacity(&self) -> usize {
        self.flash.capacity()
    }
}

impl NorFlash for Doubtful {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 512;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), MockError> {
        self.flash.erase(from, to)
    }

    fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), MockError> {
        self.flash.write(at, bytes)?;
        match self.complains {
            true => Err(MockError::PowerIsOff),
            false => Ok(()),
        }
    }
}

#[test]
fn the_number_after_a_write_that_failed_and_yet_happened_is_the_next_one() {
    let (flash, mut store, _) = new_store();
    let complains = false;
    let mut flash = Doubtful { flash, complains };
    store.append(&mut flash, 1, b"first").expect("power is on");
    flash.complains = true;
    let failed = store.append(&mut flash, 2, b"second");
    assert_eq!(failed, Err(StoreError::Flash(MockError::PowerIsOff)));
    flash.complains = false;
    store.look_again_if_suspect(&mut flash).expect("reads");
    assert_eq!(store.next_sequence(), 3, "the second is there");
    store.append(&mut flash, 3, b"third").expect("power is on");
    let mut cursor = store.after(&mut flash, 0).expect("reads");
    for expected in [&b"first"[..], b"second", b"third"] {
        let mut buffer = [0; 16];
        let stored = store.read_next(&mut flash, &mut cursor, &mut buffer);
        assert_eq!(stored.expect("reads").expect("is there").bytes, expected);
    }
}
