//! Firmware for boards with an nRF52840: the runtime, an LIS3DH accelerometer and a serial link.
//!
//! Wired as on Nordic's nRF52840 DK (PCA10056): the link is the debugger's serial port (115 200 baud,
//! hardware flow control; transmit P0.06, receive P0.08, RTS P0.05, CTS P0.07), the accelerometer is
//! on the Arduino header's I²C pins (SDA P0.26, SCL P0.27) at address 0x18, 400 steps a second.
//!
//! # Architecture invariants
//! - Wiring only: what could be tested on a workstation is in `dunlin_runtime`, the sensor's driver
//!   among it.
//! - All sizes and addresses are in [`memory`] and `memory.x`.
#![no_std]
#![no_main]

mod board;
mod flash;
mod memory;
mod port;

use board::{Nrf52840, firmware_id};
use core::panic::PanicInfo;
use cortex_m_rt::entry;
use dunlin_runtime::sensors::{Lis3dh, Settings};
use dunlin_runtime::{Buffers, Device, EngineBackend, Next, Parts, Profile, RECEIVE_BYTES};
use dunlin_wire::DeviceId;
use dunlin_wire::credential::Credential;
use dunlin_wire::limits::{MAX_FRAME_BYTES, MAX_MESSAGE_BYTES};
use dunlin_wire::provision::Provision;
use dunlin_wire::record::ResetReason;
use flash::Flash;
use memory::{ARENA_BYTES, INPUT_ELEMENTS, KERNEL_CLASS, MODEL_STACK_BYTES, OUTPUT_BYTES, TARGET};
use nrf52840_hal::gpio::{Level, p0};
use nrf52840_hal::pac::{NVMC, P0, Peripherals, TWIM0, UARTE0};
use nrf52840_hal::uarte::{Baudrate, Parity, Uarte};
use nrf52840_hal::{Clocks, Twim, twim, uarte};
use port::Serial;

type Accelerometer = Lis3dh<Twim<TWIM0>>;

/// Peripherals that become parts of the device.
struct Hardware {
    reset_reason: ResetReason,
    port: Serial,
    sensor: Accelerometer,
    controller: NVMC,
}

#[entry]
fn main() -> ! {
    let _ = run();
    cortex_m::peripheral::SCB::sys_reset()
}

/// Runs the device; returns only when it cannot.
fn run() -> Option<()> {
    let peripherals = Peripherals::take()?;
    let _clocks = Clocks::new(peripherals.CLOCK).enable_ext_hfosc();
    let mut board = Nrf52840::start(peripherals.TIMER0);
    let (port, sensor) = connect(peripherals.P0, peripherals.UARTE0, peripherals.TWIM0)?;
    let reasons = peripherals.POWER.resetreas.read().bits();
    // SAFETY: every bit of this register may be written; a one clears the reason it stands for.
    peripherals
        .POWER
        .resetreas
        .write(|w| unsafe { w.bits(reasons) });
    let reset_reason = reset_reason(reasons);
    let hardware = Hardware {
        reset_reason,
        port,
        sensor,
        controller: peripherals.NVMC,
    };
    let mut device = Device::start(parts(hardware)?, &mut board).ok()?;
    loop {
        let mut session = device.session();
        while session.poll(&mut board) == Next::Continue {}
    }
}

fn connect(port: P0, uarte: UARTE0, twim: TWIM0) -> Option<(Serial, Accelerometer)> {
    let pins = p0::Parts::new(port);
    let serial_pins = uarte::Pins {
        txd: pins.p0_06.into_push_pull_output(Level::High).degrade(),
        rxd: pins.p0_08.into_floating_input().degrade(),
        rts: Some(pins.p0_05.into_push_pull_output(Level::High).degrade()),
        cts: Some(pins.p0_07.into_floating_input().degrade()),
    };
    let serial = Uarte::new(uarte, serial_pins, Parity::EXCLUDED, Baudrate::BAUD115200);
    let transmit = cortex_m::singleton!(: [u8; 1] = [0])?;
    let receive = cortex_m::singleton!(: [u8; 1] = [0])?;
    let (transmit, receive) = serial.split(transmit, receive).ok()?;
    let bus_pins = twim::Pins {
        sda: pins.p0_26.into_floating_input().degrade(),
        scl: pins.p0_27.into_floating_input().degrade(),
    };
    let bus = Twim::new(twim, bus_pins, twim::Frequency::K400);
    Some((
        Serial { transmit, receive },
        Lis3dh::new(bus, Settings::default()),
    ))
}

/// What the chip says about its last reset; nothing set means that power came.
fn reset_reason(register: u32) -> ResetReason {
    match register {
        0 => ResetReason::POWER,
        bits if bits & 0b0001 != 0 => ResetReason::EXTERNAL,
        bits if bits & 0b0010 != 0 => ResetReason::WATCHDOG,
        bits if bits & 0b0100 != 0 => ResetReason::SOFTWARE,
        _ => ResetReason::UNKNOWN,
    }
}

fn parts(
    hardware: Hardware,
) -> Option<Parts<'static, Flash, Serial, Accelerometer, EngineBackend>> {
    let storage = flash::take(hardware.controller);
    Some(Parts {
        provision: Provision::parse(storage.provision).unwrap_or_else(|_| unprovisioned()),
        profile: Profile {
            target: TARGET,
            kernel_class: KERNEL_CLASS,
            firmware: firmware_id(),
            arena_bytes: ARENA_BYTES,
            stack_bytes: MODEL_STACK_BYTES,
            reset_reason: hardware.reset_reason,
        },
        regions: storage.regions,
        port: hardware.port,
        source: hardware.sensor,
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
