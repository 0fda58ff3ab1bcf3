//! The chip's own flash: the controller's registers.
//!
//! The HAL's driver takes the controller and one slice for good, and erases whole pages; a device
//! needs four regions, reads them in place, and has a sensor that cannot wait 85 ms.

use crate::memory::{PAGE_BYTES, STORAGE, STORAGE_START, WORD_BYTES};
use core::ops::Range;
use cortex_m::asm;
use dunlin_firmware::{Chip, Meanwhile, Partition};
use dunlin_runtime::Regions;
use nrf52840_hal::pac::NVMC;
use nrf52840_hal::pac::nvmc::RegisterBlock;

/// Milliseconds of one slice of an erase, during which the processor stands still.
const SLICE_MS: u8 = 10;
/// Milliseconds of slices after which a page is erased.
const ERASE_MS: usize = 85;

/// One region of flash, whole pages; no two overlap.
#[derive(Debug)]
pub struct Stretch {
    start: usize,
    bytes: usize,
}

/// Takes the controller, and with it the provisioning block and the regions.
pub fn take<W: Meanwhile + Clone>(
    controller: NVMC,
    meanwhile: &W,
) -> (&'static [u8], Regions<Partition<Stretch, W>>) {
    controller
        .erasepagepartialcfg
        // SAFETY: any duration of up to 127 ms may be written.
        .write(|w| unsafe { w.duration().bits(SLICE_MS) });
    let chip = |place: Range<usize>| Stretch {
        start: STORAGE_START + place.start,
        bytes: place.len(),
    };
    // SAFETY: this page is flash behind the code, mapped at all times, and no region that can be
    // written reaches into it.
    let provision =
        unsafe { core::slice::from_raw_parts(STORAGE_START as *const u8, STORAGE.provision().end) };
    (provision, STORAGE.regions(chip, meanwhile))
}

#[derive(Clone, Copy)]
enum Mode {
    Read,
    Write,
    Erase,
}

/// Does `work` with the controller in a mode, and puts it back to reading.
fn with_controller(mode: Mode, work: impl FnOnce(&RegisterBlock)) {
    // SAFETY: `take` has consumed the one handle to the controller, and only regions made there,
    // which are used one at a time on the one core, come here.
    let controller = unsafe { &*NVMC::ptr() };
    set_mode(controller, mode);
    work(controller);
    wait(controller);
    set_mode(controller, Mode::Read);
    asm::dsb();
}

fn set_mode(controller: &RegisterBlock, mode: Mode) {
    controller.config.write(|w| match mode {
        Mode::Read => w.wen().ren(),
        Mode::Write => w.wen().wen(),
        Mode::Erase => w.wen().een(),
    });
    wait(controller);
}

fn wait(controller: &RegisterBlock) {
    while controller.ready.read().ready().bit_is_clear() {}
}

impl Chip for Stretch {
    const PAGE_BYTES: usize = PAGE_BYTES;
    const WORD_BYTES: usize = WORD_BYTES;
    const ERASE_SLICES: usize = ERASE_MS.div_ceil(SLICE_MS as usize);

    fn mapped(&self) -> &[u8] {
        // SAFETY: the region is flash, mapped at all times, and changes only through `&mut self`.
        unsafe { core::slice::from_raw_parts(self.start as *const u8, self.bytes) }
    }

    fn erase_slice(&mut self, offset: usize) {
        let address = (self.start + offset) as u32;
        with_controller(Mode::Erase, |controller| {
            controller
                .erasepagepartial
                // SAFETY: a page of this region, as the caller has checked; nothing borrows it while
                // `self` is borrowed mutably.
                .write(|w| unsafe { w.bits(address) });
        });
    }

    /// 41 µs a word.
    fn program(&mut self, offset: usize, bytes: &[u8]) {
        let start = self.start + offset;
        with_controller(Mode::Write, |controller| {
            for (index, word) in bytes.as_chunks::<WORD_BYTES>().0.iter().enumerate() {
                let address = (start + index * WORD_BYTES) as *mut u32;
                // SAFETY: an aligned word of this region, as the caller has checked, which the
                // controller lets be written; nothing borrows it while `self` is borrowed mutably.
                unsafe { core::ptr::write_volatile(address, u32::from_le_bytes(*word)) };
                wait(controller);
            }
        });
    }
}
