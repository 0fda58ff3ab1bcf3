//! Trees that compare inputs with thresholds, for few branches: nothing is mapped before.
//!
//! A group begins with four words: counts of branches, trees, row entries and values. Tables follow in
//! this order: thresholds (four bytes per branch, `f32`, positive or +0.0), links (four bytes per
//! branch), roots (two bytes per tree), rows, values.
//!
//! Bits of a branch's link: 0 – 11 where to go if `x ≤ threshold`, 12 – 23 where to go if not
//! (a NaN does not), 24 – 31 the feature. With `n` branches a place below `n` is a branch behind
//! this one, so that every walk ends; a place `n + c` is the leaf code `c`. A root is a place.
//!
//! Bits of numbers that are not negative compare as they do, so no float is compared: with
//! thresholds of that kind `x` goes left if its bits are at most the threshold's, or if it is
//! negative and no NaN. There are at most four scores, summed apart from the arena.

use super::sections::{Sections, half};
use super::sums::{RowTable, Rows, Sums};
use super::{Run, check_groups, check_operands, work};
use crate::error::OpFault;
use crate::op::{Op, check as hold};
use dunlin_kernels::Branches;

/// Most scores.
const WIDTH: usize = 4;
const PLACE_BITS: u32 = 12;
const PLACE: u32 = 0xFFF;

struct Group<'p, const FLOATS: bool> {
    thresholds: &'p [[u8; 4]],
    links: &'p [[u8; 4]],
    roots: &'p [[u8; 2]],
    rows: Rows<'p, FLOATS>,
}

impl<'p, const FLOATS: bool> Group<'p, FLOATS> {
    fn of(bytes: &'p [u8]) -> Option<Self> {
        let ([branches, trees, rows, values], mut sections) = Sections::of(bytes)?;
        Some(Self {
            thresholds: sections.table(branches)?,
            links: sections.table(branches)?,
            roots: sections.table(trees)?,
            rows: Rows::of(&mut sections, rows, values)?,
        })
    }

    /// Adds the leaf that the first `features` words of `x` reach in every tree.
    #[inline(never)]
    fn add_trees(&self, x: &[[u8; 4]], features: usize, sums: &mut Sums<FLOATS>) -> Option<()> {
        let branches = Branches::new(self.thresholds, self.links, x)?;
        let count = self.links.len();
        match branches.quick(features) {
            Some(quick) => {
                let walk = |root| Some(quick.walk(root)?.wrapping_sub(count));
                sums.add_trees(self.roots, walk, Sums::add_row)
            }
            None => {
                let walk = |root| Some(branches.walk(root)?.wrapping_sub(count));
                sums.add_trees(self.roots, walk, Sums::add_row)
            }
        }
    }
}

pub(super) fn check<const FLOATS: bool>(op: &Op) -> Result<u64, OpFault> {
    let width = check_operands(op, 0)?;
    hold(width <= WIDTH, OpFault::Shape)?;
    let features = op.need_input(0)?.info.elements();
    check_groups(op, |bytes| {
        let group = Group::<FLOATS>::of(bytes).ok_or(OpFault::Constant)?;
        Ok((group.check(width, features)?, group.rows.len() == 0))
    })
}

impl<const FLOATS: bool> Group<'_, FLOATS> {
    fn check(&self, width: usize, features: usize) -> Result<u64, OpFault> {
        let longest = self.rows.check(width)?;
        let branches = self.links.len();
        let end = branches
            .saturating_add(width)
            .saturating_add(self.rows.len());
        for (index, link) in self.links.iter().enumerate() {
            let link = u32::from_le_bytes(*link);
            hold(((link >> 24) as usize) < features, OpFault::Constant)?;
            for place in [link & PLACE, link >> PLACE_BITS & PLACE] {
                let place = place as usize;
                hold(place > index && place < end, OpFault::Constant)?;
            }
        }
        for tree in 0..self.roots.len() {
            let root = half(self.roots, tree).ok_or(OpFault::Constant)?;
            hold(usize::from(root) < end, OpFault::Constant)?;
        }
        let tables = branches.saturating_add(self.rows.len());
        Ok(work(self.roots.len(), longest)?.saturating_add(tables as u64))
    }
}

pub(super) fn run<const FLOATS: bool>(op: &Op, arena: &mut [u8]) -> Option<()> {
    let run = Run::of(op)?;
    let (x, features) = run.x()?;
    let place = run.scores()?;
    let mut sums = [[0; 4]; WIDTH];
    let sums = sums.get_mut(..place.len() / 4)?;
    for bytes in run.groups(op) {
        let group = Group::<FLOATS>::of(bytes)?;
        let mut sums = Sums {
            scores: sums,
            rows: group.rows,
            unit: run.form.unit,
        };
        group.add_trees(arena.get(x..)?.as_chunks().0, features, &mut sums)?;
    }
    run.write::<FLOATS>(op, arena, place, sums)
}
