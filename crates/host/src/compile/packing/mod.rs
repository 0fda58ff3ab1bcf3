//! Constants for the engine's packed kernels: weights of four channels interleaved, requantisation
//! with one multiply.
//!
//! The layout and what the loops compute stand in `dunlin_kernels::multiply`. Here is the other
//! half: that for a given layer they compute the exact result. [`requantisation`] finds and proves
//! the constants of a channel, with ties to even where it must, [`groups`] packs the weights and proves that no lane
//! overflows. A layer for which either fails keeps its reference kernel.

pub(crate) mod depthwise;
pub(crate) mod groups;
pub(crate) mod requantisation;
pub(crate) mod zeros;

use super::graph::{Graph, Node, Op};
use super::report::macs;
use requantisation::{Exact, Fast};

/// Where ties go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ties {
    Up,
    Even,
    Odd,
}

impl Ties {
    /// Of a layer with channels that take these constants. Rounding half to even comes before the zero point is added.
    fn of<'f>(layer: &IntegerLayer, mut channels: impl Iterator<Item = &'f Fast>) -> Ties {
        match (channels.any(|fast| fast.step != 0), layer.zero_point & 1) {
            (false, _) => Ties::Up,
            (true, 0) => Ties::Even,
            (true, _) => Ties::Odd,
        }
    }

    /// What is said of a layer with them.
    pub fn words(self) -> &'static str {
        match self {
            Ties::Up => "",
            Ties::Even | Ties::Odd => ", ties to even",
        }
    }
}

/// The integer constants of a layer, as `fully_connected` variant 1 and its kin have them.
pub(crate) struct IntegerLayer<'g> {
    /// `[n, taps]`, less their zero point.
    pub weights: Vec<Vec<i32>>,
    multipliers: &'g [[u8; 8]],
    offsets: &'g [[u8; 12]],
    divisor: u32,
    zero_point: i32,
    /// Lowest and highest result.
    pub limits: (i8, i8),
    /// Multiply-accumulates of one run, whatever zeros its weights are filled up with.
    pub macs: u64,
}

impl<'g> IntegerLayer<'g> {
    /// Reads a node with inputs x, weights, multipliers, offsets; none where it is no such layer.
    pub fn of(graph: &'g Graph, node: &Node) -> Option<Self> {
        let (Op::FullyConnectedI8 {
            weight_zero_point,
            divisor,
            zero_point,
            minimum,
            maximum,
        }
        | Op::Conv2dI8 {
            weight_zero_point,
            divisor,
            zero_point,
            minimum,
            maximum,
            transposed: false,
            ..
        }) = node.op
        else {
            return None;
        };
        let bytes = |input: usize| match graph.constant(*node.inputs.get(input)?)? {
            super::constant::Data::Bytes(bytes) => Some(bytes.as_slice()),
            _ => None,
        };
        let weights = graph.constant(*node.inputs.get(1)?)?.integers()?;
        let offsets = bytes(3)?.as_chunks().0;
        let taps = weights.len() / offsets.len().max(1);
        let less = |row: &[i64]| -> Vec<i32> {
            row.iter().map(|&w| w as i32 - weight_zero_point).collect()
        };
        Some(IntegerLayer {
            weights: weights.chunks_exact(taps.max(1)).map(less).collect(),
            multipliers: bytes(2)?.as_chunks().0,
            offsets,
            divisor,
            zero_point,
            limits: (minimum as i8, maximum as i8),
            macs: macs(graph, node),
        })
    }

    /// The same layer with other weights.
    fn with_weights(&self, weights: Vec<Vec<i32>>) -> Self {
        Self { weights, ..*self }
    }

    /// The exact requantisation of a channel.
    pub fn channel(&self, index: usize) -> Exact {
        let entry = self.multipliers[if self.multipliers.len() == 1 {
            0
        } else {
            index
        }];
        let code = u64::from_le_bytes(entry);
        let mut offset = [0; 16];
        offset[..12].copy_from_slice(&self.offsets[index]);
        let sign = if self.offsets[index][11] & 0x80 != 0 {
            0xFF
        } else {
            0
        };
        offset[12..].fill(sign);
        Exact {
            factor: i128::from(code & (u64::MAX >> 8)),
            offset: i128::from_le_bytes(offset),
            divisor: i128::from(self.divisor),
            shift: (code >> 56) as u32,
            zero_point: self.zero_point,
        }
    }

