//! `TreeEnsembleClassifier` and `TreeEnsembleRegressor`.

use super::{Importer, Imports, Made, output_name, refuse};
use crate::compile::constant::Data;
use crate::compile::forest::{Forest, LeafValues, Packed, Tree, TreeNode};
use crate::compile::graph::{Op, ValueId};
use crate::onnx::proto::NodeProto;
use dunlin_engine::format::OpCode;
use std::collections::HashMap;

impl Importer<'_> {
    /// Scores, then the label, then the post-transform, in ONNX Runtime's order.
    ///
    /// With two classes and weights for one of them only, the score `s` is the second class's:
    /// probabilities are `[1 - s, s]` where no weight is negative, `[-s, s]` otherwise.
    pub(super) fn tree_classifier(&mut self, node: &NodeProto) -> Imports {
        let names = node
            .strings("classlabels_strings")
            .unwrap_or_default()
            .len();
        let classes = names.max(node.ints("classlabels_int64s").unwrap_or_default().len());
        let weights = Weights::of(node, "class")?;
        let labels = self.class_labels(node, classes)?;
        let scores = match (classes, weights.only_target()) {
            (2, Some(0)) => return self.binary_classifier(node, &weights, labels),
            _ => self.ensemble(node, &weights, classes)?,
        };
        let label = self.label_of(output_name(node), scores, labels);
        self.bind(node, 0, label);
        let probabilities = self.post_transform(node, scores)?;
        self.bind(node, 1, probabilities);
        Ok(())
    }

    fn binary_classifier(
        &mut self,
        node: &NodeProto,
        weights: &Weights,
        labels: Option<Vec<i32>>,
    ) -> Imports {
        let score = self.ensemble(node, weights, 1)?;
        let positive = weights.values.iter().all(|&(.., weight)| weight >= 0.0);
        let both = self.mul_constant_row(node, score, vec![-1.0, 1.0])?;
        let compared = match positive {
            true => self.add_constant_row(node, both, vec![1.0, 0.0])?,
            false => both,
        };
        let label = self.label_of(output_name(node), compared, labels);
        self.bind(node, 0, label);
        let probabilities = match node.string("post_transform").unwrap_or("NONE") {
            "LOGISTIC" => self.post_transform(node, both)?,
            "NONE" | "SOFTMAX" => compared,
            _ => {
                return Err(refuse(
                    node,
                    "the post_transform is not supported",
                    "use NONE or LOGISTIC",
                ));
            }
        };
        self.bind(node, 1, probabilities);
        Ok(())
    }

    pub(super) fn tree_regressor(&mut self, node: &NodeProto) -> Imports {
        let targets = node.int("n_targets").unwrap_or(1).max(1) as usize;
        let weights = Weights::of(node, "target")?;
        let average = match node.string("aggregate_function").unwrap_or("SUM") {
            "SUM" => false,
            "AVERAGE" => true,
            other => {
                return Err(refuse(
                    node,
                    &format!("aggregate {other} is not supported"),
                    "use SUM or AVERAGE",
                ));
            }
        };
        if average
            && node
                .floats("base_values")
                .is_some_and(|values| !values.is_empty())
        {
            return Err(refuse(
                node,
                "an average with base values is not supported",
                "use SUM",
            ));
        }
        let mut result = self.ensemble(node, &weights, targets)?;
        if average {
            let trees = trees_of(node)?.len() as f32;
            let count = self
                .graph
                .add_constant("trees", &[1], Data::F32(vec![trees]));
            result = self.binary_values(node, OpCode::Div, result, count)?;
        }
        let result = self.post_transform(node, result)?;
        self.bind(node, 0, result);
        Ok(())
    }

    /// The sums of leaves, `[1, width]`, base values included.
    fn ensemble(&mut self, node: &NodeProto, weights: &Weights, width: usize) -> Imports<ValueId> {
        let x = self.computed_input(node)?;
        let forest = Forest {
            trees: trees_with(node, weights, width)?,
        };
        let packed = forest
            .pack(self.options.leaves, self.graph.values[x].elements())
            .map_err(|fault| refuse(node, &fault.reason, fault.nearest))?;
        let scores = self.emit_forest(node, x, packed, width);
        match node.floats("base_values").unwrap_or_default() {
            [] => Ok(scores),
            base if base.len() == width => self.add_constant_row(node, scores, base.to_vec()),
            _ => Err(refuse(
                node,
                "base_values do not fit the scores",
                "give one per score",
            )),
        }
    }

    fn emit_forest(
        &mut self,
        node: &NodeProto,
        x: ValueId,
        packed: Packed,
        width: usize,
    ) -> ValueId {
        let (branches, leaves) = (packed.nodes.len() / 8, packed.leaves.len() / 2);
        let (values, step) = match packed.values {
            LeafValues::Exact(values) => (Data::F32(values), None),
            LeafValues::Compact { steps, step } => (Data::Bytes(steps), Some(step)),
        };
        let rows = values.len() / width.max(1);
        let constants = [
            self.graph.add_constant(
                "trees",
                &[packed.branches.len()],
                Data::I32(packed.branches),
            ),
            self.graph
                .add_constant("nodes", &[branches, 8], Data::Bytes(packed.nodes)),
            self.graph
                .add_constant("leaves", &[leaves, 2], Data::Bytes(packed.leaves)),
            self.graph
                .add_constant("leaf values", &[rows, width], values),
        ];
        let inputs = [&[x], &constants[..]].concat();
        self.emit(
            output_name(node),
            Op::TreeEnsemble { step },
            &inputs,
            Made::floats(&[1, width]),
        )
    }
}

