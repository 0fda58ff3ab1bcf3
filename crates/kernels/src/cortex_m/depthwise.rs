//! One channel of a 3 × 3 depthwise convolution, and the rows of its plane.
//!
//! Taps and pointers to three rows stay in registers. Two neighbours at stride 1 take 15
//! instructions for 18 products and 15 for everything else; a single output takes 9 for 9, and 11.

use super::is_aligned;
use crate::depthwise::{Depthwise3, LANES, Rows, TAP_BYTES};
use core::arch::{asm, naked_asm};

/// As the portable loop: 7 instructions for two inputs, 10 for every row; none where an input or a place is missing.
#[inline(never)]
pub(crate) fn fill_plane(rows: &Rows, inputs: &[u8], plane: &mut [u8]) -> Option<()> {
    rows.fit(1, 0, [inputs.len(), plane.len()])?;
    let pairs = rows.columns / 2 * 4;
    // From the end of a row to the start of the next.
    let input_advance = rows.input_bytes.wrapping_sub(rows.columns * rows.pitch);
    let plane_advance = rows.plane_bytes.wrapping_sub(rows.columns * 2);
    // SAFETY: every input and every place is there, and at least one: checked above. A row reads and
    // writes `columns` of them, two by two and then the odd one.
    unsafe {
        asm!(
            "2:",
            "add {end}, {to}, {pairs}",
            "cmp {to}, {end}",
            "beq 4f",
            "3:",
            "ldrsb {a}, [{from}]",
            "ldrsb {b}, [{from}, {pitch}]",
            "add {from}, {from}, {pitch}, lsl #1",
            "pkhbt {a}, {a}, {b}, lsl #16",
            "str {a}, [{to}], #4",
            "cmp {to}, {end}",
            "bne 3b",
            "4:",
            "tst {columns}, #1",
            "beq 5f",
            "ldrsb {a}, [{from}]",
            "add {from}, {from}, {pitch}",
            "strh {a}, [{to}], #2",
            "5:",
            "add {from}, {from}, {input_advance}",
            "add {to}, {to}, {plane_advance}",
            "subs {count}, {count}, #1",
            "bne 2b",
            a = out(reg) _,
            b = out(reg) _,
            end = out(reg) _,
            from = inout(reg) inputs.as_ptr() => _,
            to = inout(reg) plane.as_mut_ptr() => _,
            count = inout(reg) rows.count => _,
            pairs = in(reg) pairs,
            columns = in(reg) rows.columns,
            pitch = in(reg) rows.pitch,
            input_advance = in(reg) input_advance,
            plane_advance = in(reg) plane_advance,
            options(nostack)
        );
    }
    Some(())
}

/// As the portable loop: 17 instructions for two inputs of four channels, 11 for the last one of an odd number, 14
/// for every row; none where an input or a place is missing.
#[inline(never)]
pub(crate) fn fill_lanes(
    rows: &Rows,
    lane_bytes: usize,
    inputs: &[u8],
    plane: &mut [u8],
) -> Option<()> {
    rows.fit(LANES, lane_bytes, [inputs.len(), plane.len()])?;
    let (mut from, mut to) = (inputs.as_ptr(), plane.as_mut_ptr());
    for _ in 0..rows.count {
        // SAFETY: four inputs are there at every column of every row, and places of two bytes in four lanes.
        unsafe { widen_lanes(rows, lane_bytes, from, to) };
        from = from.wrapping_add(rows.input_bytes);
        to = to.wrapping_add(rows.plane_bytes);
    }
    Some(())
}

