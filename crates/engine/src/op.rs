//! One op of a plan, as kernels see it.

use core::ops::Range;

use crate::bytes::copy;
use crate::error::OpFault;
use crate::format::{DType, TENSOR_BYTES};
use crate::record::{Header, HeaderWords, OpEntry, OpRecord, PortEntry, TensorEntry};
use crate::tensor::Tensor;

/// The sections of a plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tables<'a> {
    pub header: &'a HeaderWords,
    pub tensors: &'a [TensorEntry],
    pub ops: &'a [OpEntry],
    pub kernels: &'a [[u8; 4]],
    pub ports: &'a [PortEntry],
    pub operands: &'a [[u8; 2]],
    pub parameters: &'a [[u8; 4]],
    pub constants: &'a [u8],
}

impl<'a> Tables<'a> {
    #[inline(always)]
    pub fn header(&self) -> Header {
        Header::decode(self.header)
    }

    /// Tensors in the arena; constants follow them.
    #[inline(always)]
    pub fn arena_tensors(&self) -> u16 {
        self.header().arena_tensors
    }

    /// Length of the plan.
    pub fn total_bytes(&self) -> usize {
        let [_, _, _, total, ..] = *self.header;
        u32::from_le_bytes(total) as usize
    }

    #[inline(always)]
    pub fn tensor(&self, index: u16) -> Option<Tensor<'a>> {
        self.tensors.get(usize::from(index)).map(Tensor)
    }

    /// An op, with as many of its operands and parameters as are there.
    #[inline(always)]
    pub fn op<'t>(&'t self, entry: &'t OpEntry) -> Op<'t> {
        let record = OpRecord::decode(entry);
        let operands = self.operands.get(record.operands());
        let start = record.parameters_offset as usize / 4;
        let end = start.wrapping_add(record.parameters_bytes as usize / 4);
        Op {
            tables: self,
            entry,
            kinds: Kinds::default(),
            operands: operands.unwrap_or_default(),
            words: self.parameters.get(start..end).unwrap_or_default(),
        }
    }
}

/// An operand: where it lives and what it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operand<'a> {
    pub info: Tensor<'a>,
    /// The bytes of a constant; none for a tensor in the arena.
    pub constant: Option<&'a [u8]>,
}

impl<'a> Operand<'a> {
    /// The operand's bytes, wherever they live.
    #[inline(always)]
    pub fn bytes<'b>(&self, arena: &'b [u8]) -> Option<&'b [u8]>
    where
        'a: 'b,
    {
        match self.constant {
            Some(bytes) => Some(bytes),
            None => arena.get(self.info.range()),
        }
    }

    pub fn in_arena(&self, dtype: DType) -> Result<(), OpFault> {
        check(
            self.constant.is_none() && self.info.dtype() == dtype,
            OpFault::Type,
        )
    }

    pub fn is_constant(&self, dtype: DType) -> Result<(), OpFault> {
        check(
            self.constant.is_some() && self.info.dtype() == dtype,
            OpFault::Type,
        )
    }

    pub fn is(&self, dtype: DType) -> Result<(), OpFault> {
        check(self.info.dtype() == dtype, OpFault::Type)
    }

    pub fn has_elements(&self, elements: usize) -> Result<(), OpFault> {
        check(self.info.elements() == elements, OpFault::Shape)
    }
}

/// What an operand is: its element type, and whether it is a constant. Four bits.
#[derive(Clone, Copy)]
pub(crate) struct Kind(u32);

impl Kind {
    const CONSTANT: u32 = 8;

    /// A tensor in the arena.
    pub const fn placed(dtype: DType) -> Kind {
        Kind(dtype as u32)
    }

    pub const fn constant(dtype: DType) -> Kind {
        Kind(dtype as u32 | Self::CONSTANT)
    }

    #[inline(always)]
    pub fn of(tensor: Tensor, is_placed: bool) -> Kind {
        let [[dtype, ..], ..] = *tensor.0;
        Kind(u32::from(dtype) | if is_placed { 0 } else { Self::CONSTANT })
    }
}

/// The kinds of operands, inputs, outputs and scratch in one sequence; of more than eight the last ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kinds(u32);

