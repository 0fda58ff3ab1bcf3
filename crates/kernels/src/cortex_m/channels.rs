//! Sums of four channels in 16-bit lanes.

use crate::depthwise::LANES;
use core::arch::asm;

/// Inputs whose sum fits 16 bits.
const BLOCK: usize = 256;

/// As the portable loop: 6 instructions for four inputs; none where an input is missing.
#[inline(never)]
pub(crate) fn sum_channels(inputs: &[u8], pitch: usize, count: usize) -> Option<[i32; LANES]> {
    let last = count.checked_sub(1)?.checked_mul(pitch)?;
    if pitch == 0 || last.checked_add(LANES)? > inputs.len() {
        return None;
    }
    let (mut sums, mut from, mut left) = ([0_i32; LANES], inputs.as_ptr(), count);
    while left > 0 {
        let block = left.min(BLOCK);
        left -= block;
        let (even, odd): (u32, u32);
        // SAFETY: four bytes are there at each of the next `block` inputs.
        unsafe {
            asm!(
                "2:",
                "ldr {word}, [{from}]",
                "add {from}, {from}, {pitch}",
                "sxtab16 {even}, {even}, {word}",
                "sxtab16 {odd}, {odd}, {word}, ror #8",
                "subs {block}, {block}, #1",
                "bne 2b",
                word = out(reg) _,
                even = inout(reg) 0 => even,
                odd = inout(reg) 0 => odd,
                from = inout(reg) from,
                block = inout(reg) block => _,
                pitch = in(reg) pitch,
                options(readonly, nostack)
            );
        }
        let low = |lanes: u32| i32::from(lanes as i16);
        let block = [low(even), low(odd), low(even >> 16), low(odd >> 16)];
        for (sum, more) in sums.iter_mut().zip(block) {
            *sum = sum.wrapping_add(more);
        }
    }
    Some(sums)
}
