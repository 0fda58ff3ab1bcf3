//! What was learned: layers of neurons or a forest.

use crate::onnx::builder::{self, GraphBuilder, Value};
use serde::{Deserialize, Serialize};

/// A dense layer: `y = x·W + b`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dense {
    /// Values in.
    pub inputs: usize,
    /// Values out.
    pub outputs: usize,
    /// `[outputs, inputs]`, row-major: one row per output.
    pub weights: Vec<f32>,
    /// `[outputs]`
    pub bias: Vec<f32>,
}

/// Layers with rectified linear units between them and a softmax at the end. Logistic regression is one layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// From input to output.
    pub layers: Vec<Dense>,
}

/// Decision trees that vote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forest {
    /// Number of classes.
    pub classes: usize,
    /// The trees.
    pub trees: Vec<Tree>,
}

/// A tree; node 0 is the root and children come after their parent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tree {
    /// The nodes in pre-order.
    pub nodes: Vec<Node>,
}

/// A node of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Node {
    /// Left when the value is at most the threshold.
    Branch {
        /// Index of the value.
        value: usize,
        /// Compared as `f32`.
        threshold: f32,
        /// Index of the node for values at most the threshold.
        left: usize,
        /// Index of the node for the others.
        right: usize,
    },
    /// A vote.
    Leaf {
        /// The class voted for.
        class: usize,
    },
}

/// Anything that gives class probabilities.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Core {
    /// Dense layers.
    Network(Network),
    /// Trees.
    Forest(Forest),
}

impl Core {
    /// Probabilities `[classes]` of one row of values, in single precision.
    pub fn probabilities(&self, values: &[f32]) -> Vec<f32> {
        match self {
            Core::Network(network) => network.probabilities(values),
            Core::Forest(forest) => forest.probabilities(values),
        }
    }

    /// Adds the nodes from values `[batch, width]` to probabilities `[batch, classes]`.
    pub fn emit(&self, graph: &mut GraphBuilder, values: &Value) -> Value {
        match self {
            Core::Network(network) => network.emit(graph, values),
            Core::Forest(forest) => forest.emit(graph, values),
        }
    }
}

impl Network {
    /// Outputs before the softmax.
    pub fn logits(&self, values: &[f32]) -> Vec<f32> {
        let mut current = values.to_vec();
        for (index, layer) in self.layers.iter().enumerate() {
            current = layer.apply(&current);
            if index + 1 < self.layers.len() {
                current.iter_mut().for_each(|value| *value = value.max(0.0));
            }
        }
        current
    }

    fn probabilities(&self, values: &[f32]) -> Vec<f32> {
        let logits = self.logits(values);
        let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let powers: Vec<f32> = logits.iter().map(|logit| (logit - highest).exp()).collect();
        let sum: f32 = powers.iter().sum();
        powers.iter().map(|power| power / sum).collect()
    }

    fn emit(&self, graph: &mut GraphBuilder, values: &Value) -> Value {
        let mut current = values.clone();
        for (index, layer) in self.layers.iter().enumerate() {
            let weights = graph.constant_f32(
                &format!("weights_{index}"),
                &[layer.outputs, layer.inputs],
                &layer.weights,
            );
            let bias = graph.constant_f32(&format!("bias_{index}"), &[layer.outputs], &layer.bias);
            current = graph.node(
                "Gemm",
                &[&current, &weights, &bias],
                vec![builder::int("transB", 1)],
            );
            if index + 1 < self.layers.len() {
                current = graph.node("Relu", &[&current], vec![]);
            }
        }
        graph.node("Softmax", &[&current], vec![builder::int("axis", 1)])
    }
}

impl Dense {
    fn apply(&self, values: &[f32]) -> Vec<f32> {
        let dot = |row: &[f32]| {
            row.iter()
                .zip(values)
                .map(|(weight, value)| weight * value)
                .sum::<f32>()
        };
        self.weights
            .chunks_exact(self.inputs)
            .zip(&self.bias)
            .map(|(row, bias)| dot(row) + bias)
            .collect()
    }
}

