//! Makes small quantised graphs at random, as exporters write them.
//!
//! Shapes and channels from 1 to 9, odd ones too; zero points at the ends of their range and
//! weights of -128, 127 and -127; scales that are powers of two, or a power of two times the
//! product of the scales before, so that sums lie exactly between two steps as often as not.

use crate::onnx::builder::{Extent, GraphBuilder, Value, int, ints, value_info};
use crate::onnx::proto::{AttributeProto, DataType, ModelProto};

/// A graph, and what it is made of.
pub struct RandomGraph {
    pub model: ModelProto,
    pub ops: Vec<&'static str>,
    /// Elements of the input, which is int8 or, less 128, uint8.
    pub input: usize,
    pub unsigned: bool,
}

/// Numbers that look random and are the same everywhere.
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Chance {
        Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// From `low` up to `high`, both included.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + (self.next() % (high - low + 1) as u64) as usize
    }

    pub fn one_in(&mut self, count: u64) -> bool {
        self.next().is_multiple_of(count)
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.between(0, from.len() - 1)]
    }

    /// A byte; often at an end of its range.
    pub fn code(&mut self) -> i8 {
        match self.between(0, 3) {
            0 => self.pick(&[-128, 127, -127, 0, -1]),
            _ => self.next() as i8,
        }
    }
}

/// An activation while the graph grows: its codes, and their meaning.
#[derive(Clone)]
struct Activation {
    codes: Value,
    shape: Vec<usize>,
    scale: f32,
    /// As stored, in the range of the activations' type.
    zero_point: i32,
}

/// A value of reals, and about how large it is: the typical absolute value.
struct Reals {
    value: Value,
    shape: Vec<usize>,
    size: f32,
    /// A real number all values are about multiples of; steps are often powers of two of it.
    unit: f32,
}

struct Maker<'c> {
    graph: GraphBuilder,
    chance: &'c mut Chance,
    unsigned: bool,
    ops: Vec<&'static str>,
}

/// Layers that a graph may be grown by.
const LAYERS: [&str; 17] = [
    "Conv",
    "Conv",
    "Conv",
    "Conv",
    "Gemm",
    "MatMul",
    "Add",
    "Add",
    "Sub",
    "Mul",
    "AveragePool",
    "MaxPool",
    "GlobalAveragePool",
    "Relu",
    "Concat",
    "Requantize",
    "Function",
];

/// A graph of one to four layers.
pub fn random_graph(chance: &mut Chance) -> RandomGraph {
    let unsigned = chance.one_in(5);
    let mut maker = Maker {
        graph: GraphBuilder::new("random"),
        chance,
        unsigned,
        ops: Vec::new(),
    };
    let mut now = maker.input();
    let input = now.shape.iter().product();
    for _ in 0..maker.chance.between(1, 4) {
        now = maker.layer(&now);
    }
    let ops = std::mem::take(&mut maker.ops);
    RandomGraph {
        model: maker.finish(&now),
        ops,
        input,
        unsigned,
    }
}

