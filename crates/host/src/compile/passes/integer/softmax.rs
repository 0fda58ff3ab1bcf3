//! `softmax` of a quantised tensor becomes one op on bytes.
//!
//! The exponentials are a table in steps of 2^-30, correctly rounded but never nought, so that what
//! is only nearly a tie is not taken for one. The engine's `softmax_i8.rs` says how far a result
//! may be from the real one.

use super::super::super::byte_op::ByteOp;
use super::super::super::constant::Data;
use super::super::super::graph::{Graph, Node, Op};
use super::super::super::rational::Dyadic;
use super::super::super::real::Real;
use super::{Formed, quantization_behind, source};
use dunlin_engine::format::MAX_ROW;

/// Binary places of an exponential.
const PLACES: i64 = 30;

pub(super) fn form(graph: &mut Graph, at: usize) -> Option<Formed> {
    let node = graph.nodes[at].clone();
    if node.op != Op::Softmax || graph.values[node.output].columns() > MAX_ROW as usize {
        return None;
    }
    let source = source(graph, node.inputs[0])?;
    let behind = quantization_behind(graph, at)?;
    let (divisor, shift) = quotient(behind.scale)?;
    let table = table(source.scale)?;
    let table = graph.add_constant("exponentials", &[table.len()], Data::I32(table));
    Some(Formed {
        at: behind.at,
        node: Node {
            op: Op::Bytes(ByteOp::Softmax {
                divisor,
                shift,
                zero_point: behind.zero_point,
            }),
            inputs: vec![source.codes, table],
            output: node.output,
            origins: [source.origins, node.origins].concat(),
        },
    })
}

/// A scale as `divisor·2^-shift`; none where it is beyond what the format holds.
fn quotient(scale: f32) -> Option<(u32, u32)> {
    let scale = Dyadic::from_f32(scale);
    let lift = u32::try_from(scale.exponent.max(0)).ok()?;
    let divisor = u32::try_from(scale.mantissa).ok()?;
    let shift = u32::try_from(-scale.exponent.min(0)).ok()?;
    let fits = divisor.leading_zeros() >= lift.saturating_add(8) && shift < 64;
    fits.then(|| (divisor << lift, shift))
}

/// `2^30·e^(-d·scale)` for `d` from 0 on, as long as it changes, at most 256 entries.
fn table(scale: f32) -> Option<Vec<i32>> {
    let step = Real::from_f32(scale)?.negated();
    let entry = |d: i64| {
        let exponential = step.times(&Real::integer(d)).exponential()?;
        let whole = exponential.times(&Real::integer(1 << PLACES)).rounded()?;
        Some(i32::try_from(&whole).ok()?.max(1))
    };
    let mut entries: Vec<i32> = (0..256).map(entry).collect::<Option<_>>()?;
    let first_one = entries.iter().position(|&entry| entry == 1);
    entries.truncate(first_one.map_or(256, |first| first + 1));
    Some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_hold_rounded_exponentials_and_end_at_one() {
        let entries = table(0.17).unwrap();
        for (d, &entry) in entries.iter().enumerate() {
            let real = (-f64::from(0.17_f32) * d as f64).exp() * f64::from(1 << PLACES);
            assert!((f64::from(entry) - real).abs() < 1.0);
        }
        assert_eq!((entries[0], entries[entries.len() - 1]), (1 << 30, 1));
        assert!(entries.len() > 120 && entries.len() < 140);
        assert_eq!(table(1e-3).unwrap().len(), 256);
    }

    #[test]
    fn scales_are_split_into_an_integer_and_a_power_of_two() {
        assert_eq!(quotient(1.0 / 256.0), Some((1, 8)));
        assert_eq!(quotient(0.75), Some((3, 2)));
        assert_eq!(quotient(8.0), Some((8, 0)));
        assert_eq!(quotient(1e-30), None);
        assert_eq!(quotient(1e10), None);
    }
}
