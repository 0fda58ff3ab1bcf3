//! `conv_2d` variant 4: `i8` → `i8`, depthwise, with prepared taps.
//!
//! Inputs `x [1, h, w, c]` in the arena and the taps, `u8`; output `[1, h', w', c]`; scratch for one
//! plane. Parameters: the geometry as in variant 3, limits, even width of a row of the plane.
//! `h'·w'·c` times the taps in steps; dilation is 1.
//!
//! Channel after channel is widened into a plane of 16-bit inputs with its padding around, and
//! computed from there; where the target has lanes for several, they are computed at once. So the output may begin where `x` does: a channel only overwrites itself.
//! Taps of a channel: rows of words of two taps, then start, `M`, `R` and shift. With 3 × 3 taps and strides
//! of 1 or 2 a row is `(w₀, w₁)`, `(w₁, w₂)`; otherwise `(w₀, w₁)`, `(w₂, w₃)` and so on, filled up with
//! zero.

use super::geometry::{self, Geometry};
use super::{Limits, Operands};
use crate::KernelId;
use crate::error::OpFault;
use crate::format::{MAX_ROW, OpCode};
use crate::kernels::Kernel;
use crate::op::{Op, check, disjoint, split};
use dunlin_kernels::{
    Depthwise3, Image3, Rows, Window, depthwise_output, depthwise3, depthwise3_image, fill_plane,
};

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    id: KernelId::new(OpCode::Conv2d as u16, 1, 4),
    check: check_op,
    run,
};

const WORDS: usize = geometry::WORDS + 2;

/// The planes of an op.
#[derive(Clone, Copy)]
struct Planes {
    rows: usize,
    width: usize,
    /// Words of taps in a row.
    row_words: usize,
    /// Whether the loop for 3 × 3 taps suits.
    is_3: bool,
}

impl Planes {
    #[inline(always)]
    fn of(geometry: &Geometry, width: usize) -> Option<Planes> {
        let ([rows, _], [kernel_rows, kernel_columns]) = (geometry.output, geometry.kernel);
        let [stride, step] = geometry.stride;
        let is_3 = geometry.kernel == [3, 3] && stride == step && stride <= 2;
        let last = rows.checked_sub(1)?.checked_mul(stride)?;
        Some(Planes {
            rows: last.checked_add(kernel_rows)?,
            width,
            row_words: if is_3 { 2 } else { kernel_columns.div_ceil(2) },
            is_3,
        })
    }

    fn bytes(&self) -> Option<usize> {
        self.rows.checked_mul(self.width)?.checked_mul(2)
    }

    /// Least width in which every window of a row lies.
    fn least_width(&self, geometry: &Geometry) -> Option<usize> {
        let ([_, columns], [_, step]) = (geometry.output, geometry.stride);
        let windows = match (self.is_3, step) {
            (true, 1) => columns.checked_next_multiple_of(2)?,
            _ => (columns.checked_sub(1)?.checked_mul(step)?).checked_add(step.min(2))?,
        };
        let taps = if self.is_3 {
            2
        } else {
            self.row_words.checked_mul(2)?
        };
        windows.checked_add(taps)
    }

    fn tap_bytes(&self, geometry: &Geometry) -> Option<usize> {
        let [kernel_rows, _] = geometry.kernel;
        kernel_rows
            .checked_mul(self.row_words)?
            .checked_add(4)?
            .checked_mul(4)
    }
}

fn check_op(op: &Op) -> Result<u64, OpFault> {
    let Operands {
        x,
        y,
        constants,
        scratch,
    } = Operands::check(op, WORDS, true)?;
    let geometry = Geometry::read(&op.parameters().words().ok_or(OpFault::Parameters)?);
    geometry.check(x, y)?;
    let width = op.parameters().need_u32(geometry::WORDS + 1)?;
    let depthwise = geometry.channels == geometry.filters && geometry.dilation == [1, 1];
    check(depthwise, OpFault::Shape)?;
    let planes = Planes::of(&geometry, width as usize).ok_or(OpFault::Shape)?;
    let wide = planes
        .least_width(&geometry)
        .is_some_and(|least| planes.width >= least && planes.width.is_multiple_of(2));
    check(wide, OpFault::Parameters)?;
    let tap_bytes = planes
        .tap_bytes(&geometry)
        .filter(|&bytes| bytes <= MAX_ROW as usize * 4)
        .ok_or(OpFault::Shape)?;
    let expected = tap_bytes.saturating_mul(geometry.channels);
    check(constants == expected, OpFault::Constant)?;
    check(
        planes.bytes().is_some_and(|bytes| scratch >= bytes),
        OpFault::Shape,
    )?;
    let outputs = y.elements() as u64;
    let (x, y) = (x.range(), y.range());
    let apart = disjoint(&x, &y) || x.start == y.start && y.end <= x.end;
    check(apart, OpFault::Aliasing)?;
    let planes_work = planes
        .bytes()
        .unwrap_or(0)
        .saturating_mul(geometry.channels) as u64;
    Ok(outputs
        .saturating_mul(tap_bytes as u64)
        .saturating_add(planes_work))
}