impl Maker<'_> {
    fn element(&self) -> DataType {
        if self.unsigned {
            DataType::Uint8
        } else {
            DataType::Int8
        }
    }

    fn input(&mut self) -> Activation {
        let rank = self.chance.pick(&[2, 3, 4, 4, 4]);
        let mut shape = vec![1];
        shape.extend((1..rank).map(|_| self.chance.between(1, 9)));
        let extents: Vec<Extent> = shape.iter().map(|&extent| Extent::Fixed(extent)).collect();
        let codes = self.graph.input("input", self.element(), &extents);
        let power = self.chance.between(0, 8) as i32 - 8;
        Activation {
            codes,
            shape,
            scale: self.scale(2_f32.powi(power)),
            zero_point: self.zero_point(),
        }
    }

    /// The power of two itself, or something up to twice as large.
    fn scale(&mut self, power: f32) -> f32 {
        match self.chance.between(0, 3) {
            0 => power * (1.0 + self.chance.between(0, 8_388_607) as f32 / 8_388_608.0),
            1 => power * 1.5,
            _ => power,
        }
    }

    fn zero_point(&mut self) -> i32 {
        let signed = match self.chance.between(0, 3) {
            0 => self.chance.pick(&[-128, 127]),
            1 => 0,
            _ => i32::from(self.chance.code()),
        };
        signed + if self.unsigned { 128 } else { 0 }
    }

    /// Scale and zero point of an activation as constants.
    fn parameters(&mut self, scale: f32, zero_point: i32) -> [Value; 2] {
        let zero = match self.unsigned {
            true => self.graph.constant_u8("zero", &[], &[zero_point as u8]),
            false => self.graph.constant_i8("zero", &[], &[zero_point as i8]),
        };
        [self.graph.constant_f32("scale", &[], &[scale]), zero]
    }

    fn dequantized(&mut self, x: &Activation) -> Value {
        let [scale, zero] = self.parameters(x.scale, x.zero_point);
        self.graph
            .node("DequantizeLinear", &[&x.codes, &scale, &zero], vec![])
    }

    /// The reals of an activation as they are.
    fn reals(&mut self, x: &Activation) -> Reals {
        Reals {
            value: self.dequantized(x),
            shape: x.shape.clone(),
            size: x.scale * 64.0,
            unit: x.scale,
        }
    }

    /// Quantises with a step that lets most of the range be used: often a power of two of the
    /// unit, so that a value on half a step is common.
    fn quantized(&mut self, y: &Reals) -> Activation {
        let wanted = (y.size / 40.0).max(1e-30) * 2_f32.powi(self.chance.between(0, 3) as i32 - 2);
        let base = match self.chance.between(0, 3) {
            0 => 1.0,
            _ => y.unit,
        };
        let scale = self.scale(base * 2_f32.powi((wanted / base).log2().round() as i32));
        let zero_point = self.zero_point();
        let [step, zero] = self.parameters(scale, zero_point);
        let codes = self
            .graph
            .node("QuantizeLinear", &[&y.value, &step, &zero], vec![]);
        Activation {
            codes,
            shape: y.shape.clone(),
            scale,
            zero_point,
        }
    }

    fn layer(&mut self, x: &Activation) -> Activation {
        let spatial = x.shape.len() > 2;
        let wanted = self.chance.pick(&LAYERS);
        let y = match wanted {
            "Conv" if spatial => self.conv(x),
            "AveragePool" | "MaxPool" if spatial => self.pool(x, wanted),
            "GlobalAveragePool" if spatial => self.global_average(x),
            "Conv" | "Gemm" => self.gemm(x),
            "MatMul" => self.mat_mul(x),
            "Add" | "Sub" | "Mul" => self.binary(x, wanted),
            "Concat" => self.concat(x),
            "Function" => self.function(x),
            "Relu" => {
                self.ops.push("Relu");
                let y = self.reals(x);
                self.through("Relu", y)
            }
            _ => {
                self.ops.push("Requantize");
                self.reals(x)
            }
        };
        self.quantized(&y)
    }

    fn through(&mut self, op: &str, y: Reals) -> Reals {
        let value = self.graph.node(op, &[&y.value], vec![]);
        Reals { value, ..y }
    }

    /// Codes of weights of one kind: any, at the ends, small, mostly nought.
    fn weights(&mut self, count: usize) -> (Vec<i8>, f32) {
        let kind = self.chance.between(0, 4);
        let codes = (0..count).map(|_| match kind {
            0 => self.chance.pick(&[127, -127, -128]),
            1 => self.chance.between(0, 4) as i8 - 2,
            2 if self.chance.one_in(3) => 0,
            _ => self.chance.next() as i8,
        });
        (codes.collect(), [127.0, 1.5, 60.0, 74.0, 74.0][kind])
    }

    /// Weights of `shape`, one scale for each of the first axis or for all.
    fn dequantized_weights(&mut self, shape: &[usize], axis: usize) -> (Value, Vec<f32>, f32) {
        let (codes, size) = self.weights(shape.iter().product());
        let power = 2_f32.powi(self.chance.between(0, 5) as i32 - 10);
        let count = if self.chance.one_in(2) {
            shape[axis]
        } else {
            1
        };
        let scales: Vec<f32> = (0..count).map(|_| self.scale(power)).collect();
        let own_shape: &[usize] = if count == 1 { &[] } else { &[count] };
        let zero = match count == 1 && self.chance.one_in(3) {
            true => self.chance.code(),
            false => 0,
        };
        let weights = self.graph.constant_i8("weights", shape, &codes);
        let scale = self.graph.constant_f32("weight_scale", own_shape, &scales);
        let zeros = self
            .graph
            .constant_i8("weight_zero", own_shape, &vec![zero; count]);
        let axis = vec![int("axis", axis as i64)];
        let value = self
            .graph
            .node("DequantizeLinear", &[&weights, &scale, &zeros], axis);
        (value, scales, size * power)
    }

    /// A bias as int32 of the product of scales, as floats, or none.
    fn bias(&mut self, count: usize, x: &Activation, scales: &[f32], size: f32) -> Option<Value> {
        let kind = self.chance.between(0, 3);
        let steps = |chance: &mut Chance, step: f32| {
            let most = (size / step).clamp(1.0, 1e6) as usize;
            chance.between(0, 2 * most) as i32 - most as i32
        };
        match kind {
            0 => None,
            1 => {
                let floats: Vec<f32> = (0..count)
                    .map(|_| steps(self.chance, size / 1000.0) as f32 * size / 1000.0)
                    .collect();
                Some(self.graph.constant_f32("bias", &[count], &floats))
            }
            _ => {
                let products: Vec<f32> = scales.iter().map(|scale| scale * x.scale).collect();
                let codes: Vec<i32> = (0..count)
                    .map(|index| steps(self.chance, products[index % products.len()]))
                    .collect();
                let shape: &[usize] = if scales.len() == 1 {
                    &[]
                } else {
                    &[scales.len()]
                };
                let bias = self.graph.constant_i32("bias", &[count], &codes);
                let scale = self.graph.constant_f32("bias_scale", shape, &products);
                let axis = vec![int("axis", 0)];
                Some(self.graph.node("DequantizeLinear", &[&bias, &scale], axis))
            }
        }
    }

    /// Nothing, `Relu`, or `Clip` to the range of Relu6 or around nought.
    fn activated(&mut self, y: Reals) -> Reals {
        match self.chance.between(0, 3) {
            0 => self.through("Relu", y),
            1 => {
                let most = self.graph.constant_f32("most", &[], &[y.size]);
                let low = if self.chance.one_in(2) {
                    0.0
                } else {
                    -0.3 * y.size
                };
                let least = self.graph.constant_f32("least", &[], &[low]);
                let value = self.graph.node("Clip", &[&y.value, &least, &most], vec![]);
                Reals { value, ..y }
            }
            _ => y,
        }
    }

    fn conv(&mut self, x: &Activation) -> Reals {
        let (channels, space) = (x.shape[1], &x.shape[2..]);
        let groups = self.chance.pick(&divisors(channels));
        let groups = if self.chance.one_in(3) {
            channels
        } else {
            groups
        };
        let filters = groups * self.chance.between(1, (9 / groups).max(1));
        let (attributes, kernel, output) = self.windows(space, true);
        let mut shape = vec![filters, channels / groups];
        shape.extend(&kernel);
        let (weights, scales, weight) = self.dequantized_weights(&shape, 0);
        let taps = shape[1..].iter().product::<usize>() as f32;
        let size = x.scale * 74.0 * weight * taps.sqrt();
        let bias = self.bias(filters, x, &scales, size);
        let input = self.dequantized(x);
        let inputs: Vec<&Value> = [&input, &weights].into_iter().chain(&bias).collect();
        let mut attributes = attributes;
        attributes.push(int("group", groups as i64));
        let value = self.graph.node("Conv", &inputs, attributes);
        self.ops.push("Conv");
        let y = Reals {
            value,
            shape: [&[1, filters], output.as_slice()].concat(),
            size,
            unit: x.scale * scales[0],
        };
        self.activated(y)
    }

    /// Kernel, strides, pads and dilations that leave at least one window along every axis.
    fn windows(
        &mut self,
        space: &[usize],
        dilates: bool,
    ) -> (Vec<AttributeProto>, Vec<usize>, Vec<usize>) {
        let (mut kernel, mut strides, mut dilations) = (vec![], vec![], vec![]);
        let (mut before, mut behind, mut output) = (vec![], vec![], vec![]);
        for &extent in space {
            let dilation = if dilates && self.chance.one_in(4) {
                2
            } else {
                1
            };
            let taps = self.chance.between(1, 4);
            let reach = (taps - 1) * dilation + 1;
            // A pool's window must meet its input: padding is less than the kernel.
            let most = if dilates { 3.min(reach) } else { taps - 1 };
            let (mut low, mut high) = (0, 0);
            if self.chance.one_in(2) {
                (low, high) = (self.chance.between(0, most), self.chance.between(0, most));
            }
            let fits = extent + low + high >= reach;
            let (taps, dilation, low, high) = if fits {
                (taps, dilation, low, high)
            } else {
                (1, 1, 0, 0)
            };
            let stride = self.chance.pick(&[1, 1, 2, 3]);
            output.push((extent + low + high - ((taps - 1) * dilation + 1)) / stride + 1);
            kernel.push(taps);
            strides.push(stride as i64);
            dilations.push(dilation as i64);
            before.push(low as i64);
            behind.push(high as i64);
        }
        let mut attributes = vec![
            ints(
                "kernel_shape",
                kernel.iter().map(|&taps| taps as i64).collect(),
            ),
            ints("strides", strides),
            ints("pads", [before, behind].concat()),
        ];
        if dilates {
            attributes.push(ints("dilations", dilations));
        }
        (attributes, kernel, output)
    }

    fn pool(&mut self, x: &Activation, op: &'static str) -> Reals {
        let (mut attributes, _, output) = self.windows(&x.shape[2..], false);
        if op == "AveragePool" {
            attributes.push(int("count_include_pad", self.chance.between(0, 1) as i64));
        }
        let y = self.reals(x);
        let value = self.graph.node(op, &[&y.value], attributes);
        self.ops.push(op);
        Reals {
            value,
            shape: [&x.shape[..2], output.as_slice()].concat(),
            ..y
        }
    }

    fn global_average(&mut self, x: &Activation) -> Reals {
        let y = self.reals(x);
        let reduces = self.chance.one_in(2);
        let value = match reduces {
            true => {
                let axes = ints("axes", (2..x.shape.len() as i64).collect());
                self.graph.node("ReduceMean", &[&y.value], vec![axes])
            }
            false => self.graph.node("GlobalAveragePool", &[&y.value], vec![]),
        };
        self.ops.push(if reduces {
            "ReduceMean"
        } else {
            "GlobalAveragePool"
        });
        Reals {
            value,
            shape: [&x.shape[..2], vec![1; x.shape.len() - 2].as_slice()].concat(),
            size: y.size / 3.0,
            ..y
        }
    }

    fn gemm(&mut self, x: &Activation) -> Reals {
        let depth: usize = x.shape.iter().product();
        let outputs = self.chance.between(1, 9);
        let (weights, scales, weight) = self.dequantized_weights(&[outputs, depth], 0);
        let size = x.scale * 74.0 * weight * (depth as f32).sqrt();
        let bias = self.bias(outputs, x, &scales, size);
        let mut input = self.dequantized(x);
        if x.shape.len() > 2 {
            input = self.graph.node("Flatten", &[&input], vec![int("axis", 1)]);
        }
        let inputs: Vec<&Value> = [&input, &weights].into_iter().chain(&bias).collect();
        let value = self.graph.node("Gemm", &inputs, vec![int("transB", 1)]);
        self.ops.push("Gemm");
        let y = Reals {
            value,
            shape: vec![1, outputs],
            size,
            unit: x.scale * scales[0],
        };
        self.activated(y)
    }

    fn mat_mul(&mut self, x: &Activation) -> Reals {
        let depth = x.shape[x.shape.len() - 1];
        let outputs = self.chance.between(1, 9);
        let (weights, scales, weight) = self.dequantized_weights(&[depth, outputs], 1);
        let input = self.dequantized(x);
        let mut value = self.graph.node("MatMul", &[&input, &weights], vec![]);
        let size = x.scale * 74.0 * weight * (depth as f32).sqrt();
        if let Some(bias) = self.bias(outputs, x, &scales, size) {
            value = self.graph.node("Add", &[&value, &bias], vec![]);
        }
        self.ops.push("MatMul");
        let mut shape = x.shape.clone();
        shape.pop();
        shape.push(outputs);
        let y = Reals {
            value,
            shape,
            size,
            unit: x.scale * scales[0],
        };
        self.activated(y)
    }

    /// Another activation of the same shape: the same one, or it quantised anew.
    fn partner(&mut self, x: &Activation) -> Activation {
        if self.chance.one_in(3) {
            return x.clone();
        }
        let y = self.reals(x);
        let y = if self.chance.one_in(2) {
            self.through("Relu", y)
        } else {
            y
        };
        self.quantized(&y)
    }

    fn binary(&mut self, x: &Activation, op: &'static str) -> Reals {
        let other = self.partner(x);
        let (a, b) = (self.reals(x), self.reals(&other));
        let (first, second) = if self.chance.one_in(2) {
            (&a, &b)
        } else {
            (&b, &a)
        };
        let value = self.graph.node(op, &[&first.value, &second.value], vec![]);
        self.ops.push(op);
        let product = op == "Mul";
        let y = Reals {
            value,
            shape: x.shape.clone(),
            size: if product {
                a.size * b.size
            } else {
                a.size.max(b.size)
            },
            unit: if product {
                a.unit * b.unit
            } else {
                a.unit.min(b.unit)
            },
        };
        self.activated(y)
    }

    fn concat(&mut self, x: &Activation) -> Reals {
        let other = self.partner(x);
        let (a, b) = (self.reals(x), self.reals(&other));
        let axis = self.chance.between(1, x.shape.len() - 1);
        let inputs = [&a.value, &b.value];
        let value = self
            .graph
            .node("Concat", &inputs, vec![int("axis", axis as i64)]);
        self.ops.push("Concat");
        let mut shape = x.shape.clone();
        shape[axis] *= 2;
        Reals {
            value,
            shape,
            size: a.size.max(b.size),
            unit: a.unit,
        }
    }

    fn function(&mut self, x: &Activation) -> Reals {
        let op = self.chance.pick(&[
            "Sigmoid",
            "Tanh",
            "Softmax",
            "LeakyRelu",
            "HardSigmoid",
            "HardSwish",
        ]);
        let y = self.reals(x);
        self.ops.push(op);
        let size = match op {
            "LeakyRelu" | "HardSwish" => y.size,
            _ => 0.7,
        };
        Reals {
            size,
            ..self.through(op, y)
        }
    }

    fn finish(self, last: &Activation) -> ModelProto {
        let element = self.element();
        let mut model = self.graph.finish();
        let output = value_info(last.codes.name(), element, &[]);
        model.graph.as_mut().expect("a graph").output.push(output);
        model
    }
}

fn divisors(number: usize) -> Vec<usize> {
    (1..=number)
        .filter(|divisor| number.is_multiple_of(*divisor))
        .collect()
}
