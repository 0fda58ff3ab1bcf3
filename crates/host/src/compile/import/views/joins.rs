//! Tensors behind one another: `Concat`.

use super::super::{Importer, Imports, Made, axis_of, output_name, refuse};
use crate::compile::constant::Data;
use crate::compile::graph::{Op, ValueId};
use crate::onnx::proto::NodeProto;

impl Importer<'_> {
    pub(in super::super) fn concat(&mut self, node: &NodeProto) -> Imports {
        let inputs: Vec<ValueId> = (0..node.input.len())
            .map(|index| self.input(node, index))
            .collect::<Imports<_>>()?;
        let rank = inputs
            .first()
            .map_or(0, |&first| self.shape_of(first).len());
        let axis = axis_of(node, node.int("axis").unwrap_or(0), rank)?;
        let id = self.joined(node, &inputs, axis)?;
        self.bind(node, 0, id);
        Ok(())
    }

    pub(super) fn joined(
        &mut self,
        node: &NodeProto,
        inputs: &[ValueId],
        axis: usize,
    ) -> Imports<ValueId> {
        let first = inputs.first().copied();
        let first = first.ok_or_else(|| refuse(node, "it joins nothing", "remove it"))?;
        let mut shape = self.shape_of(first);
        let element = self.graph.values[first].element;
        shape[axis] = inputs
            .iter()
            .map(|&id| self.graph.values[id].shape.get(axis).copied().unwrap_or(0))
            .sum();
        let outer: usize = shape[..axis].iter().product();
        let whole: Option<Vec<Vec<i64>>> = inputs
            .iter()
            .map(|&id| self.graph.constant(id).and_then(Data::integers))
            .collect();
        if let (Some(parts), 1) = (whole, outer) {
            return Ok(self.graph.add_constant(
                output_name(node),
                &shape,
                Data::I64(parts.concat()),
            ));
        }
        let fits = inputs
            .iter()
            .all(|&id| self.graph.values[id].element == element);
        let total: usize = inputs
            .iter()
            .map(|&id| self.graph.values[id].elements())
            .sum();
        if !fits || total != shape.iter().product::<usize>() {
            let what = "the inputs do not fit together";
            return Err(refuse(node, what, "export the model again"));
        }
        Ok(self.emit(
            output_name(node),
            Op::Concat { outer },
            inputs,
            Made {
                element,
                shape: &shape,
            },
        ))
    }
}
