//! The record store: a ring log in flash that survives a power cut at any write or erase.
//!
//! What it promises, whatever the moment of the cut and whatever an interrupted write or erase
//! left behind:
//! - A record whose [`Store::append`] returned `Ok` is there after every later restart, until it is
//!   acknowledged or, because the ring is full, its page is needed for newer ones. What the ring
//!   drops unacknowledged is counted: [`Store::lost`].
//! - Records come back in the order of their sequence numbers, each one at most once, and nothing
//!   that was not appended comes back. An append that did not return may have happened or not.
//! - Sequence numbers go on across restarts; a number returned with `Ok` is never given again.
//! - An acknowledgement that returned `Ok` is remembered.
//!
//! # Costs
//! About 60 bytes of RAM, 100 bytes of stack for buffers. An append writes 12 bytes and the record,
//! rounded up to 4 bytes or the flash's write size; the first write after a restart adds 32 zeros
//! over what an interrupted write may have left, and 24 bytes for the boot number and what it found. One erase per page, each page in its turn: with pages of
//! 4096 bytes and records of 500, one erase for every 7 records. Mounting reads every page's header
//! and the whole of the newest page; it writes nothing.
//!
//! # Example
//! ```
//! use dunlin_monitor::store::{Region, Store};
//! # use embedded_storage::nor_flash::*;
//! # struct Ram([u8; 2048]);
//! # impl ErrorType for Ram { type Error = NorFlashErrorKind; }
//! # impl ReadNorFlash for Ram {
//! #     const READ_SIZE: usize = 1;
//! #     fn read(&mut self, at: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
//! #         Ok(bytes.copy_from_slice(&self.0[at as usize..at as usize + bytes.len()]))
//! #     }
//! #     fn capacity(&self) -> usize { 2048 }
//! # }
//! # impl NorFlash for Ram {
//! #     const WRITE_SIZE: usize = 4;
//! #     const ERASE_SIZE: usize = 512;
//! #     fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> { Ok(self.0[from as usize..to as usize].fill(0xff)) }
//! #     fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
//! #         Ok(self.0[at as usize..at as usize + bytes.len()].copy_from_slice(bytes))
//! #     }
//! # }
//! # let mut flash = Ram([0xff; 2048]);
//! let region = Region { start: 0, page_bytes: 512, pages: 4 };
//! let mut store = Store::mount(&mut flash, region).unwrap();
//! let sequence = store.next_sequence();
//! store.append(&mut flash, sequence, b"first").unwrap();
//!
//! let mut store = Store::mount(&mut flash, region).unwrap();
//! let (mut cursor, mut buffer) = (store.after(&mut flash, 0).unwrap(), [0; 64]);
//! let record = store.read_next(&mut flash, &mut cursor, &mut buffer).unwrap().unwrap();
//! assert_eq!((record.sequence, record.bytes), (1, &b"first"[..]));
//! store.acknowledge(&mut flash, 1).unwrap();
//! ```

mod error;

use dunlin_wire::record::Loss;
use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};

use crate::log::{Entry, Log};
pub use crate::region::{Region, RegionError};
pub use error::StoreError;

/// Begins every page of a record store: "DLRS" in the first four bytes.
const MAGIC: u32 = u32::from_le_bytes(*b"DLRS");

/// Bytes of the payload of [`kind::BOOT`].
const MARK_BYTES: usize = 12;

/// Kinds of entries. A kind that is unknown here is passed over.
mod kind {
    /// A record; the value is its sequence number.
    pub const RECORD: u8 = 1;
    /// The value is the last sequence number acknowledged.
    pub const ACKNOWLEDGED: u8 = 2;
    /// First entry after a restart. The value is the next sequence number: a record before it with
    /// that number or a higher one was interrupted, and is void even if it can be read. The payload
    /// is the boot number, the last number acknowledged and the last reported lost, u32 each.
    pub const BOOT: u8 = 3;
    /// The value is the last sequence number whose loss was reported.
    pub const LOSS_REPORTED: u8 = 4;
}

/// A record as it was appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored<'b> {
    /// Its number.
    pub sequence: u32,
    /// Its bytes, in the caller's buffer.
    pub bytes: &'b [u8],
}

/// A place among the records. Stays good while records are appended, acknowledged and dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    page: u32,
    offset: u32,
    after: u32,
}

/// What is remembered beside the records; stands in every page's header and changes by entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    next_sequence: u32,
    acknowledged: u32,
    boot: u32,
    loss_reported: u32,
}

impl State {
    const FIRST: Self = Self {
        next_sequence: 1,
        acknowledged: 0,
        boot: 0,
        loss_reported: 0,
    };

