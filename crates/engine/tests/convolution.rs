//! Convolutions against oracles that scatter over explicit borders, on plans built by hand.

mod support;

use dunlin_engine::format::{DType, OpCode, Role};
use dunlin_engine::{LoadError, OpFault, Plan};
use proptest::prelude::*;
use support::{F32, PlanBuilder, f32_bytes, f32_values, kernel, run};

/// Rows and columns of something.
type Pair = [usize; 2];

/// The shape of a convolution.
#[derive(Clone, Debug)]
struct Shape {
    transposed: bool,
    image: Pair,
    kernel: Pair,
    stride: Pair,
    dilation: Pair,
    /// Before, and behind: more output than the image has windows for is more padding.
    padding: Pair,
    output: Pair,
    groups: usize,
    /// Channels and filters of a group.
    channels: usize,
    filters: usize,
}

impl Shape {
    fn input_channels(&self) -> usize {
        self.groups * self.channels
    }

    fn output_channels(&self) -> usize {
        self.groups * self.filters
    }

    fn filter_len(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.channels
    }

    fn pixels(&self) -> usize {
        self.image[0] * self.image[1]
    }

    fn window_words(&self) -> Vec<u32> {
        let pairs = [self.stride, self.dilation, self.padding];
        pairs.iter().flatten().map(|&value| value as u32).collect()
    }

    /// Every product of the definition: result pixel, filter, input element, weight.
    fn products(&self) -> Vec<(usize, usize, usize, usize)> {
        let mut products = Vec::new();
        let [rows, columns] = self.output;
        for tap in 0..self.kernel[0] * self.kernel[1] {
            let tap = [tap / self.kernel[1], tap % self.kernel[1]];
            for result in 0..rows * columns {
                let at = [result / columns, result % columns];
                let (Some(y), Some(x)) = (self.place(0, at, tap), self.place(1, at, tap)) else {
                    continue;
                };
                let pixel = y * self.image[1] + x;
                let weight = (tap[0] * self.kernel[1] + tap[1]) * self.channels;
                for filter in 0..self.output_channels() {
                    let group = filter / self.filters;
                    for channel in 0..self.channels {
                        let element =
                            pixel * self.input_channels() + group * self.channels + channel;
                        let weight = filter * self.filter_len() + weight + channel;
                        products.push((result, filter, element, weight));
                    }
                }
            }
        }
        products
    }

    /// Searches the input for the element that meets a result under a tap.
    fn place(&self, axis: usize, result: Pair, tap: Pair) -> Option<usize> {
        let (stride, padding) = (self.stride[axis], self.padding[axis]);
        let offset = tap[axis] * self.dilation[axis];
        (0..self.image[axis]).find(|&input| match self.transposed {
            false => result[axis] * stride + offset == input + padding,
            true => input * stride + offset == result[axis] + padding,
        })
    }

    fn code(&self) -> OpCode {
        match self.transposed {
            false => OpCode::Conv2d,
            true => OpCode::ConvTranspose2d,
        }
    }

    /// A plan of this convolution; the last dimension of constants is given by the caller.
    fn plan(
        &self,
        variant: u8,
        types: [DType; 2],
        weights: &[u8],
        constants: &[(DType, &[u32], &[u8])],
        words: &[u32],
    ) -> Vec<u8> {
        let mut plan = PlanBuilder::default();
        let shape = |[rows, columns]: Pair, channels: usize| {
            [1, rows as u32, columns as u32, channels as u32]
        };
        let x = plan.arena(types[0], &shape(self.image, self.input_channels()));
        let y = plan.arena(types[1], &shape(self.output, self.output_channels()));
        let [_, rows, columns, channels] = shape(self.kernel, self.channels);
        let filters = [self.output_channels() as u32, rows, columns, channels];
        let mut inputs = vec![x, plan.constant(types[0], &filters, weights)];
        for &(dtype, shape, bytes) in constants {
            inputs.push(plan.constant(dtype, shape, bytes));
        }
        let words = [words, &self.window_words()].concat();
        plan.op(kernel(self.code(), variant), &inputs, &[y], &words);
        plan.port(y, Role::Plain);
        plan.build()
    }
}

