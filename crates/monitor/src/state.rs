//! One small value in flash that changes as a whole, whatever the moment of a power cut: the active
//! slot, a version floor, a count of attempts.
//!
//! Built like [`crate::store`], from pages of its own (two are enough). After a cut during
//! [`StateLog::write`] the value is the old one or the new one, and stays the one that
//! [`StateLog::mount`] found.
//!
//! A write costs 12 bytes and the value, rounded up to 4 bytes or the flash's write size, and one
//! erase whenever a page is full. So does every mount, which writes the value it found once more: a
//! write that was interrupted at its very end can be readable now and unreadable later, and what a
//! device acted on must not change behind it.
//!
//! That too is stated in full: where interrupted words read differently from one read to the next,
//! three cuts in a row, two of them in the very last word of a write and the third while the other
//! page is erased, can bring back the value before. Where they hold anything, but always read the
//! same, no number of cuts can.
//!
//! ```
//! use dunlin_monitor::state::{Region, StateLog};
//! # use embedded_storage::nor_flash::*;
//! # struct Ram([u8; 1024]);
//! # impl ErrorType for Ram { type Error = NorFlashErrorKind; }
//! # impl ReadNorFlash for Ram {
//! #     const READ_SIZE: usize = 1;
//! #     fn read(&mut self, at: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
//! #         Ok(bytes.copy_from_slice(&self.0[at as usize..at as usize + bytes.len()]))
//! #     }
//! #     fn capacity(&self) -> usize { 1024 }
//! # }
//! # impl NorFlash for Ram {
//! #     const WRITE_SIZE: usize = 4;
//! #     const ERASE_SIZE: usize = 512;
//! #     fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> { Ok(self.0[from as usize..to as usize].fill(0xff)) }
//! #     fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
//! #         Ok(self.0[at as usize..at as usize + bytes.len()].copy_from_slice(bytes))
//! #     }
//! # }
//! # let mut flash = Ram([0xff; 1024]);
//! let region = Region { start: 0, page_bytes: 512, pages: 2 };
//! let mut state = StateLog::<8>::mount(&mut flash, region).unwrap();
//! assert_eq!(state.value(), None);
//! state.write(&mut flash, b"slot 1").unwrap();
//! let state = StateLog::<8>::mount(&mut flash, region).unwrap();
//! assert_eq!(state.value(), Some(&b"slot 1"[..]));
//! ```

use embedded_storage::nor_flash::NorFlash;

use crate::log::{Log, OpenError};
pub use crate::region::{Region, RegionError};

/// Begins every page: "DLST" in the first four bytes.
const MAGIC: u32 = u32::from_le_bytes(*b"DLST");
/// The only kind of entry: a value.
const VALUE: u8 = 1;

/// How many times a page has room to write its last value again after a restart, before that has to
/// go into another page.
const SPARE: u32 = 2;

/// Why a call to a [`StateLog`] did nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateError<E> {
    /// The flash reported an error. A failed write leaves the old value or the new one.
    Flash(E),
    /// The region cannot hold a state log.
    Region(RegionError),
    /// The value is longer than the log keeps, or a page has room for.
    ValueTooLong {
        /// Bytes of the longest value.
        limit: usize,
        /// Bytes of this one.
        got: usize,
    },
}

impl<E> From<OpenError<E>> for StateError<E> {
    fn from(error: OpenError<E>) -> Self {
        match error {
            OpenError::Region(error) => Self::Region(error),
            OpenError::Flash(error) => Self::Flash(error),
        }
    }
}

impl<E: core::fmt::Debug> core::fmt::Display for StateError<E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Flash(error) => write!(f, "flash: {error:?}"),
            Self::Region(error) => write!(f, "{error}"),
            Self::ValueTooLong { limit, got } => {
                write!(f, "a value of {got} bytes where {limit} are kept")
            }
        }
    }
}

impl<E: core::fmt::Debug> core::error::Error for StateError<E> {}

/// A value of up to `BYTES` bytes, in RAM and in one region of a flash, which every call is given.
#[derive(Debug, Clone)]
pub struct StateLog<const BYTES: usize> {
    log: Log,
    region: Region,
    value: [u8; BYTES],
    /// Bytes of the value; none before the first write.
    length: Option<usize>,
    /// Page that holds the value.
    page: Option<u32>,
    suspect: bool,
}

