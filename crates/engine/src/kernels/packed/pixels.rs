//! Where an output may lie over its input.
//!
//! Pixels are computed two by two, in order; the inputs of both are in the scratch before either
//! is written. Then an output may overlap the input, as long as it stays behind what is still to be read.
//!
//! A layer over rows whose outputs are no smaller than their inputs may go the other way, from the last
//! row to the first. Row `i` of `n` bytes at `y + i·n` then never reaches what is still to be read below `x + i·k`, as
//! long as `y ≥ x`: the output may begin where the input does and grow beyond its end.

use super::geometry::{Geometry, WORDS as GEOMETRY_WORDS};
use crate::op::disjoint;
use core::ops::Range;

/// A walk over the pixels of an output, row by row.
#[derive(Clone, Copy, Debug)]
pub struct Walk {
    /// Rows of the output.
    pub rows: usize,
    /// Pixels in a row.
    pub columns: usize,
    /// Bytes of an output pixel.
    pub out_bytes: usize,
    /// Bytes of input between the first that two neighbours in a row read; 0 where a pixel reads several rows.
    pub pixel_bytes: usize,
    /// Bytes of input between the first ones that two rows read.
    pub row_bytes: usize,
    /// Bytes of input before the first that row 0 would read: padding at the top.
    pub padding_bytes: usize,
}

impl Walk {
    /// The walk of a layer that computes `rows` rows of `n` bytes, each from `k` bytes.
    pub fn over_rows(rows: usize, k: usize, n: usize) -> Walk {
        Walk {
            rows: 1,
            columns: rows,
            out_bytes: n,
            pixel_bytes: k,
            row_bytes: 0,
            padding_bytes: 0,
        }
    }

    /// Whether a layer over rows goes from the last to the first, with inputs of `k` bytes at `x` and outputs of `n` bytes
    /// at `y`.
    pub fn is_backward([k, n]: [usize; 2], [x, y]: [usize; 2]) -> bool {
        n >= k && y >= x
    }

    /// The walk of a packed `conv_2d` whose parameters begin with these words: its geometry.
    pub fn over_image(words: &[[u8; 4]; GEOMETRY_WORDS]) -> Walk {
        let geometry = Geometry(words);
        let [rows, columns] = geometry.output();
        let ([stride, step], [top, left]) = (geometry.stride(), geometry.padding());
        let row_bytes = geometry.row_bytes();
        let is_pixel = geometry.kernel() == [1, 1] && [top, left] == [0, 0];
        Walk {
            rows,
            columns,
            out_bytes: geometry.filters(),
            pixel_bytes: match is_pixel {
                true => step.wrapping_mul(geometry.channels()),
                false => 0,
            },
            row_bytes: stride.wrapping_mul(row_bytes),
            padding_bytes: top.wrapping_mul(row_bytes),
        }
    }

    /// Least `x - y` of the starts of input and output at which the output may overlap the input.
    ///
    /// Wraps where input or output have more bytes than an `isize` counts.
    #[inline(never)]
    pub fn lead(&self) -> isize {
        let row_out = self.columns.wrapping_mul(self.out_bytes);
        let last = self.rows.wrapping_sub(1);
        // Linear in the rows before and behind the one where the padding ends.
        let bend = self.padding_bytes.checked_div(self.row_bytes).unwrap_or(0);
        let rows = [0, bend.min(last), bend.wrapping_add(1).min(last), last];
        let mut lead = isize::MIN;
        for row in rows {
            let read = row
                .wrapping_mul(self.row_bytes)
                .saturating_sub(self.padding_bytes);
            let first = (row.wrapping_mul(row_out)).wrapping_sub(read).cast_signed();
            // Along a row the difference is linear too.
            let step = self.out_bytes.wrapping_sub(self.pixel_bytes).cast_signed();
            let columns = self.columns.wrapping_sub(1).cast_signed();
            lead = lead.max(first.max(first.wrapping_add(columns.wrapping_mul(step))));
        }
        lead
    }

    /// Whether input and output may lie where they do.
    pub(crate) fn allows(&self, x: &Range<usize>, y: &Range<usize>) -> bool {
        disjoint(x, y) || x.start.wrapping_sub(y.start).cast_signed() >= self.lead()
    }
}
