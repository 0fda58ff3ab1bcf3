//! `TreeEnsembleClassifier`, `TreeEnsembleRegressor` and `TreeEnsemble`.

mod leaf_lists;
mod modes;
mod node_lists;

use super::{Importer, Imports, Made, output_name, refuse};
use crate::compile::constant::Data;
use crate::compile::forest::{Forest, Scores, Tree};
use crate::compile::graph::{Element, Op, ValueId};
use crate::onnx::proto::NodeProto;
use dunlin_engine::format::OpCode;
use node_lists::Weights;

/// How leaves become a score.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Average,
}

impl Aggregate {
    fn of(node: &NodeProto, name: &str) -> Imports<Self> {
        match name {
            "SUM" => Ok(Aggregate::Sum),
            "AVERAGE" => Ok(Aggregate::Average),
            other => {
                let reason = format!("aggregate {other} is not supported");
                Err(refuse(node, &reason, "use SUM or AVERAGE"))
            }
        }
    }
}

impl Importer<'_> {
    /// Scores, then the label, then the post-transform, in ONNX Runtime's order.
    ///
    /// With two classes and weights for the first only, the score `s` is the second class's:
    /// scores are `[1 - s, s]`, and no post-transform follows, where no weight is negative;
    /// `[-s, s]` otherwise.
    ///
    /// With two classes and weights for both, ONNX Runtime answers the second wherever its score is
    /// above zero; the label here is that of the larger score, as in ONNX's reference evaluator.
    pub(super) fn tree_classifier(&mut self, node: &NodeProto) -> Imports {
        let count = |name| node.ints(name).unwrap_or_default().len();
        let names = node.strings("classlabels_strings").unwrap_or_default();
        let classes = names.len().max(count("classlabels_int64s"));
        let weights = Weights::of(node, "class")?;
        let labels = self.class_labels(node, classes)?;
        let is_single = classes == 2 && weights.only_target() == Some(0);
        let scores = match (is_single, weights.are_positive()) {
            (true, true) => Scores::Complement,
            (true, false) => Scores::Negative,
            _ => Scores::Each(classes),
        };
        let base = node.floats("base_values").unwrap_or_default();
        let trees = node_lists::trees(node, &weights, scores.leaf_width())?;
        let forest = Forest { trees, scores };
        let (scores, label) = match (base, labels) {
            ([], None) => self.labelled_forest(node, &forest)?,
            (base, labels) => {
                let scores = self.based_forest(node, forest, base)?;
                (scores, self.label_of(output_name(node), scores, labels))
            }
        };
        self.bind(node, 0, label);
        let probabilities = match forest_post_transform(node) {
            "NONE" => scores,
            "LOGISTIC" | "SOFTMAX" if is_single && weights.are_positive() => scores,
            "SOFTMAX" if is_single => scores,
            _ => self.post_transform(node, scores)?,
        };
        self.bind(node, 1, probabilities);
        Ok(())
    }

    pub(super) fn tree_regressor(&mut self, node: &NodeProto) -> Imports {
        let targets = node.int("n_targets").unwrap_or(1).max(1) as usize;
        let weights = Weights::of(node, "target")?;
        let aggregate = node.string("aggregate_function").unwrap_or("SUM");
        let aggregate = Aggregate::of(node, aggregate)?;
        let trees = node_lists::trees(node, &weights, targets)?;
        let base = node.floats("base_values").unwrap_or_default();
        let result = self.aggregated(node, trees, targets, aggregate, base)?;
        let result = self.post_transform(node, result)?;
        self.bind(node, 0, result);
        Ok(())
    }

    /// The operator of opset 5, whose leaves are lists of their own.
    pub(super) fn tree_ensemble(&mut self, node: &NodeProto) -> Imports {
        let targets = node.int("n_targets").unwrap_or(1).max(1) as usize;
        let aggregate = match node.int("aggregate_function").unwrap_or(1) {
            0 => "AVERAGE",
            1 => "SUM",
            2 => "MIN",
            _ => "MAX",
        };
        let aggregate = Aggregate::of(node, aggregate)?;
        let trees = leaf_lists::trees(node, targets)?;
        let result = self.aggregated(node, trees, targets, aggregate, &[])?;
        let result = match node.int("post_transform").unwrap_or(0) {
            0 => result,
            1 => self.emit(
                output_name(node),
                Op::Softmax,
                &[result],
                Made::floats(&[1, targets]),
            ),
            2 => self.emit(
                output_name(node),
                Op::Unary(OpCode::Sigmoid),
                &[result],
                Made::floats(&[1, targets]),
            ),
            other => {
                let reason = format!("post_transform {other} is not supported");
                return Err(refuse(node, &reason, "use NONE, SOFTMAX or LOGISTIC"));
            }
        };
        self.bind(node, 0, result);
        Ok(())
    }

    /// Sums or averages, base values added last.
    fn aggregated(
        &mut self,
        node: &NodeProto,
        trees: Vec<Tree>,
        targets: usize,
        aggregate: Aggregate,
        base: &[f32],
    ) -> Imports<ValueId> {
        let count = trees.len() as f32;
        let scores = Scores::Each(targets);
        let mut result = self.forest(node, &Forest { trees, scores }, false)?.0;
        if aggregate == Aggregate::Average {
            let count = Data::F32(vec![count]);
            let count = self.graph.add_constant("trees", &[1], count);
            result = self.binary_values(node, OpCode::Div, result, count)?;
        }
        self.with_base(node, result, base, targets)
    }

    fn with_base(
        &mut self,
        node: &NodeProto,
        scores: ValueId,
        base: &[f32],
        width: usize,
    ) -> Imports<ValueId> {
        match base {
            [] => Ok(scores),
            base if base.len() == width => self.add_constant_row(node, scores, base.to_vec()),
            _ => Err(refuse(
                node,
                "base_values do not fit the scores",
                "give one per score",
            )),
        }
    }

    /// Scores of a classifier whose label needs an op of its own.
    fn based_forest(&mut self, node: &NodeProto, forest: Forest, base: &[f32]) -> Imports<ValueId> {
        if base.is_empty() {
            return Ok(self.forest(node, &forest, false)?.0);
        }
        let (form, width) = (forest.scores, forest.scores.leaf_width());
        let forest = Forest {
            scores: Scores::Each(width),
            ..forest
        };
        let sums = self.forest(node, &forest, false)?.0;
        let sums = self.with_base(node, sums, base, width)?;
        if matches!(form, Scores::Each(_)) {
            return Ok(sums);
        }
        let both = self.mul_constant_row(node, sums, vec![-1.0, 1.0])?;
        match form {
            Scores::Complement => self.add_constant_row(node, both, vec![1.0, 0.0]),
            _ => Ok(both),
        }
    }

    fn labelled_forest(
        &mut self,
        node: &NodeProto,
        forest: &Forest,
    ) -> Imports<(ValueId, ValueId)> {
        let (scores, label) = self.forest(node, forest, true)?;
        let label = label.unwrap_or(scores);
        self.labels.push(label);
        Ok((scores, label))
    }

    /// Adds the op; gives its scores, `[1, width]`, and the label.
    fn forest(
        &mut self,
        node: &NodeProto,
        forest: &Forest,
        is_labelled: bool,
    ) -> Imports<(ValueId, Option<ValueId>)> {
        let x = self.row_input(node)?;
        let packed = forest
            .pack(self.options.leaves, self.graph.values[x].elements())
            .map_err(|fault| refuse(node, &fault.reason, fault.nearest))?;
        let mut inputs = vec![x];
        for group in packed.groups {
            let shape = [group.len()];
            let group = self.graph.add_constant("trees", &shape, Data::Bytes(group));
            inputs.push(group);
        }
        if inputs.len() > usize::from(u8::MAX) {
            let reason = "the trees need more than 254 tables";
            return Err(refuse(node, reason, "use fewer or smaller trees"));
        }
        let name = output_name(node);
        let label = is_labelled.then(|| self.graph.add_value(name, Element::I64, &[1]));
        let packing = packed.packing;
        let op = Op::TreeEnsemble { packing, label };
        let shape = [1, forest.scores.width()];
        let scores = self.emit(name, op, &inputs, Made::floats(&shape));
        Ok((scores, label))
    }
}

fn forest_post_transform(node: &NodeProto) -> &str {
    node.string("post_transform").unwrap_or("NONE")
}
