//! Support vector machines against double precision, on plans built by hand.

mod support;

use dunlin_engine::format::{DType, OpCode, Role};
use dunlin_engine::{LoadError, OpFault, Plan};
use support::{F32, Id, PlanBuilder, f32_bytes, f32_values, kernel, run};

/// A plan of one variant of `svm`.
fn plan(
    variant: u8,
    input: usize,
    output: (DType, &[u32]),
    constants: impl FnOnce(&mut PlanBuilder) -> Vec<Id>,
    words: &[u32],
) -> Vec<u8> {
    let mut plan = PlanBuilder::default();
    let x = plan.arena(F32, &[1, input as u32]);
    let y = plan.arena(output.0, output.1);
    let operands = [vec![x], constants(&mut plan)].concat();
    plan.op(kernel(OpCode::Svm, variant), &operands, &[y], words);
    plan.port(y, Role::Plain);
    plan.build()
}

fn close(ours: &[f32], expected: &[f64]) {
    assert_eq!(ours.len(), expected.len());
    for (y, expected) in ours.iter().zip(expected) {
        let error = (f64::from(*y) - expected).abs();
        assert!(
            error <= 1e-6 * expected.abs().max(1.0),
            "{y} is not {expected}"
        );
    }
}

#[test]
fn kernel_values_follow_their_formulas() {
    let vectors = [1.0_f32, 0.5, -0.25, 2.0, 0.0, 0.125];
    let x = [0.5_f32, -1.0, 2.0];
    let (gamma, addend) = (0.3_f64, 0.75_f64);
    type Formula = fn(f64, f64, [f64; 2]) -> f64;
    let formulas: [(u32, f32, Formula); 5] = [
        (0, 0.0, |dot, _, _| dot),
        (1, 2.0, |dot, _, [g, c]| (g * dot + c).powi(2)),
        (1, 3.0, |dot, _, [g, c]| (g * dot + c).powi(3)),
        (2, 0.0, |_, distance, [g, _]| (-g * distance).exp()),
        (3, 0.0, |dot, _, [g, c]| (g * dot + c).tanh()),
    ];
    for (kind, degree, formula) in formulas {
        let words = [
            kind,
            0.3_f32.to_bits(),
            0.75_f32.to_bits(),
            degree.to_bits(),
        ];
        let constant = |plan: &mut PlanBuilder| vec![plan.constant_f32(&[2, 3], &vectors)];
        let bytes = plan(0, 3, (F32, &[1, 2]), constant, &words);
        let expected = vectors.chunks(3).map(|vector| {
            let pairs = || {
                x.iter()
                    .zip(vector)
                    .map(|(&x, &v)| (f64::from(x), f64::from(v)))
            };
            let dot = pairs().map(|(x, v)| x * v).sum();
            let distance = pairs().map(|(x, v)| (x - v).powi(2)).sum();
            formula(dot, distance, [gamma, addend])
        });
        close(
            &f32_values(&run(&bytes, &f32_bytes(&x))[0]),
            &expected.collect::<Vec<_>>(),
        );
    }
}

const COUNTS: [i32; 3] = [2, 1, 3];
const OFFSETS: [f32; 3] = [0.5, -0.25, 0.125];

fn decisions_plan(counts: &[i32]) -> Vec<u8> {
    let coefficients: Vec<f32> = (0..12).map(|i| i as f32 / 4.0 - 1.5).collect();
    let constants = |plan: &mut PlanBuilder| {
        let counts: Vec<u8> = counts
            .iter()
            .flat_map(|count| count.to_le_bytes())
            .collect();
        vec![
            plan.constant_f32(&[2, 6], &coefficients),
            plan.constant_f32(&[3], &OFFSETS),
            plan.constant(DType::I32, &[3], &counts),
        ]
    };
    plan(1, 6, (F32, &[1, 3]), constants, &[])
}

