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
