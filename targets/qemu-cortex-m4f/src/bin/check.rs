//! Holds the assembly to its definition on the emulated core. A test on the workstation builds it with
//! `cargo xtask check` and reads what it prints.
//!
//! The loops in [`LOOPS`] run [`CASES`] cases each, the same as in the tests of `dunlin-kernels`. A line for each loop:
//! `equal NAME CASES BYTES`, the bytes being those that were written, or `differs` and where.
#![no_std]
#![no_main]

#[path = "../../../../crates/kernels/tests/support/mod.rs"]
#[allow(dead_code)]
mod support;

use core::panic::PanicInfo;
use cortex_m_rt::entry;
use cortex_m_semihosting::{debug, hprintln};
use support::{LOOPS, Memory, check};

const CASES: u32 = 3000;

#[entry]
fn main() -> ! {
    debug::exit(if check_loops().is_some() {
        debug::EXIT_SUCCESS
    } else {
        debug::EXIT_FAILURE
    });
    loop {
        cortex_m::asm::wfi();
    }
}

fn check_loops() -> Option<()> {
    let memory = cortex_m::singleton!(: Memory = Memory::new())?;
    for this in LOOPS {
        let mut written = 0;
        let differs = (0..CASES).find_map(|case| {
            check(this, case, memory)
                .map(|bytes| written += bytes)
                .err()
        });
        match differs {
            None => hprintln!("equal {} {} {}", this.0, CASES, written),
            Some(difference) => hprintln!("differs {:?}", difference),
        }
    }
    Some(())
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    hprintln!("{}", info);
    debug::exit(debug::EXIT_FAILURE);
    loop {
        cortex_m::asm::wfi();
    }
}
