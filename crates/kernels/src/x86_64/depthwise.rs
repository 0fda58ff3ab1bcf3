//! 3 × 3 depthwise convolution of an image, eight channels at a time.
//!
//! The three rows under the taps, with their padding, stand beside as pairs of neighbouring inputs, channel by
//! channel. A row of outputs is written when the rows it needs are there, so it may overwrite the inputs.

use super::has_avx2;
use crate::depthwise::{Image3, TAP_BYTES};
use core::arch::x86_64::*;
use core::mem::MaybeUninit;

/// Channels that are computed together.
const CHANNELS: usize = 8;
/// Pairs of columns for which a row has room.
const PAIRS: usize = 128;
/// Rows under the taps.
const TAPS: usize = 3;

/// A pair of columns: for each channel, one input of each.
type Pair = [u8; 2 * CHANNELS];
/// Rows under the taps.
type Rows = [[MaybeUninit<Pair>; PAIRS]; TAPS];

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
    let stays_behind = x == y && columns <= width && top < TAPS;
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
    let mut rows: Rows = [[MaybeUninit::uninit(); PAIRS]; TAPS];
    let ([_, width], [_, columns], [_, left]) = (image.input, image.output, image.padding);
    let pairs = (columns * image.stride + 3)
        .max(left + width + 1)
        .div_ceil(2);
    let all = image.taps.as_chunks::<TAP_BYTES>().0;
    for first in (0..image.channels).step_by(CHANNELS) {
        let block = Block {
            image,
            x: x.wrapping_add(first),
            y: y.wrapping_add(first),
            count: CHANNELS.min(image.channels - first),
            pairs,
        };
        let taps = all.get(first..).unwrap_or_default();
        let taps = Taps::of(taps);
        // SAFETY: as this function's, of `count` neighbouring channels.
        unsafe {
            match block.count {
                CHANNELS => block.run::<true>(&taps, &mut rows),
                _ => block.run::<false>(&taps, &mut rows),
            }
        }
    }
}

/// Neighbouring channels of an image.
struct Block<'a> {
    image: &'a Image3<'a>,
    x: *const u8,
    y: *mut u8,
    count: usize,
    /// Pairs of a row that are read or written.
    pairs: usize,
}

