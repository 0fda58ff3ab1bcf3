//! Widening of inputs into columns.

use super::is_aligned;
use crate::columns::{Column, Runs};
use core::arch::asm;

/// As the portable loop: 5 instructions for four inputs, and 2 for every eight.
#[inline(never)]
pub(crate) fn write(places: &mut [[u8; 16]], which: Column, quads: &[[u8; 4]]) {
    let count = places.len().min(quads.len());
    let Some(places) = places.get_mut(..count).filter(|places| !places.is_empty()) else {
        return;
    };
    let to = places.as_mut_ptr_range();
    let offset = match which {
        Column::First => 0,
        Column::Second => 4,
    };
    let is_odd = count & 1;
    // SAFETY: `count` places of 16 bytes and as many quads are there. From `offset` on, a place is
    // written at 0 and 8 words of 4 bytes, inside of its 16. The loop is entered in its middle for an odd
    // count, and ends when the destination reaches the end of the places.
    unsafe {
        asm!(
            "cmp {odd}, #0",
            "bne 3f",
            "2:",
            "ldr {a}, [{from}], #4",
            "sxtb16 {b}, {a}",
            "sxtb16 {a}, {a}, ror #8",
            "str {b}, [{to}], #8",
            "str {a}, [{to}], #8",
            "3:",
            "ldr {a}, [{from}], #4",
            "sxtb16 {b}, {a}",
            "sxtb16 {a}, {a}, ror #8",
            "str {b}, [{to}], #8",
            "str {a}, [{to}], #8",
            "cmp {to}, {end}",
            "bne 2b",
            odd = in(reg) is_odd,
            a = out(reg) _,
            b = out(reg) _,
            from = inout(reg) quads.as_ptr() => _,
            to = inout(reg) to.start.cast::<u8>().wrapping_add(offset) => _,
            end = in(reg) to.end.cast::<u8>().wrapping_add(offset),
            options(nostack)
        );
    }
}

/// As the portable loop: 8 instructions for four inputs of both columns, 2 more for a quad and 4 for a run; none
/// where the slices do not suit the instructions.
#[inline(always)]
pub(crate) fn write_pair(
    places: &mut [[u8; 16]],
    runs: &Runs,
    inputs: &[u8],
    distance: usize,
) -> Option<()> {
    let end = runs.reach()?.checked_add(distance)?;
    let fits = places.len() == runs.count.checked_mul(runs.quads)?
        && !places.is_empty()
        && end <= inputs.len()
        && is_aligned(places.as_flattened());
    if !fits {
        return None;
    }
    // SAFETY: `runs.reach()` and as many bytes from `distance` on are there, and a place of 16 bytes
    // for every quad of every run; `strd` finds them aligned.
    unsafe {
        asm!(
            "2:",
            "add {end}, {to}, {span}",
            "3:",
            "ldr {b}, [{from}, {distance}]",
            "ldr {a}, [{from}], #4",
            "sxtb16 {c}, {a}",
            "sxtb16 {d}, {b}",
            "sxtb16 {a}, {a}, ror #8",
            "sxtb16 {b}, {b}, ror #8",
            "strd {c}, {d}, [{to}], #8",
            "strd {a}, {b}, [{to}], #8",
            "cmp {to}, {end}",
            "bne 3b",
            "add {from}, {from}, {advance}",
            "subs {count}, {count}, #1",
            "bne 2b",
            a = out(reg) _,
            b = out(reg) _,
            c = out(reg) _,
            d = out(reg) _,
            end = out(reg) _,
            from = inout(reg) inputs.as_ptr() => _,
            to = inout(reg) places.as_mut_ptr() => _,
            count = inout(reg) runs.count => _,
            span = in(reg) 16 * runs.quads,
            distance = in(reg) distance,
            advance = in(reg) runs.pitch.wrapping_sub(4 * runs.quads),
            options(nostack)
        );
    }
    Some(())
}
