//! Operators that move or rename elements: views, copies, constants, shapes.

use super::{Importer, Imports, Made, axis_of, output_name, refuse};
use crate::compile::constant::{Data, QuantizedConstant};
use crate::compile::graph::{Content, Element, Op, ValueId, strides, volume};
use crate::onnx::proto::{DataType, NodeProto};

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
    pub(super) fn identity(&mut self, node: &NodeProto) -> Imports {
        let x = self.input(node, 0)?;
        if let Some(name) = node.output.first() {
            self.names.insert(name.clone(), x);
        }
        Ok(())
    }

    /// Between widths of one kind only.
    pub(super) fn cast(&mut self, node: &NodeProto) -> Imports {
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

    pub(super) fn shape(&mut self, node: &NodeProto) -> Imports {
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

    pub(super) fn constant_node(&mut self, node: &NodeProto) -> Imports {
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

    pub(super) fn reshape(&mut self, node: &NodeProto) -> Imports {
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

    pub(super) fn flatten(&mut self, node: &NodeProto) -> Imports {
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
    pub(super) fn squeeze(&mut self, node: &NodeProto) -> Imports {
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
    pub(super) fn reshaped(&mut self, node: &NodeProto, x: ValueId, shape: &[usize]) -> ValueId {
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
                self.graph.values[id].quantization = value.quantization;
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

    pub(super) fn transpose(&mut self, node: &NodeProto) -> Imports {
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
    pub(super) fn transposed(
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
        refuse_many_dimensions(node, &view.shape)?;
        let op = Op::Transpose {
            order: order.to_vec(),
        };
        let made = Made {
            element: value.element,
            shape: &view.shape,
        };
        let id = self.emit(output_name(node), op, &[x], made);
        self.graph.values[id].quantization = value.quantization;
        Ok(id)
    }

    /// A computed value with its axes in another order.
    pub(super) fn turned(
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
        self.viewed(node, x, &view)
    }

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
        self.graph.values[id].quantization = value.quantization;
        Ok(id)
    }

    pub(super) fn slice(&mut self, node: &NodeProto) -> Imports {
        let x = self.input(node, 0)?;
        let mut view = View::whole(&self.shape_of(x));
        let rank = view.shape.len();
        let list =
            |index: usize, name: &str| match (node.ints(name), self.optional_input(node, index)?) {
                (Some(values), _) => Ok(Some(values.to_vec())),
                (None, Some(_)) => self.integer_input(node, index).map(Some),
                (None, None) => Ok(None),
            };
        let starts = list(1, "starts")?.unwrap_or_default();
        let ends = list(2, "ends")?.unwrap_or_default();
        let axes = list(3, "axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
        let steps = list(4, "steps")?.unwrap_or_else(|| vec![1; starts.len()]);
        for (((&start, &end), &axis), &step) in starts.iter().zip(&ends).zip(&axes).zip(&steps) {
            let axis = axis_of(node, axis, rank)?;
            let (first, count) = slice_range(start, end, step, view.shape[axis])
                .ok_or_else(|| refuse(node, "the slice is empty", "remove it"))?;
            view.base = (view.base as i64 + first as i64 * view.strides[axis]) as usize;
            view.strides[axis] = view.strides[axis].saturating_mul(step);
            view.shape[axis] = count;
        }
        let id = self.viewed(node, x, &view)?;
        self.bind(node, 0, id);
        Ok(())
    }

    pub(super) fn split(&mut self, node: &NodeProto) -> Imports {
        let x = self.input(node, 0)?;
        let shape = self.shape_of(x);
        let axis = axis_of(node, node.int("axis").unwrap_or(0), shape.len())?;
        let parts = node.output.len();
        let sizes = match (node.ints("split"), self.optional_input(node, 1)?) {
            (Some(sizes), _) => sizes.to_vec(),
            (None, Some(_)) => self.integer_input(node, 1)?,
            (None, None) => vec![shape[axis].div_ceil(parts.max(1)) as i64; parts],
        };
        let add = |sum: usize, &size: &i64| sum.checked_add(usize::try_from(size).ok()?);
        if sizes
            .iter()
            .try_fold(0, add)
            .is_none_or(|sum| sum < shape[axis])
        {
            let reason = format!("parts of {sizes:?} do not make {}", shape[axis]);
            return Err(refuse(node, &reason, "export the model again"));
        }
        let mut start = 0;
        for (index, &size) in sizes.iter().enumerate() {
            let mut view = View::whole(&shape);
            view.shape[axis] = (size as usize).min(shape[axis] - start);
            view.base = start * view.strides[axis] as usize;
            start += view.shape[axis];
            let id = self.viewed(node, x, &view)?;
            self.bind(node, index, id);
        }
        Ok(())
    }

    pub(super) fn concat(&mut self, node: &NodeProto) -> Imports {
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

    fn joined(&mut self, node: &NodeProto, inputs: &[ValueId], axis: usize) -> Imports<ValueId> {
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

    pub(super) fn gather(&mut self, node: &NodeProto) -> Imports {
        let shape = self.shape_of(self.input(node, 0)?);
        let axis = axis_of(node, node.int("axis").unwrap_or(0), shape.len())?;
        let index_shape = self.shape_of(self.input(node, 1)?);
        self.gathered(node, axis, &index_shape)
    }

    /// Elements of the last axis; the result has rows.
    pub(super) fn array_feature_extractor(&mut self, node: &NodeProto) -> Imports {
        let shape = self.shape_of(self.input(node, 0)?);
        let axis = axis_of(node, -1, shape.len())?;
        let count = self.integer_input(node, 1)?.len();
        self.gathered(node, axis, &[count])
    }

    /// Constant indices only: runs of neighbours become copies, several runs a concatenation.
    fn gathered(&mut self, node: &NodeProto, axis: usize, index_shape: &[usize]) -> Imports {
        let x = self.input(node, 0)?;
        let shape = self.shape_of(x);
        let indices = self.integer_input(node, 1)?;
        let indices = indices
            .iter()
            .map(|&index| axis_of(node, index, shape[axis]))
            .collect::<Imports<Vec<_>>>()?;
        let mut parts = Vec::new();
        for run in indices.chunk_by(|a, b| *b == a + 1) {
            let mut view = View::whole(&shape);
            view.shape[axis] = run.len();
            view.base = run[0] * view.strides[axis] as usize;
            parts.push(self.viewed(node, x, &view)?);
        }
        let joined = if parts.len() == 1 {
            parts[0]
        } else {
            self.joined(node, &parts, axis)?
        };
        let mut result = shape;
        result.splice(axis..=axis, index_shape.iter().copied());
        let id = self.reshaped(node, joined, &result);
        self.bind(node, 0, id);
        Ok(())
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

/// First index and number of elements of a Python-like slice; none where it is empty.
fn slice_range(start: i64, end: i64, step: i64, extent: usize) -> Option<(usize, usize)> {
    let extent = i64::try_from(extent).ok()?;
    let resolve = |index: i64| {
        if index < 0 {
            index.saturating_add(extent)
        } else {
            index
        }
    };
    let (low, high) = if step > 0 {
        (0, extent)
    } else {
        (-1, extent - 1)
    };
    let (start, end) = (
        resolve(start).clamp(low, high),
        resolve(end).clamp(low, high),
    );
    let span = if step > 0 { end - start } else { start - end };
    let before = u64::try_from(span - 1).ok()?;
    let count = before.checked_div(step.unsigned_abs())? + 1;
    Some((start as usize, count as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_count_as_in_python() {
        assert_eq!(slice_range(1, 5, 2, 10), Some((1, 2)));
        assert_eq!(slice_range(0, i64::MAX, 3, 10), Some((0, 4)));
        assert_eq!(slice_range(-3, -1, 1, 10), Some((7, 2)));
        assert_eq!(slice_range(-1, i64::MIN, -1, 4), Some((3, 4)));
        assert_eq!(slice_range(4, 2, 1, 10), None);
        assert_eq!(slice_range(1, 5, 0, 10), None);
        assert_eq!(slice_range(1, 5, i64::MAX, 10), Some((1, 1)));
        assert_eq!(slice_range(5, 1, i64::MIN, 10), Some((5, 1)));
    }

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
