//! Trees whose leaves are nodes: `TreeEnsembleClassifier` and `TreeEnsembleRegressor`.

use super::super::{Imports, refuse};
use super::modes::{Mode, Test};
use crate::compile::forest::{Tree, TreeNode};
use crate::onnx::proto::NodeProto;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// What the leaves add: tree id, node id, target, weight, in the file's order.
pub(super) struct Weights {
    values: Vec<(i64, i64, i64, f32)>,
}

impl Weights {
    /// `prefix` is `class` or `target`.
    pub fn of(node: &NodeProto, prefix: &str) -> Imports<Weights> {
        let ints = |name: &str| node.ints(&format!("{prefix}_{name}")).unwrap_or_default();
        let (trees, nodes, ids) = (ints("treeids"), ints("nodeids"), ints("ids"));
        let weights = node
            .floats(&format!("{prefix}_weights"))
            .unwrap_or_default();
        if weights.is_empty() || [trees.len(), nodes.len(), ids.len()] != [weights.len(); 3] {
            return Err(refuse(
                node,
                "the leaf weights are missing or of unequal length",
                "export with float weights",
            ));
        }
        let rows = trees.iter().zip(nodes).zip(ids).zip(weights);
        Ok(Weights {
            values: rows.map(|(((&t, &n), &i), &w)| (t, n, i, w)).collect(),
        })
    }

    /// The target of all weights, if there is only one.
    pub fn only_target(&self) -> Option<i64> {
        let first = self.values.first()?.2;
        self.values
            .iter()
            .all(|&(_, _, id, _)| id == first)
            .then_some(first)
    }

    /// Whether no weight is negative.
    pub fn are_positive(&self) -> bool {
        self.values.iter().all(|&(.., weight)| weight >= 0.0)
    }

    /// The sums of every leaf's weights, by tree and node.
    fn leaves(&self, node: &NodeProto, width: usize) -> Imports<HashMap<(i64, i64), Vec<f32>>> {
        let mut leaves: HashMap<(i64, i64), Vec<f32>> = HashMap::new();
        for &(tree, leaf, target, weight) in &self.values {
            let values = leaves
                .entry((tree, leaf))
                .or_insert_with(|| vec![0.0; width]);
            let target = usize::try_from(target).unwrap_or(usize::MAX);
            let value = values.get_mut(target).ok_or_else(|| {
                let reason = "a leaf weight names no class";
                refuse(node, reason, "export the model again")
            })?;
            *value += weight;
        }
        Ok(leaves)
    }
}

pub(super) fn trees(node: &NodeProto, weights: &Weights, width: usize) -> Imports<Vec<Tree>> {
    let mut leaves = weights.leaves(node, width)?;
    let columns = Columns::of(node)?;
    let mut trees = Vec::new();
    for range in columns.trees(node)? {
        trees.push(columns.tree(node, range, &mut leaves, width)?);
    }
    Ok(trees)
}

/// The parallel lists of a tree ensemble node.
struct Columns<'n> {
    tree: &'n [i64],
    id: &'n [i64],
    feature: &'n [i64],
    threshold: &'n [f32],
    mode: Vec<&'n str>,
    on_true: &'n [i64],
    on_false: &'n [i64],
    missing_true: &'n [i64],
}

impl<'n> Columns<'n> {
    fn of(node: &'n NodeProto) -> Imports<Columns<'n>> {
        let ints = |name| node.ints(name).unwrap_or_default();
        let columns = Columns {
            tree: ints("nodes_treeids"),
            id: ints("nodes_nodeids"),
            feature: ints("nodes_featureids"),
            threshold: node.floats("nodes_values").unwrap_or_default(),
            mode: node.strings("nodes_modes").unwrap_or_default(),
            on_true: ints("nodes_truenodeids"),
            on_false: ints("nodes_falsenodeids"),
            missing_true: ints("nodes_missing_value_tracks_true"),
        };
        let count = columns.tree.len();
        let lengths = [
            columns.id.len(),
            columns.feature.len(),
            columns.threshold.len(),
            columns.mode.len(),
        ];
        let children = [columns.on_true.len(), columns.on_false.len()];
        match count > 0 && lengths == [count; 4] && children == [count; 2] {
            true => Ok(columns),
            false => Err(refuse(
                node,
                "the node lists are of unequal length",
                "export with float thresholds",
            )),
        }
    }

    /// Trees in the order of their first nodes; each entry is the range of its nodes.
    fn trees(&self, node: &NodeProto) -> Imports<Vec<Range<usize>>> {
        let mut start = 0;
        let mut seen = HashSet::new();
        let mut trees = Vec::new();
        for run in self.tree.chunk_by(|a, b| a == b) {
            if !seen.insert(run[0]) {
                let reason = "the nodes of a tree are not together";
                return Err(refuse(node, reason, "sort the nodes by tree"));
            }
            trees.push(start..start + run.len());
            start += run.len();
        }
        Ok(trees)
    }

    fn tree(
        &self,
        node: &NodeProto,
        range: Range<usize>,
        leaves: &mut HashMap<(i64, i64), Vec<f32>>,
        width: usize,
    ) -> Imports<Tree> {
        let places: HashMap<i64, usize> = range
            .clone()
            .enumerate()
            .map(|(place, row)| (self.id[row], place))
            .collect();
        let child = |id: i64| {
            let reason = format!("child {id} does not exist");
            let unknown = || refuse(node, &reason, "export the model again");
            places.get(&id).copied().ok_or_else(unknown)
        };
        let mut nodes = vec![TreeNode::Leaf(Vec::new()); range.len()];
        for (place, row) in range.enumerate() {
            if self.mode[row] == "LEAF" {
                let key = (self.tree[row], self.id[row]);
                let values = leaves.remove(&key).unwrap_or_else(|| vec![0.0; width]);
                nodes[place] = TreeNode::Leaf(values);
                continue;
            }
            let test = Test {
                mode: self.mode(node, row)?,
                feature: usize::try_from(self.feature[row]).unwrap_or(usize::MAX),
                value: self.threshold[row],
                nan_holds: self.missing_true.get(row).is_some_and(|&flag| flag != 0),
                holds: child(self.on_true[row])?,
                fails: child(self.on_false[row])?,
            };
            test.write(&mut nodes, place);
        }
        Ok(Tree { nodes })
    }

    fn mode(&self, node: &NodeProto, row: usize) -> Imports<Mode> {
        let name = self.mode[row];
        let unknown = || {
            let reason = format!("mode {name} is not supported");
            refuse(node, &reason, "use comparisons with one threshold")
        };
        Mode::of_name(name).ok_or_else(unknown)
    }
}
