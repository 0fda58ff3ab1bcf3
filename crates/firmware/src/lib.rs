//! What every bare-metal firmware does around `dunlin_runtime`, so that a board's folder is wiring.
//!
//! ```text
//!  pins, clocks, registers                 this crate                        dunlin_runtime
//!  Counter ───────────────► Clock ─────────────────────► Board ───────────►┐
//!  ByteLine ──────────────► BytePort ──────────────────► Port ────────────►│
//!  Chip ── Layout ────────► Partition ─────────────────► MappedFlash ─────►├─ Device
//!  embedded-hal bus ──────► sensors ── Sampler ────────► SampleSource ────►│
//!                                         ▲ asked while the flash is busy  │
//!  Platform: watchdog, sleep ◄──────────────────────────────────── run ◄───┘
//! ```
//!
//! Runs on boards without an operating system; everything here is tested on a workstation. Costs the
//! memory that [`Memory`] holds and, for a [`Sampler`], four bytes a value.
//!
//! A board implements [`Counter`], [`ByteLine`], [`Chip`] and [`Platform`] over its registers, and its
//! `main` is little more than
//!
//! ```
//! # use dunlin_firmware::{Assembly, ByteLine, BytePort, Chip, Meanwhile, Platform, run};
//! # use dunlin_runtime::{Device, FlashFault, SampleSource};
//! fn serve<C: Chip, W: Meanwhile, L: ByteLine, S: SampleSource, P: Platform>(
//!     assembly: Assembly<'_, C, W, BytePort<L>, S, 65_536, 2_048, 68>,
//!     platform: &mut P,
//! ) -> Result<P::End, FlashFault> {
//!     let mut device = Device::start(assembly.parts(), platform)?;
//!     Ok(run(&mut device, platform))
//! }
//! ```
//!
//! # Architecture invariants
//! - No allocation, no unsafe code, no global state; what must touch a register is a trait.
//! - Nothing here waits except for the flash, and while that is busy the sensor is asked.
//! - The watchdog is fed in one place, once for every turn of the main loop.
#![no_std]
#![forbid(unsafe_code)]

mod assembly;
mod byte_port;
mod clock;
mod flash;
mod layout;
mod main_loop;
mod ram;
mod sampler;
pub mod sensors;
mod stack;

pub use assembly::{Assembly, KERNEL_CLASS, Memory, firmware_id, provision, reset_reason};
pub use byte_port::{ByteLine, BytePort};
pub use clock::{Clock, Counter};
pub use flash::{Chip, Meanwhile, Partition};
pub use layout::Layout;
pub use main_loop::{Platform, run};
pub use ram::{MARK_BYTES, RamChip, partition_ram};
pub use sampler::{KeepSampling, Sampler};
pub use stack::Stack;
