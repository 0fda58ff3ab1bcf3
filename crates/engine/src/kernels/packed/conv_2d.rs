//! `conv_2d` variant 3: `i8` → `i8` with packed weights, without groups.
//!
//! Inputs `x [1, h, w, c]` in the arena and the groups of `n` filters, `u8`; output `[1, h', w', n]`;
//! scratch for two columns and, where the pixels are odd, `n` bytes. Parameters: the geometry (`h`, `w`,
//! `c`, `h'`, `w'`, `n`, then kernel, strides, dilations and padding before the image, rows before
//! columns, x₀), limits (two `i8` in the low bytes). `h'·w'·n` times the taps and `c` in steps.
//!
//! A column holds the inputs under a window, row by row of the kernel; where taps lie side by side,
//! so do their channels, and every run is filled up to a multiple of four, with
//! what the row has there, with x₀ or with zeros: the compiler gives these places weights of zero.
//! Taps on the padding see x₀. Pixels are computed two by two, so the output may overlap `x` where it
//! stays behind what is still to be read ([`Walk`]).

use super::geometry::{self, Geometry};
use super::pairs::{Pairs, scratch_bytes};
use super::pixels::Walk;
use super::{Limits, Operands};
use crate::KernelId;
use crate::error::OpFault;
use crate::format::{MAX_ROW, OpCode};
use crate::kernels::Kernel;
use crate::op::{Op, check, split};
use core::ops::Range;
use dunlin_kernels::{Column, GROUP, Layer, Runs, fill, fill_pair, group_bytes, repeat};

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    id: KernelId::new(OpCode::Conv2d as u16, 1, 3),
    check: check_op,
    run,
};

const WORDS: usize = geometry::WORDS + 1;

/// Steps of a column; none where it would be too long.
#[inline(never)]
fn steps(geometry: &Geometry) -> Option<usize> {
    let [rows, columns] = geometry.kernel;
    let taps = geometry.taps_in_run();
    let run = taps
        .checked_mul(geometry.channels)?
        .checked_next_multiple_of(4)?;
    let runs = rows.checked_mul(columns.checked_div(taps)?)?;
    let inputs = runs.checked_mul(run)?;
    (inputs <= 2 * MAX_ROW as usize).then_some(inputs / 2)
}

fn check_op(op: &Op) -> Result<u64, OpFault> {
    let Operands {
        x,
        y,
        constants,
        scratch,
    } = Operands::check(op, WORDS, true)?;
    let words = op.parameters().words().ok_or(OpFault::Parameters)?;
    let geometry = Geometry::read(&words);
    geometry.check(x, y)?;
    let steps = steps(&geometry).ok_or(OpFault::Shape)?;
    let expected = geometry
        .filters
        .div_ceil(GROUP)
        .saturating_mul(group_bytes(steps));
    check(constants == expected, OpFault::Constant)?;
    let [rows, columns] = geometry.output;
    let needed = scratch_bytes(rows.saturating_mul(columns), steps, geometry.filters);
    check(scratch >= needed, OpFault::Shape)?;
    check(
        Walk::over_image(&words).allows(&x.range(), &y.range()),
        OpFault::Aliasing,
    )?;
    Ok((y.elements() as u64).saturating_mul(2 * steps as u64))
}

