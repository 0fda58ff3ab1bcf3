//! Writes a graph and its memory layout as the bytes of a plan.

mod words;

use super::error::{CompileError, Refusal};
use super::graph::{Content, Element, Graph, Node, Op, ValueId};
use super::memory::{Layout, Scratch};
use super::packing::Ties;
use super::stack::stack_bytes;
use dunlin_engine::format::{CONSTANT_ALIGNMENT, DType, MAX_OUTPUTS, MAX_RANK, OpCode, Role};
use dunlin_engine::record::{Header, OpRecord, Port};
use dunlin_engine::{KernelId, TensorInfo};
use std::collections::{BTreeSet, HashMap};
pub(crate) use words::pool_words;
use words::words;

/// The kernel that runs an op.
pub(crate) fn kernel(op: &Op) -> KernelId {
    let (code, variant) = match op {
        Op::FullyConnected { .. } => (OpCode::FullyConnected, 0),
        Op::FullyConnectedI8 { .. } => (OpCode::FullyConnected, 1),
        Op::FullyConnectedI8ToF32 { .. } => (OpCode::FullyConnected, 2),
        Op::FullyConnectedPacked { ties, .. } => {
            (OpCode::FullyConnected, by_ties(*ties, [3, 4, 5]))
        }
        Op::Conv2dPacked { geometry, .. } => (OpCode::Conv2d, by_ties(geometry.ties, [3, 5, 6])),
        Op::DepthwisePacked { geometry, .. } => (OpCode::Conv2d, by_ties(geometry.ties, [4, 7, 8])),
        Op::Conv2d { transposed, .. } => (convolution(*transposed), 0),
        Op::Conv2dI8 { transposed, .. } => (convolution(*transposed), 1),
        Op::Conv2dI8ToF32 { transposed, .. } => (convolution(*transposed), 2),
        Op::MaxPool2d { element, .. } => (OpCode::MaxPool2d, u8::from(*element == Element::I8)),
        Op::AveragePool2d { .. } => (OpCode::AveragePool2d, 0),
        Op::Pad { element, .. } => (OpCode::Pad, u8::from(*element == Element::I8)),
        Op::QuantizeLinear { .. } => (OpCode::QuantizeLinear, 0),
        Op::DequantizeLinear { .. } => (OpCode::DequantizeLinear, 0),
        Op::Scale(_) => (OpCode::Scale, 0),
        Op::Clamp { .. } => (OpCode::Clamp, 0),
        Op::Binary(code) | Op::Unary(code) => (*code, 0),
        Op::Activation { op, .. } | Op::Reduce { op, .. } => (*op, 0),
        Op::LayerNormalization { .. } => (OpCode::LayerNormalization, 0),
        Op::Softmax => (OpCode::Softmax, 0),
        Op::ArgMax => (OpCode::ArgMax, 0),
        Op::TreeEnsemble { packing, .. } => (OpCode::TreeEnsemble, packing.variant()),
        Op::MatMul { .. } => (OpCode::MatMul, 0),
        Op::StridedCopy { .. } | Op::Transpose { .. } => (OpCode::StridedCopy, 0),
        Op::Concat { .. } => (OpCode::Concat, 0),
        Op::Reshape => (OpCode::Reshape, 0),
        Op::Svm(step) => (OpCode::Svm, step.variant()),
        Op::Bytes(op) => op.kernel(),
        Op::Recurrent(layer) => (layer.opcode(), layer.variant()),
        Op::History => (OpCode::History, 0),
    };
    // Version 2 of packed layers has their constants' place among the parameters.
    let version = if is_packed(op) { 2 } else { 1 };
    KernelId::new(code as u16, version, variant)
}

/// The variant of a packed layer.
fn by_ties(ties: Ties, [up, even, odd]: [u8; 3]) -> u8 {
    match ties {
        Ties::Up => up,
        Ties::Even => even,
        Ties::Odd => odd,
    }
}

/// Whether an op's constants are no tensor of the plan: a parameter says where they lie.
fn is_packed(op: &Op) -> bool {
    matches!(
        op,
        Op::FullyConnectedPacked { .. } | Op::Conv2dPacked { .. } | Op::DepthwisePacked { .. }
    )
}

