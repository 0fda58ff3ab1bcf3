//! Sums of products of one vector with two rows of weights, for layers whose sums are no bytes yet.

/// `Σ x·w` for each row, of bytes with their sign; elements that `x` or a row does not have are left out.
///
/// Sums are modulo 2³². On Cortex-M 15 instructions for two times four products.
#[inline(always)]
pub fn dot_pair(x: &[u8], [a, b]: [&[u8]; 2]) -> [i32; 2] {
    let count = x.len().min(a.len()).min(b.len());
    let [x, a, b] = [x, a, b].map(|bytes| bytes.get(..count).unwrap_or_default());
    #[cfg(cortex_m_dsp)]
    {
        let ((words, x), (a_words, a), (b_words, b)) =
            (x.as_chunks(), a.as_chunks(), b.as_chunks());
        let sums = crate::arch::dot_words(words, [a_words, b_words]);
        one_by_one(sums.unwrap_or_default(), x, [a, b])
    }
    #[cfg(not(cortex_m_dsp))]
    one_by_one([0; 2], x, [a, b])
}

/// What every architecture computes.
#[inline(always)]
pub(crate) fn one_by_one(sums: [i32; 2], x: &[u8], [a, b]: [&[u8]; 2]) -> [i32; 2] {
    let pairs = x.iter().zip(a.iter().zip(b));
    pairs.fold(sums, |[sum_a, sum_b], (&x, (&a, &b))| {
        let product = |w: u8| i32::from(x as i8).wrapping_mul(i32::from(w as i8));
        [
            sum_a.wrapping_add(product(a)),
            sum_b.wrapping_add(product(b)),
        ]
    })
}
