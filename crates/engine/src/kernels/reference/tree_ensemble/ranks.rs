//! Trees that test bytes: every input is mapped once to its rank among the thresholds it is
//! compared with, and branches compare ranks.
//!
//! A group begins with ten words: counts of nodes, pieces, trees, columns, keys, leaves, row entries
//! and values, then base and shift of the grid. Tables follow in this order: nodes, columns, keys
//! (four bytes each), pieces, leaves (two bytes each), rows, values. Bytes may follow that no table has; they
//! fill the last window.
//!
//! **Images.** Let `key(x)` be the bits of `x` as `i32`, those below the sign inverted where the
//! sign is set. For numbers it grows with `x`, with `key(-0.0) = key(0.0) - 1`; no threshold is
//! -0.0, so `x ≤ t` is `key(x) ≤ key(t)`. A column has a feature, at most 255 keys in ascending
//! order, and maps `x` to `r(x)`, the number of its keys below `key(x)`. Then `x ≤ t` for its
//! `j`-th threshold, from 0, is `r(x) ≤ j`: if `x ≤ t`, only the `j` keys before can be below; if
//! not, `t` and those before it are. A NaN is 255, to the right of every threshold, or 0 where the
//! column says that it goes left. A column: feature `u16`, number of keys `u8`, 1 for NaN to the
//! left `u8`.
//!
//! Without keys every feature up to 256 is a column and the thresholds are a grid,
//! `key = base + i·2^shift` with `base ≥ 0`. The rank of `x` is computed, `((key(x) - base - 1) >> shift) + 1`
//! from 0 to 255, which the bits of a negative number do as well as its key. It counts the grid's
//! points below `key(x)`, so the same holds; a NaN of either sign is above all.
//!
//! **Nodes.** A piece is up to 256 nodes of a tree, the root or where it is entered first; it is
//! read through a window of 256 nodes, in which a byte is a safe index. Bits of a node: 0 – 7
//! column; 8 – 15 `255 - j`; 16 – 30 where to go; 31 set if that is a leaf. Adding the image at
//! bit 8 carries into bit 16 exactly if `r + 255 - j ≥ 256`, that is, if `x` goes right: children
//! are neighbours, the left one first. Without a leaf they are nodes of the piece behind this one;
//! with one, entries of the leaf table. (A leaf beside a branch is a node whose test adds nothing.)
//! An entry of the leaf table is a leaf code or, with the top bit, the piece where the walk goes
//! on, which is behind this one: so every walk ends. Trees begin at the first pieces.

use super::sections::{Sections, half, word};
use super::sums::{RowTable, Rows, Sums};
use super::{Run, check_groups, check_operands, work};
use crate::error::OpFault;
use crate::format::DType;
use crate::op::{Op, check as hold, split};
use dunlin_kernels::{LEAST_NODES, MAX_LEAVES, WINDOW, map_to_grid, walk_ranks};

/// In a leaf code: the walk goes on in another piece.
const GOES_ON: usize = dunlin_kernels::GOES_ON as usize;
const INFINITY: u32 = 0x7F80_0000;

pub(super) struct Group<'p, R> {
    /// Every word of the group from its first node on.
    pub words: &'p [[u8; 4]],
    nodes: &'p [[u8; 4]],
    columns: &'p [[u8; 4]],
    keys: &'p [[u8; 4]],
    pub pieces: &'p [[u8; 2]],
    pub trees: usize,
    /// The leaf table and everything behind it.
    pub leaves_on: &'p [[u8; 2]],
    pub leaves: &'p [[u8; 2]],
    pub rows: R,
    grid: Grid,
}

