//! Tells the linker where the memory of the board `DUNLIN_BENCH_BOARD` is.

use std::path::PathBuf;

/// Name of a board; start and bytes of the memory of its code, start and bytes of that of its data.
type Board = (&'static str, [u32; 4]);

const KIB: u32 = 1024;
/// The data of the RISC-V board follows its code in one memory.
const BOARDS: [Board; 5] = [
    ("qemu-cortex-m0", [0, 256 * KIB, 0x2000_0000, 16 * KIB]),
    ("qemu-cortex-m3", [0, 1024 * KIB, 0x2000_0000, 256 * KIB]),
    ("qemu-cortex-m7", [0, 1024 * KIB, 0x2000_0000, 256 * KIB]),
    (
        "qemu-cortex-m33",
        [0x1000_0000, 1024 * KIB, 0x3800_0000, 256 * KIB],
    ),
    (
        "qemu-riscv32",
        [0x8000_0000, 1024 * KIB, 0x8010_0000, 256 * KIB],
    ),
];

fn main() {
    println!("cargo::rerun-if-env-changed=DUNLIN_BENCH_BOARD");
    let name = std::env::var("DUNLIN_BENCH_BOARD").expect("`cargo xtask bench` says which board");
    let board = BOARDS.iter().find(|(board, _)| *board == name);
    let (_, memory) = board.expect("a board of this folder");
    let folder = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo says where to write"));
    let script = folder.join("image.x");
    std::fs::write(&script, script_of(*memory)).expect("the folder can be written");
    println!("cargo::rustc-link-arg-bins=-T{}", script.display());
    println!("cargo::rustc-link-arg-bins=--nmagic");
    if name == "qemu-riscv32" {
        println!("cargo::rustc-link-arg-bins=-melf32lriscv");
    }
    let painted = if memory[3] < 64 * KIB { 4 } else { 16 };
    println!("cargo::rustc-env=DUNLIN_BENCH_PAINTED_KIB={painted}");
}

/// The emulator loads every section to where it runs, so nothing is copied.
fn script_of([code, code_bytes, data, data_bytes]: [u32; 4]) -> String {
    format!(
        "MEMORY {{
  CODE : ORIGIN = {code:#x}, LENGTH = {code_bytes}
  DATA : ORIGIN = {data:#x}, LENGTH = {data_bytes}
}}
_stack_start = ORIGIN(DATA) + LENGTH(DATA);
ENTRY(_start)
SECTIONS {{
  .vectors : {{ KEEP(*(.vectors)) }} > CODE
  .text : {{ *(.text._start) *(.text .text.*) }} > CODE
  .rodata : {{ *(.rodata .rodata.* .srodata .srodata.*) }} > CODE
  .data : {{ *(.data .data.* .sdata .sdata.*) }} > DATA
  .bss (NOLOAD) : {{ *(.bss .bss.* .sbss .sbss.*) }} > DATA
  /DISCARD/ : {{ *(.ARM.exidx .ARM.exidx.* .eh_frame .eh_frame.*) }}
}}
"
    )
}
