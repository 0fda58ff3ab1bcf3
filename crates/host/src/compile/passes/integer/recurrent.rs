//! Decides which variant of `lstm` and `gru` runs a layer, and makes its constants.
//!
//! Quantised input, weights and output give the exact integer variant: its state is the output's
//! codes. With quantised weights alone, state and sums are floats and the weights stay bytes.
//! Everything else is computed in floats. The engine's `recurrent` has the arithmetic.

use super::super::super::constant::{Data, QuantizedConstant};
use super::super::super::graph::{Content, Graph, Node, Op, ValueId};
use super::super::super::rational::{Dyadic, aligned};
use super::super::super::recurrent::{Cell, Form, Recurrent};
use super::layer::{are_usable, biases};
use super::{Formed, Quantization, quantization_behind, source};
use dunlin_engine::format::MAX_ROW;

/// Largest shift, so that `2^-shift` is a normal `f32`.
const MAX_SHIFT: i32 = 126;
/// Room that a bias with finer steps than the products may take in a factor.
const ROOM_BITS: i32 = 7;
/// Bits of an offset entry, less the sign.
const OFFSET_BITS: u32 = 95;
/// Bits of the larger factor of a row: with sums and zero points of 32 and 8 bits an offset entry holds the products.
const FACTOR_BITS: i32 = 56;

pub(super) fn close(graph: &mut Graph, at: usize) -> Option<Formed> {
    let Op::Recurrent(layer) = graph.nodes[at].op else {
        return None;
    };
    if layer.form != Form::Open {
        return None;
    }
    Some(
        to_i8(graph, at, layer)
            .or_else(|| to_floats_by_i8(graph, at, layer))
            .unwrap_or_else(|| to_floats(graph, at, layer)),
    )
}

/// The bytes of a weight matrix and what they mean.
struct Weights<'g> {
    quantized: &'g QuantizedConstant,
    zero_point: i32,
    columns: usize,
}

