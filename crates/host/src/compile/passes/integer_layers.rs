//! `dequantize → fully connected → quantize` becomes one layer in integers.
//!
//! The layer is exact: the scales as given, one rounding at the end, half to even. Without a
//! quantization behind it the result is the `f32` nearest to the exact sum. Limits become limits
//! of the integer result, because rounding keeps order.

use super::super::constant::{Data, QuantizedConstant};
use super::super::graph::{Content, Graph, Node, Op};
use super::super::rational::{Channel, Dyadic, round_quotient};
use super::replace;
use dunlin_engine::format::MAX_ROW;

/// Largest shift of a layer with a float result, see the engine's `fully_connected`.
const MAX_F32_SHIFT: u8 = 126;

pub(super) fn form(graph: &mut Graph) {
    cancel(graph);
    for at in 0..graph.nodes.len() {
        let quantize = graph
            .only_consumer(graph.nodes[at].output)
            .filter(|&consumer| matches!(graph.nodes[consumer].op, Op::QuantizeLinear { .. }));
        if let Some(node) = quantize.and_then(|quantize| to_i8(graph, at, quantize)) {
            replace(graph, quantize.unwrap_or(at), node);
        } else if let Some(node) = to_f32(graph, at) {
            graph.nodes[at] = node;
        }
    }
}

/// `quantize(dequantize(q))` with the same scale and zero point is `q`.
fn cancel(graph: &mut Graph) {
    for at in 0..graph.nodes.len() {
        let Op::QuantizeLinear { scale, zero_point } = graph.nodes[at].op else {
            continue;
        };
        let Some(source) = graph.producer(graph.nodes[at].inputs[0]) else {
            continue;
        };
        let same = Op::DequantizeLinear { scale, zero_point };
        let (original, copy) = (graph.nodes[source].inputs[0], graph.nodes[at].output);
        if graph.nodes[source].op == same && !graph.outputs.contains(&copy) {
            for node in &mut graph.nodes {
                node.inputs
                    .iter_mut()
                    .filter(|input| **input == copy)
                    .for_each(|input| *input = original);
            }
        }
    }
}

/// Whether weights are bytes with one zero point and scales of zero or more, per output or for all.
fn are_usable(weights: &QuantizedConstant, zero_point: i32) -> bool {
    let is_byte = |integer: &i32| (-128..=127).contains(integer);
    let is_scale = |scale: &f32| scale.is_finite() && *scale >= 0.0;
    (weights.axis == 0 || weights.scales.len() == 1)
        && weights.zero_points.iter().all(|&zero| zero == zero_point)
        && is_byte(&zero_point)
        && weights.scales.iter().all(is_scale)
        && weights.integers.iter().all(is_byte)
}

/// The parts of a layer whose input and weights are quantised.
struct Layer<'g> {
    weights: &'g QuantizedConstant,
    weight_zero_point: i32,
    /// Constants of every output.
    channels: Vec<Channel>,
    limits: (f32, f32),
}

