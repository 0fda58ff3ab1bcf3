//! A part of a flash chip, behind `embedded-storage`.

use dunlin_runtime::MappedFlash;
use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};

const ERASED: u8 = 0xff;

/// One stretch of flash as the controller sees it: whole pages, mapped into memory. Offsets are from
/// its start; the caller has checked them.
pub trait Chip {
    /// Bytes that are erased together.
    const PAGE_BYTES: usize;
    /// Bytes that are written together.
    const WORD_BYTES: usize;
    /// Times that [`Chip::erase_slice`] is called for one page.
    const ERASE_SLICES: usize = 1;
    /// Bytes that are written before other work gets its turn; whole words.
    const PROGRAM_BYTES: usize = 256;

    /// The stretch, as memory.
    fn mapped(&self) -> &[u8];

    /// Does one of [`Chip::ERASE_SLICES`] equal parts of the work of erasing the page at `offset`.
    fn erase_slice(&mut self, offset: usize);

    /// Writes whole words; clears bits only.
    fn program(&mut self, offset: usize, bytes: &[u8]);
}

/// What goes on while a flash is busy: called between the slices of an erase and between stretches of
/// a write, and must take less time than a sensor can do without being asked.
pub trait Meanwhile {
    /// Does a little of it.
    fn meanwhile(&mut self);
}

/// Nothing goes on.
impl Meanwhile for () {
    fn meanwhile(&mut self) {}
}

/// A [`Chip`] as `embedded-storage` wants it: arguments are checked before, content after.
#[derive(Debug)]
pub struct Partition<C, W = ()> {
    chip: C,
    meanwhile: W,
}

impl<C: Chip, W: Meanwhile> Partition<C, W> {
    /// All of `chip`.
    pub fn new(chip: C, meanwhile: W) -> Self {
        Self { chip, meanwhile }
    }

    /// The bytes from `offset` on, checked.
    fn content(&self, offset: usize, length: usize) -> Result<&[u8], NorFlashErrorKind> {
        let end = offset.saturating_add(length);
        self.chip
            .mapped()
            .get(offset..end)
            .ok_or(NorFlashErrorKind::OutOfBounds)
    }

    fn erase_page(&mut self, offset: usize) -> Result<(), NorFlashErrorKind> {
        for _ in 0..C::ERASE_SLICES {
            self.chip.erase_slice(offset);
            self.meanwhile.meanwhile();
        }
        let page = self.content(offset, C::PAGE_BYTES)?;
        match page.iter().all(|&byte| byte == ERASED) {
            true => Ok(()),
            false => Err(NorFlashErrorKind::Other),
        }
    }
}

impl<C: Chip, W: Meanwhile> ErrorType for Partition<C, W> {
    type Error = NorFlashErrorKind;
}

impl<C: Chip, W: Meanwhile> ReadNorFlash for Partition<C, W> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        check_read(self, offset, bytes.len())?;
        bytes.copy_from_slice(self.content(offset as usize, bytes.len())?);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.chip.mapped().len()
    }
}

impl<C: Chip, W: Meanwhile> NorFlash for Partition<C, W> {
    const WRITE_SIZE: usize = C::WORD_BYTES;
    const ERASE_SIZE: usize = C::PAGE_BYTES;

    /// Fails when a page is not erased afterwards.
    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        check_erase(self, from, to)?;
        (from as usize..to as usize)
            .step_by(C::PAGE_BYTES)
            .try_for_each(|page| self.erase_page(page))
    }

    /// Fails when something else stands there afterwards, for instance over what was not erased.
    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        check_write(self, offset, bytes.len())?;
        let mut at = offset as usize;
        for stretch in bytes.chunks(C::PROGRAM_BYTES) {
            self.chip.program(at, stretch);
            self.meanwhile.meanwhile();
            at += stretch.len();
        }
        match self.content(offset as usize, bytes.len())? == bytes {
            true => Ok(()),
            false => Err(NorFlashErrorKind::Other),
        }
    }
}

