//! Kernels against oracles, on plans built by hand.

mod support;

use dunlin_engine::format::{DType, OpCode, Role};
use dunlin_engine::{LoadError, OpFault, Plan};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use support::{F32, Id, PlanBuilder, f32_bytes, f32_values, kernel, run};

/// A plan of one op: `shape` in, `result` out, with constants and parameter words.
fn one_op(
    op: (OpCode, u8),
    input: (DType, &[u32]),
    result: (DType, &[u32]),
    constants: impl FnOnce(&mut PlanBuilder) -> Vec<Id>,
    words: &[u32],
) -> Vec<u8> {
    let mut plan = PlanBuilder::default();
    let x = plan.arena(input.0, input.1);
    let y = plan.arena(result.0, result.1);
    let mut inputs = vec![x];
    inputs.extend(constants(&mut plan));
    plan.op(kernel(op.0, op.1), &inputs, &[y], words);
    plan.port(y, Role::Plain);
    plan.build()
}

/// An integer layer: weights `[n, k]`, one multiplier and offset per output.
#[derive(Clone, Debug)]
struct Layer {
    x: Vec<i8>,
    weights: Vec<Vec<i8>>,
    factors: Vec<u64>,
    shifts: Vec<u8>,
    offsets: Vec<i128>,
    weight_zero_point: i32,
    divisor: u32,
    zero_point: i32,
    limits: (i32, i32),
}

impl Layer {
    fn plan(&self) -> Vec<u8> {
        let (k, n) = (self.x.len() as u32, self.weights.len() as u32);
        let words = [
            self.weight_zero_point as u32,
            self.divisor,
            self.zero_point as u32,
            self.limits.0 as u32,
            self.limits.1 as u32,
        ];
        let constants = |plan: &mut PlanBuilder| {
            let weights: Vec<u8> = self.weights.iter().flatten().map(|&w| w as u8).collect();
            let pairs = self.factors.iter().zip(&self.shifts);
            let multipliers: Vec<u8> = pairs
                .flat_map(|(&p, &s)| (p | u64::from(s) << 56).to_le_bytes())
                .collect();
            let offsets: Vec<u8> = self
                .offsets
                .iter()
                .flat_map(|q| q.to_le_bytes()[..12].to_vec())
                .collect();
            vec![
                plan.constant(DType::I8, &[n, k], &weights),
                plan.constant(DType::U8, &[n, 8], &multipliers),
                plan.constant(DType::U8, &[n, 12], &offsets),
            ]
        };
        let (input, output) = ((DType::I8, &[1, k][..]), (DType::I8, &[1, n][..]));
        one_op(
            (OpCode::FullyConnected, 1),
            input,
            output,
            constants,
            &words,
        )
    }

    fn engine(&self) -> Vec<i8> {
        let input: Vec<u8> = self.x.iter().map(|&x| x as u8).collect();
        run(&self.plan(), &input)[0]
            .iter()
            .map(|&y| y as i8)
            .collect()
    }

    /// The same by one wide division, rounded by `round(quotient floor, remainder, denominator)`.
    fn oracle(&self, round: fn(i128, i128, i128) -> i128) -> Vec<i8> {
        let channel = |channel: usize| {
            let products = self.x.iter().zip(&self.weights[channel]);
            let sum: i128 = products
                .map(|(&x, &w)| {
                    i128::from(x) * (i128::from(w) - i128::from(self.weight_zero_point))
                })
                .sum();
            let numerator = sum * i128::from(self.factors[channel]) + self.offsets[channel];
            let denominator = i128::from(self.divisor) << self.shifts[channel];
            let floor = numerator.div_euclid(denominator);
            let rounded = round(floor, numerator.rem_euclid(denominator), denominator);
            let shifted = rounded + i128::from(self.zero_point);
            shifted.clamp(i128::from(self.limits.0), i128::from(self.limits.1)) as i8
        };
        (0..self.weights.len()).map(channel).collect()
    }
}

fn half_to_even(floor: i128, remainder: i128, denominator: i128) -> i128 {
    match (2 * remainder).cmp(&denominator) {
        std::cmp::Ordering::Less => floor,
        std::cmp::Ordering::Greater => floor + 1,
        std::cmp::Ordering::Equal => floor + (floor & 1),
    }
}

fn half_up(floor: i128, remainder: i128, denominator: i128) -> i128 {
    floor + i128::from(2 * remainder >= denominator)
}