impl Kinds {
    #[inline(always)]
    pub const fn then(self, Kind(kind): Kind) -> Kinds {
        Kinds(self.0 << 4 | kind)
    }

    const fn all(mut self, mut kinds: &[Kind]) -> Kinds {
        while let [first, rest @ ..] = kinds {
            (self, kinds) = (self.then(*first), rest);
        }
        self
    }
}

/// The operands and parameters of an op, the same for every plan.
#[derive(Clone, Copy)]
pub(crate) struct Signature {
    kinds: Kinds,
    /// Inputs, outputs, scratch, as in the low bytes of a word.
    counts: u32,
    /// Parameter words.
    words: usize,
}

impl Signature {
    /// With at most eight operands.
    pub const fn new(inputs: &[Kind], outputs: &[Kind], scratch: &[Kind], words: usize) -> Self {
        let counts = [inputs.len() as u8, outputs.len() as u8, scratch.len() as u8];
        let [inputs_count, outputs_count, scratch_count] = counts;
        Signature {
            kinds: Kinds(0).all(inputs).all(outputs).all(scratch),
            counts: u32::from_le_bytes([inputs_count, outputs_count, scratch_count, 0]),
            words,
        }
    }
}

/// `Ok` if `condition` holds, otherwise `fault`.
pub(crate) fn check(condition: bool, fault: OpFault) -> Result<(), OpFault> {
    if condition { Ok(()) } else { Err(fault) }
}

/// A tensor without elements.
const NOTHING: Tensor = Tensor(&[[0; 4]; TENSOR_BYTES / 4]);

/// An op: its entry and the plan it stands in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Op<'a> {
    pub tables: &'a Tables<'a>,
    pub entry: &'a OpEntry,
    /// Of the operands, while the op is checked.
    pub kinds: Kinds,
    /// Tensor indices: inputs, outputs, scratch in one sequence.
    pub operands: &'a [[u8; 2]],
    /// The parameter block.
    pub words: &'a [[u8; 4]],
}

impl<'a> Op<'a> {
    #[inline(always)]
    pub fn record(&self) -> OpRecord {
        OpRecord::decode(self.entry)
    }

    /// Tensor index of an operand.
    #[inline(always)]
    pub fn operand_index(&self, position: usize) -> Option<u16> {
        self.operands.get(position).copied().map(u16::from_le_bytes)
    }

