//! Windows over an image, as the parameter words of packed convolutions give them.

use crate::error::OpFault;
use crate::format::MAX_ELEMENTS;
use crate::op::{Op, check};
use crate::tensor::Tensor;

/// Words of a [`Geometry`].
pub(super) const WORDS: usize = 15;
/// No tap lies more elements from the image's start than this, so that positions fit an `i32` on every target.
const MAX_REACH: u64 = 1 << 30;

/// Extents of input, output and kernel, and where taps lie, read where they stand in the plan. Rows come before columns.
///
/// Once checked, every word is below [`MAX_ELEMENTS`] and no window reaches over [`MAX_REACH`], so nothing wraps.
#[derive(Clone, Copy)]
pub(super) struct Geometry<'a>(pub &'a [[u8; 4]; WORDS]);

impl<'a> Geometry<'a> {
    /// The words that the parameters of an op begin with.
    #[inline(always)]
    pub fn of(op: &Op<'a>) -> Option<Self> {
        op.parameters().chunk().map(Geometry)
    }

    #[inline(always)]
    fn words<const N: usize>(self, words: [[u8; 4]; N]) -> [usize; N] {
        words.map(|word| u32::from_le_bytes(word) as usize)
    }

    #[inline(always)]
    pub fn input(self) -> [usize; 2] {
        let [h, w, ..] = *self.0;
        self.words([h, w])
    }

    #[inline(always)]
    pub fn channels(self) -> usize {
        let [_, _, c, ..] = *self.0;
        u32::from_le_bytes(c) as usize
    }

    #[inline(always)]
    pub fn output(self) -> [usize; 2] {
        let [_, _, _, h, w, ..] = *self.0;
        self.words([h, w])
    }

    #[inline(always)]
    pub fn filters(self) -> usize {
        let [_, _, _, _, _, n, ..] = *self.0;
        u32::from_le_bytes(n) as usize
    }

    #[inline(always)]
    pub fn kernel(self) -> [usize; 2] {
        let [.., rows, columns, _, _, _, _, _, _, _] = *self.0;
        self.words([rows, columns])
    }

    #[inline(always)]
    pub fn stride(self) -> [usize; 2] {
        let [.., rows, columns, _, _, _, _, _] = *self.0;
        self.words([rows, columns])
    }

    #[inline(always)]
    pub fn dilation(self) -> [usize; 2] {
        let [.., rows, columns, _, _, _] = *self.0;
        self.words([rows, columns])
    }

    #[inline(always)]
    pub fn padding(self) -> [usize; 2] {
        let [.., top, left, _] = *self.0;
        self.words([top, left])
    }

    /// The input that stands for 0.0.
    #[inline(always)]
    pub fn zero(self) -> u8 {
        let [.., [zero, ..]] = *self.0;
        zero
    }

    /// Bytes of a row of the input.
    #[inline(always)]
    pub fn row_bytes(self) -> usize {
        let [_, width] = self.input();
        width.wrapping_mul(self.channels())
    }

    /// Input, output, kernel, stride, dilation and padding along rows (axis 0) or columns (axis 1).
    #[inline(always)]
    fn along(self, axis: usize) -> [usize; 6] {
        [0, 3, 6, 8, 10, 12].map(|word: usize| {
            let word = self.0.get(word.wrapping_add(axis)).copied();
            u32::from_le_bytes(word.unwrap_or_default()) as usize
        })
    }

    /// Checks the words against input and output, both `[1, h, w, c]`.
    pub fn check(self, x: Tensor, y: Tensor) -> Result<(), OpFault> {
        let all = self
            .0
            .iter()
            .fold(0, |all, word| all | u32::from_le_bytes(*word));
        check(all < MAX_ELEMENTS, OpFault::Parameters)?;
        let ([h, w], [oh, ow]) = (self.input(), self.output());
        let x_fits = x.has_shape([1, h, w, self.channels()].map(|extent| extent as u32));
        let y_fits = y.has_shape([1, oh, ow, self.filters()].map(|extent| extent as u32));
        check(x_fits && y_fits, OpFault::Shape)?;
        let near = self.is_near(0) && self.is_near(1);
        check(near, OpFault::Parameters)
    }

