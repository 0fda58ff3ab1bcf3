//! A plan: loaded once, then run.

use crate::bytes::{f32_at, is_aligned, u32_at};
use crate::error::{LoadError, RunError};
use crate::format::{DType, MAX_INPUTS, Role};
use crate::kernels::KernelSet;
use crate::load::{self, Checked};
use crate::op::Tables;
use crate::record::{OpEntry, Port, PortEntry};
use crate::tensor::Tensor;
use crate::{KernelId, TensorInfo};

/// A checked view over the bytes of a plan, read where they lie (flash, a file, a buffer).
///
/// Copying one copies a few pointers. Nothing of the plan is written. What a streaming plan keeps
/// from run to run stands in the arena.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    tables: Tables<'a>,
    checked: Checked,
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
    codes: &'a [[u8; 4]],
}

impl Iterator for Kernels<'_> {
    type Item = KernelId;

    fn next(&mut self) -> Option<KernelId> {
        let (code, rest) = self.codes.split_first()?;
        self.codes = rest;
        Some(KernelId::from_code(u32::from_le_bytes(*code)))
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
        let (words, bytes) = load::read(bytes)?;
        let checked = load::check_sections(words, bytes, set)?;
        // Cut once more, in place: a copy of the tables would need `memcpy`.
        Ok(Plan {
            tables: load::sections(words, bytes, &mut 0),
            checked,
            set,
        })
    }

    /// Memory and kernels a run needs.
    pub fn requirements(&self) -> Requirements<'a> {
        let header = self.tables.header();
        Requirements {
            arena_bytes: header.arena_bytes as usize,
            kept_bytes: header.kept_bytes as usize,
            stack_bytes: header.stack_bytes as usize,
            kernels: Kernels {
                codes: self.tables.kernels,
            },
        }
    }

    /// The input. The caller writes it at its [`range`](TensorInfo::range) of the arena before
    /// every run; a run may overwrite it.
    pub fn input(&self) -> TensorInfo {
        let (inputs, _) = self.ports();
        let mut inputs = inputs.iter().filter_map(|entry| self.port(entry));
        inputs.next().unwrap_or(NO_TENSOR)
    }

    /// The outputs, in order, each at its [`range`](TensorInfo::range) of the arena after a run.
    pub fn outputs(&self) -> impl Iterator<Item = TensorInfo> + use<'a> {
        let plan = *self;
        let (_, outputs) = self.ports();
        outputs.iter().filter_map(move |entry| plan.port(entry))
    }

    /// Number of ops.
    pub fn ops(&self) -> usize {
        self.tables.ops.len()
    }

    /// Length of the plan in bytes.
    pub fn bytes(&self) -> usize {
        self.tables.total_bytes()
    }

    /// Upper bound of elementary steps in one run: multiply-accumulates, elements moved or
    /// computed, tree branches.
    pub fn work(&self) -> u64 {
        self.checked.work
    }

    /// Runs the plan once: from the input in `arena` to the outputs in `arena`.
    ///
    /// The result depends on the plan, the input and, where a plan keeps bytes, on the inputs since
    /// the last [`reset`](Self::reset); not on what else the arena held, as long as no op reads another's scratch and what
    /// fills rows up has weights of zero, which holds for every plan of the compiler. It is the same bytes on
    /// every machine; a NaN among the outputs is always `0x7FC00000`.
    ///
    /// # Errors
    /// [`RunError::ArenaTooSmall`] and [`RunError::ArenaUnaligned`] before anything is written.
    pub fn run(&self, arena: &mut [u8]) -> Result<(), RunError> {
        let arena = self.arena(arena)?;
        if !is_aligned(arena) {
            return Err(RunError::ArenaUnaligned);
        }
        for (index, entry) in self.tables.ops.iter().enumerate() {
            let op = index as u16;
            self.run_op(entry, arena)
                .ok_or(RunError::Unchecked { op })?;
        }
        if self.checked.has_nans {
            self.settle_nans(arena);
        }
        Ok(())
    }

    /// Forgets what was kept: the next run begins as the first one does. To be called before the
    /// first run in an arena, and after anything else has used it; where
    /// [`kept_bytes`](Requirements::kept_bytes) is 0, nothing is written.
    ///
    /// # Errors
    /// [`RunError::ArenaTooSmall`] before anything is written.
    pub fn reset(&self, arena: &mut [u8]) -> Result<(), RunError> {
        let kept = ..self.tables.header().kept_bytes as usize;
        self.arena(arena)?.get_mut(kept).unwrap_or_default().fill(0);
        Ok(())
    }

    fn arena<'b>(&self, arena: &'b mut [u8]) -> Result<&'b mut [u8], RunError> {
        let got = arena.len();
        let needed = self.tables.header().arena_bytes as usize;
        arena
            .get_mut(..needed)
            .ok_or(RunError::ArenaTooSmall { needed, got })
    }

    /// Gives every NaN among the outputs one bit pattern; processors make different ones.
    fn settle_nans(&self, arena: &mut [u8]) {
        for port in self.ports().1 {
            let [low, high, ..] = *port;
            let tensor = self.tables.tensor(u16::from_le_bytes([low, high]));
            let Some(place) = tensor.and_then(Tensor::float_place) else {
                continue;
            };
            let bytes = arena.get_mut(place).unwrap_or_default();
            for element in bytes.as_chunks_mut().0 {
                if u32::from_le_bytes(*element) << 1 > INFINITY << 1 {
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

    /// Inputs and outputs.
    fn ports(&self) -> (&'a [PortEntry], &'a [PortEntry]) {
        let ports = self.tables.ports.split_at_checked(MAX_INPUTS.into());
        ports.unwrap_or_default()
    }

    fn port(&self, entry: &PortEntry) -> Option<TensorInfo> {
        let port = Port::decode(entry)?;
        let Tensor(tensor) = self.tables.tensor(port.tensor)?;
        Some(TensorInfo {
            role: port.role,
            ..TensorInfo::decode(tensor)?
        })
    }

    fn run_op(&self, entry: &OpEntry, arena: &mut [u8]) -> Option<()> {
        let op = self.tables.op(entry);
        let id = op.record().kernel;
        let likely = self.checked.likely.filter(|kernel| kernel.id == id);
        let kernel = match likely {
            Some(kernel) => kernel,
            None => self.set.find(id)?,
        };
        (kernel.run)(&op, arena)
    }
}

/// The NaN in outputs: quiet, positive, no payload.
const CANONICAL_NAN: u32 = 0x7FC0_0000;
/// The last bits that are no NaN, but for the sign.
const INFINITY: u32 = 0x7F80_0000;

const NO_TENSOR: TensorInfo = TensorInfo {
    dtype: DType::U8,
    rank: 1,
    dims: [1, 1, 1, 0],
    offset: 0,
    scale: 0.0,
    zero_point: 0,
    role: Role::Plain,
};
