//! `conv_2d` variants 4, 7 and 8: `i8` → `i8`, depthwise, with prepared taps. In variant 4 ties are rounded up, in variants
//! 7 and 8 they go to the even or the odd result, by the loop for any window, for 3 × 3 taps too.
//!
//! Input `x [1, h, w, c]` in the arena; output `[1, h', w', c]`; scratch for planes of one or four
//! channels. Parameters: the geometry as in variant 3, limits, even width of a row of a plane, rows of
//! outputs that a plane is for, channels that have planes at once, where the taps lie in the constants. `h'·w'·c` times
//! the taps in steps; dilation is 1.
//!
//! Channels are widened into planes of 16-bit inputs with their padding around, row beside row, and computed from
//! there; where the target has lanes for several, they are computed at once. A plane is for a strip of the output; the
//! rows that the next strip needs as well are moved to its top. So the output may begin where `x` does: a
//! channel only overwrites what it has read, if that is all or the output has no more rows than are
//! read.
//! Taps of a channel: rows of words of two taps, then start, `M`, `R` and shift. With 3 × 3 taps and strides
//! of 1 or 2 a row of variant 4 is `(w₀, w₁)`, `(w₁, w₂)`; otherwise `(w₀, w₁)`, `(w₂, w₃)` and so on, filled up with
//! zero.

use super::around::Around;
use super::geometry::{self, Geometry};
use super::{Limits, Operands, constants};
use crate::KernelId;
use crate::bytes::pieces;
use crate::error::OpFault;
use crate::format::{MAX_ELEMENTS, MAX_ROW, OpCode};
use crate::kernels::Kernel;
use crate::op::{Op, check, disjoint};
use core::ops::Range;
use dunlin_kernels::{
    Depthwise, Depthwise3, Image3, LANES, Rows, UP, depthwise, depthwise3, depthwise3_image,
    fill_lanes, fill_plane,
};

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    id: KernelId::new(OpCode::Conv2d as u16, 2, 4),
    check: check_op::<UP>,
    run: run::<UP>,
};
pub(in crate::kernels) static EVEN: Kernel = Kernel {
    id: KernelId::new(OpCode::Conv2d as u16, 2, 7),
    check: check_op::<{ dunlin_kernels::EVEN }>,
    run: run::<{ dunlin_kernels::EVEN }>,
};
pub(in crate::kernels) static ODD: Kernel = Kernel {
    id: KernelId::new(OpCode::Conv2d as u16, 2, 8),
    check: check_op::<{ dunlin_kernels::ODD }>,
    run: run::<{ dunlin_kernels::ODD }>,
};

/// Words: the geometry, then limits, width, rows of a strip, lanes, place of the taps.
const WORDS: usize = geometry::WORDS + 5;

/// The planes of an op whose ties go where `TIES` says. Once they are checked, nothing here overflows.
#[derive(Clone, Copy)]
struct Planes<'a, const TIES: u8> {
    geometry: Geometry<'a>,
    /// Inputs in a row of a plane.
    width: usize,
    /// Rows of outputs that are computed from one filling.
    strip: usize,
    /// Channels that have planes at once.
    lanes: usize,
}

impl<'a, const TIES: u8> Planes<'a, TIES> {
    #[inline(always)]
    fn of(op: &Op<'a>) -> Option<(Self, Limits)> {
        let (geometry, rest) = op.parameters().chunk::<WORDS>()?.split_first_chunk()?;
        let rest: &[[u8; 4]; 5] = rest.first_chunk()?;
        let [limits, width, strip, lanes, _] = rest.map(u32::from_le_bytes);
        let planes = Planes {
            geometry: Geometry(geometry),
            width: width as usize,
            strip: strip as usize,
            lanes: lanes as usize,
        };
        Some((planes, Limits(limits)))
    }

    /// Rows that both a strip and the next one need.
    fn shared(&self) -> usize {
        let ([kernel_rows, _], [stride, _]) = (self.geometry.kernel(), self.geometry.stride());
        kernel_rows.saturating_sub(stride)
    }