/// Layers whose results lie inside of the range often, and on ties often.
fn layers() -> impl Strategy<Value = Layer> {
    (1_usize..24, 1_usize..6).prop_flat_map(|(k, n)| {
        let ties = prop_oneof![Just(1_u32), Just(3), 1_u32..1 << 24];
        let numbers = (
            ties,
            -128..=127_i32,
            -20..=20_i32,
            -128..=0_i32,
            1..=127_i32,
        );
        let channels = (
            prop::collection::vec(prop::collection::vec(any::<i8>(), k), n),
            prop::collection::vec(prop_oneof![1_u64..4, 1 << 40..1_u64 << 48], n),
            prop::collection::vec(0_u32..14, n),
            prop::collection::vec(-200_i128..200, n),
        );
        (prop::collection::vec(any::<i8>(), k), channels, numbers).prop_map(layer)
    })
}

type Channels = (Vec<Vec<i8>>, Vec<u64>, Vec<u32>, Vec<i128>);

fn layer((x, channels, numbers): (Vec<i8>, Channels, (u32, i32, i32, i32, i32))) -> Layer {
    let (weights, factors, extra, units) = channels;
    let (divisor, zero_point, weight_zero_point, low, high) = numbers;
    // A shift that brings sums of a few thousand products near the range of a byte.
    let shift = |(&factor, &extra): (&u64, &u32)| {
        let bits = 64 - factor.leading_zeros() + extra;
        bits.saturating_sub(32 - divisor.leading_zeros()) as u8
    };
    let shifts: Vec<u8> = factors.iter().zip(&extra).map(shift).collect();
    // An offset that puts the result on a half step, on a whole one, or one numerator beside.
    let offset = |channel: usize| {
        let products = x.iter().zip(&weights[channel]);
        let sum: i128 = products
            .map(|(&x, &w)| i128::from(x) * i128::from(i32::from(w) - weight_zero_point))
            .sum();
        let half_step = (i128::from(divisor) << shifts[channel]) / 2;
        let beside = i128::from(extra[channel] % 3) - 1;
        units[channel] * half_step + beside - sum * i128::from(factors[channel])
    };
    let offsets = (0..weights.len()).map(offset).collect();
    let limits = (low, high);
    Layer {
        x,
        weights,
        factors,
        shifts,
        offsets,
        weight_zero_point,
        divisor,
        zero_point,
        limits,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn an_integer_layer_equals_the_rational_oracle(layer in layers()) {
        prop_assert_eq!(layer.engine(), layer.oracle(half_to_even));
    }
}

#[test]
fn rounding_half_up_would_be_detected_by_the_same_layers() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut different, mut inside) = (0, 0);
    for _ in 0..600 {
        let layer = layers().new_tree(&mut runner).unwrap().current();
        let (even, up) = (layer.oracle(half_to_even), layer.oracle(half_up));
        different += even.iter().zip(&up).filter(|(a, b)| a != b).count();
        let limits = (layer.limits.0 as i8, layer.limits.1 as i8);
        inside += even
            .iter()
            .filter(|&&y| limits.0 < y && y < limits.1)
            .count();
    }
    assert!(
        different > 20,
        "only {different} results tell half-even from half-up"
    );
    assert!(
        inside > 300,
        "only {inside} results are inside of their limits"
    );
}

#[test]
fn extremes_of_sum_and_offset_saturate() {
    let mut layer = Layer {
        x: vec![-128; 1024],
        weights: vec![vec![-128; 1024], vec![127; 1024]],
        factors: vec![(1 << 56) - 1; 2],
        shifts: vec![0; 2],
        offsets: vec![(1 << 95) - 1, -(1 << 95)],
        weight_zero_point: 127,
        divisor: 1,
        zero_point: -7,
        limits: (-128, 127),
    };
    assert_eq!(layer.engine(), [127, -128]);
    layer.shifts = vec![127; 2];
    assert_eq!(layer.engine(), [-7, -7]);
}

#[test]
fn a_float_result_of_an_integer_layer_is_the_nearest_float() {
    let words = [0, f32::NEG_INFINITY.to_bits(), f32::INFINITY.to_bits()];
    let numerator = (1_i128 << 40) + 12_345;
    let plan = one_op(
        (OpCode::FullyConnected, 2),
        (DType::I8, &[1, 1]),
        (F32, &[1, 1]),
        |plan| {
            vec![
                plan.constant(DType::I8, &[1, 1], &[3]),
                plan.constant(DType::U8, &[1, 8], &[10, 0, 0, 0, 0, 0, 0, 40]),
                plan.constant(DType::U8, &[1, 12], &numerator.to_le_bytes()[..12]),
            ]
        },
        &words,
    );
    let expected = ((numerator + 60) as f64 / (1_u64 << 40) as f64) as f32;
    assert_eq!(f32_values(&run(&plan, &[2])[0]), [expected]);
}

