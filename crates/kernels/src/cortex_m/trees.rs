//! Walks down decision trees: 6 instructions for a branch by ranks, 10 for one by thresholds.

use super::is_aligned;
use crate::trees::{Ranked, Sums, WINDOW, portable};
use core::arch::{asm, naked_asm};

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

/// As the portable `add_ranked`; leaves, rows, values and width are checked, and there is a start.
#[inline(always)]
pub(crate) fn add_ranked<const FLOATS: bool>(
    trees: &Ranked,
    starts: &[[u8; 2]],
    leaf_mask: usize,
    Sums(sums): &mut Sums,
) -> Option<()> {
    let starts = starts.as_ptr_range();
    let work = Work {
        nodes: trees.nodes.as_ptr(),
        last_start: trees.nodes.len().checked_sub(WINDOW)?,
        leaves: trees.leaves.as_ptr(),
        leaf_mask,
        width: trees.width,
        sums: sums.as_mut_ptr(),
        images: trees.images,
        start: starts.start,
        end: starts.end,
        unit: trees.unit,
        rows_of_codes: trees.rows.as_ptr().wrapping_sub(trees.width),
        code_count: trees.rows.len().checked_add(trees.width)?,
        values: trees.values.as_ptr(),
        value_mask: trees.values.len().wrapping_sub(1),
        pieces: trees.pieces.as_ptr(),
        piece_count: trees.pieces.len(),
    };
    // SAFETY: starts, codes of rows and pieces are compared with their numbers; a window is there from every start up
    // to the last, and a byte picks a node of it or an image. Leaves and values are picked under a mask, and there is a
    // power of two of them. There are 16 sums: a code below the width picks one, as do four bits of an entry. A row
    // ends before the rows do, as the last entry ends. Sums and `Work` are aligned, which loads of floats and of two
    // words need; single words are read wherever they stand.
    let done = unsafe {
        match FLOATS {
            #[cfg(cortex_m_fpu)]
            true => add_floats(&work),
            #[cfg(not(cortex_m_fpu))]
            true => 0,
            false => add_steps(&work),
        }
    };
    (done != 0).then_some(())
}

/// Arguments in the order in which the loop reads them.
#[repr(C)]
struct Work {
    nodes: *const [u8; 4],
    last_start: usize,
    leaves: *const [u8; 2],
    leaf_mask: usize,
    width: usize,
    sums: *mut [u8; 4],
    images: *const [u8; 256],
    start: *const [u8; 2],
    end: *const [u8; 2],
    unit: u32,
    /// Where the row of code 0 would be; there are only those from the width on.
    rows_of_codes: *const [u8; 2],
    code_count: usize,
    values: *const [u8; 4],
    value_mask: usize,
    pieces: *const [u8; 2],
    piece_count: usize,
}

/// A loop over trees, the first three nodes of each taken for branches.
///
/// In registers: r0 nodes, r1 last start, r2 leaves, r3 their mask, r4 width, r5 sums, r6 images, r7 next start, r8 end
/// of starts; lr finds the rest, from `Work::unit` on. r9 to r12 are for each tree: window, place and node; then the
/// code, in r12.
macro_rules! add_trees {
    (start: $($start:literal)*, unit: $($unit:literal)*, entry: $($entry:literal)*) => {
        naked_asm!(
            core_with_dsp!(),
            "push {{r4-r11, lr}}",
            "mov lr, r0",
            "ldm lr!, {{r0-r8}}",
            $($start,)*
            "1:",
            "ldrh r9, [r7], #2",
            "2:",
            "cmp r9, r1",
            "bhi 9f",
            "add r9, r0, r9, lsl #2",
            "ldr r11, [r9]",
            "uxtb r10, r11",
            "ldrb r10, [r6, r10]",
            "add r11, r11, r10, lsl #8",
            "ubfx r10, r11, #16, #8",
            "ldr r11, [r9, r10, lsl #2]",
            "uxtb r10, r11",
            "ldrb r10, [r6, r10]",
            "add r11, r11, r10, lsl #8",
            "ubfx r10, r11, #16, #8",
            "ldr r11, [r9, r10, lsl #2]",
            "uxtb r10, r11",
            "ldrb r10, [r6, r10]",
            "add r11, r11, r10, lsl #8",
            "ubfx r10, r11, #16, #8",
            "3:",
            "ldr r11, [r9, r10, lsl #2]",
            "uxtb r10, r11",
            "ldrb r10, [r6, r10]",
            "adds r11, r11, r10, lsl #8",
            "ubfx r10, r11, #16, #8",
            "bpl 3b",
            "and r11, r3, r11, lsr #16",
            "ldrh r12, [r2, r11, lsl #1]",
            "cmp r12, r4",
            "bhs 5f",
            $($unit,)*
            "cmp r7, r8",
            "bne 1b",
            "8:",
            "mov r0, #1",
            "pop {{r4-r11, pc}}",
            // A row; the code is beyond those of rows where the walk goes on.
            "5:",
            "ldrd r9, r10, [lr, #4]",
            "cmp r12, r10",
            "bhs 7f",
            "add r9, r9, r12, lsl #1",
            "ldrd r10, r11, [lr, #12]",
            "6:",
            "ldrh r12, [r9], #2",
            "lsrs r1, r12, #12",
            $($entry,)*
            "bcc 6b",
            "ldr r1, [lr, #-32]",
            "cmp r7, r8",
            "bne 1b",
            "b 8b",
            // Another piece, by the bits below the top one.
            "7:",
            "subs r12, r12, #0x8000",
            "blo 9f",
            "ldrd r9, r10, [lr, #20]",
            "cmp r12, r10",
            "bhs 9f",
            "ldrh r9, [r9, r12, lsl #1]",
            "b 2b",
            "9:",
            "mov r0, #0",
            "pop {{r4-r11, pc}}",
        )
    };
}

