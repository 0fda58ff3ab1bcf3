//! The memory that stands for flash.

use crate::memory::{PAGE_BYTES, STORAGE, STORAGE_BYTES, STORAGE_START, WORD_BYTES};
use dunlin_firmware::{Partition, RamChip, partition_ram};
use dunlin_runtime::Regions;

/// One region.
pub type Flash = Partition<RamChip<'static, PAGE_BYTES, WORD_BYTES>>;

/// Takes the provisioning block and the regions; `None` the second time.
pub fn take() -> Option<(&'static [u8], Regions<Flash>)> {
    cortex_m::singleton!(: bool = true)?;
    // SAFETY: the board has 16 MiB of RAM from STORAGE_START on, the linker puts nothing there, and
    // the singleton above lets this line be reached once.
    let memory =
        unsafe { core::slice::from_raw_parts_mut(STORAGE_START as *mut u8, STORAGE_BYTES) };
    partition_ram(memory, STORAGE)
}