fn run(op: &Op, arena: &mut [u8]) -> Option<()> {
    let words = op.parameters();
    let geometry = Geometry::read(&words.words()?);
    let width = words.u32(geometry::WORDS + 1)?;
    let planes = Planes::of(&geometry, width as usize)?;
    let tap_bytes = planes.tap_bytes(&geometry)?;
    let mut taps = op.constants_from(1)?;
    let (input, output) = (op.input(0)?.info.range(), op.output(0)?.range());
    let plane_start = op.offset(3)?;
    let plane = plane_start..plane_start.checked_add(planes.bytes()?)?;
    if planes.is_3 && at_once(&geometry, taps, arena, [input.start, output.start]).is_some() {
        Limits(words.u32(geometry::WORDS)?).hold(arena.get_mut(output)?);
        return Some(());
    }
    let zero = i16::from(geometry.zero as i8).to_le_bytes();
    arena.get_mut(plane.clone())?.as_chunks_mut().0.fill(zero);
    for index in 0..geometry.channels {
        let (these, rest) = taps.split_at_checked(tap_bytes)?;
        taps = rest;
        let (x, place) = split(arena, input.clone(), plane.clone())?;
        widen(&geometry, &planes, x.get(index..)?, place)?;
        let (place, out) = split(arena, plane.clone(), output.clone())?;
        let channel = Channel {
            plane: place,
            taps: these,
        };
        let out = out.get_mut(index..)?;
        if planes.is_3 {
            compute_3(&geometry, &planes, &channel, out)?;
        } else {
            compute_any(&geometry, &planes, &channel, out);
        }
    }
    Limits(words.u32(geometry::WORDS)?).hold(arena.get_mut(output)?);
    Some(())
}

/// Computes all channels where the target has lanes for several.
#[inline(always)]
fn at_once(geometry: &Geometry, taps: &[u8], arena: &mut [u8], [x, y]: [usize; 2]) -> Option<()> {
    let [stride, _] = geometry.stride;
    let image = Image3 {
        input: geometry.input,
        output: geometry.output,
        channels: geometry.channels,
        stride,
        padding: geometry.padding,
        zero: geometry.zero,
        taps,
    };
    depthwise3_image(&image, arena, x, y)
}

/// What one channel is computed from.
struct Channel<'a> {
    plane: &'a [u8],
    taps: &'a [u8],
}

/// Widens a channel, whose first input begins `x`, into the plane.
fn widen(geometry: &Geometry, planes: &Planes, x: &[u8], plane: &mut [u8]) -> Option<()> {
    let ([height, columns], [top, left]) = (geometry.input, geometry.padding);
    let rows = Rows {
        count: planes.rows.saturating_sub(top).min(height),
        columns: planes.width.saturating_sub(left).min(columns),
        pitch: geometry.channels,
        input_bytes: columns.checked_mul(geometry.channels)?,
        plane_bytes: planes.width.checked_mul(2)?,
    };
    let first = (top.checked_mul(planes.width)?)
        .checked_add(left)?
        .checked_mul(2)?;
    fill_plane(&rows, x, plane.get_mut(first..).unwrap_or_default());
    Some(())
}

fn compute_3(
    geometry: &Geometry,
    planes: &Planes,
    channel: &Channel,
    out: &mut [u8],
) -> Option<()> {
    let ([rows, columns], [stride, _]) = (geometry.output, geometry.stride);
    let work = Depthwise3 {
        plane: channel.plane,
        width: planes.width,
        stride,
        taps: channel.taps.first_chunk()?,
        pitch: geometry.channels,
        columns,
    };
    depthwise3(&work, rows, out);
    Some(())
}

fn compute_any(geometry: &Geometry, planes: &Planes, channel: &Channel, out: &mut [u8]) {
    let ([_, columns], [stride, step]) = (geometry.output, geometry.stride);
    let row_bytes = planes.width.saturating_mul(2);
    let mut column = 0;
    let mut row = channel.plane;
    for result in out.iter_mut().step_by(geometry.channels.max(1)) {
        let start = column * step.saturating_mul(2);
        *result = depthwise_output(&Window {
            plane: row.get(start..).unwrap_or_default(),
            row_bytes,
            taps: channel.taps,
            row_words: planes.row_words,
        });
        column += 1;
        if column == columns {
            column = 0;
            row = row
                .get(row_bytes.saturating_mul(stride)..)
                .unwrap_or_default();
        }
    }
}
