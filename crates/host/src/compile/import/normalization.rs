//! Normalization by an example's own statistics, and `LogSoftmax`.

use super::{Importer, Imports, Made, axis_of, output_name, refuse};
use crate::compile::constant::Data;
use crate::compile::graph::{Op, ValueId};
use crate::onnx::proto::NodeProto;
use dunlin_engine::format::OpCode;

/// Parts of sums of exponentials of rows.
struct Exponentials {
    /// The largest element of every row.
    largest: ValueId,
    /// Rows less that.
    shifted: ValueId,
    /// The sums of the exponentials of those.
    total: ValueId,
}

impl Importer<'_> {
    /// Of the axes from `axis` on, seen as one.
    pub(super) fn layer_normalization(&mut self, node: &NodeProto) -> Imports {
        let x = self.computed_input(node)?;
        let shape = self.shape_of(x);
        let axis = axis_of(node, node.int("axis").unwrap_or(-1), shape.len())?;
        if node.output.iter().skip(1).any(|name| !name.is_empty()) {
            let what = "mean and deviation are outputs too";
            return Err(refuse(node, what, "export only the normalised output"));
        }
        let columns: usize = shape[axis..].iter().product();
        let gain = self.normalization_row(node, 1, (columns, 1.0))?;
        let offset = self.normalization_row(node, 2, (columns, 0.0))?;
        let epsilon = node.float("epsilon").unwrap_or(1e-5);
        if !(epsilon >= 0.0 && epsilon.is_finite()) {
            return Err(refuse(
                node,
                "epsilon is negative",
                "export the model again",
            ));
        }
        let rows = [&shape[..axis], &[columns]].concat();
        let x = self.reshaped(node, x, &rows);
        let op = Op::LayerNormalization { epsilon };
        let inputs = [x, gain, offset];
        let result = self.emit(output_name(node), op, &inputs, Made::floats(&rows));
        let result = self.reshaped(node, result, &shape);
        self.bind(node, 0, result);
        Ok(())
    }

    /// A constant input as one row; a single element, or the default for none, is repeated.
    fn normalization_row(
        &mut self,
        node: &NodeProto,
        index: usize,
        (columns, otherwise): (usize, f32),
    ) -> Imports<ValueId> {
        let values = match self.optional_input(node, index)? {
            Some(id) => self.graph.floats(id),
            None => Some(vec![otherwise]),
        };
        let row = match values {
            Some(values) if values.len() == columns => values,
            Some(values) if values.len() == 1 => vec![values[0]; columns],
            _ => {
                let what = format!("input {index} is not one constant per normalised element");
                return Err(refuse(node, &what, "normalise the last axes"));
            }
        };
        Ok(self.graph.add_constant("row", &[columns], Data::F32(row)))
    }

    /// Every channel of an image by its own mean and deviation.
    pub(super) fn instance_normalization(&mut self, node: &NodeProto) -> Imports {
        let x = self.computed_input(node)?;
        let shape = self.shape_of(x);
        let groups = shape.get(1).copied().unwrap_or(0);
        self.grouped_normalization(node, x, groups)
    }

    /// Every group of channels by its own mean and deviation.
    pub(super) fn group_normalization(&mut self, node: &NodeProto) -> Imports {
        let x = self.computed_input(node)?;
        let groups = usize::try_from(node.int("num_groups").unwrap_or(0)).unwrap_or(0);
        self.grouped_normalization(node, x, groups)
    }

    /// Groups of channels become rows that are normalised; gain and offset follow by channel.
    fn grouped_normalization(&mut self, node: &NodeProto, x: ValueId, groups: usize) -> Imports {
        let shape = self.shape_of(x);
        let channels = shape.get(1).copied().unwrap_or(0);
        if shape[0] != 1 || groups == 0 || channels % groups != 0 {
            let reason = format!("an input of shape {shape:?} in {groups} groups");
            let nearest = "normalise one example, in groups of equally many channels";
            return Err(refuse(node, &reason, nearest));
        }
        let epsilon = node.float("epsilon").unwrap_or(1e-5);
        if !(epsilon >= 0.0 && epsilon.is_finite()) {
            return Err(refuse(
                node,
                "epsilon is negative",
                "export the model again",
            ));
        }
        let columns = shape.iter().product::<usize>() / groups;
        let row = |value: f32| Data::F32(vec![value; columns]);
        let gain = self.graph.add_constant("ones", &[columns], row(1.0));
        let offset = self.graph.add_constant("zeros", &[columns], row(0.0));
        let rows = self.reshaped(node, x, &[groups, columns]);
        let op = Op::LayerNormalization { epsilon };
        let row_shape = [groups, columns];
        let made = Made::floats(&row_shape);
        let normal = self.emit(output_name(node), op, &[rows, gain, offset], made);
        let by_channel = [channels, shape.iter().product::<usize>() / channels];
        let mut result = self.reshaped(node, normal, &by_channel);
        for (index, op) in [(1, OpCode::Mul), (2, OpCode::Add)] {
            let column = self.channel_column(node, index, channels)?;
            result = self.binary_values(node, op, result, column)?;
        }
        let result = self.reshaped(node, result, &shape);
        self.bind(node, 0, result);
        Ok(())
    }

    /// A constant input of one number per channel, or per group of channels, as a column.
    fn channel_column(
        &mut self,
        node: &NodeProto,
        index: usize,
        channels: usize,
    ) -> Imports<ValueId> {
        let id = self.input(node, index)?;
        let values = self.graph.floats(id).unwrap_or_default();
        if values.is_empty() || channels % values.len() != 0 {
            let reason = format!("input {index} is not one constant per channel");
            return Err(refuse(node, &reason, "give one per channel"));
        }
        let each = channels / values.len();
        let spread = values
            .iter()
            .flat_map(|&value| std::iter::repeat_n(value, each));
        let column = Data::F32(spread.collect());
        Ok(self.graph.add_constant("column", &[channels, 1], column))
    }

    /// `x - max - ln(sum(e^(x - max)))` along the last axis of more than one element.
    pub(super) fn log_softmax(&mut self, node: &NodeProto) -> Imports {
        let x = self.computed_input(node)?;
        let shape = self.shape_of(x);
        let default = if self.opset < 13 { 1 } else { -1 };
        let axis = axis_of(node, node.int("axis").unwrap_or(default), shape.len())?;
        if self.opset >= 13 && shape[axis + 1..].iter().any(|&extent| extent != 1) {
            let reason = format!("axis {axis} of shape {shape:?}");
            return Err(refuse(node, &reason, "use the last axis"));
        }
        let rows = [
            shape[..axis].iter().product(),
            shape[axis..].iter().product(),
        ];
        let x = self.reshaped(node, x, &rows);
        let parts = self.exponentials(node, x, rows)?;
        let column = [rows[0], 1];
        let made = Made::floats(&column);
        let logarithm = self.emit(
            output_name(node),
            Op::Unary(OpCode::Log),
            &[parts.total],
            made,
        );
        let result = self.binary_values(node, OpCode::Sub, parts.shifted, logarithm)?;
        let result = self.reshaped(node, result, &shape);
        self.bind(node, 0, result);
        Ok(())
    }

    /// `max + ln(sum(e^(x - max)))` along the last axis.
    pub(super) fn reduce_log_sum_exp(&mut self, node: &NodeProto) -> Imports {
        let x = self.computed_input(node)?;
        let shape = self.shape_of(x);
        if self.reduced_axes(node, shape.len())? != [shape.len() - 1] {
            return Err(refuse(
                node,
                "it reduces not the last axis alone",
                "transpose before it",
            ));
        }
        let columns = self.graph.values[x].columns();
        let rows = [shape.iter().product::<usize>() / columns, columns];
        let x = self.reshaped(node, x, &rows);
        let parts = self.exponentials(node, x, rows)?;
        let column = [rows[0], 1];
        let logarithm = Op::Unary(OpCode::Log);
        let made = Made::floats(&column);
        let logarithm = self.emit(output_name(node), logarithm, &[parts.total], made);
        let sum = self.binary_values(node, OpCode::Add, logarithm, parts.largest)?;
        let kept = node.int("keepdims").unwrap_or(1) != 0;
        let outer = &shape[..shape.len() - 1];
        let result = [outer, if kept { &[1] } else { &[] }].concat();
        let sum = self.reshaped(node, sum, &result);
        self.bind(node, 0, sum);
        Ok(())
    }

    /// The exponentials of rows, so shifted that none overflows.
    fn exponentials(
        &mut self,
        node: &NodeProto,
        x: ValueId,
        [outer, reduced]: [usize; 2],
    ) -> Imports<Exponentials> {
        let reduce = |op: OpCode| Op::Reduce {
            op,
            outer,
            reduced,
            inner: 1,
        };
        let name = output_name(node);
        let (row, column) = ([outer, reduced], [outer, 1]);
        let largest = reduce(OpCode::ReduceMax);
        let largest = self.emit(name, largest, &[x], Made::floats(&column));
        let shifted = self.binary_values(node, OpCode::Sub, x, largest)?;
        let exponential = Op::Unary(OpCode::Exp);
        let exponential = self.emit(name, exponential, &[shifted], Made::floats(&row));
        let sum = reduce(OpCode::ReduceSum);
        let total = self.emit(name, sum, &[exponential], Made::floats(&column));
        Ok(Exponentials {
            largest,
            shifted,
            total,
        })
    }
}
