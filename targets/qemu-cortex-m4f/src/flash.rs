//! RAM that behaves like NOR flash.

use crate::memory::{
    FLASH_BYTES, FLASH_START, MARK_BYTES, PAGE_BYTES, PROVISION_BYTES, RECORDS_BYTES, SLOT_BYTES,
    STATE_BYTES, WORD_BYTES,
};
use dunlin_runtime::{MappedFlash, Regions};
use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};

const ERASED: u8 = 0xff;
const MARK: &[u8] = b"DUNLIN FLASH 1";

/// One region.
#[derive(Debug)]
pub struct Flash {
    memory: &'static mut [u8],
}

/// All of the board's flash.
#[derive(Debug)]
pub struct Storage {
    /// What a device is made of.
    pub regions: Regions<Flash>,
    /// The provisioning block, or erased flash.
    pub provision: &'static [u8],
}

/// Takes the memory that stands for flash; `None` the second time.
///
/// Memory that was never used is erased first, all but the provisioning block.
pub fn take() -> Option<Storage> {
    cortex_m::singleton!(: bool = true)?;
    // SAFETY: the board has 16 MiB of RAM from FLASH_START on, the linker puts nothing there, and
    // the singleton above lets this line be reached once.
    let memory = unsafe { core::slice::from_raw_parts_mut(FLASH_START as *mut u8, FLASH_BYTES) };
    let (provision, rest) = memory.split_at_mut(PROVISION_BYTES);
    let (rest, mark) = rest.split_at_mut(rest.len() - MARK_BYTES);
    if !mark.starts_with(MARK) {
        rest.fill(ERASED);
        mark.fill(ERASED);
        mark.iter_mut().zip(MARK).for_each(|(to, from)| *to = *from);
    }
    let (state, rest) = rest.split_at_mut(STATE_BYTES);
    let (records, rest) = rest.split_at_mut(RECORDS_BYTES);
    let (first, second) = rest.split_at_mut(SLOT_BYTES);
    let regions = Regions {
        slots: [Flash { memory: first }, Flash { memory: second }],
        state: Flash { memory: state },
        records: Flash { memory: records },
    };
    Some(Storage { regions, provision })
}

impl ErrorType for Flash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        check_read(self, offset, bytes.len())?;
        let from = offset as usize;
        let content = self
            .memory
            .get(from..from + bytes.len())
            .ok_or(NorFlashErrorKind::OutOfBounds)?;
        bytes.copy_from_slice(content);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.memory.len()
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = WORD_BYTES;
    const ERASE_SIZE: usize = PAGE_BYTES;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        check_erase(self, from, to)?;
        let pages = self
            .memory
            .get_mut(from as usize..to as usize)
            .ok_or(NorFlashErrorKind::OutOfBounds)?;
        pages.fill(ERASED);
        Ok(())
    }

    /// As in flash, a write only clears bits.
    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        check_write(self, offset, bytes.len())?;
        let from = offset as usize;
        let place = self
            .memory
            .get_mut(from..from + bytes.len())
            .ok_or(NorFlashErrorKind::OutOfBounds)?;
        place
            .iter_mut()
            .zip(bytes)
            .for_each(|(to, from)| *to &= *from);
        Ok(())
    }
}

impl MappedFlash for Flash {
    fn mapped(&self) -> &[u8] {
        self.memory
    }
}
