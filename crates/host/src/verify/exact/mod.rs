//! The definition of a quantised model's result: its ONNX graph over the real numbers.
//!
//! Every value of the graph is a real number, exactly: `DequantizeLinear` gives a multiple of the
//! scale as stored, sums and products and quotients are exact whatever their length, and only
//! `QuantizeLinear` rounds, once, half to even, and saturates. Functions that are not rational
//! (`Softmax`, `Sigmoid`, `Tanh`, `Exp`, `Erf`, square roots) are enclosed between two `f64`,
//! relatively about 2^-48 apart; should a rounding boundary lie between them, the evaluation says
//! so rather than guess.
//!
//! Runs on the workstation, straight from the file in ONNX's own layout, with plain loops: nothing
//! is shared with the compiler or the engine. Cost: some 20 ns per multiplication and addition.

mod convolution;
mod elementwise;
mod interval;
mod movement;
mod normalization;
mod pooling;
mod product;
mod quantization;
mod real;
mod reduction;
mod tensor;
#[cfg(test)]
mod tests;
mod windows;

pub use tensor::Tensor;

use crate::onnx::proto::{GraphProto, ModelProto, NodeProto};
use real::Real;
use reduction::Reduction;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// A node that could not be evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("node {node:?} ({op}): {reason}")]
pub struct ExactError {
    /// Name of the node, or of its output where it has none.
    pub node: String,
    /// ONNX operator.
    pub op: String,
    /// What stands in the way.
    pub reason: String,
}

/// Values of a graph by name.
pub type Values = HashMap<String, Rc<Tensor>>;

/// Evaluates the graph of a model.
pub struct Evaluator<'m> {
    graph: &'m GraphProto,
    opset: i64,
    /// Initializers, and what is computed from nothing else.
    constants: Values,
}

impl<'m> Evaluator<'m> {
    /// Takes the constants of a model in.
    ///
    /// # Errors
    /// When the model has no graph.
    pub fn new(model: &'m ModelProto) -> Result<Evaluator<'m>, ExactError> {
        let graph = model.graph.as_ref().ok_or_else(|| ExactError {
            node: String::new(),
            op: String::new(),
            reason: "the model has no graph".into(),
        })?;
        let mut constants = Values::new();
        for constant in &graph.initializer {
            // One that no op here can take is only missed where it is used.
            if let Ok(tensor) = Tensor::constant(constant) {
                constants.insert(constant.name.clone(), Rc::new(tensor));
            }
        }
        let opset = model.opset("").unwrap_or(13);
        let mut evaluator = Evaluator {
            graph,
            opset,
            constants,
        };
        evaluator.fold();
        Ok(evaluator)
    }

    /// Evaluates every node that has only constants as inputs; one that cannot be is only missed
    /// where its result is used.
    fn fold(&mut self) {
        for node in &self.graph.node {
            let is_constant = |name: &String| name.is_empty() || self.constants.contains_key(name);
            if node.op_type != "QuantizeLinear" && node.input.iter().all(is_constant) {
                let mut constants = std::mem::take(&mut self.constants);
                let _ = self.node(node, &mut constants);
                self.constants = constants;
            }
        }
    }

    /// The values called `wanted`, given others: what is given is not computed, and only what is
    /// needed is.
    ///
    /// # Errors
    /// When a node on the way is not evaluated here, or a value is missing.
    pub fn evaluate(&self, given: Values, wanted: &[&str]) -> Result<Values, ExactError> {
        let needed = self.needed(&given, wanted);
        let mut values = given;
        for (node, _) in self
            .graph
            .node
            .iter()
            .zip(&needed)
            .filter(|(_, needed)| **needed)
        {
            self.node(node, &mut values)?;
        }
        let take = |name: &&str| {
            let found = values.get(*name).or_else(|| self.constants.get(*name));
            let value = found.cloned().ok_or_else(|| ExactError {
                node: (*name).to_owned(),
                op: String::new(),
                reason: "nothing gives this value".into(),
            })?;
            Ok(((*name).to_owned(), value))
        };
        wanted.iter().map(take).collect()
    }

    /// For every node, whether `wanted` takes it.
    fn needed(&self, given: &Values, wanted: &[&str]) -> Vec<bool> {
        let known = |name: &str| given.contains_key(name) || self.constants.contains_key(name);
        let mut names: HashSet<&str> = wanted.iter().copied().filter(|name| !known(name)).collect();
        let mut needed = vec![false; self.graph.node.len()];
        for (node, needed) in self.graph.node.iter().zip(&mut needed).rev() {
            *needed = node
                .output
                .iter()
                .any(|output| names.contains(output.as_str()));
            if *needed {
                names.extend(
                    node.input
                        .iter()
                        .map(String::as_str)
                        .filter(|name| !known(name)),
                );
            }
        }
        needed
    }

    fn node(&self, node: &NodeProto, values: &mut Values) -> Result<(), ExactError> {
        let failed = |reason: String| ExactError {
            node: match node.name.is_empty() {
                true => node.output.first().cloned().unwrap_or_default(),
                false => node.name.clone(),
            },
            op: node.op_type.clone(),
            reason,
        };
        let input = |name: &String| match name.is_empty() {
            true => Ok(None),
            false => values
                .get(name)
                .or_else(|| self.constants.get(name))
                .map(|tensor| Some(tensor.clone()))
                .ok_or_else(|| failed(format!("input {name:?} is not known"))),
        };
        let inputs: Result<Vec<Option<Rc<Tensor>>>, ExactError> =
            node.input.iter().map(input).collect();
        let call = Call {
            node,
            opset: self.opset,
            inputs: inputs?,
        };
        let outputs = call.evaluate().map_err(failed)?;
        for (name, tensor) in node.output.iter().zip(outputs) {
            values.insert(name.clone(), Rc::new(tensor));
        }
        Ok(())
    }
}

/// A node with the values of its inputs.
struct Call<'n> {
    node: &'n NodeProto,
    opset: i64,
    inputs: Vec<Option<Rc<Tensor>>>,
}

