//! A region that holds one bundle, and the transfer that fills it.
//!
//! ```text
//! ├──────────── first erase page ────────────┼─────────────── the rest ──────────────┤
//! │ announcement │ mark │ mark │ … (erased)  │ bundle, written page after page        │
//! ```
//!
//! The announcement says which bundle comes. A mark says that a stretch of pages is whole; after a
//! restart the transfer goes on behind the furthest mark, and pages are erased right before they
//! are written. So a cut at any write costs one stretch of the transfer, and a bundle is complete
//! only when all of its bytes were written after its announcement.

use crate::flash::{
    self, CELL_BYTES, CONTENT_BYTES, FlashFault, MAX_WORD_BYTES, MappedFlash, check_capacity,
    check_word, is_erased,
};
use dunlin_wire::frame::crc32;
use dunlin_wire::{BundleId, Digest};

const MAGIC: [u8; 4] = *b"SLT1";
const MARK_BYTES: usize = MAX_WORD_BYTES;

/// Which bundle a slot is being filled with: its length and the digest of its signed head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Announcement {
    pub total_bytes: u32,
    pub digest: [u8; 32],
}

impl Announcement {
    pub fn bundle(&self) -> BundleId {
        BundleId(Digest(self.digest).prefix())
    }
}

/// Why bytes were not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TransferError {
    BundleTooLong { limit: u32, got: u32 },
    NoTransfer,
    TooManyTransfers { limit: u32 },
    WrongOffset { held: u32, got: u32 },
    PastTheEnd { total: u32, got: u32 },
    Incomplete { total: u32, held: u32 },
    Flash(FlashFault),
}

impl From<FlashFault> for TransferError {
    fn from(fault: FlashFault) -> Self {
        Self::Flash(fault)
    }
}

#[derive(Debug)]
pub(crate) struct Slot<F> {
    flash: F,
    announced: Option<Announcement>,
    held_bytes: u32,
}

impl<F: MappedFlash> Slot<F> {
    const PAGE: usize = F::ERASE_SIZE;

    /// Finds what the slot holds, complete or half-way.
    pub fn open(flash: F) -> Result<Self, FlashFault> {
        check_word::<F>()?;
        check_capacity(2 * Self::PAGE, flash.capacity())?;
        check_capacity(CELL_BYTES + MARK_BYTES, Self::PAGE)?;
        let mut slot = Self {
            flash,
            announced: None,
            held_bytes: 0,
        };
        slot.announced = slot.read_announcement();
        slot.held_bytes = slot.marked_bytes();
        Ok(slot)
    }

    /// Bytes of the longest bundle.
    pub fn bundle_bytes(&self) -> u32 {
        u32::try_from(self.flash.capacity() - Self::PAGE).unwrap_or(u32::MAX)
    }

    /// The bundle, complete and not verified.
    pub fn bundle(&self) -> Result<&[u8], TransferError> {
        let announced = self.announced.ok_or(TransferError::NoTransfer)?;
        let (total, held) = (announced.total_bytes, self.held_bytes);
        if held < total {
            return Err(TransferError::Incomplete { total, held });
        }
        self.content()
            .get(..total as usize)
            .ok_or(TransferError::NoTransfer)
    }

    /// The bundle that the slot holds or is being filled with.
    pub fn announced(&self) -> Option<Announcement> {
        self.announced
    }

    /// Bytes of it that are held.
    pub fn held_bytes(&self) -> u32 {
        self.held_bytes
    }

    /// Whether a bundle of this length fits.
    pub fn check_length(&self, total_bytes: u32) -> Result<(), TransferError> {
        let limit = self.bundle_bytes();
        if total_bytes > limit {
            return Err(TransferError::BundleTooLong {
                limit,
                got: total_bytes,
            });
        }
        Ok(())
    }

    /// Lets go of what the slot holds and announces another bundle.
    pub fn begin(&mut self, announcement: Announcement) -> Result<(), TransferError> {
        self.check_length(announcement.total_bytes)?;
        self.forget()?;
        self.write_announcement(announcement)?;
        Ok(())
    }

    /// Lets go of what the slot holds.
    pub fn forget(&mut self) -> Result<(), FlashFault> {
        self.disregard();
        flash::erase(&mut self.flash, 0, Self::PAGE)
    }

    /// Lets go of what the slot holds until the next start, and writes nothing.
    pub fn disregard(&mut self) {
        (self.announced, self.held_bytes) = (None, 0);
    }

    /// Takes the next bytes; whole words only, until the bundle's end. Returns how much is held.
    pub fn put(&mut self, offset: u32, bytes: &[u8]) -> Result<u32, TransferError> {
        let total = self.announced.ok_or(TransferError::NoTransfer)?.total_bytes;
        let end = u64::from(offset) + bytes.len() as u64;
        if offset != self.held_bytes {
            return Err(TransferError::WrongOffset {
                held: self.held_bytes,
                got: offset,
            });
        }
        if end > u64::from(total) {
            return Err(TransferError::PastTheEnd {
                total,
                got: u32::try_from(end).unwrap_or(u32::MAX),
            });
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let to_page_end = Self::PAGE - self.held_bytes as usize % Self::PAGE;
            let (now, later) = rest.split_at(rest.len().min(to_page_end));
            let taken = self.put_in_page(now, total)?;
            if taken < now.len() {
                break;
            }
            rest = later;
        }
        Ok(self.held_bytes)
    }

