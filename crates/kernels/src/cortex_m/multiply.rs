//! Packed weights times two columns, or times one row.
//!
//! Registers hold all eight sums of four channels and two columns. Per step of two inputs: two
//! loads of two words, two extensions and eight `SMLAD` for 16 products, 0.75 instructions each;
//! the loop runs over eight steps and is entered in the middle where their number is not a
//! multiple. A row, whose bytes are extended on the way, takes 16 instructions for 16 products.
//! Requantisation and everything else that a group needs is 48 instructions for eight outputs, 27
//! for four.

use super::is_aligned;
use crate::multiply::{GROUP, Layer, group_bytes};
use core::arch::naked_asm;

/// As the portable loop; none where the slices do not suit the instructions.
#[inline(never)]
pub(crate) fn multiply_pair(
    layer: &Layer,
    columns: &[u8],
    first: &mut [u8],
    second: &mut [u8],
) -> Option<()> {
    let columns = columns.get(..layer.steps() * 8)?;
    let channels = layer.channels();
    let fits = [first.len(), second.len()] == [channels; 2]
        && is_aligned(columns)
        && is_aligned(layer.groups());
    if !fits {
        return None;
    }
    let whole = channels & !(GROUP - 1);
    let (first, first_tail) = first.split_at_mut_checked(whole)?;
    let (second, second_tail) = second.split_at_mut_checked(whole)?;
    // SAFETY: the layer has the groups of all channels and an even number of steps from 2 on; the columns have the
    // words of every step; both outputs have a byte for every channel of the whole groups, or of one.
    unsafe {
        if whole > 0 {
            let groups = layer.groups().as_ptr();
            pairs(layer, groups, columns, [first, second]);
        }
        if !first_tail.is_empty() {
            let (mut first, mut second) = ([0; GROUP], [0; GROUP]);
            let groups = layer
                .groups()
                .as_ptr()
                .add(whole / GROUP * group_bytes(layer.steps()));
            pairs(layer, groups, columns, [&mut first, &mut second]);
            copy(&first, first_tail);
            copy(&second, second_tail);
        }
    }
    Some(())
}

/// Whole groups, at least one, as many as both outputs hold.
///
/// # Safety
/// The groups and the columns of every step are there, all aligned; both outputs are as long.
unsafe fn pairs(layer: &Layer, groups: *const u8, columns: &[u8], [first, second]: [&mut [u8]; 2]) {
    let (columns, out) = (columns.as_ptr_range(), first.as_mut_ptr_range());
    let skipped = ((layer.steps() - 1).wrapping_neg() & 7) * PAIR_STEP_BYTES;
    // SAFETY: as the function's.
    unsafe {
        pair(
            groups,
            columns.end,
            out.start,
            second.as_mut_ptr(),
            columns.start,
            skipped,
            out.end,
        );
    }
}

/// As the portable loop; none where the slices do not suit the instructions.
#[inline(always)]
pub(crate) fn multiply_row(layer: &Layer, inputs: &[u8], out: &mut [u8]) -> Option<()> {
    let inputs = inputs.get(..layer.steps() * 2)?;
    let channels = layer.channels();
    if out.len() != channels || !is_aligned(inputs) || !is_aligned(layer.groups()) {
        return None;
    }
    let whole = channels & !(GROUP - 1);
    let (out, tail) = out.split_at_mut_checked(whole)?;
    // SAFETY: as for two columns, with the inputs of every step.
    unsafe {
        if whole > 0 {
            rows(layer, layer.groups().as_ptr(), inputs, out);
        }
        if !tail.is_empty() {
            let mut last = [0; GROUP];
            let groups = layer
                .groups()
                .as_ptr()
                .add(whole / GROUP * group_bytes(layer.steps()));
            rows(layer, groups, inputs, &mut last);
            copy(&last, tail);
        }
    }
    Some(())
}

/// Whole groups, at least one, as many as the output holds.
///
/// # Safety
/// The groups and the inputs of every step are there, all aligned.
unsafe fn rows(layer: &Layer, groups: *const u8, inputs: &[u8], out: &mut [u8]) {
    let (inputs, out) = (inputs.as_ptr_range(), out.as_mut_ptr_range());
    let skipped = (layer.steps().wrapping_neg() & 7) / 2 * ROW_STEPS_BYTES;
    // SAFETY: as the function's.
    unsafe {
        row(
            groups,
            inputs.start,
            inputs.end,
            out.start,
            out.end,
            skipped,
        );
    }
}

