//! `arg_max`: index of the largest element of the last axis, the first of equals.
//!
//! Input 0: `f32 [rows, n]` in the arena. Input 1, optional: `i32 [n]` constant, the label of
//! each index. Output: `i32`, one element per row, apart from the input. No parameters. A NaN is
//! never larger than what came before it. One step per element.

use super::Kernel;
use crate::KernelId;
use crate::bytes::{array, pieces};
use crate::error::OpFault;
use crate::format::{DType, OpCode};
use crate::op::{Op, check, split};

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    id: KernelId::new(OpCode::ArgMax as u16, 1, 0),
    check: check_op,
    run,
};

fn check_op(op: &Op) -> Result<u64, OpFault> {
    check(matches!(op.record().inputs, 1 | 2), OpFault::Operands)?;
    op.has(op.record().inputs, 0)?;
    let (x, y) = (op.need_input(0)?, op.need_output(0)?);
    x.in_arena(DType::F32)?;
    check(y.dtype() == DType::I32, OpFault::Type)?;
    check(y.elements() == x.info.rows(), OpFault::Shape)?;
    if op.record().inputs == 2 {
        let labels = op.need_input(1)?;
        labels.is_constant(DType::I32)?;
        labels.has_elements(x.info.columns())?;
    }
    op.output_is_apart()?;
    Ok(x.info.elements() as u64)
}

fn run(op: &Op, arena: &mut [u8]) -> Option<()> {
    let (x, y) = (op.input(0)?.info, op.output(0)?);
    let labels = op.input(1).and_then(|labels| labels.constant);
    let (input, output) = split(arena, x.range(), y.range())?;
    let rows = pieces(input, x.columns().checked_mul(4)?);
    for (row, result) in rows.zip(output.as_chunks_mut().0) {
        let index = first_largest(row);
        *result = match labels {
            Some(labels) => array(labels, index.checked_mul(4)?)?,
            None => (index as i32).to_le_bytes(),
        };
    }
    Some(())
}

pub(super) fn first_largest(row: &[u8]) -> usize {
    let values = row.as_chunks().0;
    let value = |index: usize| values.get(index).copied().map(f32::from_le_bytes);
    let (mut best, mut largest) = (0, value(0).unwrap_or(0.0));
    for index in 1..values.len() {
        let value = value(index).unwrap_or(largest);
        if value > largest {
            (best, largest) = (index, value);
        }
    }
    best
}
