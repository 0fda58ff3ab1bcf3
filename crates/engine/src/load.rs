//! The load check: what it lets through, a run cannot take out of bounds.
//!
//! Every rule stands here once; kernels hold their own operands and parameters in their `check`.

use crate::bytes::is_aligned;
use crate::error::{LoadError, OpFault};
use crate::format::{
    ARENA_ALIGNMENT, CONSTANT_ALIGNMENT, DType, FORMAT, HEADER_BYTES, KERNEL_BYTES, MAGIC,
    MAX_ARENA_BYTES, MAX_ELEMENTS, MAX_INPUTS, MAX_KERNELS, MAX_OPERANDS, MAX_OPS, MAX_OUTPUTS,
    MAX_PLAN_BYTES, MAX_STACK_BYTES, MAX_TENSORS, MAX_WORK, OP_BYTES, OPERAND_BYTES, OpCode,
    PARAMETER_ALIGNMENT, PORT_BYTES, Role, TENSOR_BYTES,
};
use crate::kernels::{Kernel, KernelSet};
use crate::op::{Kind, Kinds, Op, Tables, check};
use crate::record::{Header, HeaderWords, OpRecord, Port, PortEntry, TensorEntry};
use crate::{KernelId, tensor::Tensor};

/// Reads the header and holds it to the limits; gives the bytes of the plan as well.
pub(crate) fn read(bytes: &[u8]) -> Result<(&HeaderWords, &[u8]), LoadError> {
    let words = header(bytes)?;
    if !is_aligned(bytes) {
        return Err(LoadError::Unaligned);
    }
    let [_, _, format, total, ..] = *words;
    let [f0, f1, r0, r1] = format;
    let (format, total) = (u16::from_le_bytes([f0, f1]), u32::from_le_bytes(total));
    if format != FORMAT {
        return Err(LoadError::UnsupportedFormat { got: format });
    }
    let Some(bytes) = bytes.get(..total as usize) else {
        return Err(truncated(total, bytes));
    };
    let header = Header::decode(words);
    let position = match [r0, r1] == [0, 0] {
        true => wrong_field(&header, total),
        false => 10,
    };
    match position {
        0 => Ok((words, bytes)),
        _ => Err(LoadError::Header { position }),
    }
}

fn header(bytes: &[u8]) -> Result<&HeaderWords, LoadError> {
    if bytes.first_chunk() != Some(&MAGIC) {
        return Err(LoadError::NotAPlan);
    }
    let words = bytes.as_chunks().0.first_chunk();
    words.ok_or_else(|| truncated(HEADER_BYTES as u32, bytes))
}

fn truncated(needed: u32, bytes: &[u8]) -> LoadError {
    let got = bytes.len() as u32;
    LoadError::Truncated { needed, got }
}

/// Position of the first field that is over a limit, or 0.
fn wrong_field(header: &Header, total: u32) -> u32 {
    let tensors = u32::from(header.arena_tensors) + u32::from(header.constant_tensors);
    let arena = header.arena_bytes <= MAX_ARENA_BYTES
        && (header.arena_bytes as usize).is_multiple_of(ARENA_ALIGNMENT);
    let inputs = header.inputs == MAX_INPUTS && header.arena_tensors >= MAX_INPUTS.into();
    let mut wrong = 0;
    let mut hold = |position, holds: bool| {
        if !holds {
            wrong = position;
        }
    };
    hold(44, header.constants_bytes <= MAX_PLAN_BYTES);
    hold(40, header.parameters_bytes <= MAX_PLAN_BYTES);
    hold(39, (1..=MAX_OUTPUTS).contains(&header.outputs));
    hold(38, inputs);
    hold(36, header.operands <= MAX_OPERANDS);
    hold(34, header.kernels <= MAX_KERNELS);
    hold(32, header.ops <= MAX_OPS);
    hold(28, tensors <= MAX_TENSORS.into());
    hold(24, header.stack_bytes <= MAX_STACK_BYTES);
    hold(20, header.kept_bytes <= header.arena_bytes);
    hold(16, arena);
    hold(12, total <= MAX_PLAN_BYTES);
    wrong
}

