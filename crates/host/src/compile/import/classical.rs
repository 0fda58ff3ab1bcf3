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
        let x = self.computed_input(node)?;
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
}

/// One value per column; a single one is repeated.
fn expand(values: &[f32], columns: usize) -> Option<Vec<f32>> {
    match values.len() {
        1 => Some(vec![values[0]; columns]),
        length if length == columns => Some(values.to_vec()),
        _ => None,
    }
}
