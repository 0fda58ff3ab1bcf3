//! A plan: loaded once, then run.

use crate::bytes::{f32_at, u16_at, u32_at};
use crate::error::{LoadError, RunError};
use crate::format::{
    ARENA_ALIGNMENT, CONSTANT_ALIGNMENT, DType, FORMAT, HEADER_BYTES, KERNEL_BYTES, MAGIC,
    MAX_ARENA_BYTES, MAX_ELEMENTS, MAX_INPUTS, MAX_KERNELS, MAX_OPERANDS, MAX_OPS, MAX_OUTPUTS,
    MAX_PLAN_BYTES, MAX_RANK, MAX_STACK_BYTES, MAX_TENSORS, MAX_WORK, OpCode, PORT_BYTES, Role,
};
use crate::kernels::KernelSet;
use crate::op::{Op, Tables, check};
use crate::record::{Header, Port};
use crate::{KernelId, OpFault, TensorInfo};

/// A checked view over the bytes of a plan, read where they lie (flash, a file, a buffer).
///
/// Copying one copies a few pointers. Nothing of the plan is written. What a streaming plan keeps
/// from run to run stands in the arena.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    header: Header,
    tables: Tables<'a>,
    total_bytes: u32,
    work: u64,
    set: &'static KernelSet,
}

/// What a device must offer for a plan to run.
#[derive(Clone, Copy, Debug)]
pub struct Requirements<'a> {
    /// Bytes of arena. An arena that starts at a multiple of 16 suits every kernel.
    pub arena_bytes: usize,
    /// Bytes at the start of the arena that a streaming plan keeps from run to run; 0 for a plan
    /// whose runs do not know of each other.
    pub kept_bytes: usize,
    /// Bytes of stack below the calls of [`Plan::load`] and [`Plan::run`], as the compiler states
    /// it.
    pub stack_bytes: usize,
    /// The kernels the plan uses, in code order.
    pub kernels: Kernels<'a>,
}

/// The kernels a plan uses, in code order, each once.
#[derive(Clone, Copy, Debug)]
pub struct Kernels<'a> {
    bytes: &'a [u8],
}

impl Iterator for Kernels<'_> {
    type Item = KernelId;

    fn next(&mut self) -> Option<KernelId> {
        let code = u32_at(self.bytes, 0)?;
        self.bytes = self.bytes.get(KERNEL_BYTES..)?;
        Some(KernelId::from_code(code))
    }
}

impl<'a> Plan<'a> {
    /// Checks `bytes` and gives a plan that [`run`](Self::run) cannot take out of bounds.
    ///
    /// Every offset, length, shape, type, overlap, parameter and tree is checked here, once.
    /// `bytes` may be longer than the plan; the rest is not looked at. Integrity is not
    /// checked: a plan travels in a signed bundle, and even bytes that were changed on purpose
    /// can only give other numbers, never a panic, a bad access or an endless run.
    ///
    /// Cost: linear in the number of tensors, ops and operands, and for each op in the tree nodes or
    /// multipliers it names; weights are not read. An op is checked in no more steps than it runs in,
    /// and none is checked once the ops before it exceed [`MAX_WORK`].
    ///
    /// # Errors
    /// [`LoadError`] names the first thing that is wrong.
    pub fn load(bytes: &'a [u8]) -> Result<Plan<'a>, LoadError> {
        Self::load_with(bytes, KernelSet::all())
    }

    /// As [`load`](Self::load), with the kernels of `set`: what is in no set is not linked.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_with(bytes: &'a [u8], set: &'static KernelSet) -> Result<Plan<'a>, LoadError> {
        let (header, total_bytes) = read_header(bytes)?;
        let tables = sections(&header, bytes, total_bytes)?;
        let mut plan = Plan {
            header,
            tables,
            total_bytes,
            work: 0,
            set,
        };
        plan.check_tensors()?;
        plan.check_kernel_list()?;
        plan.work = plan.check_ops()?;
        plan.check_ports()?;
        Ok(plan)
    }