impl<'p, R: RowTable<'p>> Group<'p, R> {
    #[inline(always)]
    pub fn of(bytes: &'p [u8]) -> Option<Self> {
        let (counts, mut sections) = Sections::of(bytes)?;
        let [
            nodes,
            pieces,
            trees,
            columns,
            keys,
            leaves,
            rows,
            values,
            base,
            shift,
        ] = counts;
        Some(Self {
            words: sections.words(),
            nodes: sections.table(nodes)?,
            columns: sections.table(columns)?,
            keys: sections.table(keys)?,
            pieces: sections.table(pieces)?,
            trees: usize::try_from(trees).ok()?,
            leaves_on: sections.halves(),
            leaves: sections.table(leaves)?,
            rows: R::of(&mut sections, rows, values)?,
            grid: Grid { base, shift },
        })
    }

    /// Maps the inputs to images.
    #[inline(always)]
    pub fn map(&self, x: &[[u8; 4]], images: &mut [u8]) -> Option<()> {
        match self.keys {
            [] => {
                self.map_to_grid(x, images);
                Some(())
            }
            keys => self.map_to_ranks(x, images, keys),
        }
    }

    #[inline(always)]
    fn map_to_grid(&self, x: &[[u8; 4]], images: &mut [u8]) {
        let Grid { base, shift } = self.grid;
        let below = base.wrapping_add(1).wrapping_sub(1 << (shift & 31));
        let any_sign = map_to_grid(x, below.cast_signed(), shift, images);
        if any_sign {
            for (x, image) in x.iter().zip(images) {
                if f32::from_le_bytes(*x).is_nan() {
                    *image = 255;
                }
            }
        }
    }

    #[inline(never)]
    fn map_to_ranks(&self, x: &[[u8; 4]], images: &mut [u8], mut keys: &[[u8; 4]]) -> Option<()> {
        for ([low, high, count, nan_goes_left], image) in self.columns.iter().zip(images) {
            let bits = word(x, usize::from(u16::from_le_bytes([*low, *high])))?;
            let (own, others) = keys.split_at_checked(usize::from(*count))?;
            keys = others;
            *image = match (is_nan(bits), nan_goes_left) {
                (true, 0) => 255,
                (true, _) => 0,
                _ => rank(key(bits), own),
            };
        }
        Some(())
    }
}

impl<const FLOATS: bool> Group<'_, Rows<'_, FLOATS>> {
    /// Adds the leaf that the images reach in every tree.
    #[inline(never)]
    fn add_trees(&self, images: &[u8; 256], sums: &mut Sums<FLOATS>) -> Option<()> {
        // Known once, not asked in every walk.
        self.words.first_chunk::<WINDOW>()?;
        sums.add_trees(
            self.pieces.get(..self.trees)?,
            |start| self.leaf(start, images),
            |sums, code| match code & GOES_ON {
                0 => sums.add_row(code),
                _ => self.go_on(code, images, sums),
            },
        )
    }

    /// The entry of the leaf table that a walk from a node ends at.
    #[inline(always)]
    fn leaf(&self, start: usize, images: &[u8; 256]) -> Option<usize> {
        half(self.leaves, walk_ranks(self.words, start, images)?).map(usize::from)
    }

    /// Goes on in other pieces, and adds the leaf.
    #[inline(never)]
    fn go_on(&self, mut code: usize, images: &[u8; 256], sums: &mut Sums<FLOATS>) -> Option<()> {
        while code & GOES_ON != 0 {
            let start = half(self.pieces, code & !GOES_ON)?;
            code = self.leaf(start.into(), images)?;
        }
        sums.add(code)
    }
}

/// Thresholds in equal steps.
#[derive(Clone, Copy)]
struct Grid {
    base: u32,
    shift: u32,
}

fn is_nan(bits: u32) -> bool {
    bits & 0x7FFF_FFFF > INFINITY
}

fn key(bits: u32) -> i32 {
    let bits = bits.cast_signed();
    bits ^ ((bits >> 31).cast_unsigned() >> 1).cast_signed()
}

/// How many of `keys` are below `key`.
fn rank(key: i32, keys: &[[u8; 4]]) -> u8 {
    keys.partition_point(|threshold| key > i32::from_le_bytes(*threshold)) as u8
}

/// Whether a test may lead right, and where it leads if not.
fn children(node: u32) -> (usize, bool) {
    ((node >> 16 & 0x7FFF) as usize, node & 0xFF00 != 0)
}

/// Holds the first nodes of every walk, all but one of `least`, to lead on.
fn check_first(nodes: &[[u8; 4]], least: usize) -> Result<(), OpFault> {
    let (mut level, mut count) = ([0; 1 << (LEAST_NODES - 1)], 1);
    for _ in 1..least {
        let (mut next, mut next_count) = (level, 0);
        for &at in level.iter().take(count) {
            let node = word(nodes, at).ok_or(OpFault::Constant)?;
            hold(node >> 31 == 0, OpFault::Constant)?;
            let (left, may_go_right) = children(node);
            for child in left..left + 1 + usize::from(may_go_right) {
                *next.get_mut(next_count).ok_or(OpFault::Constant)? = child;
                next_count += 1;
            }
        }
        (level, count) = (next, next_count);
    }
    Ok(())
}

/// Checks operands, images and groups whose rows are a table of this kind.
pub(super) fn check<'p, R: RowTable<'p>>(op: &Op<'p>) -> Result<u64, OpFault> {
    let width = check_operands(op, 1)?;
    hold(width <= R::MAX_WIDTH, OpFault::Shape)?;
    let images = op.scratch(0).ok_or(OpFault::Operands)?;
    hold(images.dtype() == DType::U8, OpFault::Type)?;
    hold(images.elements() == 256, OpFault::Shape)?;
    let features = op.need_input(0)?.info.elements();
    check_groups(op, |bytes| {
        let group = Group::<R>::of(bytes).ok_or(OpFault::Constant)?;
        Ok((group.check(width, features)?, group.rows.len() == 0))
    })
}

