//! The kernels, one file per op. A file holds the op's load check and its run.
//!
//! To add an op: give it a code in [`OpCode`](crate::format::OpCode), write a file like
//! `clamp` with a `KERNEL`, and list it in `find`.

mod arg_max;
mod clamp;
mod elementwise;
mod fully_connected;

use crate::KernelId;
use crate::error::OpFault;
use crate::op::Op;

/// A kernel: what a plan may ask for.
pub(crate) struct Kernel {
    pub id: KernelId,
    /// Checks an op's operands and parameters; gives an upper bound of its elementary steps.
    pub check: fn(&Op) -> Result<u64, OpFault>,
    /// Runs a checked op. None only for an op that `check` would have refused.
    pub run: fn(&Op, &mut [u8]) -> Option<()>,
}

/// Every kernel of this engine, in code order.
static KERNELS: &[&Kernel] = &[&fully_connected::F32, &clamp::KERNEL, &arg_max::KERNEL];

pub(crate) fn find(id: KernelId) -> Option<&'static Kernel> {
    KERNELS.iter().copied().find(|kernel| kernel.id == id)
}

/// The kernels this engine has, in code order.
pub fn supported_kernels() -> impl Iterator<Item = KernelId> {
    KERNELS.iter().map(|kernel| kernel.id)
}
