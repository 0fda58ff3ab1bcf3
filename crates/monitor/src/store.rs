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
mod read;
mod recover;

use dunlin_wire::record::Loss;
use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};

use crate::log::Log;
pub use crate::region::{Region, RegionError};
pub use error::StoreError;
pub use read::{Cursor, Stored};
use recover::State;

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
        let known = self.state.acknowledged;
        self.remember(flash, kind::ACKNOWLEDGED, known, sequence)?;
        self.state.acknowledged = known.max(sequence);
        Ok(())
    }

    /// The records that were dropped unacknowledged, when some of them are not reported yet: all since
    /// the last acknowledgement, for the record that told of the earlier ones may be gone too.
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
        let acknowledged = self.state.acknowledged;
        let last_sequence = self.oldest_sequence(flash)?.saturating_sub(1);
        let is_news = last_sequence > acknowledged.max(self.state.loss_reported);
        Ok(is_news.then_some(Loss {
            first_sequence: acknowledged.saturating_add(1),
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
        let known = self.state.loss_reported;
        self.remember(flash, kind::LOSS_REPORTED, known, sequence)?;
        self.state.loss_reported = known.max(sequence);
        Ok(())
    }

    /// Writes down a number that only grows; one already `known` needs no entry.
    fn remember<F: NorFlash>(
        &mut self,
        flash: &mut F,
        kind: u8,
        known: u32,
        sequence: u32,
    ) -> Result<(), StoreError<F::Error>> {
        self.require_given(sequence)?;
        match sequence {
            0 => Ok(()),
            _ if sequence <= known => self.settle(flash),
            _ => self.put(flash, kind, sequence, &[]),
        }
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
