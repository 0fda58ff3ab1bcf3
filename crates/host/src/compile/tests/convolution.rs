//! Convolutions of every shape, compiled and run, against exact arithmetic and tract.

use super::exact::Evaluator;
use super::{compiled, compiled_for_reference, f32_bytes, f32_values, pseudo_random, run};
use crate::onnx;
use crate::onnx::builder::{Extent, GraphBuilder, Value, int, ints, string, value_info};
use crate::onnx::proto::{AttributeProto, DataType, ModelProto};
use proptest::prelude::*;

/// A convolution of one image, 1-D or 2-D, as a file has it.
#[derive(Clone, Debug)]
struct Convolution {
    transposed: bool,
    /// Rows and columns, or columns.
    image: Vec<usize>,
    kernel: Vec<usize>,
    strides: Vec<i64>,
    dilations: Vec<i64>,
    pads: Vec<i64>,
    groups: usize,
    /// Of a group.
    channels: usize,
    filters: usize,
    relu: bool,
}

fn convolution() -> impl Strategy<Value = Convolution> {
    (1_usize..=2, any::<bool>()).prop_flat_map(|(rank, transposed)| {
        let extents = |range| prop::collection::vec(range, rank);
        let numbers = |range| prop::collection::vec(range, rank);
        (
            (extents(4_usize..8), extents(1_usize..4)),
            (numbers(1_i64..3), numbers(1_i64..3)),
            prop::collection::vec(0_i64..2, 2 * rank),
            (1_usize..4, 1_usize..4, 1_usize..4),
            any::<bool>(),
        )
            .prop_map(
                move |((image, kernel), (strides, dilations), pads, sizes, relu)| {
                    let (groups, channels, filters) = sizes;
                    let fits = |axis: usize| {
                        image[axis] > (kernel[axis] - 1) * dilations[axis] as usize
                            && kernel[axis] as i64 > pads[axis] + pads[axis + rank]
                    };
                    let (pads, dilations) = match (0..rank).all(fits) {
                        true => (pads, dilations),
                        false => (vec![0; 2 * rank], vec![1; rank]),
                    };
                    Convolution {
                        transposed,
                        image,
                        kernel,
                        strides,
                        dilations,
                        pads,
                        groups,
                        channels,
                        filters,
                        relu,
                    }
                },
            )
    })
}

impl Convolution {
    fn op(&self) -> &'static str {
        match self.transposed {
            true => "ConvTranspose",
            false => "Conv",
        }
    }

    fn input_shape(&self) -> Vec<usize> {
        [&[1, self.groups * self.channels][..], &self.image].concat()
    }

    fn elements(&self) -> usize {
        self.input_shape().iter().product()
    }

    fn weight_shape(&self) -> Vec<usize> {
        let outer = match self.transposed {
            true => [self.groups * self.channels, self.filters],
            false => [self.groups * self.filters, self.channels],
        };
        [&outer[..], &self.kernel].concat()
    }

    fn outputs(&self) -> usize {
        self.groups * self.filters
    }

    fn attributes(&self) -> Vec<AttributeProto> {
        vec![
            ints("strides", self.strides.clone()),
            ints("dilations", self.dilations.clone()),
            ints("pads", self.pads.clone()),
            int("group", self.groups as i64),
        ]
    }

    /// The axis of the weights that counts outputs, if there is one.
    fn output_axis(&self) -> Option<i64> {
        match (self.transposed, self.groups) {
            (false, _) => Some(0),
            (true, 1) => Some(1),
            (true, _) => None,
        }
    }

    fn input(&self, graph: &mut GraphBuilder, element: DataType) -> Value {
        let shape = self.input_shape();
        let extents: Vec<Extent> = shape.into_iter().map(Extent::Fixed).collect();
        graph.input("input", element, &extents)
    }

    /// Takes and gives `i8`; weights with a scale per output where ONNX has an axis for it.
    fn quantized(&self, seed: u32, zero_points: [i8; 3]) -> ModelProto {
        let mut graph = GraphBuilder::new("convolution");
        let mut numbers = pseudo_random(seed);
        let mut number = move || numbers.next().expect("endless");
        let input = self.input(&mut graph, DataType::Int8);
        let (scale, zero) = quantization(&mut graph, 0.04 + 0.01 * number().abs(), zero_points[0]);
        let x = graph.node("DequantizeLinear", &[&input, &scale, &zero], vec![]);
        let (shape, outputs) = (self.weight_shape(), self.outputs());
        let count: usize = shape.iter().product();
        let codes: Vec<i8> = (0..count).map(|_| (number() * 127.0) as i8).collect();
        let weights = graph.constant_i8("weights", &shape, &codes);
        let weights = match self.output_axis() {
            Some(axis) => {
                let scales: Vec<f32> = (0..outputs).map(|_| 0.01 + 0.02 * number().abs()).collect();
                let scale = graph.constant_f32("scales", &[outputs], &scales);
                let zero = graph.constant_i8("zeros", &[outputs], &vec![zero_points[1]; outputs]);
                let axis = vec![int("axis", axis)];
                graph.node("DequantizeLinear", &[&weights, &scale, &zero], axis)
            }
            None => {
                let (scale, zero) = quantization(&mut graph, 0.02, zero_points[1]);
                graph.node("DequantizeLinear", &[&weights, &scale, &zero], vec![])
            }
        };
        let bias: Vec<i32> = (0..outputs).map(|_| (number() * 3000.0) as i32).collect();
        let bias = graph.constant_i32("bias", &[outputs], &bias);
        let scale = graph.constant_f32("bias scale", &[], &[0.001]);
        let bias = graph.node("DequantizeLinear", &[&bias, &scale], vec![]);
        let mut y = graph.node(self.op(), &[&x, &weights, &bias], self.attributes());
        if self.relu {
            y = graph.node("Relu", &[&y], vec![]);
        }
        let (scale, zero) = quantization(&mut graph, 0.1, zero_points[2]);
        let codes = graph.node("QuantizeLinear", &[&y, &scale, &zero], vec![]);
        finished(graph, &codes, DataType::Int8)
    }

    /// Floats, without a bias.
    fn float(&self, seed: u32, more: Vec<AttributeProto>) -> ModelProto {
        let mut graph = GraphBuilder::new("convolution");
        let input = self.input(&mut graph, DataType::Float);
        let shape = self.weight_shape();
        let count = shape.iter().product();
        let weights: Vec<f32> = pseudo_random(seed).take(count).collect();
        let weights = graph.constant_f32("weights", &shape, &weights);
        let attributes = [self.attributes(), more].concat();
        let y = graph.node(self.op(), &[&input, &weights], attributes);
        finished(graph, &y, DataType::Float)
    }
}

