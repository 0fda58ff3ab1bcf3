//! Runs one plan between marks, so that an emulator can count what the engine executes. `dunlin bench` makes what this
//! is built around, builds it and counts; `src/harness.rs` says what runs.
//!
//! The engine has the kernels that the plan uses and no others. Profile and options are those of the firmware.
#![no_std]
#![no_main]

#[path = "../engine.rs"]
mod engine;
#[path = "../harness.rs"]
mod harness;
#[path = "../port.rs"]
mod port;

use cortex_m_rt::entry;

#[entry]
fn main() -> ! {
    harness::run::<engine::Engine>()
}
