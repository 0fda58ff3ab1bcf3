//! Sums of products that layers share.

use crate::bytes::f32s;
use dunlin_kernels::dot_pair;

/// `sums` plus the products of `x` with each row, one after another from element 0 upwards.
#[inline(always)]
pub(super) fn dot_rows_f32(sums: [f32; 2], x: &[u8], [a, b]: [&[u8]; 2]) -> [f32; 2] {
    add_products(sums, f32s(x), f32s(a).zip(f32s(b)))
}

/// As [`dot_rows_f32`], with the weights as floats.
#[inline(always)]
pub(super) fn add_products(
    sums: [f32; 2],
    x: impl Iterator<Item = f32>,
    weights: impl Iterator<Item = (f32, f32)>,
) -> [f32; 2] {
    let products = x.zip(weights);
    products.fold(sums, |[a, b], (x, (w_a, w_b))| [a + x * w_a, b + x * w_b])
}

/// `Σ x(w - w₀)` where every `x` is the same.
#[inline(always)]
pub(super) fn dot_constant(x: i32, w: &[u8], weight_zero_point: i32) -> i32 {
    let weights = w
        .iter()
        .map(|&w| i32::from(w as i8).wrapping_sub(weight_zero_point));
    x.wrapping_mul(weights.fold(0, i32::wrapping_add))
}

/// `Σ xw - correction` of two rows as long as `x`: with the [`correction`] for `w₀` it is `Σ x(w - w₀)`, below 2^31 in
/// magnitude for up to [`MAX_ROW`](crate::format::MAX_ROW) products; longer sums wrap.
#[inline(always)]
pub(super) fn dot_rows(x: &[u8], rows: [&[u8]; 2], correction: i32) -> [i32; 2] {
    dot_pair(x, rows).map(|sum| sum.wrapping_sub(correction))
}

/// `w₀·Σ x`.
#[inline(always)]
pub(super) fn correction(x: &[u8], weight_zero_point: i32) -> i32 {
    if weight_zero_point == 0 {
        return 0;
    }
    let inputs = x.iter().map(|&x| i32::from(x as i8));
    weight_zero_point.wrapping_mul(inputs.fold(0, i32::wrapping_add))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_by_one(x: &[u8], w: &[u8], weight_zero_point: i32) -> i32 {
        let product =
            |(x, w): (&u8, &u8)| i32::from(*x as i8) * (i32::from(*w as i8) - weight_zero_point);
        x.iter().zip(w).map(product).sum()
    }

    #[test]
    fn rows_have_the_sums_of_products_one_by_one() {
        let codes = |seed: usize| move |i: usize| (i.wrapping_mul(seed) >> 3) as u8;
        let (x, w) = (
            core::array::from_fn::<u8, 40, _>(codes(1013)),
            core::array::from_fn::<u8, 40, _>(codes(777)),
        );
        for length in 0..=40 {
            let (x, w) = (&x[..length], &w[..length]);
            for zero_point in [-128, -3, 0, 1, 127] {
                let expected = [w, x].map(|row| one_by_one(x, row, zero_point));
                let sums = dot_rows(x, [w, x], correction(x, zero_point));
                assert_eq!(sums, expected, "{length}, {zero_point}");
            }
        }
        let most = [0x80; 1000];
        let expected = [one_by_one(&most, &most, 127); 2];
        let sums = dot_rows(&most, [&most; 2], correction(&most, 127));
        assert_eq!(sums, expected);
    }
}
