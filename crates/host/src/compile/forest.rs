//! Packs decision trees into the engine's tables.
//!
//! Branches stand in pre-order, leaves from left to right; a branch stores how many branches its
//! left subtree has, and everything else follows from that. Equal leaves are stored once.

use super::options::Leaves;
use dunlin_engine::format::MAX_TREE_NESTING;
use std::collections::HashMap;

/// Trees whose leaves are added.
pub(crate) struct Forest {
    pub trees: Vec<Tree>,
}

/// Nodes of one tree; the first is the root.
pub(crate) struct Tree {
    pub nodes: Vec<TreeNode>,
}

/// A node; children are indices in the tree.
#[derive(Clone, Debug)]
pub(crate) enum TreeNode {
    /// Goes left if `x[feature] ≤ threshold`.
    Branch {
        feature: usize,
        threshold: f32,
        nan_goes_left: bool,
        left: usize,
        right: usize,
    },
    Leaf(Vec<f32>),
}

/// The tables of a `tree_ensemble`.
#[derive(Debug)]
pub(crate) struct Packed {
    /// Branches of each tree.
    pub branches: Vec<i32>,
    /// 8 bytes per branch; never empty.
    pub nodes: Vec<u8>,
    /// 2 bytes per leaf: an index of `values`.
    pub leaves: Vec<u8>,
    pub values: LeafValues,
}

/// Distinct leaves.
#[derive(Debug, PartialEq)]
pub(crate) enum LeafValues {
    Exact(Vec<f32>),
    /// Whole steps of `step`.
    Compact {
        steps: Vec<u8>,
        step: f32,
    },
}

/// Why a forest cannot be packed.
#[derive(Debug)]
pub(crate) struct PackFault {
    pub reason: String,
    pub nearest: &'static str,
}

impl Forest {
    /// The tables, for inputs of `features` values.
    pub fn pack(&self, leaves: Leaves, features: usize) -> Result<Packed, PackFault> {
        let mut writer = Writer {
            features,
            ..Writer::default()
        };
        for tree in &self.trees {
            let before = writer.nodes.len();
            writer.write(tree)?;
            writer
                .branches
                .push(((writer.nodes.len() - before) / 8) as i32);
        }
        let (indices, values) = match leaves {
            Leaves::Exact if are_counts(&writer.leaves) => in_steps(&writer.leaves, 1.0)?,
            Leaves::Exact => distinct(&writer.leaves)?,
            Leaves::Compact => compact(&writer.leaves)?,
        };
        let mut nodes = writer.nodes;
        if nodes.is_empty() {
            nodes = vec![0; 8];
        }
        Ok(Packed {
            branches: writer.branches,
            nodes,
            leaves: indices,
            values,
        })
    }
}

#[derive(Default)]
struct Writer<'f> {
    features: usize,
    branches: Vec<i32>,
    nodes: Vec<u8>,
    leaves: Vec<&'f [f32]>,
}

/// What is left to do in a walk over a tree.
enum Step {
    Visit {
        node: usize,
        nesting: usize,
    },
    /// The left subtree of the branch written at `place` is complete.
    LeftDone {
        place: usize,
    },
}

impl<'f> Writer<'f> {
    fn write(&mut self, tree: &'f Tree) -> Result<(), PackFault> {
        let mut todo = vec![Step::Visit {
            node: 0,
            nesting: 0,
        }];
        let mut visited = 0;
        while let Some(step) = todo.pop() {
            match step {
                Step::LeftDone { place } => self.set_left_count(place)?,
                Step::Visit { node, nesting } => {
                    visited += 1;
                    if visited > tree.nodes.len() {
                        return Err(fault("a tree contains a cycle", "export the model again"));
                    }
                    self.visit(tree, node, nesting, &mut todo)?;
                }
            }
        }
        Ok(())
    }

