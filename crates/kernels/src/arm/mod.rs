//! Loops for 32-bit Arm under Linux with NEON, found when the program runs; without it everything is portable.

mod multiply;

pub(crate) use multiply::{multiply_pair, multiply_row};

use core::ffi::c_ulong;
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

unsafe extern "C" {
    fn getauxval(kind: c_ulong) -> c_ulong;
}

const UNKNOWN: u8 = 0;
const ABSENT: u8 = 1;
const PRESENT: u8 = 2;

/// What the processor has, asked once.
static NEON: AtomicU8 = AtomicU8::new(UNKNOWN);

/// Whether the processor has NEON.
#[inline(always)]
fn has_neon() -> bool {
    match NEON.load(Relaxed) {
        UNKNOWN => detect(),
        known => known == PRESENT,
    }
}

#[cold]
#[inline(never)]
fn detect() -> bool {
    const HWCAP: c_ulong = 16;
    const NEON_BIT: c_ulong = 1 << 12;
    // SAFETY: the C library's function; any kind may be asked for.
    let is_present = unsafe { getauxval(HWCAP) } & NEON_BIT != 0;
    NEON.store(if is_present { PRESENT } else { ABSENT }, Relaxed);
    is_present
}
