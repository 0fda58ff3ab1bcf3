//! Packed weights times two columns, or times one row: two groups at a time.
//!
//! A load of 16 bytes holds two steps of a group, in each step the word of channels 0 and 1 and that of
//! channels 2 and 3, so every input word stands twice. Two `VMLAL` are four `SMLAD` with their products apart.
//! For two columns 27 instructions do 64 multiply-accumulates, for a row 19 do 32.

use super::has_neon;
use crate::multiply::{GROUP, Layer, START_WORDS, finished, group_bytes};
use core::arch::naked_asm;

/// Bytes of a step: of two columns, and of a row.
const PAIR_STEP: usize = 8;
const ROW_STEP: usize = 2;
/// Bytes of a group before its weights.
const START: usize = 4 * START_WORDS;

/// Sums of a group for a column: of the lanes of channels 0 and 1 and then 2 and 3, both inputs of a step
/// apart, and of their low bytes.
type Sums = [[i32; 4]; 2];

/// As the portable loop; none where that has to do it.
#[inline(always)]
pub(crate) fn multiply_pair(
    layer: &Layer,
    columns: &[u8],
    first: &mut [u8],
    second: &mut [u8],
) -> Option<()> {
    let fits = [first.len(), second.len()] == [layer.channels(); 2]
        && columns.len() / PAIR_STEP >= layer.steps();
    if !fits || !has_neon() {
        return None;
    }
    let outputs = first
        .chunks_mut(2 * GROUP)
        .zip(second.chunks_mut(2 * GROUP));
    for (pair_of_groups, (first, second)) in groups(layer).zip(outputs) {
        let [one, other] = pair_of_groups.map(|group| group.as_ptr().wrapping_add(START));
        let mut sums = [[[[0; 4]; 2]; 2]; 2];
        // SAFETY: the processor has NEON; the weights of both groups and the columns have every step.
        unsafe { pair(one, other, columns.as_ptr(), layer.steps() / 2, &mut sums) };
        let places = first.chunks_mut(GROUP).zip(second.chunks_mut(GROUP));
        for ((group, [a, b]), (first, second)) in pair_of_groups.into_iter().zip(&sums).zip(places)
        {
            write(group, a, first);
            write(group, b, second);
        }
    }
    Some(())
}

/// As the portable loop; none where that has to do it.
#[inline(always)]
pub(crate) fn multiply_row(layer: &Layer, inputs: &[u8], out: &mut [u8]) -> Option<()> {
    let fits = out.len() == layer.channels() && inputs.len() / ROW_STEP >= layer.steps();
    if !fits || !has_neon() {
        return None;
    }
    for (pair_of_groups, out) in groups(layer).zip(out.chunks_mut(2 * GROUP)) {
        let [one, other] = pair_of_groups.map(|group| group.as_ptr().wrapping_add(START));
        let mut sums = [[[0; 4]; 2]; 2];
        // SAFETY: the processor has NEON; the weights of both groups and the inputs have every step.
        unsafe { row(one, other, inputs.as_ptr(), layer.steps() / 2, &mut sums) };
        for ((group, sums), out) in pair_of_groups
            .into_iter()
            .zip(&sums)
            .zip(out.chunks_mut(GROUP))
        {
            write(group, sums, out);
        }
    }
    Some(())
}

/// Groups two by two; where there is only one left, it stands for both.
fn groups<'a>(layer: &Layer<'a>) -> impl Iterator<Item = [&'a [u8]; 2]> {
    let bytes = group_bytes(layer.steps());
    layer.groups().chunks(2 * bytes).map(move |both| {
        let (one, other) = both.split_at_checked(bytes).unwrap_or((both, &[]));
        [one, if other.is_empty() { one } else { other }]
    })
}

/// Makes the sums of a group bytes.
fn write(group: &[u8], [lanes, low]: &Sums, out: &mut [u8]) {
    let [[a, b, c, d], [e, f, g, h]] = [*lanes, *low];
    let sums = [
        a.wrapping_add(b),
        e.wrapping_add(f),
        c.wrapping_add(d),
        g.wrapping_add(h),
    ];
    let results = finished(group, sums);
    out.iter_mut()
        .zip(results)
        .for_each(|(to, byte)| *to = byte);
}