    /// Memory and kernels a run needs.
    pub fn requirements(&self) -> Requirements<'a> {
        Requirements {
            arena_bytes: self.header.arena_bytes as usize,
            kept_bytes: self.header.kept_bytes as usize,
            stack_bytes: self.header.stack_bytes as usize,
            kernels: Kernels {
                bytes: self.tables.kernels,
            },
        }
    }

    /// The input. The caller writes it at its [`range`](TensorInfo::range) of the arena before
    /// every run; a run may overwrite it.
    pub fn input(&self) -> TensorInfo {
        self.port(0).unwrap_or(NO_TENSOR)
    }

    /// The outputs, in order, each at its [`range`](TensorInfo::range) of the arena after a run.
    pub fn outputs(&self) -> impl Iterator<Item = TensorInfo> + use<'a> {
        let plan = *self;
        let first = u16::from(self.header.inputs);
        (first..first + u16::from(self.header.outputs)).filter_map(move |entry| plan.port(entry))
    }

    /// Number of ops.
    pub fn ops(&self) -> usize {
        usize::from(self.header.ops)
    }

    /// Length of the plan in bytes.
    pub fn bytes(&self) -> usize {
        self.total_bytes as usize
    }

    /// Upper bound of elementary steps in one run: multiply-accumulates, elements moved or
    /// computed, tree branches.
    pub fn work(&self) -> u64 {
        self.work
    }

    /// Runs the plan once: from the input in `arena` to the outputs in `arena`.
    ///
    /// The result depends on the plan, the input and, where a plan keeps bytes, on the inputs since
    /// the last [`reset`](Self::reset); not on what else the arena held. It is the same bytes on
    /// every machine; a NaN among the outputs is always `0x7FC00000`.
    ///
    /// # Errors
    /// [`RunError::ArenaTooSmall`] before anything is written.
    pub fn run(&self, arena: &mut [u8]) -> Result<(), RunError> {
        let arena = self.arena(arena)?;
        for index in 0..self.header.ops {
            self.run_op(index, arena)
                .ok_or(RunError::Unchecked { op: index })?;
        }
        self.settle_nans(arena);
        Ok(())
    }

    /// Forgets what was kept: the next run begins as the first one does. To be called before the
    /// first run in an arena, and after anything else has used it; where
    /// [`kept_bytes`](Requirements::kept_bytes) is 0, nothing is written.
    ///
    /// # Errors
    /// [`RunError::ArenaTooSmall`] before anything is written.
    pub fn reset(&self, arena: &mut [u8]) -> Result<(), RunError> {
        let kept = ..self.header.kept_bytes as usize;
        self.arena(arena)?.get_mut(kept).unwrap_or_default().fill(0);
        Ok(())
    }

    fn arena<'b>(&self, arena: &'b mut [u8]) -> Result<&'b mut [u8], RunError> {
        let got = arena.len();
        let needed = self.header.arena_bytes as usize;
        arena
            .get_mut(..needed)
            .ok_or(RunError::ArenaTooSmall { needed, got })
    }

    /// Gives every NaN among the outputs one bit pattern; processors make different ones.
    fn settle_nans(&self, arena: &mut [u8]) {
        let ports = self.tables.ports.as_chunks::<PORT_BYTES>().0;
        for [low, high, ..] in ports.iter().skip(usize::from(self.header.inputs)) {
            let Some(place) = self.tables.float_place(u16::from_le_bytes([*low, *high])) else {
                continue;
            };
            let bytes = arena.get_mut(place).unwrap_or_default();
            for element in bytes.as_chunks_mut().0 {
                if f32::from_le_bytes(*element).is_nan() {
                    *element = CANONICAL_NAN.to_le_bytes();
                }
            }
        }
    }

    /// The predicted class after a run: the output with [`Role::Label`], if there is one.
    pub fn label(&self, arena: &[u8]) -> Option<u32> {
        let label = self.output_with(Role::Label)?;
        u32_at(arena.get(label.range())?, 0)
    }

    /// The probability of `class` after a run, from the output with [`Role::Probabilities`].
    pub fn probability(&self, arena: &[u8], class: usize) -> Option<f32> {
        let probabilities = self.output_with(Role::Probabilities)?;
        f32_at(arena.get(probabilities.range())?, class.checked_mul(4)?)
    }

    fn output_with(&self, role: Role) -> Option<TensorInfo> {
        self.outputs().find(|output| output.role == role)
    }

    fn port(&self, entry: u16) -> Option<TensorInfo> {
        let at = usize::from(entry).checked_mul(PORT_BYTES)?;
        let port = Port::decode(self.tables.ports.get(at..)?)?;
        let tensor = self.tables.tensor(port.tensor)?;
        Some(TensorInfo {
            role: port.role,
            ..tensor
        })
    }

    fn run_op(&self, index: u16, arena: &mut [u8]) -> Option<()> {
        let op = self.tables.op(index)?;
        (self.set.find(op.record.kernel)?.run)(&op, arena)
    }

    fn check_tensors(&self) -> Result<(), LoadError> {
        let count = self
            .header
            .arena_tensors
            .saturating_add(self.header.constant_tensors);
        for index in 0..count {
            let fault = LoadError::Tensor { tensor: index };
            let tensor = self.tables.tensor(index).ok_or(fault)?;
            let (space, alignment) = match index < self.header.arena_tensors {
                true => (self.header.arena_bytes as usize, ARENA_ALIGNMENT),
                false => (self.tables.constants.len(), CONSTANT_ALIGNMENT),
            };
            if !is_valid(&tensor, space, alignment) {
                return Err(fault);
            }
        }
        Ok(())
    }

    fn check_kernel_list(&self) -> Result<(), LoadError> {
        let mut last = None;
        for kernel in self.requirements().kernels {
            if last >= Some(kernel) {
                return Err(LoadError::KernelList);
            }
            if self.set.find(kernel).is_none() {
                return Err(LoadError::MissingKernel(kernel));
            }
            last = Some(kernel);
            let used = (0..self.header.ops).any(|op| {
                self.tables
                    .op(op)
                    .is_some_and(|op| op.record.kernel == kernel)
            });
            if !used {
                return Err(LoadError::KernelList);
            }
        }
        Ok(())
    }

    fn check_ops(&self) -> Result<u64, LoadError> {
        let mut work = 0_u64;
        let mut written = Written {
            tensors: self.header.inputs.into(),
            kept_end: 0,
        };
        for input in 0..written.tensors {
            let place = written.placed(&self.tables, input, false);
            written = place.ok_or(LoadError::Tensor { tensor: input })?;
        }
        for index in 0..self.header.ops {
            let fault = |fault| LoadError::Op { op: index, fault };
            let op = self.tables.op(index).ok_or(fault(OpFault::Operands))?;
            let id = op.record.kernel;
            if !self.requirements().kernels.any(|kernel| kernel == id) {
                return Err(LoadError::KernelList);
            }
            written = check_order(&op, written).map_err(fault)?;
            check_parameters(&op).map_err(fault)?;
            let kernel = self.set.find(id).ok_or(LoadError::MissingKernel(id))?;
            work = work.saturating_add((kernel.check)(&op).map_err(fault)?);
            if work > MAX_WORK {
                return Err(LoadError::TooMuchWork);
            }
        }
        if written.tensors != self.header.arena_tensors {
            let tensor = written.tensors;
            return Err(LoadError::Tensor { tensor });
        }
        Ok(work)
    }

    fn check_ports(&self) -> Result<(), LoadError> {
        let inputs = u16::from(self.header.inputs);
        for entry in 0..inputs + u16::from(self.header.outputs) {
            let fault = LoadError::Output { entry };
            let at = usize::from(entry) * PORT_BYTES;
            let tensor = u16_at(self.tables.ports, at).ok_or(fault)?;
            let info = self.port(entry).ok_or(fault)?;
            let is_place =
                tensor < self.header.arena_tensors && (entry >= inputs || tensor == entry);
            if !is_place || !role_fits(&info, entry < inputs) {
                return Err(fault);
            }
        }
        Ok(())
    }
}