impl<'p, R: RowTable<'p>> Group<'p, R> {
    fn check(&self, width: usize, features: usize) -> Result<u64, OpFault> {
        self.check_columns(features)?;
        let columns = match self.keys {
            [] => features,
            _ => self.columns.len(),
        };
        let longest = self.rows.check(width)?;
        let trees = (1..=self.pieces.len()).contains(&self.trees);
        hold(trees && self.leaves.len() <= MAX_LEAVES, OpFault::Constant)?;
        let room = match R::LEAST_NODES {
            1 => 0,
            _ => self.leaves.len().next_power_of_two(),
        };
        hold(room <= self.leaves_on.len(), OpFault::Constant)?;
        let mut start = 0;
        for (index, piece) in self.pieces.iter().enumerate() {
            let next = match half(self.pieces, index.saturating_add(1)) {
                Some(next) => usize::from(next),
                None => self.nodes.len(),
            };
            hold(
                usize::from(u16::from_le_bytes(*piece)) == start,
                OpFault::Constant,
            )?;
            let nodes = self.nodes.get(start..next).ok_or(OpFault::Constant)?;
            hold(
                self.words.len() >= start.saturating_add(WINDOW),
                OpFault::Constant,
            )?;
            check_first(nodes, R::LEAST_NODES)?;
            self.check_piece(index, nodes, [columns, width])?;
            start = next;
        }
        hold(start == self.nodes.len(), OpFault::Constant)?;
        let map = columns.saturating_mul(8);
        let tables = (self.nodes.len().saturating_add(map)).saturating_add(self.rows.len());
        Ok(work(self.trees, longest)?.saturating_add(tables as u64))
    }

    /// Columns name features that exist and share out the keys.
    fn check_columns(&self, features: usize) -> Result<(), OpFault> {
        let mut keys = 0_usize;
        for [low, high, count, _] in self.columns {
            let feature = usize::from(u16::from_le_bytes([*low, *high]));
            hold(feature < features, OpFault::Constant)?;
            keys = keys.saturating_add(usize::from(*count));
        }
        let shared = self.columns.len() <= 256 && keys == self.keys.len();
        let shared = shared && (keys > 0 || self.columns.is_empty());
        hold(shared && self.grid.shift < 32, OpFault::Constant)
    }

    /// Every node tests a column that exists and leads on, or to leaves that exist.
    fn check_piece(
        &self,
        piece: usize,
        nodes: &[[u8; 4]],
        [columns, width]: [usize; 2],
    ) -> Result<(), OpFault> {
        hold((1..=WINDOW).contains(&nodes.len()), OpFault::Constant)?;
        for (index, node) in nodes.iter().enumerate() {
            let node = u32::from_le_bytes(*node);
            let column = (node & 0xFF) as usize;
            let (left, carries) = children(node);
            hold(column < columns || !carries, OpFault::Constant)?;
            let right = left.saturating_add(usize::from(carries));
            if node >> 31 == 0 {
                let inside = left > index && right < nodes.len();
                hold(inside, OpFault::Constant)?;
                continue;
            }
            for leaf in [left, right] {
                let code = usize::from(half(self.leaves, leaf).ok_or(OpFault::Constant)?);
                let target = code & !GOES_ON;
                let exists = match code & GOES_ON {
                    0 => target < width.saturating_add(self.rows.len()),
                    _ => target > piece && target < self.pieces.len(),
                };
                hold(exists, OpFault::Constant)?;
            }
        }
        Ok(())
    }
}

pub(super) fn run<const FLOATS: bool>(op: &Op, arena: &mut [u8]) -> Option<()> {
    let run = Run::of(op)?;
    let place = run.scores()?;
    let (x, images) = run.ranked(op)?;
    arena.get_mut(place.clone())?.fill(0);
    for bytes in run.groups(op) {
        let group = Group::<Rows<FLOATS>>::of(bytes)?;
        let (x, mapped) = split(arena, x.clone(), images.clone())?;
        group.map(x.as_chunks().0, mapped)?;
        let (images, scores) = split(arena, images.clone(), place.clone())?;
        let mut sums = Sums {
            scores: scores.as_chunks_mut().0,
            rows: group.rows,
            unit: run.form.unit,
        };
        group.add_trees(images.first_chunk()?, &mut sums)?;
    }
    let scores = arena.get_mut(place.clone())?.as_chunks_mut().0;
    for score in scores.iter_mut() {
        *score = run.form.score::<FLOATS>(*score);
    }
    run.form.pair(scores);
    run.finish(op, arena, place)
}
