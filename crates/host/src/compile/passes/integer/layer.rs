//! Layers with integer weights: fully connected ones and convolutions.
//!
//! A layer is exact: the scales as given, one rounding at the end, half to even. Without a
//! quantization behind it the result is the `f32` nearest to the exact sum. Limits become limits
//! of the integer result, because rounding keeps order.

use super::super::super::constant::{Data, QuantizedConstant};
use super::super::super::graph::{Content, Graph, Node, Op};
use super::super::super::rational::{Channel, Dyadic};
use super::{Formed, Source, quantization_behind, source};
use dunlin_engine::format::MAX_ROW;

/// Largest shift of a layer with a float result, see the engine's `fully_connected`.
const MAX_F32_SHIFT: u8 = 126;

/// Integer weights of a layer, outputs first.
struct Weights {
    codes: Vec<i8>,
    zero_point: i32,
}

impl Weights {
    /// Weights as bytes with one zero point; none where their scales are not per output or for
    /// all, or where no zero point makes bytes of them.
    fn of(weights: &QuantizedConstant, row: usize) -> Option<Weights> {
        let is_scale = |scale: &f32| scale.is_finite() && *scale >= 0.0;
        let per_output = weights.axis == 0 || weights.scales.len() == 1;
        if !per_output || !weights.scales.iter().all(is_scale) {
            return None;
        }
        let zero_point_of = |index: usize| i64::from(weights.parameters(index / row).1);
        let distance = |(index, &q): (usize, &i32)| i64::from(q) - zero_point_of(index);
        let distances: Vec<i64> = weights.integers.iter().enumerate().map(distance).collect();
        let first = *weights.zero_points.first()?;
        let zero_point = match weights.zero_points.iter().all(|&zero| zero == first) {
            true => i64::from(first),
            false => common_zero_point(*distances.iter().min()?, *distances.iter().max()?),
        };
        let byte = |distance: &i64| i8::try_from(distance + zero_point).ok();
        let codes: Option<Vec<i8>> = distances.iter().map(byte).collect();
        Some(Weights {
            codes: codes?,
            zero_point: i32::from(i8::try_from(zero_point).ok()?),
        })
    }
}

/// The zero point nearest to 0 with which distances from `low` to `high` may be bytes.
fn common_zero_point(low: i64, high: i64) -> i64 {
    (-128 - low).max(0.min(127 - high))
}

/// Whether weights are bytes with one zero point and scales of zero or more, per output or for all.
pub(super) fn are_usable(weights: &QuantizedConstant, zero_point: i32) -> bool {
    let is_byte = |integer: &i32| (-128..=127).contains(integer);
    let is_scale = |scale: &f32| scale.is_finite() && *scale >= 0.0;
    (weights.axis == 0 || weights.scales.len() == 1)
        && weights.zero_points.iter().all(|&zero| zero == zero_point)
        && is_byte(&zero_point)
        && weights.scales.iter().all(is_scale)
        && weights.integers.iter().all(is_byte)
}

/// The parts of a layer whose input and weights are quantised.
struct Layer {
    source: Source,
    weights: Weights,
    weight_shape: Vec<usize>,
    /// Constants of every output.
    channels: Vec<Channel>,
    limits: (f32, f32),
}

impl Layer {
    /// The layer at `at`, if it is one, with sums that are to be divided by `divisor`.
    fn find(graph: &Graph, at: usize, divisor: Dyadic) -> Option<Layer> {
        let node = &graph.nodes[at];
        let limits = limits(&node.op)?;
        let source = source(graph, node.inputs[0])?;
        let value = &graph.values[node.inputs[1]];
        let Content::Quantized(weights) = &value.content else {
            return None;
        };
        let row = value.elements() / value.shape.first().copied().filter(|&n| n > 0)?;
        if row == 0 || row > MAX_ROW as usize {
            return None;
        }
        let codes = Weights::of(weights, row)?;
        let bias = biases(graph, node.inputs[2])?;
        let rows = codes.codes.chunks_exact(row).zip(bias).enumerate();
        let channel = |(index, (row, bias)): (usize, (&[i8], Dyadic))| {
            let weight_scale = Dyadic::from_f32(weights.parameters(index).0);
            let product = Dyadic::from_f32(source.scale).times(weight_scale);
            let distance = |&w: &i8| i64::from(w) - i64::from(codes.zero_point);
            let sum: i64 = row.iter().map(distance).sum();
            let fixed = -i64::from(source.zero_point) * sum;
            Channel::new(product, fixed, bias, divisor)
        };
        let channels: Option<Vec<Channel>> = rows.map(channel).collect();
        Some(Layer {
            weights: codes,
            weight_shape: value.shape.clone(),
            channels: channels?,
            limits,
            source,
        })
    }