    /// Writes one node and says what is left to do below it.
    fn visit(
        &mut self,
        tree: &'f Tree,
        node: usize,
        nesting: usize,
        todo: &mut Vec<Step>,
    ) -> Result<(), PackFault> {
        let (left, right, place) = match &tree.nodes[node] {
            TreeNode::Leaf(values) => {
                self.leaves.push(values);
                return Ok(());
            }
            TreeNode::Branch {
                feature,
                threshold,
                nan_goes_left,
                left,
                right,
            } => {
                let place = self.write_branch(*feature, *threshold, *nan_goes_left)?;
                (*left, *right, place)
            }
        };
        let is_leaf = |child: usize| matches!(tree.nodes[child], TreeNode::Leaf(_));
        let inside = nesting + usize::from(!is_leaf(left) && !is_leaf(right));
        if inside > MAX_TREE_NESTING {
            let advice = "limit the depth to 64";
            return Err(fault("a tree is nested too deeply", advice));
        }
        let visit = |node, nesting| Step::Visit { node, nesting };
        todo.push(visit(right, nesting));
        todo.push(Step::LeftDone { place });
        todo.push(visit(left, inside));
        Ok(())
    }

    fn write_branch(
        &mut self,
        feature: usize,
        threshold: f32,
        nan_goes_left: bool,
    ) -> Result<usize, PackFault> {
        if feature >= self.features || feature >= 0x8000 {
            return Err(fault(
                &format!("a node tests feature {feature}"),
                "use at most the input's features",
            ));
        }
        let place = self.nodes.len();
        self.nodes.extend(threshold.to_le_bytes());
        self.nodes
            .extend((feature as u16 | u16::from(nan_goes_left) << 15).to_le_bytes());
        self.nodes.extend([0, 0]);
        Ok(place)
    }

    fn set_left_count(&mut self, place: usize) -> Result<(), PackFault> {
        let count = u16::try_from((self.nodes.len() - place) / 8 - 1)
            .map_err(|_| fault("a tree has more than 65536 branches", "limit the depth"))?;
        self.nodes[place + 6..place + 8].copy_from_slice(&count.to_le_bytes());
        Ok(())
    }
}

fn fault(reason: &str, nearest: &'static str) -> PackFault {
    PackFault {
        reason: reason.to_owned(),
        nearest,
    }
}

/// An index per leaf and the rows they point to, in order of first use.
fn index_rows<K: std::hash::Hash + Eq + Clone>(
    rows: &[Vec<K>],
) -> Result<(Vec<u8>, Vec<K>), PackFault> {
    let mut places: HashMap<&[K], u16> = HashMap::new();
    let (mut indices, mut table) = (Vec::new(), Vec::new());
    for row in rows {
        let next = places.len();
        let too_many = || {
            fault(
                "more than 65536 different leaves",
                "use compact leaves or smaller trees",
            )
        };
        let index = match places.get(&row[..]) {
            Some(&index) => index,
            None => {
                table.extend_from_slice(row);
                u16::try_from(next).map_err(|_| too_many())?
            }
        };
        places.insert(row, index);
        indices.extend(index.to_le_bytes());
    }
    Ok((indices, table))
}

fn distinct(leaves: &[&[f32]]) -> Result<(Vec<u8>, LeafValues), PackFault> {
    let bits: Vec<Vec<u32>> = leaves
        .iter()
        .map(|leaf| leaf.iter().map(|v| v.to_bits()).collect())
        .collect();
    let (indices, table) = index_rows(&bits)?;
    Ok((
        indices,
        LeafValues::Exact(table.into_iter().map(f32::from_bits).collect()),
    ))
}

fn compact(leaves: &[&[f32]]) -> Result<(Vec<u8>, LeafValues), PackFault> {
    let all = || leaves.iter().flat_map(|leaf| leaf.iter().copied());
    if all().any(|value| !(0.0..=f32::MAX).contains(&value)) {
        return Err(fault(
            "compact leaves need finite values that are not negative",
            "use exact leaves",
        ));
    }
    let largest = all().fold(f32::MIN_POSITIVE * 256.0, f32::max);
    let step = if are_counts(leaves) {
        1.0
    } else {
        largest / 255.0
    };
    in_steps(leaves, step)
}

