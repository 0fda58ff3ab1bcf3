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
//!
//! # Ties
//!
//! That rounds every tie up, which [`UP`] is for. With [`EVEN`], ties go to the even result: for the value `t` of the
//! accumulator and the value `d` of one that is less by the upper 24 bits of the shift's word (in channels 1 and 3 of
//! `256a`), both before saturation, the result is `t & (d | !1)`; with [`ODD`], for zero points that are odd, it is
//! `d | (t & 1)`. A difference of 0 makes `d = t`.
//!
//! | accumulator | `t`, `d` | even | odd |
//! |---|---|---|---|
//! | the least that gives `t = 6`, a tie | 6, 5 | 6 | 5 |
//! | the least that gives `t = 7`, a tie | 7, 6 | 6 | 7 |
//! | any other that gives 7 | 7, 7 | 7 | 7 |

#[cfg(not(cortex_m_dsp))]
use crate::columns::widen;

/// Ties are rounded up.
pub const UP: u8 = 0;
/// Ties go to the even result.
pub const EVEN: u8 = 1;
/// Ties go to the odd result.
pub const ODD: u8 = 2;

/// Channels that are computed together.
pub const GROUP: usize = 4;

/// Words of a group beside its weights.
pub(crate) const START_WORDS: usize = 4;
const END_WORDS: usize = 12;

/// Bytes of a group whose columns have `steps` words.
pub const fn group_bytes(steps: usize) -> usize {
    4 * (START_WORDS + 2 * steps + END_WORDS)
}

/// Packed weights of some channels, and how their sums become bytes.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a> {
    groups: &'a [u8],
    steps: usize,
    channels: usize,
}

impl<'a> Layer<'a> {
    /// The layer whose groups are at the start of `groups`: `steps` of two inputs each, an even
    /// number of at least 2; `channels` may leave out the last ones of the last group.
    ///
    /// None where groups are missing.
    #[inline]
    pub fn new(groups: &'a [u8], steps: usize, channels: usize) -> Option<Layer<'a>> {
        let sound = steps >= 2 && steps.is_multiple_of(2) && steps <= usize::MAX >> 8;
        let bytes = group_bytes(if sound { steps } else { return None });
        Some(Layer {
            groups: groups.get(..bytes.checked_mul(channels.div_ceil(GROUP))?)?,
            steps,
            channels,
        })
    }

    /// Steps of two inputs.
    pub fn steps(&self) -> usize {
        self.steps
    }

    #[cfg(any(cortex_m_dsp, simd))]
    pub(crate) fn groups(&self) -> &'a [u8] {
        self.groups
    }

    #[cfg(any(cortex_m_dsp, simd))]
    pub(crate) fn channels(&self) -> usize {
        self.channels
    }
}

/// Multiplies two columns, as [`fill`](crate::fill) makes them, with every group.
///
/// Lanes of the columns hold bytes with their sign; from others a machine may make other results than another.
/// None, and nothing is written, unless each output has a byte for every channel and there are inputs for every step.
/// Cost: see the crate's documentation.
#[inline]
pub fn multiply_pair<const TIES: u8>(
    layer: &Layer,
    columns: &[u8],
    first: &mut [u8],
    second: &mut [u8],
) -> Option<()> {
    #[cfg(any(cortex_m_dsp, simd = "x86_64"))]
    let done = crate::arch::multiply_pair::<TIES>(layer, columns, first, second);
    #[cfg(all(simd, not(simd = "x86_64")))]
    let done = match TIES {
        EVEN | ODD => None,
        _ => crate::arch::multiply_pair(layer, columns, first, second),
    };
    #[cfg(not(any(cortex_m_dsp, simd)))]
    let done = None;
    #[cfg(not(cortex_m_dsp))]
    if done.is_none() {
        let columns = columns.get(..layer.steps.checked_mul(8)?)?;
        if [first.len(), second.len()] != [layer.channels; 2] {
            return None;
        }
        portable::pair::<TIES>(layer, columns, first, second);
        return Some(());
    }
    done
}

/// Multiplies one row of `2·steps` inputs, as they are, with every group.
///
/// As [`multiply_pair`] otherwise.
#[inline]
pub fn multiply_row<const TIES: u8>(layer: &Layer, inputs: &[u8], out: &mut [u8]) -> Option<()> {
    #[cfg(any(cortex_m_dsp, simd = "x86_64"))]
    let done = crate::arch::multiply_row::<TIES>(layer, inputs, out);
    #[cfg(all(simd, not(simd = "x86_64")))]
    let done = match TIES {
        EVEN | ODD => None,
        _ => crate::arch::multiply_row(layer, inputs, out),
    };
    #[cfg(not(any(cortex_m_dsp, simd)))]
    let done = None;
    #[cfg(not(cortex_m_dsp))]
    if done.is_none() {
        let inputs = inputs.get(..layer.steps.checked_mul(2)?)?;
        if out.len() != layer.channels {
            return None;
        }
        portable::row::<TIES>(layer, inputs, out);
        return Some(());
    }
    done
}

