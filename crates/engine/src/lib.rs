//! Runs a checked plan in a caller's arena, the same bytes on every machine.
//!
//! A plan is a model compiled to data: ops in order, weights, and where every tensor lies in one
//! block of memory. The engine reads it in place (from flash, a file, a buffer), checks it once
//! and then runs it as often as wanted. `FORMAT.md` describes the bytes.
//!
//! Runs on every target Rust has a `core` for, without allocation and without an operating
//! system; the workstation runs the same plans through this same crate.
//!
//! Costs: the arena and the stack a plan states ([`Plan::requirements`]), and its own steps
//! ([`Plan::work`]) times a few instructions each.
//!
//! ```
//! # fn demo(plan_bytes: &[u8], sample: &[f32]) -> Result<Option<u32>, Box<dyn std::error::Error>> {
//! use dunlin_engine::Plan;
//!
//! let plan = Plan::load(plan_bytes)?;
//! let mut arena = [0_u8; 4096];
//! let input = arena.get_mut(plan.input().range()).ok_or("arena too small")?;
//! for (bytes, value) in input.chunks_exact_mut(4).zip(sample) {
//!     bytes.copy_from_slice(&value.to_le_bytes());
//! }
//! plan.run(&mut arena)?;
//! Ok(plan.label(&arena))
//! # }
//! ```
//!
//! **Architecture invariants**
//! - No allocation, no unsafe code, no recursion, no clock, no I/O, no global state.
//! - Bytes from outside reach a kernel only through [`Plan::load`]. After a load, no input and
//!   no plan leads to a panic, an access out of bounds or a run without end.
//! - Integer ops are exact (ONNX QDQ in real arithmetic, ties to even). Float ops are IEEE 754
//!   `f32` operations in a fixed order without contraction; what IEEE does not fix (`exp`,
//!   `log`, `tanh`) comes from the `libm` crate on every target, the workstation included.
//! - There is no second interpreter: what the host verifies is what the device runs.
//! - The engine does not check integrity or origin; the bundle does.
#![no_std]
#![forbid(unsafe_code)]

mod bytes;
mod error;
mod exact;
pub mod format;
mod kernel_id;
mod kernels;
mod load;
mod op;
mod plan;
pub mod record;
mod tensor;

pub use error::{LoadError, OpFault, RunError};
pub use kernel_id::KernelId;
pub use kernels::packed::Walk;
pub use kernels::{Kernel, KernelSet, supported_kernels};
pub use plan::{Kernels, Plan, Requirements};
pub use tensor::TensorInfo;
