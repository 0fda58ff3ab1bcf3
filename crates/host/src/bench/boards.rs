//! The emulated boards that can be measured on.

use super::tools::{
    ARM_LINKER, ARM_OBJDUMP, QEMU_ARM, QEMU_RISCV, RISCV_LINKER, RISCV_OBJDUMP, Tool,
};

/// An emulated board, and what its image has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Board {
    /// Its name as a target.
    pub name: &'static str,
    /// What is in it.
    pub summary: &'static str,
    pub(super) emulator: Tool,
    /// Options of the emulator.
    pub(super) machine: &'static [&'static str],
    pub(super) linker: Tool,
    pub(super) objdump: Tool,
    /// Bytes of plan and inputs that leave room for code in flash.
    pub(super) most_flash_bytes: u64,
    /// Bytes of arena that leave room for the stack in RAM.
    pub(super) most_arena_bytes: u64,
    /// Whether cycles, the least instructions per MAC and what others need are those of this core.
    pub(super) is_modelled: bool,
}

const KIB: u64 = 1024;

/// All of them, first the one that is measured on unless told otherwise.
pub const BOARDS: [Board; 6] = [
    Board {
        is_modelled: true,
        ..arm(
            "qemu-cortex-m4f",
            "Cortex-M4F, mps2-an386",
            &["-machine", "mps2-an386", "-cpu", "cortex-m4"],
        )
    },
    Board {
        most_flash_bytes: 208 * KIB,
        most_arena_bytes: 10 * KIB,
        ..arm(
            "qemu-cortex-m0",
            "Cortex-M0, microbit",
            &["-machine", "microbit"],
        )
    },
    arm(
        "qemu-cortex-m3",
        "Cortex-M3, mps2-an385",
        &["-machine", "mps2-an385"],
    ),
    arm(
        "qemu-cortex-m7",
        "Cortex-M7, mps2-an500",
        &["-machine", "mps2-an500"],
    ),
    arm(
        "qemu-cortex-m33",
        "Cortex-M33, mps2-an505",
        &["-machine", "mps2-an505"],
    ),
    Board {
        emulator: QEMU_RISCV,
        linker: RISCV_LINKER,
        objdump: RISCV_OBJDUMP,
        ..arm(
            "qemu-riscv32",
            "RISC-V RV32IMAC, virt",
            &["-machine", "virt", "-bios", "none"],
        )
    },
];

const fn arm(name: &'static str, summary: &'static str, machine: &'static [&'static str]) -> Board {
    Board {
        name,
        summary,
        emulator: QEMU_ARM,
        machine,
        linker: ARM_LINKER,
        objdump: ARM_OBJDUMP,
        most_flash_bytes: 960 * KIB,
        most_arena_bytes: 224 * KIB,
        is_modelled: false,
    }
}

impl Board {
    /// The board of this name.
    pub fn find(name: &str) -> Option<Self> {
        BOARDS.into_iter().find(|board| board.name == name)
    }
}

impl Default for Board {
    fn default() -> Self {
        let [board, ..] = BOARDS;
        board
    }
}