    fn operand(&self, position: usize) -> Option<Operand<'a>> {
        let index = self.operand_index(position)?;
        let info = self.tables.tensor(index)?;
        let constant = match index < self.tables.arena_tensors() {
            true => None,
            false => Some(self.tables.constants.get(info.range())?),
        };
        Some(Operand { info, constant })
    }

    /// Every operand.
    #[inline(always)]
    pub fn tensors(&self) -> Tensors<'a> {
        Tensors {
            operands: self.operands,
            tensors: self.tables.tensors,
        }
    }

    /// Holds the op to a signature; none of its operands is missing then.
    #[inline(always)]
    pub fn is(
        &self,
        Signature {
            kinds,
            counts,
            words,
        }: Signature,
    ) -> Result<(), OpFault> {
        self.has_these(kinds, counts, words)
    }

    #[inline(never)]
    fn has_these(&self, kinds: Kinds, counts: u32, words: usize) -> Result<(), OpFault> {
        let [_, [inputs, outputs, scratch, _], ..] = *self.entry;
        let own = u32::from_le_bytes([inputs, outputs, scratch, 0]);
        check(own == counts, OpFault::Operands)?;
        check(self.words.len() == words, OpFault::Parameters)?;
        check(self.kinds == kinds, OpFault::Type)
    }

    /// An operand, of which the load check knows that it is there.
    #[inline(never)]
    pub fn at(&self, position: usize) -> Tensor<'a> {
        self.any(position).unwrap_or(NOTHING)
    }

    /// The bytes of a constant operand.
    #[inline(never)]
    pub fn constant(&self, position: usize) -> &'a [u8] {
        let constants = self.tables.constants.get(self.at(position).range());
        constants.unwrap_or_default()
    }

    /// An operand of any kind.
    #[inline(always)]
    fn any(&self, position: usize) -> Option<Tensor<'a>> {
        self.tables.tensor(self.operand_index(position)?)
    }

    #[inline(never)]
    pub fn input(&self, position: usize) -> Option<Operand<'a>> {
        if position >= usize::from(self.record().inputs) {
            return None;
        }
        self.operand(position)
    }

    #[inline(never)]
    pub fn output(&self, position: usize) -> Option<Tensor<'a>> {
        let record = self.record();
        if position >= usize::from(record.outputs) {
            return None;
        }
        self.any(usize::from(record.inputs).wrapping_add(position))
    }

    pub fn scratch(&self, position: usize) -> Option<Tensor<'a>> {
        let record = self.record();
        if position >= usize::from(record.scratch) {
            return None;
        }
        let first = usize::from(record.inputs).wrapping_add(record.outputs.into());
        self.any(first.wrapping_add(position))
    }

    /// Whether a result or scratch tensor lies in the bytes that stay from run to run.
    pub fn is_kept(&self, tensor: Tensor) -> bool {
        tensor.range().end <= self.tables.header().kept_bytes as usize
    }

    /// An operand the load check has counted.
    pub fn need_input(&self, position: usize) -> Result<Operand<'a>, OpFault> {
        self.input(position).ok_or(OpFault::Operands)
    }

    /// An output the load check has counted.
    pub fn need_output(&self, position: usize) -> Result<Tensor<'a>, OpFault> {
        self.output(position).ok_or(OpFault::Operands)
    }

    /// The bytes of an operand: of the arena, or of the constants.
    #[inline(never)]
    pub fn place(&self, position: usize) -> Option<Range<usize>> {
        self.any(position).map(Tensor::range)
    }

    /// Where an operand lies: in the arena, or in the constants.
    pub fn offset(&self, position: usize) -> Option<usize> {
        self.any(position).map(Tensor::offset)
    }

    /// The parameter block: little-endian 32-bit words.
    #[inline(always)]
    pub fn parameters(&self) -> Parameters<'a> {
        Parameters(self.words)
    }

    /// Holds the op to a number of inputs, one output, no scratch and a parameter length.
    pub fn has(&self, inputs: u8, parameters: usize) -> Result<(), OpFault> {
        self.has_operands(inputs, 0)?;
        self.has_parameters(parameters)
    }

    /// Holds the op to a number of inputs, one output and a number of scratch tensors.
    pub fn has_operands(&self, inputs: u8, scratch: u8) -> Result<(), OpFault> {
        let record = self.record();
        let counts = record.inputs == inputs && record.outputs == 1 && record.scratch == scratch;
        check(counts, OpFault::Operands)
    }

    /// Holds the op to a number of parameter words.
    pub fn has_parameters(&self, words: usize) -> Result<(), OpFault> {
        check(self.parameters().0.len() == words, OpFault::Parameters)
    }

    /// Holds output 0 apart from every arena input.
    pub fn output_is_apart(&self) -> Result<(), OpFault> {
        self.inputs_apart_unless(|_, _| false)
    }

    /// Lets output 0 lie exactly over an input of the same size, and apart from the others.
    ///
    /// A kernel may allow this if it reads element `i` of such an input no later than it writes
    /// element `i` of the output.
    pub fn output_may_replace_an_input(&self) -> Result<(), OpFault> {
        self.inputs_apart_unless(|input, output| input.range() == output.range())
    }

    /// Holds every operand in the arena apart from output 0 and the scratch tensors, and these
    /// apart from one another.
    pub fn arena_operands_are_apart(&self) -> Result<(), OpFault> {
        let first = usize::from(self.record().inputs);
        let written =
            usize::from(self.record().outputs).saturating_add(self.record().scratch.into());
        for position in first..first.saturating_add(written) {
            let place = self
                .operand(position)
                .ok_or(OpFault::Operands)?
                .info
                .range();
            for before in 0..position {
                let other = self.operand(before).ok_or(OpFault::Operands)?;
                let apart = other.constant.is_some() || disjoint(&other.info.range(), &place);
                check(apart, OpFault::Aliasing)?;
            }
        }
        Ok(())
    }

    /// Lets the last operand, the output, lie exactly over input 0 or apart from it, and holds both to one shape; gives
    /// the elements.
    #[inline(never)]
    pub fn is_in_place_or_apart(&self) -> Result<u64, OpFault> {
        let (x, y) = (self.at(0), self.at(self.operands.len().wrapping_sub(1)));
        check(x.has_shape(y.dims()), OpFault::Shape)?;
        let (input, output) = (x.range(), y.range());
        let lies = input == output || disjoint(&input, &output);
        check(lies, OpFault::Aliasing)?;
        Ok(y.elements() as u64)
    }

    /// The bytes of output `position`, with what input 0 has.
    #[inline(never)]
    pub fn in_place<'m>(&self, arena: &'m mut [u8], position: usize) -> Option<&'m mut [u8]> {
        let (x, y) = (self.at(0).range(), self.at(position).range());
        if x != y {
            let (from, to) = split(arena, x, y.clone())?;
            copy(from, to);
        }
        arena.get_mut(y)
    }

    fn inputs_apart_unless(&self, allowed: impl Fn(Tensor, Tensor) -> bool) -> Result<(), OpFault> {
        let output = self.need_output(0)?;
        for position in 0..usize::from(self.record().inputs) {
            let input = self.need_input(position)?;
            let apart = input.constant.is_some() || disjoint(&input.info.range(), &output.range());
            check(apart || allowed(input.info, output), OpFault::Aliasing)?;
        }
        Ok(())
    }
}

