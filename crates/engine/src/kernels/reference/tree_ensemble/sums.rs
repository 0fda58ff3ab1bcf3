//! Scores: what leaf codes add to them, and what becomes of the sums.

use super::sections::{Sections, word};
use crate::bytes::pieces;
use crate::error::OpFault;
use crate::op::{Op, check};

/// Most scores, so that a row's entry names one in 7 bits.
pub(super) const MAX_WIDTH: usize = 128;
const ROW_ENDS: u8 = 0x80;

/// What leaf codes of the width and above add.
#[derive(Clone, Copy)]
pub(super) struct Rows<'p, const FLOATS: bool> {
    entries: &'p [u8],
    /// Bytes of an entry.
    size: usize,
    /// Different weights, where entries have their place instead of them.
    values: &'p [[u8; 4]],
}

impl<'p, const FLOATS: bool> Rows<'p, FLOATS> {
    /// The tables at the end of a group, of `f32` or of steps.
    pub fn of(sections: &mut Sections<'p>, entries: u32, values: u32) -> Option<Self> {
        let size = match (FLOATS, values) {
            (false, _) => 2,
            (true, 0) => 5,
            (true, _) => 3,
        };
        Some(Self {
            entries: sections
                .table::<1>(entries.checked_mul(size)?)?
                .as_flattened(),
            size: size as usize,
            values: sections.table(values)?,
        })
    }

    /// Bytes of an entry.
    #[inline(always)]
    fn size(&self) -> usize {
        if FLOATS { self.size } else { 2 }
    }

    /// Entries of all rows.
    pub fn len(&self) -> usize {
        self.entries.len() / self.size().max(1)
    }

    /// Every row ends in the table and names scores and values that exist; gives the longest row.
    pub fn check(&self, width: usize) -> Result<usize, OpFault> {
        let (mut longest, mut length) = (1, 0_usize);
        for entry in pieces(self.entries, self.size()) {
            let (&target, weight) = entry.split_first().ok_or(OpFault::Constant)?;
            check(usize::from(target & !ROW_ENDS) < width, OpFault::Constant)?;
            self.weight(weight).ok_or(OpFault::Constant)?;
            length = length.saturating_add(1);
            longest = longest.max(length);
            if target & ROW_ENDS != 0 {
                length = 0;
            }
        }
        check(length == 0, OpFault::Constant)?;
        Ok(longest)
    }

    /// A byte of steps, the bits of an `f32`, or where they are.
    #[inline(always)]
    fn weight(&self, bytes: &[u8]) -> Option<u32> {
        match *bytes {
            [steps] => Some(u32::from(steps)),
            [low, high] => word(self.values, u16::from_le_bytes([low, high]).into()),
            [a, b, c, d] => Some(u32::from_le_bytes([a, b, c, d])),
            _ => None,
        }
    }
}

/// The scores while leaves are added: `u32` steps or `f32`.
pub(super) struct Sums<'s, 'p, const FLOATS: bool> {
    pub scores: &'s mut [[u8; 4]],
    pub rows: Rows<'p, FLOATS>,
    /// What a code below the width adds.
    pub unit: u32,
}

impl<const FLOATS: bool> Sums<'_, '_, FLOATS> {
    /// Adds the leaf with this code.
    #[inline(always)]
    pub fn add(&mut self, code: usize) -> Option<()> {
        match self.scores.get_mut(code) {
            Some(score) => add::<FLOATS>(score, self.unit),
            None => self.add_apart(code)?,
        }
        Some(())
    }

    /// Not part of a walk, which so keeps its registers.
    #[inline(never)]
    fn add_apart(&mut self, code: usize) -> Option<()> {
        self.add_row(code)
    }

    /// Adds the row, or else the unit, with this code.
    #[inline(always)]
    pub fn add_other(&mut self, code: usize) -> Option<()> {
        match code.checked_sub(self.scores.len()) {
            Some(_) => self.add_row(code),
            None => self.add(code),
        }
    }

    #[inline(always)]
    fn add_row(&mut self, code: usize) -> Option<()> {
        let row = code.checked_sub(self.scores.len())?;
        let start = row.wrapping_mul(self.rows.size());
        let entries = self.rows.entries.get(start..)?;
        match self.rows.size() {
            2 => self.add_entries::<2>(entries),
            3 => self.add_entries::<3>(entries),
            _ => self.add_entries::<5>(entries),
        }
    }

    #[inline(always)]
    fn add_entries<const N: usize>(&mut self, mut entries: &[u8]) -> Option<()> {
        while let Some((entry, rest)) = entries.split_first_chunk::<N>() {
            let (&target, weight) = entry.split_first()?;
            let score = self.scores.get_mut(usize::from(target & !ROW_ENDS))?;
            add::<FLOATS>(score, self.rows.weight(weight)?);
            if target & ROW_ENDS != 0 {
                break;
            }
            entries = rest;
        }
        Some(())
    }
}

/// Adds a weight to a score.
#[inline(always)]
pub(super) fn add<const FLOATS: bool>(score: &mut [u8; 4], weight: u32) {
    let sum = u32::from_le_bytes(*score);
    let sum = match FLOATS {
        false => sum.wrapping_add(weight),
        true => (f32::from_bits(sum) + f32::from_bits(weight)).to_bits(),
    };
    *score = sum.to_le_bytes();
}

/// What becomes of the sums.
#[derive(Clone, Copy)]
pub(super) struct Form {
    code: u32,
    step: f32,
    floats: bool,
}

const REPEATED: u32 = 1;
const COMPLEMENT: u32 = 4;
const NEGATIVE: u32 = 8;

impl Form {
    pub fn of(op: &Op) -> Option<Self> {
        let [_, step, code] = op.parameters().words()?;
        Some(Self {
            code,
            step: f32::from_bits(step),
            floats: op.record().kernel.variant() & 1 == 0,
        })
    }

    pub fn fits(&self, width: usize) -> bool {
        let pair = self.code & !REPEATED;
        let whole = !self.floats || !self.is_repeated();
        whole
            && self.step.is_finite()
            && (pair == 0 || matches!(pair, COMPLEMENT | NEGATIVE) && width == 2)
    }

    /// Whether a score is as many additions as it has steps.
    pub fn is_repeated(&self) -> bool {
        self.code & REPEATED != 0
    }

    /// Turns sums into scores.
    pub fn finish(&self, scores: &mut [[u8; 4]]) {
        let is_pair = self.code > REPEATED;
        if !self.floats {
            for score in scores.iter_mut().skip(is_pair.into()) {
                *score = self.value(u32::from_le_bytes(*score)).to_le_bytes();
            }
        }
        if let ([first, second], true) = (scores, is_pair) {
            let score = f32::from_le_bytes(*second);
            let start = if self.code & COMPLEMENT != 0 {
                1.0
            } else {
                0.0
            };
            *first = (start - score).to_le_bytes();
        }
    }

    fn value(&self, steps: u32) -> f32 {
        match self.code & REPEATED {
            0 => steps as f32 * self.step,
            _ => (0..steps).fold(0.0, |sum, _| sum + self.step),
        }
    }
}
