//! The kernels. `reference` defines every op in portable code, one file per op; a folder per
//! architecture may stand beside it with variants that give the same bytes.
//!
//! To add an op: give it a code in [`OpCode`](crate::format::OpCode), write a file like
//! `reference/clamp.rs` with a `KERNEL`, and list it in `KERNELS`.

pub(crate) mod packed;
mod reference;
mod set;

use crate::KernelId;
use crate::error::OpFault;
use crate::op::Op;
pub use set::KernelSet;

use reference::*;

/// A kernel: what a plan may ask for.
pub struct Kernel {
    pub(crate) id: KernelId,
    /// Checks an op's operands and parameters; gives an upper bound of its elementary steps.
    pub(crate) check: fn(&Op) -> Result<u64, OpFault>,
    /// Runs a checked op. None only for an op that `check` would have refused.
    pub(crate) run: fn(&Op, &mut [u8]) -> Option<()>,
}

impl core::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.id.fmt(f)
    }
}

/// Every kernel of this engine, in code order.
static KERNELS: &[&Kernel] = &[
    &fully_connected::F32,
    &fully_connected::I8,
    &fully_connected::I8_TO_F32,
    &packed::fully_connected::KERNEL,
    &packed::fully_connected::EVEN,
    &packed::fully_connected::ODD,
    &quantize_linear::QUANTIZE,
    &quantize_linear::DEQUANTIZE,
    &scale::KERNEL,
    &binary::ADD,
    &binary_i8::ADD,
    &binary_i8_fast::ADD,
    &binary::SUB,
    &binary_i8::SUB,
    &binary_i8_fast::SUB,
    &binary::MUL,
    &binary_i8::MUL,
    &binary_i8_fast::MUL,
    &binary::DIV,
    &clamp::KERNEL,
    &unary::ABS,
    &unary::SQRT,
    &unary::LOG,
    &unary::EXP,
    &unary::NEG,
    &unary::TANH,
    &unary::SIGMOID,
    &reduce::MEAN,
    &reduce_i8::MEAN,
    &reduce::SUM,
    &reduce::MAX,
    &reduce::MIN,
    &softmax::KERNEL,
    &softmax_i8::KERNEL,
    &arg_max::KERNEL,
    &tree_ensemble::RANKS_F32,
    &tree_ensemble::RANKS_STEPS,
    &tree_ensemble::DIRECT_F32,
    &tree_ensemble::DIRECT_STEPS,
    &tree_ensemble::SHORT_F32,
    &tree_ensemble::SHORT_STEPS,
    &mat_mul::KERNEL,
    &mat_mul_i8::KERNEL,
    &strided_copy::KERNEL,
    &concat::KERNEL,
    &reshape::KERNEL,
    &conv_2d::F32,
    &conv_2d::I8,
    &conv_2d::I8_TO_F32,
    &packed::conv_2d::KERNEL,
    &packed::depthwise::KERNEL,
    &packed::conv_2d::EVEN,
    &packed::conv_2d::ODD,
    &packed::depthwise::EVEN,
    &packed::depthwise::ODD,
    &conv_2d::TRANSPOSE_F32,
    &conv_2d::TRANSPOSE_I8,
    &conv_2d::TRANSPOSE_I8_TO_F32,
    &pool_2d::MAX_F32,
    &pool_2d::MAX_I8,
    &pool_2d::AVERAGE_F32,
    &pool_2d::AVERAGE_I8,
    &pad::F32,
    &pad::I8,
    &lookup::KERNEL,
    &activation::LEAKY_RELU,
    &activation::HARD_SIGMOID,
    &activation::HARD_SWISH,
    &layer_normalization::KERNEL,
    &layer_normalization_i8::KERNEL,
    &activation::ERF,
    &lstm::F32,
    &lstm::F32_BY_I8,
    &lstm::I8,
    &gru::F32,
    &gru::F32_BY_I8,
    &gru::I8,
    &svm::KERNEL,
    &svm::DECISIONS,
    &svm::VOTES,
    &svm::PROBABILITIES,
    &history::KERNEL,
    &binary::MAXIMUM,
    &binary::MINIMUM,
];

/// The kernels this engine has, in code order.
pub fn supported_kernels() -> impl Iterator<Item = KernelId> {
    KernelSet::all().ids()
}
