//! Records in the order of their numbers, from a place that stays good while others come and go.

use embedded_storage::nor_flash::ReadNorFlash;

use super::{Store, StoreError, kind};
use crate::log::Entry;

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

impl Store {
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
}