/// Whether every value is a whole number that fits a byte: votes. Sums of them are exact either
/// way.
fn are_counts(leaves: &[&[f32]]) -> bool {
    let values = leaves.iter().flat_map(|leaf| leaf.iter());
    values
        .into_iter()
        .all(|&value| value == f32::from(value as u8) && value.is_sign_positive())
}

fn in_steps(leaves: &[&[f32]], step: f32) -> Result<(Vec<u8>, LeafValues), PackFault> {
    let round = |value: &f32| (value / step).round_ties_even() as u8;
    let rows: Vec<Vec<u8>> = leaves
        .iter()
        .map(|leaf| leaf.iter().map(round).collect())
        .collect();
    let (indices, steps) = index_rows(&rows)?;
    Ok((indices, LeafValues::Compact { steps, step }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn branch(feature: usize, threshold: f32, left: usize, right: usize) -> TreeNode {
        TreeNode::Branch {
            feature,
            threshold,
            nan_goes_left: false,
            left,
            right,
        }
    }

    fn leaf(value: f32) -> TreeNode {
        TreeNode::Leaf(vec![value])
    }

    #[test]
    fn branches_stand_in_pre_order_with_left_counts() {
        let nodes = vec![
            branch(1, 0.5, 3, 1),
            branch(0, 2.0, 2, 4),
            leaf(7.5),
            leaf(5.5),
            leaf(5.5),
        ];
        let packed = Forest {
            trees: vec![Tree { nodes }],
        }
        .pack(Leaves::Exact, 2)
        .unwrap();
        assert_eq!(packed.branches, [2]);
        let expected = [
            [0.5_f32.to_le_bytes(), [1, 0, 0, 0]],
            [2.0_f32.to_le_bytes(), [0, 0, 0, 0]],
        ];
        assert_eq!(packed.nodes, expected.concat().concat());
        assert_eq!(packed.leaves, [0, 0, 1, 0, 0, 0]);
        assert_eq!(packed.values, LeafValues::Exact(vec![5.5, 7.5]));
    }

    #[test]
    fn left_counts_count_branches_below() {
        let nodes = vec![
            branch(0, 1.0, 1, 2),
            branch(0, 0.0, 3, 4),
            leaf(1.5),
            leaf(2.5),
            leaf(3.5),
        ];
        let packed = Forest {
            trees: vec![Tree { nodes }],
        }
        .pack(Leaves::Exact, 1)
        .unwrap();
        assert_eq!(packed.nodes[6..8], [1, 0]);
        assert_eq!(packed.leaves, [0, 0, 1, 0, 2, 0]);
        assert_eq!(packed.values, LeafValues::Exact(vec![2.5, 3.5, 1.5]));
    }

    #[test]
    fn votes_take_a_byte_and_stay_exact() {
        let trees = [[0.0, 1.0], [1.0, 0.0]].map(|vote| Tree {
            nodes: vec![TreeNode::Leaf(vote.to_vec())],
        });
        let packed = Forest {
            trees: trees.into(),
        }
        .pack(Leaves::Exact, 1)
        .unwrap();
        assert_eq!(
            packed.values,
            LeafValues::Compact {
                steps: vec![0, 1, 1, 0],
                step: 1.0
            }
        );
    }

    #[test]
    fn a_cycle_is_refused() {
        let nodes = vec![branch(0, 1.0, 0, 1), leaf(1.0)];
        let forest = Forest {
            trees: vec![Tree { nodes }],
        };
        assert!(
            forest
                .pack(Leaves::Exact, 1)
                .unwrap_err()
                .reason
                .contains("cycle")
        );
    }

    #[test]
    fn compact_leaves_are_within_half_a_step() {
        let values = [0.01_f32, 0.0033, 0.0, 0.0099];
        let trees = values
            .iter()
            .map(|&value| Tree {
                nodes: vec![leaf(value)],
            })
            .collect();
        let packed = Forest { trees }.pack(Leaves::Compact, 1).unwrap();
        let LeafValues::Compact { steps, step } = packed.values else {
            panic!("not compact")
        };
        for (value, &code) in values.iter().zip(&steps) {
            assert!(
                (value - f32::from(code) * step).abs() <= 0.500_001 * step,
                "{value} became {code}"
            );
        }
    }
}
