//! Kernels on bytes against oracles in exact arithmetic, on plans built by hand.

mod support;

use dunlin_engine::format::{DType, OpCode, Role};
use dunlin_engine::{LoadError, OpFault, Plan};
use proptest::prelude::*;
use support::{PlanBuilder, kernel, run};

const I8: DType = DType::I8;

fn bytes(codes: &[i8]) -> Vec<u8> {
    codes.iter().map(|&code| code as u8).collect()
}

fn codes(bytes: &[u8]) -> Vec<i8> {
    bytes.iter().map(|&byte| byte as i8).collect()
}

fn words(values: &[i32]) -> Vec<u32> {
    values.iter().map(|&value| value as u32).collect()
}

fn long(value: i64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}

/// `numerator / denominator`, half to even, by one wide division.
fn rounded(numerator: i128, denominator: i128) -> i128 {
    let floor = numerator.div_euclid(denominator);
    match (2 * numerator.rem_euclid(denominator)).cmp(&denominator) {
        std::cmp::Ordering::Less => floor,
        std::cmp::Ordering::Greater => floor + 1,
        std::cmp::Ordering::Equal => floor + (floor & 1),
    }
}

fn refused(plan: &[u8], fault: OpFault) {
    assert_eq!(
        Plan::load(plan).unwrap_err(),
        LoadError::Op { op: 0, fault }
    );
}

/// The words of a rescaling.
#[derive(Clone, Debug)]
struct Ratio {
    factor: i64,
    divisor: u64,
    shift: u32,
    zero_point: i32,
    limits: (i32, i32),
}

impl Ratio {
    fn words(&self) -> Vec<u32> {
        let (factor, divisor) = (long(self.factor), long(self.divisor as i64));
        let codes = words(&[self.zero_point, self.limits.0, self.limits.1]);
        [&factor[..], &divisor, &[self.shift], &codes].concat()
    }

    fn code(&self, numerator: i128) -> i8 {
        let denominator = i128::from(self.divisor) << self.shift;
        let code = rounded(numerator, denominator) + i128::from(self.zero_point);
        code.clamp(i128::from(self.limits.0), i128::from(self.limits.1)) as i8
    }
}

/// Rescalings whose results lie inside of a byte often, and on ties often.
fn ratio(numerators: i64) -> impl Strategy<Value = Ratio> {
    let factor = prop_oneof![1_i64..8, 1_i64 << 40..1 << 48];
    let limits = prop_oneof![Just((-128, 127)), (-128..0, 0..128)];
    (factor, 0_u32..20, -128..128_i32, limits, 1_u64..5).prop_map(
        move |(factor, shift, zero_point, limits, odd)| Ratio {
            factor,
            divisor: ((factor as u64 * numerators as u64 / 200) >> shift).max(1) / odd * odd + odd,
            shift,
            zero_point,
            limits,
        },
    )
}

/// A plan that reads the first of two halves of its input as `a`, the second as `b`.
struct Pair {
    op: OpCode,
    variant: u8,
    shapes: [Vec<u32>; 3],
    words: Vec<u32>,
}

impl Pair {
    fn plan(&self) -> Vec<u8> {
        let mut plan = PlanBuilder::default();
        let sizes = [0, 1].map(|index| self.shapes[index].iter().product::<u32>());
        let input = plan.arena(I8, &[sizes[0] + sizes[1]]);
        let parts = [(0, sizes[0]), (sizes[0], sizes[1])].map(|(start, size)| {
            let part = plan.arena(I8, &[size]);
            let copy = [start, 0, 0, 0, 1];
            plan.op(kernel(OpCode::StridedCopy, 0), &[input], &[part], &copy);
            part
        });
        // Shapes come by views: what is copied has one dimension.
        let [a, b] = [0, 1].map(|index| {
            let offset = plan.offset(parts[index]);
            let view = plan.arena_at(I8, &self.shapes[index], offset);
            plan.op(kernel(OpCode::Reshape, 0), &[parts[index]], &[view], &[]);
            view
        });
        let y = plan.arena(I8, &self.shapes[2]);
        plan.op(kernel(self.op, self.variant), &[a, b], &[y], &self.words);
        plan.port(y, Role::Plain);
        plan.build()
    }