    /// Writes bytes that stay inside one page; erases it first, marks it afterwards. Returns how
    /// many were taken: a word that is not full waits for the rest of it.
    fn put_in_page(&mut self, bytes: &[u8], total: u32) -> Result<usize, FlashFault> {
        let at = Self::PAGE + self.held_bytes as usize;
        let is_last = self.held_bytes as usize + bytes.len() == total as usize;
        if bytes.len() < F::WRITE_SIZE && !is_last {
            return Ok(0);
        }
        if (self.held_bytes as usize).is_multiple_of(Self::PAGE) {
            flash::erase(&mut self.flash, at, at + Self::PAGE)?;
        }
        let (words, tail) = bytes.split_at(bytes.len() / F::WRITE_SIZE * F::WRITE_SIZE);
        flash::write(&mut self.flash, at, words)?;
        let mut taken = words.len();
        if !tail.is_empty() && is_last {
            let mut word = [0xff; MAX_WORD_BYTES];
            word.iter_mut().zip(tail).for_each(|(to, from)| *to = *from);
            flash::write(
                &mut self.flash,
                at + taken,
                word.get(..F::WRITE_SIZE).unwrap_or_default(),
            )?;
            taken = bytes.len();
        }
        self.held_bytes += taken as u32;
        self.mark(total)?;
        Ok(taken)
    }

    /// Marks the stretch that has just been completed, if one has.
    fn mark(&mut self, total: u32) -> Result<(), FlashFault> {
        if self.held_bytes != total
            && !(self.held_bytes as usize).is_multiple_of(self.stretch_bytes())
        {
            return Ok(());
        }
        let places = self.places();
        let Some(free) = places.chunks_exact(MARK_BYTES).position(is_erased) else {
            self.forget()?;
            return Err(FlashFault::Failed);
        };
        flash::write(
            &mut self.flash,
            CELL_BYTES + free * MARK_BYTES,
            &encode_mark(self.held_bytes),
        )
    }

    fn write_announcement(&mut self, announcement: Announcement) -> Result<(), FlashFault> {
        let mut content = [0; CONTENT_BYTES];
        let fields = MAGIC
            .into_iter()
            .chain(announcement.total_bytes.to_le_bytes())
            .chain(announcement.digest);
        content
            .iter_mut()
            .zip(fields)
            .for_each(|(to, from)| *to = from);
        flash::write(&mut self.flash, 0, &flash::seal(&content))?;
        self.announced = Some(announcement);
        Ok(())
    }

    fn read_announcement(&self) -> Option<Announcement> {
        let content = flash::open(self.flash.mapped().get(..CELL_BYTES)?)?;
        let rest = content.strip_prefix(&MAGIC)?;
        let (total, rest) = rest.split_first_chunk()?;
        let total_bytes = u32::from_le_bytes(*total);
        let announcement = Announcement {
            total_bytes,
            digest: *rest.first_chunk()?,
        };
        (total_bytes <= self.bundle_bytes()).then_some(announcement)
    }

    /// What the furthest whole mark vouches for.
    fn marked_bytes(&self) -> u32 {
        let total = self.announced.map_or(0, |announced| announced.total_bytes);
        let marks = self
            .places()
            .chunks_exact(MARK_BYTES)
            .filter_map(decode_mark);
        marks.filter(|&held| held <= total).max().unwrap_or(0)
    }

    /// Bytes that one mark stands for: whole pages, so many that half of the places suffice and the
    /// rest is left for marks that a cut spoils.
    fn stretch_bytes(&self) -> usize {
        let places = (self.places().len() / MARK_BYTES / 2).max(1);
        let pages = self.flash.capacity() / Self::PAGE;
        pages.div_ceil(places).max(1) * Self::PAGE
    }

    fn places(&self) -> &[u8] {
        self.flash
            .mapped()
            .get(CELL_BYTES..Self::PAGE)
            .unwrap_or_default()
    }

    fn content(&self) -> &[u8] {
        self.flash.mapped().get(Self::PAGE..).unwrap_or_default()
    }
}

fn encode_mark(held_bytes: u32) -> [u8; MARK_BYTES] {
    let mut mark = [0; MARK_BYTES];
    let fields = held_bytes
        .to_le_bytes()
        .into_iter()
        .chain(crc32(&held_bytes.to_le_bytes()).to_le_bytes());
    mark.iter_mut()
        .zip(fields)
        .for_each(|(to, from)| *to = from);
    mark
}

fn decode_mark(mark: &[u8]) -> Option<u32> {
    let (held, rest) = mark.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let is_whole = *crc == crc32(held).to_le_bytes() && rest.iter().all(|&byte| byte == 0);
    is_whole.then_some(u32::from_le_bytes(*held))
}
