//! Packed weights times two columns, or times one row: two groups at a time.
//!
//! A load of 16 bytes holds two steps of a group, in each step the word of channels 0 and 1 and that of
//! channels 2 and 3, so every input word stands twice. Two `SMLAL` are four `SMLAD` with their products apart.
//! For two columns 28 instructions do 64 multiply-accumulates, for a row 20 do 32.

use crate::multiply::{GROUP, Layer, START_WORDS, group_bytes};
use core::arch::aarch64::*;

/// Bytes of two steps: of a group, and of two columns.
const BLOCK: usize = 16;
/// Bytes of two steps of a row.
const ROW_BLOCK: usize = 4;
/// Bytes of a step: of two columns, and of a row.
const PAIR_STEP: usize = BLOCK / 2;
const ROW_STEP: usize = ROW_BLOCK / 2;
/// Bytes of a group before its weights.
const START: usize = 4 * START_WORDS;

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
    if !fits {
        return None;
    }
    let outputs = [first.as_mut_ptr(), second.as_mut_ptr()];
    // SAFETY: a layer has the groups for its channels, the columns have the words of every step, and both outputs
    // have a byte for every channel.
    unsafe { pair(layer, columns.as_ptr(), outputs) };
    Some(())
}

/// As the portable loop; none where that has to do it.
#[inline(always)]
pub(crate) fn multiply_row(layer: &Layer, inputs: &[u8], out: &mut [u8]) -> Option<()> {
    let fits = out.len() == layer.channels() && inputs.len() / ROW_STEP >= layer.steps();
    if !fits {
        return None;
    }
    // SAFETY: a layer has the groups for its channels, the inputs of every step are there, and the output has
    // a byte for every channel.
    unsafe { row(layer, inputs.as_ptr(), out.as_mut_ptr()) };
    Some(())
}

/// Two groups; where there is only one left, it stands for both.
#[derive(Clone, Copy)]
struct Groups {
    one: *const u8,
    other: *const u8,
    steps: usize,
}

/// Calls `compute` for every eight channels, or fewer at the end: with their groups, how many channels
/// are before them, and how many are left.
#[inline]
#[target_feature(enable = "neon")]
fn for_each(layer: &Layer, mut compute: impl FnMut(Groups, usize, usize)) {
    let (steps, bytes) = (layer.steps(), group_bytes(layer.steps()));
    let mut one = layer.groups().as_ptr();
    for before in (0..layer.channels()).step_by(2 * GROUP) {
        let left = layer.channels() - before;
        let other = match left {
            ..=GROUP => one,
            _ => one.wrapping_add(bytes),
        };
        compute(Groups { one, other, steps }, before, left);
        one = other.wrapping_add(bytes);
    }
}

/// # Safety
/// `columns` has the bytes of every step, both outputs one for every channel.
#[target_feature(enable = "neon")]
unsafe fn pair(layer: &Layer, columns: *const u8, outputs: [*mut u8; 2]) {
    for_each(layer, |groups, before, left| {
        // SAFETY: as this function's.
        let [one, other] = unsafe { pair_results(groups, columns) };
        // Of each group, four bytes of the first column and four of the second.
        let results = [vtrn1_s32(one, other), vtrn2_s32(one, other)];
        for (output, result) in outputs.into_iter().zip(results) {
            // SAFETY: as this function's, of the channels that are left.
            unsafe {
                store(
                    output.wrapping_add(before),
                    vreinterpret_s8_s32(result),
                    left,
                )
            };
        }
    });
}

/// # Safety
/// `inputs` has the bytes of every step, `out` one for every channel.
#[target_feature(enable = "neon")]
unsafe fn row(layer: &Layer, inputs: *const u8, out: *mut u8) {
    for_each(layer, |groups, before, left| {
        // SAFETY: as this function's.
        unsafe {
            let result = row_result(groups, inputs);
            store(out.wrapping_add(before), result, left);
        }
    });
}

/// Stores the first `count` bytes, at most eight.
///
/// # Safety
/// `to` has `count` bytes.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn store(to: *mut u8, bytes: int8x8_t, count: usize) {
    // SAFETY: as this function's; no store needs alignment.
    unsafe {
        match count {
            8.. => vst1_s8(to.cast(), bytes),
            4 => to
                .cast::<i32>()
                .write_unaligned(vget_lane_s32::<0>(vreinterpret_s32_s8(bytes))),
            _ => {
                let bytes = vget_lane_u64::<0>(vreinterpret_u64_s8(bytes)).to_le_bytes();
                core::ptr::copy_nonoverlapping(bytes.as_ptr(), to, count);
            }
        }
    }
}

/// Lanes of two steps, and their low bytes.
#[derive(Clone, Copy)]
struct Weights {
    lanes: int16x8_t,
    low: int16x8_t,
}

impl Weights {
    /// # Safety
    /// The group has the block.
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn load(group: *const u8, block: usize) -> Self {
        // SAFETY: as this function's.
        let lanes = unsafe { vld1q_s16(group.wrapping_add(START + block * BLOCK).cast()) };
        Self {
            lanes,
            low: vshrq_n_s16::<8>(vshlq_n_s16::<8>(lanes)),
        }
    }
}

/// Sums of a group for one column: of whole lanes, and of low bytes, of both inputs of a step apart.
#[derive(Clone, Copy)]
struct Sums {
    lanes: int32x4_t,
    low: int32x4_t,
}

impl Sums {
    #[inline]
    #[target_feature(enable = "neon")]
    fn zero() -> Self {
        let zero = vdupq_n_s32(0);
        Self {
            lanes: zero,
            low: zero,
        }
    }

