//! `conv_2d` variant 4: `i8` → `i8`, depthwise, with prepared taps.
//!
//! Inputs `x [1, h, w, c]` in the arena and the taps, `u8`; output `[1, h', w', c]`; scratch for planes of one or four
//! channels. Parameters: the geometry as in variant 3, limits, even width of a row of a plane, rows of
//! outputs that a plane is for, channels that have planes at once. `h'·w'·c` times the taps in steps; dilation is 1.
//!
//! Channels are widened into planes of 16-bit inputs with their padding around, row beside row, and computed from
//! there; where the target has lanes for several, they are computed at once. A plane is for a strip of the output; the
//! rows that the next strip needs as well are moved to its top. So the output may begin where `x` does: a
//! channel only overwrites what it has read, if that is all or the output has no more rows than are
//! read.
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
use core::ops::Range;
use dunlin_kernels::{
    Depthwise3, Image3, LANES, Rows, Window, depthwise_output, depthwise3, depthwise3_image,
    fill_lanes, fill_plane,
};

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    id: KernelId::new(OpCode::Conv2d as u16, 1, 4),
    check: check_op,
    run,
};

/// Words behind the geometry: limits, width, rows of a strip, lanes.
const WORDS: usize = geometry::WORDS + 4;

/// The planes of an op.
#[derive(Clone, Copy)]
struct Planes {
    /// Channels that have planes at once.
    lanes: usize,
    /// Rows of outputs that are computed from one filling.
    strip: usize,
    /// Rows that both a strip and the next one need.
    shared: usize,
    rows: usize,
    width: usize,
    /// Words of taps in a row.
    row_words: usize,
    /// Whether the loop for 3 × 3 taps suits.
    is_3: bool,
}

impl Planes {
    #[inline(always)]
    fn of(geometry: &Geometry, [width, strip, lanes]: [u32; 3]) -> Option<Planes> {
        let ([rows, _], [kernel_rows, kernel_columns]) = (geometry.output, geometry.kernel);
        let [stride, step] = geometry.stride;
        let is_3 = geometry.kernel == [3, 3] && stride == step && stride <= 2;
        let strip = rows.min(strip as usize);
        let last = strip.checked_sub(1)?.checked_mul(stride)?;
        let lanes = lanes as usize;
        Some(Planes {
            lanes: [1, LANES].into_iter().find(|&count| count == lanes)?,
            strip,
            shared: kernel_rows.saturating_sub(stride),
            rows: last.checked_add(kernel_rows)?,
            width: width as usize,
            row_words: if is_3 { 2 } else { kernel_columns.div_ceil(2) },
            is_3,
        })
    }

    fn read(op: &Op, geometry: &Geometry) -> Option<Planes> {
        let word = |index: usize| op.parameters().u32(geometry::WORDS + index);
        Planes::of(geometry, [word(1)?, word(2)?, word(3)?])
    }

    /// Bytes of a row of one plane.
    fn lane_bytes(&self) -> usize {
        self.width.wrapping_mul(2)
    }

    /// Bytes of a row of all planes.
    fn row_bytes(&self) -> usize {
        self.lane_bytes().wrapping_mul(self.lanes)
    }

    fn bytes(&self) -> Option<usize> {
        let inputs = self.rows.checked_mul(self.width)?;
        inputs.checked_mul(2)?.checked_mul(self.lanes)
    }

