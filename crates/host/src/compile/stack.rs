//! Stack a plan needs on the device.
//!
//! The bound is the same for every plan: kernels hold no buffers on the stack, so the deepest
//! call is a handful of frames whatever the model. The number is measured, not derived: painted
//! stack on the emulated Cortex-M4F, rounded up; the device crate's tests hold firmware to it.

use dunlin_engine::KernelId;

/// Bytes of stack below `Plan::run`, for any kernel.
const KERNEL_STACK_BYTES: usize = 768;

/// Stack of a run with these kernels, in bytes.
pub(crate) fn stack_bytes(_kernels: &[KernelId]) -> usize {
    KERNEL_STACK_BYTES
}
