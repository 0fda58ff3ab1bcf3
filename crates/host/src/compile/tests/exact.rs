//! Evaluates quantised ONNX graphs in exact real arithmetic, straight from the file.
//!
//! Every value is an integer times a power of two until `QuantizeLinear` divides and rounds once.
//! Nothing here is shared with the compiler.

use crate::onnx::proto::{DataType, GraphProto, ModelProto, NodeProto, TensorProto};
use std::collections::HashMap;

/// `mantissa · 2^exponent`.
#[derive(Clone, Copy, Debug)]
struct Real {
    mantissa: i128,
    exponent: i32,
}

impl Real {
    fn new(value: f32) -> Real {
        let bits = value.to_bits();
        let fraction = i128::from(bits & 0x7F_FFFF);
        let biased = (bits >> 23 & 0xFF) as i32;
        assert!(biased < 255, "{value} is not finite");
        let mantissa = if biased == 0 {
            fraction
        } else {
            fraction + (1 << 23)
        };
        let sign = if value.is_sign_negative() { -1 } else { 1 };
        Real {
            mantissa: sign * mantissa,
            exponent: biased.max(1) - 150,
        }
    }

    fn times(self, other: Real) -> Real {
        Real {
            mantissa: self.mantissa * other.mantissa,
            exponent: self.exponent + other.exponent,
        }
    }

    fn plus(self, other: Real) -> Real {
        let exponent = self.exponent.min(other.exponent);
        let aligned = |real: Real| real.mantissa << (real.exponent - exponent);
        Real {
            mantissa: aligned(self) + aligned(other),
            exponent,
        }
    }

    /// `self / scale` rounded half to even.
    fn quantized(self, scale: Real) -> i128 {
        let shift = self.exponent - scale.exponent;
        let numerator = self.mantissa << shift.max(0);
        let denominator = scale.mantissa << (-shift).max(0);
        let floor = numerator.div_euclid(denominator);
        match (2 * numerator.rem_euclid(denominator)).cmp(&denominator) {
            std::cmp::Ordering::Less => floor,
            std::cmp::Ordering::Greater => floor + 1,
            std::cmp::Ordering::Equal => floor + floor.rem_euclid(2),
        }
    }
}

/// A tensor of integers (from the file or a quantization) or of reals.
#[derive(Clone, Debug)]
enum Tensor {
    Integers(Vec<i128>, Vec<usize>),
    Reals(Vec<Real>, Vec<usize>),
}

/// Evaluates graphs of quantised layers.
pub struct Evaluator<'m> {
    graph: &'m GraphProto,
}

