//! The kernels. `reference` defines every op in portable code, one file per op; a folder per
//! architecture may stand beside it with variants that give the same bytes.
//!
//! To add an op: give it a code in [`OpCode`](crate::format::OpCode), write a file like
//! `reference/clamp.rs` with a `KERNEL`, and list it in `KERNELS`.

mod reference;

use crate::KernelId;
use crate::error::OpFault;
use crate::format::OpCode;
use crate::op::Op;
use reference::{
    arg_max, binary, clamp, concat, fully_connected, mat_mul, quantize_linear, reduce, reshape,
    scale, softmax, strided_copy, tree_ensemble, unary,
};

/// A kernel: what a plan may ask for.
pub(crate) struct Kernel {
    pub id: KernelId,
    /// Checks an op's operands and parameters; gives an upper bound of its elementary steps.
    pub check: fn(&Op) -> Result<u64, OpFault>,
    /// Runs a checked op. None only for an op that `check` would have refused.
    pub run: fn(&Op, &mut [u8]) -> Option<()>,
}

/// Every kernel of this engine: the variants of op 1, of op 2, and so on.
static KERNELS: [&[&Kernel]; OpCode::ALL.len()] = [
    &[
        &fully_connected::F32,
        &fully_connected::I8,
        &fully_connected::I8_TO_F32,
    ],
    &[&quantize_linear::QUANTIZE],
    &[&quantize_linear::DEQUANTIZE],
    &[&scale::KERNEL],
    &[&binary::ADD],
    &[&binary::SUB],
    &[&binary::MUL],
    &[&binary::DIV],
    &[&clamp::KERNEL],
    &[&unary::ABS],
    &[&unary::SQRT],
    &[&unary::LOG],
    &[&unary::EXP],
    &[&unary::NEG],
    &[&unary::TANH],
    &[&unary::SIGMOID],
    &[&reduce::MEAN],
    &[&reduce::SUM],
    &[&reduce::MAX],
    &[&reduce::MIN],
    &[&softmax::KERNEL],
    &[&arg_max::KERNEL],
    &[&tree_ensemble::F32_LEAVES, &tree_ensemble::U8_LEAVES],
    &[&mat_mul::KERNEL],
    &[&strided_copy::KERNEL],
    &[&concat::KERNEL],
    &[&reshape::KERNEL],
];

pub(crate) fn find(id: KernelId) -> Option<&'static Kernel> {
    let variants = KERNELS.get(usize::from(id.opcode()).checked_sub(1)?)?;
    variants.iter().copied().find(|kernel| kernel.id == id)
}

/// The kernels this engine has, in code order.
pub fn supported_kernels() -> impl Iterator<Item = KernelId> {
    KERNELS
        .iter()
        .flat_map(|variants| variants.iter())
        .map(|kernel| kernel.id)
}
