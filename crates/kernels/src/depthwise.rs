//! Depthwise convolution of one channel on a plane of 16-bit inputs: [`depthwise3`] with 3 × 3 taps, [`depthwise`] with
//! any.
//!
//! # Plane
//!
//! The channel's inputs, widened to 16 bits, row by row, with the padding around them already in
//! place. A row has an even number of inputs; rows of several channels may alternate. The loop steps down the
//! plane by `stride` rows and along it by `stride` inputs, `stride` being 1 or 2.
//!
//! # 3 × 3 taps
//!
//! Three rows of two words of 16-bit lanes: `(w₀, w₁)` and `(w₁, w₂)`. With the inputs of a row as words
//! `(x₀, x₁)`, `(x₂, x₃)`, one `SMLAD` and one `SMLAxy` give three products: of output 0
//! `(w₀, w₁)·(x₀, x₁) + w₂·x₂`, of output 1 `(w₁, w₂)·(x₂, x₃) + w₀·x₁`. Every input word is read
//! once per row of taps.
//!
//! Requantisation is that of channel 0 in [`multiply_pair`](crate::multiply_pair); of [`depthwise`] with ties as there.
//!
//! # Images
//!
//! Where registers hold many lanes, [`depthwise3_image`] computes eight neighbouring channels at once from the
//! image itself, with the same taps and the same results as one plane after another.

#[cfg(not(cortex_m_dsp))]
use crate::multiply::requantise;
use crate::multiply::{dual, result};

/// A channel of an image, and where it goes in a plane.
#[derive(Clone, Copy, Debug)]
pub struct Rows {
    /// Rows to widen.
    pub count: usize,
    /// Inputs in a row.
    pub columns: usize,
    /// Bytes from an input to its neighbour.
    pub pitch: usize,
    /// Bytes from a row of inputs to the next.
    pub input_bytes: usize,
    /// Bytes from a row of the plane to the next.
    pub plane_bytes: usize,
}

impl Rows {
    /// Whether slices of these lengths have all inputs of so many neighbouring channels and all places for them, which
    /// are `lane_bytes` apart; none where they have not.
    #[inline(never)]
    pub(crate) fn fit(&self, lanes: usize, lane_bytes: usize, lengths: [usize; 2]) -> Option<()> {
        let last = self.columns.checked_sub(1)?;
        let of_rows = self.count.checked_sub(1)?;
        let reach = |row_bytes: usize, pitch: usize, size: usize| {
            let rows = of_rows.checked_mul(row_bytes)?;
            rows.checked_add(last.checked_mul(pitch)?)?
                .checked_add(size)
        };
        let other_lanes = lane_bytes.checked_mul(lanes.checked_sub(1)?)?;
        let places = other_lanes.checked_add(2)?;
        let [inputs, plane] = lengths;
        let fits = reach(self.input_bytes, self.pitch, lanes)? <= inputs
            && reach(self.plane_bytes, 2, places)? <= plane;
        fits.then_some(())
    }
}

/// Widens rows of inputs into rows of a plane.
///
/// None, and nothing is written, where inputs or places are missing.
#[inline]
pub fn fill_plane(rows: &Rows, inputs: &[u8], plane: &mut [u8]) -> Option<()> {
    #[cfg(cortex_m_dsp)]
    return crate::arch::fill_plane(rows, inputs, plane);
    #[cfg(not(cortex_m_dsp))]
    {
        rows.fit(1, 0, [inputs.len(), plane.len()])?;
        widen(rows, inputs, plane);
        Some(())
    }
}

#[cfg(not(cortex_m_dsp))]
fn widen(rows: &Rows, mut inputs: &[u8], mut plane: &mut [u8]) {
    for _ in 0..rows.count {
        let places = plane.as_chunks_mut::<2>().0.iter_mut().take(rows.columns);
        for (to, from) in places.zip(inputs.iter().step_by(rows.pitch.max(1))) {
            *to = i16::from(*from as i8).to_le_bytes();
        }
        inputs = inputs.get(rows.input_bytes..).unwrap_or_default();
        plane = plane.get_mut(rows.plane_bytes..).unwrap_or_default();
    }
}

