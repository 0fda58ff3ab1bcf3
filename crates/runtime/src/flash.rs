//! What the runtime wants of flash memory, and small checked pieces written to it.

use dunlin_wire::frame::crc32;
use embedded_storage::nor_flash::NorFlash;

/// Flash that can be read in place, as memory.
///
/// One value is one region; a chip with several regions gives several values. Flash that is not
/// mapped into memory can keep a copy of the region in RAM and return that.
pub trait MappedFlash: NorFlash {
    /// The region, [`capacity`](embedded_storage::nor_flash::ReadNorFlash::capacity) bytes, or only
    /// its pages up to the last one ever written: what lies behind the end is erased.
    fn mapped(&self) -> &[u8];
}

/// The regions a device needs, each a whole number of erase pages.
#[derive(Debug)]
pub struct Regions<F> {
    /// Two regions for bundles: one runs while the other is written. A slot holds bundles of its
    /// size less one erase page.
    pub slots: [F; 2],
    /// Which slot runs; two erase pages.
    pub state: F,
    /// Records; at least two pages, each of as many erase pages as hold the longest record, which has
    /// [`MAX_RECORD_BYTES`](dunlin_wire::limits::MAX_RECORD_BYTES).
    pub records: F,
}

/// Why a region cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlashFault {
    /// Reading, writing or erasing failed.
    Failed,
    /// The region is smaller than needed; both in bytes.
    TooSmall {
        /// Bytes needed.
        needed: usize,
        /// Bytes the region has.
        got: usize,
    },
    /// A write takes more bytes at once than the longest this crate knows; both in bytes.
    WordTooLong {
        /// The longest known.
        limit: usize,
        /// What the flash says.
        got: usize,
    },
}

impl core::fmt::Display for FlashFault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Failed => f.write_str("the flash memory failed"),
            Self::TooSmall { needed, got } => write!(
                f,
                "a flash region of {got} bytes is smaller than the {needed} needed"
            ),
            Self::WordTooLong { limit, got } => write!(
                f,
                "flash is written {got} bytes at a time, at most {limit} are known"
            ),
        }
    }
}

impl core::error::Error for FlashFault {}

/// Bytes of a cell: a small record that is either whole or not there.
pub(crate) const CELL_BYTES: usize = 64;
/// Longest write a flash may want at once; a cell and a mark are a whole number of them.
pub(crate) const MAX_WORD_BYTES: usize = 32;
/// Bytes of a cell that are its content; the CRC follows.
pub(crate) const CONTENT_BYTES: usize = CELL_BYTES - 4;
const ERASED: u8 = 0xff;

pub(crate) type Cell = [u8; CELL_BYTES];

/// A cell with this content and the CRC that makes it valid.
pub(crate) fn seal(content: &[u8; CONTENT_BYTES]) -> Cell {
    let mut cell = [0; CELL_BYTES];
    let (head, crc) = cell.split_at_mut(CONTENT_BYTES);
    head.copy_from_slice(content);
    crc.copy_from_slice(&crc32(content).to_le_bytes());
    cell
}

/// The content of a valid cell.
pub(crate) fn open(cell: &[u8]) -> Option<&[u8; CONTENT_BYTES]> {
    let (content, rest) = cell.split_first_chunk::<CONTENT_BYTES>()?;
    (rest == crc32(content).to_le_bytes()).then_some(content)
}

pub(crate) fn is_erased(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == ERASED)
}

pub(crate) fn check_word<F: NorFlash>() -> Result<(), FlashFault> {
    if F::WRITE_SIZE > MAX_WORD_BYTES || !MAX_WORD_BYTES.is_multiple_of(F::WRITE_SIZE.max(1)) {
        return Err(FlashFault::WordTooLong {
            limit: MAX_WORD_BYTES,
            got: F::WRITE_SIZE,
        });
    }
    Ok(())
}

pub(crate) fn check_capacity(needed: usize, got: usize) -> Result<(), FlashFault> {
    if got < needed {
        Err(FlashFault::TooSmall { needed, got })
    } else {
        Ok(())
    }
}

pub(crate) fn write<F: NorFlash>(
    flash: &mut F,
    offset: usize,
    bytes: &[u8],
) -> Result<(), FlashFault> {
    let offset = u32::try_from(offset).map_err(|_| FlashFault::Failed)?;
    flash.write(offset, bytes).map_err(|_| FlashFault::Failed)
}

/// Erases the pages from `from` to before `to`, both multiples of the page.
pub(crate) fn erase<F: NorFlash>(flash: &mut F, from: usize, to: usize) -> Result<(), FlashFault> {
    let (from, to) = (u32::try_from(from), u32::try_from(to));
    let (Ok(from), Ok(to)) = (from, to) else {
        return Err(FlashFault::Failed);
    };
    flash.erase(from, to).map_err(|_| FlashFault::Failed)
}
