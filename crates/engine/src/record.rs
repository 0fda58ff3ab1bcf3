//! The fixed-size records of a plan, read from and written to bytes.
//!
//! Encoders live beside decoders so that the compiler, the tests and the engine share one
//! description of every field.

use crate::bytes::put;
use crate::format::{
    CONSTANT_ALIGNMENT, DType, FORMAT, HEADER_BYTES, KERNEL_BYTES, MAGIC, OP_BYTES, OPERAND_BYTES,
    PARAMETER_ALIGNMENT, PORT_BYTES, Role, TENSOR_BYTES,
};
use crate::{KernelId, TensorInfo};

/// Words of the header.
pub(crate) type HeaderWords = [Word; HEADER_BYTES / 4];
/// An entry of the tensor table.
pub(crate) type TensorEntry = [Word; TENSOR_BYTES / 4];
/// An entry of the op table.
pub(crate) type OpEntry = [Word; OP_BYTES / 4];
/// An entry of the input and output table.
pub(crate) type PortEntry = [u8; PORT_BYTES];
/// Four little-endian bytes.
type Word = [u8; 4];

/// The header's numbers. Sections have no offsets of their own: they stand one after another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Arena bytes a run needs.
    pub arena_bytes: u32,
    /// Bytes at the start of the arena that stay from run to run.
    pub kept_bytes: u32,
    /// Stack bytes a run needs, engine and kernels together.
    pub stack_bytes: u32,
    /// Tensors in the arena; they come first in the tensor table.
    pub arena_tensors: u16,
    /// Tensors in the constants section.
    pub constant_tensors: u16,
    /// Entries of the op table.
    pub ops: u16,
    /// Entries of the kernel list.
    pub kernels: u16,
    /// Entries of the operand table.
    pub operands: u16,
    /// Inputs.
    pub inputs: u8,
    /// Outputs.
    pub outputs: u8,
    /// Bytes of the parameters section.
    pub parameters_bytes: u32,
    /// Bytes of the constants section.
    pub constants_bytes: u32,
}

/// Where each section starts, in bytes from the start of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sections {
    /// Tensor table.
    pub tensors: usize,
    /// Op table.
    pub ops: usize,
    /// Kernel list.
    pub kernels: usize,
    /// Input and output table.
    pub ports: usize,
    /// Operand table.
    pub operands: usize,
    /// Parameters.
    pub parameters: usize,
    /// Constants.
    pub constants: usize,
    /// End of the plan.
    pub end: usize,
}

impl Header {
    /// Where the sections of a plan with this header start; none if an offset overflows.
    pub fn sections(&self) -> Option<Sections> {
        let tensor_count = usize::from(self.arena_tensors) + usize::from(self.constant_tensors);
        let port_count = usize::from(self.inputs) + usize::from(self.outputs);
        let tensors = HEADER_BYTES;
        let ops = tensors.checked_add(tensor_count.checked_mul(TENSOR_BYTES)?)?;
        let kernels = ops.checked_add(usize::from(self.ops).checked_mul(OP_BYTES)?)?;
        let ports = kernels.checked_add(usize::from(self.kernels).checked_mul(KERNEL_BYTES)?)?;
        let operands = ports.checked_add(port_count.checked_mul(PORT_BYTES)?)?;
        let parameters = operands
            .checked_add(usize::from(self.operands).checked_mul(OPERAND_BYTES)?)?
            .checked_next_multiple_of(PARAMETER_ALIGNMENT)?;
        let constants = parameters
            .checked_add(usize::try_from(self.parameters_bytes).ok()?)?
            .checked_next_multiple_of(CONSTANT_ALIGNMENT)?;
        let end = constants.checked_add(usize::try_from(self.constants_bytes).ok()?)?;
        Some(Sections {
            tensors,
            ops,
            kernels,
            ports,
            operands,
            parameters,
            constants,
            end,
        })
    }

    /// The header's bytes, for a plan of `total_bytes`.
    pub fn encode(&self, total_bytes: u32) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let fields = || {
            put(&mut bytes, 0, MAGIC)?;
            put(&mut bytes, 8, FORMAT.to_le_bytes())?;
            put(&mut bytes, 12, total_bytes.to_le_bytes())?;
            put(&mut bytes, 16, self.arena_bytes.to_le_bytes())?;
            put(&mut bytes, 20, self.kept_bytes.to_le_bytes())?;
            put(&mut bytes, 24, self.stack_bytes.to_le_bytes())?;
            put(&mut bytes, 28, self.arena_tensors.to_le_bytes())?;
            put(&mut bytes, 30, self.constant_tensors.to_le_bytes())?;
            put(&mut bytes, 32, self.ops.to_le_bytes())?;
            put(&mut bytes, 34, self.kernels.to_le_bytes())?;
            put(&mut bytes, 36, self.operands.to_le_bytes())?;
            put(&mut bytes, 38, [self.inputs, self.outputs])?;
            put(&mut bytes, 40, self.parameters_bytes.to_le_bytes())?;
            put(&mut bytes, 44, self.constants_bytes.to_le_bytes())
        };
        write_all(fields);
        bytes
    }

    /// Reads the counts; magic, format, total length and reserved fields are the caller's.
    pub(crate) fn decode(words: &HeaderWords) -> Self {
        let [
            _,
            _,
            _,
            _,
            arena,
            kept,
            stack,
            [a0, a1, c0, c1],
            [o0, o1, k0, k1],
            [p0, p1, inputs, outputs],
            parameters,
            constants,
        ] = *words;
        Self {
            arena_bytes: u32::from_le_bytes(arena),
            kept_bytes: u32::from_le_bytes(kept),
            stack_bytes: u32::from_le_bytes(stack),
            arena_tensors: u16::from_le_bytes([a0, a1]),
            constant_tensors: u16::from_le_bytes([c0, c1]),
            ops: u16::from_le_bytes([o0, o1]),
            kernels: u16::from_le_bytes([k0, k1]),
            operands: u16::from_le_bytes([p0, p1]),
            inputs,
            outputs,
            parameters_bytes: u32::from_le_bytes(parameters),
            constants_bytes: u32::from_le_bytes(constants),
        }
    }
}

