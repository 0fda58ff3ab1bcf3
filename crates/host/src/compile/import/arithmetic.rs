//! Operators on single elements.

use super::{Importer, Imports, Made, SMALLER, output_name, oversize, refuse};
use crate::compile::constant::Data;
use crate::compile::graph::{Element, Op, ValueId, strides};
use crate::onnx::proto::NodeProto;
use dunlin_engine::format::OpCode;

impl Importer<'_> {
    /// `Add`, `Sub`, `Mul`, `Div` with broadcast; constants are folded.
    pub(super) fn binary(&mut self, node: &NodeProto, op: OpCode) -> Imports {
        let operands = (self.input(node, 0)?, self.input(node, 1)?);
        if let (Some(Data::I64(a)), Some(Data::I64(b))) = (
            self.graph.constant(operands.0),
            self.graph.constant(operands.1),
        ) {
            let folded = fold_integers(op, a, b);
            let shape = self.shape_of(if a.len() >= b.len() {
                operands.0
            } else {
                operands.1
            });
            let id = self
                .graph
                .add_constant(output_name(node), &shape, Data::I64(folded));
            self.bind(node, 0, id);
            return Ok(());
        }
        for (index, id) in [operands.0, operands.1].into_iter().enumerate() {
            if self.graph.values[id].element != Element::F32 {
                return Err(refuse(
                    node,
                    &format!("input {index} is not float32"),
                    "feed it float32",
                ));
            }
        }
        let id = self.binary_values(node, op, operands.0, operands.1)?;
        self.bind(node, 0, id);
        Ok(())
    }

    /// `op` of two values that are already there.
    pub(super) fn binary_values(
        &mut self,
        node: &NodeProto,
        op: OpCode,
        a: ValueId,
        b: ValueId,
    ) -> Imports<ValueId> {
        let shape = broadcast(&self.shape_of(a), &self.shape_of(b)).ok_or_else(|| {
            refuse(
                node,
                "the shapes do not broadcast",
                "give both inputs one shape",
            )
        })?;
        if let Some(reason) = oversize(&shape) {
            return Err(refuse(node, &reason, SMALLER));
        }
        if let (Some(left), Some(right)) = (self.graph.floats(a), self.graph.floats(b)) {
            let places = (
                spread(&self.shape_of(a), &shape),
                spread(&self.shape_of(b), &shape),
            );
            let pairs = places.0.iter().zip(&places.1);
            let folded = pairs.map(|(&l, &r)| apply(op, left[l], right[r])).collect();
            return Ok(self
                .graph
                .add_constant(output_name(node), &shape, Data::F32(folded)));
        }
        Ok(self.emit(
            output_name(node),
            Op::Binary(op),
            &[a, b],
            Made::floats(&shape),
        ))
    }

    /// A function of one element.
    pub(super) fn unary(&mut self, node: &NodeProto, op: OpCode) -> Imports {
        let x = self.float_input(node, 0)?;
        let folded = match (self.graph.constant(x), op) {
            (Some(Data::F32(values)), OpCode::Abs) => values.iter().map(|v| v.abs()).collect(),
            (Some(Data::F32(values)), OpCode::Neg) => values.iter().map(|v| -v).collect(),
            (Some(Data::F32(values)), OpCode::Sqrt) => values.iter().map(|v| v.sqrt()).collect(),
            (Some(_), _) => {
                return Err(refuse(
                    node,
                    "applied to a constant",
                    "fold it before the export",
                ));
            }
            (None, _) => return self.emit_for(node, Op::Unary(op), &[x], &self.shape_of(x)),
        };
        let id = self
            .graph
            .add_constant(output_name(node), &self.shape_of(x), Data::F32(folded));
        self.bind(node, 0, id);
        Ok(())
    }

    /// Powers 2, 3, 4 as products, 0.5 as a square root.
    pub(super) fn pow(&mut self, node: &NodeProto) -> Imports {
        let x = self.computed_input(node)?;
        let exponent = self.scalar(node, 1)?;
        if exponent == Some(0.5) {
            return self.emit_for(node, Op::Unary(OpCode::Sqrt), &[x], &self.shape_of(x));
        }
        let square = |this: &mut Self, v| this.binary_values(node, OpCode::Mul, v, v);
        let result = match exponent {
            Some(1.0) => x,
            Some(2.0) => square(self, x)?,
            Some(3.0) => {
                let squared = square(self, x)?;
                self.binary_values(node, OpCode::Mul, squared, x)?
            }
            Some(4.0) => {
                let squared = square(self, x)?;
                square(self, squared)?
            }
            _ => {
                return Err(refuse(
                    node,
                    "the exponent is not 0.5, 1, 2, 3 or 4",
                    "multiply, or use Exp and Log",
                ));
            }
        };
        self.bind(node, 0, result);
        Ok(())
    }

    pub(super) fn reciprocal(&mut self, node: &NodeProto) -> Imports {
        let x = self.computed_input(node)?;
        let one = self.graph.add_constant("one", &[1], Data::F32(vec![1.0]));
        let id = self.emit(
            output_name(node),
            Op::Binary(OpCode::Div),
            &[one, x],
            Made::floats(&self.shape_of(x)),
        );
        self.bind(node, 0, id);
        Ok(())
    }

    pub(super) fn relu(&mut self, node: &NodeProto) -> Imports {
        self.clamp(node, 0.0, f32::INFINITY)
    }

    /// Bounds as inputs (from opset 11) or attributes.
    pub(super) fn clip(&mut self, node: &NodeProto) -> Imports {
        let minimum = self
            .scalar(node, 1)?
            .or(node.float("min"))
            .unwrap_or(f32::NEG_INFINITY);
        let maximum = self
            .scalar(node, 2)?
            .or(node.float("max"))
            .unwrap_or(f32::INFINITY);
        self.clamp(node, minimum, maximum)
    }

    /// `Max` and `Min`: of two with a constant scalar a limit, else element by element.
    pub(super) fn limit(&mut self, node: &NodeProto) -> Imports {
        let is_maximum = node.op_type == "Max";
        let second = match node.input.len() {
            2 => self.graph.floats(self.input(node, 1)?),
            _ => None,
        };
        if let Some([bound]) = second.as_deref() {
            return match is_maximum {
                true => self.clamp(node, *bound, f32::INFINITY),
                false => self.clamp(node, f32::NEG_INFINITY, *bound),
            };
        }
        let op = if is_maximum {
            OpCode::Maximum
        } else {
            OpCode::Minimum
        };
        self.folded(node, op)
    }

    /// `Sum` of any number of inputs, from the first on.
    pub(super) fn sum(&mut self, node: &NodeProto) -> Imports {
        self.folded(node, OpCode::Add)
    }

    /// An op of two operands over any number of inputs, from the first on.
    fn folded(&mut self, node: &NodeProto, op: OpCode) -> Imports {
        let mut total = self.float_input(node, 0)?;
        for index in 1..node.input.len() {
            let next = self.float_input(node, index)?;
            total = self.binary_values(node, op, total, next)?;
        }
        self.bind(node, 0, total);
        Ok(())
    }

    /// `Less` and `Greater` as 1.0 or 0.0, which a `Cast` to float leaves as it is.
    ///
    /// A difference of floats is nought only if they are equal, and 2^254 of the smallest one is
    /// beyond 1, so limits make it a truth value.
    pub(super) fn compare(&mut self, node: &NodeProto) -> Imports {
        let (mut small, mut large) = (self.float_input(node, 0)?, self.float_input(node, 1)?);
        if node.op_type == "Greater" {
            std::mem::swap(&mut small, &mut large);
        }
        let difference = self.binary_values(node, OpCode::Sub, large, small)?;
        if !self.graph.values[difference].is_computed() {
            return Err(refuse(
                node,
                "both inputs are constant",
                "fold it before the export",
            ));
        }
        let truth = self.is_positive(node, difference)?;
        self.bind(node, 0, truth);
        Ok(())
    }

    /// 1.0 where a value is above nought, 0.0 elsewhere.
    pub(super) fn is_positive(&mut self, node: &NodeProto, mut value: ValueId) -> Imports<ValueId> {
        for _ in 0..2 {
            value = self.with_scalar(node, OpCode::Mul, value, 2_f32.powi(127))?;
        }
        let (minimum, maximum) = (0.0, 1.0);
        let shape = self.shape_of(value);
        let op = Op::Clamp { minimum, maximum };
        Ok(self.emit(output_name(node), op, &[value], Made::floats(&shape)))
    }

    /// 1.0 where a value is not nought, 0.0 where it is.
    pub(super) fn differs_from_nought(&mut self, node: &NodeProto, x: ValueId) -> Imports<ValueId> {
        let made = self.shape_of(x);
        let op = Op::Unary(OpCode::Abs);
        let distance = self.emit(output_name(node), op, &[x], Made::floats(&made));
        self.is_positive(node, distance)
    }

    fn clamp(&mut self, node: &NodeProto, minimum: f32, maximum: f32) -> Imports {
        let x = self.computed_input(node)?;
        let op = Op::Clamp { minimum, maximum };
        match minimum <= maximum {
            true => self.emit_for(node, op, &[x], &self.shape_of(x)),
            false => Err(refuse(
                node,
                "the lower bound is above the upper one",
                "swap them",
            )),
        }
    }

    /// A constant input of one float; none where the input is left out.
    pub(super) fn scalar(&self, node: &NodeProto, index: usize) -> Imports<Option<f32>> {
        let Some(id) = self.optional_input(node, index)? else {
            return Ok(None);
        };
        let values = self.graph.floats(id).filter(|values| values.len() == 1);
        let whole = self
            .graph
            .constant(id)
            .and_then(Data::integers)
            .filter(|values| values.len() == 1);
        match (values, whole) {
            (Some(values), _) => Ok(Some(values[0])),
            (_, Some(values)) => Ok(Some(values[0] as f32)),
            _ => Err(refuse(
                node,
                &format!("input {index} is not a constant scalar"),
                "make it one",
            )),
        }
    }
}