fn convolution(transposed: bool) -> OpCode {
    match transposed {
        true => OpCode::ConvTranspose2d,
        false => OpCode::Conv2d,
    }
}

/// The bytes of a plan. `labels` are values that hold a class; the first output among them is
/// the label.
pub(crate) fn encode(
    graph: &Graph,
    layout: &Layout,
    labels: &[ValueId],
) -> Result<Vec<u8>, CompileError> {
    let mut writer = Writer {
        graph,
        layout,
        arena: Vec::new(),
        constants: Constants::default(),
        indices: HashMap::new(),
        places: HashMap::new(),
        scratch: HashMap::new(),
    };
    writer.number_tensors()?;
    let ports = writer.ports(labels)?;
    let (records, operands, parameters) = writer.records();
    let kernels: BTreeSet<KernelId> = graph.nodes.iter().map(|node| kernel(&node.op)).collect();
    let header = Header {
        arena_bytes: layout.arena_bytes as u32,
        kept_bytes: layout.kept_bytes as u32,
        stack_bytes: stack_bytes() as u32,
        arena_tensors: count("tensors", writer.arena.len())?,
        constant_tensors: count("constants", writer.constants.tensors.len())?,
        ops: count("ops", records.len())?,
        kernels: count("kernels", kernels.len())?,
        operands: count("operands", operands.len())?,
        inputs: 1,
        outputs: graph.outputs.len() as u8,
        parameters_bytes: parameters.len() as u32 * 4,
        constants_bytes: writer.constants.bytes.len() as u32,
    };
    let tables = [
        joined(writer.arena.iter().map(TensorInfo::encode)),
        joined(writer.constants.tensors.iter().map(TensorInfo::encode)),
        joined(records.iter().map(OpRecord::encode)),
        joined(kernels.iter().map(|kernel| kernel.code().to_le_bytes())),
        joined(ports.iter().map(Port::encode)),
        joined(operands.iter().map(|operand| operand.to_le_bytes())),
    ];
    let parameters = joined(parameters.iter().map(|word| word.to_le_bytes()));
    sealed(&header, &tables, &parameters, &writer.constants.bytes)
}

/// The bytes of all entries, one after the other.
fn joined<const N: usize>(entries: impl Iterator<Item = [u8; N]>) -> Vec<u8> {
    entries.flatten().collect()
}

/// Header, tables, parameters and constants, each section where the header says it begins.
fn sealed(
    header: &Header,
    tables: &[Vec<u8>],
    parameters: &[u8],
    constants: &[u8],
) -> Result<Vec<u8>, CompileError> {
    let sections = header
        .sections()
        .ok_or_else(|| too_large("plan", usize::MAX))?;
    let mut bytes = header.encode(sections.end as u32).to_vec();
    bytes.extend(tables.iter().flatten());
    bytes.resize(sections.parameters, 0);
    bytes.extend(parameters);
    bytes.resize(sections.constants, 0);
    bytes.extend(constants);
    Ok(bytes)
}

fn dtype(element: Element) -> DType {
    match element {
        Element::F32 => DType::F32,
        Element::I8 => DType::I8,
        Element::I32 | Element::I64 => DType::I32,
        Element::Bytes => DType::U8,
    }
}

fn count(what: &str, number: usize) -> Result<u16, CompileError> {
    u16::try_from(number).map_err(|_| too_large(what, number))
}

fn too_large(what: &str, number: usize) -> CompileError {
    Refusal {
        node: what.to_owned(),
        op: "graph".to_owned(),
        reason: format!("{number} are more than a plan holds"),
        nearest: "split the model".to_owned(),
    }
    .into()
}

/// The constants section. Equal bytes are stored once, and have one tensor per type and shape.
#[derive(Default)]
struct Constants {
    tensors: Vec<TensorInfo>,
    bytes: Vec<u8>,
    places: HashMap<Vec<u8>, u32>,
    indices: HashMap<(u32, u8, [u32; 4]), u16>,
}

