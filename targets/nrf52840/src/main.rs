//! Firmware for boards with an nRF52840: the runtime, an LIS3DH accelerometer and a serial link.
//!
//! Wired as on Nordic's nRF52840 DK (PCA10056): the link is the debugger's serial port (115 200 baud,
//! hardware flow control; transmit P0.06, receive P0.08, RTS P0.05, CTS P0.07), the accelerometer is
//! on the Arduino header's I²C pins (SDA P0.26, SCL P0.27) at address 0x18, 400 steps a second.
//!
//! A page of flash is erased in nine slices of 10 ms, between which the accelerometer is asked: its own
//! memory holds 80 ms, an erase takes 85. Steps that it overwrites all the same, for instance while a
//! bundle is verified, are counted as missing. The watchdog resets a board whose main loop has not
//! turned for 30 s.
//!
//! # Architecture invariants
//! - Wiring only: what could be tested on a workstation is in `dunlin_firmware` and `dunlin_runtime`,
//!   the sensor's driver among it.
//! - All sizes and addresses are in [`memory`] and `memory.x`.
#![no_std]
#![no_main]

mod board;
mod flash;
mod line;
mod memory;

use board::{Microseconds, Nrf52840, image};
use core::convert::Infallible;
use core::panic::PanicInfo;
use cortex_m_rt::entry;
use dunlin_firmware::sensors::{Lis3dh, Settings};
use dunlin_firmware::{
    Assembly, BytePort, Clock, KeepSampling, Memory, Sampler, reset_reason, run,
};
use dunlin_runtime::Device;
use dunlin_wire::record::ResetReason;
use line::Serial;
use memory::{ARENA_BYTES, INPUT_ELEMENTS, MODEL_STACK_BYTES, OUTPUT_BYTES, TARGET, WAITING_STEPS};
use nrf52840_hal::gpio::{Level, p0};
use nrf52840_hal::pac::{P0, POWER, Peripherals, TWIM0, UARTE0};
use nrf52840_hal::uarte::{Baudrate, Parity, Uarte};
use nrf52840_hal::{Clocks, Twim, twim, uarte};

type Accelerometer = Lis3dh<Twim<TWIM0>>;
type Steps = Sampler<Accelerometer, 3, WAITING_STEPS>;
type Buffers = Memory<ARENA_BYTES, INPUT_ELEMENTS, OUTPUT_BYTES>;

/// What the bits of the chip's register of reset reasons mean.
const RESET_REASONS: &[(u32, ResetReason)] = &[
    (0b0001, ResetReason::EXTERNAL),
    (0b0010, ResetReason::WATCHDOG),
    (0b0100, ResetReason::SOFTWARE),
];

#[entry]
fn main() -> ! {
    let _ = start();
    cortex_m::peripheral::SCB::sys_reset()
}

/// Runs the device; returns only when it cannot.
fn start() -> Option<Infallible> {
    let peripherals = Peripherals::take()?;
    let _clocks = Clocks::new(peripherals.CLOCK).enable_ext_hfosc();
    let timer = Microseconds::start(peripherals.TIMER0);
    let clock = cortex_m::singleton!(: Clock<Microseconds> = Clock::new(timer))?;
    let mut board = Nrf52840::start(clock, peripherals.WDT);
    let (serial, sensor) = connect(peripherals.P0, peripherals.UARTE0, peripherals.TWIM0)?;
    let sampler: &Steps = cortex_m::singleton!(: Steps = Sampler::new(sensor))?;
    let (provision, regions) = flash::take(peripherals.NVMC, &KeepSampling { sampler, clock });
    let assembly = Assembly {
        target: TARGET,
        image: image(),
        model_stack_bytes: MODEL_STACK_BYTES,
        reset_reason: reset_reason(take_reset_reasons(&peripherals.POWER), RESET_REASONS),
        provision,
        regions,
        port: BytePort(serial),
        source: sampler,
        memory: cortex_m::singleton!(: Buffers = Memory::new())?,
    };
    let device = Device::start(assembly.parts(), &mut board).ok();
    device.map(|mut device| run(&mut device, &mut board))
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

/// The reasons of all resets since this was asked last.
fn take_reset_reasons(power: &POWER) -> u32 {
    let reasons = power.resetreas.read().bits();
    // SAFETY: every bit of this register may be written; a one clears the reason it stands for.
    power.resetreas.write(|w| unsafe { w.bits(reasons) });
    reasons
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    cortex_m::peripheral::SCB::sys_reset()
}
