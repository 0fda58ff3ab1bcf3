//! Plans that take new rows of a stream against plans that take whole windows, byte for byte.

use super::{f32_bytes, pseudo_random};
use crate::compile::{CompileOptions, Compiled, compile};
use crate::onnx::builder::{Extent, GraphBuilder, Value, int, ints};
use crate::onnx::proto::{DataType, ModelProto};
use dunlin_engine::Plan;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::cell::Cell;

fn compiled(model: &ModelProto, streaming: Option<usize>, reference: bool) -> Compiled {
    let options = CompileOptions {
        streaming,
        reference,
        ..CompileOptions::default()
    };
    compile(model, &options).expect("the model compiles")
}

/// A plan and the arena in which it goes on.
struct Running<'p> {
    plan: Plan<'p>,
    arena: Vec<u8>,
}

impl<'p> Running<'p> {
    fn new(compiled: &'p Compiled) -> Running<'p> {
        let plan = Plan::load(&compiled.plan).expect("the plan loads");
        let mut arena = vec![0xA5; plan.requirements().arena_bytes];
        plan.reset(&mut arena).expect("the arena is large enough");
        Running { plan, arena }
    }

    /// Bytes of all outputs.
    fn run(&mut self, input: &[u8]) -> Vec<u8> {
        self.arena[self.plan.input().range()].copy_from_slice(input);
        self.plan.run(&mut self.arena).expect("the plan runs");
        let bytes = |output: dunlin_engine::TensorInfo| self.arena[output.range()].to_vec();
        self.plan.outputs().flat_map(bytes).collect()
    }
}

/// Calls compared, and how often the output changed.
#[derive(Clone, Copy, Debug)]
struct Counts {
    compared: usize,
    distinct: usize,
}

/// Feeds a stream of rows; how many calls were compared, and the streaming plan.
///
/// Calls are compared once a window came; `begun` says that it must begin with the stream.
fn compare(model: &ModelProto, rows: usize, stream: &[Vec<u8>], begun: bool) -> (Counts, Compiled) {
    let (whole, step) = (
        compiled(model, None, false),
        compiled(model, Some(rows), false),
    );
    let plain = compiled(model, Some(rows), true);
    let report = step.report.streaming.clone().expect("a stream");
    let window = report.window_rows;
    let mut running = Running::new(&step);
    let mut reference = Running::new(&plain);
    let mut compared = 0;
    let mut outputs = Vec::new();
    for call in 1..=stream.len() / rows {
        let came = call * rows;
        let new = stream[came - rows..came].concat();
        let output = running.run(&new);
        assert_eq!(
            output,
            reference.run(&new),
            "packed and reference kernels differ"
        );
        let full = came >= window && (!begun || came == window);
        if full {
            let expected = Running::new(&whole).run(&stream[came - window..came].concat());
            assert_eq!(output, expected, "after {came} rows, {report:?}");
            compared += 1;
            outputs.push(output);
        }
    }
    outputs.dedup();
    let counts = Counts {
        compared,
        distinct: outputs.len(),
    };
    (counts, step)
}

fn float_rows(seed: u32, count: usize, columns: usize) -> Vec<Vec<u8>> {
    let numbers: Vec<f32> = pseudo_random(seed).take(count * columns).collect();
    numbers.chunks_exact(columns).map(f32_bytes).collect()
}

fn byte_rows(seed: u32, count: usize, columns: usize) -> Vec<Vec<u8>> {
    let numbers = pseudo_random(seed).take(count * columns);
    let bytes: Vec<u8> = numbers.map(|x| (x * 127.0) as i8 as u8).collect();
    bytes.chunks_exact(columns).map(<[u8]>::to_vec).collect()
}

fn random_constant(graph: &mut GraphBuilder, seed: u32, shape: &[usize]) -> Value {
    let values: Vec<f32> = pseudo_random(seed).take(shape.iter().product()).collect();
    graph.constant_f32("constant", shape, &values)
}

/// A recurrent network: a layer per row, the recurrent one, a head on its last state.
#[derive(Clone, Debug)]
struct Network {
    op: &'static str,
    rows: usize,
    calls: usize,
    inputs: usize,
    hidden: usize,
    all_states: bool,
    seed: u32,
}

impl Network {
    fn model(&self) -> ModelProto {
        let mut graph = GraphBuilder::new("stream");
        let extents = [1, self.rows * self.calls, self.inputs].map(Extent::Fixed);
        let x = graph.input("x", DataType::Float, &extents);
        let dense = random_constant(&mut graph, self.seed, &[self.inputs, 3]);
        let x = graph.node("MatMul", &[&x, &dense], vec![]);
        let x = graph.node("Tanh", &[&x], vec![]);
        let x = graph.node("Transpose", &[&x], vec![ints("perm", vec![1, 0, 2])]);
        let gates = if self.op == "LSTM" { 4 } else { 3 };
        let rows = gates * self.hidden;
        let w = random_constant(&mut graph, self.seed + 1, &[1, rows, 3]);
        let r = random_constant(&mut graph, self.seed + 2, &[1, rows, self.hidden]);
        let b = random_constant(&mut graph, self.seed + 3, &[1, 2 * rows]);
        let mut attributes = vec![int("hidden_size", self.hidden as i64)];
        if self.op == "GRU" {
            attributes.push(int("linear_before_reset", i64::from(self.seed % 2)));
        }
        let y = graph.node(self.op, &[&x, &w, &r, &b], attributes);
        let axes = graph.constant_i64("axes", &[1], &[1]);
        let y = graph.node("Squeeze", &[&y, &axes], vec![]);
        let out = match self.all_states {
            true => graph.node("Sigmoid", &[&y], vec![]),
            false => {
                let last = graph.constant_i64("last", &[], &[-1]);
                graph.node("Gather", &[&y, &last], vec![int("axis", 0)])
            }
        };
        let extents = match self.all_states {
            true => vec![self.rows * self.calls, 1, self.hidden],
            false => vec![1, self.hidden],
        };
        let extents: Vec<Extent> = extents.into_iter().map(Extent::Fixed).collect();
        graph.output(&out, "out", DataType::Float, &extents);
        graph.finish()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_recurrent_stream_ends_where_its_window_does(
        op in prop::sample::select(&["LSTM", "GRU"][..]),
        (rows, calls, inputs, hidden) in (1_usize..4, 2_usize..6, 1_usize..4, 1_usize..5),
        all_states: bool,
        seed in 1_u32..500,
    ) {
        let network = Network { op, rows, calls, inputs, hidden, all_states, seed };
        let stream = float_rows(seed + 9, rows * calls, inputs);
        let (counts, step) = compare(&network.model(), rows, &stream, true);
        prop_assert_eq!(counts.compared, 1);
        let report = step.report.streaming.unwrap();
        prop_assert!(report.goes_on);
        prop_assert!(report.ends.len() == usize::from(all_states), "{:?}", report.ends);
        prop_assert_eq!(step.report.macs * calls as u64, report.window_macs);
    }
}

/// One convolution over time and width, and what follows it.
#[derive(Clone, Copy, Debug)]
struct Layer {
    kernel: [usize; 2],
    stride: usize,
    dilation: usize,
    depthwise: bool,
    filters: usize,
    relu: bool,
    pool: bool,
}

/// Convolutions without padding along time, then a pool or a dense layer over what is left.
#[derive(Clone, Debug)]
struct Convolutions {
    window: usize,
    width: usize,
    channels: usize,
    layers: Vec<Layer>,
    quantized: bool,
    pooled: bool,
    seed: u32,
}

fn convolutions() -> impl Strategy<Value = Convolutions> {
    let kernel = (1_usize..5, 1_usize..4).prop_map(|(time, width)| [time, width]);
    let flags = prop::array::uniform3(any::<bool>());
    let layer = (kernel, 1_usize..3, 1_usize..3, 1_usize..5, flags).prop_map(
        |(kernel, stride, dilation, filters, [depthwise, relu, pool])| Layer {
            kernel,
            stride,
            dilation,
            depthwise,
            filters,
            relu,
            pool: pool && relu,
        },
    );
    let layers = prop::collection::vec(layer, 1..4);
    let sizes = (8_usize..24, 1_usize..4, 1_usize..4);
    (sizes, layers, any::<bool>(), any::<bool>(), 1_u32..1000).prop_map(
        |((window, width, channels), layers, quantized, pooled, seed)| Convolutions {
            window,
            width,
            channels,
            layers,
            quantized,
            pooled,
            seed,
        },
    )
}

/// Rows behind a window of `kernel` rows `dilation` apart; none where it does not fit.
fn rows_behind(rows: usize, kernel: usize, stride: usize, dilation: usize) -> Option<usize> {
    let reach = (kernel - 1) * dilation + 1;
    Some((rows.checked_sub(reach)?) / stride + 1).filter(|&rows| rows > 1)
}

impl Convolutions {
    fn model(&self) -> ModelProto {
        let mut graph = GraphBuilder::new("stream");
        let extents = [1, self.window, self.width, self.channels].map(Extent::Fixed);
        let element = if self.quantized {
            DataType::Int8
        } else {
            DataType::Float
        };
        let mut x = graph.input("x", element, &extents);
        if self.quantized {
            let (scale, zero) = quantization(&mut graph, 0.02, 3);
            x = graph.node("DequantizeLinear", &[&x, &scale, &zero], vec![]);
        }
        x = graph.node("Transpose", &[&x], vec![ints("perm", vec![0, 3, 1, 2])]);
        let (mut rows, mut channels) = (self.window, self.channels);
        for (index, layer) in self.layers.iter().enumerate() {
            let seed = self.seed + 10 * index as u32;
            let Some(left) = rows_behind(rows, layer.kernel[0], layer.stride, layer.dilation)
            else {
                break;
            };
            rows = left;
            x = self.convolution(&mut graph, &x, (layer, channels, seed));
            channels = if layer.depthwise {
                channels
            } else {
                layer.filters
            };
            if let (true, Some(left)) = (layer.pool, rows_behind(rows, 2, 1, 1)) {
                rows = left;
                let attributes = vec![ints("kernel_shape", vec![2, 1])];
                x = self.requantized(&mut graph, &x);
                x = graph.node("MaxPool", &[&x], attributes);
            }
            x = self.requantized(&mut graph, &x);
        }
        let features = match self.pooled {
            true => {
                x = graph.node("GlobalAveragePool", &[&x], vec![]);
                x = self.requantized(&mut graph, &x);
                channels
            }
            false => rows * self.width * channels,
        };
        let flat = graph.node("Flatten", &[&x], vec![]);
        let weights = self.weights(&mut graph, self.seed + 99, &[3, features]);
        let y = graph.node("Gemm", &[&flat, &weights], vec![int("transB", 1)]);
        let extents = [1, 3].map(Extent::Fixed);
        graph.output(&y, "y", DataType::Float, &extents);
        graph.finish()
    }

