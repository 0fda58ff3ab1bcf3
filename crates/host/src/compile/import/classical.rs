//! Linear models and preprocessing of `ai.onnx.ml`.

use super::{Importer, Imports, Made, output_name, refuse};
use crate::compile::constant::Data;
use crate::compile::graph::{Op, ScaleForm, ValueId};
use crate::onnx::proto::NodeProto;
use dunlin_engine::format::OpCode;

impl Importer<'_> {
    /// `(x - offset)·scale`.
    pub(super) fn scaler(&mut self, node: &NodeProto) -> Imports {
        let x = self.computed_input(node)?;
        let shape = self.shape_of(x);
        let columns = self.graph.values[x].columns();
        let row = |name| expand(node.floats(name).unwrap_or_default(), columns);
        let (Some(offset), Some(scale)) = (row("offset"), row("scale")) else {
            return Err(refuse(
                node,
                "offset or scale does not fit the input",
                "give one per column",
            ));
        };
        let a = self
            .graph
            .add_constant("offset", &[columns], Data::F32(offset));
        let b = self
            .graph
            .add_constant("scale", &[columns], Data::F32(scale));
        self.emit_for(node, Op::Scale(ScaleForm::SubMul), &[x, a, b], &shape)
    }

    /// Rows divided by their L1 or L2 norm, or by their largest element.
    pub(super) fn normalizer(&mut self, node: &NodeProto) -> Imports {
        let x = self.computed_input(node)?;
        let shape = self.shape_of(x);
        let (outer, reduced) = (
            shape[..shape.len() - 1].iter().product(),
            shape[shape.len() - 1],
        );
        let norm_shape = [&shape[..shape.len() - 1], &[1]].concat();
        let name = output_name(node);
        let add = |this: &mut Self, op: Op, input: ValueId, shape: &[usize]| {
            this.emit(name, op, &[input], Made::floats(shape))
        };
        let sum = Op::Reduce {
            op: OpCode::ReduceSum,
            outer,
            reduced,
            inner: 1,
        };
        let norm = match node.string("norm").unwrap_or("MAX") {
            "L1" => {
                let absolute = add(self, Op::Unary(OpCode::Abs), x, &shape);
                add(self, sum, absolute, &norm_shape)
            }
            "L2" => {
                let squares = self.binary_values(node, OpCode::Mul, x, x)?;
                let total = add(self, sum, squares, &norm_shape);
                add(self, Op::Unary(OpCode::Sqrt), total, &norm_shape)
            }
            "MAX" => {
                let largest = Op::Reduce {
                    op: OpCode::ReduceMax,
                    outer,
                    reduced,
                    inner: 1,
                };
                add(self, largest, x, &norm_shape)
            }
            other => {
                let reason = format!("the norm {other} is not supported");
                return Err(refuse(node, &reason, "use L1, L2 or MAX"));
            }
        };
        let id = self.binary_values(node, OpCode::Div, x, norm)?;
        self.bind(node, 0, id);
        Ok(())
    }

    pub(super) fn linear_classifier(&mut self, node: &NodeProto) -> Imports {
        let x = self.row_input(node)?;
        let intercepts = node.floats("intercepts").unwrap_or_default().to_vec();
        let scores = self.linear_scores(node, x, intercepts)?;
        let classes = self.graph.values[scores].columns();
        let labels = self.class_labels(node, classes)?;
        if classes < 2 {
            return Err(refuse(
                node,
                "there is one row of coefficients",
                "export one row per class",
            ));
        }
        let label = self.label_of(output_name(node), scores, labels);
        self.bind(node, 0, label);
        let probabilities = self.post_transform(node, scores)?;
        self.bind(node, 1, probabilities);
        Ok(())
    }

    pub(super) fn linear_regressor(&mut self, node: &NodeProto) -> Imports {
        let x = self.computed_input(node)?;
        let targets = node.int("targets").unwrap_or(1).max(1) as usize;
        let intercepts = node
            .floats("intercepts")
            .filter(|values| !values.is_empty());
        let intercepts = intercepts.map_or(vec![0.0; targets], <[f32]>::to_vec);
        let scores = self.linear_scores(node, x, intercepts)?;
        let result = self.post_transform(node, scores)?;
        self.bind(node, 0, result);
        Ok(())
    }

    fn linear_scores(
        &mut self,
        node: &NodeProto,
        x: ValueId,
        intercepts: Vec<f32>,
    ) -> Imports<ValueId> {
        let coefficients = node.floats("coefficients").unwrap_or_default().to_vec();
        self.weighted_sum(node, x, coefficients, intercepts)
    }

    /// Rows of coefficients times the input, plus one intercept each.
    pub(super) fn weighted_sum(
        &mut self,
        node: &NodeProto,
        x: ValueId,
        coefficients: Vec<f32>,
        intercepts: Vec<f32>,
    ) -> Imports<ValueId> {
        let (columns, rows) = (self.graph.values[x].columns(), intercepts.len());
        if rows == 0 || coefficients.len() != rows * columns {
            return Err(refuse(
                node,
                "the coefficients do not fit the input",
                "export the model again",
            ));
        }
        let weights =
            self.graph
                .add_constant("coefficients", &[rows, columns], Data::F32(coefficients));
        let bias = self
            .graph
            .add_constant("intercepts", &[rows], Data::F32(intercepts));
        let op = super::linear::UNLIMITED;
        Ok(self.emit(
            output_name(node),
            op,
            &[x, weights, bias],
            Made::floats(&[1, rows]),
        ))
    }

    /// Integer labels where they are not 0, 1, 2, …; names are kept beside the graph.
    pub(super) fn class_labels(
        &mut self,
        node: &NodeProto,
        classes: usize,
    ) -> Imports<Option<Vec<i32>>> {
        let names = ["classlabels_strings"]
            .iter()
            .find_map(|name| node.strings(name));
        if let Some(names) = names.filter(|names| !names.is_empty()) {
            self.class_names = names.iter().map(|&name| name.to_owned()).collect();
            return Ok(None);
        }
        let whole = ["classlabels_ints", "classlabels_int64s"]
            .iter()
            .find_map(|name| node.ints(name));
        let labels: Option<Vec<i32>> = whole
            .unwrap_or_default()
            .iter()
            .map(|&label| i32::try_from(label).ok())
            .collect();
        match labels {
            Some(labels) if labels.is_empty() || labels.iter().copied().eq(0..classes as i32) => {
                Ok(None)
            }
            Some(labels) if labels.len() == classes => Ok(Some(labels)),
            _ => Err(refuse(
                node,
                "the class labels do not fit 32 bits or the classes",
                "use small integers",
            )),
        }
    }

    /// 1.0 where a value is above the threshold, 0.0 elsewhere.
    pub(super) fn binarizer(&mut self, node: &NodeProto) -> Imports {
        let x = self.computed_input(node)?;
        let threshold = node.float("threshold").unwrap_or(0.0);
        let above = self.with_scalar(node, OpCode::Sub, x, threshold)?;
        let truth = self.is_positive(node, above)?;
        self.bind(node, 0, truth);
        Ok(())
    }

    /// The probabilities of the classes it names.
    pub(super) fn zip_map(&mut self, node: &NodeProto) -> Imports {
        if let Some(names) = node.strings("classlabels_strings") {
            self.class_names = names.into_iter().map(str::to_owned).collect();
        }
        self.identity(node)
    }

    /// Whether a node picks one of constant classes by a computed number.
    pub(super) fn is_chosen_class(&self, node: &NodeProto) -> Imports<bool> {
        let is_name = node
            .input_name(0)
            .is_some_and(|name| self.unusable.contains_key(name));
        let is_constant = is_name || !self.graph.values[self.input(node, 0)?].is_computed();
        Ok(is_constant && self.graph.values[self.input(node, 1)?].is_computed())
    }

    /// The class of the largest score: its number, or its place where classes are names.
    pub(super) fn class_of(&mut self, node: &NodeProto) -> Imports {
        let index = self.input(node, 1)?;
        let labels = match self.input(node, 0) {
            Ok(classes) => self.labels_in(node, classes)?,
            Err(_) => None,
        };
        let Some(labels) = labels else {
            self.bind(node, 0, index);
            return Ok(());
        };
        let scores = self.largest_of(index).ok_or_else(|| {
            let reason = "the index is not that of a largest element";
            refuse(node, reason, "choose by ArgMax")
        })?;
        let label = self.label_of(output_name(node), scores, Some(labels));
        self.bind(node, 0, label);
        Ok(())
    }

    /// Constant classes; none where they are 0, 1, 2, ….
    fn labels_in(&self, node: &NodeProto, classes: ValueId) -> Imports<Option<Vec<i32>>> {
        let narrow = |value: &i64| i32::try_from(*value).ok();
        let labels = self.graph.constant(classes).and_then(Data::integers);
        let labels: Option<Vec<i32>> = labels.and_then(|all| all.iter().map(narrow).collect());
        let reason = "the classes are not integers of 32 bits";
        let labels = labels.ok_or_else(|| refuse(node, reason, "use small integers"))?;
        Ok((!labels.iter().copied().eq(0..labels.len() as i32)).then_some(labels))
    }

    /// The scores of which a value is the place of the largest.
    fn largest_of(&self, mut value: ValueId) -> Option<ValueId> {
        loop {
            let node = &self.graph.nodes[self.graph.producer(value)?];
            match node.op {
                Op::ArgMax if node.inputs.len() == 1 => return Some(node.inputs[0]),
                Op::Reshape => value = node.inputs[0],
                _ => return None,
            }
        }
    }
}

/// One value per column; a single one is repeated.
fn expand(values: &[f32], columns: usize) -> Option<Vec<f32>> {
    match values.len() {
        1 => Some(vec![values[0]; columns]),
        length if length == columns => Some(values.to_vec()),
        _ => None,
    }
}
