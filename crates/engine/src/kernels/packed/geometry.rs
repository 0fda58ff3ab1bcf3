//! Windows over an image, as the parameter words of packed convolutions give them.

use crate::error::OpFault;
use crate::op::check;
use crate::tensor::Tensor;

/// Words of a [`Geometry`].
pub(super) const WORDS: usize = 15;
/// No tap lies more elements of a row from the image's start than this, so that positions fit an `i32` on every target.
const MAX_REACH: u64 = 1 << 30;

/// Extents of input, output and kernel, and where taps lie. Rows come before columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub input: [usize; 2],
    pub channels: usize,
    pub output: [usize; 2],
    pub filters: usize,
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    pub padding: [usize; 2],
    /// The input that stands for 0.0.
    pub zero: u8,
}

impl Geometry {
    #[inline(always)]
    pub fn read(words: &[u32; WORDS]) -> Geometry {
        let [h, w, c, oh, ow, n, kh, kw, sh, sw, dh, dw, top, left, zero] =
            words.map(|word| word as usize);
        Geometry {
            input: [h, w],
            channels: c,
            output: [oh, ow],
            filters: n,
            kernel: [kh, kw],
            stride: [sh, sw],
            dilation: [dh, dw],
            padding: [top, left],
            zero: zero as u8,
        }
    }

    /// Checks the words against input and output, both `[1, h, w, c]`.
    pub fn check(&self, x: Tensor, y: Tensor) -> Result<(), OpFault> {
        let ([h, w], [oh, ow]) = (self.input, self.output);
        let x_fits = x.has_shape([1, h, w, self.channels].map(|extent| extent as u32));
        let y_fits = y.has_shape([1, oh, ow, self.filters].map(|extent| extent as u32));
        check(x_fits && y_fits, OpFault::Shape)?;
        let axes = self.output.iter().zip(&self.kernel).zip(&self.stride);
        for (((&results, &taps), &stride), (&dilation, &padding)) in
            axes.zip(self.dilation.iter().zip(&self.padding))
        {
            let last = |count: usize, step: usize| count.saturating_sub(1) as u64 * step as u64;
            let reach = last(results, stride).saturating_add(last(taps, dilation));
            let positive = taps > 0 && stride > 0 && dilation > 0;
            let pixels = reach.max(padding as u64).max(stride as u64);
            let near = pixels.saturating_mul(self.channels as u64) <= MAX_REACH;
            check(positive && near, OpFault::Parameters)?;
        }
        Ok(())
    }

    /// The row of the input under a tap; negative on the padding.
    #[inline(always)]
    pub fn row(&self, result: usize, tap: usize) -> i32 {
        let ([stride, _], [dilation, _], [padding, _]) = (self.stride, self.dilation, self.padding);
        position([result, stride, tap, dilation, padding])
    }

    /// The column of the input under a tap; negative on the padding.
    #[inline(always)]
    pub fn column(&self, result: usize, tap: usize) -> i32 {
        let ([_, stride], [_, dilation], [_, padding]) = (self.stride, self.dilation, self.padding);
        position([result, stride, tap, dilation, padding])
    }

    /// Rows (axis 0) or columns (axis 1) of the output whose taps all lie on the image.
    pub fn inside(&self, axis: usize) -> Option<core::ops::Range<usize>> {
        let of = |extents: &[usize; 2]| extents.get(axis).copied();
        let (padding, stride) = (of(&self.padding)?, of(&self.stride)?);
        let taps = of(&self.kernel)?.checked_sub(1)?;
        let reach = taps.checked_mul(of(&self.dilation)?)?;
        let first = padding.checked_add(stride.checked_sub(1)?)?;
        // The last tap of output `o` lies on `o·stride + reach - padding`, below the extent.
        let room = of(&self.input)?.checked_add(padding)?.checked_sub(reach);
        let end = match room {
            Some(room) => room.checked_add(stride)?.checked_sub(1)?,
            None => 0,
        };
        let end = end.checked_div(stride)?.min(of(&self.output)?);
        Some(first.checked_div(stride)?..end)
    }

    /// Taps that lie side by side in a row of the input.
    #[inline(always)]
    pub fn taps_in_run(&self) -> usize {
        let ([_, columns], [_, dilation]) = (self.kernel, self.dilation);
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
        let words = [4, 4, 4, 4, 3, 4, 1, 2, 1, 1, 1, dilation, 0, 0, 0];
        let entry = |dims: [u32; 4]| {
            let [d0, d1, d2, d3] = dims.map(u32::to_le_bytes);
            [[2, 4, 0, 0], d0, d1, d2, d3, [0; 4], [0; 4], [0; 4]]
        };
        let (x, y) = (entry([1, 4, 4, 4]), entry([1, 4, 3, 4]));
        Geometry::read(&words).check(Tensor(&x), Tensor(&y))
    }

    #[test]
    fn a_tap_so_far_away_that_an_address_would_wrap_is_refused() {
        assert_eq!(with_dilation(1), Ok(()));
        assert_eq!(with_dilation((1 << 28) - 2), Ok(()));
        // Times four channels 2^32: position 0 where an address has 32 bits.
        assert_eq!(with_dilation(1 << 30), Err(OpFault::Parameters));
        assert_eq!(with_dilation(1 << 28), Err(OpFault::Parameters));
    }
}
