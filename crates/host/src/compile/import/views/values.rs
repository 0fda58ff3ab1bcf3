//! Values under other names and of other kinds: `Identity`, `Cast`, `Shape`, `Constant`.

use super::super::{Importer, Imports, output_name, refuse};
use crate::compile::constant::Data;
use crate::compile::graph::{Element, Op, ValueId};
use crate::onnx::proto::{DataType, NodeProto};

impl Importer<'_> {
    pub(in super::super) fn identity(&mut self, node: &NodeProto) -> Imports {
        let x = self.input(node, 0)?;
        if let Some(name) = node.output.first() {
            self.names.insert(name.clone(), x);
        }
        Ok(())
    }

    /// Between widths of one kind, of bytes to floats, and of floats to truth values, which are
    /// floats here: 1.0 and 0.0. A computed whole number stays one: it is a class on its way to the
    /// output, whatever exporters cast it to.
    pub(in super::super) fn cast(&mut self, node: &NodeProto) -> Imports {
        let x = self.input(node, 0)?;
        let to = node
            .int("to")
            .and_then(|code| DataType::from_code(code as i32));
        let value = &self.graph.values[x];
        let whole = matches!(value.element, Element::I32 | Element::I64);
        let unsigned = value.unsigned;
        match (value.is_computed(), value.element, to) {
            (_, Element::F32, Some(DataType::Float)) => return self.identity(node),
            (_, _, Some(DataType::Int32 | DataType::Int64)) if whole => return self.identity(node),
            (true, _, Some(DataType::Float)) if whole => return self.identity(node),
            (true, Element::I8, Some(DataType::Float)) => {
                let (scale, zero_point) = (1.0, if unsigned { -128 } else { 0 });
                let op = Op::DequantizeLinear { scale, zero_point };
                return self.emit_for(node, op, &[x], &self.shape_of(x));
            }
            (true, Element::F32, Some(DataType::Bool)) => {
                let truth = self.differs_from_nought(node, x)?;
                self.bind(node, 0, truth);
                return Ok(());
            }
            (true, ..) => {}
            (false, ..) => return self.cast_constant(node, x, to),
        }
        let reason = format!("a cast of {:?} to {to:?}", value.element);
        Err(refuse(node, &reason, "keep float32"))
    }

    fn cast_constant(&mut self, node: &NodeProto, x: ValueId, to: Option<DataType>) -> Imports {
        let whole = match self.graph.constant(x) {
            Some(Data::F32(values)) if to == Some(DataType::Bool) => {
                Some(values.iter().map(|&v| i64::from(v != 0.0)).collect())
            }
            Some(Data::F32(values)) => Some(values.iter().map(|&v| v as i64).collect()),
            Some(Data::Bytes(values)) => Some(values.iter().map(|&v| i64::from(v)).collect()),
            Some(data) => data.integers(),
            None => None,
        };
        let data = match (whole, to) {
            (Some(values), Some(DataType::Int32 | DataType::Int64)) => Some(Data::I64(values)),
            (Some(values), Some(DataType::Float)) => {
                Some(Data::F32(values.iter().map(|&v| v as f32).collect()))
            }
            (Some(values), Some(DataType::Bool)) => {
                let truth = values.iter().map(|&value| i64::from(value != 0));
                Some(Data::I64(truth.collect()))
            }
            _ => None,
        };
        let data = data.ok_or_else(|| {
            let reason = format!("a cast of a constant to {to:?}");
            refuse(node, &reason, "fold it before the export")
        })?;
        let id = self
            .graph
            .add_constant(output_name(node), &self.shape_of(x), data);
        self.bind(node, 0, id);
        Ok(())
    }

    /// All extents, or those from `start` to `end`.
    pub(in super::super) fn shape(&mut self, node: &NodeProto) -> Imports {
        let shape = self.shape_of(self.input(node, 0)?);
        let rank = shape.len() as i64;
        let place = |name: &str, otherwise: i64| {
            let place = node.int(name).unwrap_or(otherwise);
            let place = if place < 0 {
                place.saturating_add(rank)
            } else {
                place
            };
            place.clamp(0, rank) as usize
        };
        let (start, end) = (place("start", 0), place("end", rank));
        let part = shape.get(start..end.max(start)).unwrap_or_default();
        let extents: Vec<i64> = part.iter().map(|&extent| extent as i64).collect();
        let id = self
            .graph
            .add_constant(output_name(node), &[extents.len()], Data::I64(extents));
        self.bind(node, 0, id);
        Ok(())
    }

    pub(in super::super) fn constant_node(&mut self, node: &NodeProto) -> Imports {
        let name = output_name(node).to_owned();
        if let Some(tensor) = node.tensor("value") {
            return self.import_constant(&name, tensor);
        }
        let data = match (
            node.float("value_float"),
            node.int("value_int"),
            node.ints("value_ints"),
        ) {
            (Some(value), _, _) => (vec![], Data::F32(vec![value])),
            (_, Some(value), _) => (vec![], Data::I64(vec![value])),
            (_, _, Some(values)) => (vec![values.len()], Data::I64(values.to_vec())),
            _ => {
                return Err(refuse(
                    node,
                    "the constant's kind is not supported",
                    "use a tensor value",
                ));
            }
        };
        let id = self.graph.add_constant(&name, &data.0, data.1);
        self.bind(node, 0, id);
        Ok(())
    }
}