pub(super) fn quantization(graph: &mut GraphBuilder, scale: f32, zero: i8) -> (Value, Value) {
    (
        graph.constant_f32("scale", &[], &[scale]),
        graph.constant_i8("zero", &[], &[zero]),
    )
}

pub(super) fn finished(graph: GraphBuilder, output: &Value, element: DataType) -> ModelProto {
    let mut model = graph.finish();
    let output = value_info(output.name(), element, &[]);
    model.graph.as_mut().expect("a graph").output.push(output);
    model
}

/// The kernels of a plan that compute; copies and views aside.
pub(super) fn computing(kernels: &[String]) -> Vec<&str> {
    let moves = ["strided_copy.1.0", "reshape.1.0"];
    let computes = |kernel: &&str| !moves.contains(kernel);
    kernels
        .iter()
        .map(String::as_str)
        .filter(computes)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    #[test]
    fn a_quantized_convolution_equals_exact_arithmetic(
        case in convolution(),
        seed in any::<u32>(),
        (x0, w0, y0) in (any::<i8>(), -5_i8..5, any::<i8>()),
        codes in prop::collection::vec(any::<i8>(), 8 * 8 * 9),
    ) {
        let model = case.quantized(seed, [x0, w0, y0]);
        let reference = compiled_for_reference(&model);
        let kernel = if case.transposed { "conv_transpose_2d.1.1" } else { "conv_2d.1.1" };
        prop_assert_eq!(computing(&reference.report.kernels), [kernel]);
        let codes = &codes[..case.elements()];
        let bytes: Vec<u8> = codes.iter().map(|&code| code as u8).collect();
        let ours = run(&reference.plan, &bytes);
        prop_assert_eq!(&run(&compiled(&model).plan, &bytes), &ours);
        let ours: Vec<i8> = ours[0].iter().map(|&byte| byte as i8).collect();
        prop_assert_eq!(ours, Evaluator::new(&model).last_quantized(codes));
    }
}

/// Inputs for the largest of the cases below.
const CODES: usize = 24 * 18 * 9;

/// Codes of a case, its results packed, and those of the reference kernels.
fn packed_and_reference(case: &Convolution, seed: u32, codes: &[u8]) -> [Vec<u8>; 2] {
    let model = case.quantized(seed, [7, 0, -20]);
    let plans = [compiled(&model).plan, compiled_for_reference(&model).plan];
    plans.map(|plan| run(&plan, &codes[..case.elements()]).remove(0))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn a_depthwise_convolution_in_strips_equals_the_reference(
        image in (3_usize..25, 3_usize..19),
        kernel in (1_usize..5, 1_usize..5),
        strides in (1_i64..4, 1_i64..4),
        is_3: bool,
        pads in [0_i64..3, 0_i64..3, 0_i64..3, 0_i64..3],
        groups in 2_usize..10,
        seed in any::<u32>(),
        codes in prop::collection::vec(any::<u8>(), CODES),
    ) {
        let kernel = if is_3 { [3, 3] } else { [kernel.0, kernel.1] };
        let image = vec![image.0.max(kernel[0]), image.1.max(kernel[1])];
        let pads = [0, 1, 2, 3].map(|at| pads[at].min(kernel[at % 2] as i64 - 1)).to_vec();
        let strides = match is_3 {
            true => vec![strides.0.min(2); 2],
            false => vec![strides.0, strides.1],
        };
        let case = Convolution {
            image,
            kernel: kernel.to_vec(),
            strides,
            dilations: vec![1; 2],
            pads,
            groups,
            channels: 1,
            filters: 1,
            ..PLAIN
        };
        let [packed, reference] = packed_and_reference(&case, seed, &codes);
        prop_assert_eq!(packed, reference);
    }

    #[test]
    fn pixels_that_grow_over_their_inputs_equal_the_reference(
        image in (1_usize..9, 1_usize..9),
        channels in 1_usize..9,
        filters in 1_usize..30,
        seed in any::<u32>(),
        codes in prop::collection::vec(any::<u8>(), CODES),
    ) {
        let case = Convolution {
            image: vec![image.0, image.1],
            kernel: vec![1; 2],
            strides: vec![1; 2],
            dilations: vec![1; 2],
            pads: vec![0; 4],
            channels,
            filters,
            ..PLAIN
        };
        let [packed, reference] = packed_and_reference(&case, seed, &codes);
        prop_assert_eq!(packed, reference);
    }
}

