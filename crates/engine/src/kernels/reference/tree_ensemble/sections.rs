//! A group's header and the tables behind it.

/// What of a group is still to be read.
pub(super) struct Sections<'p>(&'p [u8]);

impl<'p> Sections<'p> {
    /// The header's words, little-endian, and the rest.
    pub fn of<const WORDS: usize>(group: &'p [u8]) -> Option<([u32; WORDS], Self)> {
        let mut words = [0; WORDS];
        let (header, rest) = group.split_at_checked(words.len().checked_mul(4)?)?;
        for (word, bytes) in words.iter_mut().zip(header.as_chunks().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        Some((words, Self(rest)))
    }

    /// Everything that is still to be read, in words.
    pub fn words(&self) -> &'p [[u8; 4]] {
        self.0.as_chunks().0
    }

    /// The same in half words.
    pub fn halves(&self) -> &'p [[u8; 2]] {
        self.0.as_chunks().0
    }

    /// The next table: `count` entries of `N` bytes.
    #[inline(always)]
    pub fn table<const N: usize>(&mut self, count: u32) -> Option<&'p [[u8; N]]> {
        let bytes = usize::try_from(count).ok()?.checked_mul(N)?;
        let (table, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(table.as_chunks().0)
    }
}

/// The word at `index` of a table of words.
#[inline(always)]
pub(super) fn word(table: &[[u8; 4]], index: usize) -> Option<u32> {
    table.get(index).map(|bytes| u32::from_le_bytes(*bytes))
}

/// The half word at `index` of a table of half words.
#[inline(always)]
pub(super) fn half(table: &[[u8; 2]], index: usize) -> Option<u16> {
    table.get(index).map(|bytes| u16::from_le_bytes(*bytes))
}
