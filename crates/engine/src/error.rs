//! Why a plan is refused, and why a run cannot start.

use crate::KernelId;

/// Why [`Plan::load`](crate::Plan::load) refuses bytes. Nothing of a refused plan may be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoadError {
    /// The first eight bytes are not [`MAGIC`](crate::format::MAGIC).
    NotAPlan,
    /// The plan does not start at a multiple of 4, which kernels of this processor need.
    Unaligned,
    /// The bytes end before the plan does; both in bytes.
    Truncated {
        /// Bytes the plan needs.
        needed: u32,
        /// Bytes given.
        got: u32,
    },
    /// The plan is written in a format this engine does not read.
    UnsupportedFormat {
        /// The format number found.
        got: u16,
    },
    /// A number in the header is over its `MAX_…` limit or not what format 1 allows.
    Header {
        /// Byte offset of the field in the plan.
        position: u32,
    },
    /// A tensor's type, shape, layout, offset or quantisation is not allowed.
    Tensor {
        /// Index in the tensor table.
        tensor: u16,
    },
    /// An input or output entry names a tensor that cannot be one.
    Output {
        /// Index in the input and output table.
        entry: u16,
    },
    /// An op's operands, parameters, shapes, types or aliasing do not fit its kernel.
    Op {
        /// Index in the op table.
        op: u16,
        /// What is wrong with it.
        fault: OpFault,
    },
    /// An op needs a kernel that this engine does not have.
    MissingKernel(KernelId),
    /// The kernel list is not the sorted list of the kernels the ops use.
    KernelList,
    /// One run would take more than [`MAX_WORK`](crate::format::MAX_WORK) elementary steps.
    TooMuchWork,
}

/// What is wrong with one op of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpFault {
    /// Operand list out of bounds, or a wrong number of inputs, outputs or scratch tensors.
    Operands,
    /// An input is used before an op writes it, or an output is not the next tensor in order.
    Order,
    /// An operand has an element type, storage or layout the kernel does not take.
    Type,
    /// Operand shapes do not agree.
    Shape,
    /// The parameter block is out of bounds, of the wrong length, or a value is out of range.
    Parameters,
    /// An output overlaps an operand in a way the kernel does not allow.
    Aliasing,
    /// Constant data of the op is inconsistent (for example a tree that leaves its node table).
    Constant,
}

/// Why [`Plan::run`](crate::Plan::run) did not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunError {
    /// The arena is smaller than the plan needs; both in bytes.
    ArenaTooSmall {
        /// Bytes needed.
        needed: usize,
        /// Bytes given.
        got: usize,
    },
    /// The arena does not start at a multiple of 4, which kernels of this processor need.
    ArenaUnaligned,
    /// A kernel met something the load check excludes. No loaded plan reaches this; it stands
    /// where other code would panic.
    Unchecked {
        /// Index in the op table.
        op: u16,
    },
}

impl core::fmt::Display for LoadError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NotAPlan => write!(f, "not a plan"),
            Self::Unaligned => write!(f, "plan does not start at a multiple of 4"),
            Self::Truncated { needed, got } => {
                write!(f, "plan of {needed} bytes cut off at {got}")
            }
            Self::UnsupportedFormat { got } => write!(f, "plan format {got} is not supported"),
            Self::Header { position } => write!(f, "header field at byte {position} is invalid"),
            Self::Tensor { tensor } => write!(f, "tensor {tensor} is invalid"),
            Self::Output { entry } => write!(f, "input or output entry {entry} is invalid"),
            Self::Op { op, fault } => write!(f, "op {op} is invalid: {fault:?}"),
            Self::MissingKernel(kernel) => write!(f, "kernel {kernel} is missing"),
            Self::KernelList => write!(f, "kernel list does not match the ops"),
            Self::TooMuchWork => write!(f, "one run would take too many steps"),
        }
    }
}

impl core::fmt::Display for RunError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::ArenaTooSmall { needed, got } => {
                write!(
                    f,
                    "arena of {got} bytes is smaller than the {needed} needed"
                )
            }
            Self::ArenaUnaligned => write!(f, "arena does not start at a multiple of 4"),
            Self::Unchecked { op } => write!(f, "op {op} met what the load check excludes"),
        }
    }
}

impl core::error::Error for LoadError {}
impl core::error::Error for RunError {}