/// # Safety
/// At every column are four inputs and, in every lane, a place of two bytes.
#[inline(always)]
unsafe fn widen_lanes(rows: &Rows, lane_bytes: usize, from: *const u8, to: *mut u8) {
    // SAFETY: as the function's: two columns are read and written at a time, and then the odd one.
    unsafe {
        asm!(
            "cmp {to}, {end}",
            "beq 3f",
            "2:",
            "ldr {a}, [{from}]",
            "ldr {b}, [{from}, {pitch}]",
            "add {from}, {from}, {pitch}, lsl #1",
            "sxtb16 {c}, {a}",
            "sxtb16 {d}, {b}",
            "sxtb16 {a}, {a}, ror #8",
            "sxtb16 {b}, {b}, ror #8",
            "pkhbt {e}, {a}, {b}, lsl #16",
            "pkhtb {b}, {b}, {a}, asr #16",
            "pkhbt {a}, {c}, {d}, lsl #16",
            "pkhtb {d}, {d}, {c}, asr #16",
            "str {e}, [{to}, {lane}]",
            "str {d}, [{to}, {lane}, lsl #1]",
            "str {b}, [{to}, {last}]",
            "str {a}, [{to}], #4",
            "cmp {to}, {end}",
            "bne 2b",
            "3:",
            "cmp {odd}, #0",
            "beq 4f",
            "ldr {a}, [{from}]",
            "sxtb16 {c}, {a}",
            "sxtb16 {a}, {a}, ror #8",
            "strh {c}, [{to}]",
            "strh {a}, [{to}, {lane}]",
            "lsr {c}, {c}, #16",
            "lsr {a}, {a}, #16",
            "strh {c}, [{to}, {lane}, lsl #1]",
            "strh {a}, [{to}, {last}]",
            "4:",
            a = out(reg) _,
            b = out(reg) _,
            c = out(reg) _,
            d = out(reg) _,
            e = out(reg) _,
            from = inout(reg) from => _,
            to = inout(reg) to => _,
            end = in(reg) to.wrapping_add(rows.columns / 2 * 4),
            odd = in(reg) rows.columns & 1,
            pitch = in(reg) rows.pitch,
            lane = in(reg) lane_bytes,
            last = in(reg) lane_bytes.wrapping_mul(LANES - 1),
            options(nostack)
        );
    }
}

/// As the portable loop; none where the slices do not suit the instructions.
#[inline(always)]
pub(crate) fn depthwise3(channel: &Depthwise3, rows: usize, out: &mut [u8]) -> Option<()> {
    let &Depthwise3 {
        stride,
        pitch,
        row_bytes,
        lane_bytes,
        ..
    } = channel;
    let outputs = rows.checked_mul(channel.columns)?;
    let taps = channel.taps.as_chunks::<TAP_BYTES>().0;
    let other_lanes = taps.len().checked_sub(1)?;
    let last = outputs.checked_sub(1)?.checked_mul(pitch)?;
    // A step loads the two words from its first input on, so a row ends one input behind its last tap.
    let steps = match stride {
        1 => channel.columns.div_ceil(2),
        2 => channel.columns,
        _ => return None,
    };
    let in_row = steps.checked_mul(2)?.checked_add(2)?;
    let last_row = (rows.checked_sub(1)?).checked_mul(stride)?.checked_add(2)?;
    let needed = last_row
        .checked_mul(row_bytes)?
        .checked_add(in_row.checked_mul(2)?)?
        .checked_add(other_lanes.checked_mul(lane_bytes)?)?;
    let fits = pitch > 0
        && last.checked_add(other_lanes)? < out.len()
        && in_row <= channel.width
        && (row_bytes | lane_bytes) & 3 == 0
        && channel.plane.len() >= needed
        && is_aligned(channel.plane)
        && is_aligned(channel.taps);
    if !fits {
        return None;
    }
    let pairs = if stride == 1 { channel.columns / 2 } else { 0 };
    let start = out.as_mut_ptr();
    let mut work = Work {
        plane: channel.plane.as_ptr(),
        row_bytes,
        out: start,
        taps: taps.as_ptr(),
        end: start.wrapping_add(outputs * pitch),
        pair_span: 2 * pairs * pitch,
        row_span: channel.columns * pitch,
        advance: (stride * row_bytes).wrapping_sub(4 * steps),
        shift: 0,
        pitch,
        row_end: start,
    };
    for _ in taps {
        // SAFETY: every output is in `out`, every input of every step in the planes: checked above.
        unsafe { run(work) };
        work.plane = work.plane.wrapping_add(lane_bytes);
        work.out = work.out.wrapping_add(1);
        work.end = work.end.wrapping_add(1);
        work.taps = work.taps.wrapping_add(1);
    }
    Some(())
}