    /// Least and largest sum of a channel over all inputs.
    pub fn reach(&self, index: usize) -> (i64, i64) {
        let row = || self.weights[index].iter().map(|&w| i64::from(w));
        (
            row().map(|w| (w * -128).min(w * 127)).sum(),
            row().map(|w| (w * -128).max(w * 127)).sum(),
        )
    }
}

/// Geometry of a convolution, in the words that the engine's packed kernels begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// Rows and columns.
    pub input: [usize; 2],
    pub channels: usize,
    pub output: [usize; 2],
    pub filters: usize,
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    /// Before the image.
    pub padding: [usize; 2],
    /// The code that stands for 0.0.
    pub zero: i8,
    /// Where ties go; of depthwise loops only the one for any window has them go elsewhere than up.
    pub ties: Ties,
}

impl Geometry {
    /// Of a convolution of integers over an image; none where it is no such op.
    pub fn of(graph: &Graph, node: &Node) -> Option<Geometry> {
        let Op::Conv2dI8 {
            ref window,
            input_zero_point,
            transposed: false,
            ..
        } = node.op
        else {
            return None;
        };
        let shape = |id: usize| graph.values[id].shape.as_slice();
        let (&[1, h, w, c], &[1, rows, columns, filters]) =
            (shape(node.inputs[0]), shape(node.output))
        else {
            return None;
        };
        let [top, left, ..] = window.pads;
        Some(Geometry {
            input: [h, w],
            channels: c,
            output: [rows, columns],
            filters,
            kernel: window.kernel,
            stride: window.strides,
            dilation: window.dilations,
            padding: [top, left],
            zero: i8::try_from(input_zero_point).ok()?,
            ties: Ties::Up,
        })
    }

    /// Whether a tap lies outside of the image.
    pub fn is_padded(&self) -> bool {
        let is_padded = |axis: usize| {
            let last_result = self.output[axis].saturating_sub(1) * self.stride[axis];
            let last_tap = self.kernel[axis].saturating_sub(1) * self.dilation[axis];
            self.padding[axis] > 0 || last_result + last_tap >= self.input[axis]
        };
        is_padded(0) || is_padded(1)
    }

    /// Whether every output pixel is computed from the input pixel at its place.
    pub fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1]
            && self.stride == [1, 1]
            && self.padding == [0, 0]
            && self.input == self.output
    }

    /// Whether the engine's depthwise loop for 3 × 3 taps takes the layer.
    pub fn is_3(&self) -> bool {
        let [stride, step] = self.stride;
        self.ties == Ties::Up && self.kernel == [3, 3] && stride == step && stride <= 2
    }

    pub fn words(&self) -> [u32; 15] {
        let ([h, w], [oh, ow], [kh, kw]) = (self.input, self.output, self.kernel);
        let ([sh, sw], [dh, dw], [top, left]) = (self.stride, self.dilation, self.padding);
        let extents = [h, w, self.channels, oh, ow, self.filters];
        let [h, w, c, oh, ow, n] = extents;
        let zero = usize::from(self.zero as u8);
        [h, w, c, oh, ow, n, kh, kw, sh, sw, dh, dw, top, left, zero].map(|word| word as u32)
    }

    /// Runs of neighbouring taps in a column, and inputs of a run.
    pub fn runs(&self) -> (usize, usize) {
        let ([rows, columns], [_, dilation]) = (self.kernel, self.dilation);
        match dilation {
            1 => (rows, columns * self.channels),
            _ => (rows * columns, self.channels),
        }
    }

    /// Bytes of scratch for two columns, and for the outputs that a pixel without a neighbour
    /// gives beside its own.
    pub fn column_bytes(&self) -> usize {
        let (runs, run) = self.runs();
        let is_odd = self.output.iter().all(|extent| extent % 2 == 1);
        runs * run.next_multiple_of(4) * 4 + if is_odd { self.filters } else { 0 }
    }

    pub fn outputs(&self) -> usize {
        self.output.iter().product()
    }
}
