//! What kernels over single elements share.

use crate::bytes::f32s;
use crate::error::OpFault;
use crate::format::DType;
use crate::op::{Op, check, split};

/// One `f32` input in the arena, one `f32` output of the same shape, which may replace it.
pub(super) fn check_unary(op: &Op) -> Result<u64, OpFault> {
    let (input, output) = (op.need_input(0)?, op.need_output(0)?);
    input.in_arena(DType::F32)?;
    check(output.dtype == DType::F32, OpFault::Type)?;
    check(input.info.dims == output.dims, OpFault::Shape)?;
    op.output_may_replace_an_input()?;
    Ok(output.elements() as u64)
}

/// Writes `f` of every element of input 0 to output 0.
#[inline(always)]
pub(super) fn map(op: &Op, arena: &mut [u8], f: impl Fn(f32) -> f32) -> Option<()> {
    let (input, output) = (op.input(0)?.info.range(), op.output(0)?.range());
    if input == output {
        for element in arena.get_mut(output)?.as_chunks_mut().0 {
            *element = f(f32::from_le_bytes(*element)).to_le_bytes();
        }
        return Some(());
    }
    let (input, output) = split(arena, input, output)?;
    for (x, y) in f32s(input).zip(output.as_chunks_mut().0) {
        *y = f(x).to_le_bytes();
    }
    Some(())
}
