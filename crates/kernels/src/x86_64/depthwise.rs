//! 3 × 3 depthwise convolution of an image, eight channels at a time.
//!
//! Four rows stand in a ring: three under the taps and one of padding, each as pairs of neighbouring
//! inputs, channel by channel. A row of outputs is written when the rows it needs are in the ring,
//! so it may overwrite the inputs.

use super::has_avx2;
use crate::depthwise::{Image3, TAP_BYTES};
use core::arch::x86_64::*;

/// Channels that are computed together.
const CHANNELS: usize = 8;
/// Pairs of columns that a row of the ring holds.
const PAIRS: usize = 128;
/// The row of the ring that is padding.
const PADDING: usize = 3;

/// A pair of columns: for each channel, one input of each.
type Pair = [u8; 2 * CHANNELS];
/// Rows of pairs, of which the last stays padding.
type Ring = [[Pair; PAIRS]; PADDING + 1];

/// As the portable planes; none where an image is too wide or its output does not stay behind its input.
#[inline(always)]
pub(crate) fn depthwise3_image(
    image: &Image3,
    memory: &mut [u8],
    x: usize,
    y: usize,
) -> Option<()> {
    if !has_avx2() || !suits(image, memory.len(), x, y)? {
        return None;
    }
    let memory = memory.as_mut_ptr();
    // SAFETY: the processor has AVX2, and `suits` says that input and output are in the memory, that there
    // are taps for every channel, and that pairs suffice.
    unsafe { run(image, memory.wrapping_add(x), memory.wrapping_add(y)) };
    Some(())
}

fn suits(image: &Image3, memory: usize, x: usize, y: usize) -> Option<bool> {
    let end = |start: usize, [rows, columns]: [usize; 2]| {
        let bytes = rows.checked_mul(columns)?.checked_mul(image.channels)?;
        start.checked_add(bytes).filter(|&end| end <= memory)
    };
    let (x_end, y_end) = (end(x, image.input)?, end(y, image.output)?);
    let ([height, width], [rows, columns]) = (image.input, image.output);
    let [top, left] = image.padding;
    let under = columns.checked_mul(image.stride)?.checked_add(3)?;
    let is_apart = x_end <= y || y_end <= x;
    let stays_behind = x == y && columns <= width && top < PADDING;
    Some(
        (is_apart || stays_behind)
            && matches!(image.stride, 1 | 2)
            && height.min(width).min(rows).min(columns).min(image.channels) > 0
            && under.max(left.checked_add(width)?.checked_add(1)?) <= 2 * PAIRS
            && rows.max(height).max(top) < i32::MAX as usize / 4
            && image.taps.len() >= image.channels.checked_mul(TAP_BYTES)?,
    )
}

/// # Safety
/// Input and output are at `x` and `y`, taps are there for every channel, and no row has more than `PAIRS`.
#[target_feature(enable = "avx2")]
unsafe fn run(image: &Image3, x: *const u8, y: *mut u8) {
    let mut ring = [[[image.zero; 2 * CHANNELS]; PAIRS]; PADDING + 1];
    let all = image.taps.as_chunks::<TAP_BYTES>().0;
    for (block, taps) in all.chunks(CHANNELS).enumerate() {
        let first = block * CHANNELS;
        if first >= image.channels {
            break;
        }
        let block = Block {
            image,
            x: x.wrapping_add(first),
            y: y.wrapping_add(first),
            count: CHANNELS.min(image.channels - first),
        };
        // SAFETY: as this function's, of `count` neighbouring channels.
        unsafe { block.run(&Taps::of(taps), &mut ring) };
    }
}

/// Neighbouring channels of an image.
struct Block<'a> {
    image: &'a Image3<'a>,
    x: *const u8,
    y: *mut u8,
    count: usize,
}

