//! What a start finds in the flash, and a write that failed leaves to be looked at again.

use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};

use super::{MAGIC, MARK_BYTES, Store, StoreError, kind};
use crate::log::{Entry, Log};
use crate::region::Region;

/// What is remembered beside the records; stands in every page's header and changes by entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    pub next_sequence: u32,
    pub acknowledged: u32,
    pub boot: u32,
    pub loss_reported: u32,
}

impl State {
    pub const FIRST: Self = Self {
        next_sequence: 1,
        acknowledged: 0,
        boot: 0,
        loss_reported: 0,
    };

    pub fn from_fields([next_sequence, acknowledged, boot, loss_reported]: [u32; 4]) -> Self {
        Self {
            next_sequence,
            acknowledged,
            boot,
            loss_reported,
        }
    }

    pub fn fields(self) -> [u32; 4] {
        [
            self.next_sequence,
            self.acknowledged,
            self.boot,
            self.loss_reported,
        ]
    }
}

impl Store {
    pub(super) fn recover<F: NorFlash>(
        flash: &mut F,
        region: Region,
    ) -> Result<Self, StoreError<F::Error>> {
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

    /// Looks at the flash again when the last write failed: only then is it known whether it happened,
    /// and which number comes next. Costs nothing otherwise, and what a mount costs then.
    ///
    /// # Errors
    /// [`StoreError::Flash`].
    pub fn look_again_if_suspect<F: NorFlash>(
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
}