/// The operands of an op: inputs, outputs and scratch.
#[derive(Clone, Copy)]
pub(crate) struct Tensors<'a> {
    operands: &'a [[u8; 2]],
    tensors: &'a [TensorEntry],
}

impl<'a> Tensors<'a> {
    #[inline(always)]
    pub fn get(&self, position: usize) -> Option<Tensor<'a>> {
        let index = u16::from_le_bytes(*self.operands.get(position)?);
        self.tensors.get(usize::from(index)).map(Tensor)
    }
}

/// Whether two ranges share no byte.
pub(crate) fn disjoint(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.end <= b.start || b.end <= a.start
}

/// Splits the arena into a readable and a writable range; none if they overlap.
#[inline]
pub(crate) fn split(
    arena: &mut [u8],
    read: Range<usize>,
    write: Range<usize>,
) -> Option<(&[u8], &mut [u8])> {
    let (read, write) = split_mut(arena, read, write)?;
    Some((read, write))
}

/// Two ranges of the arena; none if they overlap.
#[inline(never)]
pub(crate) fn split_mut(
    arena: &mut [u8],
    a: Range<usize>,
    b: Range<usize>,
) -> Option<(&mut [u8], &mut [u8])> {
    if a.end <= b.start {
        let (low, high) = arena.split_at_mut_checked(b.start)?;
        return Some((
            low.get_mut(a)?,
            high.get_mut(..b.end.checked_sub(b.start)?)?,
        ));
    }
    let (low, high) = arena.split_at_mut_checked(a.start)?;
    Some((
        high.get_mut(..a.end.checked_sub(a.start)?)?,
        low.get_mut(b)?,
    ))
}

/// A parameter block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parameters<'a>(&'a [[u8; 4]]);

impl<'a> Parameters<'a> {
    /// The first `N` words, where they stand.
    #[inline(always)]
    pub fn chunk<const N: usize>(&self) -> Option<&'a [[u8; 4]; N]> {
        self.0.first_chunk()
    }

    /// The first `N` words.
    #[inline(always)]
    pub fn words<const N: usize>(&self) -> Option<[u32; N]> {
        self.chunk().map(|words| words.map(u32::from_le_bytes))
    }

    pub fn u32(&self, word: usize) -> Option<u32> {
        self.0.get(word).copied().map(u32::from_le_bytes)
    }

    pub fn i32(&self, word: usize) -> Option<i32> {
        self.u32(word).map(u32::cast_signed)
    }

    pub fn f32(&self, word: usize) -> Option<f32> {
        self.u32(word).map(f32::from_bits)
    }

    pub fn need_u32(&self, word: usize) -> Result<u32, OpFault> {
        self.u32(word).ok_or(OpFault::Parameters)
    }

    pub fn need_i32(&self, word: usize) -> Result<i32, OpFault> {
        self.i32(word).ok_or(OpFault::Parameters)
    }

    pub fn need_f32(&self, word: usize) -> Result<f32, OpFault> {
        self.f32(word).ok_or(OpFault::Parameters)
    }
}
