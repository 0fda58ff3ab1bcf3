//! The compiler's graph: ops as the engine names them, on tensors of known shape.

use super::byte_op::ByteOp;
use super::constant::{Data, QuantizedConstant};
use super::forest::Packing;
use super::packing::depthwise::Planes;
use super::packing::{Geometry, Ties};
use super::real::Real;
use super::recurrent::Recurrent;
use dunlin_engine::format::{MAX_ELEMENTS, OpCode};
use std::collections::BTreeSet;

/// Index of a value in [`Graph::values`].
pub(crate) type ValueId = usize;

/// Element type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    F32,
    I8,
    I32,
    /// Shapes and indices; becomes `I32` where a plan computes it.
    I64,
    Bytes,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Content {
    /// The input, or computed by a node.
    Computed,
    Constant(Data),
    /// Quantised weights and biases, until a pass decides whether their integers are used.
    Quantized(QuantizedConstant),
}

#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub name: String,
    pub element: Element,
    pub shape: Vec<usize>,
    pub content: Content,
    /// Scale and zero point of a computed `I8` value.
    pub quantization: Option<(f32, i32)>,
    /// Whether the model's bytes are unsigned; those of an `I8` value are less by 128.
    pub unsigned: bool,
}

impl Value {
    /// Overflows for no value that was imported: [`is_within_limits`] holds for those.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    pub fn is_computed(&self) -> bool {
        self.content == Content::Computed
    }

    /// The last extent; 1 for a scalar.
    pub fn columns(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }
}

/// Order of the two roundings of `scale`, with the engine's codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScaleForm {
    MulAdd = 0,
    SubMul = 1,
    SubDiv = 2,
}

/// Windows over the rows and columns of an image `[1, h, w, c]`, in the engine's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub kernel: [usize; 2],
    pub strides: [usize; 2],
    pub dilations: [usize; 2],
    /// Top, left, bottom, right; those behind follow from the output's extents.
    pub pads: [usize; 4],
}

/// What stands around a tensor.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Border {
    pub fill: Fill,
    /// Elements before the tensor along every axis; elements taken off where negative.
    pub before: Vec<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fill {
    Float(f32),
    Code(i32),
    /// The nearest element.
    Edge,
    /// The element as far on the other side of the nearest.
    Reflect,
}

impl Fill {
    /// Mode and value, as the engine's `pad` has them.
    pub fn words(self) -> [u32; 2] {
        match self {
            Fill::Float(value) => [0, value.to_bits()],
            Fill::Code(code) => [0, code.cast_unsigned()],
            Fill::Edge => [1, 0],
            Fill::Reflect => [2, 0],
        }
    }
}

