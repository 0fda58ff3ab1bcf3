//! Matrix products and what is one: `Gemm`, `MatMul`, `BatchNormalization`.

use super::arithmetic::broadcast;
use super::{Importer, Imports, Made, output_name, refuse};
use crate::compile::constant::Data;
use crate::compile::graph::{Content, Op, ScaleForm, ValueId};
use crate::onnx::proto::NodeProto;
use dunlin_engine::format::OpCode;

/// A fully connected op whose result nothing limits.
pub(super) const UNLIMITED: Op = Op::FullyConnected {
    minimum: f32::NEG_INFINITY,
    maximum: f32::INFINITY,
};

impl Importer<'_> {
    pub(super) fn gemm(&mut self, node: &NodeProto) -> Imports {
        let x = self.computed_input(node)?;
        let x = match node.int("transA").unwrap_or(0) != 0 {
            true => self.matrix_turned(node, x)?,
            false => x,
        };
        let weights = self.input(node, 1)?;
        let transposed = node.int("transB").unwrap_or(0) != 0;
        if self.graph.values[weights].is_computed() {
            return self.gemm_of_computed(node, x, transposed);
        }
        let (alpha, beta) = (
            node.float("alpha").unwrap_or(1.0),
            node.float("beta").unwrap_or(1.0),
        );
        let weights = self.output_major(node, weights, transposed)?;
        let weights = self.multiplied(weights, alpha);
        let channels = self.shape_of(weights)[0];
        let bias = self.optional_input(node, 2)?;
        let count = |id: ValueId| self.graph.values[id].elements();
        let is_bias = |&id: &ValueId| {
            !self.graph.values[id].is_computed() && (count(id) == channels || count(id) == 1)
        };
        if let Some(addend) = bias.filter(|id| !is_bias(id)) {
            let zeros = self.zero_bias(channels);
            self.fully_connected(node, x, weights, zeros)?;
            let product = self.output_value(node)?;
            let addend = match beta == 1.0 {
                true => addend,
                false => self.with_scalar(node, OpCode::Mul, addend, beta)?,
            };
            let sum = self.binary_values(node, OpCode::Add, product, addend)?;
            self.bind(node, 0, sum);
            return Ok(());
        }
        let bias = match bias {
            Some(bias) => self.multiplied(bias, beta),
            None => self.zero_bias(channels),
        };
        let bias = self.bias_of(node, bias, channels)?;
        self.fully_connected(node, x, weights, bias)
    }

    /// A computed matrix with rows and columns exchanged.
    fn matrix_turned(&mut self, node: &NodeProto, x: ValueId) -> Imports<ValueId> {
        match self.graph.values[x].shape.len() {
            2 => self.transposed(node, x, &[1, 0]),
            _ => Err(refuse(node, "an operand is not a matrix", "use MatMul")),
        }
    }

    /// `α·A·B + β·C` where B is computed too: a product, then what is not 1 or left out.
    fn gemm_of_computed(&mut self, node: &NodeProto, a: ValueId, transposed: bool) -> Imports {
        let b = self.float_input(node, 1)?;
        let b = if transposed {
            self.matrix_turned(node, b)?
        } else {
            b
        };
        let mut result = self.product(node, a, b)?;
        let factors = ["alpha", "beta"].map(|name| node.float(name).unwrap_or(1.0));
        if factors[0] != 1.0 {
            result = self.with_scalar(node, OpCode::Mul, result, factors[0])?;
        }
        if let Some(mut addend) = self.optional_input(node, 2)? {
            if factors[1] != 1.0 {
                addend = self.with_scalar(node, OpCode::Mul, addend, factors[1])?;
            }
            result = self.binary_values(node, OpCode::Add, result, addend)?;
        }
        self.bind(node, 0, result);
        Ok(())
    }

    pub(super) fn mat_mul(&mut self, node: &NodeProto) -> Imports {
        let (a, b) = (self.input(node, 0)?, self.input(node, 1)?);
        let plain = self.graph.values[b].shape.len() == 2 && self.graph.values[a].is_computed();
        if plain && !self.graph.values[b].is_computed() {
            let x = self.float_input(node, 0)?;
            let weights = self.output_major(node, b, false)?;
            let bias = self.zero_bias(self.shape_of(weights)[0]);
            return self.fully_connected(node, x, weights, bias);
        }
        let (a, b) = (self.product_input(node, 0)?, self.product_input(node, 1)?);
        let result = self.product(node, a, b)?;
        self.bind(node, 0, result);
        Ok(())
    }

    /// A float input; a quantised constant keeps its integers.
    fn product_input(&mut self, node: &NodeProto, index: usize) -> Imports<ValueId> {
        let id = self.input(node, index)?;
        match self.graph.values[id].content {
            Content::Quantized(_) => Ok(id),
            _ => self.float_input(node, index),
        }
    }

    /// The product of two values, at least one of them computed.
    fn product(&mut self, node: &NodeProto, a: ValueId, b: ValueId) -> Imports<ValueId> {
        let (left, right) = (self.shape_of(a), self.shape_of(b));
        let unsupported = || {
            refuse(
                node,
                "these shapes are not supported",
                "use matrices, at most one batched",
            )
        };
        if left.len() < 2 || right.len() < 2 {
            return Err(unsupported());
        }
        let (a_outer, a_matrix) = left.split_at(left.len() - 2);
        let (b_outer, b_matrix) = right.split_at(right.len() - 2);
        let outer = broadcast(a_outer, b_outer).ok_or_else(unsupported)?;
        let batch = outer.iter().product();
        let (a_count, b_count): (usize, usize) =
            (a_outer.iter().product(), b_outer.iter().product());
        let fits = |count| count == 1 || count == batch;
        if a_matrix[1] != b_matrix[0] || !fits(a_count) || !fits(b_count) {
            return Err(unsupported());
        }
        let (m, k, n) = (a_matrix[0], a_matrix[1], b_matrix[1]);
        let (a_batched, b_batched) = (a_count > 1, b_count > 1);
        let op = Op::MatMul {
            batch,
            m,
            k,
            n,
            a_batched,
            b_batched,
        };
        let shape = [&outer[..], &[m, n]].concat();
        Ok(self.emit(output_name(node), op, &[a, b], Made::floats(&shape)))
    }

    /// Emits a fully connected op. Weights are `[n, k]`, the bias has `n` elements.
    pub(super) fn fully_connected(
        &mut self,
        node: &NodeProto,
        x: ValueId,
        weights: ValueId,
        bias: ValueId,
    ) -> Imports {
        let mut shape = self.shape_of(x);
        let weight_shape = self.shape_of(weights);
        match shape.last_mut() {
            Some(last) if *last == weight_shape[1] => *last = weight_shape[0],
            _ => {
                let reason =
                    format!("an input of shape {shape:?} does not fit weights {weight_shape:?}");
                return Err(refuse(node, &reason, "check the layer's width"));
            }
        }
        self.emit_for(node, UNLIMITED, &[x, weights, bias], &shape)
    }

    /// Constant weights as `[n, k]`: outputs first, whatever the file says.
    fn output_major(
        &mut self,
        node: &NodeProto,
        weights: ValueId,
        transposed: bool,
    ) -> Imports<ValueId> {
        let [rows, columns] = self.graph.values[weights].shape[..] else {
            return Err(refuse(
                node,
                "the weights are not a matrix",
                "flatten the input first",
            ));
        };
        if transposed {
            return Ok(weights);
        }
        let places: Vec<usize> = (0..columns)
            .flat_map(|c| (0..rows).map(move |r| r * columns + c))
            .collect();
        let axis = self
            .quantized_axis(weights)
            .map_or(0, |axis| 1 - axis.min(1));
        self.rearranged(weights, &places, (&[columns, rows], axis))
            .ok_or_else(|| refuse(node, "the weights are computed", "make them constant"))
    }

    /// The axis with a scale per index, if there is one.
    pub(super) fn quantized_axis(&self, id: ValueId) -> Option<usize> {
        match &self.graph.values[id].content {
            Content::Quantized(quantized) if quantized.scales.len() > 1 => Some(quantized.axis),
            _ => None,
        }
    }

    /// The elements of a constant at `places` under a new shape, in which `axis` is the quantised
    /// one. None for a computed value.
    pub(super) fn rearranged(
        &mut self,
        id: ValueId,
        places: &[usize],
        (shape, axis): (&[usize], usize),
    ) -> Option<ValueId> {
        let value = &self.graph.values[id];
        let content = match &value.content {
            Content::Quantized(quantized) => Content::Quantized(quantized.gather(places, axis)),
            Content::Constant(data) => Content::Constant(data.gather(places)),
            Content::Computed => return None,
        };
        let (name, element) = (value.name.clone(), value.element);
        let id = self.graph.add_value(&name, element, shape);
        self.graph.values[id].content = content;
        Some(id)
    }

    pub(super) fn zero_bias(&mut self, channels: usize) -> ValueId {
        self.graph
            .add_constant("zero bias", &[channels], Data::F32(vec![0.0; channels]))
    }

    /// A constant times a factor that is nearly always 1.
    fn multiplied(&mut self, id: ValueId, factor: f32) -> ValueId {
        match self.graph.floats(id) {
            Some(values) if factor != 1.0 => {
                let scaled = values.iter().map(|value| value * factor).collect();
                let (name, shape) = (self.graph.values[id].name.clone(), self.shape_of(id));
                self.graph.add_constant(&name, &shape, Data::F32(scaled))
            }
            _ => id,
        }
    }

    /// A constant as `[n]`; a single element is repeated.
    pub(super) fn bias_of(
        &mut self,
        node: &NodeProto,
        bias: ValueId,
        channels: usize,
    ) -> Imports<ValueId> {
        let count = self.graph.values[bias].elements();
        if self.graph.values[bias].is_computed() || (count != channels && count != 1) {
            return Err(refuse(
                node,
                "the bias is not one constant per output",
                "use MatMul and Add",
            ));
        }
        if count == channels {
            return Ok(bias);
        }
        let value = self
            .graph
            .floats(bias)
            .and_then(|values| values.first().copied())
            .unwrap_or(0.0);
        Ok(self
            .graph
            .add_constant("bias", &[channels], Data::F32(vec![value; channels])))
    }

    /// As `x·a + b`. The channel is the axis behind the batch.
    pub(super) fn batch_normalization(&mut self, node: &NodeProto) -> Imports {
        let x = self.computed_input(node)?;
        let shape = self.shape_of(x);
        let constants: Option<Vec<Vec<f32>>> = (1..5)
            .map(|index| self.graph.floats(self.input(node, index).ok()?))
            .collect();
        let (Some(constants), 2..=4) = (constants, shape.len()) else {
            let what = "only rank 2 to 4 with constant statistics is supported";
            return Err(refuse(node, what, "export for inference, in 1-D or 2-D"));
        };
        if constants.iter().any(|constant| constant.len() != shape[1]) {
            let what = "the statistics do not fit the input";
            return Err(refuse(node, what, "export the model again"));
        }
        let [gamma, beta, mean, variance] = &constants[..] else {
            return Err(refuse(node, "inputs are missing", "export the model again"));
        };
        let epsilon = node.float("epsilon").unwrap_or(1e-5);
        let factors: Vec<f32> = gamma
            .iter()
            .zip(variance)
            .map(|(g, v)| g / (v + epsilon).sqrt())
            .collect();
        let offsets = beta
            .iter()
            .zip(mean)
            .zip(&factors)
            .map(|((b, m), f)| b - m * f)
            .collect();
        let channels = [shape[1]];
        let a = self
            .graph
            .add_constant("factors", &channels, Data::F32(factors));
        let b = self
            .graph
            .add_constant("offsets", &channels, Data::F32(offsets));
        let op = Op::Scale(ScaleForm::MulAdd);
        if shape.len() == 2 {
            return self.emit_for(node, op, &[x, a, b], &shape);
        }
        let image = self.channels_last(node, x)?;
        let made = self.shape_of(image);
        let y = self.emit(output_name(node), op, &[image, a, b], Made::floats(&made));
        self.bind_channels_first(node, y, shape.len())
    }

    /// `x + constant` under a fresh name.
    pub(super) fn add_constant_row(
        &mut self,
        node: &NodeProto,
        x: ValueId,
        row: Vec<f32>,
    ) -> Imports<ValueId> {
        let constant = self.graph.add_constant("row", &[row.len()], Data::F32(row));
        self.binary_values(node, OpCode::Add, x, constant)
    }

    /// `x` times a constant row, broadcast.
    pub(super) fn mul_constant_row(
        &mut self,
        node: &NodeProto,
        x: ValueId,
        row: Vec<f32>,
    ) -> Imports<ValueId> {
        let constant = self.graph.add_constant("row", &[row.len()], Data::F32(row));
        self.binary_values(node, OpCode::Mul, x, constant)
    }

    /// Softmax, sigmoid or nothing, as a classifier's `post_transform` asks.
    pub(super) fn post_transform(&mut self, node: &NodeProto, scores: ValueId) -> Imports<ValueId> {
        let shape = self.shape_of(scores);
        let op = match node.string("post_transform").unwrap_or("NONE") {
            "NONE" => return Ok(scores),
            "SOFTMAX" => Op::Softmax,
            "LOGISTIC" => Op::Unary(OpCode::Sigmoid),
            other => {
                let reason = format!("post_transform {other} is not supported");
                return Err(refuse(node, &reason, "use NONE, SOFTMAX or LOGISTIC"));
            }
        };
        Ok(self.emit(output_name(node), op, &[scores], Made::floats(&shape)))
    }
}
