//! Leaf codes, and the rows of leaves that are not one unit.

use super::{Forest, PackFault, Scores, fault};
use crate::compile::options::Leaves;
use dunlin_kernels::{LEAST_NODES, SCORE_BIT, SCORES, WEIGHT_BITS};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

/// Most scores of a row's entry.
const MAX_WIDTH: usize = 128;
const ROW_ENDS: u8 = 0x80;
/// Most values of rows with short entries.
const MAX_VALUES: usize = 1 << WEIGHT_BITS;

/// How leaves are stored.
#[derive(Clone, Debug, Default)]
pub(super) struct Codes {
    pub width: usize,
    pub floats: bool,
    pub unit: u32,
    pub step: f32,
    /// Whether a score is `step` added as often as it has steps.
    pub repeated: bool,
    /// Whether rows have places of values instead of values.
    shared: bool,
    /// Whether entries have two bytes: weight or place of a value, score and end.
    short: bool,
    /// Different leaves, in order of first use.
    distinct: Vec<Row>,
    places: HashMap<Row, usize>,
    single: bool,
}

/// Scores and what is added to them: bits of an `f32`, or steps.
type Row = Vec<(u8, u32)>;

/// Rows of the leaves that a group of trees has, each once.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    pub bytes: Vec<u8>,
    /// Different weights, where entries have their places.
    pub values: Vec<u32>,
    value_places: HashMap<u32, u32>,
    places: HashMap<usize, usize>,
    entries: usize,
}

impl Codes {
    pub fn of(forest: &Forest, leaves: Leaves) -> Result<Codes, PackFault> {
        let width = forest.scores.width();
        if width > MAX_WIDTH {
            let reason = format!("the trees have {width} scores");
            return Err(fault(&reason, "use at most 128 classes or targets"));
        }
        let all: Vec<&[f32]> = forest.trees.iter().flat_map(|tree| tree.leaves()).collect();
        let single = !matches!(forest.scores, Scores::Each(_));
        let mut codes = match leaves {
            _ if votes(&all, single).is_some() => Codes {
                step: votes(&all, single).unwrap_or(1.0),
                repeated: leaves == Leaves::Exact,
                ..Codes::default()
            },
            _ if are_counts(&all) => Codes {
                step: 1.0,
                ..Codes::default()
            },
            Leaves::Compact => Codes {
                step: step_of(&all)?,
                ..Codes::default()
            },
            Leaves::Exact => Codes {
                step: 1.0,
                floats: true,
                ..Codes::default()
            },
        };
        (codes.width, codes.single) = (width, single);
        codes.unit = codes.most_frequent(&all);
        for leaf in all {
            let row = codes.row(leaf);
            let next = codes.places.len();
            if let Entry::Vacant(place) = codes.places.entry(row) {
                codes.distinct.push(place.key().clone());
                place.insert(next);
            }
        }
        codes.shared = codes.floats && codes.sharing_pays();
        Ok(codes)
    }

    /// The same with short entries; none where there are too many scores or values.
    pub fn shortened(&self) -> Option<Codes> {
        let fits = self.width <= SCORES && (!self.floats || self.values() <= MAX_VALUES);
        fits.then(|| Codes {
            short: true,
            shared: self.floats,
            ..self.clone()
        })
    }

    /// Whether entries are short.
    pub fn is_short(&self) -> bool {
        self.short
    }

    /// Nodes on the shortest walk by ranks.
    pub fn least_nodes(&self) -> usize {
        if self.short { LEAST_NODES } else { 1 }
    }

    /// Half words from the first leaf code on, for so many codes.
    pub fn leaf_room(&self, codes: usize) -> usize {
        if self.short {
            codes.next_power_of_two()
        } else {
            codes
        }
    }

    /// Entries of rows.
    fn entries(&self) -> impl Iterator<Item = &(u8, u32)> {
        let rows = self.distinct.iter().filter(|row| !self.is_unit(row));
        rows.flatten()
    }

    /// Different weights of these, and the zero that a row without entries adds.
    fn values(&self) -> usize {
        let nothing = self.distinct.iter().any(Vec::is_empty).then_some(0);
        let weights = self.entries().map(|&(_, weight)| weight);
        weights.chain(nothing).collect::<HashSet<u32>>().len()
    }

    /// Whether entries of 3 bytes and values of 4 take less than entries of 5.
    fn sharing_pays(&self) -> bool {
        let entries = self.entries().count();
        3 * entries + 4 * self.values() < 5 * entries
    }

    fn is_unit(&self, row: &Row) -> bool {
        matches!(row[..], [(_, weight)] if weight == self.unit)
    }

