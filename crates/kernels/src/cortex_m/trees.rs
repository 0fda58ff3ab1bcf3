//! Walks down decision trees: 6 instructions for a branch by ranks, 10 for one by thresholds.

use super::is_aligned;
use crate::trees::WINDOW;
use core::arch::asm;

/// As the portable `walk_ranks`.
#[inline(always)]
pub(crate) fn walk_ranks(nodes: &[[u8; 4]], start: usize, images: &[u8; 256]) -> Option<usize> {
    if start > nodes.len().checked_sub(WINDOW)? {
        return None;
    }
    let leaf: usize;
    // SAFETY: `start` and the 256 nodes from there on are in `nodes`, of which a byte picks one;
    // another byte picks one of 256 images. Single words are read wherever they stand.
    unsafe {
        asm!(
            "2:",
            "ldr {node}, [{window}, {at}, lsl #2]",
            "uxtb {at}, {node}",
            "ldrb {at}, [{images}, {at}]",
            "adds {node}, {node}, {at}, lsl #8",
            "ubfx {at}, {node}, #16, #8",
            "bpl 2b",
            "ubfx {node}, {node}, #16, #15",
            window = in(reg) nodes.as_ptr().add(start),
            images = in(reg) images.as_ptr(),
            node = out(reg) leaf,
            at = inout(reg) 0 => _,
            options(readonly, nostack)
        );
    }
    Some(leaf)
}

/// Branches over inputs of which none is negative.
///
/// There are as many thresholds as links, and more inputs than `mask`.
#[derive(Clone, Copy)]
pub struct Quick<'a> {
    thresholds: &'a [[u8; 4]],
    links: &'a [[u8; 4]],
    x: &'a [[u8; 4]],
    mask: usize,
}

impl<'a> Quick<'a> {
    /// As the portable `Branches::quick`.
    #[inline(always)]
    pub(crate) fn new([thresholds, links, x]: [&'a [[u8; 4]]; 3], inputs: usize) -> Option<Self> {
        let words = inputs.checked_next_power_of_two()?;
        let fits = words <= x.len() && thresholds.len() == links.len();
        if !fits || any_negative(x.get(..inputs)?) {
            return None;
        }
        Some(Self {
            thresholds,
            links,
            x,
            mask: words.wrapping_sub(1),
        })
    }

    /// As the portable `walk_thresholds`.
    #[inline(always)]
    pub fn walk(&self, mut place: usize) -> Option<usize> {
        if place >= self.links.len() {
            return Some(place);
        }
        // SAFETY: places are below the number of links and thresholds, compared before every access;
        // inputs are picked by numbers up to `mask`. Single words are read wherever they stand.
        unsafe {
            asm!(
                "2:",
                "ldr {link}, [{links}, {place}, lsl #2]",
                "ldr {threshold}, [{thresholds}, {place}, lsl #2]",
                "and {place}, {mask}, {link}, lsr #24",
                "ldr {place}, [{x}, {place}, lsl #2]",
                "cmp {threshold}, {place}",
                "it lo",
                "lsrlo {link}, {link}, #12",
                "ubfx {place}, {link}, #0, #12",
                "cmp {place}, {count}",
                "blo 2b",
                links = in(reg) self.links.as_ptr(),
                thresholds = in(reg) self.thresholds.as_ptr(),
                x = in(reg) self.x.as_ptr(),
                mask = in(reg) self.mask,
                count = in(reg) self.links.len(),
                place = inout(reg) place,
                link = out(reg) _,
                threshold = out(reg) _,
                options(readonly, nostack)
            );
        }
        Some(place)
    }
}

/// Whether the sign of a word is set: 1.75 instructions for each.
#[inline(always)]
pub(crate) fn any_negative(words: &[[u8; 4]]) -> bool {
    let (mut eights, mut rest) = words.as_chunks::<8>();
    if !is_aligned(words.as_flattened()) {
        (eights, rest) = (&[], words);
    }
    let mut all = 0_u32;
    if !eights.is_empty() {
        // SAFETY: reads eight words, aligned as pairs are read, as often as there are eight.
        unsafe {
            asm!(
                "2:",
                "ldrd {a}, {b}, [{words}], #8",
                "orr {all}, {all}, {a}",
                "ldrd {a}, {c}, [{words}], #8",
                "orr {all}, {all}, {b}",
                "orr {all}, {all}, {a}",
                "ldrd {a}, {b}, [{words}], #8",
                "orr {all}, {all}, {c}",
                "orr {all}, {all}, {a}",
                "ldrd {a}, {c}, [{words}], #8",
                "orr {all}, {all}, {b}",
                "orr {all}, {all}, {a}",
                "subs {count}, {count}, #1",
                "orr {all}, {all}, {c}",
                "bne 2b",
                words = inout(reg) eights.as_ptr() => _,
                count = inout(reg) eights.len() => _,
                all = inout(reg) all,
                a = out(reg) _,
                b = out(reg) _,
                c = out(reg) _,
                options(pure, readonly, nostack)
            );
        }
    }
    for word in rest {
        all |= u32::from_le_bytes(*word);
    }
    all.cast_signed() < 0
}