    /// Weights, multipliers and offsets as constants of the graph; inputs of the integer op.
    fn constants(self, divisor: Dyadic, max_shift: u8) -> Option<[(Vec<usize>, Data); 3]> {
        let mut multipliers = Vec::new();
        let mut offsets = Vec::new();
        for channel in &self.channels {
            let (channel, shift) = channel
                .divided_by(divisor)
                .filter(|(_, shift)| *shift <= max_shift)?;
            multipliers.push((channel.factor | u64::from(shift) << 56).to_le_bytes());
            offsets.extend_from_slice(&channel.offset.to_le_bytes()[..12]);
        }
        if multipliers.iter().all(|entry| *entry == multipliers[0]) {
            multipliers.truncate(1);
        }
        let multiplier_shape = vec![multipliers.len(), 8];
        let outputs = self.channels.len();
        Some([
            (self.weight_shape, Data::I8(self.weights.codes)),
            (multiplier_shape, Data::Bytes(multipliers.concat())),
            (vec![outputs, 12], Data::Bytes(offsets)),
        ])
    }
}

/// Limits of the result of an op that is a layer.
fn limits(op: &Op) -> Option<(f32, f32)> {
    match *op {
        Op::FullyConnected { minimum, maximum }
        | Op::Conv2d {
            minimum, maximum, ..
        } => Some((minimum, maximum)),
        _ => None,
    }
}

/// The exact real biases of a layer.
pub(super) fn biases(graph: &Graph, id: usize) -> Option<Vec<Dyadic>> {
    match &graph.values[id].content {
        Content::Constant(Data::F32(values)) => values
            .iter()
            .map(|&value| value.is_finite().then(|| Dyadic::from_f32(value)))
            .collect(),
        Content::Quantized(quantized) => {
            let exact = |(index, &q): (usize, &i32)| {
                let (scale, zero_point) = quantized.parameters(index);
                scale.is_finite().then(|| {
                    Dyadic::from_f32(scale).times_integer(i64::from(q) - i64::from(zero_point))
                })
            };
            quantized.integers.iter().enumerate().map(exact).collect()
        }
        _ => None,
    }
}

pub(super) fn to_i8(graph: &mut Graph, at: usize) -> Option<Formed> {
    let behind = quantization_behind(graph, at)?;
    let exact = Dyadic::from_f32(behind.scale);
    let layer = Layer::find(graph, at, exact)?;
    let weight_zero_point = layer.weights.zero_point;
    let divisor = u32::try_from(exact.mantissa).ok()?;
    let zero_point = behind.zero_point;
    let (minimum, maximum) = (behind.code(layer.limits.0), behind.code(layer.limits.1));
    let op = match graph.nodes[at].op {
        Op::Conv2d {
            window, transposed, ..
        } => Op::Conv2dI8 {
            window,
            transposed,
            input_zero_point: layer.source.zero_point,
            weight_zero_point,
            divisor,
            zero_point,
            minimum,
            maximum,
        },
        _ => Op::FullyConnectedI8 {
            weight_zero_point,
            divisor,
            zero_point,
            minimum,
            maximum,
        },
    };
    let node = integer_node(graph, at, op, layer, (exact, 127))?;
    let at = behind.at;
    Some(Formed { at, node })
}