impl Block<'_> {
    /// Computes all rows; `FULL` where there are eight channels.
    ///
    /// # Safety
    /// As [`run`]'s, of the block's channels.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn run<const FULL: bool>(&self, taps: &Taps, rows: &mut Rows) {
        let ([height, width], [count, columns]) = (self.image.input, self.image.output);
        let ([top, _], stride) = (self.image.padding, self.image.stride);
        let row_bytes = width * self.image.channels;
        let mut under = rows.each_mut().map(|row| row.as_mut_ptr().cast::<Pair>());
        // What is not read stays padding.
        for row in under {
            // SAFETY: the row has room for every pair.
            unsafe { self.fill(row) };
        }
        // The next row of the input, from above the image on, and where it is.
        let mut from = 0_usize.wrapping_sub(top);
        let mut x = self.x.wrapping_sub(top * row_bytes);
        let mut y = self.y;
        let mut fresh = TAPS;
        for _ in 0..count {
            for _ in 0..fresh {
                let [oldest, middle, newest] = under;
                under = [middle, newest, oldest];
                // SAFETY: the place has room for every pair; a row of the input is at its distance.
                unsafe {
                    match from < height {
                        true => self.read::<FULL>(x, oldest),
                        false => self.fill(oldest),
                    }
                }
                from = from.wrapping_add(1);
                x = x.wrapping_add(row_bytes);
            }
            fresh = stride;
            // SAFETY: the rows under the taps have been filled, and the row is in the output.
            unsafe { self.write::<FULL>(y, under, taps) };
            y = y.wrapping_add(columns * self.image.channels);
        }
    }

    /// Makes a row padding.
    ///
    /// # Safety
    /// The row has room for every pair.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn fill(&self, to: *mut Pair) {
        let padding = _mm_set1_epi8(self.image.zero as i8);
        for pair in 0..self.pairs {
            // SAFETY: as this function's; a pair has 16 bytes.
            unsafe { _mm_storeu_si128(to.wrapping_add(pair).cast(), padding) };
        }
    }

    /// Puts a row of the input in the padding.
    ///
    /// # Safety
    /// The row is in the input, and the other has room for every pair.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn read<const FULL: bool>(&self, from: *const u8, to: *mut Pair) {
        let (channels, [_, width], [_, left]) =
            (self.image.channels, self.image.input, self.image.padding);
        let padding = _mm_set1_epi8(self.image.zero as i8);
        let mut to = to.wrapping_add(left / 2);
        let mut put = |even, odd| {
            // SAFETY: as this function's; a pair has 16 bytes.
            unsafe { _mm_storeu_si128(to.cast(), _mm_unpacklo_epi8(even, odd)) };
            to = to.wrapping_add(1);
        };
        // SAFETY: a column of the row.
        let input =
            |column: usize| unsafe { self.load::<FULL>(from.wrapping_add(column * channels)) };
        let mut column = left & 1;
        if column == 1 {
            put(padding, input(0));
        }
        while column + 1 < width {
            put(input(column), input(column + 1));
            column += 2;
        }
        if column < width {
            put(input(column), padding);
        }
    }

    /// The block's inputs of a pixel; zeros for channels that are not there.
    ///
    /// # Safety
    /// The address has `count` bytes.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn load<const FULL: bool>(&self, from: *const u8) -> __m128i {
        if FULL {
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
    unsafe fn store<const FULL: bool>(&self, to: *mut u8, bytes: __m128i) {
        if FULL {
            // SAFETY: `count` is 8.
            return unsafe { _mm_storel_epi64(to.cast(), bytes) };
        }
        // SAFETY: as this function's.
        let to = unsafe { core::slice::from_raw_parts_mut(to, self.count) };
        let bytes = _mm_cvtsi128_si64(bytes).to_le_bytes();
        to.iter_mut().zip(bytes).for_each(|(to, byte)| *to = byte);
    }

    /// Computes a row of the output from the three rows under the taps.
    ///
    /// # Safety
    /// The row is in the output, and the three have the pairs for it.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn write<const FULL: bool>(&self, mut y: *mut u8, rows: [*mut Pair; TAPS], taps: &Taps) {
        let ([_, columns], channels) = (self.image.output, self.image.channels);
        let [a, b, c] = rows;
        let pair = |index: usize| {
            // SAFETY: the rows have this pair, of 16 bytes.
            unsafe {
                [
                    widened(a.wrapping_add(index)),
                    widened(b.wrapping_add(index)),
                    widened(c.wrapping_add(index)),
                ]
            }
        };
        let mut before = pair(0);
        let mut index = 1;
        if self.image.stride == 2 {
            for _ in 0..columns {
                let next = pair(index);
                let one = taps.one(before, next);
                // SAFETY: an output of the row.
                unsafe { self.store::<FULL>(y, saturated(one, one)) };
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
                self.store::<FULL>(y, bytes);
                self.store::<FULL>(y.wrapping_add(channels), _mm_unpackhi_epi64(bytes, bytes));
            }
            before = next;
            index += 1;
            y = y.wrapping_add(2 * channels);
        }
        if columns % 2 == 1 {
            let one = taps.one(before, pair(index));
            // SAFETY: the last output of the row.
            unsafe { self.store::<FULL>(y, saturated(one, one)) };
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
    /// Turns the taps of the first eight channels; what is missing is zero.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn of(taps: &[[u8; TAP_BYTES]]) -> Self {
        const WORDS: usize = TAP_BYTES / 4;
        let mut some = [[0; TAP_BYTES]; CHANNELS];
        let taps = match taps.first_chunk::<CHANNELS>() {
            Some(taps) => taps,
            None => {
                some.iter_mut().zip(taps).for_each(|(to, from)| *to = *from);
                &some
            }
        };
        let channels = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        let places = _mm256_mullo_epi32(channels, _mm256_set1_epi32(WORDS as i32));
        let lanes = |word: usize| {
            let first = taps.as_ptr().cast::<i32>().wrapping_add(word);
            // SAFETY: the word of eight channels, each `TAP_BYTES` behind the one before.
            unsafe { _mm256_i32gather_epi32::<4>(first, places) }
        };
        let factors = lanes(7);
        Self {
            rows: [
                Row::of(lanes(0), lanes(1)),
                Row::of(lanes(2), lanes(3)),
                Row::of(lanes(4), lanes(5)),
            ],
            start: lanes(6),
            factors,
            odd_factors: odd(factors),
            offsets: lanes(8),
            shifts: _mm256_and_si256(lanes(9), _mm256_set1_epi32(0xFF)),
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
