//! `lstm` and `gru` against the formulas of ONNX in double precision.

mod support;

use dunlin_engine::format::{DType, OpCode, Role};
use dunlin_engine::{LoadError, OpFault, Plan};
use proptest::prelude::*;
use support::{F32, Id, PlanBuilder, f32_bytes, f32_values, kernel};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Lstm,
    /// With `linear_before_reset`.
    Gru(bool),
}

impl Kind {
    fn gates(self) -> usize {
        if self == Kind::Lstm { 4 } else { 3 }
    }

    fn op(self) -> OpCode {
        if self == Kind::Lstm {
            OpCode::Lstm
        } else {
            OpCode::Gru
        }
    }
}

/// A layer in real numbers, with the codes it was made from.
#[derive(Clone, Debug)]
struct Layer {
    kind: Kind,
    variant: u8,
    steps: usize,
    inputs: usize,
    hidden: usize,
    reverse: bool,
    last: bool,
    with_cell: bool,
    has_initial: bool,
    kept: bool,
    /// Numbers in -1..1 for everything that is a number.
    numbers: Vec<f32>,
}

/// Scales of variants 1 and 2 and zero points: x, W, R, h.
const SCALES: [f32; 4] = [0.031, 0.008, 0.011, 0.0078125];
const ZERO_POINTS: [i32; 4] = [5, 3, -7, -2];
/// Step of the bias in variant 2: one numerator unit is 2^-60.
const SHIFT: u32 = 60;

fn code(number: f32) -> i8 {
    (number * 127.0) as i8
}

fn real(code: i8, which: usize) -> f64 {
    f64::from(i32::from(code) - ZERO_POINTS[which]) * f64::from(SCALES[which])
}

impl Layer {
    fn numbers(&self, from: usize, count: usize) -> Vec<f32> {
        let wrapped = self
            .numbers
            .iter()
            .cycle()
            .skip(from * 7 % self.numbers.len());
        wrapped.take(count).copied().collect()
    }

    fn rows(&self) -> usize {
        self.kind.gates() * self.hidden
    }

    fn x(&self) -> Vec<f32> {
        self.numbers(1, self.steps * self.inputs)
    }

    fn weights(&self) -> [Vec<f32>; 2] {
        [
            self.numbers(11, self.rows() * self.inputs),
            self.numbers(13, self.rows() * self.hidden),
        ]
    }

    fn bias(&self) -> Vec<f32> {
        let mut bias = self.numbers(17, 4 * self.hidden);
        if self.kind == Kind::Gru(false) {
            bias[3 * self.hidden..].fill(0.0);
        }
        bias
    }

    fn is_exact(&self) -> bool {
        self.variant == 2
    }

    /// What the codes or numbers of `x`, `W`, `R` and the initial state stand for.
    fn reals(&self, numbers: &[f32], which: usize) -> Vec<f64> {
        let quantized = match which {
            0 | 3 => self.is_exact(),
            _ => self.variant > 0,
        };
        let real_of = |&number: &f32| match quantized {
            true => real(code(number), which),
            false => f64::from(number),
        };
        numbers.iter().map(real_of).collect()
    }

    fn initial(&self) -> [Vec<f32>; 2] {
        [self.numbers(19, self.hidden), self.numbers(23, self.hidden)]
    }

    fn encode(&self, numbers: &[f32], is_code: bool) -> Vec<u8> {
        match is_code {
            true => numbers.iter().map(|&n| code(n) as u8).collect(),
            false => f32_bytes(numbers),
        }
    }

    /// `P`, `Q` and `C` at steps of 2^-60, from the scales by integer arithmetic.
    fn exact_constants(&self) -> (Vec<u8>, Vec<u8>) {
        let integer = |scale: f32| (f64::from(scale) * 2_f64.powi(30)) as u64;
        let [x, w, r, h] = SCALES.map(integer);
        let (p, q) = (x * w, h * r);
        let mut factors = [p.to_le_bytes(), q.to_le_bytes()].concat();
        factors.extend(SHIFT.to_le_bytes());
        let [weights, recurrent] = self.weights();
        let sum = |row: &[f32], which: usize| -> i128 {
            let codes = row.iter().map(|&n| i128::from(code(n)));
            codes.map(|c| c - i128::from(ZERO_POINTS[which])).sum()
        };
        let mut offsets = Vec::new();
        for (index, &bias) in self.bias().iter().enumerate() {
            let row = index.min(self.rows() - 1).min(match self.kind {
                Kind::Lstm => usize::MAX,
                Kind::Gru(_) if index >= 3 * self.hidden => index - self.hidden,
                Kind::Gru(_) => usize::MAX,
            });
            let is_linear = self.kind == Kind::Gru(true) && index >= 2 * self.hidden;
            let (has_x, has_h) = (
                !is_linear || index < 3 * self.hidden,
                !is_linear || index >= 3 * self.hidden,
            );
            let mut offset = (f64::from(bias) * 2_f64.powi(SHIFT as i32)) as i128;
            if has_x {
                let row = &weights[row * self.inputs..][..self.inputs];
                offset -= i128::from(ZERO_POINTS[0]) * sum(row, 1) * i128::from(p);
            }
            if has_h {
                let row = &recurrent[row * self.hidden..][..self.hidden];
                offset -= i128::from(ZERO_POINTS[3]) * sum(row, 2) * i128::from(q);
            }
            offsets.extend_from_slice(&offset.to_le_bytes()[..12]);
        }
        (factors, offsets)
    }

