//! Layers that no packed loop computes as they are, with weights of zero between or beside their own: a product with a
//! zero changes no sum, and a packed loop needs fewer instructions for a product than the reference kernel does.

use super::{Geometry, IntegerLayer};
use dunlin_engine::format::MAX_ROW;

/// Most groups that become one: the constants grow as many times.
pub(crate) const MOST_GROUPS: usize = 8;
/// How many times as many taps a filter may have without its dilation.
pub(crate) const MOST_TAPS: usize = 12;

/// A layer with `groups` groups as one with a single group, in which a filter's weights for the channels of other groups
/// are zero; none where its constants would grow too much.
pub(crate) fn in_one_group<'g>(
    layer: &IntegerLayer<'g>,
    geometry: &Geometry,
    groups: usize,
) -> Option<IntegerLayer<'g>> {
    (groups <= MOST_GROUPS).then_some(())?;
    let taps: usize = geometry.kernel.iter().product();
    let (in_group, per_group) = (geometry.channels / groups, geometry.filters / groups);
    let widened = |(index, weights): (usize, &Vec<i32>)| {
        let first = index / per_group * in_group;
        let mut all = vec![0; taps * geometry.channels];
        let rows = all.chunks_exact_mut(geometry.channels);
        for (row, own) in rows.zip(weights.chunks_exact(in_group)) {
            row[first..first + in_group].copy_from_slice(own);
        }
        all
    };
    let weights = layer.weights.iter().enumerate().map(widened).collect();
    Some(layer.with_weights(weights))
}

/// A layer with a filter per channel, with its taps side by side: there are zeros where a dilated filter has none; none
/// where its constants would grow too much.
pub(crate) fn undilated<'g>(
    layer: &IntegerLayer<'g>,
    geometry: &Geometry,
) -> Option<(IntegerLayer<'g>, Geometry)> {
    let [rows, columns] = geometry.kernel;
    let [down, beside] = geometry.dilation;
    let kernel = [(rows - 1) * down + 1, (columns - 1) * beside + 1];
    let taps: usize = kernel.iter().product();
    (taps <= (MOST_TAPS * rows * columns).min(MAX_ROW as usize)).then_some(())?;
    let spread = |weights: &Vec<i32>| {
        let mut all = vec![0; taps];
        for (index, &weight) in weights.iter().enumerate() {
            let (row, column) = (index / columns * down, index % columns * beside);
            all[row * kernel[1] + column] = weight;
        }
        all
    };
    let spread = layer.with_weights(layer.weights.iter().map(spread).collect());
    let geometry = Geometry {
        kernel,
        dilation: [1, 1],
        ..*geometry
    };
    Some((spread, geometry))
}

#[cfg(test)]
mod tests {
    use super::super::Ties;
    use super::*;

    fn layer(weights: Vec<Vec<i32>>) -> IntegerLayer<'static> {
        IntegerLayer {
            weights,
            multipliers: &[],
            offsets: &[],
            divisor: 1,
            zero_point: 0,
            limits: (-128, 127),
            macs: 0,
        }
    }

    fn geometry(channels: usize, kernel: [usize; 2], dilation: [usize; 2]) -> Geometry {
        Geometry {
            input: [64, 64],
            channels,
            output: [1, 1],
            filters: 4,
            kernel,
            stride: [1, 1],
            dilation,
            padding: [0, 0],
            zero: 0,
            ties: Ties::Up,
        }
    }

    #[test]
    fn a_filter_has_zeros_for_the_channels_of_other_groups() {
        let weights = (0..4).map(|f| (1..=4).map(|w| 10 * f + w).collect());
        let layer = layer(weights.collect());
        let one = in_one_group(&layer, &geometry(4, [1, 2], [1, 1]), 2).expect("two groups");
        assert_eq!(one.weights[1], [11, 12, 0, 0, 13, 14, 0, 0]);
        assert_eq!(one.weights[2], [0, 0, 21, 22, 0, 0, 23, 24]);
        assert!(in_one_group(&layer, &geometry(36, [1, 2], [1, 1]), 9).is_none());
    }

    #[test]
    fn a_dilated_filter_has_zeros_between_its_taps() {
        let layer = layer(vec![vec![1, 2, 3, 4]]);
        let dilated = geometry(1, [2, 2], [1, 3]);
        let (spread, geometry) = undilated(&layer, &dilated).expect("twice the taps");
        assert_eq!(spread.weights, [[1, 0, 0, 2, 3, 0, 0, 4]]);
        assert_eq!((geometry.kernel, geometry.dilation), ([2, 4], [1, 1]));
        assert!(undilated(&layer, &self::geometry(1, [2, 2], [7, 7])).is_none());
    }
}
