//! Networks with channels that say nothing, with and without these, against exact arithmetic.

use super::exact::Evaluator;
use super::network::{Layer, Network, Quantization};
use super::{pseudo_random, run};
use crate::compile::{CompileOptions, Compiled, Limits, compile};
use crate::onnx::builder::{Value, ints};
use crate::onnx::proto::ModelProto;
use proptest::prelude::*;

const INPUT: Quantization = (0.02, 3);
const RESULT: Quantization = (0.04, -128);

/// Filters, channels of a group, groups, extent of the window, padding.
type Shape = [usize; 5];

fn layer([filters, channels, groups, kernel, pad]: Shape, seed: u32) -> Layer {
    let mut numbers = pseudo_random(seed);
    let mut number = move || numbers.next().expect("endless");
    let count = filters * channels * kernel * kernel;
    let reach = 1.0 / ((channels * kernel * kernel) as f32).sqrt();
    Layer {
        filters,
        channels,
        groups,
        kernel,
        pad: pad as i64,
        weights: (0..count).map(|_| (number() * 127.0) as i8 | 1).collect(),
        scales: (0..filters)
            .map(|_| reach * (0.01 + 0.005 * number().abs()))
            .collect(),
        bias: (0..filters).map(|_| number()).collect(),
        result: RESULT,
    }
}

impl Layer {
    /// A filter whose sum is always negative.
    fn silent(mut self, filter: usize) -> Layer {
        self.bias[filter] = -1000.0;
        self
    }

    /// A filter that gives `value` whatever it sees.
    fn fixed(mut self, filter: usize, value: f32) -> Layer {
        for channel in 0..self.channels {
            let taps = self.taps(filter, channel);
            self.weights[taps].fill(0);
        }
        self.bias[filter] = value;
        self
    }

    /// No filter looks at a channel.
    fn blind(mut self, channel: usize) -> Layer {
        for filter in 0..self.filters {
            let taps = self.taps(filter, channel);
            self.weights[taps].fill(0);
        }
        self
    }
}

const SIDE: usize = 5;
/// Bytes of arena that are more than enough.
const ROOM: usize = 65_536;

/// A network of layers one after another over an image of four channels.
fn chain(layers: &[Layer]) -> ModelProto {
    let (mut network, mut x) = Network::new([4, SIDE, SIDE], INPUT);
    for layer in layers {
        x = network.layer(&x, layer);
    }
    network.finish(&x, RESULT)
}

fn compiled(model: &ModelProto, keep_channels: bool) -> Compiled {
    let limits = Limits {
        arena_bytes: Some(ROOM),
        ..Limits::default()
    };
    let options = CompileOptions {
        keep_channels,
        limits,
        ..CompileOptions::default()
    };
    compile(model, &options).expect("the model compiles")
}

/// Holds a model with and without its idle channels against exact arithmetic; gives the shapes of
/// what its layers compute.
fn compare(model: &ModelProto) -> Vec<Vec<usize>> {
    let (smaller, whole) = (compiled(model, false), compiled(model, true));
    let evaluator = Evaluator::new(model);
    let mut seen = [false; 256];
    for seed in 1..4 {
        let codes = pseudo_random(seed).map(|value| (value * 128.0).clamp(-128.0, 127.0) as i8);
        let input: Vec<i8> = codes.take(4 * SIDE * SIDE).collect();
        let bytes: Vec<u8> = input.iter().map(|&code| code as u8).collect();
        let expected = evaluator.last_quantized(&input);
        let expected: Vec<u8> = expected.iter().map(|&code| code as u8).collect();
        assert_eq!(run(&whole.plan, &bytes)[0], expected);
        assert_eq!(run(&smaller.plan, &bytes)[0], expected);
        expected
            .iter()
            .for_each(|&code| seen[usize::from(code)] = true);
    }
    let codes = seen.iter().filter(|&&seen| seen).count();
    assert!(codes > 8, "only {codes} different results");
    let ops = smaller.report.ops.iter();
    ops.filter(|op| op.macs > 0)
        .map(|op| op.shape.clone())
        .collect()
}

/// Channels of what layers compute.
fn channels(shapes: &[Vec<usize>]) -> Vec<usize> {
    shapes
        .iter()
        .filter_map(|shape| shape.last().copied())
        .collect()
}

/// A layer of 8 filters, four of which are what `idle` makes of them, and one that reads it.
fn with_idle(idle: impl Fn(Layer, usize) -> Layer, pad: usize) -> ModelProto {
    let first = [1, 2, 5, 7]
        .into_iter()
        .fold(layer([8, 4, 1, 1, 0], 1), &idle);
    chain(&[first, layer([4, 8, 1, 3, pad], 2)])
}

