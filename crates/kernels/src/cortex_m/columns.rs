//! Widening of inputs into a column.

use crate::columns::Column;
use core::arch::asm;

/// As the portable loop: 5 instructions for four inputs, and 2 for every eight.
#[inline(always)]
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
