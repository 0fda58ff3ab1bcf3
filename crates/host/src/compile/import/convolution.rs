//! `Conv` and `ConvTranspose`.

use super::window::Windows;
use super::{Importer, Imports, Made, output_name, refuse};
use crate::compile::graph::{Content, Element, Op, ValueId};
use crate::onnx::proto::NodeProto;

impl Importer<'_> {
    /// Weights are `[n, c/groups, kernel…]`.
    pub(super) fn conv(&mut self, node: &NodeProto) -> Imports {
        let x = self.computed_input(node)?;
        let (shape, weights) = (self.shape_of(x), self.input(node, 1)?);
        let weight_shape = self.shape_of(weights);
        let groups = self.groups(node, &shape, &weight_shape)?;
        let (filters, depth) = (weight_shape[0], weight_shape[1]);
        if depth.checked_mul(groups) != Some(shape[1]) || filters % groups != 0 {
            return Err(unfitting(node, &shape, &weight_shape, groups));
        }
        let windows = self.windows(node, &shape[2..], &weight_shape[2..])?;
        let taps: usize = weight_shape[2..].iter().product();
        let places: Vec<usize> = (0..filters)
            .flat_map(|filter| {
                (0..taps).flat_map(move |tap| {
                    (0..depth).map(move |channel| (filter * depth + channel) * taps + tap)
                })
            })
            .collect();
        let [rows, columns] = windows.window.kernel;
        let shape = [filters, rows, columns, depth];
        let axis = self.quantized_axis(weights).unwrap_or(0);
        let weights = match axis {
            0 => weights,
            _ => self.float_input(node, 1)?,
        };
        let weights = self.rearranged(weights, &places, (&shape, 0));
        self.convolution(node, x, (weights, false), windows)
    }

    /// Weights are `[c, n/groups, kernel…]`.
    pub(super) fn conv_transpose(&mut self, node: &NodeProto) -> Imports {
        let x = self.computed_input(node)?;
        let (shape, weights) = (self.shape_of(x), self.input(node, 1)?);
        let weight_shape = self.shape_of(weights);
        let groups = self.groups(node, &shape, &weight_shape)?;
        let (channels, per_group) = (weight_shape[0], weight_shape[1]);
        if channels != shape[1] || channels % groups != 0 {
            return Err(unfitting(node, &shape, &weight_shape, groups));
        }
        let windows = self.transposed_windows(node, &shape[2..], &weight_shape[2..])?;
        let (taps, depth): (usize, usize) = (weight_shape[2..].iter().product(), channels / groups);
        let filters = per_group * groups;
        let place = |filter: usize, tap: usize, channel: usize| {
            let (group, index) = (filter / per_group, filter % per_group);
            ((group * depth + channel) * per_group + index) * taps + tap
        };
        let places: Vec<usize> = (0..filters)
            .flat_map(|filter| {
                (0..taps).flat_map(move |tap| (0..depth).map(move |c| place(filter, tap, c)))
            })
            .collect();
        let [rows, columns] = windows.window.kernel;
        let scale_of = match self.quantized_axis(weights) {
            Some(1) => Some((0..filters).map(|filter| filter % per_group).collect()),
            Some(0) if depth == 1 => Some((0..filters).map(|filter| filter / per_group).collect()),
            _ => None::<Vec<usize>>,
        };
        let per_filter = self.quantized_axis(weights).is_none() || scale_of.is_some();
        let weights = match per_filter {
            true => weights,
            false => self.float_input(node, 1)?,
        };
        let weights = self.rearranged(weights, &places, (&[filters, rows, columns, depth], 0));
        if let (Some(weights), Some(scale_of)) = (weights, scale_of) {
            self.spread_scales(weights, &scale_of);
        }
        self.convolution(node, x, (weights, true), windows)
    }

    /// Gives output `i` of quantised weights the scale with index `scale_of[i]`.
    fn spread_scales(&mut self, weights: ValueId, scale_of: &[usize]) {
        if let Content::Quantized(quantized) = &mut self.graph.values[weights].content {
            let scales = scale_of.iter().map(|&index| quantized.scales[index]);
            let zero_points = scale_of.iter().map(|&index| quantized.zero_points[index]);
            (quantized.scales, quantized.zero_points) = (scales.collect(), zero_points.collect());
        }
    }

    /// The number of groups, where input and weights have ranks that a plan can hold.
    fn groups(&self, node: &NodeProto, shape: &[usize], weights: &[usize]) -> Imports<usize> {
        if !matches!(shape.len(), 3 | 4) || weights.len() != shape.len() || weights.contains(&0) {
            let reason = format!("an input of shape {shape:?} with weights {weights:?}");
            return Err(refuse(node, &reason, "use convolutions in 1-D or 2-D"));
        }
        let groups = node.int("group").unwrap_or(1);
        usize::try_from(groups)
            .ok()
            .filter(|&groups| groups > 0)
            .ok_or_else(|| {
                let reason = format!("{groups} groups");
                refuse(node, &reason, "use at least one group")
            })
    }

    /// Emits a convolution of channels-first `x`; weights are channels-last.
    fn convolution(
        &mut self,
        node: &NodeProto,
        x: ValueId,
        (weights, transposed): (Option<ValueId>, bool),
        Windows { window, output }: Windows,
    ) -> Imports {
        let computed = || refuse(node, "the weights are computed", "make them constant");
        let weights = weights.ok_or_else(computed)?;
        if self.graph.values[weights].element != Element::F32 {
            return Err(refuse(node, "the weights are integers", "dequantize them"));
        }
        let (rank, filters) = (self.shape_of(x).len(), self.shape_of(weights)[0]);
        let bias = match self.optional_input(node, 2)? {
            Some(bias) => self.bias_of(node, bias, filters)?,
            None => self.zero_bias(filters),
        };
        let image = self.channels_last(node, x)?;
        let op = Op::Conv2d {
            window,
            transposed,
            minimum: f32::NEG_INFINITY,
            maximum: f32::INFINITY,
        };
        let shape = [1, output[0], output[1], filters];
        let inputs = [image, weights, bias];
        let y = self.emit(output_name(node), op, &inputs, Made::floats(&shape));
        self.bind_channels_first(node, y, rank)
    }
}

fn unfitting(
    node: &NodeProto,
    shape: &[usize],
    weights: &[usize],
    groups: usize,
) -> crate::compile::CompileError {
    let reason =
        format!("an input of shape {shape:?} does not fit weights {weights:?} in {groups} groups");
    refuse(node, &reason, "check the layer's channels")
}