    /// The value that most leaves add to one score only.
    fn most_frequent(&self, leaves: &[&[f32]]) -> u32 {
        let mut counts: HashMap<u32, usize> = HashMap::new();
        for leaf in leaves {
            if let [(_, weight)] = self.row(leaf)[..] {
                *counts.entry(weight).or_default() += 1;
            }
        }
        let best = counts
            .into_iter()
            .max_by_key(|&(weight, count)| (count, weight));
        best.map_or(1, |(weight, _)| weight)
    }

    fn row(&self, leaf: &[f32]) -> Row {
        let first = u8::from(self.single);
        let weight = |&value: &f32| match self.floats {
            true if value == 0.0 => 0,
            true => value.to_bits(),
            false => (value / self.step).round_ties_even() as u32,
        };
        let entries = (first..).zip(leaf.iter().map(weight));
        entries.filter(|&(_, weight)| weight != 0).collect()
    }

    /// Index of a leaf among the different ones.
    pub fn leaf(&self, values: &[f32]) -> usize {
        self.places.get(&self.row(values)).copied().unwrap_or(0)
    }

    /// The code of a leaf, whose row is added to `rows` where it is not one unit.
    pub fn code(&self, leaf: usize, rows: &mut Rows) -> usize {
        let row = &self.distinct[leaf];
        match row[..] {
            [(score, weight)] if weight == self.unit => usize::from(score),
            [] if self.single => 0,
            _ => self.width + rows.place(leaf, row, self),
        }
    }
}

impl Rows {
    /// The first entry of a row.
    fn place(&mut self, leaf: usize, row: &Row, codes: &Codes) -> usize {
        if let Some(&place) = self.places.get(&leaf) {
            return place;
        }
        let place = self.entries;
        let nothing = [(0, 0)];
        let entries = if row.is_empty() { &nothing } else { &row[..] };
        for (index, (score, weight)) in entries.iter().enumerate() {
            let is_last = index + 1 == entries.len();
            let weight = match codes.shared {
                true => self.value(*weight),
                false => *weight,
            };
            if codes.short {
                let last = if is_last { dunlin_kernels::ROW_ENDS } else { 0 };
                let entry = weight as u16 | last | u16::from(*score) << SCORE_BIT;
                self.bytes.extend(entry.to_le_bytes());
                continue;
            }
            self.bytes.push(score | if is_last { ROW_ENDS } else { 0 });
            let bytes = match (codes.floats, codes.shared) {
                (true, false) => 4,
                (true, true) => 2,
                (false, _) => 1,
            };
            self.bytes.extend(&weight.to_le_bytes()[..bytes]);
        }
        self.entries += entries.len();
        self.places.insert(leaf, place);
        place
    }

    /// Place of a value. There are no more than entries, so it fits 16 bits.
    fn value(&mut self, weight: u32) -> u32 {
        let next = self.values.len() as u32;
        let place = *self.value_places.entry(weight).or_insert(next);
        if place == next {
            self.values.push(weight);
        }
        place
    }

    /// The values, of which there is a power of two where entries are short.
    pub fn all_values(&self, codes: &Codes) -> Vec<u32> {
        let mut values = self.values.clone();
        if codes.short && codes.floats && self.entries > 0 {
            values.resize(values.len().next_power_of_two(), 0);
        }
        values
    }

    /// Entries of all rows.
    pub fn entries(&self) -> usize {
        self.entries
    }
}

/// The value of a vote, where every leaf is one vote for one score; for a single score, or none.
fn votes(leaves: &[&[f32]], single: bool) -> Option<f32> {
    let values = || leaves.iter().flat_map(|leaf| leaf.iter().copied());
    let vote = values()
        .find(|&value| value != 0.0)
        .filter(|vote| vote.is_normal())?;
    let is_vote = |leaf: &&[f32]| {
        let cast = leaf.iter().filter(|&&value| value != 0.0).count();
        cast == 1 || cast == 0 && single
    };
    let equal = values().all(|value| value == 0.0 || value == vote);
    (equal && leaves.iter().all(is_vote)).then_some(vote)
}

/// Whether every value is a whole number that fits a byte. Sums of them are exact either way.
fn are_counts(leaves: &[&[f32]]) -> bool {
    let values = leaves.iter().flat_map(|leaf| leaf.iter());
    values
        .into_iter()
        .all(|&value| value == f32::from(value as u8))
}

/// The step of leaves of one byte.
fn step_of(leaves: &[&[f32]]) -> Result<f32, PackFault> {
    let all = || leaves.iter().flat_map(|leaf| leaf.iter().copied());
    if all().any(|value| !(0.0..=f32::MAX).contains(&value)) {
        return Err(fault(
            "compact leaves need finite values that are not negative",
            "use exact leaves",
        ));
    }
    Ok(all().fold(f32::MIN_POSITIVE * 256.0, f32::max) / 255.0)
}
