//! Trees as they come, and as branches over keys.

use super::leaves::Codes;
use super::{PackFault, fault};

/// Nodes of one tree; the first is the root. Children may be shared.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    pub nodes: Vec<TreeNode>,
}

/// A node; children are indices in the tree.
#[derive(Clone, Debug)]
pub(crate) enum TreeNode {
    /// Goes left if `x[feature] ≤ threshold`.
    Branch {
        feature: usize,
        threshold: Threshold,
        nan_goes_left: bool,
        left: usize,
        right: usize,
    },
    Leaf(Vec<f32>),
}

/// Order of the bits of `f32` as integers: grows with the number. No number lies between -0.0 and
/// 0.0, and no threshold is -0.0, so `x ≤ t` is `key(x) ≤ key(t)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Threshold(pub i32);

impl Threshold {
    /// The test `x ≤ value`; for a NaN one that no number passes.
    pub fn at_most(value: f32) -> Self {
        if value.is_nan() {
            return Self::at_most(f32::NEG_INFINITY).down();
        }
        let bits = (value + 0.0).to_bits().cast_signed();
        Self(bits ^ ((bits >> 31).cast_unsigned() >> 1).cast_signed())
    }

    /// The test `x < value`.
    pub fn below(value: f32) -> Self {
        match value.is_nan() {
            true => Self::at_most(value),
            false => Self::at_most(value).down(),
        }
    }

    /// The next smaller test; between 0.0 and the number before stands -0.0, which equals 0.0.
    fn down(self) -> Self {
        Self(if self.0 == 0 { -2 } else { self.0 - 1 })
    }
}

/// A tree in pre-order, the first node its root, without branches that decide nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Flat {
    pub nodes: Vec<FlatNode>,
}

/// A node; children stand behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FlatNode {
    Branch(Branch),
    /// Index among the different leaves.
    Leaf(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Branch {
    pub feature: usize,
    pub key: i32,
    pub nan_goes_left: bool,
    pub left: usize,
    pub right: usize,
}

/// Nodes a tree may have once shared children are copied, for each it has.
const MAX_COPIES: usize = 16;

impl Tree {
    /// The values of all leaves.
    pub fn leaves(&self) -> impl Iterator<Item = &[f32]> {
        self.nodes.iter().filter_map(|node| match node {
            TreeNode::Leaf(values) => Some(&values[..]),
            TreeNode::Branch { .. } => None,
        })
    }
}

impl Flat {
    pub fn of(tree: &Tree, features: usize, codes: &Codes) -> Result<Flat, PackFault> {
        let mut flat = Flat::default();
        // A node to be written, and the branch whose right child it is.
        let mut todo = vec![(0, None)];
        while let Some((node, parent)) = todo.pop() {
            let place = flat.nodes.len();
            if place >= tree.nodes.len().saturating_mul(MAX_COPIES) {
                let reason = "a tree contains a cycle or shares too many branches";
                return Err(fault(reason, "export the model again"));
            }
            if let Some(parent) = parent {
                flat.set_right(parent, place);
            }
            flat.nodes.push(match &tree.nodes[node] {
                TreeNode::Leaf(values) => FlatNode::Leaf(codes.leaf(values)),
                TreeNode::Branch {
                    feature,
                    threshold,
                    nan_goes_left,
                    left,
                    right,
                } => {
                    if *feature >= features.min(1 << 16) {
                        let reason = format!("a node tests feature {feature}");
                        return Err(fault(&reason, "use at most the input's features"));
                    }
                    todo.push((*right, Some(place)));
                    todo.push((*left, None));
                    FlatNode::Branch(Branch {
                        feature: *feature,
                        key: threshold.0,
                        nan_goes_left: *nan_goes_left,
                        left: place + 1,
                        right: 0,
                    })
                }
            });
        }
        flat.prune();
        Ok(flat)
    }

    fn set_right(&mut self, branch: usize, place: usize) {
        if let FlatNode::Branch(branch) = &mut self.nodes[branch] {
            branch.right = place;
        }
    }

    /// Turns branches whose sides are equal leaves into that leaf. What it leaves behind unused
    /// is not laid out.
    fn prune(&mut self) {
        for place in (0..self.nodes.len()).rev() {
            if let FlatNode::Branch(branch) = self.nodes[place] {
                let [left, right] = [branch.left, branch.right].map(|child| self.nodes[child]);
                if left == right && matches!(left, FlatNode::Leaf(_)) {
                    self.nodes[place] = left;
                }
            }
        }
    }

    /// Nodes that a walk can reach, in pre-order.
    pub fn reachable(&self) -> Vec<usize> {
        let (mut todo, mut reached) = (vec![0], Vec::new());
        while let Some(place) = todo.pop() {
            reached.push(place);
            if let FlatNode::Branch(branch) = self.nodes[place] {
                todo.extend([branch.right, branch.left]);
            }
        }
        reached
    }

    /// Branches that a walk can reach.
    pub fn branches(&self) -> Vec<(usize, Branch)> {
        let branch = |place| match self.nodes[place] {
            FlatNode::Branch(branch) => Some((place, branch)),
            FlatNode::Leaf(_) => None,
        };
        self.reachable().into_iter().filter_map(branch).collect()
    }
}
