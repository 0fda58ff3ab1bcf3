//! `LSTM` and `GRU`: one op per direction, joined as ONNX lays their outputs out.

use super::{Importer, Imports, Made, output_name, refuse};
use crate::compile::constant::{Data, QuantizedConstant};
use crate::compile::graph::{Content, Element, Op, ValueId, strides};
use crate::compile::recurrent::{Cell, Form, Recurrent};
use crate::onnx::proto::NodeProto;

/// What a node says of itself.
struct Layer {
    cell: Cell,
    /// Whether each direction runs backwards.
    reversed: Vec<bool>,
    steps: usize,
    hidden: usize,
    /// Whether the batch comes before the steps.
    batch_first: bool,
}

impl Importer<'_> {
    pub(super) fn recurrent(&mut self, node: &NodeProto) -> Imports {
        check_attributes(node)?;
        let x = self.computed_input(node)?;
        let layer = self.recurrent_layer(node, x)?;
        self.check_recurrent_inputs(node, &layer)?;
        let columns = self.graph.values[x].columns();
        let x = self.reshaped(node, x, &[layer.steps, columns]);
        let is_used = |index: usize| {
            let name = node.output.get(index).filter(|name| !name.is_empty());
            name.is_some_and(|name| self.is_read(name))
        };
        let uses = [0, 1, 2].map(is_used);
        let mut parts = Vec::new();
        for direction in 0..layer.reversed.len() {
            let inputs = self.recurrent_inputs(node, &layer, (x, direction))?;
            parts.push(self.recurrent_direction(node, &layer, (direction, &inputs), uses));
        }
        self.bind_recurrent(node, &layer, parts)
    }

    /// Whether a node or the model's output takes a value.
    fn is_read(&self, name: &str) -> bool {
        let by_node = |node: &NodeProto| node.input.iter().any(|input| input == name);
        self.nodes.iter().any(by_node) || self.outputs.iter().any(|output| output.name == name)
    }

    fn recurrent_layer(&self, node: &NodeProto, x: ValueId) -> Imports<Layer> {
        let batch_first = node.int("layout").unwrap_or(0) != 0;
        let shape = self.shape_of(x);
        let [first, second, _] = shape[..] else {
            let reason = format!("the input has shape {shape:?}");
            return Err(refuse(node, &reason, "feed it [steps, 1, features]"));
        };
        let (steps, batch) = if batch_first {
            (second, first)
        } else {
            (first, second)
        };
        if batch != 1 {
            let reason = format!("it runs {batch} sequences at once");
            return Err(refuse(
                node,
                &reason,
                "export with batch 1 or an open batch",
            ));
        }
        let reversed = match node.string("direction").unwrap_or("forward") {
            "forward" => vec![false],
            "reverse" => vec![true],
            "bidirectional" => vec![false, true],
            other => {
                let reason = format!("direction {other:?} is unknown");
                return Err(refuse(
                    node,
                    &reason,
                    "use forward, reverse or bidirectional",
                ));
            }
        };
        let recurrent = self.shape_of(self.input(node, 2)?);
        let hidden = recurrent.last().copied().unwrap_or(0);
        let is_lstm = node.op_type == "LSTM";
        let cell = match is_lstm {
            true => Cell::Lstm { with_cell: false },
            false => Cell::Gru {
                linear_before_reset: node.int("linear_before_reset").unwrap_or(0) != 0,
            },
        };
        let layer = Layer {
            cell,
            reversed,
            steps,
            hidden,
            batch_first,
        };
        let rows = hidden * if is_lstm { 4 } else { 3 };
        let weights = self.shape_of(self.input(node, 1)?);
        let columns = shape.last().copied().unwrap_or(0);
        let directions = layer.reversed.len();
        let fits = hidden > 0
            && recurrent == [directions, rows, hidden]
            && weights == [directions, rows, columns];
        match fits {
            true => Ok(layer),
            false => {
                let reason =
                    format!("weights {weights:?} and {recurrent:?} do not fit input {shape:?}");
                Err(refuse(node, &reason, "check the layer's width"))
            }
        }
    }

    /// Refuses inputs that are not constants, sequence lengths and peepholes.
    fn check_recurrent_inputs(&self, node: &NodeProto, layer: &Layer) -> Imports {
        for index in [1, 2, 3, 5, 6, 7] {
            let Some(id) = self.optional_input(node, index)? else {
                continue;
            };
            if self.graph.values[id].is_computed() || self.graph.floats(id).is_none() {
                let reason = format!("input {index} is not a constant of floats");
                let nearest = "keep weights and initial state as constants";
                return Err(refuse(node, &reason, nearest));
            }
        }
        if let Some(id) = self.optional_input(node, 7)? {
            let floats = self.graph.floats(id).unwrap_or_default();
            if floats.iter().any(|&value| value != 0.0) {
                let reason = "it has peephole connections";
                return Err(refuse(node, reason, "train the layer without peepholes"));
            }
        }
        if self.optional_input(node, 4)?.is_some() {
            let lengths = self.integer_input(node, 4)?;
            if lengths.iter().any(|&length| length != layer.steps as i64) {
                let reason = "sequence_lens is shorter than the input";
                return Err(refuse(node, reason, "leave sequence_lens out"));
            }
        }
        Ok(())
    }

    /// Inputs of an open layer for one direction.
    fn recurrent_inputs(
        &mut self,
        node: &NodeProto,
        layer: &Layer,
        (x, direction): (ValueId, usize),
    ) -> Imports<Vec<ValueId>> {
        let mut inputs = vec![x];
        for index in [1, 2] {
            let id = self.input(node, index)?;
            inputs.push(self.direction_of(id, direction));
        }
        let biases = 2 * self.graph.values[inputs[2]].shape[0];
        inputs.push(match self.optional_input(node, 3)? {
            Some(id) => self.direction_of(id, direction),
            None => self.zero_bias(biases),
        });
        if self.graph.values[inputs[3]].shape != [biases] {
            let reason = "the biases do not fit the weights";
            return Err(refuse(node, reason, "export the model again"));
        }
        let initial = self.initial_state(node, layer, direction)?;
        inputs.extend(initial);
        Ok(inputs)
    }

    /// Constants of the initial state; none where it is zero.
    fn initial_state(
        &mut self,
        node: &NodeProto,
        layer: &Layer,
        direction: usize,
    ) -> Imports<Vec<ValueId>> {
        let last = if node.op_type == "LSTM" { 6 } else { 5 };
        let mut states = Vec::new();
        for index in 5..=last {
            let given = match self.optional_input(node, index)? {
                Some(id) => self.graph.floats(id).unwrap_or_default(),
                None => vec![0.0; layer.hidden * layer.reversed.len()],
            };
            if given.len() != layer.hidden * layer.reversed.len() {
                let reason = "the initial state does not fit the weights";
                return Err(refuse(node, reason, "export with batch 1 or an open batch"));
            }
            states.push(given[direction * layer.hidden..][..layer.hidden].to_vec());
        }
        if states.iter().flatten().all(|&value| value == 0.0) {
            return Ok(Vec::new());
        }
        let constant = |state| {
            self.graph
                .add_constant("initial state", &[layer.hidden], Data::F32(state))
        };
        Ok(states.into_iter().map(constant).collect())
    }

    /// One index of a constant's first axis.
    fn direction_of(&mut self, id: ValueId, direction: usize) -> ValueId {
        let value = self.graph.values[id].clone();
        let shape = &value.shape[1..];
        let count = shape.iter().product::<usize>();
        let places: Vec<usize> = (direction * count..(direction + 1) * count).collect();
        let content = match &value.content {
            Content::Quantized(quantized) => {
                quantized_direction(quantized, &value.shape, direction)
            }
            Content::Constant(data) => Content::Constant(data.gather(&places)),
            Content::Computed => Content::Computed,
        };
        let picked = self.graph.add_value(&value.name, Element::F32, shape);
        self.graph.values[picked].content = content;
        picked
    }

    /// The ops of one direction: its states in all steps, the last state and the last cell.
    fn recurrent_direction(
        &mut self,
        node: &NodeProto,
        layer: &Layer,
        (direction, inputs): (usize, &[ValueId]),
        [all, h, c]: [bool; 3],
    ) -> [ValueId; 3] {
        let (steps, hidden) = (layer.steps, layer.hidden);
        let reverse = layer.reversed[direction];
        let cell = match layer.cell {
            Cell::Lstm { .. } => Cell::Lstm { with_cell: c },
            cell => cell,
        };
        let last = !all && (h || c);
        let rows = if last { 1 } else { steps };
        let op = Op::Recurrent(Recurrent {
            cell,
            hidden,
            reverse,
            last,
            keeps: false,
            form: Form::Open,
        });
        let made = [rows + usize::from(c), hidden];
        let whole = self.emit(output_name(node), op, inputs, Made::floats(&made));
        let states = match c {
            true => self.rows_of(node, whole, (0, rows)),
            false => whole,
        };
        let end = if reverse || last { 0 } else { steps - 1 };
        let state = match (h, rows) {
            (false, _) | (_, 1) => states,
            _ => self.rows_of(node, states, (end, 1)),
        };
        let cell = match c {
            true => self.rows_of(node, whole, (rows, 1)),
            false => states,
        };
        [states, state, cell]
    }

    /// Some rows of a matrix.
    fn rows_of(&mut self, node: &NodeProto, x: ValueId, (first, count): (usize, usize)) -> ValueId {
        let columns = self.graph.values[x].columns();
        let op = Op::StridedCopy {
            base: first * columns,
            strides: [0, 0, columns as i64, 1],
        };
        self.emit(output_name(node), op, &[x], Made::floats(&[count, columns]))
    }

    /// Joins directions as ONNX lays them out and gives the node's outputs their values.
    fn bind_recurrent(
        &mut self,
        node: &NodeProto,
        layer: &Layer,
        parts: Vec<[ValueId; 3]>,
    ) -> Imports {
        let (directions, hidden) = (layer.reversed.len(), layer.hidden);
        for output in 0..node.output.len().min(3) {
            let name = &node.output[output];
            if name.is_empty() || !self.is_read(name) {
                continue;
            }
            let outer = if output == 0 { layer.steps } else { 1 };
            let inputs: Vec<ValueId> = parts.iter().map(|part| part[output]).collect();
            let joined = match inputs[..] {
                [only] => only,
                _ => {
                    let shape = [outer, directions * hidden];
                    let made = Made::floats(&shape);
                    self.emit(name, Op::Concat { outer }, &inputs, made)
                }
            };
            let shape = match (output, layer.batch_first) {
                (0, false) => vec![outer, directions, 1, hidden],
                (0, true) => vec![1, outer, directions, hidden],
                (_, false) => vec![directions, 1, hidden],
                (_, true) => vec![1, directions, hidden],
            };
            let id = self.reshaped(node, joined, &shape);
            self.bind(node, output, id);
        }
        Ok(())
    }
}