    fn from_fields([next_sequence, acknowledged, boot, loss_reported]: [u32; 4]) -> Self {
        Self {
            next_sequence,
            acknowledged,
            boot,
            loss_reported,
        }
    }

    fn fields(self) -> [u32; 4] {
        [
            self.next_sequence,
            self.acknowledged,
            self.boot,
            self.loss_reported,
        ]
    }
}

/// A store of records in one region of a flash, which every call is given.
#[derive(Debug, Clone)]
pub struct Store {
    log: Log,
    region: Region,
    state: State,
    /// Whether this start has left its mark in the log.
    marked: bool,
    /// Whether a write failed, so that the flash must be looked at again.
    suspect: bool,
}

impl Store {
    /// Finds what is in the region; a region that holds no store becomes an empty one. Writes
    /// nothing. Costs a read of every page's header and of the whole newest page.
    ///
    /// # Errors
    /// [`StoreError::Region`] when the region does not suit, [`StoreError::Flash`].
    pub fn mount<F: NorFlash>(flash: &mut F, region: Region) -> Result<Self, StoreError<F::Error>> {
        let mut store = Self::recover(flash, region)?;
        store.state.boot = store.state.boot.saturating_add(1);
        Ok(store)
    }

    /// Number of this start, from 1. A start that wrote nothing to the store is not counted.
    pub fn boot(&self) -> u32 {
        self.state.boot
    }

    /// The number that the next record must carry.
    pub fn next_sequence(&self) -> u32 {
        self.state.next_sequence
    }

    /// The last sequence number acknowledged; 0 for none.
    pub fn acknowledged(&self) -> u32 {
        self.state.acknowledged
    }

    /// Bytes of the longest record.
    pub fn longest_record(&self) -> usize {
        self.log.longest_payload(0) as usize
    }

    /// Appends a record. When the newest page is full, the oldest is erased first, with what is
    /// still in it; ask [`Store::lost`] afterwards.
    ///
    /// # Errors
    /// [`StoreError::WrongSequence`] when `sequence` is not [`Store::next_sequence`],
    /// [`StoreError::RecordTooLong`], [`StoreError::Flash`].
    pub fn append<F: NorFlash>(
        &mut self,
        flash: &mut F,
        sequence: u32,
        record: &[u8],
    ) -> Result<(), StoreError<F::Error>> {
        self.look_again_if_suspect(flash)?;
        let (limit, expected) = (self.longest_record(), self.state.next_sequence);
        if record.len() > limit {
            return Err(StoreError::RecordTooLong {
                limit,
                got: record.len(),
            });
        }
        if sequence != expected {
            return Err(StoreError::WrongSequence {
                expected,
                got: sequence,
            });
        }
        self.put(flash, kind::RECORD, sequence, record)?;
        self.state.next_sequence = sequence.saturating_add(1);
        Ok(())
    }

    /// Remembers that everything up to `sequence` has arrived. Once more for the same or an earlier
    /// one changes nothing.
    ///
    /// # Errors
    /// [`StoreError::NeverWritten`] for a number not yet given, [`StoreError::Flash`].
    pub fn acknowledge<F: NorFlash>(
        &mut self,
        flash: &mut F,
        sequence: u32,
    ) -> Result<(), StoreError<F::Error>> {
        self.look_again_if_suspect(flash)?;
        self.require_given(sequence)?;
        if sequence == 0 {
            return Ok(());
        }
        if sequence <= self.state.acknowledged {
            return self.settle(flash);
        }
        self.put(flash, kind::ACKNOWLEDGED, sequence, &[])?;
        self.state.acknowledged = sequence;
        Ok(())
    }

    /// The records that were dropped unacknowledged and whose loss is not reported yet.
    ///
    /// The caller appends a loss record and then calls [`Store::loss_reported`]; a power cut between
    /// the two makes a second report of the same loss.
    ///
    /// # Errors
    /// [`StoreError::Flash`].
    pub fn lost<F: ReadNorFlash>(
        &self,
        flash: &mut F,
    ) -> Result<Option<Loss>, StoreError<F::Error>> {
        let known = self.state.acknowledged.max(self.state.loss_reported);
        let last_sequence = self.oldest_sequence(flash)?.saturating_sub(1);
        Ok((last_sequence > known).then(|| Loss {
            first_sequence: known + 1,
            last_sequence,
        }))
    }