/// What the leaves add: tree id, node id, target, weight, in the file's order.
struct Weights {
    values: Vec<(i64, i64, i64, f32)>,
}

impl Weights {
    /// `prefix` is `class` or `target`.
    fn of(node: &NodeProto, prefix: &str) -> Imports<Weights> {
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
    fn only_target(&self) -> Option<i64> {
        let first = self.values.first()?.2;
        self.values
            .iter()
            .all(|&(_, _, id, _)| id == first)
            .then_some(first)
    }
}

/// Trees in the order of their first nodes; each entry is the range of its nodes.
fn trees_of(node: &NodeProto) -> Imports<Vec<std::ops::Range<usize>>> {
    let ids = node.ints("nodes_treeids").unwrap_or_default();
    let mut start = 0;
    let mut seen = std::collections::HashSet::new();
    let mut trees = Vec::new();
    for run in ids.chunk_by(|a, b| a == b) {
        if !seen.insert(run[0]) {
            return Err(refuse(
                node,
                "the nodes of a tree are not together",
                "sort the nodes by tree",
            ));
        }
        trees.push(start..start + run.len());
        start += run.len();
    }
    Ok(trees)
}

fn trees_with(node: &NodeProto, weights: &Weights, width: usize) -> Imports<Vec<Tree>> {
    let mut leaves: HashMap<(i64, i64), Vec<f32>> = HashMap::new();
    for &(tree, leaf, target, weight) in &weights.values {
        let values = leaves
            .entry((tree, leaf))
            .or_insert_with(|| vec![0.0; width]);
        let value = usize::try_from(target)
            .ok()
            .and_then(|target| values.get_mut(target));
        *value.ok_or_else(|| {
            refuse(
                node,
                "a leaf weight names no class",
                "export the model again",
            )
        })? += weight;
    }
    let columns = Columns::of(node)?;
    let mut trees = Vec::new();
    for range in trees_of(node)? {
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

    fn tree(
        &self,
        node: &NodeProto,
        range: std::ops::Range<usize>,
        leaves: &mut HashMap<(i64, i64), Vec<f32>>,
        width: usize,
    ) -> Imports<Tree> {
        let places: HashMap<i64, usize> = range
            .clone()
            .enumerate()
            .map(|(place, row)| (self.id[row], place))
            .collect();
        let child = |id: i64| {
            let unknown = || {
                refuse(
                    node,
                    &format!("child {id} does not exist"),
                    "export the model again",
                )
            };
            places.get(&id).copied().ok_or_else(unknown)
        };
        let mut nodes = Vec::new();
        for row in range {
            nodes.push(match self.mode[row] {
                "LEAF" => {
                    let key = (self.tree[row], self.id[row]);
                    TreeNode::Leaf(leaves.remove(&key).unwrap_or_else(|| vec![0.0; width]))
                }
                mode => TreeNode::Branch {
                    feature: usize::try_from(self.feature[row]).unwrap_or(usize::MAX),
                    threshold: threshold(node, mode, self.threshold[row])?,
                    nan_goes_left: self.missing_true.get(row).is_some_and(|&flag| flag != 0),
                    left: child(self.on_true[row])?,
                    right: child(self.on_false[row])?,
                },
            });
        }
        Ok(Tree { nodes })
    }
}

/// The threshold of `x ≤ t` that decides as the mode does.
///
/// `x < t` is `x ≤` the next smaller `f32`, for every `x` but NaN, which fails both.
fn threshold(node: &NodeProto, mode: &str, value: f32) -> Imports<f32> {
    match mode {
        "BRANCH_LEQ" => Ok(value),
        "BRANCH_LT" if value == f32::NEG_INFINITY => Ok(f32::NAN),
        "BRANCH_LT" => Ok(value.next_down()),
        other => Err(refuse(
            node,
            &format!("mode {other} is not supported"),
            "use BRANCH_LEQ with swapped children",
        )),
    }
}
