//! Support vector machines of `ai.onnx.ml`, as ONNX Runtime computes them.

use super::{Importer, Imports, Made, output_name, refuse};
use crate::compile::constant::Data;
use crate::compile::graph::{Element, Op, Svm, ValueId};
use crate::onnx::proto::NodeProto;
use dunlin_engine::format::OpCode;

/// Most classes of the engine's `svm`.
const MAX_CLASSES: usize = 256;

impl Importer<'_> {
    /// Label by the votes of all pairs of classes; scores are probabilities where the model has
    /// Platt's constants, else the decisions.
    pub(super) fn svm_classifier(&mut self, node: &NodeProto) -> Imports {
        let x = self.row_input(node)?;
        let counts = node.ints("vectors_per_class").unwrap_or_default().to_vec();
        let counts: Option<Vec<i32>> = counts.iter().map(|&n| i32::try_from(n).ok()).collect();
        let counts = counts.filter(|counts| counts.iter().sum::<i32>() > 0);
        let Some(counts) = counts else {
            return self.linear_machine(node, x);
        };
        let classes = counts.len();
        if !(2..=MAX_CLASSES).contains(&classes) {
            let reason = format!("there are {classes} classes");
            return Err(refuse(node, &reason, "use 2 to 256"));
        }
        let row = self.kernel_row(node, x, counts.iter().sum::<i32>() as usize)?;
        let decisions = self.decisions(node, row, counts)?;
        let labels = self.class_labels(node, classes)?;
        let labels = labels.unwrap_or_else(|| (0..classes as i32).collect());
        let labels = self
            .graph
            .add_constant("labels", &[classes], Data::I32(labels));
        let made = Made {
            element: Element::I64,
            shape: &[1],
        };
        let votes = Op::Svm(Svm::Votes);
        let label = self.emit(output_name(node), votes, &[decisions, labels], made);
        self.labels.push(label);
        self.bind(node, 0, label);
        let scores = self.svm_scores(node, decisions, classes)?;
        self.bind(node, 1, scores);
        Ok(())
    }

    /// A classifier without support vectors: one row of coefficients per class.
    fn linear_machine(&mut self, node: &NodeProto, x: ValueId) -> Imports {
        let columns = self.graph.values[x].columns();
        let coefficients = node.floats("coefficients").unwrap_or_default();
        let classes = coefficients.len() / columns.max(1);
        if classes < 3 {
            let reason = "a linear machine of two classes without support vectors";
            return Err(refuse(node, reason, "export it as LinearClassifier"));
        }
        let offset = self.svm_offsets(node, 1)?[0];
        let scores = self.weighted_sum(node, x, coefficients.to_vec(), vec![offset; classes])?;
        let labels = self.class_labels(node, classes)?;
        let label = self.label_of(output_name(node), scores, labels);
        self.bind(node, 0, label);
        let scores = self.post_transform(node, scores)?;
        self.bind(node, 1, scores);
        Ok(())
    }

    pub(super) fn svm_regressor(&mut self, node: &NodeProto) -> Imports {
        let x = self.row_input(node)?;
        let vectors = node.int("n_supports").unwrap_or(0).max(0) as usize;
        let row = match vectors {
            0 => x,
            _ => self.kernel_row(node, x, vectors)?,
        };
        let coefficients = node.floats("coefficients").unwrap_or_default().to_vec();
        let offset = self.svm_offsets(node, 1)?[0];
        let mut result = self.weighted_sum(node, row, coefficients, vec![offset])?;
        if node.int("one_class").unwrap_or(0) != 0 {
            result = self.sign(node, result)?;
        }
        self.bind(node, 0, result);
        Ok(())
    }

    /// 1 above 0, -1 elsewhere.
    fn sign(&mut self, node: &NodeProto, x: ValueId) -> Imports<ValueId> {
        let mut value = x;
        for _ in 0..2 {
            value = self.with_scalar(node, OpCode::Mul, value, 2_f32.powi(127))?;
        }
        let (minimum, maximum) = (0.0, 1.0);
        let shape = self.shape_of(value);
        let clamp = Op::Clamp { minimum, maximum };
        let truth = self.emit(output_name(node), clamp, &[value], Made::floats(&shape));
        let twice = self.with_scalar(node, OpCode::Mul, truth, 2.0)?;
        self.with_scalar(node, OpCode::Sub, twice, 1.0)
    }

    /// The kernel of the input with every support vector.
    fn kernel_row(&mut self, node: &NodeProto, x: ValueId, vectors: usize) -> Imports<ValueId> {
        let columns = self.graph.values[x].elements();
        let support = node.floats("support_vectors").unwrap_or_default().to_vec();
        if support.len() != vectors * columns {
            let reason = "the support vectors do not fit the input";
            return Err(refuse(node, reason, "export the model again"));
        }
        let kind = match node.string("kernel_type").unwrap_or("LINEAR") {
            "LINEAR" => 0,
            "POLY" => 1,
            "RBF" => 2,
            "SIGMOID" => 3,
            other => {
                let reason = format!("the kernel {other} is not supported");
                return Err(refuse(node, &reason, "use LINEAR, POLY, RBF or SIGMOID"));
            }
        };
        let parameter = |index: usize| {
            let parameters = node.floats("kernel_params").unwrap_or_default();
            parameters.get(index).copied().unwrap_or(0.0)
        };
        let op = Op::Svm(Svm::Kernel {
            kind,
            gamma: parameter(0),
            addend: parameter(1),
            degree: parameter(2),
        });
        let support = self
            .graph
            .add_constant("support", &[vectors, columns], Data::F32(support));
        let shape = [1, vectors];
        Ok(self.emit(output_name(node), op, &[x, support], Made::floats(&shape)))
    }

    fn decisions(&mut self, node: &NodeProto, row: ValueId, counts: Vec<i32>) -> Imports<ValueId> {
        let (classes, vectors) = (counts.len(), self.graph.values[row].columns());
        let pairs = classes * (classes - 1) / 2;
        let coefficients = node.floats("coefficients").unwrap_or_default();
        let Some(coefficients) = coefficients.get(..(classes - 1) * vectors) else {
            let reason = "the coefficients do not fit the support vectors";
            return Err(refuse(node, reason, "export the model again"));
        };
        let coefficients = Data::F32(coefficients.to_vec());
        let shape = [classes - 1, vectors];
        let coefficients = self
            .graph
            .add_constant("coefficients", &shape, coefficients);
        let offsets = self.svm_offsets(node, pairs)?;
        let offsets = self.graph.add_constant("rho", &[pairs], Data::F32(offsets));
        let counts = self
            .graph
            .add_constant("counts", &[classes], Data::I32(counts));
        let inputs = [row, coefficients, offsets, counts];
        let (op, shape) = (Op::Svm(Svm::Decisions), [1, pairs]);
        Ok(self.emit(output_name(node), op, &inputs, Made::floats(&shape)))
    }

    /// The first elements of `rho`.
    fn svm_offsets(&self, node: &NodeProto, count: usize) -> Imports<Vec<f32>> {
        let offsets = node.floats("rho").unwrap_or_default();
        match offsets.get(..count) {
            Some(offsets) => Ok(offsets.to_vec()),
            None => Err(refuse(node, "rho is too short", "export the model again")),
        }
    }

    fn svm_scores(
        &mut self,
        node: &NodeProto,
        decisions: ValueId,
        classes: usize,
    ) -> Imports<ValueId> {
        if node.floats("prob_a").is_some_and(|a| !a.is_empty()) {
            let scores = self.platt(node, decisions, classes)?;
            return self.post_transform(node, scores);
        }
        if classes > 2 {
            return self.post_transform(node, decisions);
        }
        if node.string("post_transform").unwrap_or("NONE") != "NONE" {
            let reason = "a post_transform of the decision between two classes";
            return Err(refuse(node, reason, "export with post_transform NONE"));
        }
        let (name, made) = (output_name(node), Made::floats(&[1, 1]));
        let negated = self.emit(name, Op::Unary(OpCode::Neg), &[decisions], made);
        let join = Op::Concat { outer: 1 };
        let made = Made::floats(&[1, 2]);
        Ok(self.emit(name, join, &[negated, decisions], made))
    }

    fn platt(&mut self, node: &NodeProto, decisions: ValueId, classes: usize) -> Imports<ValueId> {
        let pairs = self.graph.values[decisions].columns();
        let mut inputs = vec![decisions];
        for name in ["prob_a", "prob_b"] {
            let Some(row) = node.floats(name).unwrap_or_default().get(..pairs) else {
                let reason = format!("{name} is too short");
                return Err(refuse(node, &reason, "export the model again"));
            };
            inputs.push(
                self.graph
                    .add_constant(name, &[pairs], Data::F32(row.to_vec())),
            );
        }
        let (name, shape) = (output_name(node), [classes + 2, classes]);
        let op = Op::Svm(Svm::Probabilities);
        let room = self.emit(name, op, &inputs, Made::floats(&shape));
        let first_row = Op::StridedCopy {
            base: 0,
            strides: [0, 0, 0, 1],
        };
        Ok(self.emit(name, first_row, &[room], Made::floats(&[1, classes])))
    }
}
