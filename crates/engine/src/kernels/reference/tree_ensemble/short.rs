//! Trees that test ranks, with rows as short as few scores and values allow: every tree in one loop.
//!
//! A group is that of [`ranks`](super::ranks), for at most 16 scores, but for this: an entry of a row has two bytes, from
//! the low bits a weight of 11, the row's end and a score of 4. A weight is steps, or the place of an `f32` among the
//! values, of which there is a power of two, at most 2048. No walk ends before the fourth node of a piece. From the first
//! leaf code on there are as many half words as the next power of two from the number of codes, of whatever is there.

use super::Run;
use super::ranks::Group;
use super::sections::Sections;
use super::sums::RowTable;
use crate::error::OpFault;
use crate::op::{Op, check as hold, split};
use dunlin_kernels::{GOES_ON, LEAST_NODES, ROW_ENDS, Ranked, SCORE_BIT, SCORES, Sums, are_places};

/// What leaf codes of the width and above add.
#[derive(Clone, Copy)]
pub(super) struct ShortRows<'p, const FLOATS: bool> {
    entries: &'p [[u8; 2]],
    values: &'p [[u8; 4]],
}

impl<'p, const FLOATS: bool> RowTable<'p> for ShortRows<'p, FLOATS> {
    const MAX_WIDTH: usize = SCORES;
    const LEAST_NODES: usize = LEAST_NODES;

    #[inline(always)]
    fn of(sections: &mut Sections<'p>, entries: u32, values: u32) -> Option<Self> {
        Some(Self {
            entries: sections.table(entries)?,
            values: sections.table(values)?,
        })
    }

    fn len(&self) -> usize {
        self.entries.len()
    }

    fn check(&self, width: usize) -> Result<usize, OpFault> {
        let weighs = !FLOATS || are_places(self.values.len());
        hold(weighs || self.entries.is_empty(), OpFault::Constant)?;
        let codes = width.saturating_add(self.entries.len());
        hold(codes <= usize::from(GOES_ON), OpFault::Constant)?;
        let (mut longest, mut length) = (1, 0);
        for entry in self.entries {
            let entry = u16::from_le_bytes(*entry);
            let score = usize::from(entry >> SCORE_BIT);
            hold(score < width, OpFault::Constant)?;
            length += 1;
            longest = longest.max(length);
            if entry & ROW_ENDS != 0 {
                length = 0;
            }
        }
        hold(length == 0, OpFault::Constant)?;
        Ok(longest)
    }
}

pub(super) fn run<const FLOATS: bool>(op: &Op, arena: &mut [u8]) -> Option<()> {
    let run = Run::of(op)?;
    let place = run.scores()?;
    let (x, images) = run.ranked(op)?;
    let mut sums = Sums::default();
    for bytes in run.groups(op) {
        let group = Group::<ShortRows<FLOATS>>::of(bytes)?;
        let (x, mapped) = split(arena, x.clone(), images.clone())?;
        group.map(x.as_chunks().0, mapped)?;
        let trees = Ranked {
            nodes: group.words,
            images: mapped.first_chunk()?,
            pieces: group.pieces,
            trees: group.trees,
            leaves: group.leaves_on,
            leaf_count: group.leaves.len(),
            width: place.len() / 4,
            rows: group.rows.entries,
            values: group.rows.values,
            unit: run.form.unit,
        };
        trees.add::<FLOATS>(&mut sums)?;
    }
    run.write::<FLOATS>(op, arena, place, &sums.0)
}
