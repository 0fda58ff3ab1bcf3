//! `conv_2d` variants 3, 5 and 6: `i8` → `i8` with packed weights, without groups. In variant 3 ties are rounded up, in
//! variants 5 and 6 they go to the even or the odd result.
//!
//! Input `x [1, h, w, c]` in the arena; output `[1, h', w', n]`; scratch for two columns and, where the pixels are
//! odd, `n` bytes. Parameters: the geometry (`h`, `w`,
//! `c`, `h'`, `w'`, `n`, then kernel, strides, dilations and padding before the image, rows before
//! columns, x₀), limits (two `i8` in the low bytes), where the groups of `n` filters lie in the constants. `h'·w'·n`
//! times the taps and `c` in steps.
//!
//! A column holds the inputs under a window, row by row of the kernel; where taps lie side by side,
//! so do their channels, and every run is filled up to a multiple of four, with
//! what the row has there, with x₀ or with zeros: the compiler gives these places weights of zero.
//! Taps on the padding see x₀. Pixels are computed two by two, so the output may overlap `x` where it
//! stays behind what is still to be read ([`Walk`]).

use super::geometry::{self, Geometry};
use super::pairs::Pairs;
use super::pixels::Walk;
use super::{Limits, Operands};
use crate::KernelId;
use crate::error::OpFault;
use crate::format::{MAX_ROW, OpCode};
use crate::kernels::Kernel;
use crate::op::{Op, check};
use core::ops::Range;
use dunlin_kernels::{Column, Runs, UP, fill, fill_pair, repeat};

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    id: KernelId::new(OpCode::Conv2d as u16, 2, 3),
    check: check_op,
    run: run::<UP>,
};
pub(in crate::kernels) static EVEN: Kernel = Kernel {
    id: KernelId::new(OpCode::Conv2d as u16, 2, 5),
    check: check_op,
    run: run::<{ dunlin_kernels::EVEN }>,
};
pub(in crate::kernels) static ODD: Kernel = Kernel {
    id: KernelId::new(OpCode::Conv2d as u16, 2, 6),
    check: check_op,
    run: run::<{ dunlin_kernels::ODD }>,
};

const WORDS: usize = geometry::WORDS + 2;

/// Steps of a column; none where it would be too long.
#[inline(never)]
fn steps(geometry: Geometry) -> Option<usize> {
    let ([rows, columns], taps) = (geometry.kernel(), geometry.taps_in_run());
    let run = taps.checked_mul(geometry.channels())?;
    let runs = rows.checked_mul(columns.checked_div(taps)?)?;
    let inputs = runs.checked_mul(run.checked_next_multiple_of(4)?)?;
    (inputs <= 2 * MAX_ROW as usize).then_some(inputs / 2)
}

fn check_op(op: &Op) -> Result<u64, OpFault> {
    let operands = Operands::check(op, WORDS, true)?;
    let (x, y) = (operands.x, operands.y);
    let geometry = Geometry::of(op).ok_or(OpFault::Parameters)?;
    geometry.check(x, y)?;
    let steps = steps(geometry).ok_or(OpFault::Shape)?;
    let [rows, columns] = geometry.output();
    operands.hold_pairs(steps, geometry.filters(), rows.wrapping_mul(columns))?;
    let (x, y) = (&x.range(), &y.range());
    check(Walk::over_image(geometry.0).allows(x, y), OpFault::Aliasing)?;
    Ok(y.len() as u64 * (2 * steps as u64))
}

fn run<const TIES: u8>(op: &Op, arena: &mut [u8]) -> Option<()> {
    let geometry = Geometry::of(op)?;
    let [rows, width] = geometry.output();
    let mut left = rows.wrapping_mul(width);
    let limits = Limits(op.parameters().u32(geometry::WORDS)?);
    let sizes = [steps(geometry)?, geometry.filters(), left];
    let mut pairs = Pairs::<TIES>::of(op, sizes, limits, arena)?;
    let [height, _] = geometry.input();
    let (input, bytes) = (op.offset(0)?, height.wrapping_mul(geometry.row_bytes()));
    let inside = Inside::of(geometry)?;
    let (mut pixel, mut y) = ([0, 0], op.offset(1)?);
    while left > 0 {
        let (first, second) = (pixel, next(pixel, width));
        let x = pairs.arena.at(input, bytes)?;
        if inside.gather(x, [first, second], pairs.columns).is_none() {
            gather(geometry, x, first, pairs.columns, Column::First)?;
            if left == 1 {
                return pairs.write_last(y);
            }
            gather(geometry, x, second, pairs.columns, Column::Second)?;
        }
        pairs.write(y)?;
        y = y.wrapping_add(pairs.filters).wrapping_add(pairs.filters);
        pixel = next(second, width);
        left -= 2;
    }
    Some(())
}

/// The pixel behind another.
fn next([row, column]: [usize; 2], width: usize) -> [usize; 2] {
    match column + 1 {
        end if end == width => [row + 1, 0],
        column => [row, column],
    }
}

/// Pixels whose windows lie inside of the image, and what is under such a window.
struct Inside {
    rows: Range<usize>,
    columns: Range<usize>,
    /// Bytes of input from the window of a pixel to that of the one below and of the one beside.
    pitch: [usize; 2],
    /// Bytes of padding before the image.
    padding: usize,
    /// Groups of runs, and bytes between them.
    groups: [usize; 2],
    runs: Runs,
}

