//! Axes in another order: `Transpose`.

use super::super::{Importer, Imports, Made, axis_of, output_name, refuse};
use super::{View, refuse_many_dimensions};
use crate::compile::graph::{Op, ValueId};
use crate::onnx::proto::NodeProto;

impl Importer<'_> {
    pub(in super::super) fn transpose(&mut self, node: &NodeProto) -> Imports {
        let x = self.input(node, 0)?;
        let whole = View::whole(&self.shape_of(x));
        let rank = whole.shape.len();
        let reversed: Vec<i64> = (0..rank as i64).rev().collect();
        let order = node.ints("perm").map_or(reversed, <[i64]>::to_vec);
        let order = order
            .iter()
            .map(|&axis| axis_of(node, axis, rank))
            .collect::<Imports<Vec<_>>>()?;
        if order.len() != rank || (0..rank).any(|axis| !order.contains(&axis)) {
            return Err(refuse(
                node,
                "perm is not a permutation",
                "export the model again",
            ));
        }
        let id = self.transposed(node, x, &order)?;
        match id == x {
            true => self.identity(node),
            false => {
                self.bind(node, 0, id);
                Ok(())
            }
        }
    }

    /// A value with its axes in another order: axis `i` of the result is axis `order[i]`.
    pub(in super::super) fn transposed(
        &mut self,
        node: &NodeProto,
        x: ValueId,
        order: &[usize],
    ) -> Imports<ValueId> {
        let whole = View::whole(&self.shape_of(x));
        let view = View {
            base: 0,
            strides: order.iter().map(|&axis| whole.strides[axis]).collect(),
            shape: order.iter().map(|&axis| whole.shape[axis]).collect(),
        };
        let quantized = self.quantized_axis(x).unwrap_or(0);
        let axis = order.iter().position(|&axis| axis == quantized);
        let places = match self.graph.values[x].is_computed() {
            true => Vec::new(),
            false => view.places(),
        };
        if let Some(id) = self.rearranged(x, &places, (&view.shape, axis.unwrap_or(0))) {
            return Ok(id);
        }
        let value = self.graph.values[x].clone();
        if view.is_everything(value.elements()) {
            return Ok(self.reshaped(node, x, &view.shape));
        }
        let extents: Vec<usize> = whole.shape.iter().copied().filter(|&e| e != 1).collect();
        if view.shape.len() > 4 && extents.len() <= 4 {
            return self.transposed_without_ones(node, x, (order, &extents));
        }
        refuse_many_dimensions(node, &view.shape)?;
        let op = Op::Transpose {
            order: order.to_vec(),
        };
        let made = Made {
            element: value.element,
            shape: &view.shape,
        };
        let id = self.emit(output_name(node), op, &[x], made);
        self.read_alike(id, x);
        Ok(id)
    }

    /// As [`Importer::transposed`], past the axes of one element.
    fn transposed_without_ones(
        &mut self,
        node: &NodeProto,
        x: ValueId,
        (order, extents): (&[usize], &[usize]),
    ) -> Imports<ValueId> {
        let shape = self.shape_of(x);
        let kept: Vec<usize> = (0..shape.len()).filter(|&axis| shape[axis] != 1).collect();
        let among_kept = |axis: &usize| kept.iter().position(|other| other == axis);
        let order_of_kept: Vec<usize> = order.iter().filter_map(among_kept).collect();
        let result: Vec<usize> = order.iter().map(|&axis| shape[axis]).collect();
        let small = self.reshaped(node, x, extents);
        let turned = self.transposed(node, small, &order_of_kept)?;
        Ok(self.reshaped(node, turned, &result))
    }
}