/// Runs the writes of a record whose length is a constant that covers every field.
fn write_all(mut writes: impl FnMut() -> Option<()>) {
    let written = writes();
    debug_assert!(written.is_some());
}

impl TensorInfo {
    /// The entry of the tensor table for this tensor. Its role is not part of it.
    pub fn encode(&self) -> [u8; TENSOR_BYTES] {
        let mut bytes = [0; TENSOR_BYTES];
        let fields = || {
            put(&mut bytes, 0, [self.dtype as u8, self.rank])?;
            for (position, dimension) in self.dims.iter().enumerate() {
                put(&mut bytes, 4 + 4 * position, dimension.to_le_bytes())?;
            }
            put(&mut bytes, 20, self.offset.to_le_bytes())?;
            put(&mut bytes, 24, self.scale.to_le_bytes())?;
            put(&mut bytes, 28, self.zero_point.to_le_bytes())
        };
        write_all(fields);
        bytes
    }

    /// Reads an entry; none where a code is unknown or a reserved byte is not zero.
    pub(crate) fn decode(entry: &TensorEntry) -> Option<Self> {
        let &[
            [dtype, rank, 0, 0],
            d0,
            d1,
            d2,
            d3,
            offset,
            scale,
            zero_point,
        ] = entry
        else {
            return None;
        };
        Some(Self {
            dtype: DType::from_code(dtype)?,
            rank,
            dims: [d0, d1, d2, d3].map(u32::from_le_bytes),
            offset: u32::from_le_bytes(offset),
            scale: f32::from_le_bytes(scale),
            zero_point: i32::from_le_bytes(zero_point),
            role: Role::Plain,
        })
    }
}

/// An entry of the op table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpRecord {
    /// The kernel that runs the op.
    pub kernel: KernelId,
    /// Number of input operands.
    pub inputs: u8,
    /// Number of output operands.
    pub outputs: u8,
    /// Number of scratch operands.
    pub scratch: u8,
    /// Index of the first operand: inputs, then outputs, then scratch.
    pub first_operand: u16,
    /// Offset of the parameter block in the parameters section, in bytes.
    pub parameters_offset: u32,
    /// Length of the parameter block in bytes.
    pub parameters_bytes: u32,
}

impl OpRecord {
    /// The entry's bytes.
    pub fn encode(&self) -> [u8; OP_BYTES] {
        let mut bytes = [0; OP_BYTES];
        let kernel = [self.kernel.version(), self.kernel.variant()];
        let fields = || {
            put(&mut bytes, 0, self.kernel.opcode().to_le_bytes())?;
            put(&mut bytes, 2, kernel)?;
            put(&mut bytes, 4, [self.inputs, self.outputs, self.scratch])?;
            put(&mut bytes, 8, self.first_operand.to_le_bytes())?;
            put(&mut bytes, 12, self.parameters_offset.to_le_bytes())?;
            put(&mut bytes, 16, self.parameters_bytes.to_le_bytes())
        };
        write_all(fields);
        bytes
    }

    /// Where its operands stand in the operand table.
    #[inline(always)]
    pub(crate) fn operands(&self) -> core::ops::Range<usize> {
        let first = usize::from(self.first_operand);
        let inputs_and_outputs = usize::from(self.inputs) + usize::from(self.outputs);
        first..first + inputs_and_outputs + usize::from(self.scratch)
    }

    /// Whether the reserved bytes of an entry are zero.
    pub(crate) fn is_plain(entry: &OpEntry) -> bool {
        let [_, counts, first, ..] = entry.map(u32::from_le_bytes);
        counts >> 24 | first >> 16 == 0
    }

    /// Reads an entry.
    #[inline(always)]
    pub(crate) fn decode(entry: &OpEntry) -> Self {
        let [
            kernel,
            [inputs, outputs, scratch, _],
            [low, high, ..],
            offset,
            length,
        ] = *entry;
        let kernel = u32::from_le_bytes(kernel);
        let (code, version, variant) = (kernel << 16, kernel >> 8 & 0xFF00, kernel >> 24);
        Self {
            kernel: KernelId::from_code(code | version | variant),
            inputs,
            outputs,
            scratch,
            first_operand: u16::from_le_bytes([low, high]),
            parameters_offset: u32::from_le_bytes(offset),
            parameters_bytes: u32::from_le_bytes(length),
        }
    }
}

/// An entry of the input and output table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// Index in the tensor table.
    pub tensor: u16,
    /// What the tensor is for.
    pub role: Role,
}

impl Port {
    /// The entry's bytes.
    pub fn encode(&self) -> [u8; PORT_BYTES] {
        let [t0, t1] = self.tensor.to_le_bytes();
        let [r0, r1] = (self.role as u16).to_le_bytes();
        [t0, t1, r0, r1]
    }

    pub(crate) fn decode(&[t0, t1, r0, r1]: &PortEntry) -> Option<Self> {
        Some(Self {
            tensor: u16::from_le_bytes([t0, t1]),
            role: Role::from_code(u16::from_le_bytes([r0, r1]))?,
        })
    }
}
