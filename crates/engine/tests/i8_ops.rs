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
struct Rescale {
    factor: i64,
    divisor: u64,
    shift: u32,
    zero_point: i32,
    limits: (i32, i32),
}

impl Rescale {
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
fn rescale(numerators: i64) -> impl Strategy<Value = Rescale> {
    let factor = prop_oneof![1_i64..8, 1_i64 << 40..1 << 48];
    let limits = prop_oneof![Just((-128, 127)), (-128..0, 0..128)];
    (factor, 0_u32..20, -128..128_i32, limits, 1_u64..5).prop_map(
        move |(factor, shift, zero_point, limits, odd)| Rescale {
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

fn exact_pair(op: OpCode, rescale: &Rescale, zeros: [i32; 2], second: i64) -> Vec<u32> {
    let mut all = [&rescale.words()[..], &words(&zeros)].concat();
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
        rescale in rescale(128),
        zeros in prop::array::uniform2(-128..128_i32),
        second in prop_oneof![1_i64..8, 1_i64 << 40..1 << 48],
        a in prop::collection::vec(any::<i8>(), 6),
        b in prop::collection::vec(any::<i8>(), 3),
    ) {
        let shapes = [vec![2, 3], vec![1, 3], vec![2, 3]];
        let words = exact_pair(op, &rescale, zeros, second);
        let ours = Pair { op, variant: 1, shapes, words }.run(&a, &b);
        let expected = |(index, &a): (usize, &i8)| {
            let [a, b] = [(a, zeros[0]), (b[index % 3], zeros[1])];
            let [a, b] = [a, b].map(|(code, zero)| i64::from(code) - i64::from(zero));
            rescale.code(numerator(op, a, b, rescale.factor, second))
        };
        prop_assert_eq!(ours, a.iter().enumerate().map(expected).collect::<Vec<_>>());
    }
}

#[test]
fn ties_of_a_sum_go_to_the_even_code() {
    let rescale = Rescale {
        factor: 1,
        divisor: 1,
        shift: 1,
        zero_point: 0,
        limits: (-128, 127),
    };
    let words = exact_pair(OpCode::Add, &rescale, [0, 0], 1);
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
    let valid = Rescale {
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
    for rescale in wrong {
        let mut plan = PlanBuilder::default();
        let (x, y) = (plan.arena(I8, &[4]), plan.arena(I8, &[4]));
        let words = exact_pair(OpCode::Add, &rescale, [0, 0], 1);
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
