//! Walks through decision trees.

use crate::trees::WINDOW;
use core::arch::asm;

/// As the portable loop: six instructions per node.
#[inline(always)]
pub(crate) fn walk(nodes: &[[u8; 4]; WINDOW], images: &[u8; 256]) -> u32 {
    let sum;
    // SAFETY: a byte names a node and an image, of which 256 are there.
    unsafe {
        asm!(
            "mov {at}, #0",
            "2:",
            "ldr {sum}, [{nodes}, {at}, lsl #2]",
            "uxtb {at}, {sum}",
            "ldrb {at}, [{images}, {at}]",
            "adds {sum}, {sum}, {at}, lsl #8",
            "ubfx {at}, {sum}, #16, #8",
            "bpl 2b",
            at = out(reg) _,
            sum = out(reg) sum,
            nodes = in(reg) nodes.as_ptr(),
            images = in(reg) images.as_ptr(),
            options(readonly, nostack)
        );
    }
    sum
}
