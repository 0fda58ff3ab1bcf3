//! The plan format's numbers: magic, limits, codes. `FORMAT.md` is the prose beside it.

/// First eight bytes of a plan.
pub const MAGIC: [u8; 8] = *b"DUNLPLAN";
/// The format this engine reads and the compiler writes.
pub const FORMAT: u16 = 1;

/// Bytes of the header.
pub const HEADER_BYTES: usize = 48;
/// Bytes of one entry of the tensor table.
pub const TENSOR_BYTES: usize = 32;
/// Bytes of one entry of the op table.
pub const OP_BYTES: usize = 20;
/// Bytes of one entry of the kernel list.
pub const KERNEL_BYTES: usize = 4;
/// Bytes of one entry of the input and output table.
pub const PORT_BYTES: usize = 4;
/// Bytes of one entry of the operand table.
pub const OPERAND_BYTES: usize = 2;
/// The constants section starts at a multiple of this, and so does every constant in it.
pub const CONSTANT_ALIGNMENT: usize = 16;
/// Offset of every arena tensor is a multiple of this.
pub const ARENA_ALIGNMENT: usize = 4;
/// A parameter block starts at a multiple of this.
pub const PARAMETER_ALIGNMENT: usize = 4;

/// Most bytes in a plan.
pub const MAX_PLAN_BYTES: u32 = 1 << 28;
/// Most bytes in an arena.
pub const MAX_ARENA_BYTES: u32 = 1 << 28;
/// Most bytes of stack a plan may state.
pub const MAX_STACK_BYTES: u32 = 1 << 20;
/// Most tensors in a plan, arena and constant together.
pub const MAX_TENSORS: u16 = 8192;
/// Most ops in a plan.
pub const MAX_OPS: u16 = 4096;
/// Most different kernels in a plan.
pub const MAX_KERNELS: u16 = 256;
/// Most entries in the operand table.
pub const MAX_OPERANDS: u16 = 32768;
/// Inputs of a plan in format 1.
pub const MAX_INPUTS: u8 = 1;
/// Most outputs of a plan.
pub const MAX_OUTPUTS: u8 = 8;
/// Dimensions of a tensor.
pub const MAX_RANK: usize = 4;
/// Most elements in a tensor.
pub const MAX_ELEMENTS: u32 = 1 << 26;
/// Most elementary steps (multiply-accumulates, elements, tree branches) in one run.
pub const MAX_WORK: u64 = 1 << 34;

/// Longest row of an integer dot product: 128 · 255 · 2^16 is below 2^31.
pub const MAX_ROW: u32 = 1 << 16;
/// Most trees in an ensemble, so that a sum of 8-bit leaves is exact in an `f32`.
pub const MAX_TREES: u32 = 1 << 16;

/// Element type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum DType {
    /// IEEE 754 binary32.
    F32 = 1,
    /// Signed 8-bit integer.
    I8 = 2,
    /// Signed 32-bit integer.
    I32 = 3,
    /// Raw bytes, laid out as the kernel that reads them says.
    U8 = 4,
}

impl DType {
    /// Every element type, in code order.
    pub const ALL: [DType; 4] = [DType::F32, DType::I8, DType::I32, DType::U8];

    /// The type with this code, if there is one.
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::F32,
            2 => Self::I8,
            3 => Self::I32,
            4 => Self::U8,
            _ => return None,
        })
    }

    /// Bytes of one element.
    pub const fn bytes(self) -> usize {
        match self {
            Self::F32 | Self::I32 => 4,
            Self::I8 | Self::U8 => 1,
        }
    }
}

/// What an input or output of a plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Role {
    /// Not an input or output, or one without a meaning the engine knows.
    Plain = 0,
    /// The predicted class: one `i32`.
    Label = 1,
    /// One `f32` per class.
    Probabilities = 2,
}

impl Role {
    /// The role with this code, if there is one.
    pub const fn from_code(code: u16) -> Option<Self> {
        Some(match code {
            0 => Self::Plain,
            1 => Self::Label,
            2 => Self::Probabilities,
            _ => return None,
        })
    }
}

