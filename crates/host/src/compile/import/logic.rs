//! Truth values: of constants they are folded, of computed floats they are 1.0 and 0.0.
//!
//! Exporters write them around shapes (`Where(Equal(shape, -1), 1, shape)` before an `Expand`), and
//! scikit-learn's converter around probabilities that may all be nought.

use super::arithmetic::{broadcast, spread};
use super::{Importer, Imports, SMALLER, output_name, oversize, refuse};
use crate::compile::constant::Data;
use crate::compile::graph::{Element, ValueId};
use crate::onnx::proto::NodeProto;
use dunlin_engine::format::OpCode;

impl Importer<'_> {
    pub(super) fn logic(&mut self, node: &NodeProto) -> Imports {
        let operands = (0..node.input.len()).map(|index| self.input(node, index));
        let operands = operands.collect::<Imports<Vec<ValueId>>>()?;
        let wanted = match node.op_type.as_str() {
            "Not" => 1,
            "Where" => 3,
            _ => 2,
        };
        if operands.len() != wanted {
            let reason = format!("it has {} inputs", operands.len());
            return Err(refuse(node, &reason, "export the model again"));
        }
        let computed = operands
            .iter()
            .any(|&id| self.graph.values[id].is_computed());
        let id = match computed {
            true => self.computed_logic(node, &operands)?,
            false => self.folded_logic(node, &operands)?,
        };
        self.bind(node, 0, id);
        Ok(())
    }

    /// Of truth values that are floats.
    fn computed_logic(&mut self, node: &NodeProto, operands: &[ValueId]) -> Imports<ValueId> {
        let is_float = |&id: &ValueId| self.graph.values[id].element == Element::F32;
        let unsupported = || {
            let reason = "it depends on computed values";
            refuse(
                node,
                reason,
                "use Less, Greater, Not or arithmetic on floats",
            )
        };
        if !operands.iter().all(is_float) {
            return Err(unsupported());
        }
        match (node.op_type.as_str(), operands) {
            ("Not", &[x]) => {
                let one = self.graph.add_constant("one", &[], Data::F32(vec![1.0]));
                self.binary_values(node, OpCode::Sub, one, x)
            }
            ("And", &[a, b]) => self.binary_values(node, OpCode::Mul, a, b),
            ("Or", &[a, b]) => self.binary_values(node, OpCode::Maximum, a, b),
            _ => Err(unsupported()),
        }
    }

    /// Of whole numbers, or of floats in the branches of `Where`.
    fn folded_logic(&mut self, node: &NodeProto, operands: &[ValueId]) -> Imports<ValueId> {
        let unfit = |reason: &str| refuse(node, reason, "fold it before the export");
        let mut shape = Vec::new();
        for &id in operands {
            shape = broadcast(&shape, &self.shape_of(id))
                .ok_or_else(|| unfit("the shapes do not broadcast"))?;
        }
        if let Some(reason) = oversize(&shape) {
            return Err(refuse(node, &reason, SMALLER));
        }
        if shape.contains(&0) {
            return Err(unfit("a constant is empty"));
        }
        let places: Vec<Vec<usize>> = operands
            .iter()
            .map(|&id| spread(&self.shape_of(id), &shape))
            .collect();
        let data: Vec<Data> = operands
            .iter()
            .zip(&places)
            .map(|(&id, places)| Some(self.graph.constant(id)?.gather(places)))
            .collect::<Option<_>>()
            .ok_or_else(|| unfit("an input is quantised"))?;
        let folded =
            fold(&node.op_type, &data).ok_or_else(|| unfit("an input is not of integers"))?;
        Ok(self.graph.add_constant(output_name(node), &shape, folded))
    }
}

/// The result of an op on constants of one length.
fn fold(op: &str, operands: &[Data]) -> Option<Data> {
    if let ("Where", [truth, Data::F32(a), Data::F32(b)]) = (op, operands) {
        let chosen = truth.integers()?.into_iter().zip(a.iter().zip(b));
        let chosen = chosen.map(|(truth, (&a, &b))| if truth != 0 { a } else { b });
        return Some(Data::F32(chosen.collect()));
    }
    let whole: Vec<Vec<i64>> = operands.iter().map(Data::integers).collect::<Option<_>>()?;
    let at = |place: usize| match (op, &whole[..]) {
        ("Not", [x]) => i64::from(x[place] == 0),
        ("Where", [truth, a, b]) if truth[place] != 0 => a[place],
        ("Where", [_, _, b]) => b[place],
        ("Equal", [a, b]) => i64::from(a[place] == b[place]),
        ("And", [a, b]) => i64::from(a[place] != 0 && b[place] != 0),
        ("Or", [a, b]) => i64::from(a[place] != 0 || b[place] != 0),
        ("LessOrEqual", [a, b]) => i64::from(a[place] <= b[place]),
        (_, [a, b]) => i64::from(a[place] >= b[place]),
        _ => 0,
    };
    Some(Data::I64((0..whole.first()?.len()).map(at).collect()))
}
