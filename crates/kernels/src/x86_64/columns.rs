//! Widening of inputs into a column.

use super::has_avx2;
use crate::columns::{Column, Runs};
use core::arch::x86_64::*;

const NONE: u8 = 0x80;

/// Where eight bytes go in the words of the first column, into the upper halves of lanes.
static FIRST: [u8; 32] = [
    NONE, 0, NONE, 2, NONE, NONE, NONE, NONE, NONE, 1, NONE, 3, NONE, NONE, NONE, NONE, //
    NONE, 4, NONE, 6, NONE, NONE, NONE, NONE, NONE, 5, NONE, 7, NONE, NONE, NONE, NONE,
];
/// The same of the second.
static SECOND: [u8; 32] = [
    NONE, NONE, NONE, NONE, NONE, 0, NONE, 2, NONE, NONE, NONE, NONE, NONE, 1, NONE, 3, //
    NONE, NONE, NONE, NONE, NONE, 4, NONE, 6, NONE, NONE, NONE, NONE, NONE, 5, NONE, 7,
];

/// Where eight bytes of both columns go.
static BOTH: [u8; 32] = [
    NONE, 0, NONE, 2, NONE, 8, NONE, 10, NONE, 1, NONE, 3, NONE, 9, NONE, 11, //
    NONE, 4, NONE, 6, NONE, 12, NONE, 14, NONE, 5, NONE, 7, NONE, 13, NONE, 15,
];

/// As the portable `widen`: five instructions, which every x86-64 processor has.
#[inline(always)]
pub(crate) fn widen(quad: [u8; 4]) -> [[u8; 4]; 2] {
    // SAFETY: SSE2 is part of the architecture.
    let lanes = unsafe {
        let quad = _mm_cvtsi32_si128(i32::from_le_bytes(quad));
        let lanes = _mm_srai_epi16::<8>(_mm_unpacklo_epi8(quad, quad));
        _mm_cvtsi128_si64(_mm_shufflelo_epi16::<0b11_01_10_00>(lanes))
    };
    let [a, b, c, d, e, f, g, h] = lanes.to_le_bytes();
    [[a, b, c, d], [e, f, g, h]]
}

/// Whether [`fill`] is the way for a run of this length.
#[inline(always)]
pub(crate) fn fills(length: usize) -> bool {
    length >= 8 && has_avx2()
}

/// As the portable `fill` where all of `columns` is the run's: 9 instructions for eight inputs.
///
/// Nothing is written unless [`fills`] holds and there are 16 bytes for every four inputs.
#[inline(always)]
pub(crate) fn fill(columns: &mut [u8], which: Column, run: &[u8]) {
    if fills(run.len()) && columns.len() / 16 >= run.len().div_ceil(4) {
        // SAFETY: the processor has AVX2, and the columns have room for the run: checked just above.
        unsafe { fill_all(columns.as_mut_ptr(), which, run) }
    }
}

/// # Safety
/// `to` has 16 bytes for every four inputs.
#[target_feature(enable = "avx2")]
unsafe fn fill_all(mut to: *mut u8, which: Column, run: &[u8]) {
    // SAFETY: both constants have 32 bytes.
    let order = unsafe {
        match which {
            Column::First => _mm256_loadu_si256(FIRST.as_ptr().cast()),
            Column::Second => _mm256_loadu_si256(SECOND.as_ptr().cast()),
        }
    };
    // The column's own words.
    let ones = _mm256_set1_epi32(-1);
    let own = match which {
        Column::First => _mm256_srli_epi64::<32>(ones),
        Column::Second => _mm256_slli_epi64::<32>(ones),
    };
    let widened = |inputs: [u8; 8]| {
        let inputs = _mm256_set1_epi64x(i64::from_le_bytes(inputs));
        _mm256_srai_epi16::<8>(_mm256_shuffle_epi8(inputs, order))
    };
    let (eights, rest) = run.as_chunks::<8>();
    for inputs in eights {
        // SAFETY: eight inputs have 32 bytes.
        unsafe {
            let before = _mm256_loadu_si256(to.cast());
            let after = _mm256_blendv_epi8(before, widened(*inputs), own);
            _mm256_storeu_si256(to.cast(), after);
        }
        to = to.wrapping_add(32);
    }
    if rest.is_empty() {
        return;
    }
    let mut last = [0; 8];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    let inputs = widened(last);
    let [low, high] = [
        _mm256_castsi256_si128(inputs),
        _mm256_extracti128_si256::<1>(inputs),
    ];
    let own = _mm256_castsi256_si128(own);
    for inputs in [low, high].into_iter().take(rest.len().div_ceil(4)) {
        // SAFETY: up to four inputs have 16 bytes.
        unsafe {
            let before = _mm_loadu_si128(to.cast());
            _mm_storeu_si128(to.cast(), _mm_blendv_epi8(before, inputs, own));
        }
        to = to.wrapping_add(16);
    }
}

/// As the portable loop: 9 instructions for eight inputs of both columns; none where that has to do it.
#[inline(always)]
pub(crate) fn write_pair(
    places: &mut [[u8; 16]],
    runs: &Runs,
    inputs: &[u8],
    distance: usize,
) -> Option<()> {
    let end = runs.reach()?.checked_add(distance)?;
    let fits = places.len() == runs.count.checked_mul(runs.quads)? && end <= inputs.len();
    if !fits || !has_avx2() {
        return None;
    }
    let to = places.as_flattened_mut().as_mut_ptr();
    // SAFETY: the processor has AVX2; `runs.reach()` and as many bytes from `distance` on are there, and a
    // place for every quad of every run.
    unsafe { pair(to, runs, inputs.as_ptr(), distance) };
    Some(())
}

/// # Safety
/// `from` has the runs, and once more from `distance` on; `to` has 16 bytes for every quad of them.
#[target_feature(enable = "avx2")]
unsafe fn pair(mut to: *mut u8, runs: &Runs, from: *const u8, distance: usize) {
    // SAFETY: the constant has 32 bytes.
    let order = unsafe { _mm256_loadu_si256(BOTH.as_ptr().cast()) };
    for run in 0..runs.count {
        let mut first = from.wrapping_add(run * runs.pitch);
        for _ in 0..runs.quads / 2 {
            // SAFETY: two quads of both columns are left, and places for them.
            unsafe {
                let second = first.wrapping_add(distance);
                let inputs = _mm_unpacklo_epi64(
                    _mm_loadl_epi64(first.cast()),
                    _mm_loadl_epi64(second.cast()),
                );
                let inputs = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(inputs), order);
                _mm256_storeu_si256(to.cast(), _mm256_srai_epi16::<8>(inputs));
            }
            first = first.wrapping_add(8);
            to = to.wrapping_add(32);
        }
        if runs.quads % 2 == 1 {
            // SAFETY: a quad of both columns is left, and a place for it.
            unsafe {
                let second = first.wrapping_add(distance);
                let inputs = _mm_set_epi64x(
                    second.cast::<u32>().read_unaligned().into(),
                    first.cast::<u32>().read_unaligned().into(),
                );
                let inputs = _mm_shuffle_epi8(inputs, _mm256_castsi256_si128(order));
                _mm_storeu_si128(to.cast(), _mm_srai_epi16::<8>(inputs));
            }
            to = to.wrapping_add(16);
        }
    }
}
