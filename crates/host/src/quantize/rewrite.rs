//! Writes the quantized model: `QuantizeLinear` and `DequantizeLinear` around every layer.

use super::chain::{Chain, Layer};
use super::{QuantizeError, Range};
use crate::onnx::builder::{int, tensor};
use crate::onnx::proto::{DataType, GraphProto, ModelProto, NodeProto};

/// Name of a tensor after quantization and back.
pub(super) fn dequantized_name(tensor: &str) -> String {
    format!("{tensor}_dequantized")
}

/// The model with its chain quantized; `ranges` are those of the chain's tensors.
pub(super) fn quantized(
    model: &ModelProto,
    chain: &Chain,
    ranges: &[Range],
) -> Result<ModelProto, QuantizeError> {
    let old = model.graph()?;
    let mut writer = Writer { graph: old.clone() };
    writer.graph.node.clear();
    let mut replaced: Vec<(usize, Vec<NodeProto>)> = Vec::new();
    for (layer, ranges) in chain.layers.iter().zip(ranges.windows(2)) {
        replaced.push((layer.product, writer.layer(old, layer, ranges[0])?));
    }
    for (index, node) in old.node.iter().enumerate() {
        let is_sum = chain.layers.iter().any(|layer| layer.sum == Some(index));
        match replaced.iter_mut().find(|(product, _)| *product == index) {
            Some((_, nodes)) => writer.graph.node.append(nodes),
            None if is_sum => {}
            None => writer.graph.node.push(node.clone()),
        }
        for (name, range) in chain.tensors().iter().zip(ranges) {
            if node.output.contains(name) || renamed_by(chain, index, name) {
                writer.quantize_pair(name, *range);
            }
        }
    }
    if old.producer(&chain.input).is_none() {
        writer.quantize_pair(&chain.input, ranges[0]);
        let length = writer.graph.node.len();
        writer.graph.node.rotate_right(2.min(length));
    }
    writer.redirect(chain);
    writer.drop_unused_constants();
    let mut result = model.clone();
    result.graph = Some(writer.graph);
    Ok(result)
}

/// Whether the product of a layer with a separate sum stands for the sum's output.
fn renamed_by(chain: &Chain, index: usize, name: &str) -> bool {
    chain.layers.iter().any(|layer| {
        layer.product == index && layer.sum.is_some() && layer.output == *name && layer.bare
    })
}

struct Writer {
    graph: GraphProto,
}

impl Writer {
    fn constant(&mut self, name: &str, element: DataType, shape: &[usize], raw: Vec<u8>) -> String {
        self.graph
            .initializer
            .push(tensor(name, element, shape, raw));
        name.to_owned()
    }

    fn node(&mut self, op: &str, inputs: &[&str], output: &str) -> NodeProto {
        NodeProto {
            op_type: op.to_owned(),
            name: format!("{output}_{op}"),
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            output: vec![output.to_owned()],
            ..Default::default()
        }
    }

    /// Quantizes a tensor and back.
    fn quantize_pair(&mut self, name: &str, range: Range) {
        let scale = self.constant(
            &format!("{name}_scale"),
            DataType::Float,
            &[],
            range.scale.to_le_bytes().to_vec(),
        );
        let zero = self.constant(
            &format!("{name}_zero_point"),
            DataType::Int8,
            &[],
            vec![range.zero_point as u8],
        );
        let quantized = format!("{name}_quantized");
        let there = self.node("QuantizeLinear", &[name, &scale, &zero], &quantized);
        let back = self.node(
            "DequantizeLinear",
            &[&quantized, &scale, &zero],
            &dequantized_name(name),
        );
        self.graph.node.extend([there, back]);
    }

    /// The nodes that stand for a layer's product and sum, fed with its dequantized input.
    fn layer(
        &mut self,
        old: &GraphProto,
        layer: &Layer,
        input: Range,
    ) -> Result<Vec<NodeProto>, QuantizeError> {
        let product = &old.node[layer.product];
        let dense = Dense::of(old, layer)?;
        let name = layer.bare_output(old);
        let weights = self.weights(name, &dense);
        let bias = self.bias(name, &dense, input.scale);
        let mut gemm = self.node(
            "Gemm",
            &[
                &dequantized_name(&product.input[0]),
                &weights.output[0],
                &bias.output[0],
            ],
            name,
        );
        gemm.attribute.push(int("transB", 1));
        Ok(vec![weights, bias, gemm])
    }

    fn weights(&mut self, name: &str, dense: &Dense) -> NodeProto {
        let rows = dense.weights.chunks_exact(dense.inputs).zip(&dense.scales);
        let code = |weight: &f32, scale: f32| {
            (weight / scale).round_ties_even().clamp(-127.0, 127.0) as i8 as u8
        };
        let codes = rows
            .flat_map(|(row, &scale)| row.iter().map(move |weight| code(weight, scale)))
            .collect();
        let outputs = dense.scales.len();
        let codes = self.constant(
            &format!("{name}_weights"),
            DataType::Int8,
            &[outputs, dense.inputs],
            codes,
        );
        let scales = dense
            .scales
            .iter()
            .flat_map(|scale| scale.to_le_bytes())
            .collect();
        let scales = self.constant(
            &format!("{name}_weights_scale"),
            DataType::Float,
            &[outputs],
            scales,
        );
        let zeros = self.constant(
            &format!("{name}_weights_zero_point"),
            DataType::Int8,
            &[outputs],
            vec![0; outputs],
        );
        self.dequantize_per_output(&codes, &scales, &zeros)
    }

