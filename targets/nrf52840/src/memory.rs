//! Sizes and addresses, all of them.

use dunlin_firmware::Layout;

/// Name of the target; `targets/nrf52840.toml` describes it.
pub const TARGET: &str = "nrf52840";

/// Bytes of the engine's arena.
pub const ARENA_BYTES: usize = 64 * 1024;
/// Bytes of stack a model may use.
pub const MODEL_STACK_BYTES: usize = 8 * 1024;
/// Bytes at the end of RAM that are watched as stack.
pub const STACK_BYTES: usize = 32 * 1024;
/// Values of the longest input: steps × channels.
pub const INPUT_ELEMENTS: usize = 2048;
/// Bytes of the longest output: a label and 16 probabilities.
pub const OUTPUT_BYTES: usize = 4 + 4 * 16;
/// Steps of the accelerometer that may wait while the flash is busy: 160 ms, almost two erases.
pub const WAITING_STEPS: usize = 64;

/// Bytes that are erased together.
pub const PAGE_BYTES: usize = 4096;
/// Bytes that are written together.
pub const WORD_BYTES: usize = 4;
/// What lies behind the code.
pub const STORAGE: Layout = Layout {
    page_bytes: PAGE_BYTES,
    records_bytes: 64 * 1024,
    bundle_bytes: 256 * 1024,
};
/// Where it begins, see memory.x.
pub const STORAGE_START: usize = 0x6_0000;
/// End of the chip's flash.
pub const FLASH_END: usize = 0x10_0000;

const _: () = assert!(STORAGE_START + STORAGE.bytes() <= FLASH_END);