/// Cuts a plan into its sections and says where they end; what reaches beyond the plan's end is left empty.
#[inline(never)]
pub(crate) fn sections<'a>(words: &'a HeaderWords, bytes: &'a [u8], end: &mut usize) -> Tables<'a> {
    let header = Header::decode(words);
    let tensors = usize::from(header.arena_tensors) + usize::from(header.constant_tensors);
    let ports = usize::from(header.inputs) + usize::from(header.outputs);
    // Below 2^30, as every section is within its limit.
    *end = HEADER_BYTES;
    let mut part = |count: usize, size: usize, alignment: usize| {
        let start = end.next_multiple_of(alignment);
        *end = start + count * size;
        bytes.get(start..*end).unwrap_or_default()
    };
    let mut words_of = |count, size, alignment| part(count, size, alignment).as_chunks().0;
    Tables {
        header: words,
        tensors: words_of(tensors, TENSOR_BYTES, 1).as_chunks().0,
        ops: words_of(header.ops.into(), OP_BYTES, 1).as_chunks().0,
        kernels: words_of(header.kernels.into(), KERNEL_BYTES, 1),
        ports: words_of(ports, PORT_BYTES, 1),
        operands: part(header.operands.into(), OPERAND_BYTES, 1).as_chunks().0,
        parameters: part(header.parameters_bytes as usize, 1, PARAMETER_ALIGNMENT)
            .as_chunks()
            .0,
        constants: part(header.constants_bytes as usize, 1, CONSTANT_ALIGNMENT),
    }
}

/// What the load check tells a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checked {
    /// Elementary steps of a run.
    pub work: u64,
    /// The kernel of the first op, which many a plan has for most of its ops.
    pub likely: Option<&'static Kernel>,
    /// Whether an output may have a NaN.
    pub has_nans: bool,
}

/// Checks that the plan ends with its sections, and what is in them.
#[inline(never)]
pub(crate) fn check_sections(
    words: &HeaderWords,
    bytes: &[u8],
    set: &'static KernelSet,
) -> Result<Checked, LoadError> {
    let mut end = 0;
    let tables = &sections(words, bytes, &mut end);
    if end != bytes.len() {
        return Err(LoadError::Header { position: 12 });
    }
    check_tensors(tables)?;
    let (work, likely) = check_ops(tables, set)?;
    check_ports(tables)?;
    Ok(Checked {
        work,
        likely,
        has_nans: may_have_nans(tables),
    })
}

fn check_tensors(tables: &Tables) -> Result<(), LoadError> {
    let arena = (tables.header().arena_bytes, ARENA_ALIGNMENT as u32);
    let constants = (tables.constants.len() as u32, CONSTANT_ALIGNMENT as u32);
    for (index, entry) in tables.tensors.iter().enumerate() {
        let index = index as u16;
        let (space, alignment) = match index < tables.arena_tensors() {
            true => arena,
            false => constants,
        };
        if !is_valid(entry, space, alignment) {
            return Err(LoadError::Tensor { tensor: index });
        }
    }
    Ok(())
}

