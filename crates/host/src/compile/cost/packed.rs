//! Cycles of the packed kernels, counted from their loops.
//!
//! | loop | cycles |
//! |---|---|
//! | two columns, a group of 4 channels | 13 per step of two inputs (2 loads of two words, 2 extensions, 8 `SMLAD`), 6 per eight steps, 76 to begin a group and turn 8 sums into bytes |
//! | one row, a group of 4 channels | 21 per four inputs, 4 per sixteen, 49 |
//! | widening into a column | 2 per byte; 57 per row of a matrix; 130 per run of neighbouring taps |
//! | the same across the image's edge | 290 more per run, or 66 and 33 per byte where channels are no multiple of 4 |
//! | plane of a depthwise channel | 5 per input, 10 per row, 118 per strip; of four at once 2.5, 8 and 40 |
//! | its 3 × 3 loop | 40 for two outputs at stride 1, 28 for a single one, 17 per row, 270 per channel |
//! | any other depthwise window | 8 per word of two taps, 14 per row of taps, 60 per output |
//!
//! Channels that leave a group unfinished cost a whole group and a call.

use super::super::packing::Geometry;
use super::super::packing::depthwise::Planes;

/// Cycles of a call of the loop for two columns, beside its groups.
const PAIR_CALL: u64 = 121;
/// Cycles of a call of the loop for one row, beside its groups.
const ROW_CALL: u64 = 190;
/// Cycles to compute a group beside the others and to copy what is wanted of it.
const TAIL: u64 = 110;
/// Cycles to hold a result to limits.
const LIMIT: u64 = 8;

/// Cycles to hold results to limits, if these say anything.
pub(super) fn limits(limits: (i8, i8), results: usize) -> u64 {
    match limits {
        (i8::MIN, i8::MAX) => 0,
        _ => LIMIT * results as u64,
    }
}

/// A layer over rows of `k` inputs with `n` results each.
pub(super) fn fully_connected([rows, k, n]: [usize; 3]) -> u64 {
    let quads = k.div_ceil(4) as u64;
    if rows == 1 {
        let group = 21 * quads + 4 * quads.div_ceil(4) + 49;
        return groups(n) * group + tail(n) + ROW_CALL;
    }
    let gather = 57 + 8 * quads;
    rows as u64 * gather + pairs(rows, 2 * quads, n)
}

/// Pixels times all groups, two by two.
fn pairs(pixels: usize, steps: u64, n: usize) -> u64 {
    let group = 13 * steps + 6 * steps.div_ceil(8) + 76;
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
    let gather = pixels as u64 * (40 + runs * (130 + 8 * quads));
    let edge = match geometry.channels % 4 {
        0 => 290,
        _ => 66 + 33 * run as u64,
    };
    gather + edge * edge_runs(geometry) + pairs(pixels, 2 * quads * runs, geometry.filters)
}

/// Runs of taps that reach beyond the image.
fn edge_runs(geometry: &Geometry) -> u64 {
    let [rows_outside, columns_outside] = [0, 1].map(|axis| outside(geometry, axis));
    let [rows, columns] = geometry.output;
    let (runs, _) = geometry.runs();
    let taps = geometry.kernel[0];
    // With taps apart, every column is a run of its own.
    let in_row = runs / taps.max(1);
    let (any_column, taps_outside) = match geometry.dilation {
        [_, 1] => (columns_outside.results, columns_outside.results),
        _ => (columns_outside.results, columns_outside.taps),
    };
    let by_column = rows * taps * taps_outside;
    let by_row = rows_outside.taps * (columns - any_column) * in_row;
    (by_column + by_row) as u64
}

/// Results along an axis with a tap beyond the image, and how many such taps there are.
struct Outside {
    results: usize,
    taps: usize,
}

fn outside(geometry: &Geometry, axis: usize) -> Outside {
    let (extent, padding) = (geometry.input[axis] as i64, geometry.padding[axis] as i64);
    let (stride, dilation) = (geometry.stride[axis] as i64, geometry.dilation[axis] as i64);
    let kernel = geometry.kernel[axis] as i64;
    let taps_up_to = |place: i64| (place + dilation - 1).div_euclid(dilation).clamp(0, kernel);
    let taps_of = |result: usize| {
        let first = result as i64 * stride - padding;
        let (before, inside) = (taps_up_to(-first), taps_up_to(extent - first));
        (before + kernel - inside.max(before)) as usize
    };
    let counts: Vec<usize> = (0..geometry.output[axis]).map(taps_of).collect();
    Outside {
        results: counts.iter().filter(|&&count| count > 0).count(),
        taps: counts.iter().sum(),
    }
}

pub(super) fn depthwise(geometry: &Geometry, planes: Planes) -> u64 {
    let ([height, width], [rows, columns]) = (geometry.input, geometry.output);
    let strips = rows.div_ceil(planes.strip);
    let fill = match planes.lanes {
        1 => height * (10 + 5 * width) + strips * 118,
        _ => height * (8 + 5 * width / 2) + strips * 40,
    } as u64;
    let loops = match geometry.is_3() {
        true if geometry.stride == [1, 1] => {
            rows * (17 + columns / 2 * 40 + columns % 2 * 28) + 270
        }
        true => rows * (17 + columns * 28) + 270,
        false => {
            let [taps, row] = geometry.kernel;
            rows * columns * (60 + taps * (14 + 8 * row.div_ceil(2))) + 270
        }
    };
    geometry.channels as u64 * (fill + loops as u64)
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
        }
    }

    #[test]
    fn runs_at_the_edge_are_counted() {
        assert_eq!(edge_runs(&image(8, 4, 0)), 0);
        // Left and right: 8 rows of 3 runs; above and below: the other 6 columns.
        assert_eq!(edge_runs(&image(8, 4, 1)), 2 * 8 * 3 + 2 * 6);
    }

    #[test]
    fn a_fifth_channel_costs_a_group() {
        let cost = |n: usize| fully_connected([1, 32, n]);
        assert_eq!(cost(8), cost(5) - TAIL);
        assert!(cost(5) > cost(4) + 100);
    }
}
