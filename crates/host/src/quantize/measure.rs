//! Runs a model over rows in the engine and keeps the values of chosen tensors.

use super::{QuantizeError, Range};
use crate::compile::{CompileOptions, compile};
use crate::onnx::builder::value_info;
use crate::onnx::proto::{DataType, ModelProto};
use dunlin_engine::format::MAX_OUTPUTS;
use dunlin_engine::{Plan, TensorInfo};

/// Values of tensors over all rows used.
#[derive(Debug)]
pub(super) struct Measured {
    pub rows: usize,
    /// For each tensor, the values of the first row, then of the second, ….
    pub values: Vec<Vec<f32>>,
    /// One per row, for models with a label.
    pub labels: Vec<u32>,
}

impl Measured {
    /// Runs at most `max_rows` of the rows, evenly spread.
    pub fn of(
        model: &ModelProto,
        tensors: &[String],
        rows: &[f32],
        max_rows: usize,
    ) -> Result<Measured, QuantizeError> {
        let mut measured = Measured {
            rows: 0,
            values: vec![Vec::new(); tensors.len()],
            labels: Vec::new(),
        };
        measured.labels = run(model, rows, max_rows, &mut [])?;
        let (inputs, computed): (Vec<usize>, Vec<usize>) =
            (0..tensors.len()).partition(|&index| is_input(model, &tensors[index]));
        for group in computed.chunks(usize::from(MAX_OUTPUTS)) {
            let names: Vec<String> = group.iter().map(|&index| tensors[index].clone()).collect();
            let mut values = vec![Vec::new(); names.len()];
            run(&with_outputs(model, &names)?, rows, max_rows, &mut values)?;
            group
                .iter()
                .zip(values)
                .for_each(|(&index, values)| measured.values[index] = values);
        }
        let width = input_width(model)?;
        measured.rows = picked(rows, width, max_rows)?.count();
        for index in inputs {
            measured.values[index] = picked(rows, width, max_rows)?.flatten().copied().collect();
        }
        Ok(measured)
    }

    /// The range of each tensor that holds `kept_share` of its values.
    pub fn ranges(&self, kept_share: f64) -> Vec<Range> {
        let range = |values: &Vec<f32>| {
            let mut sorted: Vec<f32> = values
                .iter()
                .copied()
                .filter(|value| value.is_finite())
                .collect();
            sorted.sort_unstable_by(f32::total_cmp);
            let dropped = (sorted.len() as f64 * (1.0 - kept_share) / 2.0) as usize;
            let kept = sorted
                .get(dropped..sorted.len() - dropped)
                .unwrap_or_default();
            match (kept.first(), kept.last()) {
                (Some(&low), Some(&high)) => Range::holding(low, high),
                _ => Range::holding(0.0, 0.0),
            }
        };
        self.values.iter().map(range).collect()
    }
}

/// The model with other outputs: the named float tensors.
fn with_outputs(model: &ModelProto, names: &[String]) -> Result<ModelProto, QuantizeError> {
    model.graph()?;
    let mut changed = model.clone();
    if let Some(graph) = &mut changed.graph {
        graph.output = names
            .iter()
            .map(|name| value_info(name, DataType::Float, &[]))
            .collect();
    }
    Ok(changed)
}

fn is_input(model: &ModelProto, tensor: &str) -> bool {
    model
        .graph
        .iter()
        .flat_map(|graph| &graph.input)
        .any(|input| input.name == tensor)
}

fn input_width(model: &ModelProto) -> Result<usize, QuantizeError> {
    let compiled = compile(model, &CompileOptions::default())?;
    Ok(Plan::load(&compiled.plan).map_or(0, |plan| plan.input().elements()))
}

/// The rows used: all, or `max_rows` of them evenly spread.
fn picked(
    rows: &[f32],
    width: usize,
    max_rows: usize,
) -> Result<impl Iterator<Item = &[f32]>, QuantizeError> {
    if width == 0 || rows.is_empty() || !rows.len().is_multiple_of(width) {
        return Err(QuantizeError::Rows {
            values: rows.len(),
            width,
        });
    }
    let count = rows.len() / width;
    let used = count.min(max_rows.max(1));
    Ok((0..used).map(move |index| &rows[index * count / used * width..][..width]))
}

/// Runs the rows, adds each output's values to `values` and gives the labels.
fn run(
    model: &ModelProto,
    rows: &[f32],
    max_rows: usize,
    values: &mut [Vec<f32>],
) -> Result<Vec<u32>, QuantizeError> {
    let compiled = compile(model, &CompileOptions::default())?;
    let plan = Plan::load(&compiled.plan).map_err(crate::compile::CompileError::Rejected)?;
    let outputs: Vec<TensorInfo> = plan.outputs().collect();
    let mut arena = vec![0; plan.requirements().arena_bytes];
    let mut labels = Vec::new();
    for row in picked(rows, plan.input().elements(), max_rows)? {
        let bytes = arena[plan.input().range()].as_chunks_mut::<4>().0;
        for (place, value) in bytes.iter_mut().zip(row) {
            *place = value.to_le_bytes();
        }
        plan.run(&mut arena).map_err(QuantizeError::Run)?;
        labels.extend(plan.label(&arena));
        for (output, kept) in outputs.iter().zip(values.iter_mut()) {
            let bytes = arena[output.range()].as_chunks::<4>().0;
            kept.extend(bytes.iter().map(|bytes| f32::from_le_bytes(*bytes)));
        }
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_spread_evenly() {
        let rows: Vec<f32> = (0..20).map(|value| value as f32).collect();
        let firsts: Vec<f32> = picked(&rows, 2, 3).unwrap().map(|row| row[0]).collect();
        assert_eq!(firsts, [0.0, 6.0, 12.0]);
        assert!(picked(&rows, 3, 5).is_err());
        assert!(picked(&[], 3, 5).is_err());
    }

    #[test]
    fn a_share_leaves_out_both_ends() {
        let values = (0..=100).map(|value| value as f32 - 50.0).collect();
        let measured = Measured {
            rows: 1,
            values: vec![values],
            labels: vec![],
        };
        assert_eq!(measured.ranges(1.0), [Range::holding(-50.0, 50.0)]);
        assert_eq!(measured.ranges(0.9), [Range::holding(-45.0, 45.0)]);
    }
}