    fn bias(&mut self, name: &str, dense: &Dense, input_scale: f32) -> NodeProto {
        let scales: Vec<f32> = dense
            .scales
            .iter()
            .map(|scale| scale * input_scale)
            .collect();
        let code = |(bias, scale): (&f32, &f32)| {
            (f64::from(*bias) / f64::from(*scale)).round_ties_even() as i32
        };
        let codes = dense
            .bias
            .iter()
            .zip(&scales)
            .map(code)
            .flat_map(i32::to_le_bytes)
            .collect();
        let outputs = scales.len();
        let codes = self.constant(&format!("{name}_bias"), DataType::Int32, &[outputs], codes);
        let raw = scales
            .iter()
            .flat_map(|scale| scale.to_le_bytes())
            .collect();
        let scales = self.constant(
            &format!("{name}_bias_scale"),
            DataType::Float,
            &[outputs],
            raw,
        );
        let zeros = self.constant(
            &format!("{name}_bias_zero_point"),
            DataType::Int32,
            &[outputs],
            vec![0; 4 * outputs],
        );
        self.dequantize_per_output(&codes, &scales, &zeros)
    }

    fn dequantize_per_output(&mut self, codes: &str, scales: &str, zeros: &str) -> NodeProto {
        let mut node = self.node(
            "DequantizeLinear",
            &[codes, scales, zeros],
            &dequantized_name(codes),
        );
        node.attribute.push(int("axis", 0));
        node
    }

    /// What read the chain's last tensor reads it after quantization.
    fn redirect(&mut self, chain: &Chain) {
        let Some(last) = chain.layers.last() else {
            return;
        };
        let (from, to) = (&last.output, dequantized_name(&last.output));
        let readers = self
            .graph
            .node
            .iter_mut()
            .filter(|node| node.op_type != "QuantizeLinear");
        for input in readers
            .flat_map(|node| &mut node.input)
            .filter(|input| *input == from)
        {
            *input = to.clone();
        }
        self.rename_output(from, &to);
    }

    /// Where the chain's end is an output of the model, the name moves to the dequantized tensor.
    fn rename_output(&mut self, from: &str, to: &str) {
        if !self.graph.output.iter().any(|output| output.name == from) {
            return;
        }
        let identity = self.node("Identity", &[to], from);
        let inner = format!("{from}_float");
        for node in &mut self.graph.node {
            let names = node.input.iter_mut().chain(&mut node.output);
            names
                .filter(|name| *name == from)
                .for_each(|name| *name = inner.clone());
        }
        self.graph.node.push(identity);
    }

    fn drop_unused_constants(&mut self) {
        let used: std::collections::HashSet<&String> = self
            .graph
            .node
            .iter()
            .flat_map(|node| &node.input)
            .collect();
        self.graph
            .initializer
            .retain(|constant| used.contains(&constant.name));
    }
}

/// Weights `[outputs, inputs]`, one scale and one bias per output.
struct Dense {
    inputs: usize,
    weights: Vec<f32>,
    scales: Vec<f32>,
    bias: Vec<f32>,
}

impl Dense {
    fn of(graph: &GraphProto, layer: &Layer) -> Result<Dense, QuantizeError> {
        let node = &graph.node[layer.product];
        let matrix = graph
            .initializer(&node.input[1])
            .ok_or(QuantizeError::NoLayers)?;
        let (values, shape) = (matrix.to_f32()?, matrix.shape()?);
        let [rows, columns] = shape[..] else {
            return Err(QuantizeError::NoLayers);
        };
        let transposed = node.op_type == "Gemm" && node.int("transB").unwrap_or(0) != 0;
        let (outputs, inputs) = if transposed {
            (rows, columns)
        } else {
            (columns, rows)
        };
        let weight = |output: usize, input: usize| {
            if transposed {
                values[output * columns + input]
            } else {
                values[input * columns + output]
            }
        };
        let weights: Vec<f32> = (0..outputs)
            .flat_map(|o| (0..inputs).map(move |i| weight(o, i)))
            .collect();
        let bias = Dense::bias_of(graph, layer, outputs)?;
        let scales = weights
            .chunks_exact(inputs)
            .zip(&bias)
            .map(|(row, &bias)| scale_of(row, bias))
            .collect();
        Ok(Dense {
            inputs,
            weights,
            scales,
            bias,
        })
    }

    fn bias_of(
        graph: &GraphProto,
        layer: &Layer,
        outputs: usize,
    ) -> Result<Vec<f32>, QuantizeError> {
        let names: Vec<&String> = match layer.sum {
            Some(sum) => graph.node[sum].input.iter().collect(),
            None => graph.node[layer.product].input.iter().skip(2).collect(),
        };
        match names.into_iter().find_map(|name| graph.initializer(name)) {
            Some(constant) => Ok(constant
                .to_f32()?
                .into_iter()
                .cycle()
                .take(outputs)
                .collect()),
            None => Ok(vec![0.0; outputs]),
        }
    }
}

/// Largest weight over 127; larger for a row so small that its bias would not fit 32 bits.
fn scale_of(row: &[f32], bias: f32) -> f32 {
    const BIAS_STEPS: f32 = 16_777_216.0;
    let largest = row
        .iter()
        .fold(0.0_f32, |largest, weight| largest.max(weight.abs()));
    (largest / 127.0).max(bias.abs() / BIAS_STEPS).max(1e-12)
}
