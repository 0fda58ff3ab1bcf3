//! Timer, watchdog, stack and image.

use crate::memory::STACK_BYTES;
use core::convert::Infallible;
use core::ops::ControlFlow;
use core::ptr::addr_of;
use core::sync::atomic::AtomicU32;
use dunlin_firmware::{Clock, Counter, Platform, Stack};
use dunlin_runtime::Board;
use nrf52840_hal::pac::{TIMER0, WDT};
use nrf52840_hal::timer::{Periodic, Timer};
use nrf52840_hal::wdt::handles::Hdl0;
use nrf52840_hal::wdt::{Parts, Watchdog, WatchdogHandle, count};

/// Ticks of 1/32768 s without food after which the chip is reset: 30 s. An activation takes longest,
/// with the golden vectors of a slow model.
const WATCHDOG_TICKS: u32 = 30 * 32_768;

unsafe extern "C" {
    static _stack_start: u32;
    static __erodata: u32;
}

/// A 1 MHz timer; it begins anew after 2³² − 1 µs, which loses 1 µs in 71 minutes.
pub struct Microseconds(Timer<TIMER0, Periodic>);

impl Microseconds {
    /// Starts the timer.
    pub fn start(timer: TIMER0) -> Self {
        let mut timer = Timer::periodic(timer);
        timer.start(u32::MAX);
        Self(timer)
    }
}

impl Counter for Microseconds {
    const TICKS_PER_US: u32 = 1;

    fn count(&self) -> u32 {
        self.0.read()
    }
}

/// The board but for its link, its flash and its sensor.
pub struct Nrf52840 {
    clock: &'static Clock<Microseconds>,
    stack: Stack<'static>,
    watchdog: Option<WatchdogHandle<Hdl0>>,
}

impl Nrf52840 {
    /// Paints the stack below the caller and starts the watchdog.
    pub fn start(clock: &'static Clock<Microseconds>, watchdog: WDT) -> Self {
        let top = addr_of!(_stack_start) as usize;
        let in_use = top - cortex_m::register::msp::read() as usize;
        // SAFETY: these words are the stack's, in RAM; the firmware's variables, which `cargo xtask
        // size` holds to their budget, end far below. They are only looked at, and below the stack
        // pointer written, as atomics.
        let words = unsafe {
            core::slice::from_raw_parts(
                (top - STACK_BYTES) as *const AtomicU32,
                STACK_BYTES / size_of::<AtomicU32>(),
            )
        };
        Self {
            clock,
            stack: Stack::paint(words, in_use),
            watchdog: start_watchdog(watchdog),
        }
    }
}

/// A watchdog outlives a reset by software; the one that runs already is fed on. It stands still while
/// a debugger holds the processor.
fn start_watchdog(watchdog: WDT) -> Option<WatchdogHandle<Hdl0>> {
    let parts: Parts<(WatchdogHandle<Hdl0>,)> = match Watchdog::try_new(watchdog) {
        Ok(mut idle) => {
            idle.set_lfosc_ticks(WATCHDOG_TICKS);
            idle.run_during_debug_halt(false);
            idle.activate::<count::One>()
        }
        Err(running) => Watchdog::try_recover::<count::One>(running).ok()?,
    };
    Some(parts.handles.0)
}

impl Board for Nrf52840 {
    fn now_us(&mut self) -> u64 {
        self.clock.now_us()
    }

    fn stack_used_bytes(&mut self) -> u32 {
        self.stack.used_bytes()
    }
}

impl Platform for Nrf52840 {
    type End = Infallible;

    fn feed_watchdog(&mut self) {
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.pet();
        }
    }

    fn rest(&mut self) -> ControlFlow<Infallible> {
        ControlFlow::Continue(())
    }
}

/// This image's code and constants.
pub fn image() -> &'static [u8] {
    let end = addr_of!(__erodata) as usize;
    // SAFETY: the image lies in flash from address 0 to the linker's symbol, is mapped at all times
    // and never written by this firmware. The slice starts behind the first word, because a pointer
    // to address 0 would be a null pointer.
    unsafe { core::slice::from_raw_parts(size_of::<u32>() as *const u8, end - size_of::<u32>()) }
}
