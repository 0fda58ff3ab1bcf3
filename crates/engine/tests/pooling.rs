//! Pools and borders against oracles that look at one element at a time.

mod support;

use dunlin_engine::format::{DType, OpCode, Role};
use dunlin_engine::{LoadError, OpFault, Plan};
use proptest::prelude::*;
use support::{F32, PlanBuilder, f32_bytes, f32_values, kernel, run};

type Pair = [usize; 2];

/// Windows over an image with `channels`.
#[derive(Clone, Debug)]
struct Pool {
    image: Pair,
    channels: usize,
    kernel: Pair,
    stride: Pair,
    dilation: Pair,
    padding: Pair,
    output: Pair,
    /// Top, left, bottom, right.
    margins: [u32; 4],
}

fn pair(range: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Pair> {
    [range.clone(), range]
}

fn pools() -> impl Strategy<Value = Pool> {
    (
        (pair(1..=6), 1_usize..40, pair(1..=4)),
        (pair(1..=3), pair(1..=2), pair(0..=3)),
        (
            pair(1..=4),
            prop_oneof![Just([0; 4]), [0_u32..3, 0..3, 0..3, 0..3]],
        ),
    )
        .prop_map(
            |((image, channels, kernel), (stride, dilation, padding), (output, margins))| Pool {
                image,
                channels,
                kernel,
                stride,
                dilation,
                padding,
                output,
                margins,
            },
        )
}

impl Pool {
    fn elements(&self) -> usize {
        self.image[0] * self.image[1] * self.channels
    }

    /// For every output element the input elements under its window, row by row, and the taps
    /// within the margins.
    fn windows(&self) -> Vec<(Vec<usize>, u32)> {
        let mut windows = Vec::new();
        for result in 0..self.output[0] * self.output[1] {
            let at = [result / self.output[1], result % self.output[1]];
            let (mut pixels, mut taps) = (Vec::new(), 0);
            for tap in 0..self.kernel[0] * self.kernel[1] {
                let tap = [tap / self.kernel[1], tap % self.kernel[1]];
                let place = |axis: usize| {
                    (at[axis] * self.stride[axis] + tap[axis] * self.dilation[axis]) as i64
                        - self.padding[axis] as i64
                };
                let within = |axis: usize, before: u32, behind: u32| {
                    place(axis) >= -i64::from(before)
                        && place(axis) < self.image[axis] as i64 + i64::from(behind)
                };
                let [top, left, bottom, right] = self.margins;
                taps += u32::from(within(0, top, bottom) && within(1, left, right));
                if within(0, 0, 0) && within(1, 0, 0) {
                    pixels.push((place(0) * self.image[1] as i64 + place(1)) as usize);
                }
            }
            for channel in 0..self.channels {
                let elements = pixels.iter().map(|pixel| pixel * self.channels + channel);
                windows.push((elements.collect(), taps));
            }
        }
        windows
    }

    fn words(&self, op: OpCode) -> Vec<u32> {
        let pairs = [self.kernel, self.stride, self.dilation, self.padding];
        let words = pairs.iter().flatten().map(|&value| value as u32);
        match op {
            OpCode::AveragePool2d => words.chain(self.margins).collect(),
            _ => words.collect(),
        }
    }

    fn plan(&self, (op, variant): (OpCode, u8), element: DType, more: &[u32]) -> Vec<u8> {
        let mut plan = PlanBuilder::default();
        let shape = |[rows, columns]: Pair| [1, rows as u32, columns as u32, self.channels as u32];
        let x = plan.arena(element, &shape(self.image));
        let y = plan.arena(element, &shape(self.output));
        let words = [&self.words(op), more].concat();
        plan.op(kernel(op, variant), &[x], &[y], &words);
        plan.port(y, Role::Plain);
        plan.build()
    }
}

fn bytes(values: &[i8]) -> Vec<u8> {
    values.iter().map(|&value| value as u8).collect()
}

fn codes(bytes: &[u8]) -> Vec<i8> {
    bytes.iter().map(|&byte| byte as i8).collect()
}

/// `numerator / denominator`, half to even.
fn rounded(numerator: i128, denominator: i128) -> i128 {
    let (floor, twice) = (
        numerator.div_euclid(denominator),
        2 * numerator.rem_euclid(denominator),
    );
    floor + i128::from(twice > denominator || twice == denominator && floor & 1 == 1)
}

/// Factor, divisor, shift; zero points of input and output; limits.
type Numbers = ((i64, u64, u32), (i32, i32), (i32, i32));

fn numbers() -> impl Strategy<Value = Numbers> {
    let ratio = prop_oneof![
        (1_i64..3, 1_u64..3, 0_u32..2),
        (1_i64 << 23..1 << 24, 1_u64 << 23..1 << 24, 0_u32..3),
    ];
    (
        ratio,
        (-128_i32..128, -128_i32..128),
        (-128_i32..0, 1_i32..128),
    )
}

fn words((ratio, zero_points, limits): Numbers) -> [u32; 9] {
    let (factor, divisor, shift) = ratio;
    let [x0, y0, low, high] = [zero_points.0, zero_points.1, limits.0, limits.1].map(|v| v as u32);
    let (factor, divisor) = (
        [factor as u32, (factor >> 32) as u32],
        [divisor as u32, (divisor >> 32) as u32],
    );
    [
        factor[0], factor[1], divisor[0], divisor[1], shift, y0, low, high, x0,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn an_integer_mean_is_rounded_once(
        pool in pools(),
        numbers in numbers(),
        x in prop::collection::vec(any::<i8>(), 6 * 6 * 40),
    ) {
        let x = &x[..pool.elements()];
        let plan = pool.plan((OpCode::AveragePool2d, 1), DType::I8, &words(numbers));
        let ((factor, divisor, shift), (x0, y0), (low, high)) = numbers;
        let mean = |(elements, taps): (Vec<usize>, u32)| {
            let sum: i128 = elements.iter().map(|&at| i128::from(x[at]) - i128::from(x0)).sum();
            let denominator = (i128::from(divisor) << shift) * i128::from(taps.max(1));
            let code = rounded(sum * i128::from(factor), denominator) + i128::from(y0);
            code.clamp(low.into(), high.into()) as i8
        };
        let expected: Vec<i8> = pool.windows().into_iter().map(mean).collect();
        prop_assert_eq!(codes(&run(&plan, &bytes(x))[0]), expected);
    }

    #[test]
    fn maxima_are_those_of_the_elements_on_the_image(
        pool in pools(),
        x in prop::collection::vec(any::<i8>(), 6 * 6 * 40),
    ) {
        let x = &x[..pool.elements()];
        let largest = |(elements, _): (Vec<usize>, u32)| elements.into_iter().map(|at| x[at]).max();
        let largest: Vec<Option<i8>> = pool.windows().into_iter().map(largest).collect();
        let plan = pool.plan((OpCode::MaxPool2d, 1), DType::I8, &[]);
        let expected: Vec<i8> = largest.iter().map(|best| best.unwrap_or(i8::MIN)).collect();
        prop_assert_eq!(codes(&run(&plan, &bytes(x))[0]), expected);
        let plan = pool.plan((OpCode::MaxPool2d, 0), F32, &[]);
        let floats: Vec<f32> = x.iter().map(|&x| f32::from(x) * 0.7).collect();
        let expected: Vec<f32> =
            largest.iter().map(|best| best.map_or(f32::NEG_INFINITY, |best| f32::from(best) * 0.7)).collect();
        prop_assert_eq!(f32_values(&run(&plan, &f32_bytes(&floats))[0]), expected);
    }

    #[test]
    fn a_float_mean_sums_row_by_row(
        pool in pools(),
        x in prop::collection::vec(-1.0_f32..1.0, 6 * 6 * 40),
    ) {
        let x = &x[..pool.elements()];
        let mean = |(elements, taps): (Vec<usize>, u32)| {
            elements.iter().fold(0.0, |sum, &at| sum + x[at]) / taps.max(1) as f32
        };
        let expected: Vec<f32> = pool.windows().into_iter().map(mean).collect();
        let plan = pool.plan((OpCode::AveragePool2d, 0), F32, &[]);
        prop_assert_eq!(f32_values(&run(&plan, &f32_bytes(x))[0]), expected);
    }

    #[test]
    fn borders_hold_what_their_mode_says(
        shape in [1_i64..4, 1_i64..4, 1_i64..5, 1_i64..5],
        before in [-2_i64..3, -2_i64..3, -2_i64..3, -2_i64..3],
        result in [1_i64..7, 1_i64..7, 1_i64..7, 1_i64..7],
        mode in 0_u32..3,
    ) {
        let count = shape.iter().product::<i64>();
        let x: Vec<f32> = (0..count).map(|value| value as f32 + 0.5).collect();
        let dims = |shape: [i64; 4]| shape.map(|extent| extent as u32);
        let words = |value: u32| {
            let [a, b, c, d] = before.map(|before| before as i32 as u32);
            [mode, value, a, b, c, d]
        };
        let plan = bordered(0, F32, (dims(shape), dims(result)), &words(9.25_f32.to_bits()));
        let mirrored = (0..4).all(|axis| {
            before[axis] < shape[axis] && result[axis] - 1 - before[axis] <= 2 * (shape[axis] - 1)
        });
        if mode == 2 && !mirrored {
            prop_assert!(Plan::load(&plan).is_err());
            return Ok(());
        }
        let mut expected = Vec::new();
        for number in 0..result.iter().product::<i64>() {
            let (mut rest, mut from, mut step, mut inside) = (number, 0, 1, true);
            for axis in (0..4).rev() {
                let (place, extent) = (rest % result[axis] - before[axis], shape[axis]);
                rest /= result[axis];
                let at = match mode {
                    0 => place,
                    1 => place.clamp(0, extent - 1),
                    _ => (0..extent).min_by_key(|&at| {
                        let mirror = 2 * (extent - 1) - at;
                        if [at, -at, mirror].contains(&place) { 0 } else { 1 }
                    }).unwrap_or(0),
                };
                inside &= (0..extent).contains(&at);
                from += at * step;
                step *= extent;
            }
            expected.push(if inside { x[from as usize] } else { 9.25 });
        }
        prop_assert_eq!(f32_values(&run(&plan, &f32_bytes(&x))[0]), expected.clone());
        let plan = bordered(1, DType::I8, (dims(shape), dims(result)), &words(9));
        let small: Vec<i8> = x.iter().map(|&value| value as i8).collect();
        let expected: Vec<i8> = expected.into_iter().map(|value| value as i8).collect();
        prop_assert_eq!(codes(&run(&plan, &bytes(&small))[0]), expected);
    }
}

fn bordered(
    variant: u8,
    element: DType,
    (from, to): ([u32; 4], [u32; 4]),
    words: &[u32],
) -> Vec<u8> {
    let mut plan = PlanBuilder::default();
    let (x, y) = (plan.arena(element, &from), plan.arena(element, &to));
    plan.op(kernel(OpCode::Pad, variant), &[x], &[y], words);
    plan.port(y, Role::Plain);
    plan.build()
}

#[test]
fn a_nan_never_wins_a_maximum() {
    let pool = Pool {
        channels: 1,
        ..PLAIN
    };
    let plan = pool.plan((OpCode::MaxPool2d, 0), F32, &[]);
    let x = [f32::NAN, 1.0, f32::NAN, -2.0];
    assert_eq!(f32_values(&run(&plan, &f32_bytes(&x))[0]), [1.0]);
}

const PLAIN: Pool = Pool {
    image: [2, 2],
    channels: 3,
    kernel: [2, 2],
    stride: [1, 1],
    dilation: [1, 1],
    padding: [0, 0],
    output: [1, 1],
    margins: [0; 4],
};

fn fault(plan: &[u8]) -> Option<OpFault> {
    match Plan::load(plan) {
        Ok(_) => None,
        Err(LoadError::Op { fault, .. }) => Some(fault),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn pools_that_make_no_sense_are_refused() {
    let max = |pool: Pool| fault(&pool.plan((OpCode::MaxPool2d, 1), DType::I8, &[]));
    assert_eq!(max(PLAIN), None);
    for pool in [
        Pool {
            kernel: [0, 1],
            ..PLAIN
        },
        Pool {
            kernel: [1 << 9, 1 << 8],
            ..PLAIN
        },
        Pool {
            stride: [1, 0],
            ..PLAIN
        },
        Pool {
            dilation: [0, 1],
            ..PLAIN
        },
    ] {
        assert_eq!(max(pool.clone()), Some(OpFault::Parameters), "{pool:?}");
    }
    let average = |numbers: Numbers| {
        fault(&PLAIN.plan((OpCode::AveragePool2d, 1), DType::I8, &words(numbers)))
    };
    let good = ((1, 1, 0), (0, 0), (-128, 127));
    assert_eq!(average(good), None);
    for bad in [
        ((1, 1 << 40, 0), good.1, good.2),
        ((1, 0, 0), good.1, good.2),
        ((1, 1, 55), good.1, good.2),
        (good.0, (128, 0), good.2),
        (good.0, (0, -129), good.2),
        (good.0, good.1, (5, 4)),
    ] {
        assert_eq!(average(bad), Some(OpFault::Parameters), "{bad:?}");
    }
    let mode = bordered(0, F32, ([1; 4], [1; 4]), &[3, 0, 0, 0, 0, 0]);
    assert_eq!(fault(&mode), Some(OpFault::Parameters));
}
