//! Images made larger or smaller: `Resize`, `Upsample`, `DepthToSpace`, `SpaceToDepth`.
//!
//! The nearest pixel is a copy: rows are repeated or picked, then columns, so codes stay codes.

use super::{Importer, Imports, Made, SMALLER, output_name, oversize, refuse};
use crate::compile::graph::{Op, ValueId};
use crate::onnx::proto::NodeProto;

/// What to resize with instead.
const NEAREST: &str = "use mode nearest with constant scales of rows and columns, or ConvTranspose";

/// One axis of an image: which of its elements a result takes.
struct Picked {
    extent: usize,
    /// For every element of the result.
    places: Vec<usize>,
}

impl Picked {
    /// How often every element is taken, if all are, equally often and in order.
    fn repeats(&self) -> Option<usize> {
        let times = self.places.len() / self.extent;
        let in_order = self.places.iter().enumerate();
        let all = times * self.extent == self.places.len();
        (all && in_order
            .map(|(to, from)| (to / times, from))
            .all(|(a, b)| a == *b))
        .then_some(times)
    }

    /// The first element and the distance of those behind it, if all are equally far apart.
    fn steps(&self) -> Option<(usize, usize)> {
        let first = *self.places.first()?;
        let step = self
            .places
            .get(1)
            .map_or(1, |second| second.saturating_sub(first));
        let expected = (0..self.places.len()).map(|index| first + index * step);
        (step > 0 && expected.eq(self.places.iter().copied())).then_some((first, step))
    }
}

