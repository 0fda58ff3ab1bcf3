//! The firmware: puts the runtime on the emulated board.
#![no_std]
#![no_main]

use core::convert::Infallible;
use core::panic::PanicInfo;
use cortex_m_rt::entry;
use dunlin_firmware::{Assembly, BytePort, Memory, run};
use dunlin_qemu_cortex_m4f::board::{Mps2, image};
use dunlin_qemu_cortex_m4f::flash;
use dunlin_qemu_cortex_m4f::memory::{
    ARENA_BYTES, INPUT_ELEMENTS, MODEL_STACK_BYTES, OUTPUT_BYTES, TARGET,
};
use dunlin_qemu_cortex_m4f::uart::Uart;
use dunlin_runtime::{Device, NoSource};
use dunlin_wire::record::ResetReason;

type Buffers = Memory<ARENA_BYTES, INPUT_ELEMENTS, OUTPUT_BYTES>;

#[entry]
fn main() -> ! {
    let _ = start();
    cortex_m::peripheral::SCB::sys_reset()
}

/// Runs the device; returns only when it cannot.
fn start() -> Option<Infallible> {
    let uart = Uart::start();
    let mut board = Mps2::start(uart);
    let (provision, regions) = flash::take()?;
    let assembly = Assembly {
        target: TARGET,
        image: image(),
        model_stack_bytes: MODEL_STACK_BYTES,
        reset_reason: ResetReason::POWER,
        provision,
        regions,
        port: BytePort(uart),
        source: NoSource,
        memory: cortex_m::singleton!(: Buffers = Memory::new())?,
    };
    let device = Device::start(assembly.parts(), &mut board).ok();
    device.map(|mut device| run(&mut device, &mut board))
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    cortex_m::peripheral::SCB::sys_reset()
}
