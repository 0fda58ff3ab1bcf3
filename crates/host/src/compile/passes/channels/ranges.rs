//! Between which codes every channel lies.

use super::super::super::byte_op::{ByteOp, Ratio};
use super::super::super::constant::Data;
use super::super::super::graph::{Content, Element, Fill, Graph, Node, Op, ValueId};
use super::super::super::packing::{Geometry, IntegerLayer};
use dunlin_engine::format::OpCode;
use std::collections::HashMap;

/// Least and largest code.
pub(super) type Range = (i32, i32);

const ANY: Range = (i8::MIN as i32, i8::MAX as i32);

/// The ranges of the last axis' channels of every tensor of bytes.
pub(super) struct Ranges(HashMap<ValueId, Vec<Range>>);

impl Ranges {
    pub fn of(graph: &Graph) -> Ranges {
        let mut ranges = Ranges(HashMap::new());
        for node in &graph.nodes {
            if graph.values[node.output].element != Element::I8 {
                continue;
            }
            let columns = graph.values[node.output].columns();
            let found = ranges.computed(graph, node);
            let found = found.filter(|found| found.len() == columns);
            ranges
                .0
                .insert(node.output, found.unwrap_or(vec![ANY; columns]));
        }
        ranges
    }

    /// The code of a channel that has one only.
    pub fn constant(&self, value: ValueId, channel: usize) -> Option<i32> {
        let (low, high) = *self.0.get(&value)?.get(channel)?;
        (low == high).then_some(low)
    }

    fn channels(&self, graph: &Graph, value: ValueId) -> Vec<Range> {
        let columns = graph.values[value].columns();
        if let Content::Constant(Data::I8(codes)) = &graph.values[value].content {
            return of_constant(codes, columns);
        }
        let known = self.0.get(&value).cloned();
        known.unwrap_or_else(|| vec![ANY; columns])
    }

    fn computed(&self, graph: &Graph, node: &Node) -> Option<Vec<Range>> {
        let x = || self.channels(graph, node.inputs[0]);
        match node.op {
            Op::FullyConnectedI8 { .. } | Op::Conv2dI8 { .. } => self.layer(graph, node),
            Op::MaxPool2d { .. } => Some(x()),
            Op::Pad { ref border, .. } => Some(match border.fill {
                Fill::Code(code) => x().into_iter().map(|range| hull(range, code)).collect(),
                _ => x(),
            }),
            Op::Reshape => Some(repeated(x(), graph.values[node.output].columns())),
            Op::StridedCopy { .. } => {
                let any = x().into_iter().reduce(union)?;
                Some(vec![any; graph.values[node.output].columns()])
            }
            Op::Bytes(ref op) => self.bytes(graph, node, op),
            _ => None,
        }
    }

    /// Of a layer: products between their least and largest, requantised.
    fn layer(&self, graph: &Graph, node: &Node) -> Option<Vec<Range>> {
        let layer = IntegerLayer::of(graph, node)?;
        let mut x = self.channels(graph, node.inputs[0]);
        let in_group = graph.values[node.inputs[1]].columns();
        if let Op::Conv2dI8 { .. } = node.op {
            let geometry = Geometry::of(graph, node)?;
            if geometry.is_padded() {
                let zero = i32::from(geometry.zero);
                x.iter_mut().for_each(|range| *range = hull(*range, zero));
            }
        }
        let groups = x.len() / in_group.max(1);
        let filters = layer.weights.len() / groups.max(1);
        let of_filter = |(index, weights): (usize, &Vec<i32>)| {
            let inputs = x.chunks(in_group).nth(index / filters.max(1))?;
            let products = weights.iter().zip(inputs.iter().cycle());
            let products = products.map(|(&w, &range)| scaled(range, w));
            let (low, high) = products.fold((0, 0), |sum, (low, high)| {
                (sum.0 + i64::from(low), sum.1 + i64::from(high))
            });
            let exact = layer.channel(index);
            let limit = |code: i32| code.clamp(layer.limits.0.into(), layer.limits.1.into());
            Some((limit(exact.result(low)), limit(exact.result(high))))
        };
        layer.weights.iter().enumerate().map(of_filter).collect()
    }

    fn bytes(&self, graph: &Graph, node: &Node, op: &ByteOp) -> Option<Vec<Range>> {
        let x = || self.channels(graph, node.inputs[0]);
        match *op {
            ByteOp::Lookup => {
                let Data::I8(table) = graph.constant(node.inputs[1])? else {
                    return None;
                };
                x().into_iter()
                    .map(|range| looked_up(table, range))
                    .collect()
            }
            ByteOp::AveragePool2d {
                margins,
                ratio,
                input_zero_point,
                ..
            } => {
                let of_taps = |range: Range| match margins {
                    [0, 0, 0, 0] => range,
                    _ => hull(range, input_zero_point),
                };
                let mean = |range| averaged(of_taps(range), input_zero_point, (&ratio, 1));
                Some(x().into_iter().map(mean).collect())
            }
            ByteOp::Mean {
                sizes: [_, reduced, inner],
                zero_point,
                ratio,
            } => {
                let x = x();
                let mean = |range| averaged(range, zero_point, (&ratio, reduced));
                (inner == x.len()).then(|| x.into_iter().map(mean).collect())
            }
            ByteOp::Pair { .. } | ByteOp::FastSum { .. } | ByteOp::FastProduct { .. } => {
                let columns = graph.values[node.output].columns();
                let [a, b] = [0, 1].map(|input| {
                    let ranges = self.channels(graph, node.inputs[input]);
                    repeated(ranges, columns)
                });
                a.into_iter().zip(b).map(|(a, b)| pair(op, a, b)).collect()
            }
            ByteOp::Softmax { .. } | ByteOp::MatMul { .. } | ByteOp::LayerNormalization { .. } => {
                None
            }
        }
    }
}

