//! `QuantizeLinear` and `DequantizeLinear`.
//!
//! Inside the graph everything quantised is `i8`. Unsigned bytes become signed ones by taking 128
//! off values and zero points, which changes no real value.

use super::{Importer, Imports, Made, output_name, refuse};
use crate::compile::constant::{Data, QuantizedConstant};
use crate::compile::graph::{Content, Element, Op, ValueId};
use crate::onnx::proto::NodeProto;

impl Importer<'_> {
    pub(super) fn quantize_linear(&mut self, node: &NodeProto) -> Imports {
        let x = self.computed_input(node)?;
        let (scale, zero_point) = self.tensor_quantization(node, true)?;
        let output = self.emit(
            output_name(node),
            Op::QuantizeLinear { scale, zero_point },
            &[x],
            Made {
                element: Element::I8,
                shape: &self.shape_of(x),
            },
        );
        self.graph.values[output].quantization = Some((scale, zero_point));
        self.bind(node, 0, output);
        Ok(())
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
        let (scale, zero_point) = self.tensor_quantization(node, false)?;
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
        let scales = self.scales(node)?;
        let zero_points = self.zero_points(node, scales.len(), shift)?;
        let shape = self.shape_of(x);
        let axis = match scales.len() {
            1 => 0,
            _ => super::axis_of(node, node.int("axis").unwrap_or(1), shape.len())?,
        };
        if scales.len() > 1 && shape.get(axis) != Some(&scales.len()) {
            let what = "there is not one scale per index of the axis";
            return Err(refuse(node, what, "quantize per tensor or axis"));
        }
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

    /// One scale and zero point for a whole activation. `choose` is true where the zero point's
    /// type decides the element type.
    fn tensor_quantization(&self, node: &NodeProto, choose: bool) -> Imports<(f32, i32)> {
        let scales = self.scales(node)?;
        let [scale] = scales[..] else {
            return Err(refuse(
                node,
                "an activation has several scales",
                "quantize activations per tensor",
            ));
        };
        if !(scale > 0.0 && scale.is_normal()) {
            return Err(refuse(
                node,
                "the scale is not a normal positive number",
                "calibrate again",
            ));
        }
        let unsigned = match self.optional_input(node, 2)? {
            Some(id) => self.graph.values[id].element == Element::Bytes,
            None => choose || self.is_unsigned_input(node)?,
        };
        let zero_points = self.zero_points(node, 1, if unsigned { 128 } else { 0 })?;
        Ok((scale, zero_points[0]))
    }

    /// Without a zero point, the input's own quantisation says which half of the range is meant.
    fn is_unsigned_input(&self, node: &NodeProto) -> Imports<bool> {
        let x = self.input(node, 0)?;
        Ok(self.graph.values[x]
            .quantization
            .is_some_and(|(_, zero_point)| zero_point == -128))
    }

    fn scales(&self, node: &NodeProto) -> Imports<Vec<f32>> {
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
        match values {
            Some(values) if values.len() == count => Ok(values.iter().map(|v| v - shift).collect()),
            Some(values) if values.len() == 1 => Ok(vec![values[0] - shift; count]),
            _ => Err(refuse(
                node,
                "the zero point is not a constant that fits the scale",
                "use static quantization",
            )),
        }
    }
}
