//! `softmax`: exponentials over the last axis, divided by their sum.
//!
//! Input 0: `f32 [rows, n]` in the arena. Output: the same shape, may replace the input. No
//! parameters. Per row: `m` is the largest element, `e_i = exp(x_i - m)`, the sum runs from
//! element 0 upwards, `y_i = e_i / sum`. Four steps per element.

use super::{Kernel, elementwise};
use crate::KernelId;
use crate::bytes::{f32s, pieces_mut};
use crate::error::OpFault;
use crate::format::OpCode;
use crate::op::Op;

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    id: KernelId::new(OpCode::Softmax as u16, 1, 0),
    check,
    run,
};

fn check(op: &Op) -> Result<u64, OpFault> {
    op.has(1, 0)?;
    Ok(elementwise::check_unary(op)?.saturating_mul(4))
}

fn run(op: &Op, arena: &mut [u8]) -> Option<()> {
    let output = op.output(0)?;
    elementwise::map(op, arena, |x| x)?;
    let bytes = arena.get_mut(output.range())?;
    for row in pieces_mut(bytes, output.columns().checked_mul(4)?) {
        let largest = f32s(row).reduce(|best, x| if x > best { x } else { best })?;
        let mut sum = 0.0;
        for element in row.as_chunks_mut().0 {
            let exponential = libm::expf(f32::from_le_bytes(*element) - largest);
            sum += exponential;
            *element = exponential.to_le_bytes();
        }
        for element in row.as_chunks_mut().0 {
            *element = (f32::from_le_bytes(*element) / sum).to_le_bytes();
        }
    }
    Some(())
}
