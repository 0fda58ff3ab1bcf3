//! Runs one bundle between marks, so that an emulator can count what each step executes.
//!
//! The bundle is built in: `DUNLIN_MEASURE_BUNDLE` is its path, `DUNLIN_MEASURE_KEY` the path of the
//! 32 bytes of the public key that signed it. `cargo xtask measure` sets both and counts. The
//! brackets between [`mark_begin`] and [`mark_end`]:
//!
//! | bracket | work |
//! |---|---|
//! | 0 | one inference: the first golden input |
//! | 1 | one monitored sample: that input and its answer counted, without the inference |
//! | 2 | verifying the bundle: signature and hashes |
//!
//! A plugin of the emulator counts these exactly. Without one, the timer counts: under
//! `-icount shift=0` an instruction takes one nanosecond and a tick is 40 of them; inference and
//! sample are averaged over [`RUNS`] runs. Prints what it found, what the bundle needs and how much
//! stack was used, and ends the emulator.
#![no_std]
#![no_main]

use core::hint::black_box;
use core::panic::PanicInfo;
use cortex_m_rt::entry;
use cortex_m_semihosting::{debug, hprintln};
use dunlin_monitor::{Monitor, Outcome};
use dunlin_qemu_cortex_m4f::board::Mps2;
use dunlin_qemu_cortex_m4f::memory::{
    ARENA_BYTES, INPUT_ELEMENTS, MODEL_STACK_BYTES, OUTPUT_BYTES, TARGET,
};
use dunlin_qemu_cortex_m4f::uart::Uart;
use dunlin_runtime::{Backend, Board, EngineBackend, Model, Profile};
use dunlin_wire::baseline::Baseline;
use dunlin_wire::bundle::{self, Bundle};
use dunlin_wire::record::ResetReason;
use dunlin_wire::{FirmwareId, PublicKey};

/// Sixteen-byte alignment, as a slot has it.
#[repr(align(16))]
struct Aligned<T: ?Sized>(T);

static BUNDLE: &Aligned<[u8]> = &Aligned(*include_bytes!(env!("DUNLIN_MEASURE_BUNDLE")));
const KEY: PublicKey = PublicKey(*include_bytes!(env!("DUNLIN_MEASURE_KEY")));

/// Runs of which the timer takes the average.
const RUNS: u64 = 25;
/// Instructions a tick of the timer takes under `-icount shift=0`.
const INSTRUCTIONS_PER_TICK: u64 = 40;

/// Begins a bracket.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn mark_begin() {
    black_box(());
}

/// Ends a bracket.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn mark_end() {
    black_box(1);
}

fn bracket<T>(work: impl FnOnce() -> T) -> T {
    mark_begin();
    let result = black_box(work());
    mark_end();
    result
}

/// Instructions of one run of `work`, by the timer.
fn average<T>(board: &mut Mps2, runs: u64, mut work: impl FnMut() -> T) -> u64 {
    let started = board.clock.ticks();
    for _ in 0..runs {
        black_box(work());
    }
    (board.clock.ticks() - started) * INSTRUCTIONS_PER_TICK / runs
}

#[entry]
fn main() -> ! {
    let mut board = Mps2::start(Uart::start());
    let verified = bundle::verify(&BUNDLE.0, &[KEY]).ok();
    let measured = verified.and_then(|bundle| measure(&bundle, &mut board));
    debug::exit(if measured.is_some() {
        debug::EXIT_SUCCESS
    } else {
        debug::EXIT_FAILURE
    });
    loop {
        cortex_m::asm::wfi();
    }
}

fn measure(bundle: &Bundle<'_>, board: &mut Mps2) -> Option<()> {
    let arena = cortex_m::singleton!(: [u8; ARENA_BYTES] = [0; ARENA_BYTES])?;
    let input = cortex_m::singleton!(: [f32; INPUT_ELEMENTS] = [0.0; INPUT_ELEMENTS])?;
    let output = cortex_m::singleton!(: [u8; OUTPUT_BYTES] = [0; OUTPUT_BYTES])?;
    let mut model = EngineBackend.load(bundle, &profile()).ok()?;
    let vector = bundle.golden().ok()?.vectors().next()?;
    let input = input.get_mut(..model.input_elements())?;
    for (value, bytes) in input.iter_mut().zip(vector.input.as_chunks().0) {
        *value = f32::from_le_bytes(*bytes);
    }
    let output = output.get_mut(..model.output_bytes())?;
    bracket(|| model.run(input, arena, output)).ok()?;
    let inference = average(board, RUNS, || model.run(input, arena, output));
    let sample = count_sample(bundle, input, output, board)?;
    bracket(|| bundle::verify(&BUNDLE.0, &[KEY])).ok()?;
    let verification = average(board, 1, || bundle::verify(&BUNDLE.0, &[KEY]));
    hprintln!("inference_instructions {}", inference);
    hprintln!("sample_instructions {}", sample);
    hprintln!("verification_instructions {}", verification);
    let needs = bundle.manifest().requires;
    hprintln!("bundle_bytes {}", bundle.bytes().len());
    hprintln!("arena_bytes {}", needs.arena_bytes);
    hprintln!("plan_stack_bytes {}", needs.stack_bytes);
    hprintln!("stack_used_bytes {}", board.stack_used_bytes());
    Some(())
}

fn count_sample(
    bundle: &Bundle<'_>,
    input: &[f32],
    output: &[u8],
    board: &mut Mps2,
) -> Option<u64> {
    let baseline = Baseline::parse(bundle.baseline()?).ok()?;
    let mut monitor = Monitor::new(&bundle.schema().ok()?, baseline).ok()?;
    let (words, _) = output.as_chunks::<4>();
    let label = u32::from_le_bytes(*words.first()?);
    let confidence = f32::from_le_bytes(*words.get(1 + label as usize)?);
    let outcome = Outcome::Answer {
        label: Some(label),
        confidence,
        latency_us: 100,
    };
    monitor.observe(0, input, outcome);
    let mut observe = || monitor.observe(black_box(1), black_box(input), black_box(outcome));
    bracket(&mut observe);
    Some(average(board, RUNS, observe))
}

fn profile() -> Profile<'static> {
    Profile {
        target: TARGET,
        kernel_class: dunlin_firmware::KERNEL_CLASS,
        firmware: FirmwareId([0; 8]),
        arena_bytes: ARENA_BYTES,
        stack_bytes: MODEL_STACK_BYTES,
        reset_reason: ResetReason::UNKNOWN,
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    debug::exit(debug::EXIT_FAILURE);
    loop {
        cortex_m::asm::wfi();
    }
}