    fn plan(&self) -> PlanBuilder {
        let mut plan = PlanBuilder::default();
        let (outer, h_bytes) = if self.is_exact() {
            (DType::I8, 1)
        } else {
            (F32, 4)
        };
        let size = |extents: &[usize]| extents.iter().map(|&e| e as u32).collect::<Vec<_>>();
        let cells = if self.kind == Kind::Gru(true) { 0 } else { 4 };
        let state_bytes = 4 + self.hidden * (cells + h_bytes);
        let state_offset = if self.kept { 0 } else { 40_000 };
        plan.arena_bytes = if self.kept { state_bytes as u32 } else { 0 };
        let x = plan.arena(outer, &size(&[self.steps, self.inputs]));
        let rows = if self.last { 1 } else { self.steps } + usize::from(self.with_cell);
        let y = plan.arena(outer, &size(&[rows, self.hidden]));
        let state = plan.arena_at(DType::U8, &size(&[state_bytes]), state_offset);
        let scratch = [state];
        let inputs = self.constants(&mut plan, x);
        let op = kernel(self.kind.op(), self.variant);
        plan.op_with_scratch(op, &inputs, (&[y], &scratch), &self.words());
        if self.kept {
            plan.kept_bytes = state_bytes as u32;
        }
        plan.port(y, Role::Plain);
        plan
    }

    fn constants(&self, plan: &mut PlanBuilder, x: Id) -> Vec<Id> {
        let size = |extents: &[usize]| extents.iter().map(|&e| e as u32).collect::<Vec<_>>();
        let weights_type = if self.variant > 0 { DType::I8 } else { F32 };
        let mut inputs = vec![x];
        for (weights, columns) in self.weights().iter().zip([self.inputs, self.hidden]) {
            let bytes = self.encode(weights, self.variant > 0);
            inputs.push(plan.constant(weights_type, &size(&[self.rows(), columns]), &bytes));
        }
        if self.is_exact() {
            let (factors, offsets) = self.exact_constants();
            inputs.push(plan.constant(DType::U8, &[1, 20], &factors));
            inputs.push(plan.constant(DType::U8, &size(&[4 * self.hidden, 12]), &offsets));
        } else {
            inputs.push(plan.constant_f32(&size(&[4 * self.hidden]), &self.bias()));
        }
        if self.variant == 1 {
            inputs.push(plan.constant_f32(&[1], &SCALES[1..2]));
            let per_row = vec![SCALES[2]; self.rows()];
            inputs.push(plan.constant_f32(&size(&[self.rows()]), &per_row));
        }
        if self.has_initial {
            let [h, c] = self.initial();
            let outer = if self.is_exact() { DType::I8 } else { F32 };
            let bytes = self.encode(&h, self.is_exact());
            inputs.push(plan.constant(outer, &size(&[self.hidden]), &bytes));
            if self.kind == Kind::Lstm {
                inputs.push(plan.constant_f32(&size(&[self.hidden]), &c));
            }
        }
        inputs
    }

    fn words(&self) -> Vec<u32> {
        let own = match self.kind {
            Kind::Lstm => self.with_cell,
            Kind::Gru(is_linear) => is_linear,
        };
        let mut words = [self.reverse, self.last, own].map(u32::from).to_vec();
        let zero_point = |which: usize| ZERO_POINTS[which] as u32;
        if self.variant > 0 {
            words.extend([zero_point(1), zero_point(2)]);
        }
        if self.is_exact() {
            words.extend([SCALES[3].to_bits(), zero_point(3)]);
        }
        words
    }