/// Of whole steps: 7 instructions for an entry.
#[unsafe(naked)]
unsafe extern "C" fn add_steps(work: *const Work) -> u32 {
    add_trees!(
        start:,
        unit: "ldr r9, [lr]" "ldr r10, [r5, r12, lsl #2]" "add r10, r10, r9" "str r10, [r5, r12, lsl #2]",
        entry: "ldr r10, [r5, r1, lsl #2]" "ubfx r11, r12, #0, #11" "add r10, r10, r11" "str r10, [r5, r1, lsl #2]"
    )
}

/// Of `f32`: 10 instructions for an entry.
#[cfg(cortex_m_fpu)]
#[unsafe(naked)]
unsafe extern "C" fn add_floats(work: *const Work) -> u32 {
    add_trees!(
        start: ".fpu fpv4-sp-d16" "vldr s2, [lr]",
        unit: "add r12, r5, r12, lsl #2" "vldr s0, [r12]" "vadd.f32 s0, s0, s2" "vstr s0, [r12]",
        entry: "and r12, r11, r12" "ldr r12, [r10, r12, lsl #2]" "vmov s1, r12" "add r1, r5, r1, lsl #2" "vldr s0, [r1]"
            "vadd.f32 s0, s0, s1" "vstr s0, [r1]"
    )
}

/// As the portable loop, for as many inputs as images and a shift below 32: 5.75 instructions for an input.
#[inline(never)]
pub(crate) fn map_to_grid(inputs: &[[u8; 4]], below: i32, shift: u32, images: &mut [u8]) -> bool {
    let (fours, rest) = inputs.as_chunks::<4>();
    let mut signs = 0_i32;
    if !is_aligned(fours.as_flattened().as_flattened()) {
        return portable::map_to_grid(inputs, below, shift, images);
    }
    let count = fours.len();
    if count > 0 {
        // SAFETY: there are four inputs, aligned for `ldm`, and places for four images as often as `count` says.
        unsafe {
            asm!(
                "2:",
                "ldm {from}!, {{r0, r1, r2, r3}}",
                "orr {signs}, {signs}, r0",
                "orr {signs}, {signs}, r1",
                "orr {signs}, {signs}, r2",
                "orr {signs}, {signs}, r3",
                "qsub r0, r0, {below}",
                "qsub r1, r1, {below}",
                "qsub r2, r2, {below}",
                "qsub r3, r3, {below}",
                "asr r0, r0, {shift}",
                "asr r1, r1, {shift}",
                "asr r2, r2, {shift}",
                "asr r3, r3, {shift}",
                "usat r0, #8, r0",
                "usat r1, #8, r1",
                "usat r2, #8, r2",
                "usat r3, #8, r3",
                "strb r0, [{to}], #1",
                "strb r1, [{to}], #1",
                "strb r2, [{to}], #1",
                "strb r3, [{to}], #1",
                "subs {count}, {count}, #1",
                "bne 2b",
                from = inout(reg) fours.as_ptr() => _,
                to = inout(reg) images.as_mut_ptr() => _,
                count = inout(reg) count => _,
                signs = inout(reg) signs,
                below = in(reg) below,
                shift = in(reg) shift,
                out("r0") _,
                out("r1") _,
                out("r2") _,
                out("r3") _,
                options(nostack)
            );
        }
    }
    let behind = images.get_mut(count * 4..).unwrap_or_default();
    portable::map_to_grid(rest, below, shift, behind) || signs < 0
}

/// Branches over inputs of which none is a NaN with its sign set: as integers, the bits of all others that are negative
/// are below those of every threshold.
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
        let inputs = x.get(..inputs)?;
        if !fits || any_negative(inputs) && any_negative_nan(inputs) {
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
                "it lt",
                "lsrlt {link}, {link}, #12",
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
fn any_negative(words: &[[u8; 4]]) -> bool {
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

#[inline(never)]
fn any_negative_nan(words: &[[u8; 4]]) -> bool {
    let mut words = words.iter();
    words.any(|word| u32::from_le_bytes(*word) > portable::NEGATIVE_INFINITY)
}