#[test]
fn quantization_rounds_the_real_quotient_half_to_even_and_saturates() {
    let words = [0.1_f32.to_bits(), 3];
    let shape = [1, 8];
    let plan = one_op(
        (OpCode::QuantizeLinear, 0),
        (F32, &shape),
        (DType::I8, &shape),
        |_| vec![],
        &words,
    );
    // 0.1 as f32 is above 1/10, so 0.05 and 0.15 are not ties; NaN is the zero point.
    let x = [
        0.0,
        0.25,
        1000.0,
        -1000.0,
        f32::NAN,
        f32::INFINITY,
        -0.1,
        12.4,
    ];
    let codes: Vec<i8> = run(&plan, &f32_bytes(&x))[0]
        .iter()
        .map(|&q| q as i8)
        .collect();
    assert_eq!(codes, [3, 5, 127, -128, 3, 127, 2, 127]);
}

#[test]
fn dequantization_multiplies_once() {
    let words = [0.1_f32.to_bits(), (-5_i32) as u32];
    let plan = one_op(
        (OpCode::DequantizeLinear, 0),
        (DType::I8, &[3]),
        (F32, &[3]),
        |_| vec![],
        &words,
    );
    let result = f32_values(&run(&plan, &[0, 0x80, 0x7F])[0]);
    assert_eq!(result, [5.0 * 0.1_f32, -123.0 * 0.1_f32, 132.0 * 0.1_f32]);
}

#[test]
fn operands_broadcast_along_any_axis() {
    let plan = one_op(
        (OpCode::Sub, 0),
        (F32, &[2, 3]),
        (F32, &[2, 3]),
        |plan| vec![plan.constant_f32(&[2, 1], &[10.0, 20.0])],
        &[],
    );
    let result = f32_values(&run(&plan, &f32_bytes(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))[0]);
    assert_eq!(result, [-9.0, -8.0, -7.0, -16.0, -15.0, -14.0]);
}

#[test]
fn an_op_on_single_elements_may_overwrite_its_input() {
    let mut plan = PlanBuilder::default();
    let x = plan.arena_at(F32, &[3], 0);
    let y = plan.arena_at(F32, &[3], 0);
    plan.op(kernel(OpCode::Neg, 0), &[x], &[y], &[]);
    plan.port(y, Role::Plain);
    let result = f32_values(&run(&plan.build(), &f32_bytes(&[1.0, -2.0, 0.0]))[0]);
    assert_eq!(result.map_bits(), [-1.0_f32, 2.0, -0.0].map(f32::to_bits));
    let shifted = plan.clone_with_offset(1, 4);
    let fault = LoadError::Op {
        op: 0,
        fault: OpFault::Aliasing,
    };
    assert_eq!(Plan::load(&shifted).unwrap_err(), fault);
}

trait Bits {
    fn map_bits(&self) -> Vec<u32>;
}

impl Bits for Vec<f32> {
    fn map_bits(&self) -> Vec<u32> {
        self.iter().map(|value| value.to_bits()).collect()
    }
}

#[test]
fn every_nan_in_an_output_has_one_bit_pattern() {
    let plan = one_op((OpCode::Abs, 0), (F32, &[3]), (F32, &[3]), |_| vec![], &[]);
    let strange = [0xFFC0_0001_u32, 0x7F80_0001, 0x7FC0_0000].map(f32::from_bits);
    assert_eq!(
        f32_values(&run(&plan, &f32_bytes(&strange))[0]).map_bits(),
        [0x7FC0_0000; 3]
    );
}

#[test]
fn reductions_run_over_the_middle_axis() {
    let input = f32_bytes(&[1.0, 2.0, 3.0, 4.0, 5.0, 60.0]);
    let reduced = |op| {
        let plan = one_op(
            (op, 0),
            (F32, &[1, 3, 2]),
            (F32, &[1, 2]),
            |_| vec![],
            &[1, 3, 2],
        );
        f32_values(&run(&plan, &input)[0])
    };
    assert_eq!(reduced(OpCode::ReduceMean), [3.0, 22.0]);
    assert_eq!(reduced(OpCode::ReduceSum), [9.0, 66.0]);
    assert_eq!(reduced(OpCode::ReduceMax), [5.0, 60.0]);
    assert_eq!(reduced(OpCode::ReduceMin), [1.0, 2.0]);
}

#[test]
fn a_strided_copy_reverses_and_stays_inside() {
    let copy = |base: u32, stride: i32| {
        let words = [base, 0, 0, 0, stride as u32];
        one_op(
            (OpCode::StridedCopy, 0),
            (DType::I8, &[5]),
            (DType::I8, &[3]),
            |_| vec![],
            &words,
        )
    };
    assert_eq!(run(&copy(4, -2), &[1, 2, 3, 4, 5])[0], [5, 3, 1]);
    let fault = LoadError::Op {
        op: 0,
        fault: OpFault::Parameters,
    };
    for (base, stride) in [(5, -2), (4, -3), (1, 2), (0, i32::MAX), (u32::MAX, -1)] {
        assert_eq!(
            Plan::load(&copy(base, stride)).unwrap_err(),
            fault,
            "{base} {stride}"
        );
    }
}
