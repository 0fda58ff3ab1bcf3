//! Clock, stack and firmware identity.

use crate::memory::STACK_BYTES;
use core::ptr::{addr_of, read_volatile, write_volatile};
use dunlin_runtime::Board;
use dunlin_wire::{Digest, FirmwareId};
use nrf52840_hal::pac::TIMER0;
use nrf52840_hal::timer::{OneShot, Timer};

const PAINT: u32 = 0xd011_d011;
/// Bytes below the stack pointer that painting leaves alone.
const PAINT_MARGIN_BYTES: usize = 256;

unsafe extern "C" {
    static _stack_start: u32;
    static __erodata: u32;
}

/// A 1 MHz timer and the painted stack.
pub struct Nrf52840 {
    timer: Timer<TIMER0, OneShot>,
    last: u32,
    now_us: u64,
}

impl Nrf52840 {
    /// Starts the timer and paints the stack below the caller.
    pub fn start(timer: TIMER0) -> Self {
        paint_stack();
        let mut timer = Timer::one_shot(timer);
        timer.start(u32::MAX);
        Self {
            timer,
            last: 0,
            now_us: 0,
        }
    }
}

impl Board for Nrf52840 {
    /// The timer ends after 71 minutes and is started anew; what passes in between the two is less
    /// than a microsecond.
    fn now_us(&mut self) -> u64 {
        if self.timer.reset_if_finished() {
            self.now_us += u64::from(u32::MAX - self.last);
            self.last = 0;
            self.timer.start(u32::MAX);
        }
        let value = self.timer.read();
        self.now_us += u64::from(value.saturating_sub(self.last));
        self.last = value;
        self.now_us
    }

    fn stack_used_bytes(&mut self) -> u32 {
        let top = stack_top();
        let untouched = (top - STACK_BYTES..top)
            .step_by(size_of::<u32>())
            .take_while(|&word| {
                // SAFETY: these words are the stack's, in RAM; reading them has no effect.
                unsafe { read_volatile(word as *const u32) == PAINT }
            });
        (STACK_BYTES - size_of::<u32>() * untouched.count()) as u32
    }
}

fn stack_top() -> usize {
    addr_of!(_stack_start) as usize
}

fn paint_stack() {
    let painted_end = cortex_m::register::msp::read() as usize - PAINT_MARGIN_BYTES;
    for word in (stack_top() - STACK_BYTES..painted_end).step_by(size_of::<u32>()) {
        // SAFETY: these words are below the stack pointer, so nothing is kept there yet, and the
        // firmware's variables, which `cargo xtask size` holds to their budget, end far below.
        unsafe { write_volatile(word as *mut u32, PAINT) };
    }
}

/// A hash of this image's code and constants.
pub fn firmware_id() -> FirmwareId {
    let end = addr_of!(__erodata) as usize;
    // SAFETY: the image lies in flash from address 0 to the linker's symbol, is mapped at all times
    // and never written by this firmware. The slice starts behind the first word, because a pointer
    // to address 0 would be a null pointer.
    let image = unsafe {
        core::slice::from_raw_parts(size_of::<u32>() as *const u8, end - size_of::<u32>())
    };
    let Digest(digest) = Digest::of(image);
    let mut id = [0; 8];
    id.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    FirmwareId(id)
}