    /// Rows of a plane.
    fn rows(&self) -> usize {
        let ([kernel_rows, _], [stride, _]) = (self.geometry.kernel(), self.geometry.stride());
        let last = self.strip.wrapping_sub(1).wrapping_mul(stride);
        last.wrapping_add(kernel_rows)
    }

    /// Whether there are several strips.
    fn is_cut(&self) -> bool {
        let [rows, _] = self.geometry.output();
        self.strip < rows
    }

    /// Whether the loop for 3 × 3 taps suits.
    #[inline(never)]
    fn is_3(&self) -> bool {
        let [stride, step] = self.geometry.stride();
        TIES == UP && self.geometry.kernel() == [3, 3] && stride == step && stride <= 2
    }

    /// Words of taps in a row.
    fn row_words(&self) -> usize {
        let [_, columns] = self.geometry.kernel();
        if self.is_3() { 2 } else { columns.div_ceil(2) }
    }

    /// Bytes of taps of a channel, and of how its sums become bytes.
    fn tap_bytes(&self) -> usize {
        let [kernel_rows, _] = self.geometry.kernel();
        kernel_rows
            .wrapping_mul(self.row_words())
            .wrapping_add(4)
            .wrapping_mul(4)
    }

    /// Bytes of a row of one plane.
    fn lane_bytes(&self) -> usize {
        self.width.wrapping_mul(2)
    }

    /// Bytes of a row of all planes.
    fn row_bytes(&self) -> usize {
        self.lane_bytes().wrapping_mul(self.lanes)
    }

    /// Whether every window of a row lies in a row of a plane.
    fn is_wide(&self) -> bool {
        let ([_, columns], [_, step]) = (self.geometry.output(), self.geometry.stride());
        let [_, taps] = self.geometry.kernel();
        let least = match (self.is_3(), step) {
            (true, 1) => columns.next_multiple_of(2).wrapping_add(2),
            (true, _) => columns.wrapping_add(1).wrapping_mul(2),
            _ => (columns.wrapping_sub(1).wrapping_mul(step))
                .wrapping_add(step.min(2))
                .wrapping_add(taps.next_multiple_of(2)),
        };
        self.width >= least && self.width.is_multiple_of(2)
    }

    /// Whether strips can follow one another, over the input they come from or apart from it.
    fn may_follow(&self, is_apart: bool) -> bool {
        let ([rows, columns], [_, width]) = (self.geometry.output(), self.geometry.input());
        let ([top, _], [stride, _]) = (self.geometry.padding(), self.geometry.stride());
        let shared = self.shared();
        let stays_behind = top <= shared && columns <= width.wrapping_mul(stride);
        let advance = self.strip.wrapping_mul(stride);
        self.strip == rows || shared <= advance && (is_apart || stays_behind)
    }
}