/// What every architecture computes.
#[cfg(not(cortex_m_dsp))]
pub(crate) mod portable {
    use super::*;

    pub fn pair<const TIES: u8>(
        layer: &Layer,
        columns: &[u8],
        first: &mut [u8],
        second: &mut [u8],
    ) {
        let steps = words(columns).as_chunks::<2>().0;
        groups::<TIES, _>(layer, first, || steps.iter().map(|[x, _]| *x));
        groups::<TIES, _>(layer, second, || steps.iter().map(|[_, x]| *x));
    }

    pub fn row<const TIES: u8>(layer: &Layer, inputs: &[u8], out: &mut [u8]) {
        groups::<TIES, _>(layer, out, || {
            words(inputs).iter().flat_map(|quad| widen(*quad))
        });
    }

    #[inline(always)]
    fn groups<const TIES: u8, I: Iterator<Item = [u8; 4]>>(
        layer: &Layer,
        out: &mut [u8],
        inputs: impl Fn() -> I,
    ) {
        let groups = words(layer.groups).chunks_exact(group_bytes(layer.steps) / 4);
        for (group, out) in groups.zip(out.chunks_mut(GROUP)) {
            let results = outputs::<TIES>(layer, group, inputs().take(layer.steps));
            out.iter_mut()
                .zip(results)
                .for_each(|(out, result)| *out = result);
        }
    }
}

#[cfg(not(cortex_m_dsp))]
fn words(bytes: &[u8]) -> &[[u8; 4]] {
    bytes.as_chunks().0
}

/// The four bytes of a group for one column.
#[cfg(not(cortex_m_dsp))]
fn outputs<const TIES: u8>(
    layer: &Layer,
    group: &[[u8; 4]],
    inputs: impl Iterator<Item = [u8; 4]>,
) -> [u8; GROUP] {
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
    match ends.first_chunk::<END_WORDS>() {
        Some(ends) => results::<TIES>(ends, sums),
        None => [0; GROUP],
    }
}

/// The bytes of the sums of both pairs of channels, each of whole lanes and of low bytes.
#[cfg(not(cortex_m_dsp))]
fn results<const TIES: u8>(ends: &[[u8; 4]; END_WORDS], [a, b, c, d]: [i32; 4]) -> [u8; GROUP] {
    let [m0, r0, e0, m1, r1, e1, m2, r2, e2, m3, r3, e3] = *ends;
    [
        result::<TIES>(b, [m0, r0, e0], 0),
        result::<TIES>(a.wrapping_sub(b), [m1, r1, e1], 8),
        result::<TIES>(d, [m2, r2, e2], 0),
        result::<TIES>(c.wrapping_sub(d), [m3, r3, e3], 8),
    ]
}

/// The bytes of a group whose weights give `sums`, as [`results`] takes them.
#[cfg(simd = "arm")]
pub(crate) fn finished(group: &[u8], sums: [i32; 4]) -> [u8; GROUP] {
    let words = words(group);
    let (Some(start), Some(ends)) = (words.first_chunk(), words.last_chunk()) else {
        return [0; GROUP];
    };
    let [[a, b, c, d], [e, f, g, h]] = [sums, start.map(i32::from_le_bytes)];
    let sums = [(a, e), (b, f), (c, g), (d, h)].map(|(sum, start)| sum.wrapping_add(start));
    results::<UP>(ends, sums)
}

/// `sum + x₀·w₀ + x₁·w₁` of 16-bit lanes, modulo 2³².
#[inline(always)]
pub(crate) fn dual(sum: i32, w: [u8; 4], x: [u8; 4]) -> i32 {
    #[cfg(cortex_m_dsp)]
    return crate::arch::dual(sum, w, x);
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
#[cfg(not(cortex_m_dsp))]
fn low_bytes([a, _, b, _]: [u8; 4]) -> [u8; 4] {
    let [a, b] = [a, b].map(|byte| i16::from(byte as i8).to_le_bytes());
    let ([a0, a1], [b0, b1]) = (a, b);
    [a0, a1, b0, b1]
}

/// `sat((⌊sum·M / 2³²⌋ + R) >> shift)` with the words `M`, `R` and shift; the addition is modulo 2³².
#[cfg(not(cortex_m_dsp))]
pub(crate) fn requantise(sum: i32, words: [[u8; 4]; 3]) -> u8 {
    saturate(scaled(sum, words))
}

/// The byte of a sum that is lifted by so many bits, with ties where `TIES` says.
#[inline(always)]
pub(crate) fn result<const TIES: u8>(sum: i32, words: [[u8; 4]; 3], lift: u32) -> u8 {
    let value = scaled(sum, words) >> lift;
    let [_, _, shift] = words.map(i32::from_le_bytes);
    let before = || scaled(sum.wrapping_sub(shift >> 8), words) >> lift;
    saturate(match TIES {
        EVEN => value & (before() | !1),
        ODD => before() | (value & 1),
        _ => value,
    })
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
