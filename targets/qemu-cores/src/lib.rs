//! What the bench image asks of emulated boards that have nothing but a core and memory.
//!
//! | target | board of QEMU | core | loops |
//! |---|---|---|---|
//! | `qemu-cortex-m0` | `microbit` | Cortex-M0, 256 KiB flash, 16 KiB RAM | portable |
//! | `qemu-cortex-m3` | `mps2-an385` | Cortex-M3 | portable |
//! | `qemu-cortex-m7` | `mps2-an500` | Cortex-M7 | those of the Cortex-M4 |
//! | `qemu-cortex-m33` | `mps2-an505` | Cortex-M33 | those of the Cortex-M4 |
//! | `qemu-riscv32` | `virt` | RISC-V, 32 bits, IMAC | portable |
//!
//! `dunlin bench --target NAME` builds and runs it. There are no registers of boards here: the emulator loads the image
//! to where it runs, and semihosting is the output.
#![no_std]

use core::arch::{asm, global_asm};

/// Stack that is painted below the caller.
pub const PAINTED_BYTES: usize = match env!("DUNLIN_BENCH_PAINTED_KIB").as_bytes() {
    b"4" => 4 * 1024,
    _ => 16 * 1024,
};

#[cfg(target_arch = "arm")]
global_asm!(
    ".section .vectors, \"a\"",
    ".word _stack_start",
    ".word _start",
    ".section .text._start, \"ax\"",
    ".global _start",
    ".thumb_func",
    "_start:",
    "bl {enable_float}",
    "bl bench_main",
    enable_float = sym enable_float,
);

#[cfg(target_arch = "riscv32")]
global_asm!(
    ".section .text._start, \"ax\"",
    ".global _start",
    "_start:",
    "la sp, _stack_start",
    "call bench_main",
);

/// Switches the floating-point unit on where code is compiled for one.
#[cfg(target_arch = "arm")]
extern "C" fn enable_float() {
    #[cfg(target_abi = "eabihf")]
    // SAFETY: the coprocessor access control register; no float instruction has run yet.
    unsafe {
        const CPACR: *mut u32 = 0xE000_ED88 as *mut u32;
        const FULL_ACCESS: u32 = 0xF << 20;
        CPACR.write_volatile(CPACR.read_volatile() | FULL_ACCESS);
        asm!("dsb", "isb");
    }
}

/// Standard output of the emulator.
#[derive(Debug)]
pub struct Output(usize);

const OPEN: usize = 0x01;
const WRITE: usize = 0x05;
const EXIT: usize = 0x18;
/// A console, opened to be written.
const CONSOLE: &[u8] = b":tt\0";
const TO_WRITE: usize = 4;
/// Reasons of an end: done, and not.
const DONE: usize = 0x2_0026;
const FAILED: usize = 0x2_0023;

impl Output {
    /// Opens it.
    pub fn open() -> Option<Self> {
        let block = [CONSOLE.as_ptr() as usize, TO_WRITE, CONSOLE.len() - 1];
        // SAFETY: the block of this call: name, mode, length.
        let handle = unsafe { call(OPEN, block.as_ptr() as usize) };
        (handle != usize::MAX).then_some(Self(handle))
    }

    /// Writes bytes.
    pub fn write_all(&mut self, bytes: &[u8]) -> Option<()> {
        let block = [self.0, bytes.as_ptr() as usize, bytes.len()];
        // SAFETY: the block of this call: handle, bytes, how many.
        let left = unsafe { call(WRITE, block.as_ptr() as usize) };
        (left == 0).then_some(())
    }
}

/// Ends the emulator.
pub fn exit(is_done: bool) -> ! {
    loop {
        // SAFETY: this call takes a reason in place of a block.
        unsafe { call(EXIT, if is_done { DONE } else { FAILED }) };
    }
}

/// Where the stack ends.
#[inline(always)]
pub fn stack_pointer() -> usize {
    let pointer;
    #[cfg(target_arch = "arm")]
    // SAFETY: only reads a register.
    unsafe {
        asm!("mov {}, sp", out(reg) pointer, options(nomem, nostack, preserves_flags));
    }
    #[cfg(target_arch = "riscv32")]
    // SAFETY: only reads a register.
    unsafe {
        asm!("mv {}, sp", out(reg) pointer, options(nomem, nostack, preserves_flags));
    }
    pointer
}

/// Calls the emulator.
///
/// # Safety
/// `block` is what the operation takes.
unsafe fn call(operation: usize, block: usize) -> usize {
    let mut result = operation;
    #[cfg(target_arch = "arm")]
    // SAFETY: as this function's.
    unsafe {
        asm!("bkpt 0xAB", inout("r0") result, in("r1") block, options(nostack));
    }
    #[cfg(target_arch = "riscv32")]
    // SAFETY: as this function's; the three instructions must not be shortened.
    unsafe {
        asm!(
            ".option push",
            ".option norvc",
            ".balign 16",
            "slli x0, x0, 0x1f",
            "ebreak",
            "srai x0, x0, 7",
            ".option pop",
            inout("a0") result,
            in("a1") block,
            options(nostack)
        );
    }
    result
}
