//! What kernels over single elements share.

use crate::bytes::f32s;
use crate::error::OpFault;
use crate::format::DType;
use crate::op::{Op, check, split};

/// One `f32` input in the arena, one `f32` output of the same shape, which may replace it.
pub(super) fn check_unary(op: &Op) -> Result<u64, OpFault> {
    check_unary_of(op, DType::F32)
}

/// One input in the arena, one output of the same element type and shape, which may replace it.
pub(super) fn check_unary_of(op: &Op, element: DType) -> Result<u64, OpFault> {
    let (input, output) = (op.need_input(0)?, op.need_output(0)?);
    input.in_arena(element)?;
    check(output.dtype() == element, OpFault::Type)?;
    check(input.info.has_shape(output.dims()), OpFault::Shape)?;
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

/// Calls `f` with the number and the position of every element of a tensor, in order.
#[inline(always)]
pub(super) fn for_each_index(
    dims: [u32; 4],
    mut f: impl FnMut(usize, [usize; 4]) -> Option<()>,
) -> Option<()> {
    let [n0, n1, n2, n3] = dims.map(|d| d as usize);
    let mut element = 0;
    for i0 in 0..n0 {
        for i1 in 0..n1 {
            for i2 in 0..n2 {
                for i3 in 0..n3 {
                    f(element, [i0, i1, i2, i3])?;
                    element += 1;
                }
            }
        }
    }
    Some(())
}

/// The element number at a position, given the strides. Positions come from a checked shape, so
/// the sum stays below [`MAX_ELEMENTS`](crate::format::MAX_ELEMENTS).
#[inline(always)]
pub(super) fn offset(index: [usize; 4], strides: [usize; 4]) -> usize {
    index
        .iter()
        .zip(strides)
        .fold(0, |sum, (i, stride)| sum + i * stride)
}
