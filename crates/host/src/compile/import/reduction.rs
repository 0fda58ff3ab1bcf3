//! Operators along axes: `Reduce*`, `Softmax`, `ArgMax`.

use super::{Importer, Imports, Made, axis_of, output_name, refuse};
use crate::compile::constant::Data;
use crate::compile::graph::{Element, Op, ValueId};
use crate::onnx::proto::NodeProto;
use dunlin_engine::format::OpCode;

impl Importer<'_> {
    pub(super) fn reduce(&mut self, node: &NodeProto) -> Imports {
        let x = self.computed_input(node)?;
        let prepared = match node.op_type.as_str() {
            "ReduceL2" | "ReduceSumSquare" => self.binary_values(node, OpCode::Mul, x, x)?,
            "ReduceL1" => {
                let shape = self.shape_of(x);
                self.emit(
                    output_name(node),
                    Op::Unary(OpCode::Abs),
                    &[x],
                    Made::floats(&shape),
                )
            }
            _ => x,
        };
        let op = match node.op_type.as_str() {
            "ReduceMean" => OpCode::ReduceMean,
            "ReduceMax" => OpCode::ReduceMax,
            "ReduceMin" => OpCode::ReduceMin,
            "ReduceSum" | "ReduceL1" | "ReduceL2" | "ReduceSumSquare" => OpCode::ReduceSum,
            _ => {
                return Err(refuse(
                    node,
                    "the reduction is not supported",
                    "use ReduceMean, Sum, Max or Min",
                ));
            }
        };
        let reduced = self.reduce_value(node, op, prepared)?;
        if node.op_type == "ReduceL2" {
            let shape = self.shape_of(reduced);
            return self.emit_for(node, Op::Unary(OpCode::Sqrt), &[reduced], &shape);
        }
        self.bind(node, 0, reduced);
        Ok(())
    }

    fn reduce_value(&mut self, node: &NodeProto, op: OpCode, x: ValueId) -> Imports<ValueId> {
        let shape = self.shape_of(x);
        let axes = self.reduced_axes(node, shape.len())?;
        let (first, last) = match (axes.iter().min(), axes.iter().max()) {
            (Some(&first), Some(&last)) => (first, last),
            _ => return Ok(x),
        };
        if (first..=last).any(|axis| !axes.contains(&axis) && shape[axis] != 1) {
            return self.reduce_apart(node, op, x, &axes);
        }
        let keep = node.int("keepdims").unwrap_or(1) != 0;
        let kept = |(axis, &extent): (usize, &usize)| match axes.contains(&axis) {
            true => keep.then_some(1),
            false => Some(extent),
        };
        let result: Vec<usize> = shape.iter().enumerate().filter_map(kept).collect();
        let outer = shape[..first].iter().product();
        let reduced = shape[first..=last].iter().product();
        let inner = shape[last + 1..].iter().product();
        let op = Op::Reduce {
            op,
            outer,
            reduced,
            inner,
        };
        Ok(self.emit(output_name(node), op, &[x], Made::floats(&result)))
    }

    /// Over axes that are not neighbours: they are brought to the end first.
    fn reduce_apart(
        &mut self,
        node: &NodeProto,
        op: OpCode,
        x: ValueId,
        axes: &[usize],
    ) -> Imports<ValueId> {
        let shape = self.shape_of(x);
        let kept: Vec<usize> = (0..shape.len())
            .filter(|axis| !axes.contains(axis))
            .collect();
        let behind = (0..shape.len()).filter(|axis| axes.contains(axis));
        let order: Vec<usize> = kept.iter().copied().chain(behind).collect();
        let turned = self.transposed(node, x, &order)?;
        let extents: Vec<usize> = kept.iter().map(|&axis| shape[axis]).collect();
        let outer = extents.iter().product();
        let op = Op::Reduce {
            op,
            outer,
            reduced: shape.iter().product::<usize>() / outer,
            inner: 1,
        };
        let made = Made::floats(&extents);
        let result = self.emit(output_name(node), op, &[turned], made);
        if node.int("keepdims").unwrap_or(1) == 0 {
            return Ok(result);
        }
        let extent = |axis: usize| if axes.contains(&axis) { 1 } else { shape[axis] };
        let whole: Vec<usize> = (0..shape.len()).map(extent).collect();
        Ok(self.reshaped(node, result, &whole))
    }

    /// Axes from the attribute or, in newer opsets, the second input; all where there are none.
    pub(super) fn reduced_axes(&self, node: &NodeProto, rank: usize) -> Imports<Vec<usize>> {
        let axes = match (node.ints("axes"), self.optional_input(node, 1)?) {
            (Some(axes), _) => axes.to_vec(),
            (None, Some(_)) => self.integer_input(node, 1)?,
            (None, None) => Vec::new(),
        };
        if axes.is_empty() {
            let nothing = node.int("noop_with_empty_axes").unwrap_or(0) != 0;
            return Ok(if nothing {
                Vec::new()
            } else {
                (0..rank).collect()
            });
        }
        axes.iter().map(|&axis| axis_of(node, axis, rank)).collect()
    }

    pub(super) fn softmax(&mut self, node: &NodeProto) -> Imports {
        let x = self.computed_input(node)?;
        let shape = self.shape_of(x);
        let default = if self.opset < 13 { 1 } else { -1 };
        let axis = axis_of(node, node.int("axis").unwrap_or(default), shape.len())?;
        let flattened = self.opset < 13;
        if flattened {
            let outer = shape[..axis].iter().product();
            let rows = self.reshaped(node, x, &[outer, shape[axis..].iter().product()]);
            let rows_shape = self.shape_of(rows);
            let made = Made::floats(&rows_shape);
            let result = self.emit(output_name(node), Op::Softmax, &[rows], made);
            let result = self.reshaped(node, result, &shape);
            self.bind(node, 0, result);
            return Ok(());
        }
        if shape[axis + 1..].iter().all(|&extent| extent == 1) {
            return self.softmax_of_columns(node, x, &shape[..=axis]);
        }
        let mut order: Vec<usize> = (0..shape.len()).filter(|&other| other != axis).collect();
        order.push(axis);
        let turned = self.transposed(node, x, &order)?;
        let turned_shape = self.shape_of(turned);
        let made = Made::floats(&turned_shape);
        let result = self.emit(output_name(node), Op::Softmax, &[turned], made);
        let back: Vec<usize> = (0..shape.len())
            .map(|axis| order.iter().position(|&other| other == axis).unwrap_or(0))
            .collect();
        let result = self.transposed(node, result, &back)?;
        self.bind(node, 0, result);
        Ok(())
    }

    /// Where only extents of one follow the axis.
    fn softmax_of_columns(&mut self, node: &NodeProto, x: ValueId, shape: &[usize]) -> Imports {
        let whole = self.shape_of(x);
        let x = self.reshaped(node, x, shape);
        let made = Made::floats(shape);
        let result = self.emit(output_name(node), Op::Softmax, &[x], made);
        let result = self.reshaped(node, result, &whole);
        self.bind(node, 0, result);
        Ok(())
    }

    pub(super) fn arg_max(&mut self, node: &NodeProto) -> Imports {
        let x = self.computed_input(node)?;
        let shape = self.shape_of(x);
        let axis = axis_of(node, node.int("axis").unwrap_or(0), shape.len())?;
        if node.int("select_last_index").unwrap_or(0) != 0 {
            let reason = "the last of equal elements is asked for";
            return Err(refuse(node, reason, "take the first"));
        }
        let x = match node.op_type.as_str() {
            "ArgMin" => {
                let negated = Op::Unary(OpCode::Neg);
                self.emit(output_name(node), negated, &[x], Made::floats(&shape))
            }
            _ => x,
        };
        let others = (0..shape.len()).filter(|&other| other != axis);
        let order: Vec<usize> = others.chain([axis]).collect();
        let x = self.transposed(node, x, &order)?;
        let rows = shape.iter().product::<usize>() / shape[axis];
        let x = self.reshaped(node, x, &[rows, shape[axis]]);
        let mut result = shape;
        result[axis] = 1;
        if node.int("keepdims").unwrap_or(1) == 0 {
            result.remove(axis);
        }
        let output = self.emit(
            output_name(node),
            Op::ArgMax,
            &[x],
            Made {
                element: Element::I64,
                shape: &result,
            },
        );
        self.bind(node, 0, output);
        if rows == 1 {
            self.labels.push(output);
        }
        Ok(())
    }

    /// The label of the largest score; `labels` where they are not 0, 1, 2, ….
    pub(super) fn label_of(
        &mut self,
        name: &str,
        scores: ValueId,
        labels: Option<Vec<i32>>,
    ) -> ValueId {
        let mut inputs = vec![scores];
        if let Some(labels) = labels {
            inputs.push(
                self.graph
                    .add_constant("labels", &[labels.len()], Data::I32(labels)),
            );
        }
        let output = self.emit(
            name,
            Op::ArgMax,
            &inputs,
            Made {
                element: Element::I64,
                shape: &[1],
            },
        );
        self.labels.push(output);
        output
    }
}