impl Tree {
    /// The class the tree votes for; the walk goes down, so it ends.
    pub fn vote(&self, values: &[f32]) -> usize {
        let mut at = 0;
        loop {
            match self.nodes[at] {
                Node::Leaf { class } => return class,
                Node::Branch {
                    value,
                    threshold,
                    left,
                    right,
                } => {
                    at = if values[value] <= threshold {
                        left
                    } else {
                        right
                    }
                }
            }
        }
    }

    /// The same tree without branches whose every leaf votes alike: same votes, fewer nodes.
    pub fn simplified(&self) -> Tree {
        let mut nodes = Vec::new();
        self.simplify(0, &mut nodes);
        Tree { nodes }
    }

    fn simplify(&self, at: usize, nodes: &mut Vec<Node>) -> Option<usize> {
        let place = nodes.len();
        match self.nodes[at] {
            Node::Leaf { class } => {
                nodes.push(Node::Leaf { class });
                Some(class)
            }
            Node::Branch {
                value,
                threshold,
                left,
                right,
            } => {
                nodes.push(Node::Leaf { class: 0 });
                let below = self.simplify(left, nodes);
                let above_at = nodes.len();
                let above = self.simplify(right, nodes);
                if below.is_some() && below == above {
                    nodes.truncate(place + 1);
                    nodes[place] = Node::Leaf {
                        class: below.unwrap_or_default(),
                    };
                    return below;
                }
                nodes[place] = Node::Branch {
                    value,
                    threshold,
                    left: place + 1,
                    right: above_at,
                };
                None
            }
        }
    }
}

impl Forest {
    /// Branches and leaves of all trees.
    pub fn nodes(&self) -> usize {
        self.trees.iter().map(|tree| tree.nodes.len()).sum()
    }

    fn probabilities(&self, values: &[f32]) -> Vec<f32> {
        let mut votes = vec![0.0f32; self.classes];
        for tree in &self.trees {
            votes[tree.vote(values)] += 1.0;
        }
        let share = 1.0 / self.trees.len() as f32;
        votes.iter().map(|count| count * share).collect()
    }

    /// Votes are summed as whole numbers, exactly, and multiplied once; so every runtime gets the same bytes.
    fn emit(&self, graph: &mut GraphBuilder, values: &Value) -> Value {
        let attributes = TreeTable::of(self).attributes(self.classes);
        let outputs = graph.ml_node("TreeEnsembleClassifier", &[values], attributes, 2);
        let share = graph.constant_f32("share_of_a_tree", &[], &[1.0 / self.trees.len() as f32]);
        match outputs.as_slice() {
            [_, votes] => graph.node("Mul", &[votes, &share], vec![]),
            _ => values.clone(),
        }
    }
}

/// The columns of a `TreeEnsembleClassifier`.
#[derive(Default)]
struct TreeTable {
    tree: Vec<i64>,
    node: Vec<i64>,
    value: Vec<i64>,
    threshold: Vec<f32>,
    left: Vec<i64>,
    right: Vec<i64>,
    mode: Vec<&'static str>,
    leaf_tree: Vec<i64>,
    leaf_node: Vec<i64>,
    leaf_class: Vec<i64>,
}

impl TreeTable {
    fn of(forest: &Forest) -> TreeTable {
        let mut table = TreeTable::default();
        for (tree, nodes) in forest.trees.iter().enumerate() {
            for (index, node) in nodes.nodes.iter().enumerate() {
                table.push(tree as i64, index as i64, node);
            }
        }
        table
    }

    fn push(&mut self, tree: i64, index: i64, node: &Node) {
        let (value, threshold, left, right, mode) = match *node {
            Node::Branch {
                value,
                threshold,
                left,
                right,
            } => (value, threshold, left, right, "BRANCH_LEQ"),
            Node::Leaf { .. } => (0, 0.0, 0, 0, "LEAF"),
        };
        self.tree.push(tree);
        self.node.push(index);
        self.value.push(value as i64);
        self.threshold.push(threshold);
        self.left.push(left as i64);
        self.right.push(right as i64);
        self.mode.push(mode);
        if let Node::Leaf { class } = *node {
            self.leaf_tree.push(tree);
            self.leaf_node.push(index);
            self.leaf_class.push(class as i64);
        }
    }

