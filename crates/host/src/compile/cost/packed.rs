//! Cycles of the packed kernels, counted from their loops.
//!
//! | loop | cycles |
//! |---|---|
//! | two columns, a group of 4 channels | 13 per step of two inputs (2 loads of two words, 2 extensions, 8 `SMLAD`), 6 per eight steps, 70 to begin a group and turn 8 sums into bytes |
//! | one row, a group of 4 channels | 21 per four inputs, 4 per sixteen, 49 |
//! | widening four inputs of two neighbours | 13, and 5 per run of taps; 138 per two rows of a matrix, 193 per two pixels |
//! | the same of one pixel that has no neighbour inside the image | 8, and 190 per run of taps |
//! | a run of taps across the image's edge | 320 more, or 80 and 26 per byte where channels are no multiple of 4 |
//! | plane of a depthwise channel | 5 per input, 10 per row, 118 per strip, 270; of four at once 2.5, 8, 40 and 130 each |
//! | its 3 × 3 loop | 40 for two outputs at stride 1, 28 for a single one, 17 per row |
//! | any other depthwise window | 8 per word of two taps, 14 per row of taps, 60 per output, 45 more with ties |
//!
//! Channels that leave a group unfinished cost a whole group and a call.

use super::super::packing::depthwise::Planes;
use super::super::packing::{Geometry, Ties};
use std::ops::Range;

/// Cycles of a call of the loop for two columns, beside its groups.
const PAIR_CALL: u64 = 13;
/// Cycles of a call of the loop for one row, beside its groups.
const ROW_CALL: u64 = 172;
/// Cycles to compute a group beside the others and to copy what is wanted of it.
const TAIL: u64 = 110;
/// Cycles to hold a result to limits.
const LIMIT: u64 = 8;

/// Cycles to find one of two results by its parity.
const TIE: u64 = 5;

/// Cycles to hold results to limits, if these say anything, and to have ties go elsewhere than up.
pub(super) fn ends(limits: (i8, i8), ties: Ties, results: usize) -> u64 {
    let limit = match limits {
        (i8::MIN, i8::MAX) => 0,
        _ => LIMIT,
    };
    let tie = if ties == Ties::Up { 0 } else { TIE };
    (limit + tie) * results as u64
}

/// A layer over rows of `k` inputs with `n` results each.
pub(super) fn fully_connected([rows, k, n]: [usize; 3]) -> u64 {
    let quads = k.div_ceil(4) as u64;
    if rows == 1 {
        let group = 21 * quads + 4 * quads.div_ceil(4) + 49;
        return groups(n) * group + tail(n) + ROW_CALL;
    }
    let gather = 138 + 13 * quads;
    rows.div_ceil(2) as u64 * gather + pairs(rows, 2 * quads, n)
}

/// Pixels times all groups, two by two.
fn pairs(pixels: usize, steps: u64, n: usize) -> u64 {
    let group = 13 * steps + 6 * steps.div_ceil(8) + 70;
    pixels.div_ceil(2) as u64 * (groups(n) * group + tail(n) + PAIR_CALL)
}

fn groups(n: usize) -> u64 {
    n.div_ceil(4) as u64
}

fn tail(n: usize) -> u64 {
    if n.is_multiple_of(4) { 0 } else { TAIL }
}

/// A convolution with one group, whichever packed kernel takes it.
pub(super) fn any_convolution(geometry: &Geometry) -> u64 {
    match geometry.is_pointwise() {
        true => fully_connected([geometry.outputs(), geometry.channels, geometry.filters]),
        false => convolution(geometry),
    }
}

pub(super) fn convolution(geometry: &Geometry) -> u64 {
    let (runs, run) = geometry.runs();
    let (runs, quads) = (runs as u64, run.div_ceil(4) as u64);
    let pixels = geometry.outputs();
    let [rows, columns] = [0, 1].map(|axis| Axis::of(geometry, axis));
    let inside = pairs_inside(&rows, &columns);
    let single = pixels as u64 - 2 * inside;
    let edge = match geometry.channels % 4 {
        0 => 320,
        _ => 80 + 26 * run as u64,
    };
    let gather = 193 * pixels.div_ceil(2) as u64
        + inside * runs * (5 + 13 * quads)
        + single * runs * (190 + 8 * quads)
        + edge * edge_runs(geometry, &rows, &columns);
    gather + pairs(pixels, 2 * quads * runs, geometry.filters)
}

/// Results along an axis of an image.
struct Axis {
    /// How many there are.
    results: usize,
    /// Those whose taps are all inside of the image.
    inside: Range<usize>,
    /// Taps outside, summed over the results.
    taps_outside: usize,
}