    fn run(&self, a: &[i8], b: &[i8]) -> Vec<i8> {
        codes(&run(&self.plan(), &bytes(&[a, b].concat()))[0])
    }
}

#[test]
fn a_lookup_gives_the_entry_of_every_code_in_place_and_apart() {
    let table: Vec<u8> = (0..=255_u8)
        .map(|byte| byte.wrapping_mul(167) ^ 0x5A)
        .collect();
    let input: Vec<u8> = (0..=255).chain([3, 200, 7]).collect();
    let expected: Vec<u8> = input.iter().map(|&x| table[usize::from(x)]).collect();
    for apart in [0, 260] {
        let mut plan = PlanBuilder::default();
        let x = plan.arena_at(I8, &[259], 0);
        let y = plan.arena_at(I8, &[259], apart);
        let table = plan.constant(I8, &[256], &table);
        plan.op(kernel(OpCode::Lookup, 0), &[x, table], &[y], &[]);
        plan.port(y, Role::Plain);
        assert_eq!(run(&plan.build(), &input)[0], expected);
    }
}

#[test]
fn a_lookup_without_256_entries_is_refused() {
    let mut plan = PlanBuilder::default();
    let (x, y) = (plan.arena(I8, &[4]), plan.arena(I8, &[4]));
    let table = plan.constant(I8, &[255], &[0; 255]);
    plan.op(kernel(OpCode::Lookup, 0), &[x, table], &[y], &[]);
    plan.port(y, Role::Plain);
    refused(&plan.build(), OpFault::Shape);
}

/// The exact numerator of an op.
fn numerator(op: OpCode, a: i64, b: i64, p: i64, r: i64) -> i128 {
    let [a, b, p, r] = [a, b, p, r].map(i128::from);
    match op {
        OpCode::Add => a * p + b * r,
        OpCode::Sub => a * p - b * r,
        _ => a * b * p,
    }
}

