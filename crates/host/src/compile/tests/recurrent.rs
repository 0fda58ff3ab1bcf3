//! Recurrent layers: exporters' models and random ones against tract, quantised ones against
//! the formulas in double precision.

use super::{compiled, f32_bytes, f32_values, pseudo_random, run, shared_models};
use crate::compile::{CompileError, CompileOptions, compile};
use crate::onnx;
use crate::onnx::builder::{Extent, GraphBuilder, Value, float, int, string, strings, value_info};
use crate::onnx::proto::{AttributeProto, DataType, ModelProto};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::cell::Cell;
use tract_onnx::prelude::*;

/// A node of its own: weights and what is asked of it.
#[derive(Clone, Debug)]
struct Layer {
    op: &'static str,
    direction: &'static str,
    steps: usize,
    inputs: usize,
    hidden: usize,
    linear_before_reset: bool,
    has_bias: bool,
    has_initial: bool,
    /// Which of Y, Y_h and Y_c are outputs of the model.
    outputs: [bool; 3],
    seed: u32,
}

impl Layer {
    fn directions(&self) -> usize {
        if self.direction == "bidirectional" {
            2
        } else {
            1
        }
    }

    fn rows(&self) -> usize {
        self.hidden * if self.op == "LSTM" { 4 } else { 3 }
    }

    fn numbers(&self, which: u32, count: usize) -> Vec<f32> {
        pseudo_random(self.seed + which).take(count).collect()
    }

    fn attributes(&self) -> Vec<AttributeProto> {
        let mut attributes = vec![
            int("hidden_size", self.hidden as i64),
            string("direction", self.direction),
        ];
        if self.op == "GRU" {
            let linear = i64::from(self.linear_before_reset);
            attributes.push(int("linear_before_reset", linear));
        }
        attributes
    }

    /// W, R, B and the initial states, as many as the node takes.
    fn constants(&self, graph: &mut GraphBuilder) -> Vec<Value> {
        let (directions, rows) = (self.directions(), self.rows());
        let shapes = [
            vec![directions, rows, self.inputs],
            vec![directions, rows, self.hidden],
            vec![directions, 2 * rows],
            vec![directions, 1, self.hidden],
            vec![directions, 1, self.hidden],
        ];
        let kept = if self.op == "LSTM" { 5 } else { 4 };
        let constant = |(which, shape): (usize, &Vec<usize>)| {
            let is_used = match which {
                2 => self.has_bias,
                3 | 4 => self.has_initial,
                _ => true,
            };
            let factor = if is_used { 0.7 } else { 0.0 };
            let numbers = self.numbers(which as u32, shape.iter().product());
            let values: Vec<f32> = numbers.iter().map(|value| value * factor).collect();
            graph.constant_f32("constant", shape, &values)
        };
        shapes[..kept].iter().enumerate().map(constant).collect()
    }

    fn model(&self) -> ModelProto {
        let mut graph = GraphBuilder::new("recurrent");
        let extents = [self.steps, 1, self.inputs].map(Extent::Fixed);
        let x = graph.input("x", DataType::Float, &extents);
        let constants = self.constants(&mut graph);
        let mut inputs: Vec<&Value> = vec![&x, &constants[0], &constants[1], &constants[2], &x];
        inputs.extend(&constants[3..]);
        graph.node(self.op, &inputs, self.attributes());
        let mut model = graph.finish();
        let graph = model.graph.as_mut().expect("a graph");
        let node = &mut graph.node[0];
        node.input[4].clear();
        if !self.has_bias {
            node.input[3].clear();
        }
        if !self.has_initial {
            node.input.truncate(3 + usize::from(self.has_bias));
        }
        let count = if self.op == "LSTM" { 3 } else { 2 };
        node.output = ["Y", "Y_h", "Y_c"][..count]
            .iter()
            .map(|&name| name.into())
            .collect();
        let state = [self.directions(), 1, self.hidden].map(Extent::Fixed);
        let all = [self.steps, self.directions(), 1, self.hidden].map(Extent::Fixed);
        for (index, name) in ["Y", "Y_h", "Y_c"].into_iter().enumerate().take(count) {
            if self.outputs[index] {
                let extents = if index == 0 { &all[..] } else { &state[..] };
                graph
                    .output
                    .push(value_info(name, DataType::Float, extents));
            }
        }
        model
    }
}

