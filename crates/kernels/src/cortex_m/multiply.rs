//! Packed weights times two columns, or times one row.
//!
//! Registers hold all eight sums of four channels and two columns. Per step of two inputs: two
//! loads of two words, two extensions and eight `SMLAD` for 16 products, 0.75 instructions each;
//! the loop runs over eight steps and is entered in the middle where their number is not a
//! multiple. A row, whose bytes are extended on the way, takes 16 instructions for 16 products.
//! Requantisation and everything else that a group needs is 48 instructions for eight outputs, 27
//! for four.

use super::is_aligned;
use crate::multiply::{EVEN, GROUP, Layer, ODD, group_bytes};
use core::arch::naked_asm;

/// As the portable loop; none where the slices do not suit the instructions.
#[inline(never)]
pub(crate) fn multiply_pair<const TIES: u8>(
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
            pairs::<TIES>(layer, groups, columns, [first, second]);
        }
        if !first_tail.is_empty() {
            let (mut first, mut second) = ([0; GROUP], [0; GROUP]);
            let groups = layer
                .groups()
                .as_ptr()
                .add(whole / GROUP * group_bytes(layer.steps()));
            pairs::<TIES>(layer, groups, columns, [&mut first, &mut second]);
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
unsafe fn pairs<const TIES: u8>(
    layer: &Layer,
    groups: *const u8,
    columns: &[u8],
    [first, second]: [&mut [u8]; 2],
) {
    let (columns, out) = (columns.as_ptr_range(), first.as_mut_ptr_range());
    let skipped = ((layer.steps() - 1).wrapping_neg() & 7) * PAIR_STEP_BYTES;
    // SAFETY: as the function's.
    unsafe {
        let pair = match TIES {
            EVEN => pair_even,
            ODD => pair_odd,
            _ => pair,
        };
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
pub(crate) fn multiply_row<const TIES: u8>(
    layer: &Layer,
    inputs: &[u8],
    out: &mut [u8],
) -> Option<()> {
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
            rows::<TIES>(layer, layer.groups().as_ptr(), inputs, out);
        }
        if !tail.is_empty() {
            let mut last = [0; GROUP];
            let groups = layer
                .groups()
                .as_ptr()
                .add(whole / GROUP * group_bytes(layer.steps()));
            rows::<TIES>(layer, groups, inputs, &mut last);
            copy(&last, tail);
        }
    }
    Some(())
}

/// Whole groups, at least one, as many as the output holds.
///
/// # Safety
/// The groups and the inputs of every step are there, all aligned.
unsafe fn rows<const TIES: u8>(layer: &Layer, groups: *const u8, inputs: &[u8], out: &mut [u8]) {
    let (inputs, out) = (inputs.as_ptr_range(), out.as_mut_ptr_range());
    let skipped = (layer.steps().wrapping_neg() & 7) / 2 * ROW_STEPS_BYTES;
    // SAFETY: as the function's.
    unsafe {
        let row = match TIES {
            EVEN => row_even,
            ODD => row_odd,
            _ => row,
        };
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
/// a group stands before the loop, where it takes both sums of a channel from the same start. What is given makes bytes of
/// the sums, and leaves where the next ones go in r12 and lr.
macro_rules! pair_loop {
    ($($tail:tt)*) => {
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
            $($tail)*
            "ldr r1, [sp, #60]",
            "strd r12, lr, [sp, #8]",
            "cmp r12, r1",
            "bne.w 1b",
            "add sp, #16",
            "pop {{r4-r11, pc}}",
        )
    };
}

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
    pair_loop!(
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
    )
}

/// The even one of two values: of a sum in a register, and of one before it in another, where `parity` is the lowest bit.
macro_rules! even {
    ($value:literal, $before:literal, $parity:literal) => {
        concat!(
            concat!("orn ", $before, ", ", $before, ", ", $parity, "\n"),
            concat!("and ", $value, ", ", $value, ", ", $before, "\n"),
        )
    };
}

/// The odd one.
macro_rules! odd {
    ($value:literal, $before:literal, $parity:literal) => {
        concat!(
            concat!("and ", $value, ", ", $value, ", ", $parity, "\n"),
            concat!("orr ", $value, ", ", $value, ", ", $before, "\n"),
        )
    };
}

/// Both sums of a channel as bytes in their registers, with ties to one of two values.
macro_rules! pair_ties {
    ($one:ident, $first:literal, $second:literal, $parity:literal, $end:literal) => {
        concat!(
            "ldm r0!, {{r1, r2, r3}}\n",
            concat!("sub r12, ", $first, ", r3, asr #8\n"),
            concat!("sub lr, ", $second, ", r3, asr #8\n"),
            concat!("smmla ", $first, ", ", $first, ", r1, r2\n"),
            concat!("smmla ", $second, ", ", $second, ", r1, r2\n"),
            "smmla r12, r12, r1, r2\n",
            "smmla lr, lr, r1, r2\n",
            concat!("asr ", $first, ", ", $first, ", r3\n"),
            concat!("asr ", $second, ", ", $second, ", r3\n"),
            "asr r12, r12, r3\n",
            "asr lr, lr, r3\n",
            $one!($first, "r12", $parity),
            $one!($second, "lr", $parity),
            concat!("ssat ", $first, ", #8, ", $first, $end, "\n"),
            concat!("ssat ", $second, ", #8, ", $second, $end, "\n"),
        )
    };
}

/// A [`pair_loop`] with ties: requantisation and what else a group needs is 88 instructions for eight outputs.
macro_rules! pair_loop_ties {
    ($one:ident) => {
        pair_loop!(
            "subs r4, r4, r6",
            "subs r5, r5, r7",
            "sub r8, r8, r10",
            "sub r9, r9, r11",
            pair_ties!($one, "r6", "r7", "#1", ""),
            pair_ties!($one, "r4", "r5", "#0x100", ", asr #8"),
            pair_ties!($one, "r10", "r11", "#1", ""),
            pair_ties!($one, "r8", "r9", "#0x100", ", asr #8"),
            "ldrd r12, lr, [sp, #8]",
            "strb r6, [r12], #1",
            "strb r7, [lr], #1",
            "strb r4, [r12], #1",
            "strb r5, [lr], #1",
            "strb r10, [r12], #1",
            "strb r11, [lr], #1",
            "strb r8, [r12], #1",
            "strb r9, [lr], #1",
        )
    };
}

#[unsafe(naked)]
unsafe extern "C" fn pair_even(
    groups: *const u8,
    columns_end: *const u8,
    first: *mut u8,
    second: *mut u8,
    columns: *const u8,
    skipped: usize,
    first_end: *mut u8,
) {
    pair_loop_ties!(even)
}

#[unsafe(naked)]
unsafe extern "C" fn pair_odd(
    groups: *const u8,
    columns_end: *const u8,
    first: *mut u8,
    second: *mut u8,
    columns: *const u8,
    skipped: usize,
    first_end: *mut u8,
) {
    pair_loop_ties!(odd)
}

/// One row of bytes. `skipped` is how many bytes of the loop of eight steps the first pass leaves out. What is given makes
/// bytes of the sums, in r5, r4, r7 and r6.
macro_rules! row_loop {
    ($($tail:tt)*) => {
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
            $($tail)*
            "ldr r1, [sp, #12]",
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
    };
}

#[unsafe(naked)]
unsafe extern "C" fn row(
    groups: *const u8,
    inputs: *const u8,
    inputs_end: *const u8,
    out: *mut u8,
    out_end: *mut u8,
    skipped: usize,
) {
    row_loop!(
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
    )
}

/// A sum as a byte in its register, with ties to one of two values; `words` are its factor and offset.
macro_rules! row_tie {
    ($one:ident, $sum:literal, $parity:literal, $end:literal, $words:literal, $shift:literal) => {
        concat!(
            concat!("sub r1, ", $sum, ", ", $shift, ", asr #8\n"),
            concat!("smmla ", $sum, ", ", $sum, ", ", $words, "\n"),
            concat!("smmla r1, r1, ", $words, "\n"),
            concat!("asr ", $sum, ", ", $sum, ", ", $shift, "\n"),
            concat!("asr r1, r1, ", $shift, "\n"),
            $one!($sum, "r1", $parity),
            concat!("ssat ", $sum, ", #8, ", $sum, $end, "\n"),
        )
    };
}

/// The sums of two channels.
macro_rules! row_ties {
    ($one:ident, $low:literal, $lifted:literal) => {
        concat!(
            "ldm r0!, {{r2, r3, r8, r9, r10, r11}}\n",
            row_tie!($one, $low, "#1", "", "r2, r3", "r8"),
            row_tie!($one, $lifted, "#0x100", ", asr #8", "r9, r10", "r11"),
        )
    };
}

/// A [`row_loop`] with ties: what follows the loop is 47 instructions for four outputs.
macro_rules! row_loop_ties {
    ($one:ident) => {
        row_loop!(
            "subs r4, r4, r5",
            "subs r6, r6, r7",
            row_ties!($one, "r5", "r4"),
            row_ties!($one, "r7", "r6"),
        )
    };
}

#[unsafe(naked)]
unsafe extern "C" fn row_even(
    groups: *const u8,
    inputs: *const u8,
    inputs_end: *const u8,
    out: *mut u8,
    out_end: *mut u8,
    skipped: usize,
) {
    row_loop_ties!(even)
}

#[unsafe(naked)]
unsafe extern "C" fn row_odd(
    groups: *const u8,
    inputs: *const u8,
    inputs_end: *const u8,
    out: *mut u8,
    out_end: *mut u8,
    skipped: usize,
) {
    row_loop_ties!(odd)
}
