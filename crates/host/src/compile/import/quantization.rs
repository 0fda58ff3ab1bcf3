//! `QuantizeLinear` and `DequantizeLinear`.
//!
//! Inside the graph everything quantised is `i8`. Unsigned bytes become signed ones by taking 128
//! off values and zero points, which changes no real value.

use super::{Importer, Imports, Made, output_name, refuse};
use crate::compile::constant::{Data, QuantizedConstant};
use crate::compile::graph::{Content, Element, Op, ValueId};
use crate::compile::rational::round_quotient;
use crate::compile::real::Real;
use crate::onnx::proto::{DataType, NodeProto};

/// What a node quantises with: one scale and zero point, or one per index of an axis.
struct Parameters {
    scales: Vec<f32>,
    /// As many as scales.
    zero_points: Vec<i32>,
    axis: usize,
}

const NO_SCALE: &str = "the scale is not a normal positive number";

fn is_scale(scale: &f32) -> bool {
    *scale > 0.0 && scale.is_normal()
}

impl Importer<'_> {
    pub(super) fn quantize_linear(&mut self, node: &NodeProto) -> Imports {
        let id = self.input(node, 0)?;
        if !self.graph.values[id].is_computed() {
            return self.quantize_constant(node, id);
        }
        let x = self.computed_input(node)?;
        let unsigned = self.gives_unsigned(node)?;
        let (scale, zero_point) = self.tensor_quantization(node, unsigned)?;
        let output = self.emit(
            output_name(node),
            Op::QuantizeLinear { scale, zero_point },
            &[x],
            Made {
                element: Element::I8,
                shape: &self.shape_of(x),
            },
        );
        let value = &mut self.graph.values[output];
        (value.quantization, value.unsigned) = (Some((scale, zero_point)), unsigned);
        self.bind(node, 0, output);
        Ok(())
    }

    /// Weights that the file holds as floats, as training with quantization leaves them.
    fn quantize_constant(&mut self, node: &NodeProto, x: ValueId) -> Imports {
        let shape = self.shape_of(x);
        let unsigned = self.gives_unsigned(node)?;
        let parameters = self.parameters(node, &shape, 0)?;
        if !parameters.scales.iter().all(is_scale) {
            return Err(refuse(node, NO_SCALE, "calibrate again"));
        }
        let inner: usize = shape.iter().skip(parameters.axis + 1).product();
        let of = |place: usize| {
            let index = place / inner.max(1) % parameters.scales.len();
            (parameters.scales[index], parameters.zero_points[index])
        };
        let steps: Option<Vec<i64>> = match self.graph.constant(x) {
            Some(Data::F32(values)) => {
                let quotient = |(place, &value)| round_quotient(value, of(place).0);
                Some(values.iter().enumerate().map(quotient).collect())
            }
            _ => self.graph.reals(x).and_then(|reals| {
                let quotient = |(place, real): (usize, &Real)| {
                    let steps = real.over(&Real::from_f32(of(place).0)?)?.rounded()?;
                    Some(i64::try_from(&steps).unwrap_or(i64::from(i32::MAX)))
                };
                reals.iter().enumerate().map(quotient).collect()
            }),
        };
        let steps = steps.ok_or_else(|| {
            let reason = "the constant is not of finite floats";
            refuse(node, reason, "quantize float32")
        })?;
        let codes = steps.iter().enumerate();
        let codes = codes.map(|(place, steps)| steps + i64::from(of(place).1));
        let data = match unsigned {
            true => Data::Bytes(codes.map(|code| code.clamp(0, 255) as u8).collect()),
            false => Data::I8(codes.map(|code| code.clamp(-128, 127) as i8).collect()),
        };
        let id = self.graph.add_constant(output_name(node), &shape, data);
        self.bind(node, 0, id);
        Ok(())
    }

    /// Whether a node quantises to unsigned bytes: as its zero point, or else `output_dtype`, says.
    fn gives_unsigned(&self, node: &NodeProto) -> Imports<bool> {
        let element = match self.optional_input(node, 2)? {
            Some(id) => match self.graph.values[id].element {
                Element::Bytes => Some(DataType::Uint8),
                Element::I8 => Some(DataType::Int8),
                _ => None,
            },
            None => match node.int("output_dtype").unwrap_or(0) {
                0 => Some(DataType::Uint8),
                code => DataType::from_code(code as i32),
            },
        };
        match element {
            Some(DataType::Uint8) => Ok(true),
            Some(DataType::Int8) => Ok(false),
            _ => Err(refuse(
                node,
                "it gives neither int8 nor uint8",
                "quantize activations and weights to 8 bits",
            )),
        }
    }

    pub(super) fn dequantize_linear(&mut self, node: &NodeProto) -> Imports {
        let x = self.input(node, 0)?;
        if !self.graph.values[x].is_computed() {
            return self.dequantize_constant(node, x);
        }
        if self.graph.values[x].element != Element::I8 {
            return Err(refuse(
                node,
                "the input is not int8 or uint8",
                "quantize to int8",
            ));
        }
        let unsigned = match self.optional_input(node, 2)? {
            Some(id) => self.graph.values[id].element == Element::Bytes,
            None => self.graph.values[x].unsigned,
        };
        let (scale, zero_point) = self.tensor_quantization(node, unsigned)?;
        self.graph.values[x].quantization = Some((scale, zero_point));
        self.emit_for(
            node,
            Op::DequantizeLinear { scale, zero_point },
            &[x],
            &self.shape_of(x),
        )
    }

    /// Keeps the integers, so that a quantised layer can use them.
    fn dequantize_constant(&mut self, node: &NodeProto, x: ValueId) -> Imports {
        let (integers, shift) = match self.graph.constant(x) {
            Some(Data::I8(values)) => (values.iter().map(|&v| i32::from(v)).collect(), 0),
            Some(Data::I32(values)) => (values.clone(), 0),
            Some(Data::Bytes(values)) => {
                (values.iter().map(|&v| i32::from(v) - 128).collect(), 128)
            }
            _ => {
                let what = "the constant is not int8, uint8 or int32";
                return Err(refuse(node, what, "quantize to int8"));
            }
        };
        let shape = self.shape_of(x);
        let Parameters {
            scales,
            zero_points,
            axis,
        } = self.parameters(node, &shape, shift)?;
        let quantized = QuantizedConstant {
            integers,
            scales,
            zero_points,
            axis,
        };
        let id = self
            .graph
            .add_value(output_name(node), Element::F32, &shape);
        self.graph.values[id].content = Content::Quantized(quantized);
        self.bind(node, 0, id);
        Ok(())
    }

    /// Scales and zero points, less `shift`, of a constant.
    fn parameters(&self, node: &NodeProto, shape: &[usize], shift: i32) -> Imports<Parameters> {
        let scales = self.scales(node)?;
        let zero_points = self.zero_points(node, scales.len(), shift)?;
        let axis = match scales.len() {
            1 => 0,
            _ => super::axis_of(node, node.int("axis").unwrap_or(1), shape.len())?,
        };
        if scales.len() > 1 && shape.get(axis) != Some(&scales.len()) {
            let what = "there is not one scale per index of the axis";
            return Err(refuse(node, what, "quantize per tensor or axis"));
        }
        Ok(Parameters {
            scales,
            zero_points,
            axis,
        })
    }

    /// One scale and zero point for a whole activation.
    fn tensor_quantization(&self, node: &NodeProto, unsigned: bool) -> Imports<(f32, i32)> {
        let scales = self.scales(node)?;
        let [scale] = scales[..] else {
            return Err(refuse(
                node,
                "an activation has several scales",
                "quantize activations per tensor",
            ));
        };
        if !is_scale(&scale) {
            return Err(refuse(node, NO_SCALE, "calibrate again"));
        }
        let zero_points = self.zero_points(node, 1, if unsigned { 128 } else { 0 })?;
        match zero_points[0] {
            zero_point @ -128..=127 => Ok((scale, zero_point)),
            _ => Err(refuse(
                node,
                "the zero point is not a byte",
                "quantize to int8 or uint8",
            )),
        }
    }

    fn scales(&self, node: &NodeProto) -> Imports<Vec<f32>> {
        if node.int("block_size").unwrap_or(0) != 0 {
            let reason = "it quantizes in blocks";
            return Err(refuse(node, reason, "quantize per tensor or axis"));
        }
        let id = self.input(node, 1)?;
        let computed = || {
            refuse(
                node,
                "the scale is not a constant float",
                "use static quantization",
            )
        };
        self.graph
            .floats(id)
            .filter(|scales| !scales.is_empty())
            .ok_or_else(computed)
    }

    /// Zero points less `shift`; zeros where the input is left out.
    fn zero_points(&self, node: &NodeProto, count: usize, shift: i32) -> Imports<Vec<i32>> {
        let Some(id) = self.optional_input(node, 2)? else {
            return Ok(vec![-shift; count]);
        };
        let values: Option<Vec<i32>> = match self.graph.constant(id) {
            Some(Data::Bytes(values)) => Some(values.iter().map(|&v| i32::from(v)).collect()),
            Some(data) => data
                .integers()
                .map(|values| values.iter().map(|&v| v as i32).collect()),
            None => None,
        };
        let shifted = |value: i32| value.saturating_sub(shift);
        match values {
            Some(values) if values.len() == count => Ok(values.into_iter().map(shifted).collect()),
            Some(values) if values.len() == 1 => Ok(vec![shifted(values[0]); count]),
            _ => Err(refuse(
                node,
                "the zero point is not a constant that fits the scale",
                "use static quantization",
            )),
        }
    }
}