pub(super) fn to_f32(graph: &mut Graph, at: usize) -> Option<Formed> {
    let one = Dyadic {
        mantissa: 1,
        exponent: 0,
    };
    let layer = Layer::find(graph, at, one)?;
    let (minimum, maximum) = layer.limits;
    let weight_zero_point = layer.weights.zero_point;
    let op = match graph.nodes[at].op {
        Op::Conv2d {
            window, transposed, ..
        } => Op::Conv2dI8ToF32 {
            window,
            transposed,
            input_zero_point: layer.source.zero_point,
            weight_zero_point,
            minimum,
            maximum,
        },
        _ => Op::FullyConnectedI8ToF32 {
            weight_zero_point,
            minimum,
            maximum,
        },
    };
    let node = integer_node(graph, at, op, layer, (one, MAX_F32_SHIFT))?;
    Some(Formed { at, node })
}

/// The integer op in the place of layer `at`, its constants for a divisor and a largest shift.
fn integer_node(
    graph: &mut Graph,
    at: usize,
    op: Op,
    layer: Layer,
    (divisor, max_shift): (Dyadic, u8),
) -> Option<Node> {
    let node = graph.nodes[at].clone();
    let name = graph.values[node.inputs[1]].name.clone();
    let (x, origins) = (layer.source.codes, layer.source.origins.clone());
    let constants = layer.constants(divisor, max_shift)?;
    let ids = constants.map(|(shape, data)| graph.add_constant(&name, &shape, data));
    Some(Node {
        op,
        inputs: [&[x], &ids[..]].concat(),
        output: node.output,
        origins: [origins, node.origins].concat(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::super::graph::{Element, Graph};
    use super::super::super::testing::{floats, graph, node, ops};
    use super::super::form;
    use super::*;

    /// A quantised layer of two inputs and outputs, quantised behind if `quantized`.
    fn quantized_layer(quantized: bool) -> Graph {
        let mut graph = graph();
        let x = graph.input;
        graph.values[x].element = Element::I8;
        let float = node(
            &mut graph,
            Op::DequantizeLinear {
                scale: 0.5,
                zero_point: 10,
            },
            &[x],
            &[1, 2],
        );
        let weights = graph.add_value("w", Element::F32, &[2, 2]);
        graph.values[weights].content = Content::Quantized(QuantizedConstant {
            integers: vec![1, 2, 3, -4],
            scales: vec![0.25, 0.75],
            zero_points: vec![0, 0],
            axis: 0,
        });
        let bias = floats(&mut graph, &[1.5, 0.0]);
        let op = Op::FullyConnected {
            minimum: 0.0,
            maximum: f32::INFINITY,
        };
        let mut result = node(&mut graph, op, &[float, weights, bias], &[1, 2]);
        if quantized {
            let (scale, zero_point) = (0.3, -5);
            let quantize = Op::QuantizeLinear { scale, zero_point };
            result = node(&mut graph, quantize, &[result], &[1, 2]);
        }
        graph.outputs = vec![result];
        form(&mut graph);
        graph.remove_unused();
        graph
    }

    #[test]
    fn a_quantised_layer_takes_and_gives_bytes() {
        let graph = quantized_layer(true);
        let divisor = u32::try_from(Dyadic::from_f32(0.3).mantissa).unwrap();
        let expected = Op::FullyConnectedI8 {
            weight_zero_point: 0,
            divisor,
            zero_point: -5,
            minimum: -5,
            maximum: 127,
        };
        assert_eq!(ops(&graph), [&expected]);
        assert_eq!(graph.nodes[0].inputs[0], graph.input);
        assert_eq!(graph.nodes[0].origins, [0, 1, 2]);
    }

    #[test]
    fn without_quantization_behind_it_the_sum_is_given_as_float() {
        let graph = quantized_layer(false);
        assert!(matches!(
            ops(&graph)[..],
            [Op::FullyConnectedI8ToF32 { .. }]
        ));
        let multipliers = graph
            .constant(graph.nodes[0].inputs[2])
            .unwrap()
            .to_bytes()
            .unwrap();
        // 0.5·0.25 = 1·2^-3 and 0.5·0.75 = 3·2^-3.
        assert_eq!(
            multipliers,
            [[1, 0, 0, 0, 0, 0, 0, 3], [3, 0, 0, 0, 0, 0, 0, 3]].concat()
        );
    }
}
