//! Timer, stack and image.

use crate::memory::STACK_BYTES;
use crate::uart::Uart;
use core::convert::Infallible;
use core::ops::ControlFlow;
use core::ptr::{addr_of, read_volatile, write_volatile};
use core::sync::atomic::AtomicU32;
use dunlin_firmware::{Clock, Counter, Platform, Stack};
use dunlin_runtime::Board;

const TIMER: usize = 0x4000_0000;
const TIMER_CONTROL: *mut u32 = TIMER as *mut u32;
const TIMER_VALUE: *mut u32 = (TIMER + 0x04) as *mut u32;
const TIMER_RELOAD: *mut u32 = (TIMER + 0x08) as *mut u32;
const TIMER_ENABLE: u32 = 1;

unsafe extern "C" {
    static _stack_start: u32;
    static __erodata: u32;
}

/// Timer 0, 25 MHz: wraps after 171 s, and a sleep that is longer loses whole wraps.
#[derive(Debug)]
pub struct Timer(());

impl Timer {
    fn start() -> Self {
        // SAFETY: these are the registers of timer 0 on this board, used nowhere else.
        unsafe {
            write_volatile(TIMER_RELOAD, u32::MAX);
            write_volatile(TIMER_VALUE, u32::MAX);
            write_volatile(TIMER_CONTROL, TIMER_ENABLE);
        }
        Self(())
    }
}

impl Counter for Timer {
    const TICKS_PER_US: u32 = 25;

    fn count(&self) -> u32 {
        // SAFETY: a read of timer 0's value register. The timer counts down.
        !unsafe { read_volatile(TIMER_VALUE) }
    }
}

/// The board but for its link and flash.
#[derive(Debug)]
pub struct Mps2 {
    /// Time since the start.
    pub clock: Clock<Timer>,
    stack: Stack<'static>,
    uart: Uart,
}

impl Mps2 {
    /// Starts the timer and paints the stack below the caller.
    pub fn start(uart: Uart) -> Self {
        let top = addr_of!(_stack_start) as usize;
        let in_use = top - cortex_m::register::msp::read() as usize;
        // SAFETY: these words are the stack's, in RAM, which the linker leaves to it; they are only
        // looked at, and below the stack pointer written, as atomics.
        let words = unsafe {
            core::slice::from_raw_parts(
                (top - STACK_BYTES) as *const AtomicU32,
                STACK_BYTES / size_of::<AtomicU32>(),
            )
        };
        Self {
            stack: Stack::paint(words, in_use),
            clock: Clock::new(Timer::start()),
            uart,
        }
    }
}

impl Board for Mps2 {
    fn now_us(&mut self) -> u64 {
        self.clock.now_us()
    }

    fn stack_used_bytes(&mut self) -> u32 {
        self.stack.used_bytes()
    }
}

impl Platform for Mps2 {
    type End = Infallible;

    /// The board's watchdog is not used: nothing would be learned from an emulator that resets.
    fn feed_watchdog(&mut self) {}

    fn rest(&mut self) -> ControlFlow<Infallible> {
        self.uart.sleep();
        ControlFlow::Continue(())
    }
}

/// This image's code and constants.
pub fn image() -> &'static [u8] {
    let end = addr_of!(__erodata) as usize;
    // SAFETY: the image starts at address 0 of the code memory, which is mapped and never written;
    // the linker's symbol is where its constants end. The slice starts behind the first word, because
    // a pointer to address 0 would be a null pointer.
    unsafe { core::slice::from_raw_parts(size_of::<u32>() as *const u8, end - size_of::<u32>()) }
}