    fn oracle(&self) -> Oracle {
        let [w, r] = self.weights();
        let [h, c] = self.initial();
        let (h, c) = match self.has_initial {
            true => (self.reals(&h, 3), c.iter().map(|&c| f64::from(c)).collect()),
            false => (vec![0.0; self.hidden], vec![0.0; self.hidden]),
        };
        Oracle {
            layer: self.clone(),
            w: self.reals(&w, 1),
            r: self.reals(&r, 2),
            bias: self.bias().iter().map(|&b| f64::from(b)).collect(),
            h,
            c,
            is_near_a_tie: false,
        }
    }

    fn row_of_step(&self, step: usize) -> usize {
        if self.reverse {
            self.steps - 1 - step
        } else {
            step
        }
    }
}

/// The formulas of ONNX's operator documentation.
struct Oracle {
    layer: Layer,
    w: Vec<f64>,
    r: Vec<f64>,
    bias: Vec<f64>,
    h: Vec<f64>,
    c: Vec<f64>,
    is_near_a_tie: bool,
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

impl Oracle {
    fn step(&mut self, x: &[f64]) {
        let (n, hidden) = (self.layer.inputs, self.layer.hidden);
        let from_x = |row: usize| dot(x, &self.w[row * n..][..n]);
        let from_h = |h: &[f64], row: usize| dot(h, &self.r[row * hidden..][..hidden]);
        let gate = |row: usize| from_x(row) + from_h(&self.h, row) + self.bias[row];
        let mut c = self.c.clone();
        let h: Vec<f64> = match self.layer.kind {
            Kind::Lstm => (0..hidden)
                .map(|u| {
                    let [i, o, f] = [0, 1, 2].map(|block| sigmoid(gate(block * hidden + u)));
                    c[u] = f * c[u] + i * gate(3 * hidden + u).tanh();
                    o * c[u].tanh()
                })
                .collect(),
            Kind::Gru(is_linear) => {
                let reset: Vec<f64> = (0..hidden).map(|u| sigmoid(gate(hidden + u))).collect();
                let product: Vec<f64> = reset.iter().zip(&self.h).map(|(r, h)| r * h).collect();
                let unit = |u: usize| {
                    let (z, row) = (sigmoid(gate(u)), 2 * hidden + u);
                    let candidate = match is_linear {
                        true => {
                            let recurrent = from_h(&self.h, row) + self.bias[row + hidden];
                            from_x(row) + self.bias[row] + reset[u] * recurrent
                        }
                        false => from_x(row) + from_h(&product, row) + self.bias[row],
                    };
                    (1.0 - z) * candidate.tanh() + z * self.h[u]
                };
                (0..hidden).map(unit).collect()
            }
        };
        self.c = c;
        self.h = h;
        if self.layer.is_exact() {
            self.quantize();
        }
    }

    fn quantize(&mut self) {
        let (scale, zero) = (f64::from(SCALES[3]), f64::from(ZERO_POINTS[3]));
        for h in &mut self.h {
            let steps = *h / scale;
            self.is_near_a_tie |= ((steps - steps.floor()) - 0.5).abs() < 1e-3;
            *h = ((steps.round_ties_even() + zero).clamp(-128.0, 127.0) - zero) * scale;
        }
    }

