//! The same elements under another shape: `Reshape`, `Flatten`, `Squeeze`, `Unsqueeze`.

use super::super::{Importer, Imports, Made, axis_of, output_name, refuse};
use crate::compile::constant::{Data, QuantizedConstant};
use crate::compile::graph::{Content, Op, ValueId, volume};
use crate::onnx::proto::NodeProto;

impl Importer<'_> {
    pub(in super::super) fn reshape(&mut self, node: &NodeProto) -> Imports {
        let x = self.input(node, 0)?;
        let old = self.shape_of(x);
        let wanted = self.integer_input(node, 1)?;
        let mut shape = Vec::new();
        for (position, &extent) in wanted.iter().enumerate() {
            shape.push(match extent {
                0 if node.int("allowzero").unwrap_or(0) == 0 => {
                    old.get(position).copied().unwrap_or(1)
                }
                -1 => 0,
                extent => usize::try_from(extent).unwrap_or(0),
            });
        }
        let impossible = || {
            let reason = format!("{old:?} cannot become {wanted:?}");
            refuse(node, &reason, "export with batch 1 or an open batch")
        };
        let known = volume(&shape).ok_or_else(impossible)?;
        let count: usize = old.iter().product();
        for extent in shape.iter_mut().filter(|extent| **extent == 0) {
            *extent = count / known;
        }
        if volume(&shape).is_none() || shape.iter().product::<usize>() != count {
            return Err(impossible());
        }
        self.bind_reshaped(node, x, &shape)
    }

    pub(in super::super) fn flatten(&mut self, node: &NodeProto) -> Imports {
        let x = self.input(node, 0)?;
        let shape = self.shape_of(x);
        let axis = node.int("axis").unwrap_or(1);
        let axis = if axis == shape.len() as i64 {
            shape.len()
        } else {
            axis_of(node, axis, shape.len())?
        };
        let flat = [
            shape[..axis].iter().product(),
            shape[axis..].iter().product(),
        ];
        self.bind_reshaped(node, x, &flat)
    }

    /// `Squeeze` and `Unsqueeze`; axes are an attribute or, in newer opsets, an input.
    pub(in super::super) fn squeeze(&mut self, node: &NodeProto) -> Imports {
        let x = self.input(node, 0)?;
        let mut shape = self.shape_of(x);
        let axes = match (node.ints("axes"), self.optional_input(node, 1)?) {
            (Some(axes), _) => axes.to_vec(),
            (None, Some(_)) => self.integer_input(node, 1)?,
            (None, None) => (0..shape.len() as i64)
                .filter(|&axis| shape[axis as usize] == 1)
                .collect(),
        };
        let adds = node.op_type == "Unsqueeze";
        let rank = shape.len() + if adds { axes.len() } else { 0 };
        let mut axes = axes
            .iter()
            .map(|&axis| axis_of(node, axis, rank))
            .collect::<Imports<Vec<_>>>()?;
        axes.sort_unstable();
        if axes.windows(2).any(|pair| pair[0] == pair[1]) {
            let reason = "an axis is named twice";
            return Err(refuse(node, reason, "export the model again"));
        }
        if adds {
            axes.iter().for_each(|&axis| shape.insert(axis, 1));
        } else {
            axes.iter().rev().for_each(|&axis| {
                shape.remove(axis);
            });
        }
        match shape.iter().product::<usize>() == self.graph.values[x].elements() {
            true => self.bind_reshaped(node, x, &shape),
            false => Err(refuse(
                node,
                "a squeezed axis is not of extent 1",
                "export the model again",
            )),
        }
    }

    /// A value under another shape; constants are copied, computed values get a view.
    pub(in super::super) fn reshaped(
        &mut self,
        node: &NodeProto,
        x: ValueId,
        shape: &[usize],
    ) -> ValueId {
        let value = self.graph.values[x].clone();
        if value.shape == shape {
            return x;
        }
        match value.content {
            Content::Computed => {
                let id = self.emit(
                    output_name(node),
                    Op::Reshape,
                    &[x],
                    Made {
                        element: value.element,
                        shape,
                    },
                );
                self.read_alike(id, x);
                id
            }
            Content::Constant(data) => self.graph.add_constant(&value.name, shape, data),
            Content::Quantized(mut quantized) => {
                match moved_axis(&quantized, &value.shape, shape) {
                    Some(axis) => {
                        quantized.axis = axis;
                        let id = self.graph.add_value(&value.name, value.element, shape);
                        self.graph.values[id].content = Content::Quantized(quantized);
                        id
                    }
                    None => {
                        let floats = Data::F32(quantized.dequantize(&value.shape));
                        self.graph.add_constant(&value.name, shape, floats)
                    }
                }
            }
        }
    }

    fn bind_reshaped(&mut self, node: &NodeProto, x: ValueId, shape: &[usize]) -> Imports {
        let id = self.reshaped(node, x, shape);
        match id == x {
            true => self.identity(node),
            false => {
                self.bind(node, 0, id);
                Ok(())
            }
        }
    }
}

/// The axis of a new shape that has the indices of the quantised axis of an old one.
fn moved_axis(quantized: &QuantizedConstant, old: &[usize], new: &[usize]) -> Option<usize> {
    if quantized.scales.len() == 1 {
        return Some(0);
    }
    let outer = |shape: &[usize], axis: usize| shape[..axis].iter().product::<usize>();
    let is_moved = |&axis: &usize| {
        outer(new, axis) == outer(old, quantized.axis) && new[axis] == quantized.scales.len()
    };
    (0..new.len()).find(is_moved)
}