/// The NaN in outputs: quiet, positive, no payload.
const CANONICAL_NAN: u32 = 0x7FC0_0000;

const NO_TENSOR: TensorInfo = TensorInfo {
    dtype: DType::U8,
    rank: 1,
    dims: [1, 1, 1, 0],
    offset: 0,
    scale: 0.0,
    zero_point: 0,
    role: Role::Plain,
};

fn role_fits(info: &TensorInfo, is_input: bool) -> bool {
    match info.role {
        Role::Plain => true,
        Role::Label => !is_input && info.dtype == DType::I32 && info.elements() == 1,
        Role::Probabilities => !is_input && info.dtype == DType::F32,
    }
}

fn read_header(bytes: &[u8]) -> Result<(Header, u32), LoadError> {
    if bytes.get(..MAGIC.len()) != Some(&MAGIC) {
        return Err(LoadError::NotAPlan);
    }
    let got = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let cut = LoadError::Truncated {
        needed: HEADER_BYTES as u32,
        got,
    };
    let format = u16_at(bytes, 8).ok_or(cut)?;
    if format != FORMAT {
        return Err(LoadError::UnsupportedFormat { got: format });
    }
    let header = Header::decode(bytes).ok_or(cut)?;
    let total_bytes = u32_at(bytes, 12).ok_or(cut)?;
    if total_bytes > got {
        return Err(LoadError::Truncated {
            needed: total_bytes,
            got,
        });
    }
    let reserved = u16_at(bytes, 10).ok_or(cut)?;
    check_limits(&header, total_bytes, reserved)?;
    Ok((header, total_bytes))
}

