//! `conv_2d` variant 3: `i8` → `i8` with packed weights, without groups.
//!
//! Inputs `x [1, h, w, c]` in the arena and the groups of `n` filters, `u8`; output `[1, h', w', n]`;
//! scratch for two columns and, where the pixels are odd, `n` bytes. Parameters: the geometry (`h`, `w`,
//! `c`, `h'`, `w'`, `n`, then kernel, strides, dilations and padding before the image, rows before
//! columns, x₀), limits (two `i8` in the low bytes). `h'·w'·n` times the taps and `c` in steps.
//!
//! A column holds the inputs under a window, row by row of the kernel; where taps lie side by side,
//! so do their channels, and every run is filled up to a multiple of four, with
//! what the row has there or with zeros: the compiler gives these places weights of zero. Taps on the padding see x₀.
//! Pixels are computed two by two, so the output may overlap `x` where it stays behind what is
//! still to be read ([`Walk`]).

use super::geometry::{self, Geometry};
use super::pixels::Walk;
use super::{Limits, Operands};
use crate::KernelId;
use crate::error::OpFault;
use crate::format::{MAX_ROW, OpCode};
use crate::kernels::Kernel;
use crate::op::{Op, check, split, split_mut};
use core::ops::Range;
use dunlin_kernels::{Column, GROUP, Layer, fill, group_bytes, multiply_pair, repeat};

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    id: KernelId::new(OpCode::Conv2d as u16, 1, 3),
    check: check_op,
    run,
};

const WORDS: usize = geometry::WORDS + 1;

/// Steps of a column; none where it would be too long.
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
    let needed = (8 * steps).saturating_add(spare_bytes(&geometry));
    check(scratch >= needed, OpFault::Shape)?;
    check(
        Walk::over_image(&words).allows(&x.range(), &y.range()),
        OpFault::Aliasing,
    )?;
    Ok((y.elements() as u64).saturating_mul(2 * steps as u64))
}

/// Outputs that nobody wants, where the last pixel has no neighbour.
fn spare_bytes(geometry: &Geometry) -> usize {
    let [rows, columns] = geometry.output;
    if (rows & columns & 1) == 1 {
        geometry.filters
    } else {
        0
    }
}

fn run(op: &Op, arena: &mut [u8]) -> Option<()> {
    let words = op.parameters();
    let geometry = Geometry::read(&words.words()?);
    let steps = steps(&geometry)?;
    let layer = Layer {
        groups: op.constants_from(1)?,
        steps,
    };
    let limits = Limits(words.u32(geometry::WORDS)?);
    let input = op.input(0)?.info.range();
    let scratch = op.offset(3)?;
    let scratch = scratch
        ..scratch
            .checked_add(8 * steps)?
            .checked_add(spare_bytes(&geometry))?;
    let mut y = op.offset(2)?;
    let mut first = None;
    let [_, width] = geometry.output;
    let [rows, _] = geometry.output;
    for row in 0..rows {
        for column in 0..width {
            let which = if first.is_none() {
                Column::First
            } else {
                Column::Second
            };
            let (x, columns) = split(arena, input.clone(), scratch.clone())?;
            gather(&geometry, x, [row, column], columns, which)?;
            first = match first {
                None => Some(()),
                Some(()) => {
                    y = write_pair(
                        &layer,
                        arena,
                        scratch.clone(),
                        [y, geometry.filters],
                        limits,
                    )?;
                    None
                }
            };
        }
    }
    if first.is_some() {
        write_last(&layer, arena, scratch, [y, geometry.filters], limits)?;
    }
    Some(())
}

/// Computes two pixels at `y` and gives where the next begin.
fn write_pair(
    layer: &Layer,
    arena: &mut [u8],
    scratch: Range<usize>,
    [y, n]: [usize; 2],
    limits: Limits,
) -> Option<usize> {
    let end = y.checked_add(n.checked_mul(2)?)?;
    let (columns, out) = split(arena, scratch, y..end)?;
    let (first, second) = out.split_at_mut_checked(n)?;
    multiply_pair(layer, columns, first, second);
    limits.hold(out);
    Some(end)
}

/// Computes a pixel without a neighbour, whose results go to the end of the scratch.
fn write_last(
    layer: &Layer,
    arena: &mut [u8],
    scratch: Range<usize>,
    [y, n]: [usize; 2],
    limits: Limits,
) -> Option<()> {
    let (scratch, out) = split_mut(arena, scratch, y..y.checked_add(n)?)?;
    let (columns, unwanted) = scratch.split_at_mut_checked(scratch.len().checked_sub(n)?)?;
    multiply_pair(layer, columns, out, unwanted);
    limits.hold(out);
    Some(())
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
    let row_bytes = width.checked_mul(geometry.channels)?;
    for kernel_row in 0..kernel_rows {
        let at = usize::try_from(geometry.row(row, kernel_row))
            .ok()
            .filter(|&at| at < height);
        let start = at.and_then(|at| at.checked_mul(row_bytes));
        let inputs = match start {
            Some(start) => x.get(start..start.checked_add(row_bytes)?)?,
            None => &[],
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
    let length = geometry.taps_in_run().checked_mul(c)?;
    if let Ok(first) = usize::try_from(first) {
        let start = first.checked_mul(c)?;
        // What fills a run up has weights of zero, so whatever the row has there will do.
        let filled = length.next_multiple_of(4);
        let run = row.get(start..start.checked_add(filled)?);
        if let Some(run) = run.or_else(|| row.get(start..start.checked_add(length)?)) {
            return Some(fill(columns, which, run));
        }
    }
    gather_edge(geometry, row, i64::from(first) * c as i64, columns, which)
}

/// As [`gather_run`] across an edge of the image, from element `first` of the row on.
#[inline(never)]
fn gather_edge<'c>(
    geometry: &Geometry,
    row: &[u8],
    first: i64,
    mut columns: &'c mut [u8],
    which: Column,
) -> Option<&'c mut [u8]> {
    let length = geometry.taps_in_run().checked_mul(geometry.channels)?;
    if row.is_empty() {
        return Some(repeat(columns, which, geometry.zero, length));
    }
    if geometry.channels.is_multiple_of(4) {
        return gather_pieces(geometry, row, first, columns, which);
    }
    for start in (0..length).step_by(4) {
        let mut quad = [0; 4];
        for (place, input) in (start..length).zip(&mut quad) {
            let at = usize::try_from(first + place as i64).ok();
            *input = at
                .and_then(|at| row.get(at))
                .copied()
                .unwrap_or(geometry.zero);
        }
        columns = fill(columns, which, &quad);
    }
    Some(columns)
}

/// As [`gather_edge`] where every tap fills whole words: padding, inputs, padding.
#[inline(always)]
fn gather_pieces<'c>(
    geometry: &Geometry,
    row: &[u8],
    first: i64,
    columns: &'c mut [u8],
    which: Column,
) -> Option<&'c mut [u8]> {
    let length = geometry.taps_in_run().checked_mul(geometry.channels)?;
    let before = usize::try_from(first.saturating_neg())
        .unwrap_or(0)
        .min(length);
    let start = usize::try_from(first).unwrap_or(0).min(row.len());
    let inside = row
        .len()
        .saturating_sub(start)
        .min(length.checked_sub(before)?);
    let behind = length.checked_sub(before)?.checked_sub(inside)?;
    let columns = repeat(columns, which, geometry.zero, before);
    let columns = fill(columns, which, row.get(start..start.checked_add(inside)?)?);
    Some(repeat(columns, which, geometry.zero, behind))
}
