//! Operators that move or rename elements: views, copies, constants, shapes.

mod joins;
mod orders;
mod parts;
mod shapes;
mod values;

use super::{Importer, Imports, Made, output_name, refuse};
use crate::compile::graph::{Content, Op, ValueId, strides};
use crate::onnx::proto::NodeProto;

/// A box of elements in a tensor: where it starts, how far apart neighbours are, its shape.
struct View {
    base: usize,
    strides: Vec<i64>,
    shape: Vec<usize>,
}

impl View {
    fn whole(shape: &[usize]) -> View {
        let strides = strides(shape).iter().map(|&stride| stride as i64).collect();
        View {
            base: 0,
            strides,
            shape: shape.to_vec(),
        }
    }

    /// Places of the box's elements, in its own order.
    fn places(&self) -> Vec<usize> {
        let own = strides(&self.shape);
        let place = |element: usize| {
            let along =
                |axis: usize| (element / own[axis] % self.shape[axis]) as i64 * self.strides[axis];
            (self.base as i64 + (0..self.shape.len()).map(along).sum::<i64>()) as usize
        };
        (0..self.shape.iter().product()).map(place).collect()
    }

    /// Whether the box is all of `count` elements in order.
    fn is_everything(&self, count: usize) -> bool {
        self.shape.iter().product::<usize>() == count && self.places().into_iter().eq(0..count)
    }
}

impl Importer<'_> {
    /// The elements of a view: gathered from a constant, copied or renamed otherwise.
    fn viewed(&mut self, node: &NodeProto, x: ValueId, view: &View) -> Imports<ValueId> {
        let value = self.graph.values[x].clone();
        if let Content::Constant(data) = &value.content {
            let picked = data.gather(&view.places());
            return Ok(self
                .graph
                .add_constant(output_name(node), &view.shape, picked));
        }
        if view.is_everything(value.elements()) {
            return Ok(self.reshaped(node, x, &view.shape));
        }
        refuse_many_dimensions(node, &view.shape)?;
        let mut strides = [0; 4];
        for (place, &stride) in strides.iter_mut().rev().zip(view.strides.iter().rev()) {
            *place = stride;
        }
        let op = Op::StridedCopy {
            base: view.base,
            strides,
        };
        let made = Made {
            element: value.element,
            shape: &view.shape,
        };
        let id = self.emit(output_name(node), op, &[x], made);
        self.read_alike(id, x);
        Ok(id)
    }
}

/// Copies have four strides.
fn refuse_many_dimensions(node: &NodeProto, shape: &[usize]) -> Imports {
    let outer = shape.len().saturating_sub(4);
    match shape.iter().take(outer).any(|&extent| extent != 1) {
        true => {
            let what = "more than 4 dimensions behind the batch";
            Err(refuse(node, what, "reshape before it"))
        }
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transposed_view_lists_places_by_column() {
        let view = View {
            base: 0,
            strides: vec![1, 3],
            shape: vec![3, 2],
        };
        assert_eq!(view.places(), [0, 3, 1, 4, 2, 5]);
        assert!(View::whole(&[2, 3]).is_everything(6));
        assert!(!view.is_everything(6));
    }
}
