//! Sizes and addresses, all of them.

/// Name of the target; `targets/nrf52840.toml` describes it.
pub const TARGET: &str = "nrf52840";
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

/// Where the provisioning block is: behind the code, see memory.x.
pub const PROVISION_START: usize = 0x6_0000;
/// Where the region begins that says which slot runs.
pub const STATE_START: usize = PROVISION_START + PAGE_BYTES;
/// Bytes of that region.
pub const STATE_BYTES: usize = 2 * PAGE_BYTES;
/// Where the records begin.
pub const RECORDS_START: usize = STATE_START + STATE_BYTES;
/// Bytes for records.
pub const RECORDS_BYTES: usize = 64 * 1024;
/// Where the slots begin.
pub const SLOTS_START: usize = RECORDS_START + RECORDS_BYTES;
/// Bytes of a slot: the longest bundle and the page that says what it is.
pub const SLOT_BYTES: usize = BUNDLE_BYTES + PAGE_BYTES;
/// End of the chip's flash.
pub const FLASH_END: usize = 0x10_0000;

const _: () = assert!(SLOTS_START + 2 * SLOT_BYTES <= FLASH_END);
