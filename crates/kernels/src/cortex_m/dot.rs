//! Sums of products of a vector with two rows.

use core::arch::asm;

/// Adds the products of whole words: 15 instructions for two times four. None where a row is shorter than `x`.
#[inline(always)]
pub(crate) fn dot_words(x: &[[u8; 4]], rows: [&[[u8; 4]]; 2]) -> Option<[i32; 2]> {
    let [a, b] = rows;
    if x.is_empty() || a.len().min(b.len()) < x.len() {
        return None;
    }
    let (sum_a, sum_b): (i32, i32);
    // SAFETY: as many words as are counted lie behind each pointer. Single loads need no alignment, as everywhere in code
    // for these cores that compilers make: it wants UNALIGN_TRP clear.
    unsafe {
        asm!(
            "2:",
            "ldr {word}, [{x}], #4",
            "sxtb16 {even}, {word}",
            "sxtb16 {odd}, {word}, ror #8",
            "ldr {word}, [{a}], #4",
            "sxtb16 {lanes}, {word}",
            "smlad {sum_a}, {lanes}, {even}, {sum_a}",
            "sxtb16 {word}, {word}, ror #8",
            "smlad {sum_a}, {word}, {odd}, {sum_a}",
            "ldr {word}, [{b}], #4",
            "sxtb16 {lanes}, {word}",
            "smlad {sum_b}, {lanes}, {even}, {sum_b}",
            "sxtb16 {word}, {word}, ror #8",
            "smlad {sum_b}, {word}, {odd}, {sum_b}",
            "subs {count}, {count}, #1",
            "bne 2b",
            x = inout(reg) x.as_ptr() => _,
            a = inout(reg) a.as_ptr() => _,
            b = inout(reg) b.as_ptr() => _,
            sum_a = inout(reg) 0 => sum_a,
            sum_b = inout(reg) 0 => sum_b,
            count = inout(reg) x.len() => _,
            word = out(reg) _,
            lanes = out(reg) _,
            even = out(reg) _,
            odd = out(reg) _,
            options(pure, readonly, nostack)
        );
    }
    Some([sum_a, sum_b])
}
