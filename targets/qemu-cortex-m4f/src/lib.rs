//! The emulated board mps2-an386 (Cortex-M4F in QEMU): memory, flash, UART, clock and stack.
//!
//! The board has RAM throughout. Its PSRAM, 16 MiB at 0x2100_0000, stands for flash: QEMU keeps it in
//! a file when it is started with `-object memory-backend-file,id=mps.ram,…` and
//! `-machine mps2-an386,memory-backend=mps.ram`, and what is in that file is there at the next
//! start. The first page of the file is the provisioning block.
//!
//! The link is UART 0, `-serial tcp:…` on the workstation's side.
//!
//! # Architecture invariants
//! - Wiring only: what could be tested on a workstation is in `dunlin_firmware` and `dunlin_runtime`.
//! - All sizes and addresses are in [`memory`].
//! - Sleeps until a byte comes when there is nothing to do, so an idle board costs no processor time.
#![no_std]

pub mod board;
pub mod flash;
pub mod memory;
pub mod uart;
