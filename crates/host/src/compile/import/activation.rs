//! Activations: functions of one element that are no single IEEE operation.

use super::{Importer, Imports, Made, output_name, refuse};
use crate::compile::constant::Data;
use crate::compile::graph::{Op, ValueId};
use crate::onnx::proto::NodeProto;
use dunlin_engine::format::OpCode;

impl Importer<'_> {
    pub(super) fn activation(&mut self, node: &NodeProto) -> Imports {
        let x = self.computed_input(node)?;
        let attribute = |name, otherwise| node.float(name).unwrap_or(otherwise);
        let result = match node.op_type.as_str() {
            "LeakyRelu" => self.leaky_relu(node, x, attribute("alpha", 0.01)),
            "HardSigmoid" => {
                let (alpha, beta) = (attribute("alpha", 0.2), attribute("beta", 0.5));
                let op = OpCode::HardSigmoid;
                self.function(node, Op::Activation { op, alpha, beta }, x)
            }
            "HardSwish" => self.function(node, Op::Unary(OpCode::HardSwish), x),
            "Erf" => self.function(node, Op::Unary(OpCode::Erf), x),
            "Gelu" => self.gelu(node, x)?,
            "PRelu" => self.sloped(node, x)?,
            "Elu" => self.exponential_linear(node, x, attribute("alpha", 1.0), 1.0)?,
            "Selu" => {
                let alpha = attribute("alpha", 1.673_263_2);
                self.exponential_linear(node, x, alpha, attribute("gamma", 1.050_701))?
            }
            "Softplus" => self.soft_plus(node, x)?,
            "Softsign" => {
                let absolute = self.function(node, Op::Unary(OpCode::Abs), x);
                let below = self.with_scalar(node, OpCode::Add, absolute, 1.0)?;
                self.binary_values(node, OpCode::Div, x, below)?
            }
            _ => self.swish(node, x)?,
        };
        self.bind(node, 0, result);
        Ok(())
    }

    /// A function of every element of a value.
    fn function(&mut self, node: &NodeProto, op: Op, x: ValueId) -> ValueId {
        let shape = self.shape_of(x);
        self.emit(output_name(node), op, &[x], Made::floats(&shape))
    }

    /// A value and a constant of one element.
    pub(super) fn with_scalar(
        &mut self,
        node: &NodeProto,
        op: OpCode,
        x: ValueId,
        scalar: f32,
    ) -> Imports<ValueId> {
        let scalar = self
            .graph
            .add_constant("scalar", &[], Data::F32(vec![scalar]));
        self.binary_values(node, op, x, scalar)
    }

    fn leaky_relu(&mut self, node: &NodeProto, x: ValueId, alpha: f32) -> ValueId {
        let (op, beta) = (OpCode::LeakyRelu, 0.0);
        self.function(node, Op::Activation { op, alpha, beta }, x)
    }

    fn limited(&mut self, node: &NodeProto, x: ValueId, minimum: f32, maximum: f32) -> ValueId {
        self.function(node, Op::Clamp { minimum, maximum }, x)
    }

    /// `x·(1 + erf(x/√2))/2`, or the form with `tanh`.
    fn gelu(&mut self, node: &NodeProto, x: ValueId) -> Imports<ValueId> {
        let gate = match node.string("approximate").unwrap_or("none") {
            "tanh" => {
                let square = self.binary_values(node, OpCode::Mul, x, x)?;
                let cube = self.binary_values(node, OpCode::Mul, square, x)?;
                let small = self.with_scalar(node, OpCode::Mul, cube, 0.044_715)?;
                let sum = self.binary_values(node, OpCode::Add, x, small)?;
                let root = (2.0 / std::f32::consts::PI).sqrt();
                let scaled = self.with_scalar(node, OpCode::Mul, sum, root)?;
                self.function(node, Op::Unary(OpCode::Tanh), scaled)
            }
            _ => {
                let root = std::f32::consts::FRAC_1_SQRT_2;
                let scaled = self.with_scalar(node, OpCode::Mul, x, root)?;
                self.function(node, Op::Unary(OpCode::Erf), scaled)
            }
        };
        let raised = self.with_scalar(node, OpCode::Add, gate, 1.0)?;
        let product = self.binary_values(node, OpCode::Mul, x, raised)?;
        self.with_scalar(node, OpCode::Mul, product, 0.5)
    }

    /// `max(x, 0) + slope·min(x, 0)`; one slope for all is a leaky ReLU.
    fn sloped(&mut self, node: &NodeProto, x: ValueId) -> Imports<ValueId> {
        let slope = self.float_input(node, 1)?;
        let shape = self.shape_of(x);
        match self.graph.floats(slope) {
            Some(values) if values.len() == 1 => return Ok(self.leaky_relu(node, x, values[0])),
            Some(_) => {}
            None => return Err(refuse(node, "the slope is computed", "make it constant")),
        }
        let positive = self.limited(node, x, 0.0, f32::INFINITY);
        let negative = self.limited(node, x, f32::NEG_INFINITY, 0.0);
        let scaled = self.binary_values(node, OpCode::Mul, negative, slope)?;
        let sum = self.binary_values(node, OpCode::Add, positive, scaled)?;
        match self.shape_of(sum) == shape {
            true => Ok(sum),
            false => Err(refuse(
                node,
                "the slope does not fit the input",
                "give one slope per channel",
            )),
        }
    }

    /// `γ·(max(x, 0) + α·(e^min(x, 0) - 1))`.
    fn exponential_linear(
        &mut self,
        node: &NodeProto,
        x: ValueId,
        alpha: f32,
        gamma: f32,
    ) -> Imports<ValueId> {
        let negative = self.limited(node, x, f32::NEG_INFINITY, 0.0);
        let exponential = self.function(node, Op::Unary(OpCode::Exp), negative);
        let shifted = self.with_scalar(node, OpCode::Sub, exponential, 1.0)?;
        let scaled = self.with_scalar(node, OpCode::Mul, shifted, alpha)?;
        let positive = self.limited(node, x, 0.0, f32::INFINITY);
        let sum = self.binary_values(node, OpCode::Add, positive, scaled)?;
        match gamma == 1.0 {
            true => Ok(sum),
            false => self.with_scalar(node, OpCode::Mul, sum, gamma),
        }
    }

    /// `max(x, 0) + ln(1 + e^-|x|)`, which overflows nowhere.
    fn soft_plus(&mut self, node: &NodeProto, x: ValueId) -> Imports<ValueId> {
        let absolute = self.function(node, Op::Unary(OpCode::Abs), x);
        let negated = self.function(node, Op::Unary(OpCode::Neg), absolute);
        let exponential = self.function(node, Op::Unary(OpCode::Exp), negated);
        let raised = self.with_scalar(node, OpCode::Add, exponential, 1.0)?;
        let logarithm = self.function(node, Op::Unary(OpCode::Log), raised);
        let positive = self.limited(node, x, 0.0, f32::INFINITY);
        self.binary_values(node, OpCode::Add, positive, logarithm)
    }

    /// `x·sigmoid(α·x)`, or `x·tanh(softplus(x))` for `Mish`.
    fn swish(&mut self, node: &NodeProto, x: ValueId) -> Imports<ValueId> {
        let gate = match node.op_type.as_str() {
            "Mish" => {
                let soft = self.soft_plus(node, x)?;
                self.function(node, Op::Unary(OpCode::Tanh), soft)
            }
            _ => {
                let alpha = node.float("alpha").unwrap_or(1.0);
                let scaled = match alpha == 1.0 {
                    true => x,
                    false => self.with_scalar(node, OpCode::Mul, x, alpha)?,
                };
                self.function(node, Op::Unary(OpCode::Sigmoid), scaled)
            }
        };
        self.binary_values(node, OpCode::Mul, x, gate)
    }
}