    fn weights(&self, graph: &mut GraphBuilder, seed: u32, shape: &[usize]) -> Value {
        if !self.quantized {
            return random_constant(graph, seed, shape);
        }
        let count = shape.iter().product();
        let codes = pseudo_random(seed).take(count);
        let codes: Vec<i8> = codes.map(|x| (x * 127.0) as i8).collect();
        let codes = graph.constant_i8("weights", shape, &codes);
        let (scale, zero) = quantization(graph, 0.011, 0);
        graph.node("DequantizeLinear", &[&codes, &scale, &zero], vec![])
    }

    fn convolution(
        &self,
        graph: &mut GraphBuilder,
        x: &Value,
        (layer, channels, seed): (&Layer, usize, u32),
    ) -> Value {
        let (groups, filters) = match layer.depthwise {
            true => (channels, channels),
            false => (1, layer.filters),
        };
        let [time, width] = layer.kernel;
        let weights = self.weights(graph, seed, &[filters, channels / groups, time, width]);
        let bias = random_constant(graph, seed + 1, &[filters]);
        let (before, behind) = ((width - 1) / 2, width / 2);
        let attributes = vec![
            ints("kernel_shape", vec![time as i64, width as i64]),
            ints("strides", vec![layer.stride as i64, 1]),
            ints("dilations", vec![layer.dilation as i64, 1]),
            ints("pads", vec![0, before as i64, 0, behind as i64]),
            int("group", groups as i64),
        ];
        let y = graph.node("Conv", &[x, &weights, &bias], attributes);
        match layer.relu {
            true => graph.node("Relu", &[&y], vec![]),
            false => y,
        }
    }

