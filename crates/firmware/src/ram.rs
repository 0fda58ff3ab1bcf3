//! RAM that behaves like NOR flash: for emulated boards and for tests.

use crate::flash::{Chip, Partition};
use crate::layout::Layout;
use dunlin_runtime::Regions;

const ERASED: u8 = 0xff;
const MARK: &[u8] = b"DUNLIN FLASH 1";
/// Bytes behind a [`Layout`] for the mark that tells memory that was used from memory that was just
/// powered.
pub const MARK_BYTES: usize = 16;

/// Memory that is erased in pages of `PAGE` bytes and written in words of `WORD`.
#[derive(Debug)]
pub struct RamChip<'m, const PAGE: usize, const WORD: usize> {
    memory: &'m mut [u8],
}

impl<'m, const PAGE: usize, const WORD: usize> RamChip<'m, PAGE, WORD> {
    /// All of `memory`, as it is.
    pub fn new(memory: &'m mut [u8]) -> Self {
        Self { memory }
    }
}

impl<const PAGE: usize, const WORD: usize> Chip for RamChip<'_, PAGE, WORD> {
    const PAGE_BYTES: usize = PAGE;
    const WORD_BYTES: usize = WORD;

    fn mapped(&self) -> &[u8] {
        self.memory
    }

    fn erase_slice(&mut self, offset: usize) {
        let pages = self.memory.get_mut(offset..).unwrap_or_default();
        pages.iter_mut().take(PAGE).for_each(|byte| *byte = ERASED);
    }

    /// As in flash, a write only clears bits.
    fn program(&mut self, offset: usize, bytes: &[u8]) {
        let place = self.memory.get_mut(offset..).unwrap_or_default();
        place
            .iter_mut()
            .zip(bytes)
            .for_each(|(to, from)| *to &= *from);
    }
}

/// Takes memory for flash: the provisioning block, as it is, and the regions. Memory that does not
/// have the mark behind its regions was never used, and is erased first, all but the provisioning
/// block. `None` when there are fewer bytes than the layout and [`MARK_BYTES`] need.
#[allow(clippy::type_complexity)]
pub fn partition_ram<const PAGE: usize, const WORD: usize>(
    memory: &mut [u8],
    layout: Layout,
) -> Option<(&[u8], Regions<Partition<RamChip<'_, PAGE, WORD>>>)> {
    let (storage, mark) = memory.split_at_mut_checked(layout.bytes())?;
    let mark = mark.get_mut(..MARK_BYTES)?;
    let (provision, mut rest) = storage.split_at_mut_checked(layout.provision().end)?;
    if !mark.starts_with(MARK) {
        rest.fill(ERASED);
        mark.iter_mut().zip(MARK).for_each(|(to, from)| *to = *from);
    }
    let next = |place: core::ops::Range<usize>| {
        let (now, later) = core::mem::take(&mut rest).split_at_mut(place.len());
        rest = later;
        RamChip::new(now)
    };
    Some((provision, layout.regions(next, &())))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use dunlin_runtime::MappedFlash;
    use embedded_storage::nor_flash::NorFlash;
    use std::vec;

    const LAYOUT: Layout = Layout {
        page_bytes: 32,
        records_bytes: 96,
        bundle_bytes: 64,
    };

    #[test]
    fn memory_that_was_never_used_is_erased_but_for_the_provisioning_block() {
        let mut memory = vec![0x5a; LAYOUT.bytes() + MARK_BYTES];
        let (provision, mut regions) =
            partition_ram::<32, 4>(&mut memory, LAYOUT).expect("enough memory");
        assert_eq!(provision, [0x5a; 32]);
        let [first, second] = &regions.slots;
        for (region, bytes) in [
            (&regions.state, 64),
            (&regions.records, 96),
            (first, 96),
            (second, 96),
        ] {
            assert_eq!(region.mapped(), vec![ERASED; bytes]);
        }
        regions.slots[1].write(0, &[1, 2, 3, 4]).expect("writes");

        let (_, again) = partition_ram::<32, 4>(&mut memory, LAYOUT).expect("enough memory");
        assert_eq!(again.slots[1].mapped()[..5], [1, 2, 3, 4, ERASED]);
        assert_eq!(memory[LAYOUT.slots()[1].start], 1, "where the layout says");
    }

    #[test]
    fn too_little_memory_is_none() {
        let mut memory = vec![0; LAYOUT.bytes() + MARK_BYTES - 1];
        assert!(partition_ram::<32, 4>(&mut memory, LAYOUT).is_none());
    }
}