impl Call<'_> {
    fn input(&self, index: usize) -> Result<&Tensor, String> {
        self.optional(index)
            .ok_or_else(|| format!("input {index} is left out"))
    }

    fn optional(&self, index: usize) -> Option<&Tensor> {
        self.inputs.get(index)?.as_deref()
    }

    fn int(&self, name: &str) -> Option<i64> {
        self.node.int(name)
    }

    fn ints(&self, name: &str) -> Option<&[i64]> {
        self.node.ints(name)
    }

    /// A float attribute, exactly.
    fn real(&self, name: &str, default: f32) -> Result<Real, String> {
        Real::from_f32(self.node.float(name).unwrap_or(default))
    }

    fn evaluate(&self) -> Result<Vec<Tensor>, String> {
        if !matches!(self.node.domain.as_str(), "" | "ai.onnx") {
            return Err("is not evaluated exactly".into());
        }
        match self.node.op_type.as_str() {
            "Split" => movement::split(self),
            op => Ok(vec![self.single(op)?]),
        }
    }

    fn single(&self, op: &str) -> Result<Tensor, String> {
        match op {
            "DequantizeLinear" => quantization::dequantize_linear(self),
            "QuantizeLinear" => quantization::quantize_linear(self),
            "Conv" => convolution::conv(self),
            "ConvTranspose" => convolution::conv_transpose(self),
            "MatMul" => product::mat_mul(self),
            "Gemm" => product::gemm(self),
            "AveragePool" => pooling::average_pool(self),
            "MaxPool" => pooling::max_pool(self),
            "GlobalAveragePool" => pooling::global_average_pool(self),
            "GlobalMaxPool" => pooling::global_max_pool(self),
            "Softmax" => normalization::softmax(self),
            "LayerNormalization" => normalization::layer_normalization(self),
            "BatchNormalization" => normalization::batch_normalization(self),
            _ => self.arithmetic(op),
        }
    }

    fn arithmetic(&self, op: &str) -> Result<Tensor, String> {
        let reduced = |of, mean| reduction::reduce(self, &Reduction { of, mean });
        match op {
            "Add" => elementwise::binary(self, |a, b| Ok(a.plus(b))),
            "Sub" => elementwise::binary(self, |a, b| Ok(a.minus(b))),
            "Mul" => elementwise::binary(self, |a, b| Ok(a.times(b))),
            "Div" => elementwise::binary(self, Real::over),
            "Sum" => elementwise::variadic(self, Real::plus),
            "Max" => elementwise::variadic(self, Real::max),
            "Min" => elementwise::variadic(self, Real::min),
            "Relu" => elementwise::relu(self),
            "Clip" => elementwise::clip(self),
            "LeakyRelu" => elementwise::leaky_relu(self),
            "PRelu" => elementwise::p_relu(self),
            "HardSigmoid" => elementwise::hard_sigmoid(self),
            "HardSwish" => elementwise::hard_swish(self),
            "Elu" => elementwise::elu(self),
            "Selu" => elementwise::selu(self),
            "Softplus" => elementwise::unary(self, elementwise::soft_plus),
            "Softsign" => elementwise::unary(self, elementwise::soft_sign),
            "Gelu" => elementwise::gelu(self),
            "Swish" => elementwise::swish(self),
            "Mish" => elementwise::unary(self, elementwise::mish),
            "Pow" => elementwise::power(self),
            "Reciprocal" => elementwise::unary(self, |x| Real::integer(1).over(x)),
            "Neg" => elementwise::unary(self, |x| Ok(x.negated())),
            "Abs" => elementwise::unary(self, elementwise::absolute),
            "Sigmoid" => elementwise::unary(self, elementwise::sigmoid),
            "Tanh" => elementwise::unary(self, elementwise::tanh),
            "Erf" => elementwise::unary(self, elementwise::error_function),
            "Exp" => elementwise::unary(self, elementwise::exponential),
            "Log" => elementwise::unary(self, elementwise::logarithm),
            "Sqrt" => elementwise::unary(self, elementwise::square_root),
            "ReduceMean" => reduced(Real::plus, true),
            "ReduceSum" => reduced(Real::plus, false),
            "ReduceMax" => reduced(Real::max, false),
            "ReduceMin" => reduced(Real::min, false),
            _ => self.moved(op),
        }
    }

    fn moved(&self, op: &str) -> Result<Tensor, String> {
        match op {
            "Reshape" => movement::reshape(self),
            "Flatten" => movement::flatten(self),
            "Squeeze" => movement::squeeze(self),
            "Unsqueeze" => movement::unsqueeze(self),
            "Transpose" => movement::transpose(self),
            "Concat" => movement::concat(self),
            "Slice" => movement::slice(self),
            "Gather" => movement::gather(self),
            "Pad" => movement::pad(self),
            "Expand" => movement::expand(self),
            "Shape" => movement::shape(self),
            "ConstantOfShape" => movement::constant_of_shape(self),
            "Cast" => movement::cast(self),
            "Identity" | "Dropout" => Ok(self.input(0)?.clone()),
            "Constant" => match self.node.tensor("value") {
                Some(tensor) => Tensor::constant(tensor),
                None => Err("has no value of a kind that is evaluated".into()),
            },
            _ => Err("is not evaluated exactly".into()),
        }
    }
}
