//! The bench image without the engine: what it takes of flash is the harness, the plan and the inputs.
#![no_std]
#![no_main]

#[path = "../harness.rs"]
mod harness;
#[path = "../port.rs"]
mod port;

use core::hint::black_box;
use cortex_m_rt::entry;
use harness::Subject;

/// Loads nothing and runs nothing.
struct Nothing;

impl Subject for Nothing {
    type Loaded = &'static [u8];

    fn load(plan: &'static [u8]) -> &'static [u8] {
        black_box(plan)
    }

    fn run(plan: &&'static [u8], arena: &mut [u8]) -> Option<()> {
        black_box(plan);
        black_box(arena);
        Some(())
    }
}

#[entry]
fn main() -> ! {
    harness::run::<Nothing>()
}