/// Part of a group. A loop would become a call of `memcpy`, which is longer than everything here.
#[inline(never)]
fn copy(&[a, b, c, _]: &[u8; GROUP], to: &mut [u8]) {
    match to {
        [to] => *to = a,
        [to_a, to_b] => [*to_a, *to_b] = [a, b],
        [to_a, to_b, to_c] => [*to_a, *to_b, *to_c] = [a, b, c],
        _ => {}
    }
}

/// Bytes of a step in the loop of [`pair`].
const PAIR_STEP_BYTES: usize = 12 * 4;
/// Bytes of two steps in the loop of [`row`].
const ROW_STEPS_BYTES: usize = 16 * 4;

macro_rules! repeat_8 {
    ($($line:literal),* $(,)?) => {
        concat!(
            $($line, "\n",)* $($line, "\n",)* $($line, "\n",)* $($line, "\n",)*
            $($line, "\n",)* $($line, "\n",)* $($line, "\n",)* $($line, "\n",)*
        )
    };
}

macro_rules! repeat_4 {
    ($($line:literal),* $(,)?) => {
        concat!($($line, "\n",)* $($line, "\n",)* $($line, "\n",)* $($line, "\n",)*)
    };
}

/// Two columns. `skipped` is how many bytes of the loop of eight steps the first pass leaves out; the first step of
/// a group stands before the loop, where it takes both sums of a channel from the same start.
#[unsafe(naked)]
unsafe extern "C" fn pair(
    groups: *const u8,
    columns_end: *const u8,
    first: *mut u8,
    second: *mut u8,
    columns: *const u8,
    skipped: usize,
    first_end: *mut u8,
) {
    naked_asm!(
        core_with_dsp!(),
        // On the stack: groups 0, end of columns 4, first 8, second 12, saved registers 16,
        // columns 52, skipped 56, end of first 60.
        "push {{r0-r11, lr}}",
        "adr r2, 2f",
        "ldr r1, [sp, #56]",
        "adds r2, r2, #1",
        "add r2, r1",
        "str r2, [sp, #56]",
        "1:",
        "ldr r1, [sp, #52]",
        "ldm r0!, {{r4, r6, r8, r10}}",
        "ldrd r2, r3, [r0], #8",
        "ldrd r12, lr, [r1], #8",
        "smlad r5, r2, lr, r4",
        "smlad r4, r2, r12, r4",
        "smlad r9, r3, lr, r8",
        "smlad r8, r3, r12, r8",
        "sxtb16 r2, r2",
        "sxtb16 r3, r3",
        "smlad r7, r2, lr, r6",
        "smlad r6, r2, r12, r6",
        "smlad r11, r3, lr, r10",
        "smlad r10, r3, r12, r10",
        "ldr r2, [sp, #56]",
        "bx r2",
        ".p2align 2",
        "2:",
        repeat_8!(
            "ldrd r2, r3, [r0], #8",
            "ldrd r12, lr, [r1], #8",
            "smlad r4, r2, r12, r4",
            "smlad r5, r2, lr, r5",
            "smlad r8, r3, r12, r8",
            "smlad r9, r3, lr, r9",
            "sxtb16 r2, r2",
            "sxtb16 r3, r3",
            "smlad r6, r2, r12, r6",
            "smlad r7, r2, lr, r7",
            "smlad r10, r3, r12, r10",
            "smlad r11, r3, lr, r11",
        ),
        "ldr r2, [sp, #4]",
        "cmp r1, r2",
        "bne.w 2b",
        "ldrd r12, lr, [sp, #8]",
        "ldm r0!, {{r1, r2, r3}}",
        "subs r4, r4, r6",
        "subs r5, r5, r7",
        "smmla r6, r6, r1, r2",
        "smmla r7, r7, r1, r2",
        "asrs r6, r3",
        "asrs r7, r3",
        "ldm r0!, {{r1, r2, r3}}",
        "ssat r6, #8, r6",
        "ssat r7, #8, r7",
        "strb r6, [r12], #1",
        "strb r7, [lr], #1",
        "smmla r4, r4, r1, r2",
        "smmla r5, r5, r1, r2",
        "asrs r4, r3",
        "asrs r5, r3",
        "ldm r0!, {{r1, r2, r3}}",
        "ssat r4, #8, r4, asr #8",
        "ssat r5, #8, r5, asr #8",
        "strb r4, [r12], #1",
        "strb r5, [lr], #1",
        "sub r8, r8, r10",
        "sub r9, r9, r11",
        "smmla r10, r10, r1, r2",
        "smmla r11, r11, r1, r2",
        "asr r10, r10, r3",
        "asr r11, r11, r3",
        "ldm r0!, {{r1, r2, r3}}",
        "ssat r10, #8, r10",
        "ssat r11, #8, r11",
        "strb r10, [r12], #1",
        "strb r11, [lr], #1",
        "smmla r8, r8, r1, r2",
        "smmla r9, r9, r1, r2",
        "asr r8, r8, r3",
        "asr r9, r9, r3",
        "ssat r8, #8, r8, asr #8",
        "ssat r9, #8, r9, asr #8",
        "strb r8, [r12], #1",
        "strb r9, [lr], #1",
        "ldr r1, [sp, #60]",
        "strd r12, lr, [sp, #8]",
        "cmp r12, r1",
        "bne.w 1b",
        "add sp, #16",
        "pop {{r4-r11, pc}}",
    )
}

