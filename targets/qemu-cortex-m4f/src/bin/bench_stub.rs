//! The bench image without the engine: what it takes of flash is the harness, the plan and the inputs.
#![no_std]
#![no_main]

#[path = "../harness.rs"]
mod harness;
#[path = "../nothing.rs"]
mod nothing;
#[path = "../port.rs"]
mod port;

use cortex_m_rt::entry;

#[entry]
fn main() -> ! {
    harness::run::<nothing::Nothing>()
}