    fn attributes(self, classes: usize) -> Vec<crate::onnx::proto::AttributeProto> {
        let weights = vec![1.0; self.leaf_class.len()];
        vec![
            builder::ints("nodes_treeids", self.tree),
            builder::ints("nodes_nodeids", self.node),
            builder::ints("nodes_featureids", self.value),
            builder::floats("nodes_values", self.threshold),
            builder::ints("nodes_truenodeids", self.left),
            builder::ints("nodes_falsenodeids", self.right),
            builder::strings("nodes_modes", &self.mode),
            builder::ints("class_treeids", self.leaf_tree),
            builder::ints("class_nodeids", self.leaf_node),
            builder::ints("class_ids", self.leaf_class),
            builder::floats("class_weights", weights),
            builder::ints("classlabels_int64s", (0..classes as i64).collect()),
            builder::string("post_transform", "NONE"),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn leaf(class: usize) -> Node {
        Node::Leaf { class }
    }

    fn branch(value: usize, threshold: f32, left: usize, right: usize) -> Node {
        Node::Branch {
            value,
            threshold,
            left,
            right,
        }
    }

    #[test]
    fn branches_that_decide_nothing_are_removed() {
        let tree = Tree {
            nodes: vec![
                branch(0, 1.0, 1, 4),
                branch(1, 2.0, 2, 3),
                leaf(1),
                leaf(1),
                branch(1, 0.0, 5, 6),
                leaf(0),
                leaf(1),
            ],
        };
        let simplified = tree.simplified();
        assert_eq!(
            simplified.nodes,
            [
                branch(0, 1.0, 1, 2),
                leaf(1),
                branch(1, 0.0, 3, 4),
                leaf(0),
                leaf(1)
            ]
        );
    }

    /// A tree of the given depth over two values, from a list of numbers.
    fn tree_of(
        depth: u32,
        numbers: &mut impl Iterator<Item = u32>,
        nodes: &mut Vec<Node>,
    ) -> usize {
        let place = nodes.len();
        let number = numbers.next().unwrap_or_default();
        nodes.push(leaf((number % 3) as usize));
        if depth > 0 && number % 5 != 0 {
            let left = tree_of(depth - 1, numbers, nodes);
            let right = tree_of(depth - 1, numbers, nodes);
            nodes[place] = branch(
                (number % 2) as usize,
                (number % 100) as f32 / 10.0,
                left,
                right,
            );
        }
        place
    }

    proptest! {
        #[test]
        fn a_simplified_tree_votes_as_before_and_is_never_larger(
            numbers in prop::collection::vec(any::<u32>(), 40),
            inputs in prop::collection::vec((0f32..10.0, 0f32..10.0), 50),
        ) {
            let mut nodes = Vec::new();
            tree_of(5, &mut numbers.into_iter(), &mut nodes);
            let tree = Tree { nodes };
            let simplified = tree.simplified();
            prop_assert!(simplified.nodes.len() <= tree.nodes.len());
            for (x, y) in inputs {
                prop_assert_eq!(simplified.vote(&[x, y]), tree.vote(&[x, y]));
            }
        }

        #[test]
        fn probabilities_of_a_network_sum_to_one(values in prop::collection::vec(-50f32..50.0, 3)) {
            let layer = Dense { inputs: 3, outputs: 4, weights: (0..12).map(|i| i as f32 - 6.0).collect(), bias: vec![0.5; 4] };
            let sum: f32 = Core::Network(Network { layers: vec![layer] }).probabilities(&values).iter().sum();
            prop_assert!((sum - 1.0).abs() < 1e-5, "{}", sum);
        }
    }
}
