//! A bounded, deterministic fuzz: damaged plans never panic, whatever they are made of.
//!
//! Plans that load are run on rubbish; a run may give any numbers but must end, in bounds.

#[path = "support/damage.rs"]
mod damage;
mod support;

use damage::{Fate, Fates, MAX_TEST_WORK, Random, damage_bytes, fuzz, load_and_run, rounds};
use dunlin_engine::format::{DType, OpCode, Role};
use support::{F32, PlanBuilder, kernel, small_plan};

const ROUNDS: usize = 60_000;

/// Two branches and a row: thresholds 0.5 and 2.0, features 1 and 2.
const THRESHOLDS: [u8; 40] = [
    2, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, // branches, trees, row entries, values
    0, 0, 0, 0x3F, 0, 0, 0, 0x40, // thresholds
    1, 0x20, 0, 1, 2, 0x50, 0, 2, // links
    0, 0, 1, 0, // roots
    0x81, 7, 0, 0, // row
];

/// Trees that compare ranks: two pieces, two columns with keys and one of a NaN to the left.
fn forest_plan() -> PlanBuilder {
    let words = [4_u32, 2, 1, 2, 3, 5, 2, 0, 0, 0];
    let leaf = 1 << 31;
    let nodes = [
        255 << 8 | 1 << 16,
        1 | 254 << 8 | leaf,
        255 << 8 | 3 << 16 | leaf,
        1 | 255 << 8 | 1 << 16 | leaf,
    ];
    let columns = [2 << 16, 1 | 1 << 16 | 1 << 24];
    let keys = [0x3F00_0000_u32, 0x4000_0000, 0x3F80_0000];
    let mut group: Vec<u8> = [&words[..], &nodes, &columns, &keys]
        .concat()
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    let halves = [0_u16, 3, 0, 1, 3, 0x8001, 2];
    group.extend(halves.iter().flat_map(|half| half.to_le_bytes()));
    group.extend([0, 9, 0x82, 3]);
    group.resize(40 + 4 * (3 + 256), 0);
    let mut plan = PlanBuilder::default();
    let x = plan.arena(F32, &[1, 2]);
    let scores = plan.arena(F32, &[1, 3]);
    let label = plan.arena(DType::I32, &[1]);
    let images = plan.arena(DType::U8, &[256]);
    let group = plan.constant(DType::U8, &[group.len() as u32], &group);
    plan.op_with_scratch(
        kernel(OpCode::TreeEnsemble, 1),
        &[x, group],
        (&[scores, label], &[images]),
        &[5, 0.125_f32.to_bits(), 0],
    );
    plan.port(label, Role::Label);
    plan.port(scores, Role::Probabilities);
    plan
}

/// Bytes of [`forest_plan`]'s trees in front of what only fills the window.
const FOREST_BYTES: usize = 40 + 4 * 9 + 18;

