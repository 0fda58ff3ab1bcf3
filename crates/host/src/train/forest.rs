//! Random forest from smartcore.
//!
//! Trees are grown on bootstrap samples drawn per class, by Gini impurity, over a random part of the values per
//! decision; each leaf votes for its most frequent class. smartcore keeps its trees private, so they are read
//! through their serialisation. Training in single precision makes every threshold a number the exported graph can
//! hold, so export loses nothing. Cost: trees × nodes × examples; fine up to some ten thousand examples.

use super::core::{Forest, Node, Tree};
use super::{Matrix, TrainError};
use crate::recipe;
use serde::Deserialize;
use smartcore::ensemble::random_forest_classifier::{
    RandomForestClassifier, RandomForestClassifierParameters,
};
use smartcore::linalg::basic::matrix::DenseMatrix;

/// The recipe's settings with the seed of training.
#[derive(Clone, Copy)]
pub(super) struct Settings<'a> {
    pub(super) forest: &'a recipe::Forest,
    pub(super) seed: u64,
}

/// Fits a forest.
///
/// # Errors
/// [`TrainError::Library`] when smartcore fails or its trees are not as expected, [`TrainError::Settings`] when there
/// are more trees than it can grow.
pub(super) fn fit(
    Settings {
        forest: settings,
        seed,
    }: Settings<'_>,
    values: &Matrix,
    labels: &[u32],
    classes: usize,
) -> Result<Forest, TrainError> {
    let trees = u16::try_from(settings.trees).map_err(|_| TrainError::Settings {
        reason: format!(
            "{} trees, at most {} can be grown",
            settings.trees,
            u16::MAX
        ),
    })?;
    let mut parameters = RandomForestClassifierParameters::default()
        .with_n_trees(trees)
        .with_max_depth(settings.max_depth)
        .with_min_samples_leaf(settings.min_leaf)
        .with_seed(seed);
    if let Some(values_per_decision) = settings.values_per_decision {
        parameters = parameters.with_m(values_per_decision);
    }
    let rows = DenseMatrix::new(values.rows(), values.width, values.values.clone(), false)
        .map_err(refused)?;
    let fitted =
        RandomForestClassifier::fit(&rows, &labels.to_vec(), parameters).map_err(refused)?;
    read(&serde_json::to_value(&fitted).map_err(refused)?, classes)
}

#[derive(Deserialize)]
struct StoredForest {
    trees: Vec<StoredTree>,
    classes: Vec<usize>,
}

#[derive(Deserialize)]
struct StoredTree {
    nodes: Vec<StoredNode>,
}

#[derive(Deserialize)]
struct StoredNode {
    output: usize,
    split_feature: usize,
    split_value: Option<f64>,
    true_child: Option<usize>,
    false_child: Option<usize>,
}

fn read(stored: &serde_json::Value, classes: usize) -> Result<Forest, TrainError> {
    let stored = StoredForest::deserialize(stored).map_err(refused)?;
    let trees: Option<Vec<Tree>> = stored
        .trees
        .iter()
        .map(|tree| tree.read(&stored.classes))
        .collect();
    let trees = trees.ok_or_else(|| refused("a stored tree is not a tree"))?;
    Ok(Forest {
        classes,
        trees: trees.iter().map(Tree::simplified).collect(),
    })
}

impl StoredTree {
    fn read(&self, classes: &[usize]) -> Option<Tree> {
        let mut nodes = Vec::with_capacity(self.nodes.len());
        self.copy(0, classes, &mut nodes)?;
        Some(Tree { nodes })
    }

    /// Copies the node and what is below it in pre-order; children stand after their parent in the stored list.
    fn copy(&self, at: usize, classes: &[usize], nodes: &mut Vec<Node>) -> Option<usize> {
        let stored = self.nodes.get(at)?;
        let place = nodes.len();
        nodes.push(Node::Leaf {
            class: *classes.get(stored.output)?,
        });
        if let (Some(left), Some(right), Some(threshold)) =
            (stored.true_child, stored.false_child, stored.split_value)
        {
            if left <= at || right <= at {
                return None;
            }
            let left = self.copy(left, classes, nodes)?;
            let right = self.copy(right, classes, nodes)?;
            nodes[place] = Node::Branch {
                value: stored.split_feature,
                threshold: threshold as f32,
                left,
                right,
            };
        }
        Some(place)
    }
}

fn refused(error: impl std::fmt::Display) -> TrainError {
    TrainError::Library {
        what: "random forest",
        reason: error.to_string(),
    }
}
