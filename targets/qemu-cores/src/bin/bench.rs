//! Runs one plan between marks, so that an emulator can count what the engine executes. `dunlin bench` makes what this
//! is built around, builds it and counts; `src/harness.rs` says what runs.
//!
//! The engine has the kernels that the plan uses and no others. Profile and options are those of the firmware.
#![no_std]
#![no_main]

#[path = "../../../qemu-cortex-m4f/src/engine.rs"]
mod engine;
#[path = "../../../qemu-cortex-m4f/src/harness.rs"]
mod harness;

use dunlin_qemu_cores as port;

/// Called once the stack is there.
#[unsafe(no_mangle)]
extern "C" fn bench_main() -> ! {
    harness::run::<engine::Engine>()
}
