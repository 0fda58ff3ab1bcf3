//! Runs one plan between marks, so that an emulator can count what the engine executes. `dunlin bench` makes what this
//! is built around, builds it and counts; `src/harness.rs` says what runs.
//!
//! The engine has the kernels that the plan uses and no others. Profile and options are those of the firmware.
#![no_std]
#![no_main]

#[path = "../harness.rs"]
mod harness;
#[path = "../port.rs"]
mod port;

use cortex_m_rt::entry;
use dunlin_engine::{Kernel, KernelSet, Plan};
use harness::Subject;

include!(concat!(env!("DUNLIN_BENCH"), "/kernels.rs"));

static KERNELS: [&Kernel; KERNEL_CODES.len()] = KernelSet::select(KERNEL_CODES);
static SET: KernelSet = KernelSet::new(&KERNELS);

/// The engine.
struct Engine;

impl Subject for Engine {
    type Loaded = Plan<'static>;

    fn load(plan: &'static [u8]) -> Option<Plan<'static>> {
        Plan::load_with(plan, &SET).ok()
    }

    fn run(plan: &Plan<'static>, arena: &mut [u8]) -> Option<()> {
        plan.run(arena).ok()
    }
}

#[entry]
fn main() -> ! {
    harness::run::<Engine>()
}