    #[inline]
    #[target_feature(enable = "neon")]
    fn add(&mut self, weights: Weights, inputs: int16x8_t) {
        self.lanes = products(self.lanes, weights.lanes, inputs);
        self.low = products(self.low, weights.low, inputs);
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn products(sums: int32x4_t, weights: int16x8_t, inputs: int16x8_t) -> int32x4_t {
    let sums = vmlal_s16(sums, vget_low_s16(weights), vget_low_s16(inputs));
    vmlal_high_s16(sums, weights, inputs)
}

/// The bytes of both groups, in each those of the first column and then those of the second.
///
/// # Safety
/// As [`pair`]'s.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn pair_results(groups: Groups, columns: *const u8) -> [int32x2_t; 2] {
    let Groups { one, other, steps } = groups;
    let (mut first, mut second) = ([Sums::zero(); 2], [Sums::zero(); 2]);
    for block in 0..steps / 2 {
        // SAFETY: as this function's.
        let inputs = unsafe { vld1q_s32(columns.wrapping_add(block * BLOCK).cast()) };
        let of_first = vreinterpretq_s16_s32(vtrn1q_s32(inputs, inputs));
        let of_second = vreinterpretq_s16_s32(vtrn2q_s32(inputs, inputs));
        // SAFETY: as this function's.
        let weights = unsafe { [Weights::load(one, block), Weights::load(other, block)] };
        for ((first, second), weights) in first.iter_mut().zip(&mut second).zip(weights) {
            first.add(weights, of_first);
            second.add(weights, of_second);
        }
    }
    let ([first_of_one, first_of_other], [second_of_one, second_of_other]) = (first, second);
    // SAFETY: the groups are there.
    let results = unsafe {
        [
            result([one, one], steps, [first_of_one, second_of_one]),
            result([other, other], steps, [first_of_other, second_of_other]),
        ]
    };
    results.map(|bytes| vreinterpret_s32_s8(bytes))
}

/// The bytes of both groups.
///
/// # Safety
/// As [`row`]'s.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn row_result(groups: Groups, inputs: *const u8) -> int8x8_t {
    let Groups { one, other, steps } = groups;
    let mut sums = [Sums::zero(); 2];
    // The words of every step twice.
    let order = vcreate_u8(u64::from_le_bytes([0, 2, 0, 2, 1, 3, 1, 3]));
    for block in 0..steps / 2 {
        let from = inputs.wrapping_add(block * ROW_BLOCK).cast::<u32>();
        // SAFETY: as this function's.
        let four = vdup_n_u32(unsafe { from.read_unaligned() });
        let inputs = vtbl1_u8(vreinterpret_u8_u32(four), order);
        let inputs = vmovl_s8(vreinterpret_s8_u8(inputs));
        // SAFETY: as this function's.
        let weights = unsafe { [Weights::load(one, block), Weights::load(other, block)] };
        for (sums, weights) in sums.iter_mut().zip(weights) {
            sums.add(weights, inputs);
        }
    }
    // SAFETY: the groups are there.
    unsafe { result([one, other], steps, sums) }
}

/// Four bytes of each of two columns or groups, whose starts and multipliers are those of `groups`.
///
/// # Safety
/// Both groups are there.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn result(groups: [*const u8; 2], steps: usize, [one, other]: [Sums; 2]) -> int8x8_t {
    let end = START + PAIR_STEP * steps;
    // SAFETY: a group begins with 16 bytes and ends with 48.
    let ([a, b], [c, d]) = unsafe {
        (
            groups.map(|group| vld1q_s32(group.cast())),
            groups.map(|group| vld3q_s32(group.wrapping_add(end).cast())),
        )
    };
    let low = vaddq_s32(vpaddq_s32(one.low, other.low), vuzp2q_s32(a, b));
    let lanes = vaddq_s32(vpaddq_s32(one.lanes, other.lanes), vuzp1q_s32(a, b));
    // Channels 0 and 2, then 1 and 3, of both.
    let plain = [
        vuzp1q_s32(c.0, d.0),
        vuzp1q_s32(c.1, d.1),
        vuzp1q_s32(c.2, d.2),
    ];
    let lifted = [
        vuzp2q_s32(c.0, d.0),
        vuzp2q_s32(c.1, d.1),
        vuzp2q_s32(c.2, d.2),
    ];
    let plain = vqmovn_s32(scaled(low, plain, 0));
    let lifted = vqmovn_s32(scaled(vsubq_s32(lanes, low), lifted, 8));
    vqmovn_s16(vcombine_s16(
        vzip1_s16(plain, lifted),
        vzip2_s16(plain, lifted),
    ))
}

/// `(⌊sum·M / 2³²⌋ + R) >> shift`, shifted by `more` besides.
#[inline]
#[target_feature(enable = "neon")]
fn scaled(sums: int32x4_t, [factors, offsets, shifts]: [int32x4_t; 3], more: u32) -> int32x4_t {
    let low = vmull_s32(vget_low_s32(sums), vget_low_s32(factors));
    let high = vmull_high_s32(sums, factors);
    let high = vuzp2q_s32(vreinterpretq_s32_s64(low), vreinterpretq_s32_s64(high));
    let shifts = vandq_u32(vreinterpretq_u32_s32(shifts), vdupq_n_u32(0xFF));
    let shifts = vaddq_u32(vminq_u32(shifts, vdupq_n_u32(31)), vdupq_n_u32(more));
    // To the left by less than nothing is to the right.
    vshlq_s32(
        vaddq_s32(high, offsets),
        vnegq_s32(vreinterpretq_s32_u32(shifts)),
    )
}
