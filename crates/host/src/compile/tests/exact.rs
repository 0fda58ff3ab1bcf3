//! The oracle of `verify::exact`, asked for what a model quantises last.

use crate::onnx::proto::{DataType, ModelProto};
use crate::verify::exact::{self, Tensor, Values};
use std::rc::Rc;

/// Evaluates models of one input whose result is quantised.
pub struct Evaluator<'m> {
    model: &'m ModelProto,
    evaluator: exact::Evaluator<'m>,
}

impl<'m> Evaluator<'m> {
    pub fn new(model: &'m ModelProto) -> Evaluator<'m> {
        Evaluator {
            model,
            evaluator: exact::Evaluator::new(model).expect("a graph"),
        }
    }

    /// The `i8` that the last `QuantizeLinear` gives for a model that takes `i8`.
    pub fn last_quantized(&self, input: &[i8]) -> Vec<i8> {
        let codes = input.iter().map(|&code| i64::from(code)).collect();
        self.last(Tensor::integers(DataType::Int8, &self.shape(), codes))
    }

    /// As above for a model whose bytes may be unsigned; those come and go less 128, as in a plan.
    pub fn last_bytes(&self, input: &[i8], unsigned: bool) -> Vec<i8> {
        let (element, shift) = match unsigned {
            true => (DataType::Uint8, 128),
            false => (DataType::Int8, 0),
        };
        let codes = input.iter().map(|&code| i64::from(code) + shift).collect();
        let codes = self.last_codes(Tensor::integers(element, &self.shape(), codes));
        codes
            .into_iter()
            .map(|code| i8::try_from(code - shift).expect("a byte"))
            .collect()
    }

    /// As above for a model that takes `f32`.
    pub fn last_quantized_of(&self, input: &[f32]) -> Vec<i8> {
        self.last(Tensor::floats(&self.shape(), input).expect("finite floats"))
    }

    /// The input's shape with one for every open extent.
    fn shape(&self) -> Vec<usize> {
        let graph = self.model.graph().expect("a graph");
        let input = graph.true_inputs().next().expect("an input");
        let extents = input.extents().expect("a shape");
        extents
            .into_iter()
            .map(|extent| extent.unwrap_or(1))
            .collect()
    }

    fn last(&self, input: Tensor) -> Vec<i8> {
        let codes = self.last_codes(input).into_iter();
        codes
            .map(|code| i8::try_from(code).expect("int8"))
            .collect()
    }

    fn last_codes(&self, input: Tensor) -> Vec<i64> {
        let graph = self.model.graph().expect("a graph");
        let name = &graph.true_inputs().next().expect("an input").name;
        let quantizes = graph
            .node
            .iter()
            .rev()
            .find(|node| node.op_type == "QuantizeLinear");
        let last = &quantizes.expect("a quantised value").output[0];
        let given = Values::from([(name.clone(), Rc::new(input))]);
        let values = self
            .evaluator
            .evaluate(given, &[last])
            .expect("evaluated exactly");
        values[last].codes().expect("integers").to_vec()
    }
}