/// What a node computes. Every op but the marked ones is a kernel of the engine.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Op {
    /// Inputs x, weights `[n, k]`, bias `[n]`; `quantize` may turn it into one of the next two.
    FullyConnected {
        minimum: f32,
        maximum: f32,
    },
    FullyConnectedI8 {
        weight_zero_point: i32,
        divisor: u32,
        zero_point: i32,
        minimum: i32,
        maximum: i32,
    },
    /// Inputs x and the groups of the filters, see `packing`.
    ///
    /// `macs` of packed layers are the model's, without those of zeros that fill weights up.
    Conv2dPacked {
        geometry: Geometry,
        limits: (i8, i8),
        macs: u64,
    },
    /// Inputs x and the taps of the channels, see `packing`.
    DepthwisePacked {
        geometry: Geometry,
        limits: (i8, i8),
        planes: Planes,
        macs: u64,
    },
    /// Inputs x and the groups of `n` channels, see `packing`.
    FullyConnectedPacked {
        rows: usize,
        k: usize,
        n: usize,
        limits: (i8, i8),
        ties: Ties,
        macs: u64,
    },
    FullyConnectedI8ToF32 {
        weight_zero_point: i32,
        minimum: f32,
        maximum: f32,
    },
    /// Inputs x `[1, h, w, c]`, weights `[n, kernel rows, kernel columns, c/groups]`, bias `[n]`;
    /// `transposed` is `conv_transpose_2d`. `quantize` may turn it into one of the next two.
    Conv2d {
        window: Window,
        transposed: bool,
        minimum: f32,
        maximum: f32,
    },
    Conv2dI8 {
        window: Window,
        transposed: bool,
        input_zero_point: i32,
        weight_zero_point: i32,
        divisor: u32,
        zero_point: i32,
        minimum: i32,
        maximum: i32,
    },
    Conv2dI8ToF32 {
        window: Window,
        transposed: bool,
        input_zero_point: i32,
        weight_zero_point: i32,
        minimum: f32,
        maximum: f32,
    },
    /// On an image `[1, h, w, c]` of floats or codes.
    MaxPool2d {
        window: Window,
        element: Element,
    },
    AveragePool2d {
        window: Window,
        margins: [usize; 4],
    },
    /// On floats or codes.
    Pad {
        border: Border,
        element: Element,
    },
    QuantizeLinear {
        scale: f32,
        zero_point: i32,
    },
    DequantizeLinear {
        scale: f32,
        zero_point: i32,
    },
    Scale(ScaleForm),
    Clamp {
        minimum: f32,
        maximum: f32,
    },
    /// `add`, `sub`, `mul` or `div`.
    Binary(OpCode),
    /// One of the functions of one element.
    Unary(OpCode),
    /// A function of one element with parameters: `leaky_relu` has α, `hard_sigmoid` α and β.
    Activation {
        op: OpCode,
        alpha: f32,
        beta: f32,
    },
    /// Inputs x, scale, bias; of the last axis.
    LayerNormalization {
        epsilon: f32,
    },
    Reduce {
        op: OpCode,
        outer: usize,
        reduced: usize,
        inner: usize,
    },
    Softmax,
    ArgMax,
    TreeEnsemble {
        packing: Packing,
        /// What it computes beside its scores.
        label: Option<ValueId>,
    },
    MatMul {
        batch: usize,
        m: usize,
        k: usize,
        n: usize,
        a_batched: bool,
        b_batched: bool,
    },
    StridedCopy {
        base: usize,
        strides: [i64; 4],
    },
    /// Axis `i` of the result is axis `order[i]` of the operand; the layout pass makes a
    /// `StridedCopy` or a `Reshape` of it.
    Transpose {
        order: Vec<usize>,
    },
    Concat {
        outer: usize,
    },
    Reshape,
    /// A step of a support vector machine.
    Svm(Svm),
    /// An op on bytes that is neither a layer nor a view.
    Bytes(ByteOp),
    Recurrent(Recurrent),
    /// The newest rows of a stream, as many as the result has; kept from run to run.
    History,
}

/// Steps of a support vector machine; the engine's `svm.rs` has their operands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Svm {
    Kernel {
        kind: u32,
        gamma: f32,
        addend: f32,
        degree: f32,
    },
    Decisions,
    Votes,
    Probabilities,
}

impl Svm {
    /// Variant of the engine's op.
    pub fn variant(&self) -> u8 {
        match self {
            Svm::Kernel { .. } => 0,
            Svm::Decisions => 1,
            Svm::Votes => 2,
            Svm::Probabilities => 3,
        }
    }

    /// The parameter words.
    pub fn words(&self) -> Vec<u32> {
        match *self {
            Svm::Kernel {
                kind,
                gamma,
                addend,
                degree,
            } => vec![kind, gamma.to_bits(), addend.to_bits(), degree.to_bits()],
            _ => Vec::new(),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub op: Op,
    pub inputs: Vec<ValueId>,
    pub output: ValueId,
    /// ONNX nodes this one came from.
    pub origins: Vec<usize>,
}

impl Node {
    /// What it computes: its output, and what its op computes beside it.
    pub fn outputs(&self) -> impl Iterator<Item = ValueId> + use<> {
        let beside = match self.op {
            Op::TreeEnsemble { label, .. } => label,
            _ => None,
        };
        std::iter::once(self.output).chain(beside)
    }
}

/// A model with batch 1. Nodes are in an order in which they can run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Graph {
    pub values: Vec<Value>,
    pub nodes: Vec<Node>,
    pub input: ValueId,
    pub outputs: Vec<ValueId>,
}

impl Graph {
    pub fn add_value(&mut self, name: &str, element: Element, shape: &[usize]) -> ValueId {
        self.values.push(Value {
            name: name.to_owned(),
            element,
            shape: shape.to_vec(),
            content: Content::Computed,
            quantization: None,
            unsigned: false,
        });
        self.values.len() - 1
    }

