//! Which pages of a flash a log has, and whether it can live there.

use embedded_storage::nor_flash::NorFlash;

use crate::log::{self, CHUNK, SMALLEST_UNIT};

/// Pages of a flash that one log has to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Address of the first page; a multiple of the flash's erase size.
    pub start: u32,
    /// Bytes of a page; a multiple of the flash's erase size.
    pub page_bytes: u32,
    /// Number of pages, at least 2.
    pub pages: u32,
}

/// Why a region cannot hold a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegionError {
    /// Start or page size is not a multiple of the erase size, or the page size not one of 32 bytes,
    /// or smaller than 128.
    PageSize {
        /// Erase size of the flash.
        erase_bytes: usize,
    },
    /// Fewer than two pages.
    TooFewPages,
    /// The flash is too small for two pages that each hold the longest record.
    TooSmall {
        /// Bytes of two such pages.
        needed: usize,
        /// Bytes of the flash.
        got: usize,
    },
    /// It ends beyond the flash.
    OutOfBounds {
        /// Bytes of the flash.
        capacity: usize,
    },
    /// The flash writes in units that do not divide 32 bytes, or reads in units that do not divide 4.
    Unit {
        /// Write size of the flash.
        write_bytes: usize,
        /// Read size of the flash.
        read_bytes: usize,
    },
}

impl core::fmt::Display for RegionError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::PageSize { erase_bytes } => {
                write!(
                    f,
                    "pages must be whole multiples of 32 and of {erase_bytes} bytes and at least 128"
                )
            }
            Self::TooFewPages => write!(f, "a log needs two pages"),
            Self::TooSmall { needed, got } => write!(
                f,
                "two pages that each hold the longest record take {needed} bytes; the region has {got}"
            ),
            Self::OutOfBounds { capacity } => {
                write!(f, "the region ends beyond the flash's {capacity} bytes")
            }
            Self::Unit {
                write_bytes,
                read_bytes,
            } => {
                write!(
                    f,
                    "flash that writes {write_bytes} and reads {read_bytes} bytes at a time is not supported"
                )
            }
        }
    }
}

impl core::error::Error for RegionError {}

impl Region {
    /// All of a flash, in pages of as few erase units as hold one record of `record_bytes`.
    ///
    /// # Errors
    /// [`RegionError::TooSmall`].
    pub fn whole<F: NorFlash>(flash: &F, record_bytes: usize) -> Result<Self, RegionError> {
        let (erase, got) = (F::ERASE_SIZE.max(1), flash.capacity());
        let page = log::page_bytes::<F>(record_bytes).next_multiple_of(erase);
        let too_small = RegionError::TooSmall {
            needed: 2 * page,
            got,
        };
        let pages = Some(got / page).filter(|&pages| pages >= 2);
        match (u32::try_from(page), pages.map(u32::try_from)) {
            (Ok(page_bytes), Some(Ok(pages))) => Ok(Self {
                start: 0,
                page_bytes,
                pages,
            }),
            _ => Err(too_small),
        }
    }

    /// Whether a log can live here.
    pub(crate) fn check<F: NorFlash>(&self, flash: &F) -> Result<(), RegionError> {
        let erase = F::ERASE_SIZE as u32;
        let whole = self.page_bytes.is_multiple_of(erase) && self.page_bytes.is_multiple_of(CHUNK);
        if self.page_bytes < 128 || !whole || !self.start.is_multiple_of(erase) {
            return Err(RegionError::PageSize {
                erase_bytes: F::ERASE_SIZE,
            });
        }
        if self.pages < 2 {
            return Err(RegionError::TooFewPages);
        }
        let end = u64::from(self.start) + u64::from(self.page_bytes) * u64::from(self.pages);
        if end > flash.capacity() as u64 || end > u64::from(u32::MAX) {
            return Err(RegionError::OutOfBounds {
                capacity: flash.capacity(),
            });
        }
        let divides = |size: usize, whole: u32| (whole as usize).checked_rem(size) == Some(0);
        if !divides(F::WRITE_SIZE, CHUNK) || !divides(F::READ_SIZE, SMALLEST_UNIT) {
            return Err(RegionError::Unit {
                write_bytes: F::WRITE_SIZE,
                read_bytes: F::READ_SIZE,
            });
        }
        Ok(())
    }

    /// Address of a place in a page, whose number may go on beyond the region.
    pub(crate) fn address(&self, page: u32, offset: u32) -> u32 {
        self.start + (page % self.pages) * self.page_bytes + offset
    }
}
