//! Constants made by the graph itself: `Expand`, `ConstantOfShape`, `Tile`.
//!
//! Exporters write them around recurrent layers, for states that start at zero.

use super::arithmetic::broadcast;
use super::{Importer, Imports, output_name, refuse};
use crate::compile::constant::Data;
use crate::compile::graph::{strides, volume};
use crate::onnx::proto::{DataType, NodeProto};
use dunlin_engine::format::MAX_ELEMENTS;

impl Importer<'_> {
    /// `Expand` and `Tile` of a constant; of a computed value only where nothing is repeated.
    pub(super) fn repeat(&mut self, node: &NodeProto) -> Imports {
        let x = self.input(node, 0)?;
        let old = self.shape_of(x);
        let wanted = self.extents(node, 1)?;
        let shape = match node.op_type.as_str() {
            "Tile" if wanted.len() == old.len() => Some(
                old.iter()
                    .zip(&wanted)
                    .map(|(&a, &b)| a.saturating_mul(b))
                    .collect(),
            ),
            "Tile" => None,
            _ => broadcast(&old, &wanted),
        };
        let shape: Vec<usize> = shape.ok_or_else(|| {
            let reason = format!("{old:?} cannot be repeated to {wanted:?}");
            refuse(node, &reason, "export the model again")
        })?;
        check_volume(node, &shape)?;
        if shape.iter().product::<usize>() == old.iter().product::<usize>() {
            let id = self.reshaped(node, x, &shape);
            self.bind(node, 0, id);
            return Ok(());
        }
        let padded = [vec![1; shape.len() - old.len()], old.clone()].concat();
        let (own, from) = (strides(&shape), strides(&padded));
        let place = |element: usize| -> usize {
            let along = |axis: usize| element / own[axis] % shape[axis] % padded[axis] * from[axis];
            (0..shape.len()).map(along).sum()
        };
        let places: Vec<usize> = (0..shape.iter().product()).map(place).collect();
        let computed = || {
            let reason = "a computed value is repeated";
            refuse(node, reason, "let the next operator broadcast")
        };
        let floats = self.graph.floats(x).map(Data::F32);
        let data = self
            .graph
            .constant(x)
            .cloned()
            .or(floats)
            .ok_or_else(computed)?;
        let picked = data.gather(&places);
        let id = self.graph.add_constant(output_name(node), &shape, picked);
        self.bind(node, 0, id);
        Ok(())
    }

    pub(super) fn constant_of_shape(&mut self, node: &NodeProto) -> Imports {
        let shape = self.extents(node, 0)?;
        check_volume(node, &shape)?;
        let count = shape.iter().product();
        let data = match node.tensor("value") {
            None => Data::F32(vec![0.0; count]),
            Some(value) => match value.element_type()? {
                DataType::Float => Data::F32(vec![first(node, &value.to_f32()?)?; count]),
                DataType::Int64 => Data::I64(vec![first(node, &value.to_i64()?)?; count]),
                DataType::Int32 => Data::I32(vec![first(node, &value.to_i32()?)?; count]),
                other => {
                    let reason = format!("a constant of type {other:?}");
                    return Err(refuse(node, &reason, "use float, int32 or int64"));
                }
            },
        };
        let id = self.graph.add_constant(output_name(node), &shape, data);
        self.bind(node, 0, id);
        Ok(())
    }

    /// A constant input as extents.
    fn extents(&self, node: &NodeProto, index: usize) -> Imports<Vec<usize>> {
        let values = self.integer_input(node, index)?;
        let extents: Result<Vec<usize>, _> = values.iter().map(|&v| usize::try_from(v)).collect();
        extents.map_err(|_| {
            let reason = format!("{values:?} is not a shape");
            refuse(node, &reason, "export with fixed shapes")
        })
    }
}

fn check_volume(node: &NodeProto, shape: &[usize]) -> Imports {
    let is_possible = volume(shape).is_some_and(|volume| volume <= MAX_ELEMENTS as usize);
    match is_possible && !shape.contains(&0) {
        true => Ok(()),
        false => {
            let reason = format!("shape {shape:?} is empty or too large");
            Err(refuse(node, &reason, "export with fixed shapes"))
        }
    }
}

fn first<T: Copy>(node: &NodeProto, values: &[T]) -> Imports<T> {
    let empty = || refuse(node, "its value is empty", "export the model again");
    values.first().copied().ok_or_else(empty)
}
