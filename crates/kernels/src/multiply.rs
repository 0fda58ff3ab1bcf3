//! Packed weights times columns of inputs, with the requantisation at once.
//!
//! # Packing
//!
//! Four output channels form a group. A 16-bit lane holds the weights of two of them,
//! `v = 256·w₁ + w₀`, and a word the lanes of two inputs; `SMLAD(v, x)` then adds
//! `256·w₁·x + w₀·x` of both inputs at once. Sign-extending the low byte of each lane
//! (`SXTB16`) gives `w₀` alone, so that a second `SMLAD` adds `w₀·x`. With `A` and `B` for the
//! two sums, `B` is channel 0 and `A - B` is 256 times channel 1, both modulo 2³². This is exact
//! where every `v` fits 16 bits and the accumulator of channel 1 is below 2²³ in magnitude; the
//! compiler proves both. Each weight byte is read once and extended once for two columns.
//!
//! # A group in the constants, little-endian words
//!
//! | words | what |
//! |---|---|
//! | 4 | where the sums start: `256·b₁ + b₀`, `b₀`, `256·b₃ + b₂`, `b₂` |
//! | 2 per step | `v` of channels 0 and 1, of channels 2 and 3, for the two inputs of the step |
//! | 12 | `M`, `R`, `shift` of each channel |
//!
//! # Requantisation with one multiply
//!
//! With `a` for an accumulator, channels 0 and 2 give `sat((⌊a·M / 2³²⌋ + R) >> shift)` and
//! channels 1 and 3 `sat((⌊256a·M / 2³²⌋ + R) >> (shift + 8))`, both saturated to `i8`; the shift
//! is the low byte of its word, and from 32 on as good as 31. The
//! compiler chooses `M`, `R`, `shift` and the start `b` such that this equals the exact rounded result for
//! every accumulator that can be reached, and proves it.

use crate::columns::widen;

/// Channels that are computed together.
pub const GROUP: usize = 4;

/// Words of a group beside its weights.
const START_WORDS: usize = 4;
const END_WORDS: usize = 12;

/// Bytes of a group whose columns have `steps` words.
pub const fn group_bytes(steps: usize) -> usize {
    4 * (START_WORDS + 2 * steps + END_WORDS)
}

/// Packed weights of some groups, and how their sums become bytes.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a> {
    /// Whole groups, one after another.
    pub groups: &'a [u8],
    /// Steps of two inputs; even, at least 2.
    pub steps: usize,
}

/// Multiplies two columns, as [`fill`](crate::fill) makes them, with every group.
///
/// Each output has `channels` bytes, which may leave out the last channels of the last group.
/// Nothing is written where the slices are too short for that. Cost: see the crate's documentation.
#[inline]
pub fn multiply_pair(layer: &Layer, columns: &[u8], first: &mut [u8], second: &mut [u8]) {
    let Some((whole, tail)) = layer.split(first.len()) else {
        return;
    };
    let (a, a_tail) = first.split_at_mut(first.len() & !(GROUP - 1));
    let Some((b, b_tail)) = second.split_at_mut_checked(a.len()) else {
        return;
    };
    if !a.is_empty() {
        pair(&whole, columns, a, b);
    }
    if !a_tail.is_empty() {
        let (mut last_a, mut last_b) = ([0; GROUP], [0; GROUP]);
        pair(&tail, columns, &mut last_a, &mut last_b);
        copy(&last_a, a_tail);
        copy(&last_b, b_tail);
    }
}

/// Multiplies one row of `2·steps` inputs, as they are, with every group.
///
/// As [`multiply_pair`] otherwise.
#[inline]
pub fn multiply_row(layer: &Layer, inputs: &[u8], out: &mut [u8]) {
    let Some((whole, tail)) = layer.split(out.len()) else {
        return;
    };
    let (out, out_tail) = out.split_at_mut(out.len() & !(GROUP - 1));
    if !out.is_empty() {
        row(&whole, inputs, out);
    }
    if !out_tail.is_empty() {
        let mut last = [0; GROUP];
        row(&tail, inputs, &mut last);
        copy(&last, out_tail);
    }
}

impl<'a> Layer<'a> {
    /// The groups whose channels are all wanted, and the one behind them.
    fn split(&self, channels: usize) -> Option<(Layer<'a>, Layer<'a>)> {
        let bytes = group_bytes(self.steps).checked_mul(channels / GROUP)?;
        let (whole, tail) = self.groups.split_at_checked(bytes)?;
        let with = |groups| Layer { groups, ..*self };
        Some((with(whole), with(tail)))
    }
}

fn copy(from: &[u8; GROUP], to: &mut [u8]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
}

/// Whole groups, as many as the outputs hold.
#[inline(always)]
fn pair(layer: &Layer, columns: &[u8], first: &mut [u8], second: &mut [u8]) {
    #[cfg(cortex_m_dsp)]
    if crate::cortex_m::multiply_pair(layer, columns, first, second).is_some() {
        return;
    }
    portable::pair(layer, columns, first, second);
}