macro_rules! opcodes {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal, $text:literal;)+) => {
        /// What an op computes. The same name stands in the compiler, the kernel and the docs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum OpCode { $($(#[doc = $doc])+ $name = $code,)+ }

        impl OpCode {
            /// Every op, in code order.
            pub const ALL: &'static [OpCode] = &[$(OpCode::$name,)+];

            /// The op with this code, if there is one.
            pub const fn from_code(code: u16) -> Option<Self> {
                Some(match code { $($code => Self::$name,)+ _ => return None })
            }

            /// The op's name in snake case.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

opcodes! {
    /// Dot products of every row of the input with every row of the weights, plus a bias.
    FullyConnected = 1, "fully_connected";
    /// `f32` to `i8` with a scale and a zero point.
    QuantizeLinear = 2, "quantize_linear";
    /// `i8` to `f32` with a scale and a zero point.
    DequantizeLinear = 3, "dequantize_linear";
    /// An affine map per channel.
    Scale = 4, "scale";
    /// `a + b`.
    Add = 5, "add";
    /// `a - b`.
    Sub = 6, "sub";
    /// `a * b`.
    Mul = 7, "mul";
    /// `a / b`.
    Div = 8, "div";
    /// Limits every element to a closed interval.
    Clamp = 9, "clamp";
    /// Absolute value.
    Abs = 10, "abs";
    /// Square root.
    Sqrt = 11, "sqrt";
    /// Natural logarithm.
    Log = 12, "log";
    /// Exponential.
    Exp = 13, "exp";
    /// Negation.
    Neg = 14, "neg";
    /// Hyperbolic tangent.
    Tanh = 15, "tanh";
    /// Logistic function.
    Sigmoid = 16, "sigmoid";
    /// Arithmetic mean over one axis.
    ReduceMean = 17, "reduce_mean";
    /// Sum over one axis.
    ReduceSum = 18, "reduce_sum";
    /// Largest element over one axis.
    ReduceMax = 19, "reduce_max";
    /// Smallest element over one axis.
    ReduceMin = 20, "reduce_min";
    /// Exponentials over the last axis, divided by their sum.
    Softmax = 21, "softmax";
    /// Index, or label, of the largest element.
    ArgMax = 22, "arg_max";
    /// Sum of the leaves that decision trees reach.
    TreeEnsemble = 23, "tree_ensemble";
    /// Product of two matrices, either of them constant.
    MatMul = 24, "mat_mul";
    /// Copies a strided view: slices, transposes and repetitions.
    StridedCopy = 25, "strided_copy";
    /// Joins tensors along one axis.
    Concat = 26, "concat";
    /// The same bytes under another shape.
    Reshape = 27, "reshape";
    /// Sums of products of windows of an image with filters, plus a bias.
    Conv2d = 28, "conv_2d";
    /// The sum of filters scaled by the pixels of an image, plus a bias.
    ConvTranspose2d = 29, "conv_transpose_2d";
    /// Largest element of every window of an image.
    MaxPool2d = 30, "max_pool_2d";
    /// Mean of every window of an image.
    AveragePool2d = 31, "average_pool_2d";
    /// A border of constants, of copies or of mirrored elements around a tensor.
    Pad = 32, "pad";
    /// A table of all 256 results of a function of one byte.
    Lookup = 33, "lookup";
    /// Keeps positive elements, scales the others.
    LeakyRelu = 34, "leaky_relu";
    /// A line limited to 0 and 1.
    HardSigmoid = 35, "hard_sigmoid";
    /// Elements times a line limited to 0 and 1.
    HardSwish = 36, "hard_swish";
    /// Rows brought to mean 0 and variance 1, then scaled and shifted.
    LayerNormalization = 37, "layer_normalization";
    /// The Gaussian error function.
    Erf = 38, "erf";
    /// One direction of a layer of long short-term memory.
    Lstm = 39, "lstm";
    /// One direction of a layer of gated recurrent units.
    Gru = 40, "gru";
    /// Kernel values, decisions, votes and probabilities of support vectors.
    Svm = 41, "svm";
    /// The newest rows of a stream.
    History = 42, "history";
    /// The larger of two elements.
    Maximum = 43, "maximum";
    /// The smaller of two elements.
    Minimum = 44, "minimum";
}