fn check_limits(header: &Header, total: u32, reserved: u16) -> Result<(), LoadError> {
    let tensors = u32::from(header.arena_tensors) + u32::from(header.constant_tensors);
    let within = [
        (10, reserved == 0),
        (12, total <= MAX_PLAN_BYTES),
        (
            16,
            header.arena_bytes <= MAX_ARENA_BYTES
                && (header.arena_bytes as usize).is_multiple_of(ARENA_ALIGNMENT),
        ),
        (20, header.kept_bytes <= header.arena_bytes),
        (24, header.stack_bytes <= MAX_STACK_BYTES),
        (28, tensors <= u32::from(MAX_TENSORS)),
        (32, header.ops <= MAX_OPS),
        (34, header.kernels <= MAX_KERNELS),
        (36, header.operands <= MAX_OPERANDS),
        (
            38,
            header.inputs == MAX_INPUTS && u16::from(header.inputs) <= header.arena_tensors,
        ),
        (39, (1..=MAX_OUTPUTS).contains(&header.outputs)),
        (40, header.parameters_bytes <= MAX_PLAN_BYTES),
        (44, header.constants_bytes <= MAX_PLAN_BYTES),
    ];
    match within.iter().find(|(_, holds)| !holds) {
        Some(&(position, _)) => Err(LoadError::Header { position }),
        None => Ok(()),
    }
}