/// One index of the first axis of quantised weights `[directions, rows, ..]`.
fn quantized_direction(
    quantized: &QuantizedConstant,
    shape: &[usize],
    direction: usize,
) -> Content {
    let inner = strides(shape)[0];
    let places: Vec<usize> = (direction * inner..(direction + 1) * inner).collect();
    match (quantized.axis, quantized.scales.len()) {
        (_, 1) => Content::Quantized(quantized.gather(&places, 0)),
        (0, _) => {
            let (scale, zero_point) = quantized.parameters(direction);
            Content::Quantized(QuantizedConstant {
                scales: vec![scale],
                zero_points: vec![zero_point],
                ..quantized.gather(&places, 0)
            })
        }
        (1, _) => Content::Quantized(quantized.gather(&places, 0)),
        _ => {
            let floats = quantized.dequantize(shape);
            Content::Constant(Data::F32(floats).gather(&places))
        }
    }
}

/// Refuses what the engine's ops do not do.
fn check_attributes(node: &NodeProto) -> Imports {
    let default = if node.op_type == "LSTM" {
        &["Sigmoid", "Tanh", "Tanh"][..]
    } else {
        &["Sigmoid", "Tanh"][..]
    };
    let activations = node.strings("activations").unwrap_or_default();
    let expected = default.iter().cycle();
    let differs = |(given, expected): (&&str, &&str)| !given.eq_ignore_ascii_case(expected);
    if activations.iter().zip(expected).any(differs) {
        let reason = format!("its activations are {activations:?}");
        let nearest = format!("use {default:?} for every direction");
        return Err(refuse(node, &reason, &nearest));
    }
    if node.float("clip").is_some() {
        return Err(refuse(
            node,
            "it clips its gates",
            "train the layer without clip",
        ));
    }
    if node.int("input_forget").unwrap_or(0) != 0 {
        let reason = "input and forget gate are coupled";
        return Err(refuse(node, reason, "use gates of their own"));
    }
    Ok(())
}
