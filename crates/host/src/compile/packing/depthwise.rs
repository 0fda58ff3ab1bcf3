//! Taps of depthwise convolutions in pairs, with start, factor and offset of each channel.

use super::requantisation::{Fast, fit};
use super::{Geometry, IntegerLayer, Ties};
use dunlin_kernels::LANES;

/// Even width of a row of the plane: every window of a row of results lies in it.
pub(crate) fn plane_width(geometry: &Geometry) -> usize {
    let ([_, columns], [_, step], [_, taps]) = (geometry.output, geometry.stride, geometry.kernel);
    let width = match (geometry.is_3(), step) {
        (true, 1) => columns.next_multiple_of(2) + 2,
        (true, _) => 2 * columns + 2,
        _ => (columns - 1) * step + step.min(2) + taps.next_multiple_of(2),
    };
    width.next_multiple_of(2)
}

/// What the engine computes from one filling of its planes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Planes {
    /// Rows of results.
    pub strip: usize,
    /// Channels: 1 or [`LANES`].
    pub lanes: usize,
}

impl Planes {
    /// All rows of as many channels as can be widened together.
    pub fn whole(geometry: &Geometry) -> Planes {
        let [strip, _] = geometry.output;
        let lanes = match geometry.channels.is_multiple_of(LANES) {
            true => LANES,
            false => 1,
        };
        Planes { strip, lanes }
    }
}

/// Bytes of the planes.
pub(crate) fn plane_bytes(geometry: &Geometry, planes: Planes) -> usize {
    let ([stride, _], [taps, _]) = (geometry.stride, geometry.kernel);
    let rows = (planes.strip - 1) * stride + taps;
    2 * planes.lanes * plane_width(geometry) * rows
}

/// Rows of results that the engine may compute from one filling of the planes, over the input: from the least
/// on, or all.
pub(crate) fn least_strip(geometry: &Geometry) -> usize {
    let ([rows, columns], [_, width]) = (geometry.output, geometry.input);
    let ([stride, _], [taps, _], [top, _]) = (geometry.stride, geometry.kernel, geometry.padding);
    let shared = taps.saturating_sub(stride);
    match top <= shared && columns <= width * stride {
        true => shared.div_ceil(stride).clamp(1, rows),
        false => rows,
    }
}

/// Packs a layer with one filter per channel, and says in the geometry where ties go; none where a channel has no proved
/// requantisation.
pub(crate) fn pack(layer: &IntegerLayer, geometry: &mut Geometry) -> Option<Vec<u8>> {
    let channels = 0..layer.weights.len();
    let ends = channels.map(|index| fit(&layer.channel(index), layer.reach(index), false));
    let ends: Vec<Fast> = ends.collect::<Option<_>>()?;
    geometry.ties = Ties::of(layer, ends.iter());
    let mut bytes = Vec::new();
    for (weights, fast) in layer.weights.iter().zip(ends) {
        let [_, columns] = geometry.kernel;
        for row in weights.chunks_exact(columns) {
            for tap in words(row, geometry.is_3()).into_iter().flatten() {
                bytes.extend(i16::try_from(tap).ok()?.to_le_bytes());
            }
        }
        for word in [fast.start, fast.factor, fast.offset] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(fast.shift_word(false).to_le_bytes());
    }
    Some(bytes)
}

/// A row of taps in pairs: overlapping for the loop of 3 × 3, else side by side with a zero behind.
fn words(row: &[i32], is_3: bool) -> Vec<[i32; 2]> {
    if is_3 {
        return row.windows(2).map(|pair| [pair[0], pair[1]]).collect();
    }
    let pair = |pair: &[i32]| [pair[0], pair.get(1).copied().unwrap_or(0)];
    row.chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_taps_overlap_and_others_do_not() {
        assert_eq!(words(&[1, 2, 3], true), [[1, 2], [2, 3]]);
        assert_eq!(words(&[1, 2, 3], false), [[1, 2], [3, 0]]);
        assert_eq!(words(&[1, 2, 3, 4], false), [[1, 2], [3, 4]]);
    }
}
