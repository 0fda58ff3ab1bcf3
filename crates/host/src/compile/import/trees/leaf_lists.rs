//! Trees whose leaves are a list of their own: `TreeEnsemble`.

use super::super::{Imports, refuse};
use super::modes::{Mode, Test};
use crate::compile::forest::{Tree, TreeNode};
use crate::onnx::OnnxError;
use crate::onnx::proto::{NodeProto, TensorProto};

/// The parallel lists of the node: inner nodes, then leaves.
struct Lists<'n> {
    node: &'n NodeProto,
    width: usize,
    feature: &'n [i64],
    split: Vec<f32>,
    mode: Vec<u8>,
    on_true: &'n [i64],
    true_is_leaf: &'n [i64],
    on_false: &'n [i64],
    false_is_leaf: &'n [i64],
    missing_true: &'n [i64],
    target: &'n [i64],
    weight: Vec<f32>,
}

pub(super) fn trees(node: &NodeProto, width: usize) -> Imports<Vec<Tree>> {
    let lists = Lists::of(node, width)?;
    let roots = node.ints("tree_roots").unwrap_or_default();
    if roots.is_empty() {
        return Err(refuse(node, "there are no trees", "export the model again"));
    }
    roots.iter().map(|&root| lists.tree(root)).collect()
}

impl<'n> Lists<'n> {
    fn of(node: &'n NodeProto, width: usize) -> Imports<Lists<'n>> {
        let ints = |name| node.ints(name).unwrap_or_default();
        let floats = |name| list(node, name, TensorProto::to_f32);
        let lists = Lists {
            node,
            width,
            feature: ints("nodes_featureids"),
            split: floats("nodes_splits")?,
            mode: list(node, "nodes_modes", TensorProto::to_u8)?,
            on_true: ints("nodes_truenodeids"),
            true_is_leaf: ints("nodes_trueleafs"),
            on_false: ints("nodes_falsenodeids"),
            false_is_leaf: ints("nodes_falseleafs"),
            missing_true: ints("nodes_missing_value_tracks_true"),
            target: ints("leaf_targetids"),
            weight: floats("leaf_weights")?,
        };
        let nodes = [
            lists.feature.len(),
            lists.mode.len(),
            lists.on_true.len(),
            lists.true_is_leaf.len(),
            lists.on_false.len(),
            lists.false_is_leaf.len(),
        ];
        match nodes == [lists.split.len(); 6] && lists.target.len() == lists.weight.len() {
            true => Ok(lists),
            false => Err(lists.fault("the node or leaf lists are of unequal length")),
        }
    }

    fn fault(&self, reason: &str) -> crate::compile::CompileError {
        refuse(self.node, reason, "export the model again")
    }

    fn tree(&self, root: i64) -> Imports<Tree> {
        let mut nodes = vec![TreeNode::Leaf(Vec::new())];
        // Place in the tree, index in the lists, whether it is a leaf there.
        let mut todo = vec![(0, root, false)];
        while let Some((place, index, is_leaf)) = todo.pop() {
            let index = usize::try_from(index).unwrap_or(usize::MAX);
            if is_leaf {
                nodes[place] = self.leaf(index)?;
                continue;
            }
            let sides = nodes.len();
            if sides > 4 * (self.split.len() + self.target.len()) + 4 {
                return Err(self.fault("a tree contains a cycle"));
            }
            nodes.extend([TreeNode::Leaf(Vec::new()), TreeNode::Leaf(Vec::new())]);
            self.test(index, sides)?.write(&mut nodes, place);
            let is_leaf = [
                self.true_is_leaf[index] != 0,
                self.false_is_leaf[index] != 0,
            ];
            todo.push((sides, self.on_true[index], is_leaf[0]));
            todo.push((sides + 1, self.on_false[index], is_leaf[1]));
        }
        Ok(Tree { nodes })
    }

    fn leaf(&self, index: usize) -> Imports<TreeNode> {
        let mut values = vec![0.0; self.width];
        let target = self.target.get(index).copied().unwrap_or(-1);
        let target = usize::try_from(target).unwrap_or(usize::MAX);
        match (values.get_mut(target), self.weight.get(index)) {
            (Some(value), Some(&weight)) => *value = weight,
            _ => return Err(self.fault("a leaf does not exist or names no target")),
        }
        Ok(TreeNode::Leaf(values))
    }

    fn test(&self, index: usize, sides: usize) -> Imports<Test> {
        let code = *self
            .mode
            .get(index)
            .ok_or_else(|| self.fault("a node does not exist"))?;
        let unknown = || {
            let reason = format!("mode {code} is not supported");
            refuse(self.node, &reason, "use comparisons with one threshold")
        };
        Ok(Test {
            mode: Mode::of_code(code).ok_or_else(unknown)?,
            feature: usize::try_from(self.feature[index]).unwrap_or(usize::MAX),
            value: self.split[index],
            nan_holds: self.missing_true.get(index).is_some_and(|&flag| flag != 0),
            holds: sides,
            fails: sides + 1,
        })
    }
}

/// A list that is a tensor.
fn list<T>(
    node: &NodeProto,
    name: &str,
    read: fn(&TensorProto) -> Result<Vec<T>, OnnxError>,
) -> Imports<Vec<T>> {
    let tensor = node.tensor(name).ok_or_else(|| {
        let reason = format!("{name} is missing");
        refuse(node, &reason, "export the model again")
    })?;
    let unreadable = |_| {
        let reason = format!("{name} is not of 32-bit floats or bytes");
        refuse(node, &reason, "export with float thresholds and weights")
    };
    read(tensor).map_err(unreadable)
}