#[test]
fn a_channel_that_is_always_zero_goes_even_before_padding() {
    let shapes = compare(&with_idle(Layer::silent, 1));
    assert_eq!(channels(&shapes), [4, 4]);
}

#[test]
fn another_constant_goes_only_where_no_padding_shows_the_difference() {
    let fixed = |layer: Layer, filter| layer.fixed(filter, 1.5);
    assert_eq!(channels(&compare(&with_idle(fixed, 0))), [4, 4]);
    assert_eq!(channels(&compare(&with_idle(fixed, 1))), [8, 4]);
}

#[test]
fn a_channel_that_nobody_looks_at_goes_and_what_only_it_looked_at() {
    let last = [0, 3, 4, 6]
        .into_iter()
        .fold(layer([4, 8, 1, 3, 1], 2), Layer::blind);
    let mut middle = layer([8, 8, 1, 1, 0], 3);
    for filter in [1, 2, 5, 7] {
        for channel in [0, 1, 2, 3] {
            let taps = middle.taps(filter, channel);
            middle.weights[taps].fill(0);
        }
    }
    let shapes = compare(&chain(&[layer([8, 4, 1, 1, 0], 1), middle, last]));
    assert_eq!(channels(&shapes), [4, 4, 4]);
}

#[test]
fn channels_go_through_filters_of_their_own() {
    let first = [0, 3, 4, 6]
        .into_iter()
        .fold(layer([8, 4, 1, 3, 1], 1), Layer::silent);
    let mut own = layer([8, 1, 8, 3, 1], 2);
    own.bias = vec![0.25; 8];
    let last = layer([4, 8, 1, 1, 0], 3);
    assert_eq!(
        channels(&compare(&chain(&[first, own.clone(), last.clone()]))),
        [4, 4, 4]
    );
    // Filters of their own may make a constant of what is none, too.
    let own = [0, 3, 4, 6].into_iter().fold(own, Layer::silent);
    let shapes = compare(&chain(&[layer([8, 4, 1, 3, 1], 1), own, last]));
    assert_eq!(channels(&shapes), [4, 4, 4]);
}

/// Two layers whose results are added, then one that reads the sum.
fn sum(idle: [&[usize]; 2]) -> ModelProto {
    let (mut network, x) = Network::new([4, SIDE, SIDE], INPUT);
    let branch = |network: &mut Network, filters: &[usize], seed: u32| -> Value {
        let branch = filters
            .iter()
            .copied()
            .fold(layer([8, 4, 1, 3, 1], seed), Layer::silent);
        network.layer(&x, &branch)
    };
    let a = branch(&mut network, idle[0], 1);
    let b = branch(&mut network, idle[1], 2);
    let both = network.node("Add", &[&a, &b], vec![]);
    let both = network.rounded(&both, (0.07, -128));
    let last = network.layer(&both, &layer([4, 8, 1, 3, 1], 3));
    network.finish(&last, RESULT)
}

#[test]
fn a_sum_of_two_idle_channels_goes_and_of_one_stays() {
    assert_eq!(
        channels(&compare(&sum([&[0, 1, 2, 3], &[0, 1, 2, 3]]))),
        [4, 4, 4]
    );
    assert_eq!(
        channels(&compare(&sum([&[0, 1, 2, 3], &[4, 5, 6, 7]]))),
        [8, 8, 4]
    );
}

#[test]
fn channels_go_through_pools_and_rows_of_pixels() {
    let (mut network, x) = Network::new([4, SIDE, SIDE], INPUT);
    let first = [1, 2, 3, 5]
        .into_iter()
        .fold(layer([8, 4, 1, 1, 0], 1), |layer, filter| {
            layer.fixed(filter, 2.0)
        });
    let x = network.layer(&x, &first);
    let window = vec![
        ints("kernel_shape", vec![2, 2]),
        ints("strides", vec![1, 1]),
    ];
    let largest = network.node("MaxPool", &[&x], window.clone());
    let largest = network.rounded(&largest, RESULT);
    let mean = network.node("AveragePool", &[&largest], window);
    let mean = network.rounded(&mean, (0.05, -100));
    let shape = network.graph.constant_i64("shape", &[2], &[1, 8 * 9]);
    let row = network.node("Reshape", &[&mean, &shape], vec![]);
    let last = layer([6, 72, 1, 1, 0], 2);
    let weights = network
        .graph
        .constant_i8("weights", &[6, 72], &last.weights);
    let scale = network.graph.constant_f32("scale", &[], &[0.003]);
    let zero = network.graph.constant_i8("zero", &[], &[0]);
    let weights = network.node("DequantizeLinear", &[&weights, &scale, &zero], vec![]);
    let weights = network.node("Transpose", &[&weights], vec![ints("perm", vec![1, 0])]);
    let result = network.node("MatMul", &[&row, &weights], vec![]);
    let model = network.finish(&result, (0.2, 5));
    let shapes = compare(&model);
    assert_eq!(channels(&shapes), [4, 6]);
    let report = compiled(&model, false).report;
    assert!(
        report.ops.iter().any(|op| op.shape == [1, 3, 3, 4]),
        "{report}"
    );
    assert!(
        report.to_string().contains("4 of 8 channels removed"),
        "{report}"
    );
}

