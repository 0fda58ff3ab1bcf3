//! Stack a plan needs on the device.
//!
//! One bound serves every plan: kernels keep no buffers on the stack and nothing recurses, so the deepest call is the
//! same handful of frames whatever the model. It is what the emulated board used at most, its stack painted before and
//! looked at after, loading and running the reference networks (1,416 bytes, in loading: `Plan::load`, the check of an
//! op, its geometry), rounded up. `dunlin bench` measures a plan's own.

/// Bytes of stack below `Plan::load` and `Plan::run`, for any kernel.
const STACK_BYTES: usize = 1536;

/// Stack of loading and running a plan, in bytes.
pub(crate) fn stack_bytes() -> usize {
    STACK_BYTES
}