    /// Runs over all rows; the state behind every step, in the order of steps.
    fn run(&mut self, x: &[f32]) -> Vec<Vec<f64>> {
        let x = self.layer.reals(x, 0);
        let rows: Vec<&[f64]> = x.chunks_exact(self.layer.inputs).collect();
        (0..self.layer.steps)
            .map(|step| {
                self.step(rows[self.layer.row_of_step(step)]);
                self.h.clone()
            })
            .collect()
    }
}

fn layer() -> impl Strategy<Value = Layer> {
    let kind = prop_oneof![
        Just(Kind::Lstm),
        Just(Kind::Gru(true)),
        Just(Kind::Gru(false))
    ];
    let sizes = (1_usize..6, 1_usize..7, 1_usize..7);
    let flags = prop::array::uniform5(any::<bool>());
    let numbers = prop::collection::vec(-1.0_f32..1.0, 64..200);
    (kind, 0_u8..3, sizes, flags, numbers).prop_map(
        |(kind, variant, (steps, inputs, hidden), flags, numbers)| {
            let [reverse, last, with_cell, has_initial, kept] = flags;
            let variant = if kind == Kind::Gru(false) {
                variant.min(1)
            } else {
                variant
            };
            let with_cell = with_cell && kind == Kind::Lstm && variant < 2;
            let (steps, inputs, hidden) = (steps, inputs, hidden);
            Layer {
                kind,
                variant,
                steps,
                inputs,
                hidden,
                reverse,
                last,
                with_cell,
                has_initial,
                kept,
                numbers,
            }
        },
    )
}

fn run_in(arena: &mut [u8], plan: &Plan, input: &[u8]) -> Vec<u8> {
    arena[plan.input().range()].copy_from_slice(input);
    plan.run(arena).expect("the plan runs");
    let output = plan.outputs().next().expect("an output");
    arena[output.range()].to_vec()
}

/// Rows of the output as reals, where variant 2 has codes.
fn decoded(layer: &Layer, output: &[u8]) -> Vec<f64> {
    match layer.is_exact() {
        true => output.iter().map(|&byte| real(byte as i8, 3)).collect(),
        false => f32_values(output).iter().map(|&y| f64::from(y)).collect(),
    }
}

/// Compares one run's output with the oracle's states; how many numbers were compared.
fn compare(layer: &Layer, oracle: &Oracle, states: &[Vec<f64>], output: &[u8]) -> usize {
    let output = decoded(layer, output);
    let mut rows: Vec<&[f64]> = output.chunks_exact(layer.hidden).collect();
    if layer.with_cell {
        let cell = rows.pop().expect("a row");
        close(cell, &oracle.c);
    }
    for (step, state) in states.iter().enumerate() {
        match layer.last {
            true if step + 1 == states.len() => close(rows[0], state),
            true => {}
            false => close(rows[layer.row_of_step(step)], state),
        }
    }
    output.len()
}

fn close(ours: &[f64], expected: &[f64]) {
    for (ours, expected) in ours.iter().zip(expected) {
        assert!((ours - expected).abs() < 1e-5, "{ours} for {expected}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn layers_match_the_formulas_and_go_on_from_what_they_keep(layer in layer()) {
        let bytes = layer.plan().build();
        let plan = Plan::load(&bytes).expect("the plan loads");
        prop_assert_eq!(plan.requirements().kept_bytes > 0, layer.kept);
        let mut arena = vec![0xA5; plan.requirements().arena_bytes];
        plan.reset(&mut arena).unwrap();
        let mut oracle = layer.oracle();
        for round in 0..3 {
            if !layer.kept {
                oracle = layer.oracle();
            }
            let x: Vec<f32> = layer.x().iter().map(|x| x * [1.0, -0.5, 0.8][round]).collect();
            let states = oracle.run(&x);
            if oracle.is_near_a_tie {
                break;
            }
            let output = run_in(&mut arena, &plan, &layer.encode(&x, layer.is_exact()));
            prop_assert!(compare(&layer, &oracle, &states, &output) > 0);
        }
    }

    #[test]
    fn a_reset_forgets_and_rubbish_around_the_state_changes_nothing(layer in layer()) {
        let bytes = Layer { kept: true, ..layer.clone() }.plan().build();
        let plan = Plan::load(&bytes).expect("the plan loads");
        let input = layer.encode(&layer.x(), layer.is_exact());
        let mut arena = vec![0; plan.requirements().arena_bytes];
        let first = run_in(&mut arena, &plan, &input);
        let second = run_in(&mut arena, &plan, &input);
        arena.fill(0x5A);
        plan.reset(&mut arena).unwrap();
        prop_assert_eq!(&run_in(&mut arena, &plan, &input), &first);
        arena[plan.requirements().kept_bytes..].fill(0xC3);
        prop_assert_eq!(run_in(&mut arena, &plan, &input), second);
    }
}

fn small_layer() -> Layer {
    Layer {
        kind: Kind::Lstm,
        variant: 0,
        steps: 3,
        inputs: 2,
        hidden: 2,
        reverse: false,
        last: false,
        with_cell: false,
        has_initial: false,
        kept: true,
        numbers: (0..90).map(|i| (i as f32 * 0.7).sin()).collect(),
    }
}

#[test]
fn gates_in_another_order_would_be_noticed() {
    let layer = small_layer();
    let mut oracle = layer.oracle();
    oracle.bias.rotate_left(layer.hidden);
    oracle.w.rotate_left(layer.hidden * layer.inputs);
    let states = oracle.run(&layer.x());
    let bytes = layer.plan().build();
    let plan = Plan::load(&bytes).unwrap();
    let mut arena = vec![0; plan.requirements().arena_bytes];
    let output = run_in(&mut arena, &plan, &f32_bytes(&layer.x()));
    let worst = decoded(&layer, &output)
        .iter()
        .zip(states.concat())
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f64::max);
    assert!(worst > 1e-2, "{worst}");
}

fn refusal(plan: &PlanBuilder) -> LoadError {
    Plan::load(&plan.build()).expect_err("the plan is refused")
}

#[test]
fn only_scratch_may_lie_in_the_bytes_that_are_kept() {
    let aliasing = LoadError::Op {
        op: 0,
        fault: OpFault::Aliasing,
    };
    let layer = small_layer();
    let kept = layer.plan().kept_bytes;
    let mut plan = layer.plan();
    plan.kept_bytes = kept + 1;
    assert_eq!(refusal(&plan), LoadError::Tensor { tensor: 0 });
    let unkept = Layer {
        kept: false,
        ..layer.clone()
    };
    let mut plan = unkept.plan();
    plan.kept_bytes = 4;
    assert_eq!(refusal(&plan), LoadError::Tensor { tensor: 0 });
    let mut plan = layer.plan();
    plan.kept_bytes = plan.arena_bytes + 1;
    assert_eq!(refusal(&plan), LoadError::Header { position: 20 });
    let mut plan = layer.plan();
    plan.kept_bytes = kept - 1;
    assert_eq!(refusal(&plan), aliasing, "a state that is only half kept");
}

/// New rows of two floats, and a window of `rows` of them at `place`.
fn history(rows: u32, place: u32, kept_bytes: u32) -> PlanBuilder {
    let mut plan = PlanBuilder::default();
    let x = plan.arena_at(F32, &[2, 2], 64);
    let window = plan.arena_at(F32, &[rows, 2], place);
    plan.kept_bytes = kept_bytes;
    plan.op(kernel(OpCode::History, 0), &[x], &[window], &[]);
    plan.port(window, Role::Plain);
    plan
}

#[test]
fn a_history_holds_the_newest_rows_in_order() {
    let bytes = history(3, 0, 24).build();
    let plan = Plan::load(&bytes).unwrap();
    let mut arena = vec![0; plan.requirements().arena_bytes];
    let mut next = |first: f32| {
        let rows = [first, first + 1.0, first + 2.0, first + 3.0];
        f32_values(&run_in(&mut arena, &plan, &f32_bytes(&rows)))
    };
    assert_eq!(next(1.0), [0.0, 0.0, 1.0, 2.0, 3.0, 4.0]);
    assert_eq!(next(5.0), [3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    assert_eq!(next(9.0), [7.0, 8.0, 9.0, 10.0, 11.0, 12.0]);
    let exact = history(2, 0, 16).build();
    let plan = Plan::load(&exact).unwrap();
    let input = f32_bytes(&[1.0, 2.0, 3.0, 4.0]);
    let mut arena = vec![0; plan.requirements().arena_bytes];
    assert_eq!(run_in(&mut arena, &plan, &input), input);
}

#[test]
fn a_history_that_nothing_keeps_or_that_is_overwritten_is_refused() {
    let fault = |op, fault| LoadError::Op { op, fault };
    let aliasing = OpFault::Aliasing;
    assert_eq!(refusal(&history(3, 0, 0)), fault(0, aliasing));
    assert_eq!(refusal(&history(3, 0, 20)), fault(0, aliasing));
    assert_eq!(refusal(&history(1, 0, 8)), fault(0, OpFault::Shape));
    let mut plan = history(3, 0, 24);
    let same = plan.arena_at(F32, &[3, 2], 0);
    plan.op(kernel(OpCode::Exp, 0), &[Id::Arena(1)], &[same], &[]);
    assert_eq!(refusal(&plan), fault(1, aliasing));
    let mut view = history(3, 0, 24);
    let same = view.arena_at(F32, &[6, 1], 0);
    view.op(kernel(OpCode::Reshape, 0), &[Id::Arena(1)], &[same], &[]);
    assert!(Plan::load(&view.build()).is_ok());
}

#[test]
fn two_ops_keep_nothing_at_one_place() {
    let layer = Layer {
        inputs: 2,
        hidden: 2,
        ..small_layer()
    };
    let mut plan = layer.plan();
    let y = Id::Arena(1);
    let kept = plan.kept_bytes;
    let z = plan.arena(F32, &[3, 2]);
    let state = plan.arena_at(DType::U8, &[kept], 0);
    let inputs = layer.constants(&mut plan, y);
    let op = kernel(OpCode::Lstm, 0);
    plan.op_with_scratch(op, &inputs, (&[z], &[state]), &layer.words());
    let fault = OpFault::Aliasing;
    assert_eq!(refusal(&plan), LoadError::Op { op: 1, fault });
}

#[test]
fn a_reset_of_too_small_an_arena_is_refused() {
    let bytes = small_layer().plan().build();
    let plan = Plan::load(&bytes).unwrap();
    let mut arena = vec![7; plan.requirements().arena_bytes - 1];
    assert!(plan.reset(&mut arena).is_err());
    assert!(arena.iter().all(|&byte| byte == 7));
}