/// Sums of both groups, each for both columns.
#[unsafe(naked)]
unsafe extern "C" fn pair(
    one: *const u8,
    other: *const u8,
    columns: *const u8,
    blocks: usize,
    sums: &mut [[Sums; 2]; 2],
) {
    naked_asm!(
        // q0, q1: words of both columns, each twice; q2, q3: lanes and low bytes of a group; q8-q15: sums.
        ".fpu neon",
        "vmov.i32 q8, #0",
        "vmov.i32 q9, #0",
        "vmov.i32 q10, #0",
        "vmov.i32 q11, #0",
        "vmov.i32 q12, #0",
        "vmov.i32 q13, #0",
        "vmov.i32 q14, #0",
        "vmov.i32 q15, #0",
        "2:",
        "vld1.32 {{d0, d1}}, [r2]!",
        "vmov q1, q0",
        "vtrn.32 q0, q1",
        "vld1.16 {{d4, d5}}, [r0]!",
        "vshl.i16 q3, q2, #8",
        "vshr.s16 q3, q3, #8",
        "vmlal.s16 q8, d4, d0",
        "vmlal.s16 q9, d6, d0",
        "vmlal.s16 q10, d4, d2",
        "vmlal.s16 q11, d6, d2",
        "vmlal.s16 q8, d5, d1",
        "vmlal.s16 q9, d7, d1",
        "vmlal.s16 q10, d5, d3",
        "vmlal.s16 q11, d7, d3",
        "vld1.16 {{d4, d5}}, [r1]!",
        "vshl.i16 q3, q2, #8",
        "vshr.s16 q3, q3, #8",
        "vmlal.s16 q12, d4, d0",
        "vmlal.s16 q13, d6, d0",
        "vmlal.s16 q14, d4, d2",
        "vmlal.s16 q15, d6, d2",
        "vmlal.s16 q12, d5, d1",
        "vmlal.s16 q13, d7, d1",
        "vmlal.s16 q14, d5, d3",
        "vmlal.s16 q15, d7, d3",
        "subs r3, r3, #1",
        "bne 2b",
        "ldr r0, [sp]",
        "vst1.32 {{d16, d17}}, [r0]!",
        "vst1.32 {{d18, d19}}, [r0]!",
        "vst1.32 {{d20, d21}}, [r0]!",
        "vst1.32 {{d22, d23}}, [r0]!",
        "vst1.32 {{d24, d25}}, [r0]!",
        "vst1.32 {{d26, d27}}, [r0]!",
        "vst1.32 {{d28, d29}}, [r0]!",
        "vst1.32 {{d30, d31}}, [r0]",
        "bx lr",
    )
}

/// Sums of both groups.
#[unsafe(naked)]
unsafe extern "C" fn row(
    one: *const u8,
    other: *const u8,
    inputs: *const u8,
    blocks: usize,
    sums: &mut [Sums; 2],
) {
    naked_asm!(
        // q0: words of two steps, each twice; q2, q3: lanes and low bytes of a group; q8-q11: sums.
        ".fpu neon",
        "vmov.i32 q8, #0",
        "vmov.i32 q9, #0",
        "vmov.i32 q10, #0",
        "vmov.i32 q11, #0",
        "2:",
        "ldr r12, [r2], #4",
        "vmov.32 d0[0], r12",
        "vmov.32 d0[1], r12",
        "vmovl.s8 q0, d0",
        "vuzp.16 d0, d1",
        "vld1.16 {{d4, d5}}, [r0]!",
        "vshl.i16 q3, q2, #8",
        "vshr.s16 q3, q3, #8",
        "vmlal.s16 q8, d4, d0",
        "vmlal.s16 q9, d6, d0",
        "vmlal.s16 q8, d5, d1",
        "vmlal.s16 q9, d7, d1",
        "vld1.16 {{d4, d5}}, [r1]!",
        "vshl.i16 q3, q2, #8",
        "vshr.s16 q3, q3, #8",
        "vmlal.s16 q10, d4, d0",
        "vmlal.s16 q11, d6, d0",
        "vmlal.s16 q10, d5, d1",
        "vmlal.s16 q11, d7, d1",
        "subs r3, r3, #1",
        "bne 2b",
        "ldr r0, [sp]",
        "vst1.32 {{d16, d17}}, [r0]!",
        "vst1.32 {{d18, d19}}, [r0]!",
        "vst1.32 {{d20, d21}}, [r0]!",
        "vst1.32 {{d22, d23}}, [r0]",
        "bx lr",
    )
}
