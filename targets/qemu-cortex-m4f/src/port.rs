//! What the harness asks of this board.

use cortex_m_semihosting::debug;
use cortex_m_semihosting::hio::{HostStream, hstdout};

/// Stack that is painted below the caller.
pub const PAINTED_BYTES: usize = 16 * 1024;

/// Standard output of the emulator.
pub struct Output(HostStream);

impl Output {
    /// Opens it.
    pub fn open() -> Option<Self> {
        hstdout().ok().map(Self)
    }

    /// Writes bytes.
    pub fn write_all(&mut self, bytes: &[u8]) -> Option<()> {
        self.0.write_all(bytes).ok()
    }
}

/// Ends the emulator.
pub fn exit(is_done: bool) -> ! {
    debug::exit(if is_done {
        debug::EXIT_SUCCESS
    } else {
        debug::EXIT_FAILURE
    });
    loop {
        cortex_m::asm::wfi();
    }
}

/// Where the stack ends.
#[inline(always)]
pub fn stack_pointer() -> usize {
    cortex_m::register::msp::read() as usize
}