fn check_op<const TIES: u8>(op: &Op) -> Result<u64, OpFault> {
    let operands = Operands::check(op, WORDS, true)?;
    let (x, y) = (operands.x, operands.y);
    let (planes, _) = Planes::<TIES>::of(op).ok_or(OpFault::Parameters)?;
    let geometry = planes.geometry;
    geometry.check(x, y)?;
    let ([rows, _], [taps, tap_columns]) = (geometry.output(), geometry.kernel());
    let channels = geometry.channels();
    let depthwise = channels == geometry.filters() && geometry.dilation() == [1, 1];
    check(depthwise, OpFault::Shape)?;
    // So that the bytes of taps fit, and the rows of a plane.
    let few = taps
        .checked_mul(tap_columns)
        .is_some_and(|taps| taps <= MAX_ROW as usize);
    check(few, OpFault::Shape)?;
    let known = planes.lanes == 1 || planes.lanes == LANES && channels.is_multiple_of(LANES);
    let strips = (1..=rows).contains(&planes.strip);
    check(known && strips && planes.is_wide(), OpFault::Parameters)?;
    let tap_bytes = planes.tap_bytes();
    let all_tap_bytes = tap_bytes as u64 * channels as u64;
    check(
        all_tap_bytes <= operands.constants as u64,
        OpFault::Constant,
    )?;
    let places = planes.width as u64 * planes.rows() as u64;
    check(places <= u64::from(MAX_ELEMENTS), OpFault::Shape)?;
    let place_bytes = places * (2 * planes.lanes as u64);
    check(place_bytes <= operands.scratch as u64, OpFault::Shape)?;
    let (x, y) = (&x.range(), &y.range());
    let outputs = y.len() as u64;
    let is_apart = disjoint(x, y);
    let over = x.start == y.start && y.end <= x.end;
    let may_lie = (is_apart || over) && planes.may_follow(is_apart);
    check(may_lie, OpFault::Aliasing)?;
    // The planes of every channel are filled once for every strip, of which there are no more than rows.
    let fillings = rows.div_ceil(planes.strip).wrapping_mul(channels) as u64;
    Ok(outputs * tap_bytes as u64 + place_bytes * fillings)
}

fn run<const TIES: u8>(op: &Op, arena: &mut [u8]) -> Option<()> {
    let (planes, limits) = Planes::<TIES>::of(op)?;
    let taps = constants(op)?;
    let (input, output) = (op.place(0)?, op.place(1)?);
    let done = planes.is_3()
        && planes
            .at_once(taps, arena, [input.start, output.start])
            .is_some();
    if !done {
        let bytes = planes.rows().wrapping_mul(planes.row_bytes());
        let (around, place) = Around::scratch(op, arena, bytes)?;
        planes.run(taps, around, place, [&input, &output])?;
    }
    limits.hold(arena.get_mut(output)?);
    Some(())
}

/// Fills rows of planes with the input that stands for 0.0.
#[inline(never)]
fn zero(geometry: Geometry, place: Option<&mut [u8]>) -> Option<()> {
    let [low, high] = i16::from(geometry.zero() as i8).to_le_bytes();
    for word in place?.as_chunks_mut().0 {
        *word = [low, high, low, high];
    }
    Some(())
}

/// Moves `bytes` from `from` on to the start.
#[inline(never)]
fn take_over(place: &mut [u8], from: usize, bytes: usize) -> Option<()> {
    let (to, from) = place.split_at_mut_checked(from)?;
    let from = from.get(..bytes)?.as_chunks::<4>().0;
    let words = to.as_chunks_mut::<4>().0.iter_mut();
    words.zip(from).for_each(|(to, from)| *to = *from);
    Some(())
}

