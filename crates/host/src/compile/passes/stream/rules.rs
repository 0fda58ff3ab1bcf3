//! How each op carries rows on.

use super::super::super::byte_op::ByteOp;
use super::super::super::graph::{Graph, Node, Op, ValueId, Window, strides};
use super::super::super::recurrent::{Cell, Recurrent};
use std::collections::HashMap;

/// A value of which only the last rows are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flow {
    /// The axis of time.
    pub axis: usize,
    /// New rows of a call.
    pub step: usize,
    /// Rows of the window.
    pub window: usize,
}

/// An op on new rows.
pub(super) struct Advance {
    pub op: Op,
    /// Rows that it takes of its first input, where they are not just the new ones.
    pub input_rows: Option<usize>,
    /// None where the result is complete.
    pub flow: Option<Flow>,
}

impl Advance {
    fn same(node: &Node, flow: Flow) -> Advance {
        Advance::with(node.op.clone(), flow)
    }

    fn with(op: Op, flow: Flow) -> Advance {
        Advance {
            op,
            input_rows: None,
            flow: Some(flow),
        }
    }
}

type Rule = Result<Advance, String>;

const NOT_BY_ROWS: &str = "it needs the window as a whole";

/// The op for the new rows of its operands, or why it needs the window.
pub(super) fn advance(graph: &Graph, flows: &HashMap<ValueId, Flow>, node: &Node) -> Rule {
    let place = Place { graph, flows, node };
    match &node.op {
        Op::Clamp { .. }
        | Op::Unary(_)
        | Op::QuantizeLinear { .. }
        | Op::DequantizeLinear { .. } => place.elements(),
        Op::Bytes(ByteOp::Lookup) => place.elements(),
        Op::Softmax | Op::Bytes(ByteOp::Softmax { .. }) | Op::Scale(_) => place.rows(),
        Op::FullyConnected { .. }
        | Op::FullyConnectedI8 { .. }
        | Op::FullyConnectedI8ToF32 { .. } => place.rows(),
        Op::Binary(_)
        | Op::Bytes(ByteOp::Pair { .. } | ByteOp::FastSum { .. } | ByteOp::FastProduct { .. }) => {
            place.binary()
        }
        Op::Reshape => place.reshape(),
        Op::StridedCopy { base, strides } => place.strided_copy(*base, *strides),
        Op::Concat { outer } => place.concat(*outer),
        Op::Reduce {
            op,
            outer,
            reduced,
            inner,
        } => place.reduce([*outer, *reduced, *inner], |[outer, reduced, inner]| {
            Op::Reduce {
                op: *op,
                outer,
                reduced,
                inner,
            }
        }),
        Op::Bytes(ByteOp::Mean {
            sizes,
            zero_point,
            ratio,
        }) => place.reduce(*sizes, |sizes| {
            Op::Bytes(ByteOp::Mean {
                sizes,
                zero_point: *zero_point,
                ratio: *ratio,
            })
        }),
        Op::Bytes(ByteOp::LayerNormalization { .. }) => place.rows(),
        Op::Recurrent(layer) => place.recurrent(*layer),
        Op::Conv2d {
            transposed: true, ..
        }
        | Op::Conv2dI8 {
            transposed: true, ..
        }
        | Op::Conv2dI8ToF32 {
            transposed: true, ..
        } => Err("it is transposed".to_owned()),
        Op::Conv2d { .. }
        | Op::Conv2dI8 { .. }
        | Op::Conv2dI8ToF32 { .. }
        | Op::MaxPool2d { .. }
        | Op::AveragePool2d { .. }
        | Op::Bytes(ByteOp::AveragePool2d { .. }) => place.window(),
        _ => Err(NOT_BY_ROWS.to_owned()),
    }
}

struct Place<'g> {
    graph: &'g Graph,
    flows: &'g HashMap<ValueId, Flow>,
    node: &'g Node,
}