impl<const BYTES: usize> StateLog<BYTES> {
    /// Finds the value in the region and writes it once more; a region that holds no state log is
    /// one without a value. A value longer than `BYTES` counts as none.
    ///
    /// # Errors
    /// [`StateError::Region`] when the region does not suit, [`StateError::Flash`].
    pub fn mount<F: NorFlash>(flash: &mut F, region: Region) -> Result<Self, StateError<F::Error>> {
        let mut state = Self::recover(flash, region)?;
        state.write_again(flash)?;
        Ok(state)
    }

    /// The value; `None` when there was never one.
    pub fn value(&self) -> Option<&[u8]> {
        self.value.get(..self.length?)
    }

    /// Replaces the value.
    ///
    /// # Errors
    /// [`StateError::ValueTooLong`], [`StateError::Flash`]; after the latter, the next call looks at
    /// the flash again before it writes.
    pub fn write<F: NorFlash>(
        &mut self,
        flash: &mut F,
        value: &[u8],
    ) -> Result<(), StateError<F::Error>> {
        if self.suspect {
            *self = Self::recover(flash, self.region)?;
        }
        let limit = BYTES.min(self.log.longest_payload(SPARE) as usize);
        let too_long = StateError::ValueTooLong {
            limit,
            got: value.len(),
        };
        if value.len() > limit {
            return Err(too_long);
        }
        self.write_with_spare(flash, value, SPARE)
    }

    fn write_with_spare<F: NorFlash>(
        &mut self,
        flash: &mut F,
        value: &[u8],
        spare: u32,
    ) -> Result<(), StateError<F::Error>> {
        self.suspect = true;
        self.put(flash, value, spare).map_err(StateError::Flash)?;
        self.suspect = false;
        self.value
            .get_mut(..value.len())
            .unwrap_or_default()
            .copy_from_slice(value);
        (self.length, self.page) = (Some(value.len()), self.log.newest());
        Ok(())
    }

    fn write_again<F: NorFlash>(&mut self, flash: &mut F) -> Result<(), StateError<F::Error>> {
        let value = self.value;
        match self.length.and_then(|length| value.get(..length)) {
            Some(value) => self.write_with_spare(flash, value, 0),
            None => Ok(()),
        }
    }

    /// Writes an entry. Where the newest page is full it goes into another: the next one, or the
    /// newest itself when nothing in it counts, so that the page with the value is never erased.
    fn put<F: NorFlash>(
        &mut self,
        flash: &mut F,
        value: &[u8],
        spare: u32,
    ) -> Result<(), F::Error> {
        self.log.seal(flash);
        if !self.log.fits(value.len(), spare) {
            if self.page.is_some() && self.page != self.log.newest() {
                self.log.give_up_page();
            }
            self.log.open_page(flash, [0; 4])?;
        }
        self.log.append(flash, VALUE, 0, value)
    }

    fn recover<F: NorFlash>(flash: &mut F, region: Region) -> Result<Self, StateError<F::Error>> {
        let (log, _) = Log::open(flash, region, MAGIC)?;
        let mut state = Self {
            log,
            region,
            value: [0; BYTES],
            length: None,
            page: None,
            suspect: false,
        };
        state.find_value(flash).map_err(StateError::Flash)?;
        Ok(state)
    }

    /// Loads the last entry of the newest page that has one.
    fn find_value<F: NorFlash>(&mut self, flash: &mut F) -> Result<(), F::Error> {
        let Some(newest) = self.log.newest() else {
            return Ok(());
        };
        for page in (self.log.lowest_page()..=newest).rev() {
            if self.log.fields(flash, page)?.is_some() {
                self.load_last_of_page(flash, page)?;
            }
            if self.page.is_some() {
                break;
            }
        }
        Ok(())
    }

    fn load_last_of_page<F: NorFlash>(&mut self, flash: &mut F, page: u32) -> Result<(), F::Error> {
        let mut offset = self.log.first_offset();
        while let Some(entry) = self.log.find(flash, page, offset)? {
            offset = entry.end;
            let mut value = [0; BYTES];
            if entry.kind == VALUE && self.log.payload(flash, &entry, &mut value)? {
                self.value = value;
                (self.length, self.page) = (Some(usize::from(entry.length)), Some(page));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