fn exact_pair(op: OpCode, ratio: &Ratio, zeros: [i32; 2], second: i64) -> Vec<u32> {
    let mut all = [&ratio.words()[..], &words(&zeros)].concat();
    if op != OpCode::Mul {
        all.extend(long(second));
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn exact_ops_on_two_bytes_equal_the_rational_oracle(
        op in prop_oneof![Just(OpCode::Add), Just(OpCode::Sub), Just(OpCode::Mul)],
        ratio in ratio(128),
        zeros in prop::array::uniform2(-128..128_i32),
        second in prop_oneof![1_i64..8, 1_i64 << 40..1 << 48],
        a in prop::collection::vec(any::<i8>(), 6),
        b in prop::collection::vec(any::<i8>(), 3),
    ) {
        let shapes = [vec![2, 3], vec![1, 3], vec![2, 3]];
        let words = exact_pair(op, &ratio, zeros, second);
        let ours = Pair { op, variant: 1, shapes, words }.run(&a, &b);
        let expected = |(index, &a): (usize, &i8)| {
            let [a, b] = [(a, zeros[0]), (b[index % 3], zeros[1])];
            let [a, b] = [a, b].map(|(code, zero)| i64::from(code) - i64::from(zero));
            ratio.code(numerator(op, a, b, ratio.factor, second))
        };
        prop_assert_eq!(ours, a.iter().enumerate().map(expected).collect::<Vec<_>>());
    }
}

#[test]
fn ties_of_a_sum_go_to_the_even_code() {
    let ratio = Ratio {
        factor: 1,
        divisor: 1,
        shift: 1,
        zero_point: 0,
        limits: (-128, 127),
    };
    let words = exact_pair(OpCode::Add, &ratio, [0, 0], 1);
    let pair = Pair {
        op: OpCode::Add,
        variant: 1,
        shapes: [vec![6], vec![6], vec![6]],
        words,
    };
    let sums = pair.run(&[0, 1, 2, -1, -2, 127], &[1, 2, 3, 0, -1, 127]);
    assert_eq!(sums, [0, 2, 2, 0, -2, 127]);
}

#[test]
fn rescalings_out_of_range_are_refused() {
    let valid = Ratio {
        factor: 1,
        divisor: 1,
        shift: 0,
        zero_point: 0,
        limits: (-128, 127),
    };
    let mut wrong = vec![valid; 6];
    wrong[0].divisor = 0;
    wrong[1].divisor = 1 << 63;
    wrong[2].shift = 55;
    wrong[3].factor = 1 << 56;
    wrong[4].zero_point = 128;
    wrong[5].limits = (1, 0);
    for ratio in wrong {
        let mut plan = PlanBuilder::default();
        let (x, y) = (plan.arena(I8, &[4]), plan.arena(I8, &[4]));
        let words = exact_pair(OpCode::Add, &ratio, [0, 0], 1);
        plan.op(kernel(OpCode::Add, 1), &[x, x], &[y], &words);
        plan.port(y, Role::Plain);
        refused(&plan.build(), OpFault::Parameters);
    }
}

/// `y = sat((⌊a·M/2^8⌋ + ⌊b·N/2^8⌋ + C) >> k)` by wide integers.
fn fast_sum(a: i8, b: i8, words: &[i32]) -> i8 {
    let product = |code: i8, factor: i32| (i64::from(code) * i64::from(factor)).div_euclid(256);
    let sum = product(a, words[0]) + product(b, words[1]) + i64::from(words[2]);
    let wrapped = sum as i32;
    (wrapped >> words[3]).clamp(words[4], words[5]) as i8
}

fn fast_product(a: i8, b: i8, words: &[i32]) -> i8 {
    let differences = (i64::from(a) - i64::from(words[0])) * (i64::from(b) - i64::from(words[1]));
    let constant = i64::from(words[4]) << 32 | i64::from(words[3] as u32);
    let wide = differences * i64::from(words[2]) + constant;
    (wide >> words[5]).clamp(i64::from(words[6]), i64::from(words[7])) as i8
}

/// Where the output of a fast op lies.
#[derive(Clone, Copy, Debug)]
enum Place {
    Apart,
    OverFirst,
    OverSecond,
}

/// A fast op with its first operand computed and its second computed or constant.
fn fast_plan(op: OpCode, place: Place, constant: bool, words: &[u32], b: &[i8]) -> Vec<u8> {
    let count = b.len() as u32;
    let room = count.next_multiple_of(4);
    let mut plan = PlanBuilder::default();
    let x = plan.arena_at(I8, &[2 * room], 0);
    let a = plan.arena_at(I8, &[count], 2 * room);
    plan.op(kernel(OpCode::StridedCopy, 0), &[x], &[a], &[0, 0, 0, 0, 1]);
    let second = match constant {
        true => plan.constant(I8, &[count], &bytes(b)),
        false => {
            let second = plan.arena_at(I8, &[count], 3 * room);
            let words = [room, 0, 0, 0, 1];
            plan.op(kernel(OpCode::StridedCopy, 0), &[x], &[second], &words);
            second
        }
    };
    let offset = match place {
        Place::Apart => 4 * room,
        Place::OverFirst => 2 * room,
        Place::OverSecond => 3 * room,
    };
    let y = plan.arena_at(I8, &[count], offset);
    plan.op(kernel(op, 2), &[a, second], &[y], words);
    plan.port(y, Role::Plain);
    plan.build()
}

fn check_fast(op: OpCode, values: &[i32], one: fn(i8, i8, &[i32]) -> i8) {
    let mut state = 1_u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as i8
    };
    let places = [
        (Place::Apart, false),
        (Place::Apart, true),
        (Place::OverFirst, false),
        (Place::OverFirst, true),
        (Place::OverSecond, false),
    ];
    for length in [1, 3, 4, 7, 64, 1001] {
        let a: Vec<i8> = (0..length).map(|_| random()).collect();
        let b: Vec<i8> = (0..length).map(|_| random()).collect();
        let expected: Vec<i8> = a.iter().zip(&b).map(|(&a, &b)| one(a, b, values)).collect();
        for (place, constant) in places {
            let plan = fast_plan(op, place, constant, &words(values), &b);
            let room = (length as usize).next_multiple_of(4);
            let mut input = vec![0; 2 * room];
            input[..a.len()].copy_from_slice(&bytes(&a));
            input[room..][..b.len()].copy_from_slice(&bytes(&b));
            let ours = codes(&run(&plan, &input)[0]);
            assert_eq!(ours, expected, "{op:?} of {length}, {place:?}, {constant}");
        }
    }
}

