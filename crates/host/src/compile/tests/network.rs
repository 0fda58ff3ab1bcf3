//! Networks of integer layers over an image, made layer by layer.

use crate::onnx::builder::{Extent, GraphBuilder, Value, int, ints, value_info};
use crate::onnx::proto::{AttributeProto, DataType, ModelProto};

/// Scale and zero point.
pub type Quantization = (f32, i8);

/// A convolution with square windows.
#[derive(Clone, Debug)]
pub struct Layer {
    pub filters: usize,
    /// Of a group.
    pub channels: usize,
    pub groups: usize,
    pub kernel: usize,
    pub pad: i64,
    /// Filters first, then channels, rows and columns.
    pub weights: Vec<i8>,
    pub scales: Vec<f32>,
    pub bias: Vec<f32>,
    pub result: Quantization,
}

impl Layer {
    /// Where the weights of a filter for a channel begin, and how many there are.
    pub fn taps(&self, filter: usize, channel: usize) -> std::ops::Range<usize> {
        let taps = self.kernel * self.kernel;
        let first = (filter * self.channels + channel) * taps;
        first..first + taps
    }
}

/// A network under construction; values are floats behind a dequantization.
pub struct Network {
    pub graph: GraphBuilder,
}

impl Network {
    /// A network that takes an image of bytes, and that image.
    pub fn new([channels, height, width]: [usize; 3], input: Quantization) -> (Network, Value) {
        let mut graph = GraphBuilder::new("network");
        let extents = [1, channels, height, width].map(Extent::Fixed);
        let codes = graph.input("input", DataType::Int8, &extents);
        let mut network = Network { graph };
        let x = network.scaled("DequantizeLinear", &codes, input);
        (network, x)
    }

    fn scaled(&mut self, op: &str, x: &Value, (scale, zero): Quantization) -> Value {
        let scale = self.graph.constant_f32("scale", &[], &[scale]);
        let zero = self.graph.constant_i8("zero", &[], &[zero]);
        self.graph.node(op, &[x, &scale, &zero], vec![])
    }

    pub fn node(&mut self, op: &str, inputs: &[&Value], attributes: Vec<AttributeProto>) -> Value {
        self.graph.node(op, inputs, attributes)
    }

    /// A value rounded to bytes and back.
    pub fn rounded(&mut self, x: &Value, quantization: Quantization) -> Value {
        let codes = self.scaled("QuantizeLinear", x, quantization);
        self.scaled("DequantizeLinear", &codes, quantization)
    }

    /// A convolution, limits below at 0 and a rounding.
    pub fn layer(&mut self, x: &Value, layer: &Layer) -> Value {
        let graph = &mut self.graph;
        let shape = [layer.filters, layer.channels, layer.kernel, layer.kernel];
        let weights = graph.constant_i8("weights", &shape, &layer.weights);
        let scales = graph.constant_f32("scales", &[layer.filters], &layer.scales);
        let zeros = graph.constant_i8("zeros", &[layer.filters], &vec![0; layer.filters]);
        let axis = vec![int("axis", 0)];
        let weights = graph.node("DequantizeLinear", &[&weights, &scales, &zeros], axis);
        let bias = graph.constant_f32("bias", &[layer.filters], &layer.bias);
        let attributes = vec![
            ints("pads", vec![layer.pad; 4]),
            int("group", layer.groups as i64),
        ];
        let sum = graph.node("Conv", &[x, &weights, &bias], attributes);
        let positive = graph.node("Relu", &[&sum], vec![]);
        self.rounded(&positive, layer.result)
    }

    /// The model that gives the bytes of a value.
    pub fn finish(mut self, x: &Value, output: Quantization) -> ModelProto {
        let codes = self.scaled("QuantizeLinear", x, output);
        let mut model = self.graph.finish();
        let output = value_info(codes.name(), DataType::Int8, &[]);
        model.graph.as_mut().expect("a graph").output.push(output);
        model
    }
}