    /// Whether strips can follow one another, over the input they come from or apart from it.
    fn may_follow(&self, geometry: &Geometry, is_apart: bool) -> bool {
        let ([rows, columns], [_, width]) = (geometry.output, geometry.input);
        let ([top, _], [stride, _]) = (geometry.padding, geometry.stride);
        let advance = self.strip.saturating_mul(stride);
        let stays_behind = top <= self.shared && columns <= width.saturating_mul(stride);
        self.strip == rows || self.shared <= advance && (is_apart || stays_behind)
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
    let depthwise = geometry.channels == geometry.filters && geometry.dilation == [1, 1];
    check(depthwise, OpFault::Shape)?;
    let planes = Planes::read(op, &geometry).ok_or(OpFault::Parameters)?;
    let wide = planes
        .least_width(&geometry)
        .is_some_and(|least| planes.width >= least && planes.width.is_multiple_of(2));
    let whole = geometry.channels.is_multiple_of(planes.lanes);
    check(wide && whole, OpFault::Parameters)?;
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
    let is_apart = disjoint(&x, &y);
    let over = x.start == y.start && y.end <= x.end;
    let may_lie = (is_apart || over) && planes.may_follow(&geometry, is_apart);
    check(may_lie, OpFault::Aliasing)?;
    let [rows, _] = geometry.output;
    let strips = rows.div_ceil(planes.strip.max(1)) as u64;
    let planes_work = (planes.bytes().unwrap_or(0) as u64)
        .saturating_mul(strips)
        .saturating_mul(geometry.channels as u64);
    Ok(outputs
        .saturating_mul(tap_bytes as u64)
        .saturating_add(planes_work))
}

fn run(op: &Op, arena: &mut [u8]) -> Option<()> {
    let words = op.parameters();
    let geometry = Geometry::read(&words.words()?);
    let planes = Planes::read(op, &geometry)?;
    let tap_bytes = planes.tap_bytes(&geometry)?;
    let c = geometry.channels;
    let taps = op.constants_from(1)?.get(..tap_bytes.checked_mul(c)?)?;
    let (input, output) = (op.input(0)?.info.range(), op.output(0)?.range());
    let limits = Limits(words.u32(geometry::WORDS)?);
    if planes.is_3 && at_once(&geometry, taps, arena, [input.start, output.start]).is_some() {
        limits.hold(arena.get_mut(output)?);
        return Some(());
    }
    let start = op.offset(3)?;
    let place = start..start.checked_add(planes.bytes()?)?;
    let [rows, columns] = geometry.output;
    let row_bytes = columns.checked_mul(c)?;
    zero(&geometry, arena.get_mut(place.clone())?);
    let whole = planes.filling(&geometry, 0)?;
    let mut first = 0;
    for taps in taps.chunks(tap_bytes.checked_mul(planes.lanes)?.max(1)) {
        let mut row = 0;
        while row < rows {
            let later = match row {
                0 => None,
                _ => Some(planes.filling(&geometry, row)?),
            };
            let (x, plane) = split(arena, input.clone(), place.clone())?;
            let filling = later.as_ref().unwrap_or(&whole);
            planes.bring(&geometry, filling, x.get(first..)?, plane)?;
            let (plane, out) = split(arena, place.clone(), output.clone())?;
            let at = row.checked_mul(row_bytes)?.checked_add(first)?;
            let count = planes.strip.min(rows.checked_sub(row)?);
            planes.compute(&geometry, [plane, taps], count, out.get_mut(at..)?)?;
            row = row.checked_add(planes.strip)?;
        }
        first += planes.lanes;
    }
    limits.hold(arena.get_mut(output)?);
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

/// Fills rows of planes with the input that stands for 0.0.
#[inline(never)]
fn zero(geometry: &Geometry, place: &mut [u8]) {
    let [low, high] = i16::from(geometry.zero as i8).to_le_bytes();
    place.as_chunks_mut().0.fill([low, high, low, high]);
}

/// Moves the rows that stay from the strip before to the start.
#[inline(never)]
fn take_over(filling: &Filling, place: &mut [u8]) -> Option<()> {
    let Range { start, end } = filling.kept;
    if start == end {
        return Some(());
    }
    let (to, from) = place.split_at_mut_checked(start)?;
    let from = from.get(..end.checked_sub(start)?)?;
    let words = to.as_chunks_mut::<4>().0.iter_mut();
    words
        .zip(from.as_chunks::<4>().0)
        .for_each(|(to, from)| *to = *from);
    Some(())
}

/// Where the rows of a filling come from, and where they go; all places in bytes.
struct Filling {
    rows: Rows,
    /// The first input, from that of the image.
    input: usize,
    /// Where it goes.
    place: usize,
    /// Rows that stay from the strip before: where they are.
    kept: Range<usize>,
    /// Rows above and below the image.
    outside: [Range<usize>; 2],
}

impl Planes {
    /// The filling for the strip that begins with row `start`.
    #[inline(never)]
    fn filling(&self, geometry: &Geometry, start: usize) -> Option<Filling> {
        let ([height, columns], [top, left]) = (geometry.input, geometry.padding);
        let ([stride, _], row_bytes) = (geometry.stride, self.row_bytes());
        let first = start.checked_mul(stride)?;
        let shared = if start > 0 { self.shared } else { 0 };
        let bytes = |rows: usize| rows.checked_mul(row_bytes);
        // Rows of the planes that are on the image: from the first to before the last.
        let before = top.saturating_sub(first).max(shared).min(self.rows);
        let end = height.saturating_add(top).saturating_sub(first);
        let end = end.min(self.rows).max(before);
        let kept = bytes(self.strip.checked_mul(stride)?)?;
        Some(Filling {
            rows: Rows {
                count: end.checked_sub(before)?,
                columns: self.width.saturating_sub(left).min(columns),
                pitch: geometry.channels,
                input_bytes: columns.checked_mul(geometry.channels)?,
                plane_bytes: row_bytes,
            },
            input: (first.checked_add(before)?.saturating_sub(top))
                .checked_mul(columns.checked_mul(geometry.channels)?)?,
            place: bytes(before)?.checked_add(left.checked_mul(2)?)?,
            kept: kept..kept.checked_add(bytes(shared)?)?,
            outside: [
                bytes(shared)?..bytes(before)?,
                bytes(end)?..bytes(self.rows)?,
            ],
        })
    }

    /// Brings the rows of a filling, of the channels whose first inputs begin `x`.
    #[inline(always)]
    fn bring(
        &self,
        geometry: &Geometry,
        filling: &Filling,
        x: &[u8],
        place: &mut [u8],
    ) -> Option<()> {
        let [rows, _] = geometry.output;
        if self.strip < rows {
            take_over(filling, place)?;
            for range in filling.outside.clone() {
                zero(geometry, place.get_mut(range)?);
            }
        }
        if filling.rows.count > 0 {
            let inputs = x.get(filling.input..)?;
            let places = place.get_mut(filling.place..).unwrap_or_default();
            match self.lanes {
                1 => fill_plane(&filling.rows, inputs, places),
                _ => fill_lanes(&filling.rows, self.lane_bytes(), inputs, places)?,
            }
        }
        Some(())
    }

    /// Computes `rows` rows of outputs of the channels that have planes.
    #[inline(never)]
    fn compute(
        &self,
        geometry: &Geometry,
        [plane, taps]: [&[u8]; 2],
        rows: usize,
        out: &mut [u8],
    ) -> Option<()> {
        let ([_, columns], [stride, _]) = (geometry.output, geometry.stride);
        if self.is_3 {
            let work = Depthwise3 {
                plane,
                lane_bytes: self.lane_bytes(),
                row_bytes: self.row_bytes(),
                width: self.width,
                stride,
                taps,
                pitch: geometry.channels,
                columns,
            };
            return depthwise3(&work, rows, out);
        }
        let tap_bytes = self.tap_bytes(geometry).unwrap_or(1).max(1);
        for (lane, taps) in taps.chunks_exact(tap_bytes).enumerate() {
            let plane = plane.get(lane.wrapping_mul(self.lane_bytes())..);
            let out = out.get_mut(lane..).unwrap_or_default();
            self.compute_any(geometry, [plane.unwrap_or_default(), taps], rows, out);
        }
        Some(())
    }

    /// Computes a channel with any taps.
    fn compute_any(
        &self,
        geometry: &Geometry,
        [plane, taps]: [&[u8]; 2],
        rows: usize,
        out: &mut [u8],
    ) {
        let ([_, columns], [stride, step]) = (geometry.output, geometry.stride);
        let row_bytes = self.row_bytes();
        let mut column = 0;
        let mut row = plane;
        let outputs = out.iter_mut().step_by(geometry.channels.max(1));
        for result in outputs.take(rows.saturating_mul(columns)) {
            let start = column * step.saturating_mul(2);
            *result = depthwise_output(&Window {
                plane: row.get(start..).unwrap_or_default(),
                row_bytes,
                taps,
                row_words: self.row_words,
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
}
