//! Windows over the rows and columns of an image `[1, h, w, c]`: what convolutions and pools share.
//!
//! Parameter words: strides, dilations, padding before the image; of each that of the rows, then
//! that of the columns. Padding behind the image follows from the output's extents. Tap `k` of
//! result `o` lies on `o·stride + k·dilation - padding`. Of a transposed window it lies on `i`
//! where `i·stride + k·dilation - padding = o`, if there is such an `i`.

use crate::error::OpFault;
use crate::op::{Op, check};
use crate::tensor::Tensor;

/// No tap lies further from the image's start than this, so that positions fit an `i32`.
const MAX_REACH: u64 = 1 << 30;

/// The positions of taps along rows or along columns.
#[derive(Clone, Copy)]
pub(super) struct Axis {
    step: i32,
    dilation: i32,
    origin: i32,
    divisor: i32,
    extent: usize,
    taps: usize,
}

impl Axis {
    /// The input's element under a tap; none outside of the input or between its elements.
    #[inline(always)]
    fn place(&self, result: usize, tap: usize) -> Option<usize> {
        let at = self.position(result, tap);
        if at.checked_rem(self.divisor)? != 0 {
            return None;
        }
        usize::try_from(at.checked_div(self.divisor)?)
            .ok()
            .filter(|&at| at < self.extent)
    }

    #[inline(always)]
    fn position(&self, result: usize, tap: usize) -> i32 {
        let (result, tap) = (result as i32, tap as i32);
        let moved = result.wrapping_mul(self.step);
        moved
            .wrapping_add(tap.wrapping_mul(self.dilation))
            .wrapping_add(self.origin)
    }

    /// Taps of a result within `before` elements before and `behind` elements behind the input.
    #[inline(never)]
    fn count(&self, result: usize, before: u32, behind: u32) -> u32 {
        let range = -i64::from(before)..self.extent as i64 + i64::from(behind);
        let inside = |&tap: &usize| range.contains(&i64::from(self.position(result, tap)));
        (0..self.taps).filter(inside).count() as u32
    }
}

/// The windows of an op.
#[derive(Clone, Copy)]
pub(super) struct Window {
    rows: Axis,
    columns: Axis,
}

/// Where a window's words stand, how large it is, whether it is transposed.
#[derive(Clone, Copy)]
pub(super) struct Spec {
    pub word: usize,
    /// Taps along rows and columns.
    pub kernel: [u32; 2],
    pub transposed: bool,
}

impl Window {
    /// Parameter words.
    pub const WORDS: usize = 6;

    /// Checks the words against input 0 and output 0, both `[1, h, w, c]`.
    pub fn check(op: &Op, spec: Spec) -> Result<(), OpFault> {
        let (x, y) = (op.need_input(0)?.info, op.need_output(0)?);
        let ([x_batch, ..], [y_batch, height, width, _]) = (x.dims(), y.dims());
        check(x_batch == 1 && y_batch == 1, OpFault::Shape)?;
        Self::check_axis(op, spec, [0, height])?;
        Self::check_axis(op, spec, [1, width])
    }

    /// Checks the words along rows (axis 0) or columns (axis 1).
    #[inline(never)]
    fn check_axis(op: &Op, spec: Spec, [axis, results]: [u32; 2]) -> Result<(), OpFault> {
        let first = spec.word.wrapping_add(axis as usize);
        let parameters = op.parameters();
        let word = |kind: usize| parameters.need_u32(first.wrapping_add(kind));
        let (stride, dilation, padding) = (word(0)?, word(2)?, word(4)?);
        let taps = spec.kernel.get(axis as usize).copied().unwrap_or(0);
        let last = |count: u32, step: u32| u64::from(count.saturating_sub(1)) * u64::from(step);
        let reach = last(results, stride).saturating_add(last(taps, dilation));
        let reach = reach.max(padding.into()).max(stride.into());
        let steps = taps > 0 && stride > 0 && dilation > 0;
        check(steps && reach <= MAX_REACH, OpFault::Parameters)
    }

    pub fn read(op: &Op, spec: Spec) -> Option<Window> {
        let [_, height, width, _] = op.input(0)?.info.dims();
        let [rows, columns] = spec.kernel;
        Some(Window {
            rows: axis(op, spec, [0, height, rows])?,
            columns: axis(op, spec, [1, width, columns])?,
        })
    }

    /// Taps of the window at `at` on the image or within a margin around it: top, left, bottom,
    /// right.
    pub fn count(&self, [row, column]: [usize; 2], margins: [u32; 4]) -> u32 {
        let [top, left, bottom, right] = margins;
        let rows = self.rows.count(row, top, bottom);
        rows.saturating_mul(self.columns.count(column, left, right))
    }

    /// The pixel under every tap of the window at `at`, row by row; none for taps on the padding.
    pub fn taps(&self, at: [usize; 2]) -> Taps<'_> {
        let window = self;
        Taps {
            window,
            at,
            row: 0,
            column: 0,
        }
    }
}

fn axis(op: &Op, spec: Spec, [axis, extent, taps]: [u32; 3]) -> Option<Axis> {
    let word = |kind: usize| op.parameters().i32(spec.word + 2 * kind + axis as usize);
    let (stride, dilation, padding) = (word(0)?, word(1)?, word(2)?);
    let (extent, taps) = (extent as usize, taps as usize);
    Some(match spec.transposed {
        false => Axis {
            step: stride,
            dilation,
            origin: padding.wrapping_neg(),
            divisor: 1,
            extent,
            taps,
        },
        true => Axis {
            step: 1,
            dilation: dilation.wrapping_neg(),
            origin: padding,
            divisor: stride,
            extent,
            taps,
        },
    })
}

/// See [`Window::taps`].
pub(super) struct Taps<'w> {
    window: &'w Window,
    at: [usize; 2],
    row: usize,
    column: usize,
}

impl Iterator for Taps<'_> {
    type Item = Option<usize>;

    #[inline(never)]
    fn next(&mut self) -> Option<Option<usize>> {
        let Window { rows, columns } = self.window;
        if self.column == columns.taps {
            (self.row, self.column) = (self.row + 1, 0);
        }
        if self.row == rows.taps {
            return None;
        }
        let [row, column] = self.at;
        let (y, x) = (
            rows.place(row, self.row),
            columns.place(column, self.column),
        );
        self.column += 1;
        Some(y.zip(x).map(|(y, x)| y * columns.extent + x))
    }
}

/// Row and column of every pixel of an image, row by row.
pub(super) fn pixels(image: Tensor) -> impl Iterator<Item = [usize; 2]> + use<> {
    let [_, height, width, _] = image.dims();
    (0..height as usize).flat_map(move |row| (0..width as usize).map(move |column| [row, column]))
}