impl<'g> Weights<'g> {
    /// Bytes with one zero point and scales per row or for all.
    fn find(graph: &'g Graph, id: ValueId) -> Option<Weights<'g>> {
        let Content::Quantized(quantized) = &graph.values[id].content else {
            return None;
        };
        let zero_point = *quantized.zero_points.first()?;
        let columns = graph.values[id].columns();
        let usable = columns <= MAX_ROW as usize && are_usable(quantized, zero_point);
        usable.then_some(Weights {
            quantized,
            zero_point,
            columns,
        })
    }

    fn scale(&self, row: usize) -> Dyadic {
        Dyadic::from_f32(self.quantized.parameters(row).0)
    }

    /// Sum of a row less its zero points.
    fn sum(&self, row: usize) -> i64 {
        let codes = &self.quantized.integers[row * self.columns..][..self.columns];
        codes
            .iter()
            .map(|&code| i64::from(code - self.zero_point))
            .sum()
    }

    fn data(&self) -> (Vec<usize>, Data) {
        let codes: Vec<i8> = self.quantized.integers.iter().map(|&q| q as i8).collect();
        (
            vec![codes.len() / self.columns, self.columns],
            Data::I8(codes),
        )
    }

    fn scales(&self) -> (Vec<usize>, Data) {
        let scales = self.quantized.scales.clone();
        (vec![scales.len()], Data::F32(scales))
    }
}

/// Rows of the weights whose two biases meet in an entry of the op's bias, and whether they do.
#[derive(Clone, Copy)]
struct Entry {
    row: usize,
    sees_x: bool,
    sees_h: bool,
}

/// The entries of the bias: one per row, and for a GRU four blocks of units.
fn entries(cell: Cell, hidden: usize) -> Vec<Entry> {
    let both = |row: usize| Entry {
        row,
        sees_x: true,
        sees_h: true,
    };
    let linear = Cell::Gru {
        linear_before_reset: true,
    };
    match cell {
        Cell::Lstm { .. } => (0..4 * hidden).map(both).collect(),
        _ => (0..4 * hidden)
            .map(|entry| match (entry / hidden, cell == linear) {
                (0 | 1, _) | (2, false) => both(entry),
                (2, true) => Entry {
                    sees_h: false,
                    ..both(entry)
                },
                (_, true) => Entry {
                    sees_x: false,
                    ..both(entry - hidden)
                },
                (_, false) => Entry {
                    sees_x: false,
                    sees_h: false,
                    ..both(entry - hidden)
                },
            })
            .collect(),
    }
}

/// The layer without quantization, or with that of its weights alone: biases summed in `f32`.
fn float_bias(graph: &Graph, node: &Node, layer: Recurrent) -> Vec<f32> {
    let biases = graph.floats(node.inputs[3]).unwrap_or_default();
    let rows = biases.len() / 2;
    let entry = |entry: Entry| match (entry.sees_x, entry.sees_h) {
        (true, true) => biases[entry.row] + biases[rows + entry.row],
        (true, false) => biases[entry.row],
        (false, true) => biases[rows + entry.row],
        (false, false) => 0.0,
    };
    entries(layer.cell, layer.hidden)
        .into_iter()
        .map(entry)
        .collect()
}

fn to_floats(graph: &mut Graph, at: usize, layer: Recurrent) -> Formed {
    let node = graph.nodes[at].clone();
    let bias = float_bias(graph, &node, layer);
    let bias = graph.add_constant("bias", &[bias.len()], Data::F32(bias));
    let fixed = [node.inputs[0], node.inputs[1], node.inputs[2], bias];
    formed(at, node, layer, (Form::Floats, &fixed))
}

/// The node with its operands decided; the initial state follows `fixed`.
fn formed(at: usize, node: Node, layer: Recurrent, (form, fixed): (Form, &[ValueId])) -> Formed {
    let initial = &node.inputs[4..];
    let inputs = [fixed, initial].concat();
    let op = Op::Recurrent(Recurrent { form, ..layer });
    let node = Node { op, inputs, ..node };
    Formed { at, node }
}

fn to_floats_by_i8(graph: &mut Graph, at: usize, layer: Recurrent) -> Option<Formed> {
    let node = graph.nodes[at].clone();
    let weights = [
        Weights::find(graph, node.inputs[1])?,
        Weights::find(graph, node.inputs[2])?,
    ];
    let zero_points = weights.each_ref().map(|weights| weights.zero_point);
    let data = weights.each_ref().map(Weights::data);
    let scales = weights.each_ref().map(Weights::scales);
    let bias = float_bias(graph, &node, layer);
    let mut fixed = vec![node.inputs[0]];
    let bias = (vec![bias.len()], Data::F32(bias));
    for (shape, data) in data.into_iter().chain([bias]).chain(scales) {
        fixed.push(graph.add_constant("recurrent", &shape, data));
    }
    Some(formed(
        at,
        node,
        layer,
        (Form::FloatsByI8 { zero_points }, &fixed),
    ))
}

/// Everything that the constants of the integer variant are made from.
struct Exact<'g> {
    weights: [Weights<'g>; 2],
    /// Scales and zero points of x and h.
    activations: [(Dyadic, i32); 2],
    biases: Vec<Dyadic>,
}

/// `P`, `Q`, the offsets of a row's entries and the shift.
struct Row {
    factors: [u64; 2],
    exponent: i32,
}

impl Exact<'_> {
    fn products(&self, row: usize) -> [Dyadic; 2] {
        let product = |which: usize| {
            let (scale, _) = self.activations[which];
            scale.times(self.weights[which].scale(row))
        };
        [product(0), product(1)]
    }

    /// The factors of a row at an exponent that holds both products and the biases it meets.
    fn row(&self, row: usize) -> Option<Row> {
        let products = self.products(row);
        let rows = self.biases.len() / 2;
        let of_products = products
            .iter()
            .filter(|p| p.mantissa != 0)
            .map(|p| p.exponent)
            .min();
        let of_products = of_products.unwrap_or(0).min(0);
        let biases = [self.biases[row], self.biases[rows + row]];
        let finest = biases
            .iter()
            .filter(|bias| bias.mantissa != 0)
            .map(|bias| bias.exponent);
        let finest = finest.min().unwrap_or(0).max(of_products - ROOM_BITS);
        let exponent = self.finer(of_products.min(finest), &products, &biases);
        let factor = |product: Dyadic| {
            let up = u32::try_from(product.exponent.max(exponent) - exponent).ok()?;
            let fits = product.mantissa == 0 || product.mantissa.leading_zeros() >= up + 64;
            u64::try_from(product.mantissa << if fits { up } else { 0 })
                .ok()
                .filter(|_| fits)
        };
        let factors = [factor(products[0])?, factor(products[1])?];
        (-MAX_SHIFT..=0)
            .contains(&exponent)
            .then_some(Row { factors, exponent })
    }