impl Axis {
    fn of(geometry: &Geometry, axis: usize) -> Axis {
        let (extent, padding) = (geometry.input[axis] as i64, geometry.padding[axis] as i64);
        let (stride, dilation) = (geometry.stride[axis] as i64, geometry.dilation[axis] as i64);
        let kernel = geometry.kernel[axis] as i64;
        let taps_up_to = |place: i64| (place + dilation - 1).div_euclid(dilation).clamp(0, kernel);
        let taps_outside = |result: usize| {
            let first = result as i64 * stride - padding;
            let (before, inside) = (taps_up_to(-first), taps_up_to(extent - first));
            (before + kernel - inside.max(before)) as usize
        };
        let results = geometry.output[axis];
        let is_inside = |&result: &usize| taps_outside(result) == 0;
        let first = (0..results).find(is_inside).unwrap_or(results);
        Axis {
            results,
            inside: first..first + (first..results).take_while(is_inside).count(),
            taps_outside: (0..results).map(taps_outside).sum(),
        }
    }

    fn outside(&self) -> usize {
        self.results - self.inside.len()
    }
}

/// Pairs of neighbours in a row, both with all their taps inside; pixels are paired from the first on.
fn pairs_inside(rows: &Axis, columns: &Axis) -> u64 {
    let of_row = |row: usize| {
        let is_odd = row * columns.results % 2;
        let first = columns.inside.start.max(is_odd);
        let first = first + (first + is_odd) % 2;
        columns.inside.end.saturating_sub(first) / 2
    };
    rows.inside.clone().map(of_row).sum::<usize>() as u64
}

/// Runs of taps that reach beyond the image.
fn edge_runs(geometry: &Geometry, rows: &Axis, columns: &Axis) -> u64 {
    let (runs, _) = geometry.runs();
    let [taps, _] = geometry.kernel;
    // With taps apart, every tap of a row is a run of its own.
    let in_row = runs / taps.max(1);
    let (any_column, outside) = match geometry.dilation {
        [_, 1] => (columns.outside(), columns.outside()),
        _ => (columns.outside(), columns.taps_outside),
    };
    let by_column = rows.results * taps * outside;
    let by_row = rows.taps_outside * (columns.results - any_column) * in_row;
    (by_column + by_row) as u64
}

pub(super) fn depthwise(geometry: &Geometry, planes: Planes) -> u64 {
    let ([height, width], [rows, columns]) = (geometry.input, geometry.output);
    let strips = rows.div_ceil(planes.strip.max(1));
    let fill = match planes.lanes {
        1 => height * (10 + 5 * width) + strips * 118 + 270,
        _ => height * (8 + 5 * width / 2) + strips * 40 + 130,
    };
    let loops = match geometry.is_3() {
        true if geometry.stride == [1, 1] => rows * (17 + columns / 2 * 40 + columns % 2 * 28),
        true => rows * (17 + columns * 28),
        false => {
            let [taps, row] = geometry.kernel;
            let tie = if geometry.ties == Ties::Up { 0 } else { 45 };
            rows * columns * (60 + tie + taps * (14 + 8 * row.div_ceil(2)))
        }
    };
    (geometry.channels * (fill + loops)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(extent: usize, channels: usize, padding: usize) -> Geometry {
        Geometry {
            input: [extent; 2],
            channels,
            output: [extent - 2 + 2 * padding; 2],
            filters: 8,
            kernel: [3, 3],
            stride: [1, 1],
            dilation: [1, 1],
            padding: [padding; 2],
            zero: 0,
            ties: Ties::Up,
        }
    }

    #[test]
    fn runs_at_the_edge_are_counted() {
        let counts = |geometry: &Geometry| {
            let [rows, columns] = [0, 1].map(|axis| Axis::of(geometry, axis));
            let edges = edge_runs(geometry, &rows, &columns);
            (edges, pairs_inside(&rows, &columns))
        };
        assert_eq!(counts(&image(8, 4, 0)), (0, 6 * 3));
        // Left and right: 8 rows of 3 runs; above and below: the other 6 columns.
        assert_eq!(counts(&image(8, 4, 1)), (2 * 8 * 3 + 2 * 6, 6 * 2));
        // Of seven pixels in a row, pairs begin with the first one and, in the next row, with the second.
        assert_eq!(counts(&image(7, 4, 1)).1, 2 * 2 + 3 * 2);
    }

    #[test]
    fn a_fifth_channel_costs_a_group() {
        let cost = |n: usize| fully_connected([1, 32, n]);
        assert_eq!(cost(8), cost(5) - TAIL);
        assert!(cost(5) > cost(4) + 100);
    }
}
