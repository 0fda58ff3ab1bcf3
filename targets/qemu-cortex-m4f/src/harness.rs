//! What the bench image and its stub do around what is measured.
//!
//! Everything that depends on the model is in the folder `DUNLIN_BENCH` at build time, written by `dunlin bench`:
//! `plan.bin`, `inputs.bin` (one input after another), `sizes.rs` and, for the engine only, `kernels.rs`.
//!
//! Brackets between [`mark_begin`] and [`mark_end`], for an emulator that counts what runs in between:
//!
//! | bracket | work |
//! |---|---|
//! | 0 | one inference on the first input, after a warm-up |
//! | 1 | loading and checking the plan |
//! | 2, 3, … | one inference on each further input |
//!
//! Standard output of the emulator gets lines `output HEX` (the bytes of all outputs, one line for every input),
//! `run_stack HEX` and `load_stack HEX`. Stack is measured outside of the brackets, by painting what is below the caller.
//!
//! `port` is what differs between boards: output, end, stack.
//!
//! Nothing here may need `memcpy` or the like: the engine's own need of them is told by what the image has and the stub
//! has not.

use core::arch::asm;
use core::cell::UnsafeCell;
use core::hint::black_box;
use core::ops::Range;
use core::panic::PanicInfo;
use core::ptr::{read_volatile, write_volatile};

use crate::port::{self, Output, PAINTED_BYTES};

include!(concat!(env!("DUNLIN_BENCH"), "/sizes.rs"));

/// Sixteen-byte alignment, which suits every kernel.
#[repr(C, align(16))]
struct Aligned<T: ?Sized>(T);

static PLAN: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("DUNLIN_BENCH"), "/plan.bin")));
static INPUTS: &[u8] = include_bytes!(concat!(env!("DUNLIN_BENCH"), "/inputs.bin"));

/// Memory that one piece of code at a time uses.
struct Arena(UnsafeCell<Aligned<[u8; ARENA_BYTES]>>);

// SAFETY: there is one thread and no interrupt handler.
unsafe impl Sync for Arena {}

static ARENA: Arena = Arena(UnsafeCell::new(Aligned([0; ARENA_BYTES])));

const PAINT: u32 = 0xd011_d011;
const WORD_BYTES: usize = size_of::<u32>();

/// What is measured.
pub trait Subject {
    /// A plan that was loaded or refused, as it is returned: a move would be a copy.
    type Loaded;
    /// Loads a plan.
    fn load(plan: &'static [u8]) -> Self::Loaded;
    /// Runs it once.
    fn run(loaded: &Self::Loaded, arena: &mut [u8]) -> Option<()>;
}

/// Begins a bracket.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn mark_begin() {
    // SAFETY: no instruction.
    unsafe { asm!("") };
}

/// Ends a bracket.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn mark_end() {
    // SAFETY: does nothing; keeps this function from being merged with the other.
    unsafe { asm!("nop") };
}

/// Measures and ends the emulator.
pub fn run<S: Subject>() -> ! {
    let done = measure::<S>();
    port::exit(done.is_some())
}

fn measure<S: Subject>() -> Option<()> {
    // SAFETY: this function runs once, and nothing else names the arena.
    let arena = unsafe { &mut (*ARENA.0.get()).0 };
    let mut out = Output::open()?;
    let loaded = S::load(black_box(&PLAN.0));
    place(arena, 0)?;
    S::run(&loaded, arena)?;
    inference::<S>(&loaded, arena, 0, &mut out)?;
    load_once::<S>();
    for index in 1..INPUTS.len() / INPUT.len() {
        inference::<S>(&loaded, arena, index, &mut out)?;
    }
    place(arena, 0)?;
    let run_stack = stack_of(&mut || S::run(&loaded, arena).is_some())?;
    let load_stack = stack_of(&mut || {
        black_box(&S::load(black_box(&PLAN.0)));
        true
    })?;
    say_number(&mut out, b"run_stack ", run_stack)?;
    say_number(&mut out, b"load_stack ", load_stack)
}

fn load_once<S: Subject>() {
    mark_begin();
    black_box(&S::load(black_box(&PLAN.0)));
    mark_end();
}

fn inference<S: Subject>(
    loaded: &S::Loaded,
    arena: &mut [u8],
    index: usize,
    out: &mut Output,
) -> Option<()> {
    place(arena, index)?;
    bracket(|| S::run(loaded, arena))?;
    out.write_all(b"output ")?;
    for range in OUTPUTS {
        for byte in arena.get(range)? {
            say_hex(out, (*byte).into(), 2)?;
        }
    }
    out.write_all(b"\n")
}

#[inline(always)]
fn bracket<T>(work: impl FnOnce() -> T) -> T {
    mark_begin();
    let result = black_box(work());
    mark_end();
    result
}

/// Writes an input where the plan reads it.
fn place(arena: &mut [u8], index: usize) -> Option<()> {
    let input = INPUTS.get(index * INPUT.len()..)?;
    for (to, from) in arena.get_mut(INPUT)?.iter_mut().zip(input) {
        // SAFETY: a plain byte; volatile so that the compiler makes no `memcpy` of it.
        unsafe { write_volatile(to, *from) };
    }
    Some(())
}

/// Bytes of stack below this function that `work` uses, its return address included; `None` where it fails or needs
/// all that is painted.
#[inline(never)]
fn stack_of(work: &mut dyn FnMut() -> bool) -> Option<usize> {
    let top = port::stack_pointer();
    let words = (top - PAINTED_BYTES..top).step_by(WORD_BYTES);
    for address in words.clone() {
        // SAFETY: unused stack: `dunlin bench` leaves that much below what this image uses.
        unsafe { write_volatile(address as *mut u32, PAINT) };
    }
    if !work() {
        return None;
    }
    // SAFETY: as above; only read.
    let is_paint = |address: &usize| unsafe { read_volatile(*address as *const u32) } == PAINT;
    let used = PAINTED_BYTES - words.take_while(is_paint).count() * WORD_BYTES;
    (used < PAINTED_BYTES).then_some(used)
}

fn say_number(out: &mut Output, name: &[u8], number: usize) -> Option<()> {
    out.write_all(name)?;
    say_hex(out, number as u32, 8)?;
    out.write_all(b"\n")
}

fn say_hex(out: &mut Output, number: u32, digits: u32) -> Option<()> {
    for place in (0..digits).rev() {
        let digit = (number >> (4 * place)) as u8 & 15;
        let letter = if digit < 10 {
            b'0' + digit
        } else {
            b'a' - 10 + digit
        };
        out.write_all(&[letter])?;
    }
    Some(())
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    port::exit(false)
}