/// `alignment` is a power of two.
fn is_valid(entry: &TensorEntry, space: u32, alignment: u32) -> bool {
    let [
        [dtype, rank, layout, reserved],
        d0,
        d1,
        d2,
        d3,
        offset,
        scale,
        zero_point,
    ] = *entry;
    let [d0, d1, d2, d3] = [d0, d1, d2, d3].map(u32::from_le_bytes);
    let (mut elements, mut beyond) = (1, 0);
    for dimension in [d0, d1, d2, d3] {
        let product = u64::from(elements) * u64::from(dimension);
        (elements, beyond) = (product as u32, beyond | (product >> 32) as u32);
    }
    // None is zero where there are elements, so all are one where their bits are those of one.
    let before_the_shape = match rank {
        1 => d0 | d1 | d2,
        2 => d0 | d1,
        3 => d0,
        4 => 1,
        _ => return false,
    };
    let has_shape = beyond == 0 && (1..=MAX_ELEMENTS).contains(&elements) && before_the_shape == 1;
    let Some(dtype) = DType::from_code(dtype).filter(|_| has_shape && layout | reserved == 0)
    else {
        return false;
    };
    let (offset, scale) = (u32::from_le_bytes(offset), u32::from_le_bytes(scale));
    // At most 2^28.
    let bytes = elements.wrapping_mul(dtype.bytes() as u32);
    let Some(room) = space.checked_sub(bytes) else {
        return false;
    };
    const NORMAL: u32 = 0x0080_0000;
    const INFINITE: u32 = 0x7F80_0000;
    if scale != 0 && (dtype != DType::I8 || !(NORMAL..INFINITE).contains(&scale)) {
        return false;
    }
    offset <= room
        && offset & alignment.wrapping_sub(1) == 0
        && (-128..=127).contains(&i32::from_le_bytes(zero_point))
}