impl Block<'_> {
    /// # Safety
    /// As [`run`]'s, of the block's channels.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn run(&self, taps: &Taps, ring: &mut Ring) {
        let ([height, _], [rows, _]) = (self.image.input, self.image.output);
        let ([top, _], stride) = (self.image.padding, self.image.stride);
        let mut next = 0;
        for row in 0..rows {
            // Rows of the input under the taps, of which those before 0 and behind the last are padding.
            let under = [0, 1, 2].map(|tap| (row * stride + tap).wrapping_sub(top));
            for input in under {
                if input < height && input >= next {
                    next = input + 1;
                    let [a, b, c, _] = &mut *ring;
                    let place = match input % PADDING {
                        0 => a,
                        1 => b,
                        _ => c,
                    };
                    // SAFETY: the row is in the input.
                    unsafe { self.read(input, place) };
                }
            }
            let rows = under.map(|input| {
                let [a, b, c, padding] = &*ring;
                match input % PADDING {
                    _ if input >= height => padding,
                    0 => a,
                    1 => b,
                    _ => c,
                }
            });
            // SAFETY: the row is in the output.
            unsafe { self.write(row, rows, taps) };
        }
    }

    /// Fills a row of the ring with a row of the input.
    ///
    /// # Safety
    /// The row is in the input, and the ring has room for it.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn read(&self, row: usize, pairs: &mut [Pair; PAIRS]) {
        let (channels, [_, width], [_, left]) =
            (self.image.channels, self.image.input, self.image.padding);
        let padding = _mm_set1_epi8(self.image.zero as i8);
        let row = self.x.wrapping_add(row * width * channels);
        let inputs = |column: usize| match column < width {
            // SAFETY: the column is in the row.
            true => unsafe { self.load(row.wrapping_add(column * channels)) },
            false => padding,
        };
        let mut column = 0_usize.wrapping_sub(left & 1);
        for pair in pairs.iter_mut().skip(left / 2) {
            let both = _mm_unpacklo_epi8(inputs(column), inputs(column.wrapping_add(1)));
            // SAFETY: a pair has 16 bytes.
            unsafe { _mm_storeu_si128(pair.as_mut_ptr().cast(), both) };
            column = column.wrapping_add(2);
            if column >= width {
                break;
            }
        }
    }

    /// The block's inputs of a pixel; zeros for channels that are not there.
    ///
    /// # Safety
    /// The address has `count` bytes.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn load(&self, from: *const u8) -> __m128i {
        if self.count == CHANNELS {
            // SAFETY: `count` is 8.
            return unsafe { _mm_loadl_epi64(from.cast()) };
        }
        // SAFETY: as this function's.
        let from = unsafe { core::slice::from_raw_parts(from, self.count) };
        let mut bytes = [0; CHANNELS];
        bytes
            .iter_mut()
            .zip(from)
            .for_each(|(to, from)| *to = *from);
        _mm_cvtsi64_si128(i64::from_le_bytes(bytes))
    }

    /// # Safety
    /// The address has `count` bytes, which nobody else looks at.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn store(&self, to: *mut u8, bytes: __m128i) {
        if self.count == CHANNELS {
            // SAFETY: `count` is 8.
            return unsafe { _mm_storel_epi64(to.cast(), bytes) };
        }
        // SAFETY: as this function's.
        let to = unsafe { core::slice::from_raw_parts_mut(to, self.count) };
        let bytes = _mm_cvtsi128_si64(bytes).to_le_bytes();
        to.iter_mut().zip(bytes).for_each(|(to, byte)| *to = byte);
    }

    /// Computes a row of the output from three rows of the ring.
    ///
    /// # Safety
    /// The row is in the output, and the rows of the ring have the pairs for it.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn write(&self, row: usize, rows: [&[Pair; PAIRS]; 3], taps: &Taps) {
        let ([_, columns], channels) = (self.image.output, self.image.channels);
        let mut y = self.y.wrapping_add(row * columns * channels);
        let pair = |index: usize| {
            // SAFETY: the ring has this pair, of 16 bytes.
            rows.map(|row| unsafe { widened(row.as_ptr().wrapping_add(index)) })
        };
        let mut before = pair(0);
        let mut index = 1;
        if self.image.stride == 2 {
            for _ in 0..columns {
                let next = pair(index);
                let one = taps.one(before, next);
                // SAFETY: an output of the row.
                unsafe { self.store(y, saturated(one, one)) };
                before = next;
                index += 1;
                y = y.wrapping_add(channels);
            }
            return;
        }
        for _ in 0..columns / 2 {
            let next = pair(index);
            let bytes = saturated(taps.one(before, next), taps.other(before, next));
            // SAFETY: two outputs of the row.
            unsafe {
                self.store(y, bytes);
                self.store(y.wrapping_add(channels), _mm_unpackhi_epi64(bytes, bytes));
            }
            before = next;
            index += 1;
            y = y.wrapping_add(2 * channels);
        }
        if columns % 2 == 1 {
            let one = taps.one(before, pair(index));
            // SAFETY: the last output of the row.
            unsafe { self.store(y, saturated(one, one)) };
        }
    }
}

