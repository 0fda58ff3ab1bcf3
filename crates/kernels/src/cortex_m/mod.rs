//! Loops for Arm cores with the DSP extension: Cortex-M4, M7 and M33.
//!
//! A loop is a naked function where it needs every register, an inline block otherwise. Instruction counts stand
//! beside them; `dunlin bench` measures what a model takes.

/// Names a core to the assembler, which reads naked functions knowing no more than the target's name: on
/// ARMv8-M that does not say that the extension is there.
#[cfg(cortex_m_dsp = "v8")]
macro_rules! core_with_dsp {
    () => {
        ".cpu cortex-m33"
    };
}
#[cfg(not(cortex_m_dsp = "v8"))]
macro_rules! core_with_dsp {
    () => {
        ""
    };
}

mod channels;
mod columns;
mod depthwise;
mod dot;
mod multiply;
mod trees;

pub(crate) use channels::sum_channels;
pub(crate) use columns::{write, write_pair};
pub(crate) use depthwise::{depthwise3, fill_lanes, fill_plane};
pub(crate) use dot::dot_words;
pub(crate) use multiply::{multiply_pair, multiply_row};
pub use trees::Quick;
pub(crate) use trees::{add_ranked, map_to_grid, walk_ranks};

use core::arch::asm;

/// As the portable `widen`: two instructions.
#[inline(always)]
pub(crate) fn widen(quad: [u8; 4]) -> [[u8; 4]; 2] {
    let (even, odd): (u32, u32);
    // SAFETY: both instructions only read and write registers.
    unsafe {
        asm!(
            "sxtb16 {even}, {quad}",
            "sxtb16 {odd}, {quad}, ror #8",
            quad = in(reg) u32::from_le_bytes(quad),
            even = out(reg) even,
            odd = lateout(reg) odd,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    [even.to_le_bytes(), odd.to_le_bytes()]
}

/// As the portable `dual`: one instruction.
#[inline(always)]
pub(crate) fn dual(sum: i32, w: [u8; 4], x: [u8; 4]) -> i32 {
    let result: i32;
    // SAFETY: the instruction only reads and writes registers; the Q flag it may set is read by nobody.
    unsafe {
        asm!(
            "smlad {result}, {w}, {x}, {sum}",
            w = in(reg) u32::from_le_bytes(w),
            x = in(reg) u32::from_le_bytes(x),
            sum = in(reg) sum,
            result = lateout(reg) result,
            options(pure, nomem, nostack)
        );
    }
    result
}

/// Whether a slice starts at a word, as loads of two words need it.
fn is_aligned(bytes: &[u8]) -> bool {
    bytes.as_ptr().addr() & 3 == 0
}