    /// An exponent at which the larger factor has [`FACTOR_BITS`], so that the leading bits of a sum, from which the
    /// device makes a float, lie in the upper of its words; a coarser one where a bias or the shift wants that.
    fn finer(&self, exponent: i32, products: &[Dyadic], biases: &[Dyadic]) -> i32 {
        let end = |numbers: &[Dyadic]| numbers.iter().filter_map(|number| number.end()).max();
        let of_factors = end(products).map_or(exponent, |end| end - FACTOR_BITS);
        let of_biases = end(biases).map_or(of_factors, |end| end + 2 - OFFSET_BITS.cast_signed());
        exponent.min(of_factors.max(of_biases).max(-MAX_SHIFT))
    }

    /// The constant part of an entry's numerator.
    fn offset(&self, entry: Entry) -> Option<i128> {
        let row = self.row(entry.row)?;
        let rows = self.biases.len() / 2;
        let mut offset = 0_i128;
        for (which, sees) in [entry.sees_x, entry.sees_h].into_iter().enumerate() {
            if !sees {
                continue;
            }
            let (_, zero_point) = self.activations[which];
            let sum = i128::from(self.weights[which].sum(entry.row));
            offset -= i128::from(zero_point) * sum * i128::from(row.factors[which]);
            offset += aligned(self.biases[which * rows + entry.row], row.exponent)?;
        }
        (offset.unsigned_abs() >> OFFSET_BITS == 0).then_some(offset)
    }

    fn constants(&self, cell: Cell, hidden: usize) -> Option<[(Vec<usize>, Data); 4]> {
        let mut factors = Vec::new();
        for row in 0..self.biases.len() / 2 {
            let Row {
                factors: [p, q],
                exponent,
            } = self.row(row)?;
            let shift = (-exponent).cast_unsigned();
            factors.push([&p.to_le_bytes()[..], &q.to_le_bytes(), &shift.to_le_bytes()].concat());
        }
        if factors.iter().all(|entry| *entry == factors[0]) {
            factors.truncate(1);
        }
        let mut offsets = Vec::new();
        for entry in entries(cell, hidden) {
            offsets.extend_from_slice(&self.offset(entry)?.to_le_bytes()[..12]);
        }
        let [weights, recurrent] = self.weights.each_ref().map(Weights::data);
        Some([
            weights,
            recurrent,
            (vec![factors.len(), 20], Data::Bytes(factors.concat())),
            (vec![4 * hidden, 12], Data::Bytes(offsets)),
        ])
    }
}

fn to_i8(graph: &mut Graph, at: usize, layer: Recurrent) -> Option<Formed> {
    let resets_first = Cell::Gru {
        linear_before_reset: false,
    };
    if layer.cell == (Cell::Lstm { with_cell: true }) || layer.cell == resets_first {
        return None;
    }
    let node = graph.nodes[at].clone();
    let quantize = quantization_behind(graph, at)?;
    let x = source(graph, node.inputs[0])?;
    let weights = [
        Weights::find(graph, node.inputs[1])?,
        Weights::find(graph, node.inputs[2])?,
    ];
    let zero_points = weights.each_ref().map(|weights| weights.zero_point);
    let exact = Exact {
        weights,
        activations: [
            (Dyadic::from_f32(x.scale), x.zero_point),
            (Dyadic::from_f32(quantize.scale), quantize.zero_point),
        ],
        biases: biases(graph, node.inputs[3])?,
    };
    let constants = exact.constants(layer.cell, layer.hidden)?;
    let mut inputs = vec![x.codes];
    for (shape, data) in constants {
        inputs.push(graph.add_constant("recurrent", &shape, data));
    }
    inputs.extend(initial_codes(graph, &node, quantize));
    let form = Form::I8 {
        zero_points,
        scale: quantize.scale,
        zero_point: quantize.zero_point,
    };
    let origins = [x.origins, node.origins].concat();
    let node = Node {
        op: Op::Recurrent(Recurrent { form, ..layer }),
        inputs,
        output: node.output,
        origins,
    };
    Some(Formed {
        at: quantize.at,
        node,
    })
}

/// The initial state with `h` as codes of the output's quantization.
fn initial_codes(graph: &mut Graph, node: &Node, quantize: Quantization) -> Vec<ValueId> {
    let mut initial = node.inputs[4..].to_vec();
    if let Some(h) = initial.first_mut() {
        let floats = graph.floats(*h).unwrap_or_default();
        let codes = floats.iter().map(|&h| quantize.code(h) as i8).collect();
        *h = graph.add_constant("initial state", &[floats.len()], Data::I8(codes));
    }
    initial
}