/// Steps of all ops, and the kernel of the first.
type Ops = (u64, Option<&'static Kernel>);

fn check_ops(tables: &Tables, set: &'static KernelSet) -> Result<Ops, LoadError> {
    let mut work = 0_u64;
    // Arena tensors that the input and the ops so far have written.
    let mut written = u16::from(MAX_INPUTS);
    let mut last = None::<&'static Kernel>;
    for (index, entry) in tables.ops.iter().enumerate() {
        let mut op = tables.op(entry);
        let id = op.record().kernel;
        let kernel = match last {
            Some(kernel) if kernel.id == id => kernel,
            _ => {
                let listed = is_listed(tables, id).then_some(());
                listed.ok_or(LoadError::KernelList)?;
                set.find(id).ok_or(LoadError::MissingKernel(id))?
            }
        };
        last = Some(kernel);
        let steps = check_frame(&op, &mut written).and_then(|kinds| {
            op.kinds = kinds;
            (kernel.check)(&op)
        });
        let steps = steps.map_err(|fault| LoadError::Op {
            op: index as u16,
            fault,
        })?;
        if steps > MAX_WORK - work {
            return Err(LoadError::TooMuchWork);
        }
        work += steps;
    }
    if written != tables.arena_tensors() {
        return Err(LoadError::Tensor { tensor: written });
    }
    check_kernel_list(tables)?;
    check_kept(tables)?;
    let first = tables.ops.first().map(OpRecord::decode);
    Ok((work, first.and_then(|record| set.find(record.kernel))))
}

/// Holds what lies in the bytes that are kept to results and scratch of ops, each as a whole and behind those before: what
/// an op keeps there, neither the caller nor another op writes. Arena tensors stand in the order in which they are written.
fn check_kept(tables: &Tables) -> Result<(), LoadError> {
    let kept_bytes = tables.header().kept_bytes as usize;
    if kept_bytes == 0 {
        return Ok(());
    }
    let place = |tensor: u16| tables.tensor(tensor).map_or(0..0, Tensor::range);
    let mut tensors = 0..tables.arena_tensors();
    for tensor in tensors.by_ref().take(MAX_INPUTS.into()) {
        if place(tensor).start < kept_bytes {
            return Err(LoadError::Tensor { tensor });
        }
    }
    let mut end = 0;
    for (index, entry) in tables.ops.iter().enumerate() {
        let record = OpRecord::decode(entry);
        let count = usize::from(record.outputs) + usize::from(record.scratch);
        let is_view = record.kernel.opcode() == OpCode::Reshape as u16;
        for place in tensors.by_ref().take(count).map(place) {
            if is_view || place.start >= kept_bytes {
                continue;
            }
            if place.start < end || place.end > kept_bytes {
                let (op, fault) = (index as u16, OpFault::Aliasing);
                return Err(LoadError::Op { op, fault });
            }
            end = place.end;
        }
    }
    Ok(())
}

/// Whether a kernel is in the plan's list.
#[inline(never)]
fn is_listed(tables: &Tables, id: KernelId) -> bool {
    let mut kernels = tables.kernels.iter();
    kernels.any(|&code| u32::from_le_bytes(code) == id.code())
}

/// Holds the list to ascending kernels, each used. Every op's kernel exists, so of a list that ascends no more entries
/// than there are kernels are found among the ops.
fn check_kernel_list(tables: &Tables) -> Result<(), LoadError> {
    let mut least = 0;
    for &code in tables.kernels {
        let code = u32::from_le_bytes(code);
        let is_used = |entry| OpRecord::decode(entry).kernel.code() == code;
        if code < least || !tables.ops.iter().any(is_used) {
            return Err(LoadError::KernelList);
        }
        least = code.saturating_add(1);
    }
    Ok(())
}

/// Checks what all ops have in common. There must be operands: as inputs constants or tensors already written, as outputs
/// and scratch the next ones in the table. Parameters, if there are any, must lie in their section.
fn check_frame(op: &Op, written: &mut u16) -> Result<Kinds, OpFault> {
    let (tables, record) = (op.tables, op.record());
    let (start, length) = (record.parameters_offset, record.parameters_bytes);
    let aligned = (start | length).is_multiple_of(PARAMETER_ALIGNMENT as u32);
    let there = op.words.len() * PARAMETER_ALIGNMENT == length as usize;
    check(aligned && there, OpFault::Parameters)?;
    let fits = OpRecord::is_plain(op.entry) && !op.operands.is_empty();
    check(fits, OpFault::Operands)?;
    let inputs = usize::from(record.inputs);
    let mut kinds = Kinds::default();
    for (position, &index) in op.operands.iter().enumerate() {
        let index = u16::from_le_bytes(index);
        let is_placed = index < tables.arena_tensors();
        let tensor = tables.tensor(index).ok_or(OpFault::Operands)?;
        kinds = kinds.then(Kind::of(tensor, is_placed));
        if position < inputs {
            check(!is_placed || index < *written, OpFault::Order)?;
        } else {
            check(is_placed && index == *written, OpFault::Order)?;
            *written += 1;
        }
    }
    Ok(kinds)
}

fn check_ports(tables: &Tables) -> Result<(), LoadError> {
    for (entry, bytes) in tables.ports.iter().enumerate() {
        let fault = LoadError::Output {
            entry: entry as u16,
        };
        let port = Port::decode(bytes).ok_or(fault)?;
        let tensor = tables.tensor(port.tensor).ok_or(fault)?;
        let is_input = entry < MAX_INPUTS.into();
        let is_place = port.tensor < tables.arena_tensors()
            && (!is_input || usize::from(port.tensor) == entry);
        if !is_place || !role_fits(port.role, tensor, is_input) {
            return Err(fault);
        }
    }
    Ok(())
}

/// Whether an output of a checked plan may have a NaN: it is of floats, and the input or more than trees have made
/// it, whose sums of whole steps never are one.
fn may_have_nans(tables: &Tables) -> bool {
    let adds_steps = |entry| {
        let kernel = OpRecord::decode(entry).kernel;
        kernel.opcode() == OpCode::TreeEnsemble as u16 && kernel.variant() & 1 != 0
    };
    let only_steps = tables.ops.iter().all(adds_steps);
    let may_have = |port: &PortEntry| {
        let [low, high, ..] = *port;
        let index = u16::from_le_bytes([low, high]);
        let tensor = tables.tensor(index);
        let is_float = tensor.is_some_and(|tensor| tensor.dtype() == DType::F32);
        is_float && (!only_steps || index < MAX_INPUTS.into())
    };
    tables.ports.iter().skip(MAX_INPUTS.into()).any(may_have)
}

fn role_fits(role: Role, tensor: Tensor, is_input: bool) -> bool {
    match role {
        Role::Plain => true,
        Role::Label => !is_input && tensor.dtype() == DType::I32 && tensor.elements() == 1,
        Role::Probabilities => !is_input && tensor.dtype() == DType::F32,
    }
}