/// A pair of columns as 16-bit lanes.
///
/// # Safety
/// The pair is there.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn widened(pair: *const Pair) -> __m256i {
    // SAFETY: as this function's.
    unsafe { _mm256_cvtepi8_epi16(_mm_loadu_si128(pair.cast())) }
}

/// Eight bytes of one output, then eight of the other.
#[inline]
#[target_feature(enable = "avx2")]
fn saturated(one: __m256i, other: __m256i) -> __m128i {
    let words = _mm256_packs_epi32(one, other);
    let bytes = _mm256_packs_epi16(words, words);
    _mm_unpacklo_epi32(
        _mm256_castsi256_si128(bytes),
        _mm256_extracti128_si256::<1>(bytes),
    )
}

/// What stands in the taps of eight channels.
struct Taps {
    /// Of each row, the first two taps and the last two, and of these the very first and last in place of their
    /// neighbours.
    rows: [Row; 3],
    start: __m256i,
    factors: __m256i,
    /// Of the odd channels, in even places.
    odd_factors: __m256i,
    offsets: __m256i,
    shifts: __m256i,
}

/// Lanes of a row of taps: `(w₀, w₁)`, `(w₂, 0)`, `(0, w₀)`, `(w₁, w₂)`.
struct Row([__m256i; 4]);

impl Row {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn of(first: __m256i, last: __m256i) -> Self {
        let single = _mm256_srli_epi32::<16>(last);
        Self([first, single, _mm256_slli_epi32::<16>(first), last])
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn add(sums: __m256i, taps: __m256i, inputs: __m256i) -> __m256i {
    _mm256_add_epi32(sums, _mm256_madd_epi16(taps, inputs))
}

/// The lanes of odd places, in even ones.
#[inline]
#[target_feature(enable = "avx2")]
fn odd(lanes: __m256i) -> __m256i {
    _mm256_shuffle_epi32::<0b11_11_01_01>(lanes)
}

impl Taps {
    /// Turns the taps of up to eight channels; what is missing is zero.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn of(taps: &[[u8; TAP_BYTES]]) -> Self {
        const WORDS: usize = TAP_BYTES / 4;
        let mut words = [[[0; 4]; CHANNELS]; WORDS];
        for (channel, taps) in taps.iter().enumerate() {
            for (of_word, word) in words.iter_mut().zip(taps.as_chunks().0) {
                if let Some(place) = of_word.get_mut(channel) {
                    *place = *word;
                }
            }
        }
        // SAFETY: eight words are 32 bytes, and the load needs no alignment.
        let lanes = words.map(|words| unsafe { _mm256_loadu_si256(words.as_ptr().cast()) });
        let [a, b, c, d, e, f, start, factors, offsets, shifts] = lanes;
        Self {
            rows: [Row::of(a, b), Row::of(c, d), Row::of(e, f)],
            start,
            factors,
            odd_factors: odd(factors),
            offsets,
            shifts: _mm256_and_si256(shifts, _mm256_set1_epi32(0xFF)),
        }
    }

    /// Results, before they are saturated, of the output whose first input begins the pairs `before`.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn one(&self, before: [__m256i; 3], next: [__m256i; 3]) -> __m256i {
        let mut sums = self.start;
        for ((Row([first, last, _, _]), before), next) in self.rows.iter().zip(before).zip(next) {
            sums = add(add(sums, *first, before), *last, next);
        }
        self.scaled(sums)
    }

    /// The same of its neighbour.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn other(&self, before: [__m256i; 3], next: [__m256i; 3]) -> __m256i {
        let mut sums = self.start;
        for ((Row([_, _, first, last]), before), next) in self.rows.iter().zip(before).zip(next) {
            sums = add(add(sums, *first, before), *last, next);
        }
        self.scaled(sums)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn scaled(&self, sums: __m256i) -> __m256i {
        let even = _mm256_mul_epi32(sums, self.factors);
        let odd = _mm256_mul_epi32(odd(sums), self.odd_factors);
        let high = _mm256_blend_epi32::<0b1010_1010>(_mm256_srli_epi64::<32>(even), odd);
        // A shift of 32 or more leaves the sign alone, as one of 31 does.
        _mm256_srav_epi32(_mm256_add_epi32(high, self.offsets), self.shifts)
    }
}