impl Place<'_> {
    fn shape(&self, value: ValueId) -> &[usize] {
        &self.graph.values[value].shape
    }

    /// The flow of the first input, which alone is computed.
    fn only(&self) -> Result<Flow, String> {
        let (first, rest) = self.node.inputs.split_first().ok_or(NOT_BY_ROWS)?;
        let computed = rest.iter().any(|&id| self.graph.values[id].is_computed());
        match self.flows.get(first) {
            Some(flow) if !computed => Ok(*flow),
            _ => Err(NOT_BY_ROWS.to_owned()),
        }
    }

    fn elements(&self) -> Rule {
        let flow = self.only()?;
        match self.shape(self.node.inputs[0]) == self.shape(self.node.output) {
            true => Ok(Advance::same(self.node, flow)),
            false => Err(NOT_BY_ROWS.to_owned()),
        }
    }

    /// Ops along the last axis, which must not be time.
    fn rows(&self) -> Rule {
        let flow = self.only()?;
        let (from, to) = (
            self.shape(self.node.inputs[0]),
            self.shape(self.node.output),
        );
        let fits =
            flow.axis + 1 < from.len() && from.len() == to.len() && to[flow.axis] == flow.window;
        match fits {
            true => Ok(Advance::same(self.node, flow)),
            false => Err("it runs along time".to_owned()),
        }
    }

    fn binary(&self) -> Rule {
        let to = self.shape(self.node.output);
        let mut found: Option<Flow> = None;
        for (position, &input) in self.node.inputs.iter().enumerate() {
            let shape = self.shape(input);
            match self.flows.get(&input) {
                Some(flow) => {
                    let axis = flow.axis + to.len() - shape.len();
                    let flow = Flow { axis, ..*flow };
                    let agrees = found.is_none_or(|other| other == flow);
                    if !agrees || to.get(axis) != Some(&flow.window) {
                        return Err("its operands do not move alike".to_owned());
                    }
                    found = Some(flow);
                }
                None if position < 2 && self.graph.values[input].is_computed() => {
                    return Err("it joins rows with a result of the whole window".to_owned());
                }
                None => {}
            }
        }
        let flow = found.ok_or(NOT_BY_ROWS)?;
        for &input in self.node.inputs.iter().take(2) {
            let shape = self.shape(input);
            let along = (flow.axis + shape.len())
                .checked_sub(to.len())
                .map(|axis| shape[axis]);
            let is_constant = !self.graph.values[input].is_computed();
            if is_constant && along.is_some_and(|extent| extent != 1) {
                return Err("a constant differs along time".to_owned());
            }
        }
        Ok(Advance::same(self.node, flow))
    }

    /// The axis of a shape before which there are `outer` elements and along which there are
    /// `extent`.
    fn axis_behind(shape: &[usize], outer: usize, extent: usize) -> Option<usize> {
        (0..shape.len())
            .find(|&axis| shape[..axis].iter().product::<usize>() == outer && shape[axis] == extent)
    }

    fn reshape(&self) -> Rule {
        let flow = self.only()?;
        let outer = self.shape(self.node.inputs[0])[..flow.axis]
            .iter()
            .product();
        let axis = Self::axis_behind(self.shape(self.node.output), outer, flow.window);
        match axis {
            Some(axis) => Ok(Advance::same(self.node, Flow { axis, ..flow })),
            None => Err("it joins time with another axis".to_owned()),
        }
    }

    /// Transpositions and slices; of time, all rows or some of the new ones.
    fn strided_copy(&self, base: usize, copied: [i64; 4]) -> Rule {
        let flow = self.only()?;
        let from = self.shape(self.node.inputs[0]);
        let to = self.shape(self.node.output);
        let own = strides(from);
        let first = |axis: usize| base / own[axis] % from[axis];
        let mut changed = from.to_vec();
        changed[flow.axis] = flow.step;
        let stepped = strides(&changed);
        let mut new_strides = [0; 4];
        let mut time = None;
        for back in 0..to.len().min(4) {
            let axis = to.len() - 1 - back;
            let place = 3 - back;
            if to[axis] == 1 {
                continue;
            }
            let matches =
                |source: &usize| own[*source] as i64 == copied[place] && from[*source] > 1;
            let source = (0..from.len()).find(matches).ok_or(NOT_BY_ROWS)?;
            if first(source) + to[axis] > from[source] {
                return Err(NOT_BY_ROWS.to_owned());
            }
            new_strides[place] = stepped[source] as i64;
            if source == flow.axis {
                time = Some((axis, to[axis]));
            }
        }
        let time_axis = flow.axis;
        let start = first(time_axis);
        let older = flow.window - flow.step;
        let (base_row, flow) = match time {
            Some((axis, extent)) if extent == flow.window => (0, Some(Flow { axis, ..flow })),
            _ if start >= older => (start - older, None),
            _ => return Err("it takes rows that are not new".to_owned()),
        };
        let moved = (0..from.len()).map(|axis| match axis == time_axis {
            true => base_row * stepped[axis],
            false => first(axis) * stepped[axis],
        });
        let op = Op::StridedCopy {
            base: moved.sum(),
            strides: new_strides,
        };
        Ok(Advance {
            op,
            input_rows: None,
            flow,
        })
    }

    fn concat(&self, outer: usize) -> Rule {
        let flows: Vec<_> = self
            .node
            .inputs
            .iter()
            .map(|input| self.flows.get(input))
            .collect();
        let flow = *flows
            .first()
            .copied()
            .flatten()
            .ok_or("it joins rows with what is no row")?;
        let to = self.shape(self.node.output);
        let same = |other: &Option<&Flow>| *other == Some(&flow);
        let one_rank = self
            .node
            .inputs
            .iter()
            .all(|&id| self.shape(id).len() == to.len());
        if !flows.iter().all(same) || !one_rank || to[flow.axis] != flow.window {
            return Err("its operands do not move alike".to_owned());
        }
        let before: usize = to[..flow.axis].iter().product();
        let outer = match outer >= before * flow.window {
            true => outer / flow.window * flow.step,
            false => outer,
        };
        Ok(Advance::with(Op::Concat { outer }, flow))
    }

    /// Over other axes than time.
    fn reduce(&self, [outer, reduced, inner]: [usize; 3], with: impl Fn([usize; 3]) -> Op) -> Rule {
        let flow = self.only()?;
        let from = self.shape(self.node.inputs[0]);
        let before: usize = from[..flow.axis].iter().product();
        let (is_before, is_behind) = (outer >= before * flow.window, before >= outer * reduced);
        let scaled = |size: usize| size / flow.window * flow.step;
        let (sizes, prefix) = match (is_before, is_behind) {
            (true, _) => ([scaled(outer), reduced, inner], before),
            (_, true) => ([outer, reduced, scaled(inner)], before / reduced),
            _ => return Err("it reduces over time".to_owned()),
        };
        let axis = Self::axis_behind(self.shape(self.node.output), prefix, flow.window);
        let axis = axis.ok_or("it joins time with another axis")?;
        Ok(Advance::with(with(sizes), Flow { axis, ..flow }))
    }

    fn recurrent(&self, layer: Recurrent) -> Rule {
        let flow = self.only()?;
        if layer.reverse {
            return Err("it runs from the last row to the first".to_owned());
        }
        let backwards = |node: &Node| matches!(node.op, Op::Recurrent(layer) if layer.reverse);
        if self.graph.nodes.iter().any(backwards) {
            return Err("beside it a layer runs over the window backwards".to_owned());
        }
        let keeps_rows = layer.cell != (Cell::Lstm { with_cell: true }) || layer.last;
        if flow.axis != 0 || !keeps_rows {
            return Err("it gives the cell beside every row".to_owned());
        }
        Ok(Advance {
            op: Op::Recurrent(Recurrent {
                keeps: true,
                ..layer
            }),
            input_rows: None,
            flow: (!layer.last).then_some(flow),
        })
    }
    /// Convolutions and pools over an image whose rows or columns are time.
    fn window(&self) -> Rule {
        let flow = self.only()?;
        let (mut op, axis) = (self.node.op.clone(), flow.axis.wrapping_sub(1));
        let shape = self.shape(self.node.inputs[0]);
        let margins = match self.node.op {
            Op::AveragePool2d { margins, .. }
            | Op::Bytes(ByteOp::AveragePool2d { margins, .. }) => Some(margins),
            _ => None,
        };
        let window = window_of(&mut op).ok_or(NOT_BY_ROWS)?;
        if axis > 1 || shape.len() != 4 {
            return Err("time is not an axis of its image".to_owned());
        }
        let is_padded =
            window.pads[axis] != 0 || margins.is_some_and(|m| m[axis] + m[axis + 2] > 0);
        let stride = window.strides[axis];
        let reach = (window.kernel[axis] - 1) * window.dilations[axis] + 1;
        let results = self.shape(self.node.output)[flow.axis];
        let seen = (results - 1) * stride + reach;
        if is_padded || seen > flow.window {
            return Err("it pads the window along time".to_owned());
        }
        if flow.step % stride != 0 {
            return Err(format!(
                "its stride of {stride} does not divide the {} new rows",
                flow.step
            ));
        }
        let step = flow.step / stride;
        if step >= results {
            return Err("every row of it is new".to_owned());
        }
        window.pads[axis + 2] = 0;
        Ok(Advance {
            op,
            input_rows: Some((step - 1) * stride + reach + flow.window - seen),
            flow: Some(Flow {
                axis: flow.axis,
                step,
                window: results,
            }),
        })
    }
}

fn window_of(op: &mut Op) -> Option<&mut Window> {
    match op {
        Op::Conv2d { window, .. }
        | Op::Conv2dI8 { window, .. }
        | Op::Conv2dI8ToF32 { window, .. }
        | Op::MaxPool2d { window, .. }
        | Op::AveragePool2d { window, .. }
        | Op::Bytes(ByteOp::AveragePool2d { window, .. }) => Some(window),
        _ => None,
    }
}
