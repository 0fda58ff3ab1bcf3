//! Sums of products that layers share.

use crate::bytes::f32s;

/// `sum` plus the products, one after another from element 0 upwards.
#[inline(always)]
pub(super) fn dot_f32(sum: f32, x: &[u8], w: &[u8]) -> f32 {
    f32s(x).zip(f32s(w)).fold(sum, |sum, (x, w)| sum + x * w)
}

/// `sum + Σ x(w - w₀)`. Below 2^31 in magnitude for up to
/// [`MAX_ROW`](crate::format::MAX_ROW) products.
#[inline(always)]
pub(super) fn dot_i8(sum: i32, x: &[u8], w: &[u8], weight_zero_point: i32) -> i32 {
    let products = x.iter().zip(w).map(|(&x, &w)| {
        let (x, w) = (i32::from(x as i8), i32::from(w as i8));
        x.wrapping_mul(w.wrapping_sub(weight_zero_point))
    });
    products.fold(sum, i32::wrapping_add)
}

/// `sum + Σ x(w - w₀)` where every `x` is the same.
#[inline(always)]
pub(super) fn dot_constant(sum: i32, x: i32, w: &[u8], weight_zero_point: i32) -> i32 {
    let products = w
        .iter()
        .map(|&w| x.wrapping_mul(i32::from(w as i8).wrapping_sub(weight_zero_point)));
    products.fold(sum, i32::wrapping_add)
}

/// `Σ x(w - w₀)` as `Σ xw - w₀·Σ x`, four products at a time: about 4 instructions each on a
/// Cortex-M4. Both have as many elements; wraps as [`dot_i8`] does, so it is the same sum.
#[inline(always)]
pub(super) fn dot_row(x: &[u8], w: &[u8], weight_zero_point: i32) -> i32 {
    let ((fours, rest), (weights, last)) = (x.as_chunks::<4>(), w.as_chunks::<4>());
    let pairs = fours.iter().zip(weights);
    let sum = pairs.fold(0_i32, |sum, (&[x0, x1, x2, x3], &[w0, w1, w2, w3])| {
        let products = [(x0, w0), (x1, w1), (x2, w2), (x3, w3)];
        products
            .iter()
            .fold(sum, |sum, &(x, w)| add_product(sum, x, w))
    });
    let pairs = rest.iter().zip(last);
    let sum = pairs.fold(sum, |sum, (&x, &w)| add_product(sum, x, w));
    if weight_zero_point == 0 {
        return sum;
    }
    let inputs = x
        .iter()
        .fold(0_i32, |sum, &x| sum.wrapping_add(i32::from(x as i8)));
    sum.wrapping_sub(weight_zero_point.wrapping_mul(inputs))
}

#[inline(always)]
fn add_product(sum: i32, x: u8, w: u8) -> i32 {
    sum.wrapping_add(i32::from(x as i8).wrapping_mul(i32::from(w as i8)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_in_fours_has_the_sum_of_one_by_one() {
        let codes = |seed: usize| move |i: usize| (i.wrapping_mul(seed) >> 3) as u8;
        let (x, w) = (
            core::array::from_fn::<u8, 40, _>(codes(1013)),
            core::array::from_fn::<u8, 40, _>(codes(777)),
        );
        for length in 0..=40 {
            let (x, w) = (&x[..length], &w[..length]);
            for zero_point in [-128, -3, 0, 1, 127] {
                let expected = dot_i8(0, x, w, zero_point);
                assert_eq!(
                    dot_row(x, w, zero_point),
                    expected,
                    "{length}, {zero_point}"
                );
            }
        }
        let most = [0x80; 1000];
        assert_eq!(dot_row(&most, &most, 127), dot_i8(0, &most, &most, 127));
    }
}