impl<'g> Layer<'g> {
    fn find(graph: &'g Graph, at: usize) -> Option<Layer<'g>> {
        let node = &graph.nodes[at];
        let Op::FullyConnected { minimum, maximum } = node.op else {
            return None;
        };
        let source = &graph.nodes[graph.producer(node.inputs[0])?];
        let Op::DequantizeLinear { scale, zero_point } = source.op else {
            return None;
        };
        let Content::Quantized(weights) = &graph.values[node.inputs[1]].content else {
            return None;
        };
        let columns = graph.values[node.inputs[1]].columns();
        let weight_zero_point = *weights.zero_points.first()?;
        if columns > MAX_ROW as usize || !are_usable(weights, weight_zero_point) {
            return None;
        }
        let bias = biases(graph, node.inputs[2])?;
        let rows = weights.integers.chunks_exact(columns).zip(bias).enumerate();
        let channel = |(index, (row, bias)): (usize, (&[i32], Dyadic))| {
            let product =
                Dyadic::from_f32(scale).times(Dyadic::from_f32(weights.parameters(index).0));
            let sum: i64 = row.iter().map(|&w| i64::from(w - weight_zero_point)).sum();
            Channel::new(product, -i64::from(zero_point) * sum, bias)
        };
        let channels: Option<Vec<Channel>> = rows.map(channel).collect();
        Some(Layer {
            weights,
            weight_zero_point,
            channels: channels?,
            limits: (minimum, maximum),
        })
    }

    /// Weights, multipliers and offsets as constants of the graph; inputs of the integer op.
    fn constants(&self, divisor: Dyadic, max_shift: u8) -> Option<[(Vec<usize>, Data); 3]> {
        let weights = self.weights.integers.iter().map(|&q| q as i8).collect();
        let mut multipliers = Vec::new();
        let mut offsets = Vec::new();
        for channel in &self.channels {
            let (channel, shift) = channel
                .divided_by(divisor)
                .filter(|(_, shift)| *shift <= max_shift)?;
            multipliers.push((channel.factor | u64::from(shift) << 56).to_le_bytes());
            offsets.extend_from_slice(&channel.offset.to_le_bytes()[..12]);
        }
        let outputs = self.channels.len();
        if multipliers.iter().all(|entry| *entry == multipliers[0]) {
            multipliers.truncate(1);
        }
        let columns = self.weights.integers.len() / outputs;
        Some([
            (vec![outputs, columns], Data::I8(weights)),
            (
                vec![multipliers.len(), 8],
                Data::Bytes(multipliers.concat()),
            ),
            (vec![outputs, 12], Data::Bytes(offsets)),
        ])
    }
}

/// The exact real biases of a layer.
fn biases(graph: &Graph, id: usize) -> Option<Vec<Dyadic>> {
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

fn to_i8(graph: &mut Graph, at: usize, quantize: usize) -> Option<Node> {
    let Op::QuantizeLinear { scale, zero_point } = graph.nodes[quantize].op else {
        return None;
    };
    let layer = Layer::find(graph, at)?;
    let exact = Dyadic::from_f32(scale);
    let constants = layer.constants(exact, 127)?;
    let bound =
        |limit: f32| (round_quotient(limit, scale) + i64::from(zero_point)).clamp(-128, 127) as i32;
    let op = Op::FullyConnectedI8 {
        weight_zero_point: layer.weight_zero_point,
        divisor: u32::try_from(exact.mantissa).ok()?,
        zero_point,
        minimum: bound(layer.limits.0),
        maximum: bound(layer.limits.1),
    };
    Some(integer_node(graph, at, op, constants))
}

fn to_f32(graph: &mut Graph, at: usize) -> Option<Node> {
    let layer = Layer::find(graph, at)?;
    let constants = layer.constants(
        Dyadic {
            mantissa: 1,
            exponent: 0,
        },
        MAX_F32_SHIFT,
    )?;
    let (minimum, maximum) = layer.limits;
    let op = Op::FullyConnectedI8ToF32 {
        weight_zero_point: layer.weight_zero_point,
        minimum,
        maximum,
    };
    Some(integer_node(graph, at, op, constants))
}

fn integer_node(graph: &mut Graph, at: usize, op: Op, constants: [(Vec<usize>, Data); 3]) -> Node {
    let node = graph.nodes[at].clone();
    let source = graph
        .producer(node.inputs[0])
        .map(|source| graph.nodes[source].clone());
    let (x, mut origins) = match source {
        Some(source) => (source.inputs[0], source.origins),
        None => (node.inputs[0], Vec::new()),
    };
    let name = graph.values[node.inputs[1]].name.clone();
    let ids = constants.map(|(shape, data)| graph.add_constant(&name, &shape, data));
    origins.extend(node.origins);
    Node {
        op,
        inputs: [&[x], &ids[..]].concat(),
        output: node.output,
        origins,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::graph::Element;
    use super::super::testing::{floats, graph, node, ops};
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

    #[test]
    fn requantising_with_the_same_scale_is_nothing() {
        let mut graph = graph();
        let x = graph.input;
        graph.values[x].element = Element::I8;
        let (scale, zero_point) = (0.5, 10);
        let float = node(
            &mut graph,
            Op::DequantizeLinear { scale, zero_point },
            &[x],
            &[1, 2],
        );
        let again = node(
            &mut graph,
            Op::QuantizeLinear { scale, zero_point },
            &[float],
            &[1, 2],
        );
        let end = node(
            &mut graph,
            Op::DequantizeLinear { scale, zero_point },
            &[again],
            &[1, 2],
        );
        graph.outputs = vec![end];
        form(&mut graph);
        graph.remove_unused();
        assert_eq!(
            (graph.nodes.len(), graph.nodes[0].inputs[0]),
            (1, graph.input)
        );
    }
}