    fn requantized(&self, graph: &mut GraphBuilder, x: &Value) -> Value {
        if !self.quantized {
            return x.clone();
        }
        let (scale, zero) = quantization(graph, 0.03, -20);
        let codes = graph.node("QuantizeLinear", &[x, &scale, &zero], vec![]);
        graph.node("DequantizeLinear", &[&codes, &scale, &zero], vec![])
    }

    fn stream(&self, rows: usize) -> Vec<Vec<u8>> {
        let columns = self.width * self.channels;
        match self.quantized {
            true => byte_rows(self.seed + 5, rows, columns),
            false => float_rows(self.seed + 5, rows, columns),
        }
    }
}

fn quantization(graph: &mut GraphBuilder, scale: f32, zero: i8) -> (Value, Value) {
    (
        graph.constant_f32("scale", &[], &[scale]),
        graph.constant_i8("zero", &[], &[zero]),
    )
}

#[test]
fn a_convolutional_stream_equals_the_plan_on_its_last_window() {
    let mut runner = TestRunner::new(ProptestConfig::with_cases(150));
    let (varied, flowing) = (Cell::new(0), Cell::new(0));
    let result = runner.run(&(convolutions(), 1_usize..5), |(network, rows)| {
        let stream = network.stream(2 * network.window + 3 * rows);
        let (counts, step) = compare(&network.model(), rows, &stream, false);
        prop_assert!(counts.compared >= 2, "{counts:?}");
        varied.set(varied.get() + usize::from(counts.distinct > 1));
        let report = step.report.streaming.unwrap();
        flowing.set(flowing.get() + usize::from(step.report.macs < report.window_macs));
        prop_assert!(!report.goes_on && report.kept_bytes > 0);
        prop_assert!(step.report.macs <= report.window_macs);
        Ok(())
    });
    result.unwrap();
    let (varied, flowing) = (varied.get(), flowing.get());
    eprintln!("of 150 networks {varied} vary, {flowing} compute less than a window");
    assert!(varied > 75 && flowing > 75, "{varied} and {flowing}");
}

/// A dilated filter per channel is packed with zeros between its taps; they are no work of the model's.
#[test]
fn zeros_between_taps_are_no_macs() {
    let dilated = Layer {
        kernel: [2, 1],
        stride: 2,
        dilation: 2,
        depthwise: true,
        filters: 1,
        relu: false,
        pool: false,
    };
    let network = Convolutions {
        window: 8,
        width: 1,
        channels: 2,
        layers: vec![dilated],
        quantized: true,
        pooled: false,
        seed: 1,
    };
    let (taps, rows, channels) = (2, 3, 2);
    let expected = rows * channels * (taps + 3);
    let whole = compiled(&network.model(), None, false);
    assert!(whole.report.ops[0].why.contains("dilated by zeros"));
    assert_eq!(whole.report.macs, expected);
    let stream = network.stream(2 * network.window);
    let (_, step) = compare(&network.model(), 1, &stream, false);
    assert_eq!(step.report.streaming.unwrap().window_macs, expected);
}

/// As the streaming wake word of MLPerf Tiny: separable convolutions over 30 rows of 40 features.
#[test]
fn a_wake_word_takes_one_row_at_a_time() {
    let layer = |time: usize, depthwise: bool, filters: usize| Layer {
        kernel: [time, 1],
        stride: 1,
        dilation: 1,
        depthwise,
        filters,
        relu: true,
        pool: false,
    };
    let network = Convolutions {
        window: 30,
        width: 1,
        channels: 40,
        layers: vec![
            layer(3, false, 32),
            layer(5, true, 0),
            layer(1, false, 32),
            layer(7, true, 0),
            layer(1, false, 32),
        ],
        quantized: true,
        pooled: false,
        seed: 7,
    };
    let (counts, step) = compare(&network.model(), 1, &network.stream(70), false);
    assert!(counts.compared == 41 && counts.distinct > 20, "{counts:?}");
    let report = step.report.streaming.clone().unwrap();
    let (left, features) = (30 - 2 - 4 - 6, 32);
    assert_eq!(
        step.report.macs,
        32 * 120 + 32 * 5 + 32 * 32 + 32 * 7 + 32 * 32 + 3 * left * features
    );
    let histories = 3 * 40 + 5 * 32 + 7 * 32 + left as usize * 32;
    assert_eq!(report.kept_bytes, histories);
    assert_eq!(report.flowing_ops, 6 - 1);
    eprintln!(
        "a row: {} of {} MACs, {} B kept, arena {} B",
        step.report.macs, report.window_macs, report.kept_bytes, step.report.arena_bytes
    );
}

#[test]
fn padding_along_time_and_strides_that_do_not_divide_end_the_stream_there() {
    let layer = Layer {
        kernel: [3, 1],
        stride: 2,
        dilation: 1,
        depthwise: false,
        filters: 2,
        relu: false,
        pool: false,
    };
    let network = Convolutions {
        window: 11,
        width: 1,
        channels: 2,
        layers: vec![layer],
        quantized: false,
        pooled: true,
        seed: 3,
    };
    let (_, step) = compare(&network.model(), 1, &network.stream(30), false);
    let reasons = step.report.streaming.unwrap().ends;
    assert!(
        reasons[0]
            .reason
            .contains("stride of 2 does not divide the 1 new rows"),
        "{reasons:?}"
    );
    let mut padded = network.model();
    let nodes = &mut padded.graph.as_mut().unwrap().node;
    let convolution = nodes
        .iter_mut()
        .find(|node| node.op_type == "Conv")
        .unwrap();
    let pads = convolution
        .attribute
        .iter_mut()
        .find(|a| a.name == "pads")
        .unwrap();
    pads.ints = vec![1, 0, 1, 0];
    let (_, step) = compare(&padded, 2, &network.stream(30), false);
    let reasons = step.report.streaming.unwrap().ends;
    assert!(
        reasons[0].reason.contains("pads the window along time"),
        "{reasons:?}"
    );
}