fn pair(range: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Pair> {
    [range.clone(), range]
}

fn shapes() -> impl Strategy<Value = Shape> {
    let groups = prop_oneof![
        (1_usize..4, Just(1_usize), 1_usize..3),
        (1_usize..3, 1_usize..4, 1_usize..4)
    ];
    (
        any::<bool>(),
        (pair(1..=6), pair(1..=4)),
        (pair(1..=3), pair(1..=3), pair(0..=3)),
        pair(1..=6),
        groups,
    )
        .prop_map(
            |(transposed, (image, kernel), (stride, dilation, padding), output, groups)| {
                let (groups, channels, filters) = groups;
                Shape {
                    transposed,
                    image,
                    kernel,
                    stride,
                    dilation,
                    padding,
                    output,
                    groups,
                    channels,
                    filters,
                }
            },
        )
}

/// An integer convolution.
#[derive(Clone, Debug)]
struct Integer {
    shape: Shape,
    x: Vec<i8>,
    weights: Vec<i8>,
    factors: Vec<u64>,
    offsets: Vec<i128>,
    shift: u8,
    zero_points: (i32, i32, i32),
    divisor: u32,
    limits: (i32, i32),
}

fn integers() -> impl Strategy<Value = Integer> {
    shapes().prop_flat_map(|shape| {
        let (elements, filters) = (
            shape.pixels() * shape.input_channels(),
            shape.output_channels(),
        );
        (
            prop::collection::vec(any::<i8>(), elements),
            prop::collection::vec(any::<i8>(), filters * shape.filter_len()),
            prop::collection::vec(1_u64..1 << 14, filters),
            prop::collection::vec(-(1_i128 << 24)..1_i128 << 24, filters),
            (10_u8..30, -128..=127_i32, -20..=20_i32, -128..=127_i32),
            (1_u32..100, -128..=0_i32, 1..=127_i32),
        )
            .prop_map(
                move |(x, weights, factors, offsets, (shift, x0, w0, y0), (divisor, low, high))| {
                    Integer {
                        shape: shape.clone(),
                        x,
                        weights,
                        factors,
                        offsets,
                        shift,
                        zero_points: (x0, w0, y0),
                        divisor,
                        limits: (low, high),
                    }
                },
            )
    })
}

impl Integer {
    fn bytes(values: &[i8]) -> Vec<u8> {
        values.iter().map(|&value| value as u8).collect()
    }

    fn run(&self, variant: u8, output: DType, words: &[u32]) -> Vec<u8> {
        let filters = self.factors.len() as u32;
        let multipliers: Vec<u8> = self
            .factors
            .iter()
            .flat_map(|factor| (factor | u64::from(self.shift) << 56).to_le_bytes())
            .collect();
        let offsets: Vec<u8> = self
            .offsets
            .iter()
            .flat_map(|offset| offset.to_le_bytes()[..12].to_vec())
            .collect();
        let constants = [
            (DType::U8, &[filters, 8][..], &multipliers[..]),
            (DType::U8, &[filters, 12][..], &offsets[..]),
        ];
        let (types, weights) = ([DType::I8, output], Self::bytes(&self.weights));
        let plan = self.shape.plan(variant, types, &weights, &constants, words);
        run(&plan, &Self::bytes(&self.x)).remove(0)
    }

    fn codes(&self) -> Vec<i8> {
        let (x0, w0, y0) = self.zero_points;
        let words = [
            w0,
            self.divisor as i32,
            y0,
            self.limits.0,
            self.limits.1,
            x0,
        ];
        let codes = self.run(1, DType::I8, &words.map(|word| word as u32));
        codes.into_iter().map(|code| code as i8).collect()
    }

    fn floats(&self) -> Vec<f32> {
        let (x0, w0, _) = self.zero_points;
        let limits = [f32::NEG_INFINITY, f32::INFINITY].map(f32::to_bits);
        f32_values(&self.run(2, F32, &[w0 as u32, limits[0], limits[1], x0 as u32]))
    }

    /// `Σ (x - x₀)(w - w₀)` over taps on the image, plus `x₀·Σ(w - w₀)` over all, times P, plus Q.
    fn numerators(&self) -> Vec<i128> {
        let ((x0, w0, _), filters) = (self.zero_points, self.factors.len());
        let mut sums = vec![0_i128; self.shape.output.iter().product::<usize>() * filters];
        for (result, filter, element, weight) in self.shape.products() {
            let x = i128::from(self.x[element]) - i128::from(x0);
            sums[result * filters + filter] +=
                x * (i128::from(self.weights[weight]) - i128::from(w0));
        }
        let all = |filter: usize| -> i128 {
            let length = self.shape.filter_len();
            let row = &self.weights[filter * length..][..length];
            row.iter().map(|&w| i128::from(w) - i128::from(w0)).sum()
        };
        let finish = |(place, sum): (usize, i128)| {
            let filter = place % filters;
            let sum = sum + i128::from(x0) * all(filter);
            sum * i128::from(self.factors[filter]) + self.offsets[filter]
        };
        sums.into_iter().enumerate().map(finish).collect()
    }

    fn expected_codes(&self) -> Vec<i8> {
        let denominator = i128::from(self.divisor) << self.shift;
        let code = |numerator: i128| {
            let floor = numerator.div_euclid(denominator);
            let twice = 2 * numerator.rem_euclid(denominator);
            let up = twice > denominator || twice == denominator && floor & 1 == 1;
            let shifted = floor + i128::from(up) + i128::from(self.zero_points.2);
            shifted.clamp(self.limits.0.into(), self.limits.1.into()) as i8
        };
        self.numerators().into_iter().map(code).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn an_integer_convolution_equals_the_rational_oracle(case in integers()) {
        prop_assert_eq!(case.codes(), case.expected_codes());
    }

    #[test]
    fn a_float_result_of_integers_is_the_nearest_float(case in integers()) {
        let unit = 2_f64.powi(-i32::from(case.shift));
        let expected: Vec<f32> =
            case.numerators().into_iter().map(|numerator| (numerator as f64 * unit) as f32).collect();
        prop_assert_eq!(case.floats(), expected);
    }

    #[test]
    fn a_float_convolution_sums_products_in_its_order(shape in shapes(), seed in any::<u32>()) {
        let (x, weights, bias) = floats(&shape, seed);
        let filters = shape.output_channels();
        let mut sums = vec![0.0_f32; shape.output.iter().product::<usize>() * filters];
        for (result, filter, element, weight) in shape.products() {
            sums[result * filters + filter] += x[element] * weights[weight];
        }
        let finish = |(place, sum): (usize, f32)| (sum + bias[place % filters]).clamp(-2.0, 2.5);
        let expected: Vec<f32> = sums.into_iter().enumerate().map(finish).collect();
        let constants = [(F32, &[filters as u32][..], &f32_bytes(&bias)[..])];
        let words = [-2.0_f32, 2.5].map(f32::to_bits);
        let plan = shape.plan(0, [F32, F32], &f32_bytes(&weights), &constants, &words);
        prop_assert_eq!(f32_values(&run(&plan, &f32_bytes(&x))[0]), expected);
    }
}

/// An image, weights and biases that look random.
fn floats(shape: &Shape, seed: u32) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let mut state = seed | 1;
    let mut values = |count: usize| -> Vec<f32> {
        let next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        std::iter::repeat_with(next).take(count).collect()
    };
    let filters = shape.output_channels();
    let x = values(shape.pixels() * shape.input_channels());
    (x, values(filters * shape.filter_len()), values(filters))
}

#[test]
fn results_of_the_cases_vary_and_meet_padding() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut inside, mut borders) = (0, 0);
    for _ in 0..200 {
        let case = integers().new_tree(&mut runner).unwrap().current();
        let limits = (case.limits.0 as i8, case.limits.1 as i8);
        let between = |&y: &i8| limits.0 < y && y < limits.1;
        inside += usize::from(case.expected_codes().iter().any(between));
        let products = case.shape.output.iter().product::<usize>()
            * case.shape.filter_len()
            * case.factors.len();
        borders += usize::from(case.shape.products().len() < products);
    }
    assert!(
        inside > 80 && borders > 80,
        "{inside} inside, {borders} with padding"
    );
}

