//! Sums of two lists of bytes, sixteen at a time.

use super::has_avx2;
use crate::sum::Sum;
use core::arch::x86_64::*;

/// As [`sum_lanes`](crate::sum_lanes); 0 where the processor has no AVX2.
#[inline(always)]
pub(crate) fn sum(sum: &Sum, own: &mut [u8], other: &[u8]) -> usize {
    if !has_avx2() {
        return 0;
    }
    // SAFETY: the processor has AVX2.
    unsafe { run(sum, own, other) }
}

#[target_feature(enable = "avx2")]
fn run(sum: &Sum, own: &mut [u8], other: &[u8]) -> usize {
    let own = own.as_chunks_mut::<16>().0;
    let other = other.as_chunks::<16>().0;
    let ([own_factor, other_factor], [lowest, highest]) = (sum.factors, sum.limits);
    let [own_factor, other_factor] = [
        _mm256_set1_epi32(own_factor),
        _mm256_set1_epi32(other_factor),
    ];
    let (lowest, highest) = (_mm_set1_epi8(lowest), _mm_set1_epi8(highest));
    let constant = _mm256_set1_epi32(sum.constant);
    let shift = _mm_cvtsi32_si128((sum.shift & 31) as i32);
    let eight = |own: __m128i, other: __m128i| {
        let products = _mm256_add_epi32(scaled(own, own_factor), scaled(other, other_factor));
        _mm256_sra_epi32(_mm256_add_epi32(products, constant), shift)
    };
    for (own, other) in own.iter_mut().zip(other) {
        // SAFETY: both have 16 bytes, and the loads need no alignment.
        let (a, b) = unsafe {
            (
                _mm_loadu_si128(own.as_ptr().cast()),
                _mm_loadu_si128(other.as_ptr().cast()),
            )
        };
        let low = eight(a, b);
        let high = eight(_mm_unpackhi_epi64(a, a), _mm_unpackhi_epi64(b, b));
        let words = _mm256_packs_epi32(low, high);
        let bytes = _mm256_packs_epi16(words, words);
        let bytes = _mm_unpacklo_epi32(
            _mm256_castsi256_si128(bytes),
            _mm256_extracti128_si256::<1>(bytes),
        );
        let bytes = _mm_min_epi8(_mm_max_epi8(bytes, lowest), highest);
        // SAFETY: 16 bytes, and the store needs no alignment.
        unsafe { _mm_storeu_si128(own.as_mut_ptr().cast(), bytes) };
    }
    16 * own.len().min(other.len())
}

/// `⌊code·factor / 2⁸⌋` modulo 2³², of the low eight bytes.
#[inline]
#[target_feature(enable = "avx2")]
fn scaled(codes: __m128i, factor: __m256i) -> __m256i {
    let codes = _mm256_cvtepi8_epi32(codes);
    let even = _mm256_mul_epi32(codes, factor);
    let odd = _mm256_mul_epi32(_mm256_shuffle_epi32::<0b11_11_01_01>(codes), factor);
    _mm256_blend_epi32::<0b1010_1010>(_mm256_srli_epi64::<8>(even), _mm256_slli_epi64::<24>(odd))
}
