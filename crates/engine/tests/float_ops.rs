//! Float kernels of one tensor against double precision.

mod support;

use dunlin_engine::format::{OpCode, Role};
use support::{F32, PlanBuilder, f32_bytes, f32_values, kernel, run};

/// Results of an op of one element on `input`, in place.
fn results(op: OpCode, parameters: &[f32], input: &[f32]) -> Vec<f32> {
    let mut plan = PlanBuilder::default();
    let shape = [input.len() as u32];
    let (x, y) = (plan.arena_at(F32, &shape, 0), plan.arena_at(F32, &shape, 0));
    let words: Vec<u32> = parameters.iter().map(|value| value.to_bits()).collect();
    plan.op(kernel(op, 0), &[x], &[y], &words);
    plan.port(y, Role::Plain);
    f32_values(&run(&plan.build(), &f32_bytes(input))[0])
}

const INPUT: [f32; 9] = [-100.0, -3.0, -2.5, -1e-3, 0.0, 0.5, 2.999, 3.0, 1e10];

fn compare(op: OpCode, parameters: &[f32], expected: impl Fn(f64) -> f64) {
    for (y, x) in results(op, parameters, &INPUT).into_iter().zip(INPUT) {
        let expected = expected(f64::from(x));
        let error = (f64::from(y) - expected).abs();
        assert!(error <= 2e-7 * expected.abs().max(1.0), "{op:?}({x}) = {y}");
    }
}

#[test]
fn activations_match_double_precision() {
    let alpha = f64::from(0.1_f32);
    compare(OpCode::LeakyRelu, &[0.1], |x| {
        if x < 0.0 { x * alpha } else { x }
    });
    let slope = f64::from(0.2_f32);
    compare(OpCode::HardSigmoid, &[0.2, 0.5], |x| {
        (x * slope + 0.5).clamp(0.0, 1.0)
    });
    compare(OpCode::HardSwish, &[], |x| {
        x * (x / 6.0 + 0.5).clamp(0.0, 1.0)
    });
    let erf = results(OpCode::Erf, &[], &[-1.0, 0.0, 0.5, 9.0]);
    let known = [-0.842_700_8, 0.0, 0.520_499_9, 1.0];
    assert!(
        erf.iter()
            .zip(known)
            .all(|(y, known)| (y - known).abs() < 1e-6)
    );
    assert!(results(OpCode::HardSwish, &[], &[f32::NAN])[0].is_nan());
}

#[test]
fn rows_are_normalised_each_by_its_own_mean_and_variance() {
    let mut plan = PlanBuilder::default();
    let (x, y) = (plan.arena(F32, &[2, 4]), plan.arena(F32, &[2, 4]));
    let gains = plan.constant_f32(&[4], &[1.0, 2.0, 0.5, -1.0]);
    let offsets = plan.constant_f32(&[4], &[0.0, 1.0, 0.0, 0.25]);
    let normalize = kernel(OpCode::LayerNormalization, 0);
    plan.op(normalize, &[x, gains, offsets], &[y], &[1e-5_f32.to_bits()]);
    plan.port(y, Role::Plain);
    let rows = [[1.0, 2.0, 3.0, 4.0], [-10.0, 5.0, 5.0, 0.0]];
    let ours = f32_values(&run(&plan.build(), &f32_bytes(&rows.concat()))[0]);
    for (row, ours) in rows.iter().zip(ours.chunks(4)) {
        let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / 4.0;
        let square = |&x: &f32| (f64::from(x) - mean).powi(2);
        let variance = row.iter().map(square).sum::<f64>() / 4.0;
        let constants = [(1.0, 0.0), (2.0, 1.0), (0.5, 0.0), (-1.0, 0.25)];
        for ((&x, &y), (gain, offset)) in row.iter().zip(ours).zip(constants) {
            let unit = (f64::from(x) - mean) / (variance + 1e-5).sqrt();
            assert!((f64::from(y) - (unit * gain + offset)).abs() < 1e-6);
        }
    }
}