/// Whole groups, as many as the output holds.
#[inline(always)]
fn row(layer: &Layer, inputs: &[u8], out: &mut [u8]) {
    #[cfg(cortex_m_dsp)]
    if crate::cortex_m::multiply_row(layer, inputs, out).is_some() {
        return;
    }
    portable::row(layer, inputs, out);
}

/// What every architecture computes.
pub(crate) mod portable {
    use super::*;

    pub fn pair(layer: &Layer, columns: &[u8], first: &mut [u8], second: &mut [u8]) {
        let steps = words(columns).as_chunks::<2>().0;
        groups(layer, first, || steps.iter().map(|[x, _]| *x));
        groups(layer, second, || steps.iter().map(|[_, x]| *x));
    }

    pub fn row(layer: &Layer, inputs: &[u8], out: &mut [u8]) {
        groups(layer, out, || {
            words(inputs).iter().flat_map(|quad| widen(*quad))
        });
    }

    #[inline(always)]
    fn groups<I: Iterator<Item = [u8; 4]>>(layer: &Layer, out: &mut [u8], inputs: impl Fn() -> I) {
        let groups = words(layer.groups).chunks_exact(group_bytes(layer.steps) / 4);
        for (group, out) in groups.zip(out.as_chunks_mut().0) {
            *out = outputs(layer, group, inputs().take(layer.steps));
        }
    }
}

fn words(bytes: &[u8]) -> &[[u8; 4]] {
    bytes.as_chunks().0
}

/// The four bytes of a group for one column.
fn outputs(layer: &Layer, group: &[[u8; 4]], inputs: impl Iterator<Item = [u8; 4]>) -> [u8; GROUP] {
    let Some((&[a, b, c, d], rest)) = group.split_first_chunk::<START_WORDS>() else {
        return [0; GROUP];
    };
    let mut sums = [a, b, c, d].map(i32::from_le_bytes);
    let (weights, ends) = rest.split_at_checked(2 * layer.steps).unwrap_or_default();
    for ([high, low], x) in weights.as_chunks::<2>().0.iter().zip(inputs) {
        let [a, b, c, d] = sums;
        sums = [
            dual(a, *high, x),
            dual(b, low_bytes(*high), x),
            dual(c, *low, x),
            dual(d, low_bytes(*low), x),
        ];
    }
    let [a, b, c, d] = sums;
    let Some(ends) = ends.first_chunk::<END_WORDS>() else {
        return [0; GROUP];
    };
    let [m0, r0, e0, m1, r1, e1, m2, r2, e2, m3, r3, e3] = *ends;
    [
        requantise(b, [m0, r0, e0]),
        requantise_lifted(a.wrapping_sub(b), [m1, r1, e1]),
        requantise(d, [m2, r2, e2]),
        requantise_lifted(c.wrapping_sub(d), [m3, r3, e3]),
    ]
}

/// `sum + x₀·w₀ + x₁·w₁` of 16-bit lanes, modulo 2³².
#[inline(always)]
pub(crate) fn dual(sum: i32, w: [u8; 4], x: [u8; 4]) -> i32 {
    #[cfg(cortex_m_dsp)]
    return crate::cortex_m::dual(sum, w, x);
    #[cfg(not(cortex_m_dsp))]
    {
        let lanes = |[a, b, c, d]: [u8; 4]| {
            [i16::from_le_bytes([a, b]), i16::from_le_bytes([c, d])].map(i32::from)
        };
        let ([w0, w1], [x0, x1]) = (lanes(w), lanes(x));
        sum.wrapping_add(w0.wrapping_mul(x0))
            .wrapping_add(w1.wrapping_mul(x1))
    }
}

/// The low byte of each lane, sign-extended.
fn low_bytes([a, _, b, _]: [u8; 4]) -> [u8; 4] {
    let [a, b] = [a, b].map(|byte| i16::from(byte as i8).to_le_bytes());
    let ([a0, a1], [b0, b1]) = (a, b);
    [a0, a1, b0, b1]
}

/// `sat((⌊sum·M / 2³²⌋ + R) >> shift)` with the words `M`, `R` and shift; the addition is modulo 2³².
pub(crate) fn requantise(sum: i32, words: [[u8; 4]; 3]) -> u8 {
    saturate(scaled(sum, words))
}

/// As [`requantise`], shifted by 8 more.
fn requantise_lifted(sum: i32, words: [[u8; 4]; 3]) -> u8 {
    saturate(scaled(sum, words) >> 8)
}

fn scaled(sum: i32, [factor, offset, shift]: [[u8; 4]; 3]) -> i32 {
    let [factor, offset] = [factor, offset].map(i32::from_le_bytes);
    let [shift, ..] = shift;
    let high = ((i64::from(sum) * i64::from(factor)) >> 32) as i32;
    high.wrapping_add(offset) >> shift.min(31)
}

fn saturate(value: i32) -> u8 {
    value.clamp(-128, 127) as i8 as u8
}
