//! `reshape`: the same bytes under another shape.
//!
//! Input 0 in the arena; output of the same element type, at exactly the same place. No
//! parameters. Nothing is executed: the op gives later ops a tensor of the shape they need.

use super::Kernel;
use crate::KernelId;
use crate::error::OpFault;
use crate::format::OpCode;
use crate::op::{Kind, Op, Signature, check};

pub(in crate::kernels) static KERNEL: Kernel = Kernel {
    id: KernelId::new(OpCode::Reshape as u16, 1, 0),
    check: check_op,
    run: |_, _| Some(()),
};

fn check_op(op: &Op) -> Result<u64, OpFault> {
    let kind = Kind::placed(op.at(1).dtype());
    op.is(Signature::new(&[kind], &[kind], &[], 0))?;
    check(op.at(0).range() == op.at(1).range(), OpFault::Aliasing)?;
    Ok(0)
}
