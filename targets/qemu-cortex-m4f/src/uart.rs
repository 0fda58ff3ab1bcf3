//! UART 0 of the CMSDK, polled.

use core::convert::Infallible;
use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::NVIC;
use dunlin_firmware::ByteLine;

const BASE: usize = 0x4000_4000;
const DATA: usize = BASE;
const STATE: usize = BASE + 0x04;
const CONTROL: usize = BASE + 0x08;
const INTERRUPT_CLEAR: usize = BASE + 0x0c;
const BAUD_DIVISOR: usize = BASE + 0x10;

const STATE_TRANSMIT_FULL: u32 = 1 << 0;
const STATE_RECEIVE_FULL: u32 = 1 << 1;
const CONTROL_TRANSMIT: u32 = 1 << 0;
const CONTROL_RECEIVE: u32 = 1 << 1;
const CONTROL_RECEIVE_INTERRUPT: u32 = 1 << 3;
const INTERRUPT_RECEIVE: u32 = 1 << 1;
/// 25 MHz over 115 200; the emulator does not wait for it.
const DIVISOR: u32 = 217;

/// A byte has come. Never handled: it only ends [`Uart::sleep`].
#[derive(Debug, Clone, Copy)]
struct Received;

// SAFETY: interrupt 0 is UART 0's receive interrupt on this board, and the number never changes.
unsafe impl InterruptNumber for Received {
    fn number(self) -> u16 {
        0
    }
}

fn read(register: usize) -> u32 {
    // SAFETY: only called with the addresses above, which are UART 0's registers on this board.
    unsafe { core::ptr::read_volatile(register as *const u32) }
}

fn write(register: usize, value: u32) {
    // SAFETY: only called with the addresses above, which are UART 0's registers on this board.
    unsafe { core::ptr::write_volatile(register as *mut u32, value) }
}

/// The UART; a handle without state.
#[derive(Debug, Clone, Copy)]
pub struct Uart(());

impl Uart {
    /// Switches the UART on, and interrupts off: they only end [`Uart::sleep`].
    pub fn start() -> Self {
        cortex_m::interrupt::disable();
        write(BAUD_DIVISOR, DIVISOR);
        write(
            CONTROL,
            CONTROL_TRANSMIT | CONTROL_RECEIVE | CONTROL_RECEIVE_INTERRUPT,
        );
        // SAFETY: interrupts are disabled and nothing enables them, so no handler can run.
        unsafe { NVIC::unmask(Received) };
        Self(())
    }

    /// Waits for a byte, unless there is one or bytes wait to be sent.
    pub fn sleep(&self) {
        if self.has_byte() || !self.has_room() {
            return;
        }
        cortex_m::asm::wfi();
        write(INTERRUPT_CLEAR, INTERRUPT_RECEIVE);
        NVIC::unpend(Received);
    }

    fn has_byte(&self) -> bool {
        read(STATE) & STATE_RECEIVE_FULL != 0
    }

    fn has_room(&self) -> bool {
        read(STATE) & STATE_TRANSMIT_FULL == 0
    }
}

impl ByteLine for Uart {
    type Error = Infallible;

    fn may_read(&mut self) -> Result<bool, Infallible> {
        Ok(self.has_byte())
    }

    fn read_byte(&mut self) -> Result<u8, Infallible> {
        Ok(read(DATA) as u8)
    }

    fn may_write(&mut self) -> Result<bool, Infallible> {
        Ok(self.has_room())
    }

    fn write_byte(&mut self, byte: u8) -> Result<(), Infallible> {
        write(DATA, byte.into());
        Ok(())
    }
}
