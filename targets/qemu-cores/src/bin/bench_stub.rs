//! The bench image without the engine: what it takes of flash is the harness, the plan and the inputs.
#![no_std]
#![no_main]

#[path = "../../../qemu-cortex-m4f/src/harness.rs"]
mod harness;
#[path = "../../../qemu-cortex-m4f/src/nothing.rs"]
mod nothing;

use dunlin_qemu_cores as port;

/// Called once the stack is there.
#[unsafe(no_mangle)]
extern "C" fn bench_main() -> ! {
    harness::run::<nothing::Nothing>()
}
