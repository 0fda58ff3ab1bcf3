//! Pages of entries in flash, found again after a power cut at any moment: what [`crate::store`] and
//! [`crate::state`] are made of.
//!
//! A page begins with a header (magic, number, four fields, CRC-32) and holds entries (sync byte,
//! kind, length, value, CRC-32, payload). Pages are numbered without end and page n lies at
//! n modulo the number of pages; both CRCs cover the place, so nothing from an earlier use of a page,
//! and nothing inside a payload, passes for an entry.
//!
//! What makes it safe, rule by rule:
//! - A page is erased right before its header is written, whatever it seems to hold.
//! - Flash is written in ascending order in calls of at most [`CHUNK`] bytes. After a restart the
//!   [`CHUNK`] bytes behind the last trace of a write are overwritten with zeros, since a write there
//!   may have been interrupted so early that it left cells half changed and reading as erased; the
//!   next entry comes behind them. Zeros over anything are what NOR flash can always be given, also
//!   where it has error correction; a flash that refuses them gets a new page instead.
//! - A page whose header is there but no whole entry may have been interrupted while the header was
//!   written, or while it was erased for that: it is opened once more. When the following page shows
//!   neither a header nor erased bytes, that one is opened next.
//! - A reader steps over what is not an entry, unit by unit.

use dunlin_wire::frame::crc32_continue;
use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};

use crate::region::{Region, RegionError};

/// Most bytes that one call writes; the interrupted part of the log is never longer.
pub(crate) const CHUNK: u32 = 32;
/// Bytes of an entry before its payload.
pub(crate) const ENTRY_HEADER: u32 = 12;
/// Bytes of a page's header before padding.
const PAGE_HEADER: u32 = 28;
/// First byte of every entry; not the value of erased flash.
const SYNC: u8 = 0x5a;
/// Smallest unit that is written, whatever the flash allows.
pub(crate) const SMALLEST_UNIT: u32 = 4;

fn unit<F: NorFlash>() -> u32 {
    SMALLEST_UNIT.max(F::WRITE_SIZE as u32)
}

/// Bytes of the smallest page that holds an entry with a payload of `payload_bytes`.
pub(crate) fn page_bytes<F: NorFlash>(payload_bytes: usize) -> usize {
    let unit = unit::<F>() as usize;
    let header = (PAGE_HEADER as usize).next_multiple_of(unit);
    let entry = payload_bytes.saturating_add(ENTRY_HEADER as usize + unit - 1) / unit * unit;
    header.saturating_add(entry)
}

/// What a page's header says beside its number.
pub(crate) type Fields = [u32; 4];

/// A log and the newest page it was found with: number and fields.
pub(crate) type Opened = (Log, Option<(u32, Fields)>);

/// A whole entry, found in flash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub kind: u8,
    pub value: u32,
    pub length: u16,
    page: u32,
    offset: u32,
    checksum: u32,
    /// Where in the page the next entry may begin.
    pub end: u32,
}

impl Entry {
    fn header(&self) -> [u8; 8] {
        let ([l0, l1], [v0, v1, v2, v3]) = (self.length.to_le_bytes(), self.value.to_le_bytes());
        [SYNC, self.kind, l0, l1, v0, v1, v2, v3]
    }

    /// CRC-32 over page, place and header; the payload follows.
    fn checksum_of_place(&self) -> u32 {
        let checksum = crc32_continue(0, &self.page.to_le_bytes());
        let checksum = crc32_continue(checksum, &self.offset.to_le_bytes());
        crc32_continue(checksum, &self.header())
    }
}

/// Where a log stands. Holds no flash: every call is given it.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    region: Region,
    magic: u32,
    unit: u32,
    /// Number of the page that is written; none before the first.
    newest: Option<u32>,
    /// Where in it the next entry goes.
    position: u32,
    /// Whether the [`CHUNK`] bytes before `position` are still to be overwritten with zeros.
    unsealed: bool,
}

impl Log {
    /// Finds the newest page. Its number and its header's fields are returned too; none when there
    /// is no page. A page that is to be opened once more is returned, but is not [`Log::newest`].
    pub fn open<F: NorFlash>(
        flash: &mut F,
        region: Region,
        magic: u32,
    ) -> Result<Opened, OpenError<F::Error>> {
        region.check(flash).map_err(OpenError::Region)?;
        let mut log = Self {
            region,
            magic,
            unit: unit::<F>(),
            newest: None,
            position: region.page_bytes,
            unsealed: false,
        };
        let mut newest = None;
        for slot in 0..region.pages {
            let found = log.page_in_slot(flash, slot).map_err(OpenError::Flash)?;
            newest = newest
                .into_iter()
                .chain(found)
                .max_by_key(|(number, _)| *number);
        }
        log.newest = newest.map(|(number, _)| number);
        log.settle(flash).map_err(OpenError::Flash)?;
        Ok((log, newest))
    }