impl Constants {
    /// Offset of these bytes.
    fn place(&mut self, bytes: Vec<u8>) -> u32 {
        let section = &mut self.bytes;
        *self.places.entry(bytes).or_insert_with_key(|bytes| {
            section.resize(section.len().next_multiple_of(CONSTANT_ALIGNMENT), 0);
            let place = section.len() as u32;
            section.extend(bytes);
            place
        })
    }

    /// Index among the constants' tensors.
    fn add(&mut self, mut info: TensorInfo, bytes: Vec<u8>) -> u16 {
        info.offset = self.place(bytes);
        let tensors = &mut self.tensors;
        let key = (info.offset, info.dtype as u8, info.dims);
        *self.indices.entry(key).or_insert_with(|| {
            tensors.push(info);
            (tensors.len() - 1) as u16
        })
    }
}

struct Writer<'g> {
    graph: &'g Graph,
    layout: &'g Layout,
    arena: Vec<TensorInfo>,
    constants: Constants,
    /// Index in the tensor table; constants count behind the arena's tensors.
    indices: HashMap<ValueId, u16>,
    /// Where the constants of packed layers lie in their section.
    places: HashMap<ValueId, u32>,
    /// Index of the scratch of the op that computes a value.
    scratch: HashMap<ValueId, u16>,
}

/// A plain run of bytes in the arena.
fn scratch_tensor(scratch: &Scratch) -> Result<TensorInfo, CompileError> {
    let bytes =
        u32::try_from(scratch.bytes).map_err(|_| too_large("scratch bytes", scratch.bytes))?;
    Ok(TensorInfo {
        dtype: DType::U8,
        rank: 1,
        dims: [1, 1, 1, bytes],
        offset: scratch.offset as u32,
        scale: 0.0,
        zero_point: 0,
        role: Role::Plain,
    })
}