impl Layer {
    /// Outputs in tract. It runs a lone reverse direction forwards, so that is asked for on
    /// rows in reverse.
    fn expected(&self, input: &[f32]) -> Option<Vec<Vec<f32>>> {
        let shape = [self.steps, 1, self.inputs];
        if self.direction != "reverse" {
            return expected(&self.model(), &shape, input);
        }
        let turned =
            |rows: &[f32], columns: usize| rows.rchunks(columns).flatten().copied().collect();
        let forward = Layer {
            direction: "forward",
            ..self.clone()
        };
        let flipped: Vec<f32> = turned(input, self.inputs);
        let mut outputs = expected(&forward.model(), &shape, &flipped)?;
        if self.outputs[0] {
            outputs[0] = turned(&outputs[0], self.hidden);
        }
        Some(outputs)
    }
}

fn layer() -> impl Strategy<Value = Layer> {
    let directions = prop::sample::select(&["forward", "reverse", "bidirectional"][..]);
    let ops = prop::sample::select(&["LSTM", "GRU"][..]);
    let sizes = (1_usize..6, 1_usize..5, 1_usize..6);
    let flags = prop::array::uniform6(any::<bool>());
    (ops, directions, sizes, flags, 1_u32..1000).prop_map(
        |(op, direction, (steps, inputs, hidden), flags, seed)| {
            let [linear_before_reset, has_bias, has_initial, all, h, c] = flags;
            Layer {
                op,
                direction,
                steps,
                inputs,
                hidden,
                linear_before_reset,
                has_bias,
                has_initial,
                outputs: [all || (!h && !(c && op == "LSTM")), h, c && op == "LSTM"],
                seed,
            }
        },
    )
}

/// Outputs of the model in tract; none where it fails.
fn expected(model: &ModelProto, shape: &[usize], input: &[f32]) -> Option<Vec<Vec<f32>>> {
    let bytes = onnx::encode(model);
    let parsed = tract_onnx::onnx().model_for_read(&mut &bytes[..]).ok()?;
    let fact = InferenceFact::dt_shape(f32::datum_type(), shape);
    let runnable = parsed.with_input_fact(0, fact).ok()?;
    let runnable = runnable.into_typed().ok()?.into_runnable().ok()?;
    let tensor = tract_ndarray::ArrayD::from_shape_vec(shape, input.to_vec()).ok()?;
    let outputs = runnable.run(tvec!(tensor.into_tensor().into())).ok()?;
    let floats = |output: &TValue| {
        let view = output.to_plain_array_view::<f32>().unwrap();
        view.iter().copied().collect()
    };
    Some(outputs.iter().map(floats).collect())
}

fn worst(ours: &[Vec<u8>], theirs: &[Vec<f32>]) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    let mut worst = 0.0_f32;
    for (ours, theirs) in ours.iter().zip(theirs) {
        let ours = f32_values(ours);
        assert_eq!(ours.len(), theirs.len());
        let errors = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs());
        worst = errors.fold(worst, f32::max);
    }
    worst
}

#[test]
fn random_layers_agree_with_tract() {
    let mut runner = TestRunner::new(ProptestConfig::with_cases(200));
    let compared = Cell::new([0; 2]);
    let result = runner.run(&layer(), |layer| {
        let input: Vec<f32> = layer.numbers(9, layer.steps * layer.inputs);
        let ours = run(&compiled(&layer.model()).plan, &f32_bytes(&input));
        if let Some(theirs) = layer.expected(&input) {
            let worst = worst(&ours, &theirs);
            prop_assert!(worst < 2e-6, "{worst:e}");
            let mut counts = compared.get();
            counts[usize::from(layer.op == "GRU")] += 1;
            compared.set(counts);
        }
        Ok(())
    });
    result.unwrap();
    let [lstm, gru] = compared.get();
    eprintln!("{lstm} LSTM and {gru} GRU of 200 layers compared; tract fails at the others");
    assert!(lstm > 50 && gru > 30, "{lstm} and {gru}");
}

