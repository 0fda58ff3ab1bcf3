//! The chip's own flash, in regions.
//!
//! Written through the controller's registers and read as memory. The HAL's driver takes the
//! controller and one slice for good; a device needs four regions and reads them in place.

use crate::memory::{
    PAGE_BYTES, PROVISION_START, RECORDS_BYTES, RECORDS_START, SLOT_BYTES, SLOTS_START,
    STATE_BYTES, STATE_START, WORD_BYTES,
};
use cortex_m::asm;
use dunlin_runtime::{MappedFlash, Regions};
use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};
use nrf52840_hal::pac::NVMC;

/// One region of flash, whole pages; no two overlap.
#[derive(Debug)]
pub struct Flash {
    start: usize,
    bytes: usize,
}

/// All of the board's storage.
#[derive(Debug)]
pub struct Storage {
    /// What a device is made of.
    pub regions: Regions<Flash>,
    /// The provisioning block, or erased flash.
    pub provision: &'static [u8],
}

/// Takes the controller, and with it the storage.
pub fn take(_controller: NVMC) -> Storage {
    let slot = |index: usize| Flash {
        start: SLOTS_START + index * SLOT_BYTES,
        bytes: SLOT_BYTES,
    };
    let regions = Regions {
        slots: [slot(0), slot(1)],
        state: Flash {
            start: STATE_START,
            bytes: STATE_BYTES,
        },
        records: Flash {
            start: RECORDS_START,
            bytes: RECORDS_BYTES,
        },
    };
    // SAFETY: this page is flash behind the code, mapped at all times, and no region that can be
    // written reaches into it.
    let provision =
        unsafe { core::slice::from_raw_parts(PROVISION_START as *const u8, PAGE_BYTES) };
    Storage { regions, provision }
}

#[derive(Clone, Copy)]
enum Mode {
    Read,
    Write,
    Erase,
}

/// Does `work` with the controller in a mode, and puts it back to reading.
fn with_controller(mode: Mode, work: impl FnOnce(&nrf52840_hal::pac::nvmc::RegisterBlock)) {
    // SAFETY: `take` has consumed the one handle to the controller, and only regions made there,
    // which are used one at a time on the one core, come here.
    let controller = unsafe { &*NVMC::ptr() };
    set_mode(controller, mode);
    work(controller);
    wait(controller);
    set_mode(controller, Mode::Read);
    asm::dsb();
}

fn set_mode(controller: &nrf52840_hal::pac::nvmc::RegisterBlock, mode: Mode) {
    controller.config.write(|w| match mode {
        Mode::Read => w.wen().ren(),
        Mode::Write => w.wen().wen(),
        Mode::Erase => w.wen().een(),
    });
    wait(controller);
}

fn wait(controller: &nrf52840_hal::pac::nvmc::RegisterBlock) {
    while controller.ready.read().ready().bit_is_clear() {}
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
            .mapped()
            .get(from..from + bytes.len())
            .ok_or(NorFlashErrorKind::OutOfBounds)?;
        bytes.copy_from_slice(content);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = WORD_BYTES;
    const ERASE_SIZE: usize = PAGE_BYTES;

    /// 85 ms a page, during which the processor stands still.
    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        check_erase(self, from, to)?;
        for page in (from as usize..to as usize).step_by(PAGE_BYTES) {
            let address = (self.start + page) as u32;
            with_controller(Mode::Erase, |controller| {
                // SAFETY: a page of this region, by the check above; nothing borrows it while
                // `self` is borrowed mutably.
                controller.erasepage().write(|w| unsafe { w.bits(address) });
            });
        }
        Ok(())
    }

    /// 41 µs a word.
    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        check_write(self, offset, bytes.len())?;
        let start = self.start + offset as usize;
        with_controller(Mode::Write, |controller| {
            for (index, word) in bytes.as_chunks::<WORD_BYTES>().0.iter().enumerate() {
                let address = (start + index * WORD_BYTES) as *mut u32;
                // SAFETY: an aligned word of this region, by the check above, which the controller
                // lets be written; nothing borrows it while `self` is borrowed mutably.
                unsafe { core::ptr::write_volatile(address, u32::from_le_bytes(*word)) };
                wait(controller);
            }
        });
        Ok(())
    }
}

impl MappedFlash for Flash {
    fn mapped(&self) -> &[u8] {
        // SAFETY: the region is flash, mapped at all times, and changes only through `&mut self`.
        unsafe { core::slice::from_raw_parts(self.start as *const u8, self.bytes) }
    }
}