#[test]
fn fast_sums_follow_their_formula_wherever_the_output_lies() {
    let half = 1 << 21;
    check_fast(
        OpCode::Add,
        &[1_234_567_890, 987_654_321, half, 22, -128, 127],
        fast_sum,
    );
    check_fast(
        OpCode::Sub,
        &[1_234_567_890, -87_654_321, -half, 22, -100, 9],
        fast_sum,
    );
    check_fast(
        OpCode::Add,
        &[i32::MIN, i32::MAX, i32::MIN, 0, -128, 127],
        fast_sum,
    );
}

#[test]
fn fast_products_follow_their_formula_wherever_the_output_lies() {
    let constant = (5_i64 << 38) + (1 << 37);
    let [low, high] = long(constant).map(|word| word as i32);
    check_fast(
        OpCode::Mul,
        &[3, -7, 1_777_777_777, low, high, 38, -128, 127],
        fast_product,
    );
    check_fast(
        OpCode::Mul,
        &[-128, 127, -5_555_555, low, high, 32, -1, 90],
        fast_product,
    );
}

#[test]
fn a_fast_op_on_one_tensor_may_not_overwrite_it() {
    let mut plan = PlanBuilder::default();
    let (x, y) = (plan.arena_at(I8, &[8], 0), plan.arena_at(I8, &[8], 0));
    let words = words(&[1, 1, 0, 0, -128, 127]);
    plan.op(kernel(OpCode::Add, 2), &[x, x], &[y], &words);
    plan.port(y, Role::Plain);
    refused(&plan.build(), OpFault::Aliasing);
}

fn softmax_plan(table: &[i32], shape: &[u32], values: &[i32]) -> Vec<u8> {
    let mut plan = PlanBuilder::default();
    let (x, y) = (plan.arena_at(I8, shape, 0), plan.arena_at(I8, shape, 0));
    let entries: Vec<u8> = table.iter().flat_map(|entry| entry.to_le_bytes()).collect();
    let table = plan.constant(DType::I32, &[table.len() as u32], &entries);
    plan.op(
        kernel(OpCode::Softmax, 1),
        &[x, table],
        &[y],
        &words(values),
    );
    plan.port(y, Role::Plain);
    plan.build()
}

fn softmax_oracle(table: &[i32], row: &[i8], values: &[i32]) -> Vec<i8> {
    let largest = row.iter().copied().max().unwrap();
    let entry = |&code: &i8| {
        let distance = (i32::from(largest) - i32::from(code)) as usize;
        i128::from(table[distance.min(table.len() - 1)])
    };
    let sum: i128 = row.iter().map(entry).sum();
    let code = |x: &i8| {
        let quotient = rounded(entry(x) << values[1], sum * i128::from(values[0]));
        (quotient + i128::from(values[2])).clamp(-128, 127) as i8
    };
    row.iter().map(code).collect()
}

#[test]
fn a_softmax_of_bytes_divides_exactly_and_is_near_the_real_one() {
    let scale = 0.17_f64;
    let unit = f64::from(1 << 30);
    let table: Vec<i32> = (0..140)
        .map(|d| ((-scale * f64::from(d)).exp() * unit).round().max(1.0) as i32)
        .collect();
    let values = [1, 8, -128];
    let mut state = 7_u32;
    let mut row = || -> Vec<i8> {
        let next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as i8 / if state & 64 == 0 { 1 } else { 16 }
        };
        (0..12).map(next).collect()
    };
    let (mut between, mut compared) = (0, 0);
    for _ in 0..500 {
        let rows = [row(), row()];
        let ours = codes(
            &run(
                &softmax_plan(&table, &[2, 12], &values),
                &bytes(&rows.concat()),
            )[0],
        );
        let expected = rows
            .iter()
            .flat_map(|row| softmax_oracle(&table, row, &values));
        assert_eq!(ours, expected.collect::<Vec<_>>());
        for (row, ours) in rows.iter().zip(ours.chunks(12)) {
            let exponentials: Vec<f64> =
                row.iter().map(|&x| (scale * f64::from(x)).exp()).collect();
            let sum: f64 = exponentials.iter().sum();
            for (e, &y) in exponentials.iter().zip(ours) {
                let real = (e / sum * 256.0 - 128.0).min(127.0);
                assert!((real - f64::from(y)).abs() < 0.500_01, "{y} for {real}");
                between += i32::from(-128 < y && y < 127);
                compared += 1;
            }
        }
    }
    assert!(
        between > 1500 && compared == 12_000,
        "{between} of {compared}"
    );
}

