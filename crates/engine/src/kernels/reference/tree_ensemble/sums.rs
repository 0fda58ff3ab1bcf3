//! Scores: what leaf codes add to them, and what becomes of the sums.

use super::sections::{Sections, word};
use crate::bytes::pieces;
use crate::error::OpFault;
use crate::op::{Op, check};
use core::hint::black_box;

/// Most scores, so that a row's entry names one in 7 bits.
pub(super) const MAX_WIDTH: usize = 128;
const ROW_ENDS: u8 = 0x80;

/// A table of what leaf codes of the width and above add.
pub(super) trait RowTable<'p>: Sized {
    /// Most scores.
    const MAX_WIDTH: usize;
    /// Nodes on the shortest walk.
    const LEAST_NODES: usize;

    /// The tables at the end of a group, with so many entries and values.
    fn of(sections: &mut Sections<'p>, entries: u32, values: u32) -> Option<Self>;

    /// Entries of all rows.
    fn len(&self) -> usize;

    /// Every row ends in the table and names scores and values that exist; gives the longest row.
    fn check(&self, width: usize) -> Result<usize, OpFault>;
}

/// What leaf codes of the width and above add.
#[derive(Clone, Copy)]
pub(super) struct Rows<'p, const FLOATS: bool> {
    entries: &'p [u8],
    /// Different weights, where entries have their place instead of them.
    values: &'p [[u8; 4]],
}

impl<'p, const FLOATS: bool> RowTable<'p> for Rows<'p, FLOATS> {
    const MAX_WIDTH: usize = MAX_WIDTH;
    const LEAST_NODES: usize = 1;

    #[inline(always)]
    fn of(sections: &mut Sections<'p>, entries: u32, values: u32) -> Option<Self> {
        let size = entry_bytes(FLOATS, values > 0) as u32;
        let entries = sections.table::<1>(entries.checked_mul(size)?)?;
        Some(Self {
            entries: entries.as_flattened(),
            values: sections.table(values)?,
        })
    }

    fn len(&self) -> usize {
        self.entries.len() / self.size()
    }

    fn check(&self, width: usize) -> Result<usize, OpFault> {
        let (mut longest, mut length) = (1, 0_usize);
        for entry in pieces(self.entries, self.size()) {
            let (&target, weight) = entry.split_first().ok_or(OpFault::Constant)?;
            check(usize::from(target & !ROW_ENDS) < width, OpFault::Constant)?;
            weight_of(weight, self.values).ok_or(OpFault::Constant)?;
            length = length.saturating_add(1);
            longest = longest.max(length);
            if target & ROW_ENDS != 0 {
                length = 0;
            }
        }
        check(length == 0, OpFault::Constant)?;
        Ok(longest)
    }
}

impl<const FLOATS: bool> Rows<'_, FLOATS> {
    #[inline(always)]
    fn size(&self) -> usize {
        entry_bytes(FLOATS, !self.values.is_empty())
    }
}

/// A byte of steps, the bits of an `f32`, or where they are.
#[inline(always)]
fn weight_of(bytes: &[u8], values: &[[u8; 4]]) -> Option<u32> {
    match *bytes {
        [steps] => Some(u32::from(steps)),
        [low, high] => word(values, u16::from_le_bytes([low, high]).into()),
        [a, b, c, d] => Some(u32::from_le_bytes([a, b, c, d])),
        _ => None,
    }
}

/// Bytes of a row's entry.
#[inline(always)]
fn entry_bytes(floats: bool, shared: bool) -> usize {
    match (floats, shared) {
        (false, _) => 2,
        (true, false) => 5,
        (true, true) => 3,
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
    /// Adds the leaf of every tree. A walk from a start gives a leaf code; what is no unit is
    /// added `apart`, so that the walk keeps its registers.
    #[inline(always)]
    pub fn add_trees(
        &mut self,
        starts: &[[u8; 2]],
        walk: impl Fn(usize) -> Option<usize>,
        apart: impl Fn(&mut Self, usize) -> Option<()>,
    ) -> Option<()> {
        let unit = self.unit;
        for start in starts {
            let code = walk(usize::from(u16::from_le_bytes(*start)))?;
            match self.scores.get_mut(code) {
                Some(score) => add::<FLOATS>(score, unit),
                None => apart(self, code)?,
            }
        }
        Some(())
    }

    /// Adds the leaf with this code.
    #[inline(always)]
    pub fn add(&mut self, code: usize) -> Option<()> {
        match self.scores.get_mut(code) {
            Some(score) => add::<FLOATS>(score, self.unit),
            None => self.add_row(code)?,
        }
        Some(())
    }

    /// Adds the row with this code. Not part of a walk, which so keeps its registers.
    #[inline(never)]
    pub fn add_row(&mut self, code: usize) -> Option<()> {
        let row = code.checked_sub(self.scores.len())?;
        let entries = self
            .rows
            .entries
            .get(row.wrapping_mul(self.rows.size())..)?;
        match self.rows.size() {
            2 => self.add_entries::<2>(entries),
            3 => self.add_entries::<3>(entries),
            _ => self.add_entries::<5>(entries),
        }
    }

    #[inline(always)]
    fn add_entries<const N: usize>(&mut self, mut entries: &[u8]) -> Option<()> {
        let values = self.rows.values;
        while let Some((entry, rest)) = entries.split_first_chunk::<N>() {
            let (&target, weight) = entry.split_first()?;
            let score = self.scores.get_mut(usize::from(target & !ROW_ENDS))?;
            add::<FLOATS>(score, weight_of(weight, values)?);
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
fn add<const FLOATS: bool>(score: &mut [u8; 4], weight: u32) {
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
    /// What a code below the width adds.
    pub unit: u32,
    code: u32,
    step: f32,
    floats: bool,
}

const REPEATED: u32 = 1;
const COMPLEMENT: u32 = 4;
const NEGATIVE: u32 = 8;

impl Form {
    #[inline(always)]
    pub fn of(op: &Op) -> Option<Self> {
        let [unit, step, code] = op.parameters().words()?;
        Some(Self {
            code,
            unit,
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

    /// The score of a sum.
    #[inline(always)]
    pub fn score<const FLOATS: bool>(&self, sum: [u8; 4]) -> [u8; 4] {
        if FLOATS {
            // One by one: a loop would become a call of `memcpy`.
            return black_box(sum);
        }
        let steps = u32::from_le_bytes(sum);
        let score = match self.code & REPEATED {
            0 => steps as f32 * self.step,
            _ => (0..steps).fold(0.0, |sum, _| sum + self.step),
        };
        score.to_le_bytes()
    }

    /// Derives the first of two scores from the second, where the form says so.
    #[inline(always)]
    pub fn pair(&self, scores: &mut [[u8; 4]]) {
        if let ([first, second], COMPLEMENT..) = (scores, self.code) {
            let score = f32::from_le_bytes(*second);
            let whole = match self.code & COMPLEMENT {
                0 => 0.0,
                _ => 1.0,
            };
            *first = (whole - score).to_le_bytes();
        }
    }
}
