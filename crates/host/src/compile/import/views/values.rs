//! Values under other names and of other kinds: `Identity`, `Cast`, `Shape`, `Constant`.

use super::super::{Importer, Imports, output_name, refuse};
use crate::compile::constant::Data;
use crate::compile::graph::{Content, Element};
use crate::onnx::proto::{DataType, NodeProto};

impl Importer<'_> {
    pub(in super::super) fn identity(&mut self, node: &NodeProto) -> Imports {
        let x = self.input(node, 0)?;
        if let Some(name) = node.output.first() {
            self.names.insert(name.clone(), x);
        }
        Ok(())
    }

    /// Between widths of one kind only.
    pub(in super::super) fn cast(&mut self, node: &NodeProto) -> Imports {
        let x = self.input(node, 0)?;
        let to = node
            .int("to")
            .and_then(|code| DataType::from_code(code as i32));
        let value = &self.graph.values[x];
        let converted = match (&value.content, value.element, to) {
            (_, Element::F32, Some(DataType::Float)) => return self.identity(node),
            (_, Element::I32 | Element::I64, Some(DataType::Int32 | DataType::Int64)) => {
                return self.identity(node);
            }
            (Content::Constant(data), _, Some(DataType::Float)) => data
                .integers()
                .map(|values| values.iter().map(|&v| v as f32).collect()),
            _ => None,
        };
        let values = converted.ok_or_else(|| {
            refuse(
                node,
                &format!("a cast of {:?} to {to:?}", value.element),
                "keep float32",
            )
        })?;
        let id = self
            .graph
            .add_constant(output_name(node), &self.shape_of(x), Data::F32(values));
        self.bind(node, 0, id);
        Ok(())
    }

    pub(in super::super) fn shape(&mut self, node: &NodeProto) -> Imports {
        let shape: Vec<i64> = self
            .shape_of(self.input(node, 0)?)
            .iter()
            .map(|&extent| extent as i64)
            .collect();
        let id = self
            .graph
            .add_constant(output_name(node), &[shape.len()], Data::I64(shape));
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