    /// Number of the page that is written, or was written last.
    pub fn newest(&self) -> Option<u32> {
        self.newest
    }

    /// Lowest number that a page may have by now.
    pub fn lowest_page(&self) -> u32 {
        self.newest.map_or(0, |newest| {
            newest.saturating_add(1).saturating_sub(self.region.pages)
        })
    }

    /// Offset of the first entry of every page.
    pub fn first_offset(&self) -> u32 {
        PAGE_HEADER.next_multiple_of(self.unit)
    }

    /// Longest payload that fits a page, and could be written again in it after each of `restarts`
    /// power cuts.
    pub fn longest_payload(&self, restarts: u32) -> u32 {
        let room = self
            .region
            .page_bytes
            .saturating_sub(self.first_offset() + restarts * CHUNK);
        let entry = room / (restarts + 1) / self.unit * self.unit;
        entry.saturating_sub(ENTRY_HEADER).min(u32::from(u16::MAX))
    }

    /// Whether an entry with such a payload fits the page that is written, and could be written
    /// again in it after each of `restarts` power cuts.
    pub fn fits(&self, length: usize, restarts: u32) -> bool {
        let entry = self.entry_bytes(length as u32);
        let needed = entry + restarts * (entry + CHUNK);
        self.newest.is_some() && self.position.saturating_add(needed) <= self.region.page_bytes
    }

    /// Fields of a page's header, when the page is there.
    pub fn fields<F: ReadNorFlash>(
        &self,
        flash: &mut F,
        page: u32,
    ) -> Result<Option<Fields>, F::Error> {
        let found = self.page_in_slot(flash, page % self.region.pages)?;
        Ok(found
            .filter(|(number, _)| *number == page)
            .map(|(_, fields)| fields))
    }

    /// Erases the page after the newest and makes it the newest.
    pub fn open_page<F: NorFlash>(
        &mut self,
        flash: &mut F,
        fields: Fields,
    ) -> Result<(), F::Error> {
        let number = self.newest.map_or(0, |newest| newest.wrapping_add(1));
        (self.position, self.unsealed) = (self.region.page_bytes, false);
        let start = self.region.address(number, 0);
        flash.erase(start, start + self.region.page_bytes)?;
        let mut header = [0xff; CHUNK as usize];
        let words = [self.magic, number].into_iter().chain(fields);
        for (place, word) in header.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        if let Some((covered, checksum)) = header.split_at_mut_checked(PAGE_HEADER as usize - 4)
            && let Some(place) = checksum.first_chunk_mut()
        {
            *place = crc32_continue(0, covered).to_le_bytes();
        }
        flash.write(
            start,
            header
                .get(..self.first_offset() as usize)
                .unwrap_or_default(),
        )?;
        self.newest = Some(number);
        self.position = self.first_offset();
        Ok(())
    }

    /// Gives the newest page up: the next one opened takes its number and place.
    pub fn give_up_page(&mut self) {
        self.newest = self.newest.and_then(|newest| newest.checked_sub(1));
        self.position = self.region.page_bytes;
    }

    /// Makes what an interrupted write may have left behind the last trace into zeros, once after
    /// opening; where that fails the next entry will not fit the newest page.
    pub fn seal<F: NorFlash>(&mut self, flash: &mut F) {
        if let (true, Some(newest)) = (self.unsealed, self.newest) {
            let from = self.region.address(newest, self.position - CHUNK);
            if flash.write(from, &[0; CHUNK as usize]).is_err() {
                self.position = self.region.page_bytes;
            }
        }
        self.unsealed = false;
    }

