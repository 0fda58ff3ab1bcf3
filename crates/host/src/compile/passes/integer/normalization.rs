//! `layer_normalization` of a quantised tensor becomes one op on bytes.
//!
//! Sums and squares are exact integers; scale, bias and epsilon become integers over a common power
//! of two, as large as 32 bits allow. The engine's `layer_normalization_i8.rs` has the arithmetic
//! and says how far a result may be from the real one.

use super::super::super::byte_op::{ByteOp, Target};
use super::super::super::constant::Data;
use super::super::super::graph::{Graph, Node, Op};
use super::{Formed, quantization_through_limits, source};
use dunlin_engine::format::MAX_ROW;

pub(super) fn form(graph: &mut Graph, at: usize) -> Option<Formed> {
    let node = graph.nodes[at].clone();
    let Op::LayerNormalization { epsilon } = node.op else {
        return None;
    };
    let source = source(graph, node.inputs[0])?;
    let behind = quantization_through_limits(graph, at)?;
    let columns = graph.values[node.output].columns();
    let constant =
        constant(epsilon, columns, source.scale).filter(|_| columns <= MAX_ROW as usize)?;
    let rows = [graph.floats(node.inputs[1])?, graph.floats(node.inputs[2])?];
    let (shift, [gains, offsets]) = integers(&rows, &behind.target)?;
    let gains = graph.add_constant("gains", &[columns], Data::I32(gains));
    let offsets = graph.add_constant("offsets", &[columns], Data::I32(offsets));
    Some(Formed {
        at: behind.at,
        node: Node {
            op: Op::Bytes(ByteOp::LayerNormalization {
                constant,
                shift,
                zero_point: behind.target.zero_point,
                limits: behind.target.codes(),
            }),
            inputs: vec![source.codes, gains, offsets],
            output: node.output,
            origins: [source.origins, behind.origins, node.origins].concat(),
        },
    })
}

/// `ε·n²/s²` in steps of 2^-32, if it fits.
fn constant(epsilon: f32, columns: usize, scale: f32) -> Option<u64> {
    let steps_of_scale = columns as f64 / f64::from(scale);
    let value = f64::from(epsilon) * steps_of_scale * steps_of_scale * 2_f64.powi(32);
    (0.0..2_f64.powi(63))
        .contains(&value)
        .then(|| value.round() as u64)
}

/// Rows in steps of `s_y·2^-F`, and the largest `F` for which all fit.
fn integers(rows: &[Vec<f32>; 2], target: &Target) -> Option<(u32, [Vec<i32>; 2])> {
    let steps = |value: &f32| f64::from(*value) / f64::from(target.scale);
    let largest = rows.iter().flatten().map(|value| steps(value).abs());
    let largest = largest.fold(0.0, f64::max);
    let fits = |shift: &i32| largest * 2_f64.powi(*shift) < f64::from(i32::MAX);
    let shift = (0..=31).rev().find(fits)?;
    let unit = 2_f64.powi(shift);
    let finite = rows.iter().flatten().all(|value| value.is_finite());
    let whole = |row: &Vec<f32>| {
        row.iter()
            .map(|value| (steps(value) * unit).round() as i32)
            .collect()
    };
    finite.then(|| (shift.cast_unsigned(), [whole(&rows[0]), whole(&rows[1])]))
}