impl Importer<'_> {
    pub(super) fn resize(&mut self, node: &NodeProto) -> Imports {
        let x = self.computed_input(node)?;
        let shape = self.shape_of(x);
        let target = self.resized_shape(node, &shape)?;
        let unsupported = |reason: &str| refuse(node, reason, NEAREST);
        if !matches!(shape.len(), 3 | 4) || target[..2] != shape[..2] {
            let reason = format!("from shape {shape:?} to {target:?}");
            return Err(unsupported(&reason));
        }
        if let Some(reason) = oversize(&target) {
            return Err(refuse(node, &reason, SMALLER));
        }
        let mode = node.string("mode").unwrap_or("nearest");
        if mode != "nearest" {
            return Err(unsupported(&format!("mode {mode} is not supported")));
        }
        let mut image = self.channels_last(node, x)?;
        for axis in (2..shape.len()).rev() {
            let picked = self.picked(node, [shape[axis], target[axis]], axis)?;
            image = self.resized_axis(node, image, axis + 3 - shape.len(), &picked)?;
        }
        self.bind_channels_first(node, image, shape.len())
    }

    /// The result's shape: given as sizes, or as scales.
    fn resized_shape(&self, node: &NodeProto, shape: &[usize]) -> Imports<Vec<usize>> {
        let unsupported = |reason: String| refuse(node, &reason, NEAREST);
        if node.ints("axes").is_some()
            || node
                .string("keep_aspect_ratio_policy")
                .is_some_and(|policy| policy != "stretch")
        {
            return Err(unsupported("axes or an aspect ratio are given".into()));
        }
        if self.optional_input(node, 3)?.is_some() {
            let sizes = self.integer_input(node, 3)?;
            let sizes: Vec<usize> = sizes
                .iter()
                .map(|&s| usize::try_from(s).unwrap_or(0))
                .collect();
            return match sizes.len() == shape.len() && !sizes.contains(&0) {
                true => Ok(sizes),
                false => Err(unsupported(format!("sizes {sizes:?} for shape {shape:?}"))),
            };
        }
        let scales = self.resize_scales(node)?;
        let target: Vec<usize> = shape
            .iter()
            .zip(&scales)
            .map(|(&extent, &scale)| (extent as f64 * f64::from(scale)).floor() as usize)
            .collect();
        match scales.len() == shape.len() && !target.contains(&0) {
            true => Ok(target),
            false => Err(unsupported(format!(
                "scales {scales:?} for shape {shape:?}"
            ))),
        }
    }

    fn resize_scales(&self, node: &NodeProto) -> Imports<Vec<f32>> {
        let index = if node.op_type == "Upsample" || node.input.len() == 2 {
            1
        } else {
            2
        };
        let given = match (node.floats("scales"), self.optional_input(node, index)?) {
            (Some(scales), _) => Some(scales.to_vec()),
            (None, Some(id)) => self.graph.floats(id),
            (None, None) => None,
        };
        let usable = |scales: &Vec<f32>| scales.iter().all(|&s| s > 0.0 && s < 1e6);
        given
            .filter(usable)
            .ok_or_else(|| refuse(node, "the scales are not positive constants", NEAREST))
    }

    /// The nearest element for every element of the result along an axis, as the attributes say.
    fn picked(
        &self,
        node: &NodeProto,
        [extent, result]: [usize; 2],
        axis: usize,
    ) -> Imports<Picked> {
        let scale = match self.optional_input(node, 3)? {
            None => f64::from(self.resize_scales(node)?[axis]),
            Some(_) => result as f64 / extent as f64,
        };
        let default = match node.op_type == "Upsample" || self.opset < 11 {
            true => "asymmetric",
            false => "half_pixel",
        };
        let transformation = node
            .string("coordinate_transformation_mode")
            .unwrap_or(default);
        let rounding = match default {
            "asymmetric" => "floor",
            _ => node.string("nearest_mode").unwrap_or("round_prefer_floor"),
        };
        let place = |to: usize| {
            let to = to as f64;
            let from = match transformation {
                "asymmetric" => to / scale,
                "half_pixel" => (to + 0.5) / scale - 0.5,
                "tf_half_pixel_for_nn" => (to + 0.5) / scale,
                "pytorch_half_pixel" if result > 1 => (to + 0.5) / scale - 0.5,
                "pytorch_half_pixel" => 0.0,
                "align_corners" if result > 1 => to * (extent - 1) as f64 / (result - 1) as f64,
                "align_corners" => 0.0,
                _ => return None,
            };
            let nearest = match rounding {
                "floor" => from.floor(),
                "ceil" => from.ceil(),
                "round_prefer_ceil" => (from + 0.5).floor(),
                "round_prefer_floor" => (from - 0.5).ceil(),
                _ => return None,
            };
            Some(nearest.clamp(0.0, (extent - 1) as f64) as usize)
        };
        let places: Option<Vec<usize>> = (0..result).map(place).collect();
        let places = places.ok_or_else(|| {
            let reason = format!("coordinates {transformation} with rounding {rounding}");
            refuse(node, &reason, "use asymmetric, half_pixel or align_corners")
        })?;
        Ok(Picked { extent, places })
    }

    /// The picked elements of axis 1 or 2 of an image `[1, h, w, c]`.
    fn resized_axis(
        &mut self,
        node: &NodeProto,
        image: ValueId,
        axis: usize,
        picked: &Picked,
    ) -> Imports<ValueId> {
        let shape = self.shape_of(image);
        let outer: usize = shape[..axis].iter().product();
        let inner: usize = shape[axis + 1..].iter().product();
        let row = (picked.extent * inner) as i64;
        let (base, copied, strides) = match (picked.repeats(), picked.steps()) {
            (Some(1), _) => return Ok(image),
            (Some(times), _) => (
                0,
                [outer * picked.extent, times, inner],
                [0, inner as i64, 0, 1],
            ),
            (None, Some((first, step))) => (
                first * inner,
                [outer, picked.places.len(), inner],
                [0, row, (step * inner) as i64, 1],
            ),
            (None, None) => {
                let reason = "its scale is neither a whole number nor one over it";
                return Err(refuse(node, reason, NEAREST));
            }
        };
        let op = Op::StridedCopy { base, strides };
        let copy = self.emit(output_name(node), op, &[image], Made::floats(&copied));
        let mut result = shape;
        result[axis] = picked.places.len();
        Ok(self.reshaped(node, copy, &result))
    }

    /// Blocks of channels become blocks of pixels, or the other way round.
    pub(super) fn depth_and_space(&mut self, node: &NodeProto) -> Imports {
        let x = self.computed_input(node)?;
        let shape = self.shape_of(x);
        let block = usize::try_from(node.int("blocksize").unwrap_or(0)).unwrap_or(0);
        let (&[1, channels, height, width], true) = (&shape[..], (1..1 << 16).contains(&block))
        else {
            let reason = format!("an input of shape {shape:?} in blocks of {block}");
            return Err(refuse(node, &reason, "use one image of rank 4"));
        };
        let by_pixel = node.op_type == "DepthToSpace";
        let divisible = match by_pixel {
            true => channels % (block * block) == 0,
            false => height % block == 0 && width % block == 0,
        };
        if !divisible {
            let reason = format!("shape {shape:?} is not made of blocks of {block}");
            return Err(refuse(node, &reason, "export the model again"));
        }
        let mut image = self.channels_last(node, x)?;
        let (copied, strides, result) = if by_pixel {
            let depth = channels / (block * block);
            if node.string("mode").unwrap_or("DCR") == "CRD" {
                image = self.blocks_first(node, image, depth)?;
            }
            let strides = [width * channels, block * depth, channels, 1];
            let result = [1, height * block, width * block, depth];
            ([height, block, width, block * depth], strides, result)
        } else {
            let (rows, columns) = (height / block, width / block);
            let strides = [
                block * width * channels,
                block * channels,
                width * channels,
                1,
            ];
            let result = [1, rows, columns, block * block * channels];
            ([rows, columns, block, block * channels], strides, result)
        };
        let strides = strides.map(|stride| stride as i64);
        let op = Op::StridedCopy { base: 0, strides };
        let copy = self.emit(output_name(node), op, &[image], Made::floats(&copied));
        let y = self.reshaped(node, copy, &result);
        self.bind_channels_first(node, y, 4)
    }

    /// An image whose channels go by depth and then by place in the block, the other way round.
    fn blocks_first(&mut self, node: &NodeProto, image: ValueId, depth: usize) -> Imports<ValueId> {
        let shape = self.shape_of(image);
        let places = shape[3] / depth;
        let pixels = self.reshaped(node, image, &[shape[1] * shape[2], depth, places]);
        let turned = self.transposed(node, pixels, &[0, 2, 1])?;
        Ok(self.reshaped(node, turned, &shape))
    }
}
