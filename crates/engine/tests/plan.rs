//! Loading, refusing and running plans.

mod support;

use dunlin_engine::format::{HEADER_BYTES, OpCode, Role, TENSOR_BYTES};
use dunlin_engine::{LoadError, OpFault, Plan, RunError};
use support::{f32_bytes, f32_values, kernel, run, small_plan};

#[test]
fn a_linear_model_gives_scores_and_label() {
    let outputs = run(&small_plan().build(), &f32_bytes(&[1.0, 3.0]));
    assert_eq!(
        f32_values(&outputs[1]),
        [1.0 - 3.0 + 0.25, -0.5 + 6.0 - 0.25]
    );
    assert_eq!(outputs[0], 1_i32.to_le_bytes());
}

#[test]
fn label_and_probability_are_read_by_role() {
    let bytes = small_plan().build();
    let plan = Plan::load(&bytes).unwrap();
    let mut arena = vec![0; plan.requirements().arena_bytes];
    arena[plan.input().range()].copy_from_slice(&f32_bytes(&[3.0, 1.0]));
    plan.run(&mut arena).unwrap();
    assert_eq!(plan.label(&arena), Some(0));
    assert_eq!(plan.probability(&arena, 0), Some(2.25));
    assert_eq!(plan.probability(&arena, 2), None);
    let roles: Vec<_> = plan.outputs().map(|output| output.role).collect();
    assert_eq!(roles, [Role::Label, Role::Probabilities]);
}

#[test]
fn requirements_state_arena_stack_and_kernels() {
    let bytes = small_plan().build();
    let plan = Plan::load(&bytes).unwrap();
    let needs = plan.requirements();
    assert_eq!((needs.arena_bytes, needs.stack_bytes), (20, 512));
    let kernels: Vec<_> = needs.kernels.collect();
    assert_eq!(
        kernels,
        [kernel(OpCode::FullyConnected, 0), kernel(OpCode::ArgMax, 0)]
    );
    assert_eq!(plan.work(), 4 + 2);
    assert_eq!((plan.ops(), plan.bytes()), (2, bytes.len()));
}

#[test]
fn a_small_arena_is_refused_before_anything_is_written() {
    let bytes = small_plan().build();
    let mut arena = [7_u8; 19];
    let result = Plan::load(&bytes).unwrap().run(&mut arena);
    assert_eq!(
        result,
        Err(RunError::ArenaTooSmall {
            needed: 20,
            got: 19
        })
    );
    assert_eq!(arena, [7; 19]);
}

#[test]
fn every_truncation_is_refused() {
    let bytes = small_plan().build();
    for length in 0..bytes.len() {
        assert!(
            Plan::load(&bytes[..length]).is_err(),
            "loaded {length} bytes"
        );
    }
    let needed = bytes.len() as u32;
    let cut = Plan::load(&bytes[..bytes.len() - 1]).unwrap_err();
    assert_eq!(
        cut,
        LoadError::Truncated {
            needed,
            got: needed - 1
        }
    );
}

#[test]
fn bytes_after_the_plan_are_not_looked_at() {
    let mut bytes = small_plan().build();
    let length = bytes.len();
    bytes.extend([0xFF; 32]);
    assert_eq!(Plan::load(&bytes).unwrap().bytes(), length);
}

/// Changes the plan's bytes at `position` and loads it.
fn load_with(position: usize, value: &[u8]) -> LoadError {
    let mut bytes = small_plan().build();
    bytes[position..position + value.len()].copy_from_slice(value);
    Plan::load(&bytes).unwrap_err()
}

#[test]
fn refusals_name_their_cause() {
    let tensor = |index: usize, field: usize| HEADER_BYTES + index * TENSOR_BYTES + field;
    let op = |index: usize, field: usize| HEADER_BYTES + 5 * TENSOR_BYTES + index * 20 + field;
    assert_eq!(load_with(0, b"X"), LoadError::NotAPlan);
    assert_eq!(
        load_with(8, &[2, 0]),
        LoadError::UnsupportedFormat { got: 2 }
    );
    assert_eq!(load_with(20, &[21]), LoadError::Header { position: 20 });
    assert_eq!(load_with(38, &[2]), LoadError::Header { position: 38 });
    assert_eq!(
        load_with(tensor(0, 0), &[9]),
        LoadError::Tensor { tensor: 0 }
    );
    assert_eq!(
        load_with(tensor(1, 2), &[1]),
        LoadError::Tensor { tensor: 1 }
    );
    assert_eq!(
        load_with(tensor(1, 16), &[0xFF; 4]),
        LoadError::Tensor { tensor: 1 }
    );
    assert_eq!(
        load_with(tensor(1, 20), &[2]),
        LoadError::Tensor { tensor: 1 }
    );
    assert_eq!(
        load_with(tensor(1, 20), &[64]),
        LoadError::Tensor { tensor: 1 }
    );
    let fault = |op, fault| LoadError::Op { op, fault };
    assert_eq!(load_with(tensor(3, 16), &[1]), fault(0, OpFault::Shape));
    assert_eq!(load_with(tensor(1, 20), &[4]), fault(0, OpFault::Aliasing));
    assert_eq!(load_with(tensor(2, 0), &[1]), fault(1, OpFault::Type));
    assert_eq!(load_with(op(0, 4), &[2]), fault(0, OpFault::Order));
    assert_eq!(load_with(op(1, 8), &[200]), fault(1, OpFault::Operands));
    assert_eq!(load_with(op(0, 16), &[4]), fault(0, OpFault::Parameters));
    assert_eq!(load_with(op(0, 2), &[3]), LoadError::KernelList);
}

#[test]
fn a_kernel_that_is_not_there_is_named() {
    let mut plan = small_plan();
    let unknown = dunlin_engine::KernelId::new(999, 1, 0);
    let (input, output) = (support::Id::Arena(0), plan.arena(support::F32, &[1]));
    plan.op(unknown, &[input], &[output], &[]);
    assert_eq!(
        Plan::load(&plan.build()).unwrap_err(),
        LoadError::MissingKernel(unknown)
    );
}

#[test]
fn no_op_is_checked_once_the_work_is_too_much() {
    let mut plan = support::PlanBuilder::default();
    let x = plan.arena(support::F32, &[4096, 4096]);
    let square = plan.arena(support::F32, &[4096, 4096]);
    let label = plan.arena(support::F32, &[1]);
    let sizes = [1, 4096, 4096, 4096, 0, 0];
    plan.op(kernel(OpCode::MatMul, 0), &[x, x], &[square], &sizes);
    plan.op(kernel(OpCode::ArgMax, 0), &[square], &[label], &[]);
    plan.port(label, Role::Plain);
    assert_eq!(
        Plan::load(&plan.build()).unwrap_err(),
        LoadError::TooMuchWork,
        "not the second op's type"
    );
}