fn sections<'a>(header: &Header, bytes: &'a [u8], total: u32) -> Result<Tables<'a>, LoadError> {
    let wrong_length = LoadError::Header { position: 12 };
    let at = header.sections().ok_or(wrong_length)?;
    if at.end != total as usize {
        return Err(wrong_length);
    }
    let part = |from, to| bytes.get(from..to).ok_or(wrong_length);
    let operands_end = at.operands + usize::from(header.operands) * crate::format::OPERAND_BYTES;
    Ok(Tables {
        arena_tensors: header.arena_tensors,
        kept_bytes: header.kept_bytes,
        tensors: part(at.tensors, at.ops)?,
        ops: part(at.ops, at.kernels)?,
        kernels: part(at.kernels, at.ports)?,
        ports: part(at.ports, at.operands)?,
        operands: part(at.operands, operands_end)?,
        parameters: part(
            at.parameters,
            at.parameters + header.parameters_bytes as usize,
        )?,
        constants: part(at.constants, at.end)?,
    })
}

fn is_valid(tensor: &TensorInfo, space: usize, alignment: usize) -> bool {
    let rank = usize::from(tensor.rank);
    let elements = tensor
        .dims
        .iter()
        .try_fold(1_u32, |product, &d| product.checked_mul(d));
    let leading = MAX_RANK.saturating_sub(rank);
    let quantised = tensor.scale > 0.0 && tensor.scale.is_normal();
    (1..=MAX_RANK).contains(&rank)
        && tensor.dims.iter().take(leading).all(|&d| d == 1)
        && elements.is_some_and(|n| (1..=MAX_ELEMENTS).contains(&n))
        && (tensor.offset as usize).is_multiple_of(alignment)
        && tensor.range().end <= space
        && (tensor.scale == 0.0 || quantised && tensor.dtype == DType::I8)
        && (-128..=127).contains(&tensor.zero_point)
}

/// What the inputs and the ops so far have written.
#[derive(Clone, Copy)]
struct Written {
    /// Arena tensors.
    tensors: u16,
    /// End of the last tensor in the bytes that are kept.
    kept_end: usize,
}

impl Written {
    /// With the place of a tensor taken. In the bytes that are kept lie results and scratch of ops,
    /// each behind those before: what an op keeps there, neither the caller nor another op writes.
    fn placed(self, tables: &Tables, tensor: u16, is_written: bool) -> Option<Written> {
        let kept_bytes = tables.kept_bytes as usize;
        if kept_bytes == 0 {
            return Some(self);
        }
        let place = tables.tensor(tensor)?.range();
        if place.start >= kept_bytes {
            return Some(self);
        }
        let fits = is_written && place.start >= self.kept_end && place.end <= kept_bytes;
        fits.then_some(Written {
            kept_end: place.end,
            ..self
        })
    }
}

/// Inputs must be constants or tensors already written, outputs and scratch the next ones in
/// the table.
fn check_order(op: &Op, mut written: Written) -> Result<Written, OpFault> {
    let record = op.record;
    let inputs = usize::from(record.inputs);
    let is_view = record.kernel.opcode() == OpCode::Reshape as u16;
    for position in 0..inputs {
        let tensor = op.operand_index(position).ok_or(OpFault::Operands)?;
        check(tensor < op.tables.count(), OpFault::Operands)?;
        if tensor < op.tables.arena_tensors && tensor >= written.tensors {
            return Err(OpFault::Order);
        }
    }
    for position in 0..usize::from(record.outputs) + usize::from(record.scratch) {
        let tensor = op
            .operand_index(inputs + position)
            .ok_or(OpFault::Operands)?;
        if tensor != written.tensors || tensor >= op.tables.arena_tensors {
            return Err(OpFault::Order);
        }
        if !is_view {
            let placed = written.placed(op.tables, tensor, true);
            written = placed.ok_or(OpFault::Aliasing)?;
        }
        written.tensors += 1;
    }
    Ok(written)
}

fn check_parameters(op: &Op) -> Result<(), OpFault> {
    let start = op.record.parameters_offset as usize;
    let length = op.record.parameters_bytes as usize;
    let fits = start
        .checked_add(length)
        .is_some_and(|end| end <= op.tables.parameters.len());
    let aligned = start.is_multiple_of(4) && length.is_multiple_of(4);
    if fits && aligned {
        Ok(())
    } else {
        Err(OpFault::Parameters)
    }
}