    pub fn add_constant(&mut self, name: &str, shape: &[usize], data: Data) -> ValueId {
        let id = self.add_value(name, data.element(), shape);
        self.values[id].content = Content::Constant(data);
        id
    }

    /// The elements of a constant; none for a computed or still quantised value.
    pub fn constant(&self, id: ValueId) -> Option<&Data> {
        match &self.values[id].content {
            Content::Constant(data) => Some(data),
            Content::Computed | Content::Quantized(_) => None,
        }
    }

    /// The floats of a constant, dequantised where needed.
    pub fn floats(&self, id: ValueId) -> Option<Vec<f32>> {
        match &self.values[id].content {
            Content::Constant(Data::F32(values)) => Some(values.clone()),
            Content::Quantized(quantized) => Some(quantized.dequantize(&self.values[id].shape)),
            _ => None,
        }
    }

    /// Bytes of the constants that nodes use, quantised ones as the floats they stand for.
    pub fn constant_bytes(&self) -> usize {
        let used: BTreeSet<ValueId> = self.nodes.iter().flat_map(|n| n.inputs.clone()).collect();
        let bytes = |&id: &ValueId| match &self.values[id].content {
            Content::Computed => 0,
            Content::Constant(data) => data.byte_count(),
            Content::Quantized(quantized) => 4 * quantized.integers.len(),
        };
        used.iter().map(bytes).sum()
    }

    /// The real numbers that a constant stands for, exactly; none where one is not finite.
    pub fn reals(&self, id: ValueId) -> Option<Vec<Real>> {
        match &self.values[id].content {
            Content::Constant(Data::F32(values)) => {
                values.iter().map(|&value| Real::from_f32(value)).collect()
            }
            Content::Quantized(quantized) => quantized
                .steps(&self.values[id].shape)
                .map(|(steps, scale)| Some(Real::from_f32(scale)?.times(&Real::integer(steps))))
                .collect(),
            _ => None,
        }
    }

    /// Index of the node that computes a value.
    pub fn producer(&self, id: ValueId) -> Option<usize> {
        self.nodes
            .iter()
            .position(|node| node.outputs().any(|output| output == id))
    }

    /// How often a value is used: by nodes and as an output.
    pub fn uses(&self, id: ValueId) -> usize {
        let by_nodes = self
            .nodes
            .iter()
            .flat_map(|node| &node.inputs)
            .filter(|&&input| input == id);
        by_nodes.count() + self.outputs.iter().filter(|&&output| output == id).count()
    }

    /// The only node that uses a value that is not an output.
    pub fn only_consumer(&self, id: ValueId) -> Option<usize> {
        match self.uses(id) {
            1 => self.nodes.iter().position(|node| node.inputs.contains(&id)),
            _ => None,
        }
    }

    /// Drops nodes whose output nobody uses.
    pub fn remove_unused(&mut self) {
        loop {
            let before = self.nodes.len();
            let used: Vec<bool> = self
                .nodes
                .iter()
                .map(|node| node.outputs().any(|output| self.uses(output) > 0))
                .collect();
            let mut used = used.into_iter();
            self.nodes.retain(|_| used.next().unwrap_or(true));
            if self.nodes.len() == before {
                return;
            }
        }
    }
}

/// The product of the extents, empty ones aside; none where it, or that of a part, overflows.
pub(crate) fn volume(shape: &[usize]) -> Option<usize> {
    shape
        .iter()
        .filter(|&&extent| extent != 0)
        .try_fold(1, |product: usize, &extent| product.checked_mul(extent))
}

/// Whether a plan can hold a tensor of this shape.
pub(crate) fn is_within_limits(shape: &[usize]) -> bool {
    volume(shape).is_some_and(|volume| volume <= MAX_ELEMENTS as usize)
}

/// Row-major strides of a shape, in elements.
pub(crate) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for position in (0..shape.len().saturating_sub(1)).rev() {
        strides[position] = strides[position + 1] * shape[position + 1];
    }
    strides
}