/// Arguments in the order in which the loop finds them on the stack.
#[derive(Clone, Copy)]
#[repr(C)]
struct Work {
    plane: *const u8,
    row_bytes: usize,
    out: *mut u8,
    taps: *const [u8; TAP_BYTES],
    end: *mut u8,
    /// Bytes of output that pairs write in a row.
    pair_span: usize,
    /// Bytes of output of a row.
    row_span: usize,
    /// From the end of a row of steps to the start of the next.
    advance: usize,
    /// Room for the shift of the requantisation.
    shift: u32,
    pitch: usize,
    /// Room for the end of the current row.
    row_end: *mut u8,
}

#[unsafe(naked)]
unsafe extern "C" fn run(work: Work) {
    naked_asm!(
        core_with_dsp!(),
        // On the stack: start of a sum 0, M 4, R 8, end of pairs 12, saved registers 16, end 52,
        // pair span 56, row span 60, advance 64, shift 68, pitch 72, end of row 76.
        // r0, r1, r10: inputs of three rows; r2-r7: taps; r8, r9: sums; lr: output.
        "push {{r0-r11, lr}}",
        "mov lr, r2",
        "mov r12, r3",
        "mov r10, r1",
        "add r1, r0, r10",
        "add r10, r1, r10",
        "ldm r12!, {{r2-r7}}",
        "ldm r12, {{r8, r9, r11, r12}}",
        "str r8, [sp]",
        "strd r9, r11, [sp, #4]",
        "str r12, [sp, #68]",
        "1:",
        "ldrd r11, r12, [sp, #56]",
        "add r11, lr, r11",
        "add r12, lr, r12",
        "str r11, [sp, #12]",
        "str r12, [sp, #76]",
        "cmp lr, r11",
        "beq.w 3f",
        "2:",
        "ldr r8, [sp]",
        "ldrd r11, r12, [r0], #4",
        "smlabt r9, r2, r11, r8",
        "smlad r8, r2, r11, r8",
        "smlatb r8, r3, r12, r8",
        "smlad r9, r3, r12, r9",
        "ldrd r11, r12, [r1], #4",
        "smlad r8, r4, r11, r8",
        "smlabt r9, r4, r11, r9",
        "smlatb r8, r5, r12, r8",
        "smlad r9, r5, r12, r9",
        "ldrd r11, r12, [r10], #4",
        "smlad r8, r6, r11, r8",
        "smlabt r9, r6, r11, r9",
        "smlatb r8, r7, r12, r8",
        "smlad r9, r7, r12, r9",
        "ldrd r11, r12, [sp, #4]",
        "smmla r8, r8, r11, r12",
        "smmla r9, r9, r11, r12",
        "ldrd r11, r12, [sp, #68]",
        "asr r8, r8, r11",
        "asr r9, r9, r11",
        "ssat r8, #8, r8",
        "ssat r9, #8, r9",
        "ldr r11, [sp, #12]",
        "strb r8, [lr]",
        "strb r9, [lr, r12]",
        "add lr, lr, r12, lsl #1",
        "cmp lr, r11",
        "bne.w 2b",
        "3:",
        "ldr r11, [sp, #76]",
        "cmp lr, r11",
        "beq.w 5f",
        "4:",
        "ldr r8, [sp]",
        "ldrd r11, r12, [r0], #4",
        "smlad r8, r2, r11, r8",
        "smlatb r8, r3, r12, r8",
        "ldrd r11, r12, [r1], #4",
        "smlad r8, r4, r11, r8",
        "smlatb r8, r5, r12, r8",
        "ldrd r11, r12, [r10], #4",
        "smlad r8, r6, r11, r8",
        "smlatb r8, r7, r12, r8",
        "ldrd r11, r12, [sp, #4]",
        "smmla r8, r8, r11, r12",
        "ldrd r11, r12, [sp, #68]",
        "asr r8, r8, r11",
        "ldr r11, [sp, #76]",
        "ssat r8, #8, r8",
        "strb r8, [lr]",
        "add lr, lr, r12",
        "cmp lr, r11",
        "bne.w 4b",
        "5:",
        "ldr r11, [sp, #64]",
        "ldr r12, [sp, #52]",
        "add r0, r0, r11",
        "add r1, r1, r11",
        "add r10, r10, r11",
        "cmp lr, r12",
        "bne.w 1b",
        "add sp, #16",
        "pop {{r4-r11, pc}}",
    )
}