impl<'m> Evaluator<'m> {
    pub fn new(model: &'m ModelProto) -> Evaluator<'m> {
        Evaluator {
            graph: model.graph.as_ref().expect("a graph"),
        }
    }

    /// The `i8` that the last `QuantizeLinear` gives for a model that takes `i8`.
    pub fn last_quantized(&self, input: &[i8]) -> Vec<i8> {
        let integers = input.iter().map(|&q| i128::from(q)).collect();
        self.evaluate(Tensor::Integers(integers, vec![1, input.len()]))
    }

    /// As above for a model that takes `f32`.
    pub fn last_quantized_of(&self, input: &[f32]) -> Vec<i8> {
        let reals = input.iter().map(|&value| Real::new(value)).collect();
        self.evaluate(Tensor::Reals(reals, vec![1, input.len()]))
    }

    fn evaluate(&self, input: Tensor) -> Vec<i8> {
        let mut values: HashMap<&str, Tensor> = HashMap::new();
        for constant in &self.graph.initializer {
            if constant.data_type != DataType::Float as i32 {
                values.insert(
                    &constant.name,
                    Tensor::Integers(integers(constant), shape(constant)),
                );
            }
        }
        let name = &self
            .graph
            .input
            .iter()
            .find(|i| !values.contains_key(i.name.as_str()))
            .expect("an input")
            .name;
        values.insert(name, input);
        let mut last = Vec::new();
        for node in &self.graph.node {
            let output = self.node(node, &values);
            if let ("QuantizeLinear", Tensor::Integers(codes, _)) = (node.op_type.as_str(), &output)
            {
                last = codes
                    .iter()
                    .map(|&code| i8::try_from(code).expect("saturated"))
                    .collect();
            }
            values.insert(&node.output[0], output);
        }
        last
    }

    fn node(&self, node: &NodeProto, values: &HashMap<&str, Tensor>) -> Tensor {
        let value = |index: usize| {
            values
                .get(node.input[index].as_str())
                .expect("computed before")
                .clone()
        };
        match node.op_type.as_str() {
            "DequantizeLinear" => self.dequantize(node, value(0)),
            "QuantizeLinear" => self.quantize(node, value(0)),
            "MatMul" => mat_mul(value(0), value(1), false),
            "Gemm" => {
                let transposed = node.int("transB").unwrap_or(0) != 0;
                add(mat_mul(value(0), value(1), transposed), value(2))
            }
            "Add" => add(value(0), value(1)),
            "Relu" => match value(0) {
                Tensor::Reals(reals, shape) => {
                    Tensor::Reals(reals.into_iter().map(positive).collect(), shape)
                }
                integers => integers,
            },
            other => panic!("{other} is not evaluated exactly"),
        }
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        self.graph
            .initializer(name)
            .expect("a constant")
            .to_f32()
            .expect("floats")
    }

    fn zero_points(&self, node: &NodeProto) -> Vec<i128> {
        node.input_name(2).map_or(vec![0], |name| {
            integers(self.graph.initializer(name).expect("a constant"))
        })
    }

    fn dequantize(&self, node: &NodeProto, x: Tensor) -> Tensor {
        let Tensor::Integers(codes, shape) = x else {
            panic!("dequantizes integers")
        };
        let (scales, zeros) = (self.floats(&node.input[1]), self.zero_points(node));
        let axis = node.int("axis").unwrap_or(1);
        let inner: usize = shape.iter().skip(axis as usize + 1).product();
        let real = |(place, code): (usize, i128)| {
            let channel = if scales.len() == 1 {
                0
            } else {
                place / inner % scales.len()
            };
            let zero = zeros[if zeros.len() == 1 { 0 } else { channel }];
            Real::new(scales[channel]).times(Real {
                mantissa: code - zero,
                exponent: 0,
            })
        };
        Tensor::Reals(codes.into_iter().enumerate().map(real).collect(), shape)
    }

    fn quantize(&self, node: &NodeProto, x: Tensor) -> Tensor {
        let Tensor::Reals(reals, shape) = x else {
            panic!("quantizes reals")
        };
        let (scale, zero) = (
            Real::new(self.floats(&node.input[1])[0]),
            self.zero_points(node)[0],
        );
        let code = |real: Real| (real.quantized(scale) + zero).clamp(-128, 127);
        Tensor::Integers(reals.into_iter().map(code).collect(), shape)
    }
}

fn positive(real: Real) -> Real {
    if real.mantissa < 0 {
        Real {
            mantissa: 0,
            exponent: 0,
        }
    } else {
        real
    }
}

fn mat_mul(a: Tensor, b: Tensor, transposed: bool) -> Tensor {
    let (Tensor::Reals(a, a_shape), Tensor::Reals(b, b_shape)) = (a, b) else {
        panic!("multiplies reals")
    };
    let k = *a_shape.last().expect("a row");
    let n = if transposed { b_shape[0] } else { b_shape[1] };
    let zero = Real {
        mantissa: 0,
        exponent: 0,
    };
    let column = |j: usize| {
        let weight = |i: usize| {
            if transposed {
                b[j * k + i]
            } else {
                b[i * n + j]
            }
        };
        (0..k)
            .map(|i| a[i].times(weight(i)))
            .fold(None, sum)
            .unwrap_or(zero)
    };
    Tensor::Reals((0..n).map(column).collect(), vec![1, n])
}

fn sum(total: Option<Real>, next: Real) -> Option<Real> {
    Some(total.map_or(next, |total| total.plus(next)))
}

fn add(a: Tensor, b: Tensor) -> Tensor {
    let (Tensor::Reals(a, shape), Tensor::Reals(b, _)) = (a, b) else {
        panic!("adds reals")
    };
    let b = b.iter().cycle();
    Tensor::Reals(
        a.into_iter().zip(b).map(|(a, &b)| a.plus(b)).collect(),
        shape,
    )
}

fn shape(tensor: &TensorProto) -> Vec<usize> {
    tensor.shape().expect("a shape")
}

fn integers(tensor: &TensorProto) -> Vec<i128> {
    match tensor.element_type().expect("a type") {
        DataType::Int8 => tensor
            .to_i8()
            .expect("int8")
            .into_iter()
            .map(i128::from)
            .collect(),
        DataType::Int32 => tensor
            .to_i32()
            .expect("int32")
            .into_iter()
            .map(i128::from)
            .collect(),
        other => panic!("{other:?} constant"),
    }
}
