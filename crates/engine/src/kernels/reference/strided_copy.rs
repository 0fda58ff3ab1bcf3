//! `strided_copy`: slices, transposes, reversals and repetitions of a tensor.
//!
//! Input 0 in the arena, output apart from it, of the same element type. Output element
//! `[i0, i1, i2, i3]` is input element `base + i0·s0 + i1·s1 + i2·s2 + i3·s3`, counted row-major.
//! Parameters: base `u32`, s0 to s3 `i32`. One step per output element.

use super::{Kernel, elementwise};
use crate::KernelId;
use crate::bytes::copy;
use crate::error::OpFault;
use crate::format::OpCode;
use crate::op::{Op, check, split};

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    id: KernelId::new(OpCode::StridedCopy as u16, 1, 0),
    check: check_op,
    run,
};

/// Base and strides in elements.
fn view(op: &Op) -> Option<(i64, [i64; 4])> {
    let stride = |word| op.parameters().i32(word).map(i64::from);
    Some((
        i64::from(op.parameters().u32(0)?),
        [stride(1)?, stride(2)?, stride(3)?, stride(4)?],
    ))
}

fn check_op(op: &Op) -> Result<u64, OpFault> {
    op.has(1, 5)?;
    let (x, y) = (op.need_input(0)?, op.need_output(0)?);
    x.in_arena(y.dtype())?;
    let (base, strides) = view(op).ok_or(OpFault::Parameters)?;
    let (mut first, mut last) = (base, base);
    for (dimension, stride) in y.dims().iter().zip(strides) {
        let reach = i64::from(dimension.saturating_sub(1)).saturating_mul(stride);
        first = first.saturating_add(reach.min(0));
        last = last.saturating_add(reach.max(0));
    }
    check(
        first >= 0 && last < x.info.elements() as i64,
        OpFault::Parameters,
    )?;
    op.output_is_apart()?;
    Ok(y.elements() as u64)
}

fn run(op: &Op, arena: &mut [u8]) -> Option<()> {
    let (x, y) = (op.input(0)?.info, op.output(0)?);
    let (base, strides) = view(op)?;
    let (input, output) = split(arena, x.range(), y.range())?;
    let size = y.dtype().bytes();
    elementwise::for_each_index(y.dims(), |element, index| {
        let steps = index
            .iter()
            .zip(strides)
            .fold(0, |sum, (&i, stride)| sum + i as i64 * stride);
        let from = usize::try_from(base + steps).ok()?.checked_mul(size)?;
        let source = input.get(from..from.checked_add(size)?)?;
        let to = element.checked_mul(size)?;
        copy(source, output.get_mut(to..to.checked_add(size)?)?);
        Some(())
    })
}