/// A plan with nearly every kernel: floats, integers, a tree, views.
fn rich_plan() -> PlanBuilder {
    let mut plan = PlanBuilder::default();
    let limits = [f32::NEG_INFINITY.to_bits(), f32::INFINITY.to_bits()];
    let x = plan.arena(F32, &[1, 2, 4]);
    let turned = plan.arena(F32, &[1, 4, 2]);
    plan.op(
        kernel(OpCode::StridedCopy, 0),
        &[x],
        &[turned],
        &[0, 0, 0, 1, 4],
    );
    let means = plan.arena(F32, &[1, 4]);
    plan.op(
        kernel(OpCode::ReduceMean, 0),
        &[turned],
        &[means],
        &[4, 2, 1],
    );
    let exponentials = plan.arena(F32, &[1, 4]);
    plan.op(kernel(OpCode::Exp, 0), &[means], &[exponentials], &[]);
    let sums = plan.arena(F32, &[1, 4]);
    plan.op(kernel(OpCode::Add, 0), &[means, exponentials], &[sums], &[]);
    let scaled = plan.arena(F32, &[1, 4]);
    let row = plan.constant_f32(&[4], &[0.5, 1.0, 2.0, 4.0]);
    plan.op(kernel(OpCode::Scale, 0), &[sums, row, row], &[scaled], &[1]);
    let codes = plan.arena(DType::I8, &[1, 4]);
    plan.op(
        kernel(OpCode::QuantizeLinear, 0),
        &[scaled],
        &[codes],
        &[0.05_f32.to_bits(), 3],
    );
    let weights = plan.constant(
        DType::I8,
        &[3, 4],
        &[1, 2, 3, 4, 251, 6, 7, 8, 9, 10, 128, 12],
    );
    let multiplier = plan.constant(DType::U8, &[1, 8], &[7, 0, 0, 0, 0, 0, 0, 4]);
    let offsets = plan.constant(DType::U8, &[3, 12], &[0x55; 36]);
    let hidden = plan.arena(DType::I8, &[1, 3]);
    let words = [0, 3, 5, -128_i32 as u32, 127];
    plan.op(
        kernel(OpCode::FullyConnected, 1),
        &[codes, weights, multiplier, offsets],
        &[hidden],
        &words,
    );
    let floats = plan.arena(F32, &[1, 3]);
    plan.op(
        kernel(OpCode::DequantizeLinear, 0),
        &[hidden],
        &[floats],
        &[0.1_f32.to_bits(), 5],
    );
    let group = plan.constant(DType::U8, &[40], &THRESHOLDS);
    let scores = plan.arena(F32, &[1, 3]);
    plan.op(
        kernel(OpCode::TreeEnsemble, 3),
        &[floats, group],
        &[scores],
        &[1, 1.0_f32.to_bits(), 0],
    );
    let joined = plan.arena(F32, &[1, 6]);
    plan.op(
        kernel(OpCode::Concat, 0),
        &[floats, scores],
        &[joined],
        &[1],
    );
    let matrix = plan.constant_f32(&[6, 3], &[0.25; 18]);
    let product = plan.arena(F32, &[1, 3]);
    plan.op(
        kernel(OpCode::MatMul, 0),
        &[joined, matrix],
        &[product],
        &[1, 1, 6, 3, 0, 0],
    );
    let square = plan.constant_f32(&[3, 3], &[0.5; 9]);
    let bias = plan.constant_f32(&[3], &[0.0; 3]);
    let logits = plan.arena(F32, &[1, 3]);
    plan.op(
        kernel(OpCode::FullyConnected, 0),
        &[product, square, bias],
        &[logits],
        &limits,
    );
    let probabilities = plan.arena(F32, &[1, 3]);
    plan.op(kernel(OpCode::Softmax, 0), &[logits], &[probabilities], &[]);
    let label = plan.arena(DType::I32, &[1]);
    plan.op(kernel(OpCode::ArgMax, 0), &[probabilities], &[label], &[]);
    plan.port(label, Role::Label);
    plan.port(probabilities, Role::Probabilities);
    plan
}

/// A plan that keeps state: a history, a quantised and a float recurrent layer.
fn streaming_plan() -> PlanBuilder {
    let mut plan = PlanBuilder::default();
    (plan.kept_bytes, plan.arena_bytes) = (48, 48);
    let new = plan.arena(DType::I8, &[3, 2]);
    let x = plan.arena_at(DType::I8, &[5, 2], 0);
    plan.op(kernel(OpCode::History, 0), &[new], &[x], &[]);
    let weights = plan.constant(DType::I8, &[8, 2], &[0x35; 16]);
    let factors = plan.constant(
        DType::U8,
        &[1, 20],
        &[9, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0],
    );
    let offsets = plan.constant(DType::U8, &[8, 12], &[0x11; 96]);
    let hidden = plan.arena(DType::I8, &[5, 2]);
    let state = plan.arena_at(DType::U8, &[14], 12);
    let words = [1, 0, 0, 3, -5_i32 as u32, 0.01_f32.to_bits(), 4];
    plan.op_with_scratch(
        kernel(OpCode::Lstm, 2),
        &[x, weights, weights, factors, offsets],
        (&[hidden], &[state]),
        &words,
    );
    let floats = plan.arena(F32, &[5, 2]);
    let scale = [0.01_f32.to_bits(), 4];
    plan.op(
        kernel(OpCode::DequantizeLinear, 0),
        &[hidden],
        &[floats],
        &scale,
    );
    let matrix = plan.constant_f32(&[6, 2], &[0.3; 12]);
    let bias = plan.constant_f32(&[8], &[0.1; 8]);
    let initial = plan.constant_f32(&[2], &[0.5, -0.5]);
    let last = plan.arena(F32, &[1, 2]);
    let state = plan.arena_at(DType::U8, &[20], 28);
    plan.op_with_scratch(
        kernel(OpCode::Gru, 0),
        &[floats, matrix, matrix, bias, initial],
        (&[last], &[state]),
        &[0, 1, 0],
    );
    plan.port(last, Role::Plain);
    plan
}