fn run(op: &Op, arena: &mut [u8]) -> Option<()> {
    let words = op.parameters();
    let geometry = Geometry::read(&words.words()?);
    let steps = steps(&geometry)?;
    let [rows, width] = geometry.output;
    let mut left = rows.checked_mul(width)?;
    let start = op.offset(3)?;
    let pairs = Pairs {
        layer: Layer::new(op.constants_from(1)?, steps, geometry.filters)?,
        filters: geometry.filters,
        limits: Limits(words.u32(geometry::WORDS)?),
        scratch: start..start.checked_add(scratch_bytes(left, steps, geometry.filters))?,
    };
    let input = op.input(0)?.info.range();
    let inside = Inside::of(&geometry)?;
    let (mut pixel, mut y) = ([0, 0], op.offset(2)?);
    while left > 0 {
        let (first, second) = (pixel, next(pixel, width));
        let (x, columns) = split(arena, input.clone(), pairs.scratch.clone())?;
        if inside.gather(x, [first, second], columns).is_none() {
            gather(&geometry, x, first, columns, Column::First)?;
            if left == 1 {
                return pairs.write_last(arena, y);
            }
            gather(&geometry, x, second, columns, Column::Second)?;
        }
        y = pairs.write(arena, y)?;
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
    fn of(geometry: &Geometry) -> Option<Inside> {
        let ([_, width], [top, left]) = (geometry.input, geometry.padding);
        let ([stride, step], [dilation, spread]) = (geometry.stride, geometry.dilation);
        let [kernel_rows, kernel_columns] = geometry.kernel;
        let c = geometry.channels;
        let row_bytes = width.wrapping_mul(c);
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
fn gather(
    geometry: &Geometry,
    x: &[u8],
    [row, column]: [usize; 2],
    mut columns: &mut [u8],
    which: Column,
) -> Option<()> {
    let ([height, width], [kernel_rows, kernel_columns]) = (geometry.input, geometry.kernel);
    let taps = geometry.taps_in_run();
    let row_bytes = width.wrapping_mul(geometry.channels);
    for kernel_row in 0..kernel_rows {
        // A row above the image has a number beyond it.
        let at = geometry.row(row, kernel_row).cast_unsigned() as usize;
        let start = at.wrapping_mul(row_bytes);
        let inputs = match at < height {
            true => x.get(start..start.wrapping_add(row_bytes))?,
            false => &[],
        };
        for tap in (0..kernel_columns).step_by(taps) {
            let first = geometry.column(column, tap);
            columns = gather_run(geometry, inputs, first, columns, which)?;
        }
    }
    Some(())
}

/// Widens the inputs of neighbouring taps from column `first` of a row on; the row is empty on the
/// padding.
#[inline(always)]
fn gather_run<'c>(
    geometry: &Geometry,
    row: &[u8],
    first: i32,
    columns: &'c mut [u8],
    which: Column,
) -> Option<&'c mut [u8]> {
    let c = geometry.channels;
    let length = geometry.taps_in_run().wrapping_mul(c);
    if let Ok(first) = usize::try_from(first) {
        let start = first.wrapping_mul(c);
        // What fills a run up has weights of zero, so whatever the row has there will do.
        let behind = row.get(start..).unwrap_or_default();
        let run = behind.get(..length.next_multiple_of(4));
        if let Some(run) = run.or_else(|| behind.get(..length)) {
            return Some(fill(columns, which, run));
        }
    }
    let first = (first as isize).wrapping_mul(c as isize);
    gather_edge(geometry, row, first, columns, which)
}

/// As [`gather_run`] across an edge of the image, from element `first` of the row on.
#[inline(never)]
fn gather_edge<'c>(
    geometry: &Geometry,
    row: &[u8],
    first: isize,
    mut columns: &'c mut [u8],
    which: Column,
) -> Option<&'c mut [u8]> {
    let length = geometry.taps_in_run().wrapping_mul(geometry.channels);
    if row.is_empty() {
        return Some(repeat(columns, which, geometry.zero, length));
    }
    if geometry.channels.is_multiple_of(4) {
        // Every tap fills whole words: padding, inputs, padding.
        let before = first.min(0).unsigned_abs().min(length);
        let rest = length.wrapping_sub(before);
        let inputs = row.get(first.max(0).unsigned_abs()..).unwrap_or_default();
        let inputs = inputs.get(..rest).unwrap_or(inputs);
        columns = repeat(columns, which, geometry.zero, before);
        columns = fill(columns, which, inputs);
        let behind = rest.wrapping_sub(inputs.len());
        return Some(repeat(columns, which, geometry.zero, behind));
    }
    for start in (0..length).step_by(4) {
        let quad = [0, 1, 2, 3].map(|place| {
            let at = first.wrapping_add_unsigned(start + place).cast_unsigned();
            row.get(at).copied().unwrap_or(geometry.zero)
        });
        columns = fill(columns, which, &quad);
    }
    Some(columns)
}
