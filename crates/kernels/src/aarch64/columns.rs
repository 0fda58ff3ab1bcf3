//! Widening of inputs into columns.

use crate::columns::Runs;
use core::arch::aarch64::*;

/// Where eight bytes of both columns go before they are widened.
static BOTH: [u8; 16] = [0, 2, 8, 10, 1, 3, 9, 11, 4, 6, 12, 14, 5, 7, 13, 15];

/// As the portable loop: 10 instructions for eight inputs of both columns; none where that has to do it.
#[inline(always)]
pub(crate) fn write_pair(
    places: &mut [[u8; 16]],
    runs: &Runs,
    inputs: &[u8],
    distance: usize,
) -> Option<()> {
    let end = runs.reach()?.checked_add(distance)?;
    let fits = places.len() == runs.count.checked_mul(runs.quads)? && end <= inputs.len();
    if !fits {
        return None;
    }
    let to = places.as_flattened_mut().as_mut_ptr();
    // SAFETY: `runs.reach()` and as many bytes from `distance` on are there, and a place for every quad of
    // every run.
    unsafe { pair(to, runs, inputs.as_ptr(), distance) };
    Some(())
}

/// # Safety
/// `from` has the runs, and once more from `distance` on; `to` has 16 bytes for every quad of them.
#[target_feature(enable = "neon")]
unsafe fn pair(mut to: *mut u8, runs: &Runs, from: *const u8, distance: usize) {
    // SAFETY: the constant has 16 bytes.
    let order = unsafe { vld1q_u8(BOTH.as_ptr()) };
    for run in 0..runs.count {
        let mut first = from.wrapping_add(run * runs.pitch);
        for _ in 0..runs.quads / 2 {
            // SAFETY: two quads of both columns are left, and places for them.
            unsafe {
                let inputs = vcombine_u8(vld1_u8(first), vld1_u8(first.wrapping_add(distance)));
                let inputs = vreinterpretq_s8_u8(vqtbl1q_u8(inputs, order));
                vst1q_s16(to.cast(), vmovl_s8(vget_low_s8(inputs)));
                vst1q_s16(to.wrapping_add(16).cast(), vmovl_high_s8(inputs));
            }
            first = first.wrapping_add(8);
            to = to.wrapping_add(32);
        }
        if runs.quads % 2 == 1 {
            // SAFETY: a quad of both columns is left, and a place for it.
            unsafe {
                let [a, b] = [first, first.wrapping_add(distance)]
                    .map(|from| u64::from(from.cast::<u32>().read_unaligned()));
                let inputs = vcombine_u8(vcreate_u8(a), vcreate_u8(b));
                let inputs = vreinterpretq_s8_u8(vqtbl1q_u8(inputs, order));
                vst1q_s16(to.cast(), vmovl_s8(vget_low_s8(inputs)));
            }
            to = to.wrapping_add(16);
        }
    }
}
