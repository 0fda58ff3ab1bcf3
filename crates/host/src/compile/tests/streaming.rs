//! Plans that take new rows of a stream against plans that take whole windows, byte for byte.

use super::{f32_bytes, pseudo_random};
use crate::compile::{CompileOptions, Compiled, compile};
use crate::onnx::builder::{Extent, GraphBuilder, Value, int, ints};
use crate::onnx::proto::{DataType, ModelProto};
use dunlin_engine::Plan;
use proptest::prelude::*;

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

/// Feeds a stream of rows of `row` bytes; how many calls were compared, and the streaming plan.
///
/// Calls are compared once `warm` rows came; `begun` says that the window must begin with the
/// stream.
fn compare(model: &ModelProto, rows: usize, stream: &[Vec<u8>], begun: bool) -> (usize, Compiled) {
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
        // A window that is not whole rows of calls ends between two of them.
        let full = came >= 2 * window + 2 * rows || begun && came == window;
        if full && (!begun || came == window) {
            let expected = Running::new(&whole).run(&stream[came - window..came].concat());
            assert_eq!(output, expected, "after {came} rows, {report:?}");
            compared += 1;
            outputs.push(output);
        }
    }
    outputs.dedup();
    assert!(
        compared < 2 || outputs.len() > 1,
        "every output is the same"
    );
    (compared, step)
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
        let (compared, step) = compare(&network.model(), rows, &stream, true);
        prop_assert_eq!(compared, 1);
        let report = step.report.streaming.unwrap();
        prop_assert!(report.goes_on);
        prop_assert!(report.ends.len() == usize::from(all_states), "{:?}", report.ends);
        prop_assert_eq!(step.report.macs * calls as u64, report.window_macs);
    }
}
