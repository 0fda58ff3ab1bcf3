//! Loops for x86-64 with AVX2, found when the program runs; without it everything is portable.
//!
//! Each loop is entered through a safe function that checks all it reads and writes.

mod channels;
mod columns;
mod depthwise;
mod multiply;
mod sum;

pub(crate) use channels::sum_channels;
pub(crate) use columns::{fill, fills, widen, write_pair};
pub(crate) use depthwise::depthwise3_image;
pub(crate) use multiply::{multiply_pair, multiply_row};
pub(crate) use sum::sum;

use core::arch::x86_64::*;
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

const UNKNOWN: u8 = 0;
const ABSENT: u8 = 1;
const PRESENT: u8 = 2;

/// What the processor is, asked once: asking traps where a hypervisor runs.
static AVX2: AtomicU8 = AtomicU8::new(UNKNOWN);

/// Whether processor and system have AVX2.
#[inline(always)]
fn has_avx2() -> bool {
    match AVX2.load(Relaxed) {
        UNKNOWN => detect(),
        known => known == PRESENT,
    }
}

#[cold]
#[inline(never)]
fn detect() -> bool {
    let is_present = processor_has_avx2() && system_keeps_registers();
    AVX2.store(if is_present { PRESENT } else { ABSENT }, Relaxed);
    is_present
}

fn processor_has_avx2() -> bool {
    const LEAF: u32 = 7;
    const AVX2_BIT: u32 = 1 << 5;
    let [last, ..] = cpuid(0);
    let [_, features, ..] = cpuid(LEAF);
    last >= LEAF && features & AVX2_BIT != 0
}

/// Whether the system saves all 256 bits of the registers when it changes tasks.
fn system_keeps_registers() -> bool {
    const XSAVE_IN_USE: u32 = 1 << 27;
    const SSE_AND_AVX: u64 = 0b110;
    let [_, _, features, _] = cpuid(1);
    if features & XSAVE_IN_USE == 0 {
        return false;
    }
    // SAFETY: the system has switched the instruction on.
    let kept = unsafe { kept_registers() };
    kept & SSE_AND_AVX == SSE_AND_AVX
}

#[target_feature(enable = "xsave")]
unsafe fn kept_registers() -> u64 {
    // SAFETY: register 0 is there wherever the instruction is.
    unsafe { _xgetbv(0) }
}

/// The registers `eax`, `ebx`, `ecx` and `edx` of a leaf.
#[allow(unused_unsafe)]
fn cpuid(leaf: u32) -> [u32; 4] {
    // SAFETY: every x86-64 processor has the instruction.
    let found = unsafe { __cpuid_count(leaf, 0) };
    [found.eax, found.ebx, found.ecx, found.edx]
}
