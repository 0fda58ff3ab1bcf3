//! Holds the assembly to its definition, and runs plans, on the emulated core. Tests on the workstation build it with
//! `cargo xtask check` and read what it prints.
//!
//! Where the emulator's folder has no `plans.bin`, the loops in [`LOOPS`] run [`CASES`] cases each, the same as in the
//! tests of `dunlin-kernels`. A line for each loop: `equal NAME CASES BYTES`, the bytes being those that were written, or
//! `differs` and where.
//!
//! `plans.bin` holds plans one after another: bytes of the plan and number of inputs (little-endian words), the plan,
//! the inputs. A line for each input: `output PLAN INPUT HASH` with [`hash`] over the bytes of all outputs; or `refused PLAN`.
#![no_std]
#![no_main]

#[path = "../../../../crates/kernels/tests/support/mod.rs"]
#[allow(dead_code)]
mod support;

use core::panic::PanicInfo;
use cortex_m_rt::entry;
use cortex_m_semihosting::{debug, hprintln, nr, syscall};
use dunlin_engine::Plan;
use support::{Aligned, LOOPS, Memory, check};

const CASES: u32 = 3000;
const PLAN_BYTES: usize = 96 * 1024;
const ARENA_BYTES: usize = 64 * 1024;

#[entry]
fn main() -> ! {
    let done = match File::open("plans.bin\0") {
        Some(file) => run_plans(&file),
        None => check_loops(),
    };
    debug::exit(if done.is_some() {
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

fn run_plans(file: &File) -> Option<()> {
    let memory = cortex_m::singleton!(: Aligned<PLAN_BYTES> = Aligned([0; PLAN_BYTES]))?;
    let arena = cortex_m::singleton!(: Aligned<ARENA_BYTES> = Aligned([0; ARENA_BYTES]))?;
    for index in 0.. {
        let mut counts = [0; 8];
        if file.read(&mut counts).is_none() {
            break;
        }
        let [bytes, inputs] = [0, 4].map(|at| {
            let word = counts.get(at..)?.first_chunk()?;
            Some(u32::from_le_bytes(*word))
        });
        let plan = memory.0.get_mut(..bytes? as usize)?;
        file.read(plan)?;
        match Plan::load(plan) {
            Ok(plan) => run(index, &plan, inputs?, file, &mut arena.0)?,
            Err(error) => {
                hprintln!("refused {} {:?}", index, error);
                return None;
            }
        }
    }
    Some(())
}

/// Runs a plan on every input of the file.
fn run(index: u32, plan: &Plan<'_>, inputs: u32, file: &File, arena: &mut [u8]) -> Option<()> {
    let arena = arena.get_mut(..plan.requirements().arena_bytes)?;
    for input in 0..inputs {
        arena.fill(0xA5);
        file.read(arena.get_mut(plan.input().range())?)?;
        plan.run(arena).ok()?;
        let outputs = plan
            .outputs()
            .filter_map(|output| arena.get(output.range()));
        let hash = outputs
            .flatten()
            .fold(HASH_START, |hash, byte| self::hash(hash, *byte));
        hprintln!("output {} {} {:08x}", index, input, hash);
    }
    Some(())
}

const HASH_START: u32 = 0x811C_9DC5;

/// FNV-1a.
fn hash(hash: u32, byte: u8) -> u32 {
    (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
}

/// A file in the emulator's folder.
struct File(usize);

impl File {
    /// The name ends with a zero byte; none where there is no such file.
    fn open(name: &str) -> Option<File> {
        // SAFETY: the name outlives the call, and its length is without the zero.
        let file = unsafe { syscall!(OPEN, name.as_ptr(), nr::open::R_BINARY, name.len() - 1) };
        (file != usize::MAX).then_some(File(file))
    }

    /// Fills all of `bytes`; none where the file ends before.
    fn read(&self, bytes: &mut [u8]) -> Option<()> {
        // SAFETY: the emulator writes into `bytes` and not behind.
        let missing = unsafe { syscall!(READ, self.0, bytes.as_mut_ptr(), bytes.len()) };
        (missing == 0).then_some(())
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    hprintln!("{}", info);
    debug::exit(debug::EXIT_FAILURE);
    loop {
        cortex_m::asm::wfi();
    }
}
