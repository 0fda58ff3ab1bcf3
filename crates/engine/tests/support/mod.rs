//! Builds plans for tests, field by field, without the compiler.

#![allow(dead_code)]

use dunlin_engine::format::{
    CONSTANT_ALIGNMENT, DType, HEADER_BYTES, MAX_RANK, OP_BYTES, OPERAND_BYTES, OpCode, PORT_BYTES,
    Role, TENSOR_BYTES,
};
use dunlin_engine::record::{Header, OpRecord, Port};
use dunlin_engine::{KernelId, Plan, TensorInfo};

/// A tensor of a plan under construction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Id {
    Arena(u16),
    Constant(u16),
}

#[derive(Clone)]
struct Op {
    kernel: KernelId,
    inputs: Vec<Id>,
    outputs: Vec<Id>,
    scratch: Vec<Id>,
    words: Vec<u32>,
}

impl Op {
    fn operands(&self) -> impl Iterator<Item = Id> {
        let written = self.outputs.iter().chain(&self.scratch);
        self.inputs.iter().chain(written).copied()
    }
}

#[derive(Clone, Default)]
pub struct PlanBuilder {
    arena: Vec<TensorInfo>,
    constants: Vec<TensorInfo>,
    constant_bytes: Vec<u8>,
    ops: Vec<Op>,
    ports: Vec<(Id, Role)>,
    pub arena_bytes: u32,
    /// Bytes at the start of the arena that stay from run to run.
    pub kept_bytes: u32,
}

pub fn tensor(dtype: DType, shape: &[u32], offset: u32) -> TensorInfo {
    let mut dims = [1; MAX_RANK];
    dims[MAX_RANK - shape.len()..].copy_from_slice(shape);
    let rank = shape.len() as u8;
    TensorInfo {
        dtype,
        rank,
        dims,
        offset,
        scale: 0.0,
        zero_point: 0,
        role: Role::Plain,
    }
}

impl PlanBuilder {
    /// A tensor behind all others in the arena.
    pub fn arena(&mut self, dtype: DType, shape: &[u32]) -> Id {
        self.arena_at(dtype, shape, self.arena_bytes.next_multiple_of(4))
    }

    pub fn arena_at(&mut self, dtype: DType, shape: &[u32], offset: u32) -> Id {
        let info = tensor(dtype, shape, offset);
        self.arena_bytes = self.arena_bytes.max(info.range().end as u32);
        self.arena.push(info);
        Id::Arena(self.arena.len() as u16 - 1)
    }

    /// Where a tensor of the arena lies.
    pub fn offset(&self, id: Id) -> u32 {
        match id {
            Id::Arena(index) => self.arena[usize::from(index)].offset,
            Id::Constant(index) => self.constants[usize::from(index)].offset,
        }
    }

    pub fn constant(&mut self, dtype: DType, shape: &[u32], bytes: &[u8]) -> Id {
        let start = self
            .constant_bytes
            .len()
            .next_multiple_of(CONSTANT_ALIGNMENT);
        self.constant_bytes.resize(start, 0);
        self.constant_bytes.extend(bytes);
        self.constants.push(tensor(dtype, shape, start as u32));
        Id::Constant(self.constants.len() as u16 - 1)
    }

    pub fn constant_f32(&mut self, shape: &[u32], values: &[f32]) -> Id {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(DType::F32, shape, &bytes)
    }

    pub fn op(&mut self, kernel: KernelId, inputs: &[Id], outputs: &[Id], words: &[u32]) {
        self.op_with_scratch(kernel, inputs, (outputs, &[]), words);
    }

    /// An op that writes outputs and scratch tensors.
    pub fn op_with_scratch(
        &mut self,
        kernel: KernelId,
        inputs: &[Id],
        (outputs, scratch): (&[Id], &[Id]),
        words: &[u32],
    ) {
        self.ops.push(Op {
            kernel,
            inputs: inputs.to_vec(),
            outputs: outputs.to_vec(),
            scratch: scratch.to_vec(),
            words: words.to_vec(),
        });
    }

    /// The bytes with another offset for an arena tensor, and room for it.
    pub fn clone_with_offset(&self, tensor: usize, offset: u32) -> Vec<u8> {
        let mut changed = self.clone();
        changed.arena[tensor].offset = offset;
        changed.arena_bytes = changed
            .arena_bytes
            .max(changed.arena[tensor].range().end as u32);
        changed.build()
    }

    pub fn port(&mut self, tensor: Id, role: Role) {
        self.ports.push((tensor, role));
    }

    fn index(&self, id: Id) -> u16 {
        match id {
            Id::Arena(index) => index,
            Id::Constant(index) => self.arena.len() as u16 + index,
        }
    }