#[test]
fn networks_from_pytorch_agree_with_tract() {
    let Some(folder) = shared_models() else {
        return;
    };
    for (name, kernels, macs) in [
        (
            "pt_lstm",
            ["lstm.1.0", "lstm.1.0", "lstm.1.0", "lstm.1.0"].as_slice(),
            2 * 50 * 256 * 70 + 51 * 256 * 192 + 128 * 6,
        ),
        ("pt_gru", &["gru.1.0"], 50 * 192 * 70 + 64 * 6),
    ] {
        let model = onnx::read(&folder.join(format!("imported/{name}.onnx"))).unwrap();
        let compiled = compiled(&model);
        let layers: Vec<&str> = compiled
            .report
            .ops
            .iter()
            .map(|op| op.kernel.as_str())
            .filter(|kernel| kernel.starts_with("lstm") || kernel.starts_with("gru"))
            .collect();
        assert_eq!(layers, kernels, "{name}");
        assert_eq!(compiled.report.macs, macs, "{name}");
        let mut largest = 0.0_f32;
        for seed in 1..20 {
            let input: Vec<f32> = pseudo_random(seed).map(|x| x * 3.0).take(300).collect();
            let theirs = expected(&model, &[1, 50, 6], &input).expect("tract runs it");
            let ours = run(&compiled.plan, &f32_bytes(&input));
            assert_eq!(theirs[0].len(), 6);
            largest = largest.max(worst(&ours, &theirs));
        }
        let arena = compiled.report.arena_bytes;
        eprintln!("{name}: within {largest:e} of tract, arena {arena} B");
        assert!(largest < 2e-6, "{name}: {largest:e}");
    }
}

/// A quantised network: bytes in, one layer with bytes for weights, and bytes out or floats.
#[derive(Clone, Debug)]
struct Quantized {
    layer: Layer,
    weights: [Vec<i8>; 2],
    bias: Vec<f32>,
    /// Of W and R, one or per row.
    scales: [Vec<f32>; 2],
    zero_points: [i8; 2],
    input: (f32, i8),
    output: Option<(f32, i8)>,
}

fn quantized() -> impl Strategy<Value = Quantized> {
    let options = (
        any::<bool>(),
        any::<bool>(),
        -20_i8..20,
        any::<i8>(),
        -9_i8..9,
    );
    (layer(), options, 0.005_f32..0.05, 0.006_f32..0.01).prop_map(
        |(layer, (per_row, exact, zero, x_zero, y_zero), x_scale, y_scale)| {
            let direction = if layer.direction == "reverse" {
                "reverse"
            } else {
                "forward"
            };
            let layer = Layer {
                direction,
                has_initial: false,
                outputs: [true, false, false],
                ..layer
            };
            let codes = |which: u32, count: usize| -> Vec<i8> {
                layer
                    .numbers(which, count)
                    .iter()
                    .map(|x| (x * 127.0) as i8)
                    .collect()
            };
            let scales = |which: u32| -> Vec<f32> {
                let count = if per_row { layer.rows() } else { 1 };
                layer
                    .numbers(which, count)
                    .iter()
                    .map(|x| 0.004 + x.abs() * 0.01)
                    .collect()
            };
            Quantized {
                weights: [
                    codes(1, layer.rows() * layer.inputs),
                    codes(2, layer.rows() * layer.hidden),
                ],
                bias: layer.numbers(3, 2 * layer.rows()),
                scales: [scales(4), scales(5)],
                zero_points: if per_row { [0, 0] } else { [zero, -zero] },
                input: (x_scale, x_zero),
                output: exact.then_some((y_scale, y_zero)),
                layer,
            }
        },
    )
}

impl Quantized {
    fn model(&self) -> ModelProto {
        let mut graph = GraphBuilder::new("quantized");
        let layer = &self.layer;
        let extents = [1, layer.steps, layer.inputs].map(Extent::Fixed);
        let x = graph.input("x", DataType::Int8, &extents);
        let x = dequantized(&mut graph, &x, self.input);
        let x = graph.node(
            "Transpose",
            &[&x],
            vec![onnx::builder::ints("perm", vec![1, 0, 2])],
        );
        let mut weights = Vec::new();
        for (which, columns) in [layer.inputs, layer.hidden].into_iter().enumerate() {
            let shape = [1, layer.rows(), columns];
            let codes = graph.constant_i8("weights", &shape, &self.weights[which]);
            let scales = &self.scales[which];
            let count: &[usize] = if scales.len() == 1 {
                &[]
            } else {
                &[scales.len()]
            };
            let scale = graph.constant_f32("scale", count, scales);
            let zeros = vec![self.zero_points[which]; scales.len()];
            let zero = graph.constant_i8("zero", count, &zeros);
            let axis = vec![int("axis", 1)];
            weights.push(graph.node("DequantizeLinear", &[&codes, &scale, &zero], axis));
        }
        let bias = graph.constant_f32("bias", &[1, 2 * layer.rows()], &self.bias);
        let inputs = [&x, &weights[0], &weights[1], &bias];
        let y = graph.node(layer.op, &inputs, layer.attributes());
        let axes = graph.constant_i64("axes", &[1], &[1]);
        let mut y = graph.node("Squeeze", &[&y, &axes], vec![]);
        let mut element = DataType::Float;
        if let Some((scale, zero)) = self.output {
            let scale = graph.constant_f32("scale", &[], &[scale]);
            let zero = graph.constant_i8("zero", &[], &[zero]);
            y = graph.node("QuantizeLinear", &[&y, &scale, &zero], vec![]);
            element = DataType::Int8;
        }
        let extents = [layer.steps, 1, layer.hidden].map(Extent::Fixed);
        graph.output(&y, "y", element, &extents);
        graph.finish()
    }