impl<const TIES: u8> Planes<'_, TIES> {
    /// Computes all channels where the target has lanes for several.
    #[inline(always)]
    fn at_once(&self, taps: &[u8], arena: &mut [u8], [x, y]: [usize; 2]) -> Option<()> {
        let geometry = self.geometry;
        let [stride, _] = geometry.stride();
        let image = Image3 {
            input: geometry.input(),
            output: geometry.output(),
            channels: geometry.channels(),
            stride,
            padding: geometry.padding(),
            zero: geometry.zero(),
            taps: taps.get(..self.tap_bytes().wrapping_mul(geometry.channels()))?,
        };
        depthwise3_image(&image, arena, x, y)
    }

    /// Computes some channels after another, strip by strip.
    #[inline(always)]
    fn run(
        &self,
        mut taps: &[u8],
        mut arena: Around,
        place: &mut [u8],
        [input, output]: [&Range<usize>; 2],
    ) -> Option<()> {
        let ([rows, columns], c) = (self.geometry.output(), self.geometry.channels());
        zero(self.geometry, Some(place))?;
        let row_bytes = columns.wrapping_mul(c);
        let mut first = 0;
        while first < c {
            let bytes = self.tap_bytes().wrapping_mul(self.lanes);
            let (own, others) = taps.split_at_checked(bytes)?;
            taps = others;
            let mut row = 0;
            while row < rows {
                let x = arena.at(input.start, input.len())?;
                self.bring(row, x.get(first..)?, place)?;
                let out = arena.at(output.start, output.len())?;
                let at = row.wrapping_mul(row_bytes).wrapping_add(first);
                let count = self.strip.min(rows.wrapping_sub(row));
                self.compute([place, own], count, out.get_mut(at..)?)?;
                row = row.wrapping_add(self.strip);
            }
            first = first.wrapping_add(self.lanes);
        }
        Some(())
    }

    /// Brings the rows of the planes for the outputs from row `start` on, of the channels whose first inputs begin `x`.
    #[inline(never)]
    fn bring(&self, start: usize, x: &[u8], place: &mut [u8]) -> Option<()> {
        let geometry = self.geometry;
        let ([height, columns], [top, left]) = (geometry.input(), geometry.padding());
        let ([stride, _], row_bytes, rows) = (geometry.stride(), self.row_bytes(), self.rows());
        let first = start.wrapping_mul(stride);
        let known = if start > 0 { self.shared() } else { 0 };
        if known > 0 {
            let from = self.strip.wrapping_mul(stride).wrapping_mul(row_bytes);
            take_over(place, from, known.wrapping_mul(row_bytes))?;
        }
        // Rows of the planes that are on the image: from the first to before the last.
        let before = top.saturating_sub(first).max(known).min(rows);
        let end = height.wrapping_add(top).saturating_sub(first);
        let end = end.min(rows).max(before);
        let outside =
            |from: usize, to: usize| from.wrapping_mul(row_bytes)..to.wrapping_mul(row_bytes);
        if self.is_cut() {
            zero(geometry, place.get_mut(outside(known, before)))?;
            zero(geometry, place.get_mut(outside(end, rows)))?;
        }
        let image_row = first.wrapping_add(before).wrapping_sub(top);
        let wanted = Rows {
            count: end.wrapping_sub(before),
            columns: self.width.saturating_sub(left).min(columns),
            pitch: geometry.channels(),
            input_bytes: geometry.row_bytes(),
            plane_bytes: row_bytes,
        };
        if wanted.count > 0 && wanted.columns > 0 {
            let inputs = x.get(image_row.wrapping_mul(wanted.input_bytes)..)?;
            let at = before
                .wrapping_mul(row_bytes)
                .wrapping_add(left.wrapping_mul(2));
            let places = place.get_mut(at..).unwrap_or_default();
            match self.lanes {
                1 => fill_plane(&wanted, inputs, places)?,
                _ => fill_lanes(&wanted, self.lane_bytes(), inputs, places)?,
            }
        }
        Some(())
    }

    /// Computes `rows` rows of outputs of the channels that have planes.
    #[inline(never)]
    fn compute(&self, [plane, taps]: [&[u8]; 2], rows: usize, out: &mut [u8]) -> Option<()> {
        let ([_, columns], [stride, _]) = (self.geometry.output(), self.geometry.stride());
        if self.is_3() {
            let work = Depthwise3 {
                plane,
                lane_bytes: self.lane_bytes(),
                row_bytes: self.row_bytes(),
                width: self.width,
                stride,
                taps,
                pitch: self.geometry.channels(),
                columns,
            };
            return depthwise3(&work, rows, out);
        }
        let (bytes, row_words) = (self.tap_bytes(), self.row_words());
        for (lane, taps) in pieces(taps, bytes).enumerate() {
            let work = Depthwise {
                plane: plane.get(lane.wrapping_mul(self.lane_bytes())..)?,
                row_bytes: self.row_bytes(),
                taps,
                row_words,
                stride: self.geometry.stride(),
                pitch: self.geometry.channels(),
                columns,
            };
            depthwise::<TIES>(&work, rows, out.get_mut(lane..)?)?;
        }
        Some(())
    }
}