/// The range of every column of a constant.
fn of_constant(codes: &[i8], columns: usize) -> Vec<Range> {
    let of_column = |column: usize| {
        let column = codes.iter().skip(column).step_by(columns.max(1));
        let range = column.map(|&code| (i32::from(code), i32::from(code)));
        range.reduce(union).unwrap_or(ANY)
    };
    (0..columns).map(of_column).collect()
}

/// Ranges of a row as long as `columns`: repeated where it holds pixels, all in one where it does not.
fn repeated(ranges: Vec<Range>, columns: usize) -> Vec<Range> {
    if !ranges.is_empty() && columns.is_multiple_of(ranges.len()) {
        return ranges.iter().copied().cycle().take(columns).collect();
    }
    vec![ranges.into_iter().reduce(union).unwrap_or(ANY); columns]
}

fn union(a: Range, b: Range) -> Range {
    (a.0.min(b.0), a.1.max(b.1))
}

fn hull(range: Range, code: i32) -> Range {
    union(range, (code, code))
}

fn scaled((low, high): Range, weight: i32) -> Range {
    let (a, b) = (low * weight, high * weight);
    (a.min(b), a.max(b))
}

/// Least and largest entry of the codes in a range.
fn looked_up(table: &[i8], (low, high): Range) -> Option<Range> {
    let entry = |code: i32| {
        table
            .get(usize::from(code as u8))
            .map(|&entry| i32::from(entry))
    };
    let entries: Option<Vec<i32>> = (low..=high).map(entry).collect();
    let entries = entries?;
    Some((*entries.iter().min()?, *entries.iter().max()?))
}

/// The mean of codes in a range, as a sum of `count` of them gives it.
fn averaged((low, high): Range, zero_point: i32, (ratio, count): (&Ratio, usize)) -> Range {
    let mean = |code: i32| {
        let sum = i128::from(code - zero_point) * count as i128;
        ratio.code(sum * i128::from(ratio.factor))
    };
    (mean(low), mean(high))
}

/// A sum or product of two ranges: monotone in each operand, so its extremes are at the corners.
fn pair(op: &ByteOp, a: Range, b: Range) -> Option<Range> {
    let corners = [(a.0, b.0), (a.0, b.1), (a.1, b.0), (a.1, b.1)];
    let codes: Option<Vec<i32>> = corners.iter().map(|&(a, b)| of_pair(op, a, b)).collect();
    let codes = codes?;
    Some((*codes.iter().min()?, *codes.iter().max()?))
}

/// The code for two codes, as the engine computes it.
fn of_pair(op: &ByteOp, a: i32, b: i32) -> Option<i32> {
    let (a, b) = (i64::from(a), i64::from(b));
    match *op {
        ByteOp::Pair {
            op,
            ratio,
            zero_points,
            second,
        } => {
            let [a, b] = [a - i64::from(zero_points[0]), b - i64::from(zero_points[1])];
            let (a, b) = (i128::from(a), i128::from(b));
            let (p, r) = (i128::from(ratio.factor), i128::from(second));
            Some(ratio.code(match op {
                OpCode::Add => a * p + b * r,
                OpCode::Sub => a * p - b * r,
                _ => a * b * p,
            }))
        }
        ByteOp::FastSum {
            factors,
            constant,
            shift,
            limits,
            ..
        } => {
            let part = |code: i64, factor: i32| (code * i64::from(factor)) >> 8;
            let sum = part(a, factors[0]) + part(b, factors[1]) + i64::from(constant);
            Some((sum >> shift).clamp(limits[0].into(), limits[1].into()) as i32)
        }
        ByteOp::FastProduct {
            zero_points,
            factor,
            constant,
            shift,
            limits,
        } => {
            let product = (a - i64::from(zero_points[0])) * (b - i64::from(zero_points[1]));
            let sum = product * i64::from(factor) + constant;
            Some((sum >> shift).clamp(limits[0].into(), limits[1].into()) as i32)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_repeat_their_pixels() {
        assert_eq!(
            repeated(vec![(0, 1), (2, 3)], 4),
            [(0, 1), (2, 3), (0, 1), (2, 3)]
        );
        assert_eq!(repeated(vec![(0, 1), (2, 3)], 3), [(0, 3); 3]);
        assert_eq!(of_constant(&[1, 5, -2, 5], 2), [(-2, 1), (5, 5)]);
    }

    #[test]
    fn a_sum_of_ranges_lies_between_its_corners() {
        let op = ByteOp::FastSum {
            op: OpCode::Sub,
            factors: [256, -512],
            constant: 0,
            shift: 1,
            limits: [-100, 100],
        };
        assert_eq!(pair(&op, (0, 10), (-4, 4)), Some((-4, 9)));
        assert_eq!(pair(&op, (7, 7), (1, 1)), Some((2, 2)));
        assert_eq!(pair(&op, (127, 127), (-128, -127)), Some((100, 100)));
    }

    #[test]
    fn a_table_bounds_what_is_looked_up() {
        let mut table = [0_i8; 256];
        table[255] = 9;
        table[0] = -3;
        assert_eq!(looked_up(&table, (-1, 1)), Some((-3, 9)));
        assert_eq!(looked_up(&table, (1, 100)), Some((0, 0)));
    }
}