#[test]
fn decisions_weigh_the_vectors_of_both_classes() {
    let row = [1.0_f32, -2.0, 0.5, 4.0, 0.25, -1.0];
    let coefficient = |line: usize, i: usize| (line * 6 + i) as f64 / 4.0 - 1.5;
    let starts = [0, 2, 3, 6];
    let run_of = |line: usize, class: usize| -> f64 {
        let range = starts[class]..starts[class + 1];
        range
            .map(|i| coefficient(line, i) * f64::from(row[i]))
            .sum()
    };
    let mut expected = Vec::new();
    for (first, second) in [(0, 1), (0, 2), (1, 2)] {
        let offset = f64::from(OFFSETS[expected.len()]);
        expected.push(run_of(second - 1, first) + run_of(first, second) + offset);
    }
    let ours = run(&decisions_plan(&COUNTS), &f32_bytes(&row));
    close(&f32_values(&ours[0]), &expected);
}

#[test]
fn counts_that_are_not_those_of_the_vectors_are_refused() {
    let fault = LoadError::Op {
        op: 0,
        fault: OpFault::Constant,
    };
    for counts in [[2, 1, 2], [2, 1, 4], [-1, 4, 3], [i32::MAX, i32::MAX, 8]] {
        assert_eq!(Plan::load(&decisions_plan(&counts)).unwrap_err(), fault);
    }
}

#[test]
fn the_first_class_with_the_most_votes_gives_the_label() {
    let label = |decisions: &[f32]| {
        let constants = |plan: &mut PlanBuilder| {
            let labels: Vec<u8> = [7, -3, 40, 9]
                .iter()
                .flat_map(|l: &i32| l.to_le_bytes())
                .collect();
            vec![plan.constant(DType::I32, &[4], &labels)]
        };
        let bytes = plan(2, 6, (DType::I32, &[1]), constants, &[]);
        let output = run(&bytes, &f32_bytes(decisions)).remove(0);
        i32::from_le_bytes(output.try_into().unwrap())
    };
    // Pairs 01 02 03 12 13 23.
    assert_eq!(label(&[1.0, 1.0, 1.0, 0.0, 0.0, 0.0]), 7);
    assert_eq!(label(&[-1.0, 1.0, 1.0, 1.0, 1.0, 0.0]), -3);
    assert_eq!(label(&[-1.0, -1.0, -1.0, -1.0, -1.0, 1.0]), 40);
    assert_eq!(label(&[0.0; 6]), 9);
    // Two votes each for classes 0 and 1, one each for 2 and 3.
    assert_eq!(label(&[1.0, 1.0, -1.0, 1.0, 1.0, 1.0]), 7);
}

#[test]
fn probabilities_couple_the_shares_of_all_pairs() {
    let probabilities = |decisions: &[f32], classes: u32| {
        let count = decisions.len() as u32;
        let constants = |plan: &mut PlanBuilder| {
            vec![
                plan.constant_f32(&[count], &vec![-2.0; decisions.len()]),
                plan.constant_f32(&[count], &vec![0.0; decisions.len()]),
            ]
        };
        let shape = [classes + 2, classes];
        let bytes = plan(3, decisions.len(), (F32, &shape), constants, &[]);
        let output = f32_values(&run(&bytes, &f32_bytes(decisions))[0]);
        output[..classes as usize].to_vec()
    };
    for equal in probabilities(&[0.0; 3], 3) {
        assert!((equal - 1.0 / 3.0).abs() < 1e-6);
    }
    for decision in [-2.0_f32, -0.3, 0.4, 1.5] {
        let share = 1.0 / (1.0 + (-2.0 * f64::from(decision)).exp());
        let [first, second] = probabilities(&[decision], 2)[..] else {
            panic!("two classes");
        };
        assert!(
            (f64::from(first) - share).abs() < 0.01,
            "{first} for {share}"
        );
        assert!((first + second - 1.0).abs() < 1e-6);
    }
    let clear = probabilities(&[3.0, 3.0, 0.0], 3);
    assert!(clear[0] > 0.95 && (clear[1] - clear[2]).abs() < 0.01);
    assert!((clear.iter().sum::<f32>() - 1.0).abs() < 1e-5);
}