impl Writer<'_> {
    fn number_tensors(&mut self) -> Result<(), CompileError> {
        self.number_computed(self.graph.input)?;
        for (node, scratch) in self.graph.nodes.iter().zip(&self.layout.scratch) {
            for output in node.outputs() {
                self.number_computed(output)?;
            }
            if let Some(scratch) = scratch {
                self.scratch
                    .insert(node.output, count("tensors", self.arena.len())?);
                self.arena.push(scratch_tensor(scratch)?);
            }
        }
        for node in &self.graph.nodes {
            for &input in &node.inputs {
                self.number_constant(input, is_packed(&node.op))?;
            }
        }
        Ok(())
    }

    fn number_computed(&mut self, value: ValueId) -> Result<(), CompileError> {
        let index = count("tensors", self.arena.len())?;
        let offset = self.layout.offsets.get(&value).copied().unwrap_or(0);
        let info = TensorInfo {
            offset: offset as u32,
            ..self.info(value)?
        };
        self.arena.push(info);
        self.indices.insert(value, index);
        Ok(())
    }

    fn number_constant(&mut self, value: ValueId, is_packed: bool) -> Result<(), CompileError> {
        let Content::Constant(data) = &self.graph.values[value].content else {
            return Ok(());
        };
        let bytes = data
            .to_bytes()
            .ok_or_else(|| self.refusal(value, "64-bit constants are not supported"))?;
        if is_packed {
            let place = self.constants.place(bytes);
            self.places.insert(value, place);
            return Ok(());
        }
        let place = self.constants.add(self.info(value)?, bytes);
        let index = count("tensors", self.arena.len() + usize::from(place))?;
        self.indices.insert(value, index);
        Ok(())
    }

    fn info(&self, value: ValueId) -> Result<TensorInfo, CompileError> {
        let value_of = &self.graph.values[value];
        let dtype = dtype(value_of.element);
        let shape = &value_of.shape;
        let (batch, shape) = shape.split_at(shape.len().saturating_sub(MAX_RANK));
        if batch.iter().any(|&extent| extent != 1) {
            return Err(self.refusal(value, "more than 4 dimensions behind the batch"));
        }
        let mut dims = [1; MAX_RANK];
        for (place, &extent) in dims.iter_mut().rev().zip(shape.iter().rev()) {
            *place =
                u32::try_from(extent).map_err(|_| self.refusal(value, "an extent is too large"))?;
        }
        let rank = shape.len().max(1);
        let (scale, zero_point) = match value_of.element {
            Element::I8 => value_of.quantization.unwrap_or((0.0, 0)),
            _ => (0.0, 0),
        };
        Ok(TensorInfo {
            dtype,
            rank: rank as u8,
            dims,
            offset: 0,
            scale,
            zero_point,
            role: Role::Plain,
        })
    }

    fn refusal(&self, value: ValueId, reason: &str) -> CompileError {
        Refusal {
            node: self.graph.values[value].name.clone(),
            op: "tensor".to_owned(),
            reason: reason.to_owned(),
            nearest: "reshape it to 4 dimensions of 32-bit values".to_owned(),
        }
        .into()
    }

    /// The input, then the outputs. Beside a label, a lone row of floats is its probabilities.
    fn ports(&self, labels: &[ValueId]) -> Result<Vec<Port>, CompileError> {
        let outputs = &self.graph.outputs;
        if outputs.is_empty() || outputs.len() > usize::from(MAX_OUTPUTS) {
            return Err(too_large("outputs", outputs.len()));
        }
        let label = outputs
            .iter()
            .copied()
            .find(|output| labels.contains(output));
        let floats: Vec<ValueId> = outputs
            .iter()
            .copied()
            .filter(|&id| self.graph.values[id].element == Element::F32)
            .collect();
        let probabilities = match floats[..] {
            [only] if label.is_some() => Some(only),
            _ => None,
        };
        let role = |id| match id {
            id if Some(id) == label => Role::Label,
            id if Some(id) == probabilities => Role::Probabilities,
            _ => Role::Plain,
        };
        let port = |id: ValueId| Port {
            tensor: self.indices.get(&id).copied().unwrap_or(0),
            role: role(id),
        };
        Ok(std::iter::once(self.graph.input)
            .chain(outputs.iter().copied())
            .map(port)
            .collect())
    }

    fn records(&self) -> (Vec<OpRecord>, Vec<u16>, Vec<u32>) {
        let (mut records, mut operands, mut parameters) = (Vec::new(), Vec::new(), Vec::new());
        for node in &self.graph.nodes {
            let words = [words(&node.op), self.places(node)].concat();
            records.push(OpRecord {
                kernel: kernel(&node.op),
                inputs: operand_inputs(node).len() as u8,
                outputs: node.outputs().count() as u8,
                scratch: u8::from(self.scratch.contains_key(&node.output)),
                first_operand: operands.len() as u16,
                parameters_offset: parameters.len() as u32 * 4,
                parameters_bytes: words.len() as u32 * 4,
            });
            operands.extend(self.operands(node));
            parameters.extend(words);
        }
        (records, operands, parameters)
    }

    /// Where a packed layer's constants lie; before that, where its input and output do, for the kernel that has this
    /// among its parameters.
    fn places(&self, node: &Node) -> Vec<u32> {
        if !is_packed(&node.op) {
            return Vec::new();
        }
        let offset = |index: u16| {
            let tensor = self.arena.get(usize::from(index));
            tensor.map_or(0, |tensor| tensor.offset)
        };
        let (own, constants) = node.inputs.split_at(1);
        let constants = constants
            .iter()
            .filter_map(|id| self.places.get(id).copied());
        let mut places = Vec::new();
        if let Op::FullyConnectedPacked { .. } = node.op {
            let ends = own.iter().copied().chain(node.outputs());
            places.extend(ends.map(|id| offset(self.index(id))));
        }
        places.extend(constants);
        places
    }

    fn operands(&self, node: &Node) -> Vec<u16> {
        let inputs = operand_inputs(node).iter().copied();
        let all = inputs.chain(node.outputs());
        all.map(|id| self.index(id))
            .chain(self.scratch.get(&node.output).copied())
            .collect()
    }

    fn index(&self, value: ValueId) -> u16 {
        self.indices.get(&value).copied().unwrap_or(u16::MAX)
    }
}

/// The inputs of a node that are operands of its op.
fn operand_inputs(node: &Node) -> &[ValueId] {
    match is_packed(&node.op) {
        true => &node.inputs[..1],
        false => &node.inputs,
    }
}
