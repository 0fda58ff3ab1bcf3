//! A flash in memory whose power can be cut at any word of any write and at any erase.
//!
//! It is as unkind as `embedded-storage` allows: the interrupted word, and sometimes the rest of its
//! call, hold anything; an interrupted erase leaves any mix of old and erased; in unstable mode both
//! read differently from one read to the next until the page is erased, or the word is zeroed. A word
//! may be written once after an erase, even when that was interrupted; only zeros may be written over
//! it. Anything else is a test failure.

extern crate std;

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};
use std::vec;
use std::vec::Vec;

/// Small deterministic generator (xorshift64*), so that a failure can be repeated from its seed.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let filler = self.below(4);
        (0..length)
            .map(|_| match filler {
                0 => 0xff,
                1 => 0x5a,
                _ => self.next() as u8,
            })
            .collect()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MockError {
    PowerIsOff,
    NotAligned,
    OutOfBounds,
}

impl NorFlashError for MockError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::PowerIsOff => NorFlashErrorKind::Other,
            Self::NotAligned => NorFlashErrorKind::NotAligned,
            Self::OutOfBounds => NorFlashErrorKind::OutOfBounds,
        }
    }
}

/// `WRITE` bytes to a word, `ERASE` bytes to a page.
#[derive(Debug, Clone)]
pub struct Flash<const WRITE: usize, const ERASE: usize> {
    bytes: Vec<u8>,
    /// What an unstable byte reads as half of the time.
    other: Vec<u8>,
    unstable_words: Vec<bool>,
    written_words: Vec<bool>,
    random: Random,
    /// Words and erases until the power goes.
    fuel: Option<u64>,
    power: bool,
    unstable: bool,
    pub steps: u64,
    pub erases: u64,
    pub bytes_written: u64,
}

impl<const WRITE: usize, const ERASE: usize> Flash<WRITE, ERASE> {
    pub fn new(pages: usize, seed: u64, unstable: bool) -> Self {
        let (length, words) = (pages * ERASE, pages * ERASE / WRITE);
        Self {
            bytes: vec![0xff; length],
            other: vec![0xff; length],
            unstable_words: vec![false; words],
            written_words: vec![false; words],
            random: Random::new(seed),
            fuel: None,
            power: true,
            unstable,
            steps: 0,
            erases: 0,
            bytes_written: 0,
        }
    }

    /// Fills the flash with what somebody else left there.
    pub fn scribble(&mut self) {
        let random = &mut self.random;
        self.bytes
            .iter_mut()
            .for_each(|byte| *byte = random.next() as u8);
        self.written_words.fill(true);
    }

    /// Switches the power on; it goes off in the middle of the step after `fuel` whole ones.
    pub fn power_on(&mut self, fuel: Option<u64>) {
        (self.power, self.fuel) = (true, fuel);
    }

    /// Changes a byte, as no power cut does.
    pub fn corrupt(&mut self, at: usize) {
        self.bytes[at] ^= 0x40;
    }

    pub fn has_power(&self) -> bool {
        self.power
    }

    /// Counts a step; false when the power goes during it.
    fn step(&mut self) -> bool {
        self.steps += 1;
        match &mut self.fuel {
            Some(0) => self.power = false,
            Some(fuel) => *fuel -= 1,
            None => {}
        }
        self.power
    }

    fn check(&self, from: usize, length: usize, unit: usize) -> Result<(), MockError> {
        if !self.power {
            Err(MockError::PowerIsOff)
        } else if !from.is_multiple_of(unit) || !length.is_multiple_of(unit) {
            Err(MockError::NotAligned)
        } else if from + length > self.bytes.len() {
            Err(MockError::OutOfBounds)
        } else {
            Ok(())
        }
    }