    /// Whether taps along rows (axis 0) or columns (axis 1) are there and no window reaches too far.
    #[inline(never)]
    fn is_near(self, axis: usize) -> bool {
        let [_, results, taps, stride, dilation, padding] = self.along(axis);
        let last = |count: usize, step: usize| count.saturating_sub(1) as u64 * step as u64;
        let reach = last(results, stride).wrapping_add(last(taps, dilation));
        let pixels = reach.max(padding as u64).max(stride as u64);
        let elements = if axis == 0 {
            self.row_bytes()
        } else {
            self.channels()
        };
        let near = pixels <= MAX_REACH && pixels * elements as u64 <= MAX_REACH;
        near && taps.min(stride).min(dilation) > 0
    }

    /// The row of the input under a tap; negative on the padding.
    #[inline(always)]
    pub fn row(self, result: usize, tap: usize) -> i32 {
        let ([stride, _], [dilation, _], [padding, _]) =
            (self.stride(), self.dilation(), self.padding());
        position([result, stride, tap, dilation, padding])
    }

    /// The column of the input under a tap; negative on the padding.
    #[inline(always)]
    pub fn column(self, result: usize, tap: usize) -> i32 {
        let ([_, stride], [_, dilation], [_, padding]) =
            (self.stride(), self.dilation(), self.padding());
        position([result, stride, tap, dilation, padding])
    }

    /// Rows (axis 0) or columns (axis 1) of the output whose taps all lie on the image.
    #[inline(never)]
    pub fn inside(self, axis: usize) -> Option<core::ops::Range<usize>> {
        let [extent, results, taps, stride, dilation, padding] = self.along(axis);
        let reach = taps.wrapping_sub(1).wrapping_mul(dilation);
        let first = padding.wrapping_add(stride).wrapping_sub(1);
        // The last tap of output `o` lies on `o·stride + reach - padding`, below the extent.
        let end = match extent.wrapping_add(padding).checked_sub(reach) {
            Some(room) => room.wrapping_add(stride).wrapping_sub(1),
            None => 0,
        };
        Some(first.checked_div(stride)?..end.checked_div(stride)?.min(results))
    }

    /// Taps that lie side by side in a row of the input.
    #[inline(always)]
    pub fn taps_in_run(self) -> usize {
        let ([_, columns], [_, dilation]) = (self.kernel(), self.dilation());
        if dilation == 1 { columns } else { 1 }
    }
}

/// Fits where the geometry was checked.
#[inline(always)]
fn position([result, stride, tap, dilation, padding]: [usize; 5]) -> i32 {
    let [result, stride, tap, dilation, padding] =
        [result, stride, tap, dilation, padding].map(|value| value as i32);
    let moved = result.wrapping_mul(stride);
    moved
        .wrapping_add(tap.wrapping_mul(dilation))
        .wrapping_sub(padding)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kernel of two columns that are `dilation` apart, over an image of four channels.
    fn with_dilation(dilation: u32) -> Result<(), OpFault> {
        let words = [4, 4, 4, 4, 3, 4, 1, 2, 1, 1, 1, dilation, 0, 0, 0].map(u32::to_le_bytes);
        let entry = |dims: [u32; 4]| {
            let [d0, d1, d2, d3] = dims.map(u32::to_le_bytes);
            [[2, 4, 0, 0], d0, d1, d2, d3, [0; 4], [0; 4], [0; 4]]
        };
        let (x, y) = (entry([1, 4, 4, 4]), entry([1, 4, 3, 4]));
        Geometry(&words).check(Tensor(&x), Tensor(&y))
    }

    #[test]
    fn a_tap_so_far_away_that_an_address_would_wrap_is_refused() {
        assert_eq!(with_dilation(1), Ok(()));
        assert_eq!(with_dilation((1 << 26) - 1), Ok(()));
        // Times four channels 2^32: position 0 where an address has 32 bits.
        assert_eq!(with_dilation(1 << 30), Err(OpFault::Parameters));
        assert_eq!(with_dilation(1 << 28), Err(OpFault::Parameters));
    }
}