    /// Writes an entry into the newest page, in which it fits. Its place is used up even if writing fails.
    pub fn append<F: NorFlash>(
        &mut self,
        flash: &mut F,
        kind: u8,
        value: u32,
        payload: &[u8],
    ) -> Result<(), F::Error> {
        let (page, offset, length) = (
            self.newest.unwrap_or(0),
            self.position,
            payload.len() as u16,
        );
        self.position = offset + self.entry_bytes(payload.len() as u32);
        let entry = Entry {
            kind,
            value,
            length,
            page,
            offset,
            checksum: 0,
            end: self.position,
        };
        let checksum = crc32_continue(entry.checksum_of_place(), payload).to_le_bytes();
        let header = entry.header();
        let mut bytes = header.iter().chain(&checksum).chain(payload).copied();
        let mut address = self.region.address(page, offset);
        let end = self.region.address(page, 0) + self.position;
        while address < end {
            let mut chunk = [0xff; CHUNK as usize];
            chunk
                .iter_mut()
                .zip(&mut bytes)
                .for_each(|(place, byte)| *place = byte);
            let length = CHUNK.min(end - address);
            flash.write(address, chunk.get(..length as usize).unwrap_or_default())?;
            address += length;
        }
        Ok(())
    }

    /// The first whole entry of a page at or after `offset`.
    pub fn find<F: ReadNorFlash>(
        &self,
        flash: &mut F,
        page: u32,
        mut offset: u32,
    ) -> Result<Option<Entry>, F::Error> {
        while offset + ENTRY_HEADER <= self.region.page_bytes {
            let mut chunk = [0; CHUNK as usize];
            let length = CHUNK.min(self.region.page_bytes - offset);
            let bytes = first_mut(&mut chunk, length);
            self.read(flash, page, offset, bytes)?;
            let mut units = bytes.chunks(self.unit as usize);
            let Some(skipped) = units.position(|unit| unit.first() == Some(&SYNC)) else {
                offset += length;
                continue;
            };
            offset += skipped as u32 * self.unit;
            if let Some(entry) = self.entry_at(flash, page, offset)? {
                return Ok(Some(entry));
            }
            offset += self.unit;
        }
        Ok(None)
    }

    /// Copies an entry's payload to the start of `buffer` and checks it once more; false when it is
    /// no longer what it was, or the buffer is shorter than the payload.
    pub fn payload<F: ReadNorFlash>(
        &self,
        flash: &mut F,
        entry: &Entry,
        buffer: &mut [u8],
    ) -> Result<bool, F::Error> {
        let Some(payload) = buffer.get_mut(..usize::from(entry.length)) else {
            return Ok(false);
        };
        let mut from = entry.offset + ENTRY_HEADER;
        for part in payload.chunks_mut(CHUNK as usize) {
            from = self.copy(flash, entry.page, from, part)?;
        }
        Ok(crc32_continue(entry.checksum_of_place(), payload) == entry.checksum)
    }

    fn entry_bytes(&self, payload: u32) -> u32 {
        (ENTRY_HEADER + payload).next_multiple_of(self.unit)
    }

    /// Number and fields of the page in a slot, when its header is whole and belongs there.
    fn page_in_slot<F: ReadNorFlash>(
        &self,
        flash: &mut F,
        slot: u32,
    ) -> Result<Option<(u32, Fields)>, F::Error> {
        let mut chunk = [0; CHUNK as usize];
        let header = first_mut(&mut chunk, self.first_offset());
        self.read(flash, slot, 0, header)?;
        let Some((covered, checksum)) = header
            .get(..PAGE_HEADER as usize)
            .and_then(|header| header.split_last_chunk::<4>())
        else {
            return Ok(None);
        };
        let mut words = covered
            .as_chunks::<4>()
            .0
            .iter()
            .map(|word| u32::from_le_bytes(*word));
        let (magic, number) = (words.next(), words.next().unwrap_or_default());
        let mut fields = [0; 4];
        fields
            .iter_mut()
            .zip(words)
            .for_each(|(field, word)| *field = word);
        let whole = u32::from_le_bytes(*checksum) == crc32_continue(0, covered);
        let here = magic == Some(self.magic) && number % self.region.pages == slot;
        Ok((whole && here).then_some((number, fields)))
    }

    /// Decides where the next entry goes, from what the flash shows.
    fn settle<F: ReadNorFlash>(&mut self, flash: &mut F) -> Result<(), F::Error> {
        let Some(newest) = self.newest else {
            return Ok(());
        };
        let next = newest.wrapping_add(1);
        let older = self
            .page_in_slot(flash, next % self.region.pages)?
            .is_some_and(|(number, _)| number < newest);
        if !older && self.last_trace(flash, next, 0, self.first_offset())? > 0 {
            return Ok(());
        }
        let mut tail = self.first_offset();
        while let Some(entry) = self.find(flash, newest, tail)? {
            tail = entry.end;
        }
        if tail == self.first_offset() {
            self.give_up_page();
        } else {
            let trace = self.last_trace(flash, newest, tail, self.region.page_bytes)?;
            let claimed = self
                .claim(flash, newest, tail)?
                .map_or(tail, |entry| entry.end);
            self.position = (trace.max(claimed) + CHUNK).next_multiple_of(self.unit);
            self.unsealed = self.position <= self.region.page_bytes;
        }
        Ok(())
    }