fn apply(op: OpCode, a: f32, b: f32) -> f32 {
    match op {
        OpCode::Sub => a - b,
        OpCode::Mul => a * b,
        OpCode::Div => a / b,
        OpCode::Maximum => larger(a, b),
        OpCode::Minimum => -larger(-a, -b),
        _ => a + b,
    }
}

/// As the engine has it: a NaN wins.
fn larger(a: f32, b: f32) -> f32 {
    if a > b || a.is_nan() { a } else { b }
}

/// Whole numbers of shape computations; the shorter operand repeats.
fn fold_integers(op: OpCode, a: &[i64], b: &[i64]) -> Vec<i64> {
    let length = a.len().max(b.len());
    let pairs = a.iter().cycle().zip(b.iter().cycle()).take(length);
    let fold = |(&a, &b): (&i64, &i64)| match op {
        OpCode::Sub => a.wrapping_sub(b),
        OpCode::Mul => a.wrapping_mul(b),
        OpCode::Div => a.checked_div(b).unwrap_or(0),
        _ => a.wrapping_add(b),
    };
    pairs.map(fold).collect()
}

/// The common shape of two operands, as NumPy broadcasts.
pub(super) fn broadcast(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let extent = |shape: &[usize], position: usize| {
        (position + shape.len())
            .checked_sub(rank)
            .map_or(1, |index| shape[index])
    };
    let common = |position| match (extent(a, position), extent(b, position)) {
        (a, b) if a == b => Some(a),
        (1, b) => Some(b),
        (a, 1) => Some(a),
        _ => None,
    };
    (0..rank).map(common).collect()
}

/// For each element of `to`, the place of the element of `from` that is broadcast to it.
pub(super) fn spread(from: &[usize], to: &[usize]) -> Vec<usize> {
    let (own, target) = (strides(from), strides(to));
    let lead = to.len() - from.len();
    let place = |element: usize| {
        let along = |axis: usize| {
            (element / target[axis + lead] % to[axis + lead]).min(from[axis] - 1) * own[axis]
        };
        (0..from.len()).map(along).sum()
    };
    (0..to.iter().product()).map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_broadcast_as_in_numpy() {
        assert_eq!(broadcast(&[3, 1], &[4]), Some(vec![3, 4]));
        assert_eq!(broadcast(&[], &[2, 2]), Some(vec![2, 2]));
        assert_eq!(broadcast(&[2], &[3]), None);
    }

    #[test]
    fn elements_spread_over_repeated_axes() {
        assert_eq!(spread(&[2, 1], &[2, 3]), [0, 0, 0, 1, 1, 1]);
        assert_eq!(spread(&[3], &[2, 3]), [0, 1, 2, 0, 1, 2]);
        assert_eq!(spread(&[], &[2]), [0, 0]);
    }
}