/// One row of bytes. `skipped` is how many bytes of the loop of eight steps the first pass leaves out.
#[unsafe(naked)]
unsafe extern "C" fn row(
    groups: *const u8,
    inputs: *const u8,
    inputs_end: *const u8,
    out: *mut u8,
    out_end: *mut u8,
    skipped: usize,
) {
    naked_asm!(
        core_with_dsp!(),
        // On the stack: groups 0, inputs 4, their end 8, out 12, saved registers 16,
        // end of out 52, skipped 56.
        "push {{r0-r11, lr}}",
        "adr r12, 2f",
        "ldr r1, [sp, #56]",
        "add r12, r12, #1",
        "add lr, r12, r1",
        "mov r12, r2",
        "1:",
        "ldr r1, [sp, #4]",
        "ldm r0!, {{r4, r5, r6, r7}}",
        "bx lr",
        ".p2align 2",
        "2:",
        repeat_4!(
            "ldm r0!, {{r2, r3, r8, r9}}",
            "ldr r11, [r1], #4",
            "sxtb16 r10, r11",
            "sxtb16 r11, r11, ror #8",
            "smlad r4, r2, r10, r4",
            "smlad r6, r3, r10, r6",
            "sxtb16 r2, r2",
            "sxtb16 r3, r3",
            "smlad r5, r2, r10, r5",
            "smlad r7, r3, r10, r7",
            "smlad r4, r8, r11, r4",
            "smlad r6, r9, r11, r6",
            "sxtb16 r8, r8",
            "sxtb16 r9, r9",
            "smlad r5, r8, r11, r5",
            "smlad r7, r9, r11, r7",
        ),
        "cmp r1, r12",
        "bne.w 2b",
        "ldr r1, [sp, #12]",
        "ldm r0!, {{r2, r3, r8, r9, r10, r11}}",
        "subs r4, r4, r5",
        "subs r6, r6, r7",
        "smmla r5, r5, r2, r3",
        "smmla r4, r4, r9, r10",
        "asr r5, r5, r8",
        "asr r4, r4, r11",
        "ldm r0!, {{r2, r3, r8, r9, r10, r11}}",
        "ssat r5, #8, r5",
        "ssat r4, #8, r4, asr #8",
        "smmla r7, r7, r2, r3",
        "smmla r6, r6, r9, r10",
        "asr r7, r7, r8",
        "asr r6, r6, r11",
        "ssat r7, #8, r7",
        "ssat r6, #8, r6, asr #8",
        "ldr r2, [sp, #52]",
        "strb r5, [r1], #1",
        "strb r4, [r1], #1",
        "strb r7, [r1], #1",
        "strb r6, [r1], #1",
        "str r1, [sp, #12]",
        "cmp r1, r2",
        "bne.w 1b",
        "add sp, #16",
        "pop {{r4-r11, pc}}",
    )
}
