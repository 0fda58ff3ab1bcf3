//! Where each region of a board's storage lies.

use crate::flash::{Chip, Meanwhile, Partition};
use core::ops::Range;
use dunlin_runtime::Regions;

/// Sizes of a board's storage, from which all places follow.
///
/// ```text
/// ├ provisioning ┼─ which slot runs ─┼─ records ─┼──── slot 0 ────┼──── slot 1 ────┤
///     one page         two pages                   bundle, a page   bundle, a page
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Bytes that are erased together.
    pub page_bytes: usize,
    /// Bytes for records, whole pages, at least two.
    pub records_bytes: usize,
    /// Bytes of the longest bundle, whole pages.
    pub bundle_bytes: usize,
}

impl Layout {
    /// The block that says who the device is, from the start of the storage.
    pub const fn provision(&self) -> Range<usize> {
        0..self.page_bytes
    }

    /// Which slot runs.
    pub const fn state(&self) -> Range<usize> {
        let start = self.provision().end;
        start..start + 2 * self.page_bytes
    }

    /// Records.
    pub const fn records(&self) -> Range<usize> {
        let start = self.state().end;
        start..start + self.records_bytes
    }

    /// The two slots: the longest bundle and the page that says what it is.
    pub const fn slots(&self) -> [Range<usize>; 2] {
        let (start, bytes) = (self.records().end, self.bundle_bytes + self.page_bytes);
        [start..start + bytes, start + bytes..start + 2 * bytes]
    }

    /// Bytes of all of it.
    pub const fn bytes(&self) -> usize {
        self.records().end + 2 * (self.bundle_bytes + self.page_bytes)
    }

    /// The regions that a device writes, in ascending order from `chip`; `meanwhile` is what goes on
    /// while one is busy.
    pub fn regions<C: Chip, W: Meanwhile + Clone>(
        &self,
        mut chip: impl FnMut(Range<usize>) -> C,
        meanwhile: &W,
    ) -> Regions<Partition<C, W>> {
        let mut partition = |place| Partition::new(chip(place), meanwhile.clone());
        let (state, records) = (partition(self.state()), partition(self.records()));
        Regions {
            state,
            records,
            slots: self.slots().map(partition),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_regions_follow_one_another_without_a_gap() {
        let layout = Layout {
            page_bytes: 4096,
            records_bytes: 0x1_0000,
            bundle_bytes: 0x4_0000,
        };
        let [first, second] = layout.slots();
        let places = [
            layout.provision(),
            layout.state(),
            layout.records(),
            first,
            second,
        ];
        assert!(places.windows(2).all(|pair| pair[0].end == pair[1].start));
        assert_eq!((places[0].start, places[4].end), (0, layout.bytes()));
        assert_eq!(layout.bytes(), 3 * 4096 + 0x1_0000 + 2 * (0x4_0000 + 4096));
    }
}