impl Inside {
    /// The geometry is checked, so nothing here overflows where it matters: every range is looked up in the input.
    #[inline(never)]
    fn of(geometry: Geometry) -> Option<Inside> {
        let ([top, left], [stride, step]) = (geometry.padding(), geometry.stride());
        let ([dilation, spread], [kernel_rows, kernel_columns]) =
            (geometry.dilation(), geometry.kernel());
        let (c, row_bytes) = (geometry.channels(), geometry.row_bytes());
        let taps = geometry.taps_in_run();
        let below = dilation.wrapping_mul(row_bytes);
        let (groups, count, pitch) = match taps == kernel_columns {
            true => ([1, 0], kernel_rows, below),
            false => ([kernel_rows, below], kernel_columns, spread.wrapping_mul(c)),
        };
        Some(Inside {
            rows: geometry.inside(0)?,
            columns: geometry.inside(1)?,
            pitch: [stride.wrapping_mul(row_bytes), step.wrapping_mul(c)],
            padding: (top.wrapping_mul(row_bytes)).wrapping_add(left.wrapping_mul(c)),
            groups,
            runs: Runs {
                count,
                quads: taps.wrapping_mul(c).div_ceil(4),
                pitch,
            },
        })
    }

    /// Widens the inputs of two neighbours into both columns; none where they are not both inside.
    #[inline(always)]
    fn gather(
        &self,
        x: &[u8],
        [[row, first], [row_of_second, second]]: [[usize; 2]; 2],
        mut columns: &mut [u8],
    ) -> Option<()> {
        let inside = row == row_of_second
            && self.rows.contains(&row)
            && self.columns.start <= first
            && second < self.columns.end;
        let ([below, beside], [groups, pitch]) = (self.pitch, self.groups);
        let start = row
            .wrapping_mul(below)
            .wrapping_add(first.wrapping_mul(beside));
        let mut inputs = x
            .get(start.wrapping_sub(self.padding)..)
            .filter(|_| inside)?;
        for group in 0..groups {
            if group > 0 {
                inputs = inputs.get(pitch..)?;
            }
            columns = fill_pair(columns, &self.runs, inputs, beside)?;
        }
        Some(())
    }
}

/// Widens the inputs under the window of a pixel into a column.
#[inline(never)]
fn gather(
    geometry: Geometry,
    x: &[u8],
    [row, column]: [usize; 2],
    mut columns: &mut [u8],
    which: Column,
) -> Option<()> {
    let ([height, _], [kernel_rows, kernel_columns]) = (geometry.input(), geometry.kernel());
    let ([dilation, spread], c) = (geometry.dilation(), geometry.channels());
    let (taps, row_bytes) = (geometry.taps_in_run(), geometry.row_bytes());
    let run = Run {
        length: taps.wrapping_mul(c),
        channels: c,
        zero: geometry.zero(),
        which,
    };
    // Rows above the image and elements before it have numbers beyond it.
    let mut at = geometry.row(row, 0).cast_unsigned() as usize;
    let first = (geometry.column(column, 0) as isize)
        .cast_unsigned()
        .wrapping_mul(c);
    for _ in 0..kernel_rows {
        let start = at.wrapping_mul(row_bytes);
        let inputs = match at < height {
            true => x.get(start..start.wrapping_add(row_bytes))?,
            false => &[],
        };
        let (mut tap, mut start) = (0, first);
        while tap < kernel_columns {
            columns = run.gather(inputs, start, columns);
            (tap, start) = (tap + taps, start.wrapping_add(spread.wrapping_mul(c)));
        }
        at = (at as u32).wrapping_add(dilation as u32) as usize;
    }
    Some(())
}

/// The inputs of neighbouring taps.
struct Run {
    length: usize,
    channels: usize,
    /// The input that stands for 0.0.
    zero: u8,
    which: Column,
}

impl Run {
    /// Widens the inputs from element `start` of a row on; the row is empty on the padding.
    #[inline(always)]
    fn gather<'c>(&self, row: &[u8], start: usize, columns: &'c mut [u8]) -> &'c mut [u8] {
        // What fills a run up has weights of zero, so whatever the row has there will do.
        let behind = row.get(start..).unwrap_or_default();
        let run = behind.get(..self.length.next_multiple_of(4));
        match run.or_else(|| behind.get(..self.length)) {
            Some(run) => fill(columns, self.which, run),
            None => self.gather_edge(row, start, columns),
        }
    }

    /// The same across an edge of the image.
    #[inline(never)]
    fn gather_edge<'c>(&self, row: &[u8], start: usize, mut columns: &'c mut [u8]) -> &'c mut [u8] {
        let (which, zero) = (self.which, self.zero);
        if row.is_empty() {
            return repeat(columns, which, zero, self.length);
        }
        if self.channels.is_multiple_of(4) {
            // Every tap fills whole words: padding, inputs, padding.
            let before = start.cast_signed().min(0).unsigned_abs().min(self.length);
            let rest = self.length.wrapping_sub(before);
            let inputs = row.get(start.wrapping_add(before)..).unwrap_or_default();
            let inputs = inputs.get(..rest).unwrap_or(inputs);
            columns = repeat(columns, which, zero, before);
            columns = fill(columns, which, inputs);
            return repeat(columns, which, zero, rest.wrapping_sub(inputs.len()));
        }
        for place in (0..self.length).step_by(4) {
            let quad = [0, 1, 2, 3].map(|lane| {
                let at = start.wrapping_add(place).wrapping_add(lane);
                row.get(at).copied().unwrap_or(zero)
            });
            columns = fill(columns, which, &quad);
        }
        columns
    }
}
