//! `concat`: joins tensors along one axis.
//!
//! Inputs, at least one: the same element type, in the arena or constant. Output apart from all
//! of them. Parameter: `outer`, the product of the dimensions before the axis; every tensor is
//! `outer` rows, and an output row is the inputs' rows one after another. One step per element.

use super::Kernel;
use crate::KernelId;
use crate::bytes::{copy, pieces, pieces_mut};
use crate::error::OpFault;
use crate::format::OpCode;
use crate::op::{Op, Operand, check, split};

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    id: KernelId::new(OpCode::Concat as u16, 1, 0),
    check: check_op,
    run,
};

fn check_op(op: &Op) -> Result<u64, OpFault> {
    check(op.record().inputs > 0, OpFault::Operands)?;
    op.has(op.record().inputs, 1)?;
    let output = op.need_output(0)?;
    let outer = op.parameters().need_u32(0)? as usize;
    check(outer > 0, OpFault::Parameters)?;
    let mut elements = 0_usize;
    for position in 0..usize::from(op.record().inputs) {
        let input = op.need_input(position)?;
        input.is(output.dtype())?;
        check(input.info.elements().is_multiple_of(outer), OpFault::Shape)?;
        elements = elements.saturating_add(input.info.elements());
    }
    check(elements == output.elements(), OpFault::Shape)?;
    op.output_is_apart()?;
    Ok(elements as u64)
}

fn run(op: &Op, arena: &mut [u8]) -> Option<()> {
    let (output, outer) = (op.output(0)?, op.parameters().u32(0)? as usize);
    let row_bytes = output.bytes().checked_div(outer)?;
    let mut start = 0_usize;
    for position in 0..usize::from(op.record().inputs) {
        let input = op.input(position)?;
        let part = input.info.bytes().checked_div(outer)?;
        let (source, rows) = source_and_target(arena, &input, output.range())?;
        for (from, row) in pieces(source, part).zip(pieces_mut(rows, row_bytes)) {
            copy(from, row.get_mut(start..start.checked_add(part)?)?);
        }
        start += part;
    }
    Some(())
}

/// The bytes of an operand that is apart from a range of the arena, and that range to be written.
pub(super) fn source_and_target<'b>(
    arena: &'b mut [u8],
    input: &Operand<'b>,
    output: core::ops::Range<usize>,
) -> Option<(&'b [u8], &'b mut [u8])> {
    match input.constant {
        Some(bytes) => Some((bytes, arena.get_mut(output)?)),
        None => split(arena, input.info.range(), output),
    }
}