    /// Leaves a word as an interrupted change from `before` to `after` may.
    fn damage(&mut self, word: usize, before: &[u8], after: &[u8]) {
        let how = self.random.below(5);
        for (i, (&before, &after)) in before.iter().zip(after).enumerate() {
            let noise = self.random.next() as u8;
            self.bytes[word * WRITE + i] = match how {
                0 => before,
                1 => after,
                2 => (before & noise) | (after & !noise),
                3 if noise & 1 == 0 => before,
                3 => after,
                _ => noise,
            };
            self.other[word * WRITE + i] = if noise & 2 == 0 { before } else { after };
        }
        self.unstable_words[word] = self.unstable && self.random.below(2) == 0;
        self.written_words[word] = true;
    }
}

impl<const WRITE: usize, const ERASE: usize> ErrorType for Flash<WRITE, ERASE> {
    type Error = MockError;
}

impl<const WRITE: usize, const ERASE: usize> ReadNorFlash for Flash<WRITE, ERASE> {
    const READ_SIZE: usize = 4;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), MockError> {
        self.check(offset as usize, bytes.len(), Self::READ_SIZE)?;
        for (at, byte) in (offset as usize..).zip(bytes) {
            let unsure = self.unstable_words[at / WRITE] && self.random.below(2) == 0;
            *byte = if unsure {
                self.other[at]
            } else {
                self.bytes[at]
            };
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl<const WRITE: usize, const ERASE: usize> NorFlash for Flash<WRITE, ERASE> {
    const WRITE_SIZE: usize = WRITE;
    const ERASE_SIZE: usize = ERASE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), MockError> {
        self.check(from as usize, (to - from) as usize, ERASE)?;
        self.erases += 1;
        let whole = self.step();
        for word in from as usize / WRITE..to as usize / WRITE {
            let place = word * WRITE..(word + 1) * WRITE;
            if whole {
                self.bytes[place].fill(0xff);
                (self.unstable_words[word], self.written_words[word]) = (false, false);
            } else {
                let before = self.bytes[place].to_vec();
                self.damage(word, &before, &[0xff; WRITE]);
            }
        }
        if whole {
            Ok(())
        } else {
            Err(MockError::PowerIsOff)
        }
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), MockError> {
        self.check(offset as usize, bytes.len(), WRITE)?;
        assert!(bytes.len() <= 32, "one call writes {} bytes", bytes.len());
        for (word, after) in (offset as usize / WRITE..).zip(bytes.chunks(WRITE)) {
            let zeros = after.iter().all(|&byte| byte == 0);
            assert!(
                zeros || !self.written_words[word],
                "word {word} is written twice"
            );
            if self.power && self.step() {
                self.bytes[word * WRITE..(word + 1) * WRITE].copy_from_slice(after);
                (self.unstable_words[word], self.written_words[word]) = (false, true);
                self.bytes_written += WRITE as u64;
            } else {
                self.damage(word, &[0xff; WRITE], after);
                if self.random.below(3) > 0 {
                    return Err(MockError::PowerIsOff);
                }
            }
        }
        if self.power {
            Ok(())
        } else {
            Err(MockError::PowerIsOff)
        }
    }
}

#[test]
#[should_panic(expected = "written twice")]
fn writing_over_an_interrupted_word_is_noticed() {
    let mut flash = Flash::<4, 128>::new(2, 1, false);
    flash.power_on(Some(2));
    assert_eq!(flash.write(0, &[7; 16]), Err(MockError::PowerIsOff));
    flash.power_on(None);
    let _ = flash.write(8, &[9; 4]);
}

#[test]
fn zeros_over_an_interrupted_word_settle_it() {
    for seed in 0..50 {
        let mut flash = Flash::<4, 128>::new(2, seed, true);
        flash.power_on(Some(0));
        assert_eq!(flash.write(0, &[7; 4]), Err(MockError::PowerIsOff));
        flash.power_on(None);
        assert_eq!(flash.write(0, &[0; 4]), Ok(()));
        let mut bytes = [9; 4];
        flash.read(0, &mut bytes).expect("power is on");
        assert_eq!(bytes, [0; 4]);
    }
}