/// Channels that [`fill_lanes`] widens together.
pub const LANES: usize = 4;

/// Widens rows of four neighbouring channels, whose first inputs begin `inputs`; a place of the next channel is
/// `lane_bytes` behind that of the one before.
///
/// None, and nothing is written, where inputs or places are missing.
#[inline]
pub fn fill_lanes(rows: &Rows, lane_bytes: usize, inputs: &[u8], plane: &mut [u8]) -> Option<()> {
    #[cfg(cortex_m_dsp)]
    return crate::arch::fill_lanes(rows, lane_bytes, inputs, plane);
    #[cfg(not(cortex_m_dsp))]
    {
        rows.fit(LANES, lane_bytes, [inputs.len(), plane.len()])?;
        for lane in 0..LANES {
            let places = plane.get_mut(lane * lane_bytes..)?;
            widen(rows, inputs.get(lane..)?, places);
        }
        Some(())
    }
}

/// Taps of a channel and how its sums become bytes: ten little-endian words.
pub const TAP_BYTES: usize = 4 * 10;

/// The work of one channel, or of neighbouring ones.
#[derive(Clone, Copy, Debug)]
pub struct Depthwise3<'a> {
    /// The padded planes.
    pub plane: &'a [u8],
    /// Bytes from a channel's plane to that of the next; a multiple of 4.
    pub lane_bytes: usize,
    /// Bytes from a row of a plane to the next; a multiple of 4.
    pub row_bytes: usize,
    /// Inputs in a row of a plane; even.
    pub width: usize,
    /// 1 or 2.
    pub stride: usize,
    /// [`TAP_BYTES`] for every channel: three rows of two words of taps, then start, `M`, `R` and shift.
    pub taps: &'a [u8],
    /// Bytes between neighbours in the output.
    pub pitch: usize,
    /// Outputs in a row.
    pub columns: usize,
}

/// The work of one channel with any taps, see [`depthwise`].
#[derive(Clone, Copy, Debug)]
pub struct Depthwise<'a> {
    /// The padded plane.
    pub plane: &'a [u8],
    /// Bytes from a row of the plane to the next.
    pub row_bytes: usize,
    /// Rows of words of two taps, then start, `M`, `R` and shift; a last odd tap stands with a zero.
    pub taps: &'a [u8],
    /// Words of taps in a row.
    pub row_words: usize,
    /// Inputs from a window to the one below and the one beside.
    pub stride: [usize; 2],
    /// Bytes between neighbours in the output.
    pub pitch: usize,
    /// Outputs in a row.
    pub columns: usize,
}

/// Computes rows of outputs of any window: 3 instructions for a product, portable on every target.
///
/// None where inputs, taps or room for the outputs are missing.
#[inline(never)]
pub fn depthwise<const TIES: u8>(work: &Depthwise, rows: usize, out: &mut [u8]) -> Option<()> {
    let (taps, ends) = work.taps.as_chunks::<4>().0.split_last_chunk()?;
    let [down, beside] = work.stride;
    let mut at = 0;
    for row in 0..rows {
        let mut start = row.wrapping_mul(down).wrapping_mul(work.row_bytes);
        for _ in 0..work.columns {
            *out.get_mut(at)? = work.output::<TIES>(work.plane.get(start..)?, taps, ends);
            start = start.wrapping_add(beside.wrapping_mul(2));
            at = at.wrapping_add(work.pitch);
        }
    }
    Some(())
}

impl Depthwise<'_> {
    /// The output of the window at the start of a plane.
    #[inline(always)]
    fn output<const TIES: u8>(
        &self,
        mut plane: &[u8],
        taps: &[[u8; 4]],
        ends: &[[u8; 4]; 4],
    ) -> u8 {
        let [start, factor, offset, shift] = *ends;
        let mut sum = i32::from_le_bytes(start);
        for row in taps.chunks_exact(self.row_words.max(1)) {
            for (taps, inputs) in row.iter().zip(plane.as_chunks::<4>().0) {
                sum = dual(sum, *taps, *inputs);
            }
            plane = plane.get(self.row_bytes..).unwrap_or_default();
        }
        result::<TIES>(sum, [factor, offset, shift], 0)
    }
}

