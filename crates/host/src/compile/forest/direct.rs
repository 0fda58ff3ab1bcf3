//! Lays out few branches that compare thresholds.

use super::leaves::{Codes, Rows};
use super::tree::{Branch, Flat, FlatNode};
use super::{bytes_of, half_bytes_of, ranks};
use std::collections::HashMap;

const PLACE_BITS: u32 = 12;
const MAX_FEATURES: usize = 256;

/// Scores that are summed apart.
const MAX_WIDTH: usize = 4;

/// Instructions of a Cortex-M4 for a branch of either kind.
const DIRECT_BRANCH: usize = 10;
const RANKED_BRANCH: usize = 6;

/// The group, where its numbers fit and it is likely the faster one.
pub(super) fn pack(trees: &[Flat], codes: &Codes, features: usize) -> Option<Vec<u8>> {
    if codes.width > MAX_WIDTH {
        return None;
    }
    let branches: Vec<(usize, usize, Branch)> = trees
        .iter()
        .enumerate()
        .flat_map(|(tree, flat)| {
            let branches = flat.branches().into_iter();
            branches.map(move |(place, branch)| (tree, place, branch))
        })
        .collect();
    let fits = |(_, _, branch): &(usize, usize, Branch)| {
        branch.key >= 0 && !branch.nan_goes_left && branch.feature < MAX_FEATURES
    };
    if !branches.iter().all(fits) || !is_faster(trees, features) {
        return None;
    }
    let indices: HashMap<(usize, usize), usize> = branches
        .iter()
        .enumerate()
        .map(|(index, &(tree, place, _))| ((tree, place), index))
        .collect();
    let mut rows = Rows::default();
    let mut place_of = |tree: usize, node: usize| match trees[tree].nodes[node] {
        FlatNode::Branch(_) => indices[&(tree, node)],
        FlatNode::Leaf(leaf) => branches.len() + codes.code(leaf, &mut rows),
    };
    let (mut thresholds, mut links) = (Vec::new(), Vec::new());
    let mut largest = 0;
    for (tree, _, branch) in &branches {
        let [left, right] = [branch.left, branch.right].map(|node| place_of(*tree, node));
        largest = largest.max(left).max(right);
        thresholds.push(branch.key.cast_unsigned());
        links.push((left | right << PLACE_BITS | branch.feature << (2 * PLACE_BITS)) as u32);
    }
    let roots: Vec<usize> = (0..trees.len()).map(|tree| place_of(tree, 0)).collect();
    let largest = roots.iter().copied().fold(largest, usize::max);
    if largest >> PLACE_BITS != 0 {
        return None;
    }
    let roots: Vec<u16> = roots.iter().map(|&root| root as u16).collect();
    let counts = [
        branches.len(),
        trees.len(),
        rows.entries(),
        rows.values.len(),
    ];
    let counts = counts.map(|count| count as u32);
    let tables = [bytes_of(&counts), bytes_of(&thresholds), bytes_of(&links)];
    let values = bytes_of(&rows.values);
    Some([tables.concat(), half_bytes_of(&roots), rows.bytes, values].concat())
}

/// Whether so few branches are tested that mapping the inputs would cost more.
fn is_faster(trees: &[Flat], features: usize) -> bool {
    let tested: usize = trees.iter().map(mean_depth).sum();
    let columns = ranks::columns(trees, features);
    let mapping = columns.map_or(0, |columns| columns.instructions(features));
    DIRECT_BRANCH * tested < RANKED_BRANCH * tested + mapping
}

/// The mean depth of the leaves, rounded up.
fn mean_depth(flat: &Flat) -> usize {
    let mut depths = vec![0; flat.nodes.len()];
    let (mut total, mut leaves) = (0, 0);
    for place in flat.reachable() {
        match flat.nodes[place] {
            FlatNode::Branch(branch) => {
                depths[branch.left] = depths[place] + 1;
                depths[branch.right] = depths[place] + 1;
            }
            FlatNode::Leaf(_) => {
                total += depths[place];
                leaves += 1;
            }
        }
    }
    usize::div_ceil(total, leaves.max(1))
}
