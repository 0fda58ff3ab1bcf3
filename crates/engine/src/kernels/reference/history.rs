//! `history`: the newest elements of a stream, as many as a window has.
//!
//! Input 0 in the arena: the new elements. Output: the same element type, no fewer elements, apart
//! from the input, in the bytes that are kept from run to run. The output moves towards its start
//! by the input's length and the input follows at its end, so its rows are in the order in which
//! they came. What has not come yet is bytes of 0. No parameters. One step per element of the
//! output.

use super::Kernel;
use crate::KernelId;
use crate::bytes::copy;
use crate::error::OpFault;
use crate::format::OpCode;
use crate::op::{Op, check, split};

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    id: KernelId::new(OpCode::History as u16, 1, 0),
    check: check_op,
    run,
};

fn check_op(op: &Op) -> Result<u64, OpFault> {
    op.has(1, 0)?;
    let (x, y) = (op.need_input(0)?, op.need_output(0)?);
    x.in_arena(y.dtype())?;
    check(y.elements() >= x.info.elements(), OpFault::Shape)?;
    check(op.is_kept(y), OpFault::Aliasing)?;
    op.output_is_apart()?;
    Ok(y.elements() as u64)
}

fn run(op: &Op, arena: &mut [u8]) -> Option<()> {
    let (x, y) = (op.input(0)?.info.range(), op.output(0)?.range());
    let window = arena.get_mut(y.clone())?;
    let older = window.len().checked_sub(x.len())?;
    window.copy_within(x.len().., 0);
    let (new, window) = split(arena, x, y)?;
    copy(new, window.get_mut(older..)?);
    Some(())
}