/// Computes rows of outputs: output `i` of channel `j` at `out[i·pitch + j]`.
///
/// None where the planes, or room for the outputs, are missing; what is written then is nowhere else. Cost: see
/// the table in the crate's documentation.
#[cfg_attr(cortex_m_dsp, inline(never))]
#[cfg_attr(not(cortex_m_dsp), inline)]
pub fn depthwise3(channel: &Depthwise3, rows: usize, out: &mut [u8]) -> Option<()> {
    #[cfg(cortex_m_dsp)]
    return crate::arch::depthwise3(channel, rows, out);
    #[cfg(not(cortex_m_dsp))]
    {
        portable(channel, rows, out);
        Some(())
    }
}

/// All channels of an image, row by row.
#[derive(Clone, Copy, Debug)]
pub struct Image3<'a> {
    /// Rows and columns of the input.
    pub input: [usize; 2],
    /// Rows and columns of the output.
    pub output: [usize; 2],
    /// Channels, which are neighbours in both.
    pub channels: usize,
    /// 1 or 2.
    pub stride: usize,
    /// Rows above the input and columns before it.
    pub padding: [usize; 2],
    /// The input that stands there, and behind the input.
    pub zero: u8,
    /// [`TAP_BYTES`] of each channel.
    pub taps: &'a [u8],
}

/// Computes the image that begins at `y` from the one at `x`; both lie in `memory`, where the output may
/// begin where the input does.
///
/// None where that is not the way for this target or this image, and nothing is written then. Cost: about 5 instructions
/// for an output on x86-64, and 10 KiB of stack; 256 columns at most.
#[inline]
pub fn depthwise3_image(image: &Image3, memory: &mut [u8], x: usize, y: usize) -> Option<()> {
    #[cfg(simd = "x86_64")]
    return crate::arch::depthwise3_image(image, memory, x, y);
    #[cfg(not(simd = "x86_64"))]
    {
        let _ = (image, memory, x, y);
        None
    }
}

/// What every architecture computes.
#[cfg(not(cortex_m_dsp))]
pub(crate) fn portable(channel: &Depthwise3, rows: usize, out: &mut [u8]) {
    for (lane, taps) in channel.taps.as_chunks::<TAP_BYTES>().0.iter().enumerate() {
        let start = lane.saturating_mul(channel.lane_bytes);
        let plane = channel.plane.get(start..).unwrap_or_default();
        let channel = Depthwise3 { plane, ..*channel };
        let out = out.get_mut(lane..).unwrap_or_default();
        let mut outputs = out.iter_mut().step_by(channel.pitch.max(1));
        let numbers = Taps::of(taps);
        for row in 0..rows {
            if let Some((taps, inputs)) = numbers.as_ref().zip(under(&channel, row)) {
                taps.write(inputs, &channel, &mut outputs);
                continue;
            }
            for column in 0..channel.columns {
                let Some(out) = outputs.next() else { break };
                *out = output(&channel, taps, row, column);
            }
        }
    }
}

/// Inputs of the plane.
#[cfg(not(cortex_m_dsp))]
type Inputs<'a> = &'a [[u8; 2]];

/// The three rows under a row of outputs, if every input is there.
#[cfg(not(cortex_m_dsp))]
fn under<'a>(channel: &Depthwise3<'a>, row: usize) -> Option<[Inputs<'a>; 3]> {
    let plane = channel.plane.as_chunks::<2>().0;
    let steps = channel.columns.checked_sub(1)?;
    let length = steps.checked_mul(channel.stride.max(1))?.checked_add(3)?;
    let of = |tap: usize| {
        let row = row.checked_mul(channel.stride)?.checked_add(tap)?;
        let inputs = plane.get(row.checked_mul(channel.row_bytes / 2)?..)?;
        inputs.get(..length)
    };
    Some([of(0)?, of(1)?, of(2)?])
}