/// A plan over an image: a border, convolutions and pools, of bytes and of floats.
fn image_plan() -> PlanBuilder {
    let mut plan = PlanBuilder::default();
    let (free, one) = ([0xFF80_0000, 0x7F80_0000], [1, 1, 1, 1, 0, 0]);
    let ratio = [3, 0, 50, 0, 1, 4, -128_i32 as u32, 127];
    let x = plan.arena(DType::I8, &[1, 4, 3, 2]);
    let padded = plan.arena(DType::I8, &[1, 6, 4, 2]);
    let border = [0, 7, 0, 1, -1_i32 as u32, 0];
    plan.op(kernel(OpCode::Pad, 1), &[x], &[padded], &border);
    let weights = plan.constant(DType::I8, &[4, 3, 2, 1], &[0x5B; 24]);
    let multiplier = plan.constant(DType::U8, &[1, 8], &[11, 0, 0, 0, 0, 0, 0, 6]);
    let offsets = plan.constant(DType::U8, &[4, 12], &[0x21; 48]);
    let hidden = plan.arena(DType::I8, &[1, 3, 4, 4]);
    let words = [1, 3, 5, -128_i32 as u32, 127, 7, 2, 1, 1, 2, 1, 1];
    let operands = [padded, weights, multiplier, offsets];
    plan.op(kernel(OpCode::Conv2d, 1), &operands, &[hidden], &words);
    let best = plan.arena(DType::I8, &[1, 2, 2, 4]);
    let window = [2, 3, 2, 2, 1, 1, 1, 1];
    plan.op(kernel(OpCode::MaxPool2d, 1), &[hidden], &[best], &window);
    let means = plan.arena(DType::I8, &[1, 1, 2, 4]);
    let words = [&[2, 1][..], &one, &[0, 0, 1, 0], &ratio, &[9]].concat();
    plan.op(kernel(OpCode::AveragePool2d, 1), &[best], &[means], &words);
    let weights = plan.constant(DType::I8, &[2, 2, 2, 2], &[0xE3; 16]);
    let offsets = plan.constant(DType::U8, &[2, 12], &[0x21; 24]);
    let floats = plan.arena(F32, &[1, 2, 4, 2]);
    let words = [&[2][..], &free, &[9, 2, 2, 1, 1, 0, 0]].concat();
    let operands = [means, weights, multiplier, offsets];
    plan.op(
        kernel(OpCode::ConvTranspose2d, 2),
        &operands,
        &[floats],
        &words,
    );
    let weights = plan.constant_f32(&[3, 1, 1, 2], &[0.5; 6]);
    let bias = plan.constant_f32(&[3], &[0.25; 3]);
    let last = plan.arena(F32, &[1, 2, 4, 3]);
    let words = [&free[..], &one].concat();
    plan.op(
        kernel(OpCode::Conv2d, 0),
        &[floats, weights, bias],
        &[last],
        &words,
    );
    let mean = plan.arena(F32, &[1, 1, 1, 3]);
    let words = [&[2, 4][..], &one, &[0; 4]].concat();
    plan.op(kernel(OpCode::AveragePool2d, 0), &[last], &[mean], &words);
    plan.port(mean, Role::Plain);
    plan
}

/// A plan with the kernels on bytes.
fn byte_plan() -> PlanBuilder {
    let mut plan = PlanBuilder::default();
    let x = plan.arena(DType::I8, &[2, 6]);
    let table = plan.constant(DType::I8, &[256], &[0xC3; 256]);
    let mut operands = vec![x];
    let mut binary = |plan: &mut PlanBuilder, op, variant, words: &[u32]| {
        let y = plan.arena(DType::I8, &[2, 6]);
        let last = operands[operands.len() - 1];
        plan.op(kernel(op, variant), &[x, last], &[y], words);
        operands.push(y);
    };
    let rescale = [77, 0, 300, 0, 1, 3, -100_i32 as u32, 90];
    let sum = [&rescale[..], &[5, 6, 20, 0]].concat();
    binary(&mut plan, OpCode::Add, 1, &sum);
    binary(&mut plan, OpCode::Sub, 1, &sum);
    binary(&mut plan, OpCode::Mul, 1, &sum[..10]);
    binary(
        &mut plan,
        OpCode::Add,
        2,
        &[1 << 29, 1 << 28, 1 << 20, 21, 0xFFFF_FF80, 127],
    );
    binary(
        &mut plan,
        OpCode::Mul,
        2,
        &[1, 2, 1 << 29, 0, 64, 38, 0xFFFF_FF80, 127],
    );
    let last = operands[operands.len() - 1];
    let mapped = plan.arena(DType::I8, &[2, 6]);
    plan.op(kernel(OpCode::Lookup, 0), &[last, table], &[mapped], &[]);
    let exponentials = [1 << 30, 1 << 28, 1_i32].map(i32::to_le_bytes).concat();
    let table = plan.constant(DType::I32, &[3], &exponentials);
    let y = plan.arena(DType::I8, &[2, 6]);
    plan.op(
        kernel(OpCode::Softmax, 1),
        &[mapped, table],
        &[y],
        &[3, 9, 4],
    );
    plan.port(y, Role::Plain);
    plan
}

