//! Sizes and addresses, all of them.

use dunlin_firmware::{Layout, MARK_BYTES};

/// Name of the target; `targets/qemu-cortex-m4f.toml` describes it.
pub const TARGET: &str = "qemu-cortex-m4f";

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

/// Bytes that are erased together.
pub const PAGE_BYTES: usize = 4096;
/// Bytes that are written together.
pub const WORD_BYTES: usize = 4;
/// The memory that stands for flash.
pub const STORAGE: Layout = Layout {
    page_bytes: PAGE_BYTES,
    records_bytes: 64 * 1024,
    bundle_bytes: 256 * 1024,
};
/// Where it begins.
pub const STORAGE_START: usize = 0x2100_0000;
/// Bytes of it, with the mark that tells memory that was used from memory that was just powered.
pub const STORAGE_BYTES: usize = STORAGE.bytes() + MARK_BYTES;