/// Taps as numbers, of which both words of a row have the same in the middle, as compilers write them.
#[cfg(not(cortex_m_dsp))]
struct Taps {
    rows: [[i32; 3]; 3],
    start: i32,
    ends: [[u8; 4]; 3],
}

#[cfg(not(cortex_m_dsp))]
impl Taps {
    fn of(taps: &[u8; TAP_BYTES]) -> Option<Taps> {
        let words = taps.as_chunks::<4>().0;
        let &[a, b, c, d, e, f, start, factor, offset, shift] = words.first_chunk()?;
        let row = |[a, b, c, d]: [u8; 4], [e, f, g, h]: [u8; 4]| {
            let middle = number([c, d]);
            (middle == number([e, f])).then_some([number([a, b]), middle, number([g, h])])
        };
        Some(Taps {
            rows: [row(a, b)?, row(c, d)?, row(e, f)?],
            start: i32::from_le_bytes(start),
            ends: [factor, offset, shift],
        })
    }

    /// Writes a row of outputs.
    fn write<'o>(
        &self,
        [a, b, c]: [Inputs<'_>; 3],
        channel: &Depthwise3,
        outputs: &mut impl Iterator<Item = &'o mut u8>,
    ) {
        let step = channel.stride.max(1);
        let rows = a
            .array_windows::<3>()
            .zip(b.array_windows::<3>())
            .zip(c.array_windows::<3>());
        for (((a, b), c), out) in rows.step_by(step).zip(outputs.take(channel.columns)) {
            let mut sum = self.start;
            for (taps, inputs) in self.rows.iter().zip([a, b, c]) {
                let products = taps.iter().zip(inputs);
                sum = products.fold(sum, |sum, (tap, input)| {
                    sum.wrapping_add(tap.wrapping_mul(number(*input)))
                });
            }
            *out = requantise(sum, self.ends);
        }
    }
}

#[cfg(not(cortex_m_dsp))]
fn number(lane: [u8; 2]) -> i32 {
    i16::from_le_bytes(lane).into()
}

#[cfg(not(cortex_m_dsp))]
fn output(channel: &Depthwise3, taps: &[u8; TAP_BYTES], row: usize, column: usize) -> u8 {
    let words = taps.as_chunks::<4>().0;
    let Some((taps, &[start, factor, offset, shift])) = words.split_last_chunk() else {
        return 0;
    };
    // The second of two neighbours takes the pair of its last two taps at once.
    let is_second = channel.stride == 1 && column & 1 == 1;
    let mut sum = i32::from_le_bytes(start);
    for (index, [first_taps, last_taps]) in taps.as_chunks::<2>().0.iter().enumerate() {
        let Some([x0, x1, x2]) = inputs(channel, row * channel.stride + index, column) else {
            return 0;
        };
        let ([a0, a1, _, _], [_, _, b2, b3]) = (*first_taps, *last_taps);
        let (pair, single) = match is_second {
            false => ((*first_taps, [x0, x1]), ([b2, b3], x2)),
            true => ((*last_taps, [x1, x2]), ([a0, a1], x0)),
        };
        let ([w0, w1], [[p0, p1], [p2, p3]], [s0, s1]) = (single.0, pair.1, single.1);
        sum = dual(sum, pair.0, [p0, p1, p2, p3]);
        sum = dual(sum, [w0, w1, 0, 0], [s0, s1, 0, 0]);
    }
    requantise(sum, [factor, offset, shift])
}

/// Three neighbours in a row of the plane.
#[cfg(not(cortex_m_dsp))]
fn inputs(channel: &Depthwise3, row: usize, column: usize) -> Option<[[u8; 2]; 3]> {
    let first = (column.checked_mul(channel.stride)?.checked_mul(2)?)
        .checked_add(row.checked_mul(channel.row_bytes)?)?;
    let inputs = channel.plane.get(first..)?.as_chunks::<2>().0;
    inputs.first_chunk().copied()
}
