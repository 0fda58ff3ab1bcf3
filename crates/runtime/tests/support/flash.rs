//! NOR flash in memory whose power can be cut at any write or erase.

use dunlin_runtime::MappedFlash;
use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};
use std::cell::Cell;
use std::rc::Rc;

/// The supply of all flash of a bench.
#[derive(Default)]
pub struct Power {
    /// Writes and erases until the power goes; never when `None`.
    pub left: Cell<Option<usize>>,
    out: Cell<bool>,
    /// Writes until one is said to have failed that did not; never when `None`.
    pub doubtful: Cell<Option<usize>>,
    /// Writes until all of them fail, and how many do.
    pub refused: Cell<Option<(usize, usize)>>,
    /// Writes and erases so far.
    pub operations: Cell<usize>,
    noise: Cell<u64>,
}

impl Power {
    pub fn restore(&self) {
        self.out.set(false);
    }

    pub fn cut_after(&self, operations: usize, noise: u64) {
        self.left.set(Some(operations));
        self.noise.set(noise | 1);
    }

    pub fn is_out(&self) -> bool {
        self.out.get()
    }

    /// Counts an operation; `true` when the power goes during this one.
    fn goes_now(&self) -> bool {
        self.operations.set(self.operations.get() + 1);
        match self.left.get() {
            Some(0) => {
                self.left.set(None);
                self.out.set(true);
                true
            }
            left => {
                self.left.set(left.map(|left| left - 1));
                false
            }
        }
    }

    /// Counts a write that happened; `true` when it is said to have failed.
    fn doubts_now(&self) -> bool {
        let left = self.doubtful.get();
        self.doubtful.set(left.and_then(|left| left.checked_sub(1)));
        left == Some(0)
    }

    /// Counts a write; `true` when it fails and changes nothing.
    fn refuses_now(&self) -> bool {
        let Some((until, count)) = self.refused.get() else {
            return false;
        };
        self.refused.set(match (until, count) {
            (0, 0) => None,
            (0, count) => Some((0, count - 1)),
            (until, count) => Some((until - 1, count)),
        });
        until == 0 && count > 0
    }

    fn random(&self) -> u64 {
        let mut x = self.noise.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.noise.set(x);
        x
    }
}

pub struct Flash<'m> {
    memory: &'m mut [u8],
    power: Rc<Power>,
    fails: bool,
}

impl<'m> Flash<'m> {
    pub fn new(memory: &'m mut [u8], power: &Rc<Power>) -> Self {
        Self {
            memory,
            power: power.clone(),
            fails: false,
        }
    }

    /// The same, and every access fails if so.
    pub fn failing(self, fails: bool) -> Self {
        Self { fails, ..self }
    }

    fn check(&self) -> Result<(), NorFlashErrorKind> {
        if self.power.is_out() || self.fails {
            Err(NorFlashErrorKind::Other)
        } else {
            Ok(())
        }
    }
}

impl ErrorType for Flash<'_> {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Flash<'_> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        self.check()?;
        let from = offset as usize;
        bytes.copy_from_slice(
            self.memory
                .get(from..from + bytes.len())
                .ok_or(NorFlashErrorKind::OutOfBounds)?,
        );
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.memory.len()
    }
}

impl NorFlash for Flash<'_> {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = super::PAGE_BYTES;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        self.check()?;
        assert!(
            from.is_multiple_of(Self::ERASE_SIZE as u32)
                && to.is_multiple_of(Self::ERASE_SIZE as u32)
        );
        let page = self
            .memory
            .get_mut(from as usize..to as usize)
            .ok_or(NorFlashErrorKind::OutOfBounds)?;
        if !self.power.goes_now() {
            page.fill(0xff);
            return Ok(());
        }
        for byte in page {
            *byte |= self.power.random() as u8;
        }
        Err(NorFlashErrorKind::Other)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        self.check()?;
        if self.power.refuses_now() {
            return Err(NorFlashErrorKind::Other);
        }
        assert!(
            offset.is_multiple_of(4) && bytes.len().is_multiple_of(4),
            "write of {} at {offset}",
            bytes.len()
        );
        let from = offset as usize;
        let place = self
            .memory
            .get_mut(from..from + bytes.len())
            .ok_or(NorFlashErrorKind::OutOfBounds)?;
        assert!(
            place.iter().all(|&byte| byte == 0xff),
            "written twice without an erase at {offset}"
        );
        if !self.power.goes_now() {
            place.copy_from_slice(bytes);
            return match self.power.doubts_now() {
                true => Err(NorFlashErrorKind::Other),
                false => Ok(()),
            };
        }
        let whole = (self.power.random() as usize) % (bytes.len() + 1);
        for (index, (to, from)) in place.iter_mut().zip(bytes).enumerate() {
            if index < whole {
                *to = *from;
            } else if index == whole {
                *to = *from | self.power.random() as u8;
            }
        }
        Err(NorFlashErrorKind::Other)
    }
}

impl MappedFlash for Flash<'_> {
    fn mapped(&self) -> &[u8] {
        self.memory
    }
}