impl<C: Chip, W: Meanwhile> MappedFlash for Partition<C, W> {
    fn mapped(&self) -> &[u8] {
        self.chip.mapped()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ram::RamChip;
    use core::cell::Cell;

    const PAGE: usize = 64;
    type Ram<'m> = RamChip<'m, PAGE, 4>;

    /// Erases a page only when all three slices of it were done.
    struct Sliced<'m> {
        ram: Ram<'m>,
        slices: usize,
        works: bool,
    }

    impl Chip for Sliced<'_> {
        const PAGE_BYTES: usize = PAGE;
        const WORD_BYTES: usize = 4;
        const ERASE_SLICES: usize = 3;
        const PROGRAM_BYTES: usize = 8;

        fn mapped(&self) -> &[u8] {
            self.ram.mapped()
        }

        fn erase_slice(&mut self, offset: usize) {
            self.slices += 1;
            if self.works && self.slices.is_multiple_of(3) {
                self.ram.erase_slice(offset);
            }
        }

        fn program(&mut self, offset: usize, bytes: &[u8]) {
            self.ram.program(offset, bytes);
        }
    }

    struct Count<'c>(&'c Cell<usize>);

    impl Meanwhile for Count<'_> {
        fn meanwhile(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }

    fn sliced<'a>(
        memory: &'a mut [u8],
        works: bool,
        turns: &'a Cell<usize>,
    ) -> Partition<Sliced<'a>, Count<'a>> {
        let chip = Sliced {
            ram: RamChip::new(memory),
            slices: 0,
            works,
        };
        Partition::new(chip, Count(turns))
    }

    #[test]
    fn other_work_gets_its_turn_after_every_slice_of_an_erase_and_stretch_of_a_write() {
        let (mut memory, turns) = ([0; 3 * PAGE], Cell::new(0));
        let mut flash = sliced(&mut memory, true, &turns);
        assert_eq!(flash.erase(PAGE as u32, 3 * PAGE as u32), Ok(()));
        assert_eq!(turns.replace(0), 6);
        assert_eq!(flash.write(PAGE as u32, &[7; 20]), Ok(()));
        assert_eq!(turns.get(), 3);
        assert_eq!(flash.mapped()[PAGE..][..20], [7; 20]);
        assert!(
            flash.mapped()[PAGE + 20..]
                .iter()
                .all(|&byte| byte == ERASED)
        );
        assert!(flash.mapped()[..PAGE].iter().all(|&byte| byte == 0));
    }

    #[test]
    fn a_page_that_does_not_come_clean_is_an_error() {
        let (mut memory, turns) = ([0; PAGE], Cell::new(0));
        let mut flash = sliced(&mut memory, false, &turns);
        assert_eq!(flash.erase(0, PAGE as u32), Err(NorFlashErrorKind::Other));
    }

    #[test]
    fn a_word_that_was_not_erased_is_an_error_and_zeros_go_anywhere() {
        let mut memory = [0xff; PAGE];
        let mut flash = Partition::new(Ram::new(&mut memory), ());
        assert_eq!(flash.write(0, &[0xf0; 4]), Ok(()));
        assert_eq!(flash.write(0, &[0x0f; 4]), Err(NorFlashErrorKind::Other));
        assert_eq!(flash.write(0, &[0; 8]), Ok(()));
    }

    #[test]
    fn what_reaches_out_of_the_partition_or_is_not_aligned_is_refused() {
        let mut memory = [0xff; 2 * PAGE];
        let mut flash = Partition::new(Ram::new(&mut memory), ());
        let (end, out) = (2 * PAGE as u32, Err(NorFlashErrorKind::OutOfBounds));
        let crooked = Err(NorFlashErrorKind::NotAligned);
        assert_eq!(flash.erase(0, end + PAGE as u32), out);
        assert_eq!(flash.write(end, &[0; 4]), out);
        assert_eq!(flash.read(end - 1, &mut [0; 2]), out);
        assert_eq!(flash.erase(4, PAGE as u32), crooked);
        assert_eq!(flash.write(2, &[0; 4]), crooked);
        assert_eq!(flash.write(0, &[0; 3]), crooked);
        assert!(flash.mapped().iter().all(|&byte| byte == ERASED));
    }
}
