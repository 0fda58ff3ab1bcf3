//! Packs decision trees into the engine's tables.
//!
//! [`leaves`] turns what the leaves add into leaf codes and rows, [`tree`] the trees into branches
//! over keys, which [`ranks`] or [`direct`] lay out. Thresholds that few branches test are compared
//! directly; otherwise every input is mapped to its rank once, which makes branches half as large
//! and a step half as long.

mod direct;
mod leaf_table;
mod leaves;
mod ranks;
mod tree;

use super::options::Leaves;
use leaves::Codes;
use tree::Flat;
pub(crate) use tree::{Threshold, Tree, TreeNode};

/// Trees whose leaves are added.
pub(crate) struct Forest {
    pub trees: Vec<Tree>,
    pub scores: Scores,
}

/// What the sums of leaves become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scores {
    /// A score per element of a leaf.
    Each(usize),
    /// Leaves have one element, `s`; scores are `[1 - s, s]`.
    Complement,
    /// Leaves have one element, `s`; scores are `[-s, s]`.
    Negative,
}

impl Scores {
    pub fn width(self) -> usize {
        match self {
            Scores::Each(width) => width,
            Scores::Complement | Scores::Negative => 2,
        }
    }

    /// Elements of a leaf.
    pub fn leaf_width(self) -> usize {
        match self {
            Scores::Each(width) => width,
            Scores::Complement | Scores::Negative => 1,
        }
    }
}

/// The constants and parameters of a `tree_ensemble`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Packed {
    pub groups: Vec<Vec<u8>>,
    pub packing: Packing,
}

/// Parameters of a `tree_ensemble`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Packing {
    /// Whether branches compare thresholds instead of ranks.
    pub direct: bool,
    /// Whether leaves are `f32` instead of whole steps.
    pub floats: bool,
    /// Whether entries of rows are short.
    pub short: bool,
    /// What a leaf code below the width adds: bits of an `f32`, or steps.
    pub unit: u32,
    /// Value of a step.
    pub step: f32,
    /// The engine's code of what sums become.
    pub form: u32,
}

impl Packing {
    /// The engine's variant.
    pub fn variant(self) -> u8 {
        u8::from(!self.floats) | u8::from(self.direct) << 1 | u8::from(self.short) << 2
    }

    /// The engine's parameter words.
    pub fn words(self) -> [u32; 3] {
        [self.unit, self.step.to_bits(), self.form]
    }

    /// Images of the inputs, where ranks are compared.
    pub fn scratch_bytes(self) -> usize {
        if self.direct { 0 } else { 256 }
    }
}

/// Why a forest cannot be packed.
#[derive(Debug)]
pub(crate) struct PackFault {
    pub reason: String,
    pub nearest: &'static str,
}

fn fault(reason: &str, nearest: &'static str) -> PackFault {
    PackFault {
        reason: reason.to_owned(),
        nearest,
    }
}

const ADDED_ONCE: u32 = 0;
const REPEATED: u32 = 1;
const COMPLEMENT: u32 = 4;
const NEGATIVE: u32 = 8;

impl Forest {
    /// The tables, for inputs of `features` values.
    pub fn pack(&self, leaves: Leaves, features: usize) -> Result<Packed, PackFault> {
        let mut codes = Codes::of(self, leaves)?;
        let trees: Vec<Flat> = self
            .trees
            .iter()
            .map(|tree| Flat::of(tree, features, &codes))
            .collect::<Result<_, _>>()?;
        let pair = match self.scores {
            Scores::Each(_) => 0,
            Scores::Complement => COMPLEMENT,
            Scores::Negative => NEGATIVE,
        };
        let direct = direct::pack(&trees, &codes, features);
        let is_direct = direct.is_some();
        let groups = match direct {
            Some(group) => vec![group],
            None => ranked(&trees, &mut codes, features)?,
        };
        let repeated = if codes.repeated { REPEATED } else { ADDED_ONCE };
        let packing = Packing {
            direct: is_direct,
            floats: codes.floats,
            short: codes.is_short(),
            unit: codes.unit,
            step: codes.step,
            form: pair | repeated,
        };
        Ok(Packed { groups, packing })
    }
}

/// The share of its bytes by which a forest may grow for short rows, whose trees take less time.
const SHORT_SHARE: usize = 20;

/// Groups of trees that compare ranks, with short rows where they are possible and take no more than 5 % more bytes.
fn ranked(trees: &[Flat], codes: &mut Codes, features: usize) -> Result<Vec<Vec<u8>>, PackFault> {
    let long = ranks::pack(trees, codes, features)?;
    let Some(shortened) = codes.shortened() else {
        return Ok(long);
    };
    let short = ranks::pack(trees, &shortened, features)?;
    let bytes = |groups: &[Vec<u8>]| groups.iter().map(Vec::len).sum::<usize>();
    let most = bytes(&long) + bytes(&long) / SHORT_SHARE;
    if bytes(&short) > most {
        return Ok(long);
    }
    *codes = shortened;
    Ok(short)
}

/// Little-endian bytes of words.
fn bytes_of(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Little-endian bytes of half words.
fn half_bytes_of(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
