//! Clock, stack and firmware identity.

use crate::memory::STACK_BYTES;
use core::ptr::{addr_of, read_volatile, write_volatile};
use dunlin_runtime::Board;
use dunlin_wire::{Digest, FirmwareId};

const TIMER: usize = 0x4000_0000;
const TIMER_CONTROL: *mut u32 = TIMER as *mut u32;
const TIMER_VALUE: *mut u32 = (TIMER + 0x04) as *mut u32;
const TIMER_RELOAD: *mut u32 = (TIMER + 0x08) as *mut u32;
const TIMER_ENABLE: u32 = 1;
const TICKS_PER_US: u64 = 25;

const PAINT: u32 = 0xd011_d011;
/// Bytes below the stack pointer that painting leaves alone.
const PAINT_MARGIN_BYTES: usize = 256;

unsafe extern "C" {
    static _stack_start: u32;
    static __erodata: u32;
}

/// The board's 25 MHz timer and its painted stack.
#[derive(Debug)]
pub struct Mps2 {
    /// What the timer said when it was last looked at; it counts down.
    last: u32,
    ticks: u64,
}

impl Mps2 {
    /// Starts the timer and paints the stack below the caller.
    pub fn start() -> Self {
        paint_stack();
        // SAFETY: these are the registers of timer 0 on this board, used nowhere else.
        unsafe {
            write_volatile(TIMER_RELOAD, u32::MAX);
            write_volatile(TIMER_VALUE, u32::MAX);
            write_volatile(TIMER_CONTROL, TIMER_ENABLE);
        }
        Self {
            last: u32::MAX,
            ticks: 0,
        }
    }
}

impl Mps2 {
    /// Ticks of 40 ns since the start. Right as long as it is asked at least every 171 s, when the
    /// timer wraps; a sleep that is longer loses whole wraps.
    pub fn ticks(&mut self) -> u64 {
        // SAFETY: a read of timer 0's value register.
        let value = unsafe { read_volatile(TIMER_VALUE) };
        self.ticks += u64::from(self.last.wrapping_sub(value));
        self.last = value;
        self.ticks
    }
}

impl Board for Mps2 {
    /// As right as [`Mps2::ticks`].
    fn now_us(&mut self) -> u64 {
        self.ticks() / TICKS_PER_US
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
        // linker leaves STACK_BYTES below the stack's start to the stack.
        unsafe { write_volatile(word as *mut u32, PAINT) };
    }
}

/// A hash of this image's code and constants.
pub fn firmware_id() -> FirmwareId {
    let bytes = addr_of!(__erodata) as usize;
    // SAFETY: the image starts at address 0 of the code memory, which is mapped and never written;
    // the linker's symbol is where its constants end. The pointer is made by the black box from 0,
    // because address 0 is the vector table on this board and not a null pointer to be assumed away.
    let image = unsafe {
        core::slice::from_raw_parts(core::hint::black_box(4_usize) as *const u8, bytes - 4)
    };
    let Digest(digest) = Digest::of(image);
    let mut id = [0; 8];
    id.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    FirmwareId(id)
}