    /// As the output's bytes limit it.
    fn saturated(&self, value: f64) -> f64 {
        let Some((scale, zero)) = self.output else {
            return value;
        };
        let limit = |code: i32| f64::from(code - i32::from(zero)) * f64::from(scale);
        value.clamp(limit(-128), limit(127))
    }

    fn is_exact(&self) -> bool {
        let first_reset = self.layer.op == "GRU" && !self.layer.linear_before_reset;
        self.output.is_some() && !first_reset
    }

    fn weight(&self, which: usize, row: usize, column: usize) -> f64 {
        let columns = if which == 0 {
            self.layer.inputs
        } else {
            self.layer.hidden
        };
        let code = i32::from(self.weights[which][row * columns + column]);
        let scales = &self.scales[which];
        let scale = scales[if scales.len() == 1 { 0 } else { row }];
        f64::from(code - i32::from(self.zero_points[which])) * f64::from(scale)
    }

    /// Outputs in real arithmetic, rows in the order of the input; none where a code is too
    /// near to a tie to tell.
    fn oracle(&self, codes: &[i8]) -> Option<Vec<f64>> {
        let layer = &self.layer;
        let (hidden, rows) = (layer.hidden, layer.rows());
        let x: Vec<f64> = codes
            .iter()
            .map(|&q| f64::from(i32::from(q) - i32::from(self.input.1)) * f64::from(self.input.0))
            .collect();
        let (mut h, mut c) = (vec![0.0_f64; hidden], vec![0.0_f64; hidden]);
        let mut outputs = vec![Vec::new(); layer.steps];
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        for step in 0..layer.steps {
            let at = if layer.direction == "reverse" {
                layer.steps - 1 - step
            } else {
                step
            };
            let x = &x[at * layer.inputs..][..layer.inputs];
            let from = |which: usize, vector: &[f64], row: usize| {
                let products = vector.iter().enumerate();
                let sum: f64 = products.map(|(i, v)| v * self.weight(which, row, i)).sum();
                sum + f64::from(self.bias[which * rows + row])
            };
            let gate = |row: usize| from(0, x, row) + from(1, &h, row);
            let reset: Vec<f64> = (0..hidden)
                .map(|u| sigmoid(gate(hidden + u)) * h[u])
                .collect();
            let unit = |u: usize| -> (f64, f64) {
                if layer.op == "LSTM" {
                    let [i, o, f] = [0, 1, 2].map(|block| sigmoid(gate(block * hidden + u)));
                    let cell = f * c[u] + i * gate(3 * hidden + u).tanh();
                    return (o * cell.tanh(), cell);
                }
                let row = 2 * hidden + u;
                let candidate = match layer.linear_before_reset {
                    true => from(0, x, row) + sigmoid(gate(hidden + u)) * from(1, &h, row),
                    false => from(0, x, row) + from(1, &reset, row),
                };
                let z = sigmoid(gate(u));
                ((1.0 - z) * candidate.tanh() + z * h[u], 0.0)
            };
            let units: Vec<(f64, f64)> = (0..hidden).map(unit).collect();
            (h, c) = units.into_iter().unzip();
            if let Some((scale, zero)) = self.output {
                for value in &mut h {
                    let steps = *value / f64::from(scale);
                    if ((steps - steps.floor()) - 0.5).abs() < 1e-3 && self.is_exact() {
                        return None;
                    }
                    let code = (steps.round_ties_even() + f64::from(zero)).clamp(-128.0, 127.0);
                    if self.is_exact() {
                        *value = (code - f64::from(zero)) * f64::from(scale);
                    }
                }
            }
            outputs[at].clone_from(&h);
        }
        Some(outputs.concat())
    }
}

