//! The firmware: puts the runtime on the emulated board.
#![no_std]
#![no_main]

use core::panic::PanicInfo;
use cortex_m_rt::entry;
use dunlin_qemu_cortex_m4f::board::{Mps2, firmware_id};
use dunlin_qemu_cortex_m4f::flash::{self, Flash};
use dunlin_qemu_cortex_m4f::memory::{
    ARENA_BYTES, INPUT_ELEMENTS, KERNEL_CLASS, MODEL_STACK_BYTES, OUTPUT_BYTES, TARGET,
};
use dunlin_qemu_cortex_m4f::uart::Uart;
use dunlin_runtime::{
    Buffers, Device, EngineBackend, Next, NoSource, Parts, Profile, RECEIVE_BYTES,
};
use dunlin_wire::DeviceId;
use dunlin_wire::credential::Credential;
use dunlin_wire::limits::{MAX_FRAME_BYTES, MAX_MESSAGE_BYTES};
use dunlin_wire::provision::Provision;
use dunlin_wire::record::ResetReason;

#[entry]
fn main() -> ! {
    let mut board = Mps2::start();
    let uart = Uart::start();
    if let Some(parts) = parts(uart)
        && let Ok(mut device) = Device::start(parts, &mut board)
    {
        loop {
            let mut session = device.session();
            while session.poll(&mut board) == Next::Continue {
                uart.sleep();
            }
        }
    }
    cortex_m::peripheral::SCB::sys_reset()
}

fn parts(port: Uart) -> Option<Parts<'static, Flash, Uart, NoSource, EngineBackend>> {
    let storage = flash::take()?;
    Some(Parts {
        provision: Provision::parse(storage.provision).unwrap_or_else(|_| unprovisioned()),
        profile: Profile {
            target: TARGET,
            kernel_class: KERNEL_CLASS,
            firmware: firmware_id(),
            arena_bytes: ARENA_BYTES,
            stack_bytes: MODEL_STACK_BYTES,
            reset_reason: ResetReason::POWER,
        },
        regions: storage.regions,
        port,
        source: NoSource,
        backend: EngineBackend,
        buffers: Buffers {
            arena: cortex_m::singleton!(: [u8; ARENA_BYTES] = [0; ARENA_BYTES])?,
            input: cortex_m::singleton!(: [f32; INPUT_ELEMENTS] = [0.0; INPUT_ELEMENTS])?,
            output: cortex_m::singleton!(: [u8; OUTPUT_BYTES] = [0; OUTPUT_BYTES])?,
            receive: cortex_m::singleton!(: [u8; RECEIVE_BYTES] = [0; RECEIVE_BYTES])?,
            reply: cortex_m::singleton!(: [u8; MAX_MESSAGE_BYTES] = [0; MAX_MESSAGE_BYTES])?,
            transmit: cortex_m::singleton!(: [u8; MAX_FRAME_BYTES] = [0; MAX_FRAME_BYTES])?,
        },
    })
}

/// A board without a provisioning block is device 0, which trusts nobody: it answers, and refuses
/// every bundle.
fn unprovisioned() -> Provision {
    Provision {
        device: DeviceId([0; 8]),
        credential: Credential([0; 32]),
        trusted: [].into_iter().collect(),
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    cortex_m::peripheral::SCB::sys_reset()
}