    /// Remembers that the loss of everything dropped up to `sequence` is told by a record.
    ///
    /// # Errors
    /// [`StoreError::NeverWritten`] for a number not yet given, [`StoreError::Flash`].
    pub fn loss_reported<F: NorFlash>(
        &mut self,
        flash: &mut F,
        sequence: u32,
    ) -> Result<(), StoreError<F::Error>> {
        self.look_again_if_suspect(flash)?;
        self.require_given(sequence)?;
        if sequence == 0 {
            return Ok(());
        }
        if sequence <= self.state.loss_reported {
            return self.settle(flash);
        }
        self.put(flash, kind::LOSS_REPORTED, sequence, &[])?;
        self.state.loss_reported = sequence;
        Ok(())
    }

    /// A cursor before the first record whose number is above `sequence`. Costs a read of at most
    /// every page's header.
    ///
    /// # Errors
    /// [`StoreError::Flash`].
    pub fn after<F: ReadNorFlash>(
        &self,
        flash: &mut F,
        sequence: u32,
    ) -> Result<Cursor, StoreError<F::Error>> {
        let mut page = self.log.newest().unwrap_or(0);
        while page > self.log.lowest_page() {
            let fields = self.log.fields(flash, page).map_err(StoreError::Flash)?;
            if fields
                .is_some_and(|[first_sequence, ..]| first_sequence <= sequence.saturating_add(1))
            {
                break;
            }
            page -= 1;
        }
        Ok(Cursor {
            page,
            offset: self.log.first_offset(),
            after: sequence,
        })
    }