#[test]
fn tables_of_a_softmax_that_could_divide_by_zero_are_refused() {
    let fine = [1, 8, 0];
    refused(&softmax_plan(&[4, 0], &[3], &fine), OpFault::Constant);
    refused(&softmax_plan(&[4, 5], &[3], &fine), OpFault::Constant);
    refused(&softmax_plan(&[0], &[3], &fine), OpFault::Constant);
    refused(&softmax_plan(&[1; 257], &[3], &fine), OpFault::Shape);
    refused(&softmax_plan(&[4], &[3], &[0, 8, 0]), OpFault::Parameters);
    refused(&softmax_plan(&[4], &[3], &[1, 64, 0]), OpFault::Parameters);
    refused(&softmax_plan(&[4], &[3], &[1, 8, 128]), OpFault::Parameters);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_mean_of_bytes_is_the_rounded_rational(
        sizes in (1_usize..4, 1_usize..9, 1_usize..4),
        ratio in ratio(512),
        zero in -128..128_i32,
        input in prop::collection::vec(any::<i8>(), 3 * 8 * 3),
    ) {
        let (outer, reduced, inner) = sizes;
        let input = &input[..outer * reduced * inner];
        let mut plan = PlanBuilder::default();
        let x = plan.arena(I8, &[input.len() as u32]);
        let y = plan.arena(I8, &[(outer * inner) as u32]);
        let shape = [outer, reduced, inner].map(|size| size as u32);
        let words = [&shape[..], &[zero as u32], &ratio.words()].concat();
        plan.op(kernel(OpCode::ReduceMean, 1), &[x], &[y], &words);
        plan.port(y, Role::Plain);
        let ours = codes(&run(&plan.build(), &bytes(input))[0]);
        let expected = (0..outer * inner).map(|place| {
            let start = place / inner * reduced * inner + place % inner;
            let axis = input[start..].iter().step_by(inner).take(reduced);
            let sum: i128 = axis.map(|&x| i128::from(x) - i128::from(zero)).sum();
            ratio.code(sum * i128::from(ratio.factor))
        });
        prop_assert_eq!(ours, expected.collect::<Vec<_>>());
    }

    #[test]
    fn a_product_of_two_matrices_of_bytes_is_the_rounded_rational(
        sizes in (1_usize..4, 1_usize..4, 1_usize..9, 1_usize..4, any::<bool>()),
        ratio in ratio(20_000),
        zeros in prop::array::uniform2(-128..128_i32),
        input in prop::collection::vec(any::<i8>(), 3 * 3 * 8 * 2),
    ) {
        let (batch, m, k, n, b_batched) = sizes;
        let second = if b_batched { batch } else { 1 } * k * n;
        let (a, b) = input.split_at(batch * m * k);
        let b = &b[..second.min(b.len())];
        prop_assume!(b.len() == second);
        let shapes = [vec![(batch * m * k) as u32], vec![second as u32], vec![(batch * m * n) as u32]];
        let shape = [batch, m, k, n, 1, usize::from(b_batched)].map(|size| size as u32);
        let words = [&shape[..], &words(&zeros), &ratio.words()].concat();
        let ours = Pair { op: OpCode::MatMul, variant: 1, shapes, words }.run(a, b);
        let expected = (0..batch * m * n).map(|place| {
            let (matrix, row, column) = (place / n / m, place / n % m, place % n);
            let product = |i: usize| {
                let b_matrix = if b_batched { matrix } else { 0 };
                let left = i64::from(a[(matrix * m + row) * k + i]) - i64::from(zeros[0]);
                let right = i64::from(b[(b_matrix * k + i) * n + column]) - i64::from(zeros[1]);
                i128::from(left * right)
            };
            ratio.code((0..k).map(product).sum::<i128>() * i128::from(ratio.factor))
        });
        prop_assert_eq!(ours, expected.collect::<Vec<_>>());
    }
}

