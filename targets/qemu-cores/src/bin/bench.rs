//! Runs one plan between marks, so that an emulator can count what the engine executes. `dunlin bench` makes what this
//! is built around, builds it and counts; `src/harness.rs` says what runs.
//!
//! The engine has the kernels that the plan uses and no others. Profile and options are those of the firmware.
#![no_std]
#![no_main]

#[path = "../../../qemu-cortex-m4f/src/harness.rs"]
mod harness;

use dunlin_engine::{Kernel, KernelSet, LoadError, Plan};
use dunlin_qemu_cores as port;
use harness::Subject;

include!(concat!(env!("DUNLIN_BENCH"), "/kernels.rs"));

static KERNELS: [&Kernel; KERNEL_CODES.len()] = KernelSet::select(KERNEL_CODES);
static SET: KernelSet = KernelSet::new(&KERNELS);

/// The engine.
struct Engine;

impl Subject for Engine {
    type Loaded = Result<Plan<'static>, LoadError>;

    fn load(plan: &'static [u8]) -> Self::Loaded {
        Plan::load_with(plan, &SET)
    }

    fn run(plan: &Self::Loaded, arena: &mut [u8]) -> Option<()> {
        plan.as_ref().ok()?.run(arena).ok()
    }
}

/// Called once the stack is there.
#[unsafe(no_mangle)]
extern "C" fn bench_main() -> ! {
    harness::run::<Engine>()
}