/// What tract computes for one float input.
fn tract(model: &ModelProto, shape: &[usize], input: &[f32]) -> Vec<f32> {
    use tract_onnx::prelude::*;
    let bytes = onnx::encode(model);
    let parsed = tract_onnx::onnx().model_for_read(&mut &bytes[..]).unwrap();
    let fact = InferenceFact::dt_shape(f32::datum_type(), shape);
    let model = parsed.with_input_fact(0, fact).unwrap();
    let runnable = model.into_optimized().unwrap().into_runnable().unwrap();
    let tensor = Tensor::from_shape(shape, input).unwrap();
    let output = runnable.run(tvec!(tensor.into())).unwrap();
    output[0]
        .to_plain_array_view::<f32>()
        .unwrap()
        .iter()
        .copied()
        .collect()
}

/// Largest difference between a plan and tract, and the number of values compared.
pub(super) fn difference(model: &ModelProto, shape: &[usize], seed: u32) -> (f32, usize) {
    let input: Vec<f32> = pseudo_random(seed).take(shape.iter().product()).collect();
    let ours = f32_values(&run(&compiled(model).plan, &f32_bytes(&input))[0]);
    let theirs = tract(model, shape, &input);
    assert_eq!(ours.len(), theirs.len());
    let errors = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs());
    (errors.fold(0.0, f32::max), ours.len())
}

const PLAIN: Convolution = Convolution {
    transposed: false,
    image: Vec::new(),
    kernel: Vec::new(),
    strides: Vec::new(),
    dilations: Vec::new(),
    pads: Vec::new(),
    groups: 1,
    channels: 2,
    filters: 3,
    relu: false,
};

#[test]
fn float_convolutions_agree_with_tract() {
    let two = Convolution {
        image: vec![7, 6],
        kernel: vec![3, 2],
        strides: vec![2, 1],
        dilations: vec![1, 2],
        pads: vec![1, 0, 2, 1],
        ..PLAIN
    };
    let one = Convolution {
        image: vec![9],
        kernel: vec![3],
        strides: vec![1],
        dilations: vec![2],
        pads: vec![3, 1],
        ..PLAIN
    };
    let depthwise = |case: &Convolution| Convolution {
        groups: 4,
        channels: 1,
        filters: 1,
        ..case.clone()
    };
    let transposed = |case: &Convolution| Convolution {
        transposed: true,
        dilations: vec![1; case.image.len()],
        ..case.clone()
    };
    let cases = [
        two.clone(),
        one.clone(),
        depthwise(&two),
        depthwise(&one),
        transposed(&two),
        transposed(&depthwise(&two)),
    ];
    for (seed, case) in cases.iter().enumerate() {
        let model = case.float(seed as u32, vec![]);
        let (worst, compared) = difference(&model, &case.input_shape(), 7);
        assert!(
            worst < 2e-6 && compared > 10,
            "{case:?}: {worst:e} of {compared}"
        );
    }
}

#[test]
fn automatic_padding_agrees_with_tract() {
    for (image, strides, mode) in [
        (vec![6, 7], vec![2, 2], "SAME_UPPER"),
        (vec![5, 8], vec![1, 3], "SAME_UPPER"),
        (vec![6, 7], vec![2, 2], "SAME_LOWER"),
        (vec![6, 7], vec![2, 1], "VALID"),
    ] {
        let case = Convolution {
            image,
            kernel: vec![3, 2],
            strides,
            dilations: vec![1, 1],
            pads: vec![0; 4],
            ..PLAIN
        };
        let mut model = case.float(3, vec![string("auto_pad", mode)]);
        let node = &mut model.graph.as_mut().unwrap().node[0];
        node.attribute.retain(|attribute| attribute.name != "pads");
        let (worst, compared) = difference(&model, &case.input_shape(), 11);
        assert!(worst < 2e-6 && compared > 10, "{case:?}, {mode}: {worst:e}");
    }
}