const PLAIN: Shape = Shape {
    transposed: false,
    image: [3, 3],
    kernel: [2, 2],
    stride: [1, 1],
    dilation: [1, 1],
    padding: [0, 0],
    output: [2, 2],
    groups: 2,
    channels: 1,
    filters: 1,
};

/// What the engine says of a float convolution with these words before and in the window.
fn fault(shape: &Shape, words: &[u32]) -> Option<OpFault> {
    let (_, weights, bias) = floats(shape, 1);
    let constants = [(F32, &[bias.len() as u32][..], &f32_bytes(&bias)[..])];
    let plan = shape.plan(0, [F32, F32], &f32_bytes(&weights), &constants, words);
    match Plan::load(&plan) {
        Ok(_) => None,
        Err(LoadError::Op { fault, .. }) => Some(fault),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn windows_that_make_no_sense_are_refused() {
    let free = [f32::NEG_INFINITY, f32::INFINITY].map(f32::to_bits);
    assert_eq!(fault(&PLAIN, &free), None);
    let cases = [
        Shape {
            stride: [0, 1],
            ..PLAIN
        },
        Shape {
            dilation: [1, 0],
            ..PLAIN
        },
        Shape {
            stride: [1, 1 << 31],
            ..PLAIN
        },
        Shape {
            dilation: [1 << 30, 1],
            stride: [1 << 30, 1],
            ..PLAIN
        },
        Shape {
            padding: [0, u32::MAX as usize],
            ..PLAIN
        },
    ];
    for shape in cases {
        assert_eq!(fault(&shape, &free), Some(OpFault::Parameters), "{shape:?}");
    }
    let reversed = [1.0_f32, 0.0].map(f32::to_bits);
    assert_eq!(fault(&PLAIN, &reversed), Some(OpFault::Parameters));
    assert_eq!(fault(&PLAIN, &free[..1]), Some(OpFault::Parameters));
}

#[test]
fn filters_that_do_not_fit_the_channels_are_refused() {
    let limits = [f32::NEG_INFINITY, f32::INFINITY].map(f32::to_bits);
    let words = [&limits[..], &PLAIN.window_words()].concat();
    for (channels, filters, per_group) in [(3, 2, 2), (4, 3, 2), (2, 2, 3), (3, 3, 0)] {
        let mut plan = PlanBuilder::default();
        let x = plan.arena(F32, &[1, 2, 2, channels]);
        let y = plan.arena(F32, &[1, 2, 2, filters]);
        let depth = per_group.max(1);
        let weights = vec![0.0; (filters * depth) as usize];
        let weights = plan.constant_f32(&[filters, 1, 1, depth], &weights);
        let length = if per_group == 0 { filters + 1 } else { filters };
        let bias = plan.constant_f32(&[length], &vec![0.0; length as usize]);
        plan.op(kernel(OpCode::Conv2d, 0), &[x, weights, bias], &[y], &words);
        plan.port(y, Role::Plain);
        let fault = OpFault::Shape;
        assert_eq!(
            Plan::load(&plan.build()).err(),
            Some(LoadError::Op { op: 0, fault })
        );
    }
}