#[test]
fn a_channel_stays_where_a_group_would_be_left_unfinished() {
    let first = layer([8, 4, 1, 1, 0], 1).silent(3);
    let model = chain(&[first, layer([4, 8, 1, 3, 1], 2)]);
    assert_eq!(channels(&compare(&model)), [8, 4]);
    let pass = |model: &ModelProto| {
        let passes = compiled(model, false).report.passes;
        passes
            .into_iter()
            .find(|pass| pass.name.contains("channels"))
            .expect("it ran")
    };
    assert!(!pass(&model).changed);
    let text = compiled(&model, false).report.to_string();
    assert!(text.contains("1 of 8 channels could go"), "{text}");
    let removed = pass(&with_idle(Layer::silent, 1));
    assert!(removed.after.macs < removed.before.macs);
    assert!(removed.after.modelled_cycles < removed.before.modelled_cycles);
}

#[test]
fn a_group_is_left_of_a_layer_that_says_nothing() {
    let first = (0..8).fold(layer([8, 4, 1, 1, 0], 1), Layer::silent);
    let (mut network, x) = Network::new([4, SIDE, SIDE], INPUT);
    let idle = network.layer(&x, &first);
    let beside = network.layer(&x, &layer([8, 4, 1, 1, 0], 2));
    let idle = network.layer(&idle, &layer([8, 8, 1, 1, 0], 3));
    let both = network.node("Add", &[&idle, &beside], vec![]);
    let both = network.rounded(&both, (0.07, -128));
    let shapes = compare(&network.finish(&both, (0.07, -128)));
    assert!(channels(&shapes).contains(&4), "{shapes:?}");
}

/// What becomes of a channel: 0 and 1 nothing, 2 always zero, 3 another constant, 4 nobody looks.
fn fates() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0_u8..5, 8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_says_nothing_goes_without_a_trace(
        fates in prop::array::uniform3(fates()),
        pads in prop::array::uniform3(0_usize..2),
        seed in 1_u32..1000,
    ) {
        let mut layers = vec![
            layer([8, 4, 1, 3, pads[0]], seed),
            layer([8, 1, 8, 3, 1], seed + 1),
            layer([8, 8, 1, 1, 0], seed + 2),
            layer([5, 8, 1, 1 + 2 * pads[1], pads[1] * pads[2]], seed + 3),
        ];
        for (at, fates) in fates.iter().enumerate() {
            for (channel, fate) in fates.iter().enumerate() {
                let of = |layers: &mut Vec<Layer>, at: usize| layers[at].clone();
                match fate {
                    2 => layers[at] = of(&mut layers, at).silent(channel),
                    3 => layers[at] = of(&mut layers, at).fixed(channel, 0.5 * channel as f32),
                    4 if at > 0 => layers[at + 1] = of(&mut layers, at + 1).blind(channel),
                    _ => {}
                }
            }
        }
        // A result that varies, whatever is left.
        layers[3].bias = vec![0.0, 0.5, 1.0, 1.5, 2.0];
        let model = chain(&layers);
        let (smaller, whole) = (compiled(&model, false), compiled(&model, true));
        let evaluator = Evaluator::new(&model);
        let codes = pseudo_random(seed).map(|value| (value * 127.0) as i8);
        let input: Vec<i8> = codes.take(4 * SIDE * SIDE).collect();
        let bytes: Vec<u8> = input.iter().map(|&code| code as u8).collect();
        let expected: Vec<u8> =
            evaluator.last_quantized(&input).iter().map(|&code| code as u8).collect();
        prop_assert_eq!(&run(&whole.plan, &bytes)[0], &expected);
        prop_assert_eq!(&run(&smaller.plan, &bytes)[0], &expected);
    }
}