    /// Copies the next record into `buffer` and moves the cursor behind it; `None` at the end, where
    /// the cursor may wait for records to come. Costs two reads of the record's bytes.
    ///
    /// # Errors
    /// [`StoreError::BufferTooSmall`], [`StoreError::Flash`]; the cursor then stays.
    pub fn read_next<'b, F: ReadNorFlash>(
        &self,
        flash: &mut F,
        cursor: &mut Cursor,
        buffer: &'b mut [u8],
    ) -> Result<Option<Stored<'b>>, StoreError<F::Error>> {
        while let Some(entry) = self.next_record(flash, cursor).map_err(StoreError::Flash)? {
            let (needed, got) = (usize::from(entry.length), buffer.len());
            if needed > got {
                return Err(StoreError::BufferTooSmall { needed, got });
            }
            let whole = self
                .log
                .payload(flash, &entry, buffer)
                .map_err(StoreError::Flash)?;
            *cursor = Cursor {
                offset: entry.end,
                after: if whole { entry.value } else { cursor.after },
                ..*cursor
            };
            if whole {
                return Ok(Some(Stored {
                    sequence: entry.value,
                    bytes: buffer.get(..needed).unwrap_or_default(),
                }));
            }
        }
        Ok(None)
    }

    /// Moves the cursor to the next record and returns its entry.
    fn next_record<F: ReadNorFlash>(
        &self,
        flash: &mut F,
        cursor: &mut Cursor,
    ) -> Result<Option<Entry>, F::Error> {
        while let Some(entry) = self.next_entry(flash, cursor)? {
            let wanted = entry.kind == kind::RECORD && entry.value > cursor.after;
            if wanted && !self.is_void(flash, cursor, &entry)? {
                return Ok(Some(entry));
            }
            cursor.offset = entry.end;
        }
        Ok(None)
    }

    /// Moves the cursor to the next entry of any kind and returns it.
    fn next_entry<F: ReadNorFlash>(
        &self,
        flash: &mut F,
        cursor: &mut Cursor,
    ) -> Result<Option<Entry>, F::Error> {
        let Some(newest) = self.log.newest() else {
            return Ok(None);
        };
        if cursor.page < self.log.lowest_page() {
            (cursor.page, cursor.offset) = (self.log.lowest_page(), self.log.first_offset());
        }
        while cursor.page <= newest {
            if self.log.fields(flash, cursor.page)?.is_some()
                && let Some(entry) = self.log.find(flash, cursor.page, cursor.offset)?
            {
                return Ok(Some(entry));
            }
            if cursor.page == newest {
                break;
            }
            (cursor.page, cursor.offset) = (cursor.page + 1, self.log.first_offset());
        }
        Ok(None)
    }

    /// Whether the next start, or the next page, says that this record was never completed.
    fn is_void<F: ReadNorFlash>(
        &self,
        flash: &mut F,
        cursor: &Cursor,
        record: &Entry,
    ) -> Result<bool, F::Error> {
        if let Some(next) = self.log.find(flash, cursor.page, record.end)? {
            return Ok(next.kind == kind::BOOT && next.value <= record.value);
        }
        if self.log.newest() == Some(cursor.page) {
            return Ok(false);
        }
        let fields = self.log.fields(flash, cursor.page.wrapping_add(1))?;
        Ok(fields.is_some_and(|[next_sequence, ..]| next_sequence <= record.value))
    }

    fn recover<F: NorFlash>(flash: &mut F, region: Region) -> Result<Self, StoreError<F::Error>> {
        let (log, newest) = Log::open(flash, region, MAGIC)?;
        let mut store = Self {
            log,
            region,
            state: State::FIRST,
            marked: false,
            suspect: false,
        };
        if let Some((page, fields)) = newest {
            store.state = State::from_fields(fields);
            store.replay(flash, page).map_err(StoreError::Flash)?;
        }
        Ok(store)
    }

    /// Brings the state of the newest page's header up to its last entry.
    fn replay<F: ReadNorFlash>(&mut self, flash: &mut F, page: u32) -> Result<(), F::Error> {
        let mut offset = self.log.first_offset();
        while let Some(entry) = self.log.find(flash, page, offset)? {
            offset = entry.end;
            match entry.kind {
                kind::RECORD => self.state.next_sequence = entry.value.saturating_add(1),
                kind::ACKNOWLEDGED => self.state.acknowledged = entry.value,
                kind::LOSS_REPORTED => self.state.loss_reported = entry.value,
                kind::BOOT => self.take_mark(flash, &entry)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes over what a start said of itself when it first wrote.
    fn take_mark<F: ReadNorFlash>(&mut self, flash: &mut F, entry: &Entry) -> Result<(), F::Error> {
        let mut mark = [0; MARK_BYTES];
        if self.log.payload(flash, entry, &mut mark)? {
            let mut fields = [entry.value, 0, 0, 0];
            for (field, word) in fields.iter_mut().skip(1).zip(mark.as_chunks().0) {
                *field = u32::from_le_bytes(*word);
            }
            self.state = State::from_fields(fields);
        }
        Ok(())
    }

    fn require_given<E>(&self, sequence: u32) -> Result<(), StoreError<E>> {
        let last = self.state.next_sequence.saturating_sub(1);
        if sequence > last {
            return Err(StoreError::NeverWritten {
                last,
                got: sequence,
            });
        }
        Ok(())
    }

    fn look_again_if_suspect<F: NorFlash>(
        &mut self,
        flash: &mut F,
    ) -> Result<(), StoreError<F::Error>> {
        if self.suspect {
            let boot = self.state.boot;
            *self = Self::recover(flash, self.region)?;
            self.state.boot = boot;
        }
        Ok(())
    }

    /// Writes an entry, after the mark of this start and into a new page where needed.
    fn put<F: NorFlash>(
        &mut self,
        flash: &mut F,
        kind: u8,
        value: u32,
        payload: &[u8],
    ) -> Result<(), StoreError<F::Error>> {
        self.settle(flash)?;
        self.suspect = true;
        self.put_in_page(flash, kind, value, payload)?;
        self.suspect = false;
        Ok(())
    }

    /// Leaves the mark of this start, once: what it found may rest on a write that was interrupted
    /// at its very end and is not readable for ever; what the mark says is.
    fn settle<F: NorFlash>(&mut self, flash: &mut F) -> Result<(), StoreError<F::Error>> {
        if self.marked {
            return Ok(());
        }
        let mut mark = [0; MARK_BYTES];
        let [next_sequence, found @ ..] = self.state.fields();
        for (place, field) in mark.as_chunks_mut().0.iter_mut().zip(found) {
            *place = field.to_le_bytes();
        }
        self.suspect = true;
        self.log.seal(flash);
        self.put_in_page(flash, kind::BOOT, next_sequence, &mark)?;
        (self.marked, self.suspect) = (true, false);
        Ok(())
    }

    fn put_in_page<F: NorFlash>(
        &mut self,
        flash: &mut F,
        kind: u8,
        value: u32,
        payload: &[u8],
    ) -> Result<(), StoreError<F::Error>> {
        if !self.log.fits(payload.len(), 0) {
            self.log
                .open_page(flash, self.state.fields())
                .map_err(StoreError::Flash)?;
        }
        self.log
            .append(flash, kind, value, payload)
            .map_err(StoreError::Flash)
    }

    /// First sequence number that the oldest page may hold.
    fn oldest_sequence<F: ReadNorFlash>(&self, flash: &mut F) -> Result<u32, StoreError<F::Error>> {
        let Some(newest) = self.log.newest() else {
            return Ok(self.state.next_sequence);
        };
        for page in self.log.lowest_page()..=newest {
            if let Some([first_sequence, ..]) =
                self.log.fields(flash, page).map_err(StoreError::Flash)?
            {
                return Ok(first_sequence);
            }
        }
        Ok(self.state.next_sequence)
    }
}

#[cfg(test)]
mod tests;
