//! Sizes and addresses, all of them.

/// Name of the target; `targets/qemu-cortex-m4f.toml` describes it.
pub const TARGET: &str = "qemu-cortex-m4f";
/// Kernel class of the engine in this firmware.
pub const KERNEL_CLASS: &str = "reference";

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
/// Bytes of the longest bundle.
pub const BUNDLE_BYTES: usize = 256 * 1024;

/// Where the memory begins that stands for flash.
pub const FLASH_START: usize = 0x2100_0000;
/// Bytes of the provisioning block's region.
pub const PROVISION_BYTES: usize = PAGE_BYTES;
/// Bytes of the region that says which slot runs.
pub const STATE_BYTES: usize = 2 * PAGE_BYTES;
/// Bytes of the region for records.
pub const RECORDS_BYTES: usize = 64 * 1024;
/// Bytes of a slot: the longest bundle and the page that says what it is.
pub const SLOT_BYTES: usize = BUNDLE_BYTES + PAGE_BYTES;
/// Bytes of the mark that tells a flash that was used from memory that was just powered.
pub const MARK_BYTES: usize = PAGE_BYTES;
/// Bytes of all of it.
pub const FLASH_BYTES: usize =
    PROVISION_BYTES + STATE_BYTES + RECORDS_BYTES + 2 * SLOT_BYTES + MARK_BYTES;