    /// End of the last unit between `from` and `to` that is not erased; `from` when all are.
    fn last_trace<F: ReadNorFlash>(
        &self,
        flash: &mut F,
        page: u32,
        from: u32,
        to: u32,
    ) -> Result<u32, F::Error> {
        let (mut offset, mut trace) = (from, from);
        while offset < to {
            let mut chunk = [0; CHUNK as usize];
            let length = CHUNK.min(to - offset);
            let bytes = first_mut(&mut chunk, length);
            self.read(flash, page, offset, bytes)?;
            if let Some(last) = bytes.iter().rposition(|&byte| byte != 0xff) {
                trace = offset + (last as u32 + 1).next_multiple_of(self.unit);
            }
            offset += length;
        }
        Ok(trace)
    }

    /// What stands at `offset`, as far as its header can be believed.
    fn claim<F: ReadNorFlash>(
        &self,
        flash: &mut F,
        page: u32,
        offset: u32,
    ) -> Result<Option<Entry>, F::Error> {
        if offset + ENTRY_HEADER > self.region.page_bytes {
            return Ok(None);
        }
        let mut header = [0; ENTRY_HEADER as usize];
        self.copy(flash, page, offset, &mut header)?;
        let [sync, kind, l0, l1, v0, v1, v2, v3, c0, c1, c2, c3] = header;
        let length = u16::from_le_bytes([l0, l1]);
        let end = offset + self.entry_bytes(u32::from(length));
        let (value, checksum) = (
            u32::from_le_bytes([v0, v1, v2, v3]),
            u32::from_le_bytes([c0, c1, c2, c3]),
        );
        let entry = Entry {
            kind,
            value,
            length,
            page,
            offset,
            checksum,
            end,
        };
        Ok((sync == SYNC && end <= self.region.page_bytes).then_some(entry))
    }

    fn entry_at<F: ReadNorFlash>(
        &self,
        flash: &mut F,
        page: u32,
        offset: u32,
    ) -> Result<Option<Entry>, F::Error> {
        let Some(entry) = self.claim(flash, page, offset)? else {
            return Ok(None);
        };
        let mut checksum = entry.checksum_of_place();
        let (mut from, mut left) = (offset + ENTRY_HEADER, usize::from(entry.length));
        while left > 0 {
            let mut chunk = [0; CHUNK as usize];
            let part = chunk
                .get_mut(..left.min(CHUNK as usize))
                .unwrap_or_default();
            from = self.copy(flash, page, from, part)?;
            checksum = crc32_continue(checksum, part);
            left -= part.len();
        }
        Ok((checksum == entry.checksum).then_some(entry))
    }

    /// Fills `bytes`, at most [`CHUNK`], a multiple of the unit.
    fn read<F: ReadNorFlash>(
        &self,
        flash: &mut F,
        page: u32,
        offset: u32,
        bytes: &mut [u8],
    ) -> Result<(), F::Error> {
        flash.read(self.region.address(page, offset), bytes)
    }

    /// Copies up to [`CHUNK`] bytes of any length; returns the offset behind them.
    fn copy<F: ReadNorFlash>(
        &self,
        flash: &mut F,
        page: u32,
        offset: u32,
        out: &mut [u8],
    ) -> Result<u32, F::Error> {
        let mut chunk = [0; CHUNK as usize];
        let length = out.len() as u32;
        let bytes = first_mut(&mut chunk, length.next_multiple_of(SMALLEST_UNIT));
        self.read(flash, page, offset, bytes)?;
        out.iter_mut()
            .zip(bytes.iter())
            .for_each(|(place, byte)| *place = *byte);
        Ok(offset + length)
    }
}

/// The first `length` bytes of a chunk; none when it is not that long.
fn first_mut(chunk: &mut [u8; CHUNK as usize], length: u32) -> &mut [u8] {
    chunk.get_mut(..length as usize).unwrap_or_default()
}

/// Why a log cannot be opened.
pub(crate) enum OpenError<E> {
    Region(RegionError),
    Flash(E),
}