/// A plan with the ops on bytes that have sums in them.
fn sums_plan() -> PlanBuilder {
    let mut plan = PlanBuilder::default();
    let x = plan.arena(DType::I8, &[2, 3]);
    let ratio = [77, 0, 300, 0, 1, 3, -100_i32 as u32, 90];
    let turned = plan.arena(DType::I8, &[3, 2]);
    let turn = kernel(OpCode::StridedCopy, 0);
    plan.op(turn, &[x], &[turned], &[0, 0, 0, 1, 3]);
    let product = plan.arena(DType::I8, &[2, 2]);
    let words = [&[1, 2, 3, 2, 0, 0, 4, 5][..], &ratio].concat();
    let multiply = kernel(OpCode::MatMul, 1);
    plan.op(multiply, &[x, turned], &[product], &words);
    let gains = [1 << 20, -1_i32 << 21].map(i32::to_le_bytes).concat();
    let gains = plan.constant(DType::I32, &[2], &gains);
    let normal = plan.arena(DType::I8, &[2, 2]);
    let normalize = kernel(OpCode::LayerNormalization, 1);
    let words = [9, 7, 20, 3, -100_i32 as u32, 100];
    plan.op(normalize, &[product, gains, gains], &[normal], &words);
    let mean = plan.arena(DType::I8, &[2]);
    let words = [&[1, 2, 2, 6][..], &ratio].concat();
    plan.op(kernel(OpCode::ReduceMean, 1), &[normal], &[mean], &words);
    plan.port(mean, Role::Plain);
    plan
}

/// A plan with a support vector machine of three classes behind activations.
fn machine_plan() -> PlanBuilder {
    let mut plan = PlanBuilder::default();
    let [x, scaled, limited, swished, normal] = [0; 5].map(|_| plan.arena(F32, &[1, 4]));
    let [alpha, beta] = [0.2_f32, 0.5].map(f32::to_bits);
    plan.op(kernel(OpCode::LeakyRelu, 0), &[x], &[scaled], &[alpha]);
    let line = kernel(OpCode::HardSigmoid, 0);
    plan.op(line, &[scaled], &[limited], &[alpha, beta]);
    plan.op(kernel(OpCode::HardSwish, 0), &[limited], &[swished], &[]);
    let row = plan.constant_f32(&[4], &[0.5, 1.0, 2.0, 4.0]);
    let normalize = kernel(OpCode::LayerNormalization, 0);
    plan.op(normalize, &[swished, row, row], &[normal], &[alpha]);
    let vectors = plan.constant_f32(&[5, 4], &[0.25; 20]);
    let values = plan.arena(F32, &[1, 5]);
    let words = [2, alpha, beta, 3.0_f32.to_bits()];
    plan.op(
        kernel(OpCode::Svm, 0),
        &[normal, vectors],
        &[values],
        &words,
    );
    let coefficients = plan.constant_f32(&[2, 5], &[0.75; 10]);
    let three = plan.constant_f32(&[3], &[-0.5, 0.25, 1.0]);
    let counts = [1, 2, 2].map(i32::to_le_bytes).concat();
    let counts = plan.constant(DType::I32, &[3], &counts);
    let decisions = plan.arena(F32, &[1, 3]);
    let operands = [values, coefficients, three, counts];
    plan.op(kernel(OpCode::Svm, 1), &operands, &[decisions], &[]);
    let label = plan.arena(DType::I32, &[1]);
    plan.op(kernel(OpCode::Svm, 2), &[decisions, counts], &[label], &[]);
    let shares = plan.arena(F32, &[5, 3]);
    let operands = [decisions, three, three];
    plan.op(kernel(OpCode::Svm, 3), &operands, &[shares], &[]);
    plan.port(label, Role::Label);
    plan.port(shares, Role::Plain);
    plan
}