fn dequantized(graph: &mut GraphBuilder, x: &Value, (scale, zero): (f32, i8)) -> Value {
    let scale = graph.constant_f32("scale", &[], &[scale]);
    let zero = graph.constant_i8("zero", &[], &[zero]);
    graph.node("DequantizeLinear", &[x, &scale, &zero], vec![])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn quantized_layers_match_the_formulas(case in quantized()) {
        let compiled = compiled(&case.model());
        let variant = if case.is_exact() { 2 } else { 1 };
        let kernel = format!("{}.1.{variant}", case.layer.op.to_lowercase());
        prop_assert!(compiled.report.kernels.contains(&kernel), "{:?}", compiled.report.kernels);
        let count = case.layer.steps * case.layer.inputs;
        let codes: Vec<i8> = case.layer.numbers(8, count).iter().map(|x| (x * 127.0) as i8).collect();
        let input: Vec<u8> = codes.iter().map(|&q| q as u8).collect();
        let output = run(&compiled.plan, &input).remove(0);
        let Some(expected) = case.oracle(&codes) else {
            return Ok(());
        };
        let ours: Vec<f64> = match case.output {
            None => f32_values(&output).iter().map(|&y| f64::from(y)).collect(),
            Some((scale, zero)) => {
                let real = |&byte: &u8| f64::from(i32::from(byte as i8) - i32::from(zero)) * f64::from(scale);
                output.iter().map(real).collect()
            }
        };
        let tolerance = match (case.output, case.is_exact()) {
            (Some((scale, _)), false) => f64::from(scale) * 0.501 + 1e-5,
            _ => 1e-5,
        };
        prop_assert_eq!(ours.len(), expected.len());
        for (ours, expected) in ours.iter().zip(&expected) {
            let expected = case.saturated(*expected);
            prop_assert!((ours - expected).abs() < tolerance, "{ours} for {expected}");
        }
    }
}

#[test]
fn an_integer_layer_is_one_op_with_bytes_for_state() {
    let case = Quantized {
        layer: Layer {
            op: "LSTM",
            direction: "forward",
            steps: 4,
            inputs: 8,
            hidden: 16,
            linear_before_reset: false,
            has_bias: true,
            has_initial: false,
            outputs: [true, false, false],
            seed: 5,
        },
        weights: [vec![3; 64 * 8], vec![-2; 64 * 16]],
        bias: vec![0.1; 128],
        scales: [vec![0.01], vec![0.02]],
        zero_points: [0, 0],
        input: (0.05, 1),
        output: Some((1.0 / 128.0, 0)),
    };
    let report = compiled(&case.model()).report;
    let ops: Vec<&str> = report.ops.iter().map(|op| op.kernel.as_str()).collect();
    let layers: Vec<&&str> = ops.iter().filter(|op| **op != "reshape.1.0").collect();
    assert_eq!(layers, [&"lstm.1.2"]);
    assert_eq!(report.macs, 4 * 64 * 24);
    assert_eq!(report.arena_bytes, 4 * 8 + 4 * 16 + 4 + 16 * 5);
}

fn refusal(model: &ModelProto) -> (String, String) {
    match compile(model, &CompileOptions::default()).unwrap_err() {
        CompileError::Refused(refusal) => (refusal.op, refusal.reason),
        other => panic!("{other}"),
    }
}

#[test]
fn what_a_layer_cannot_do_is_refused_by_name() {
    let layer = Layer {
        op: "LSTM",
        direction: "forward",
        steps: 3,
        inputs: 2,
        hidden: 2,
        linear_before_reset: false,
        has_bias: true,
        has_initial: true,
        outputs: [true, false, false],
        seed: 3,
    };
    let attributes = [
        (
            strings("activations", &["Sigmoid", "Relu", "Tanh"]),
            "activations are",
        ),
        (float("clip", 3.0), "clips its gates"),
        (int("input_forget", 1), "coupled"),
    ];
    for (attribute, expected) in attributes {
        let mut model = layer.model();
        model.graph.as_mut().unwrap().node[0]
            .attribute
            .push(attribute);
        let (op, reason) = refusal(&model);
        assert!(op == "LSTM" && reason.contains(expected), "{reason}");
    }
    let mut peephole = layer.model();
    let graph = peephole.graph.as_mut().unwrap();
    let bias = graph.node[0].input[3].clone();
    graph.node[0].input.push(bias);
    assert!(refusal(&peephole).1.contains("peephole"));
    let mut computed = layer.model();
    let node = &mut computed.graph.as_mut().unwrap().node[0];
    node.input[5] = node.input[0].clone();
    assert!(refusal(&computed).1.contains("input 5 is not a constant"));
    let mut spelled = layer.model();
    let names = strings("activations", &["sigmoid", "tanh", "tanh"]);
    spelled.graph.as_mut().unwrap().node[0]
        .attribute
        .push(names);
    assert_eq!(
        compiled(&spelled).report.kernels,
        ["reshape.1.0", "lstm.1.0"]
    );
}