/// Constants of a layer normalisation of bytes as the compiler writes them.
struct Normalization {
    x_scale: f64,
    y_scale: f64,
    epsilon: f64,
    gains: Vec<f64>,
    offsets: Vec<f64>,
}

const PLACES: i32 = 24;

impl Normalization {
    fn plan(&self, rows: u32) -> Vec<u8> {
        let count = self.gains.len() as f64;
        let constant = self.epsilon * count * count / (self.x_scale * self.x_scale);
        let constant = (constant * 2_f64.powi(32)).round() as i64;
        let steps = |values: &[f64]| -> Vec<u8> {
            let step = |value: &f64| (value / self.y_scale * 2_f64.powi(PLACES)).round() as i32;
            values.iter().map(step).flat_map(i32::to_le_bytes).collect()
        };
        let mut plan = PlanBuilder::default();
        let shape = [rows, self.gains.len() as u32];
        let (x, y) = (plan.arena_at(I8, &shape, 0), plan.arena_at(I8, &shape, 0));
        let gains = plan.constant(DType::I32, &shape[1..], &steps(&self.gains));
        let offsets = plan.constant(DType::I32, &shape[1..], &steps(&self.offsets));
        let codes = words(&[PLACES, 5, -128, 127]);
        let words = [&long(constant)[..], &codes].concat();
        let normalize = kernel(OpCode::LayerNormalization, 1);
        plan.op(normalize, &[x, gains, offsets], &[y], &words);
        plan.port(y, Role::Plain);
        plan.build()
    }

    /// The real results in steps, with the zero point.
    fn real(&self, row: &[i8]) -> Vec<f64> {
        let values: Vec<f64> = row.iter().map(|&x| self.x_scale * f64::from(x)).collect();
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
        let deviation = (variance + self.epsilon).sqrt();
        let constants = self.gains.iter().zip(&self.offsets);
        let result = values.iter().zip(constants).map(|(x, (gain, offset))| {
            ((x - mean) / deviation * gain + offset) / self.y_scale + 5.0
        });
        result.collect()
    }
}

#[test]
fn a_layer_normalisation_of_bytes_is_the_rounded_real_one() {
    let mut state = 11_u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as i8
    };
    let norm = Normalization {
        x_scale: 0.013,
        y_scale: 0.031,
        epsilon: 1e-5,
        gains: (0..24).map(|_| 1.0 + f64::from(random()) / 200.0).collect(),
        offsets: (0..24).map(|_| f64::from(random()) / 400.0).collect(),
    };
    let (mut compared, mut inside) = (0, 0);
    for divisor in [1, 4, 50, 127] {
        let rows: Vec<i8> = (0..24 * 40).map(|_| random() / divisor).collect();
        let ours = codes(&run(&norm.plan(40), &bytes(&rows))[0]);
        for (row, ours) in rows.chunks(24).zip(ours.chunks(24)) {
            for (real, &code) in norm.real(row).into_iter().zip(ours) {
                let limited = real.clamp(-128.0, 127.0);
                assert!(
                    (limited - f64::from(code)).abs() < 0.500_01,
                    "{code} for {real}"
                );
                compared += 1;
                inside += i32::from(limited == real);
            }
        }
    }
    assert!(compared == 3840 && inside > 3000);
}

#[test]
fn a_constant_row_normalises_to_its_offsets() {
    let norm = Normalization {
        x_scale: 0.1,
        y_scale: 0.5,
        epsilon: 0.0,
        gains: vec![1.0; 3],
        offsets: vec![1.0, -2.0, 0.25],
    };
    assert_eq!(codes(&run(&norm.plan(1), &bytes(&[7, 7, 7]))[0]), [7, 1, 5]);
}