fn originals() -> [(&'static str, Vec<u8>); 8] {
    [
        ("sums", sums_plan().build()),
        ("machine", machine_plan().build()),
        ("small", small_plan().build()),
        ("rich", rich_plan().build()),
        ("bytes", byte_plan().build()),
        ("image", image_plan().build()),
        ("streaming", streaming_plan().build()),
        ("forest", forest_plan().build()),
    ]
}

#[test]
fn plans_with_damaged_bytes_are_refused_or_run_to_the_end() {
    let originals = originals();
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut fates = Fates::default();
    for round in 0..rounds(ROUNDS) {
        let mut bytes = originals[round % originals.len()].1.clone();
        damage_bytes(&mut bytes, &mut random);
        fates.count(load_and_run(&bytes, MAX_TEST_WORK, &mut random));
    }
    assert!(fates.ran > fates.total() / 20, "too blunt: {fates:?}");
    assert!(fates.refused > 0, "the check looks at nothing: {fates:?}");
}

/// Plans that the compiler wrote, in the folder that `DUNLIN_PLANS` names, if it names one: here they
/// run with the arithmetic checks of a development build.
fn written() -> Vec<(String, Vec<u8>)> {
    let Some(folder) = std::env::var_os("DUNLIN_PLANS") else {
        return Vec::new();
    };
    let files = std::fs::read_dir(folder).expect("a folder of plans");
    let paths = files.map(|file| file.expect("a file").path());
    let plan = |path: std::path::PathBuf| {
        let plan = std::fs::read(&path).expect("a plan");
        (path.display().to_string(), plan)
    };
    paths.map(plan).collect()
}

#[test]
fn plans_with_damaged_fields_are_refused_or_run_to_the_end() {
    for (name, plan) in written() {
        let fates = fuzz(&name, &plan, rounds(300), MAX_TEST_WORK);
        eprintln!("{name}: {fates:?}");
        assert!(fates.refused > 0, "the check looks at nothing: {fates:?}");
    }
    for (name, plan) in originals() {
        let fates = fuzz(name, &plan, rounds(ROUNDS / 4), MAX_TEST_WORK);
        assert!(fates.ran > fates.total() / 20, "too blunt: {fates:?}");
        assert!(fates.refused > 0, "the check looks at nothing: {fates:?}");
    }
}

#[test]
fn every_single_byte_set_to_an_edge_is_refused_or_runs() {
    let mut random = Random(7);
    let mut fates = Fates::default();
    for (_, original) in originals() {
        for at in 0..original.len() {
            for value in [0x00, 0x01, 0x7F, 0x80, 0xFF, original[at].wrapping_add(1)] {
                let mut bytes = original.clone();
                bytes[at] = value;
                fates.count(load_and_run(&bytes, MAX_TEST_WORK, &mut random));
            }
        }
    }
    assert!(fates.ran > 0 && fates.refused > 0);
}

#[test]
fn random_bytes_behind_a_valid_header_are_refused_or_run() {
    let header = rich_plan().build()[..48].to_vec();
    let length = rich_plan().build().len();
    let mut random = Random(99);
    for _ in 0..5_000 {
        let mut bytes = header.clone();
        bytes.resize_with(length, || random.next() as u8);
        load_and_run(&bytes, MAX_TEST_WORK, &mut random);
    }
}

#[test]
fn the_undamaged_plans_run() {
    for (name, plan) in originals() {
        let fate = load_and_run(&plan, MAX_TEST_WORK, &mut Random(2));
        assert_eq!(fate, Fate::Ran, "{name}");
    }
}

#[test]
fn damaged_trees_are_refused_or_walked_to_the_end() {
    let original = forest_plan().build();
    let trees = original.len() - (36 + 4 * (3 + 256));
    let mut random = Random(0x7EED_5EED_1234_0001);
    let (mut loaded, rounds) = (0, 40_000);
    for _ in 0..rounds {
        let mut bytes = original.clone();
        for _ in 0..=random.below(3) {
            let at = trees + random.below(FOREST_BYTES);
            bytes[at] = match random.below(3) {
                0 => bytes[at] ^ 1 << random.below(8),
                1 => bytes[at].wrapping_add(1),
                _ => random.next() as u8,
            };
        }
        loaded += usize::from(load_and_run(&bytes, MAX_TEST_WORK, &mut random) != Fate::Refused);
    }
    assert!(loaded > rounds / 20 && loaded < rounds, "{loaded} loaded");
}
