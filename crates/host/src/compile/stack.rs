//! Stack a plan needs on the device.
//!
//! One bound serves every plan: kernels keep no buffers on the stack and nothing recurses, so the deepest call is
//! the same handful of frames whatever the model. It is derived from the frame sizes that the compiler emits
//! (`-Z emit-stack-sizes`, `thumbv7em-none-eabihf`, optimised for size, one unit, link-time optimisation), summed
//! along the deepest path, and rounded up: loading takes 1,128 bytes (`Plan::load`, the check of an op with two
//! operands, operand lookup), running takes 928 (`Plan::run`, an op with broadcast, operand lookup). Firmware can
//! paint its stack and compare.

/// Bytes of stack below `Plan::load` and `Plan::run`, for any kernel.
const STACK_BYTES: usize = 1280;

/// Stack of loading and running a plan, in bytes.
pub(crate) fn stack_bytes() -> usize {
    STACK_BYTES
}