    /// The plan's bytes; arena tensor 0 is the input.
    pub fn build(&self) -> Vec<u8> {
        let mut kernels: Vec<_> = self.ops.iter().map(|op| op.kernel).collect();
        kernels.sort();
        kernels.dedup();
        let operands: Vec<u16> = self
            .ops
            .iter()
            .flat_map(Op::operands)
            .map(|id| self.index(id))
            .collect();
        let header = Header {
            arena_bytes: self.arena_bytes.next_multiple_of(4),
            kept_bytes: self.kept_bytes,
            stack_bytes: 512,
            arena_tensors: self.arena.len() as u16,
            constant_tensors: self.constants.len() as u16,
            ops: self.ops.len() as u16,
            kernels: kernels.len() as u16,
            operands: operands.len() as u16,
            inputs: 1,
            outputs: self.ports.len() as u8,
            parameters_bytes: self.ops.iter().map(|op| 4 * op.words.len() as u32).sum(),
            constants_bytes: self.constant_bytes.len() as u32,
        };
        let sections = header.sections().unwrap();
        let mut bytes = header.encode(sections.end as u32).to_vec();
        bytes.extend(
            self.arena
                .iter()
                .chain(&self.constants)
                .flat_map(|t| t.encode()),
        );
        bytes.extend(self.op_records().iter().flat_map(|op| op.encode()));
        bytes.extend(
            kernels
                .iter()
                .flat_map(|kernel| kernel.code().to_le_bytes()),
        );
        let input = Port {
            tensor: 0,
            role: Role::Plain,
        };
        bytes.extend(input.encode());
        for (id, role) in &self.ports {
            bytes.extend(
                Port {
                    tensor: self.index(*id),
                    role: *role,
                }
                .encode(),
            );
        }
        bytes.extend(operands.iter().flat_map(|index| index.to_le_bytes()));
        bytes.resize(sections.parameters, 0);
        bytes.extend(
            self.ops
                .iter()
                .flat_map(|op| &op.words)
                .flat_map(|word| word.to_le_bytes()),
        );
        bytes.resize(sections.constants, 0);
        bytes.extend(&self.constant_bytes);
        bytes
    }

    fn op_records(&self) -> Vec<OpRecord> {
        let (mut first_operand, mut parameters_offset) = (0, 0);
        let mut records = Vec::new();
        for Op {
            kernel,
            inputs,
            outputs,
            scratch,
            words,
        } in &self.ops
        {
            records.push(OpRecord {
                kernel: *kernel,
                inputs: inputs.len() as u8,
                outputs: outputs.len() as u8,
                scratch: scratch.len() as u8,
                first_operand,
                parameters_offset,
                parameters_bytes: 4 * words.len() as u32,
            });
            first_operand += (inputs.len() + outputs.len() + scratch.len()) as u16;
            parameters_offset += 4 * words.len() as u32;
        }
        records
    }
}

/// Loads `bytes`, runs them on `input` in an arena filled with 0xA5, gives every output's bytes.
pub fn run(bytes: &[u8], input: &[u8]) -> Vec<Vec<u8>> {
    let plan = Plan::load(bytes).expect("plan loads");
    let mut arena = vec![0xA5; plan.requirements().arena_bytes];
    plan.reset(&mut arena).expect("the arena is large enough");
    arena[plan.input().range()].copy_from_slice(input);
    plan.run(&mut arena).expect("plan runs");
    plan.outputs()
        .map(|output| arena[output.range()].to_vec())
        .collect()
}

pub fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

pub fn f32_values(bytes: &[u8]) -> Vec<f32> {
    bytes
        .chunks_exact(4)
        .map(|c| f32::from_le_bytes(c.try_into().unwrap()))
        .collect()
}

pub const fn kernel(op: OpCode, variant: u8) -> KernelId {
    KernelId::new(op as u16, 1, variant)
}

/// A two-class linear model of two inputs: probabilities are its scores, the label their maximum.
pub fn small_plan() -> PlanBuilder {
    let mut plan = PlanBuilder::default();
    let input = plan.arena(DType::F32, &[1, 2]);
    let scores = plan.arena(DType::F32, &[1, 2]);
    let label = plan.arena(DType::I32, &[1]);
    let weights = plan.constant_f32(&[2, 2], &[1.0, -1.0, -0.5, 2.0]);
    let bias = plan.constant_f32(&[2], &[0.25, -0.25]);
    let limits = [f32::NEG_INFINITY.to_bits(), f32::INFINITY.to_bits()];
    plan.op(
        kernel(OpCode::FullyConnected, 0),
        &[input, weights, bias],
        &[scores],
        &limits,
    );
    plan.op(kernel(OpCode::ArgMax, 0), &[scores], &[label], &[]);
    plan.port(label, Role::Label);
    plan.port(scores, Role::Probabilities);
    plan
}

/// As [`small_plan`], but the scores are the sums of the last two inputs.
pub fn streaming_plan() -> PlanBuilder {
    let mut plan = PlanBuilder::default();
    (plan.kept_bytes, plan.arena_bytes) = (16, 16);
    let input = plan.arena(DType::F32, &[1, 2]);
    let window = plan.arena_at(DType::F32, &[2, 2], 0);
    let scores = plan.arena(DType::F32, &[1, 2]);
    let label = plan.arena(DType::I32, &[1]);
    plan.op(kernel(OpCode::History, 0), &[input], &[window], &[]);
    let sum = kernel(OpCode::ReduceSum, 0);
    plan.op(sum, &[window], &[scores], &[1, 2, 2]);
    plan.op(kernel(OpCode::ArgMax, 0), &[scores], &[label], &[]);
    plan.port(label, Role::Label);
    plan.port(scores, Role::Probabilities);
    plan
}

/// Sizes of the tables before the parameters of a plan, for tests that aim at one field.
pub const TABLE_BYTES: [usize; 5] = [
    HEADER_BYTES,
    TENSOR_BYTES,
    OP_BYTES,
    PORT_BYTES,
    OPERAND_BYTES,
];

pub const F32: DType = DType::F32;
