//! From ONNX nodes to the compiler's graph: types, shapes with batch 1, constants folded.
//!
//! One file per family of operators. To add one, write a method on [`Importer`] there and name it
//! in [`Importer::import_node`].

mod activation;
mod arithmetic;
mod classical;
mod convolution;
mod fill;
mod linear;
mod logic;
mod normalization;
mod pooling;
mod quantization;
mod recurrent;
mod reduction;
mod resize;
mod support_vectors;
mod trees;
mod views;
mod window;

use super::constant::Data;
use super::error::{CompileError, Refusal};
use super::graph::{Content, Element, Graph, Node, Op, ValueId, is_within_limits};
use super::options::CompileOptions;
use crate::onnx::OnnxError;
use crate::onnx::proto::{DataType, ModelProto, NodeProto, TensorProto, ValueInfoProto};
use dunlin_engine::format::{MAX_ELEMENTS, MAX_OPS};
use std::collections::HashMap;

/// The graph and what it means.
#[derive(Debug)]
pub(crate) struct Imported {
    pub graph: Graph,
    /// Values that hold a class.
    pub labels: Vec<ValueId>,
    /// Class names a classifier node carries.
    pub class_names: Vec<String>,
}

/// Operators a plan can hold, for refusals.
const SUPPORTED: &str = "supported are Conv, ConvTranspose, AveragePool, MaxPool, GlobalAveragePool, GlobalMaxPool, Pad, \
Gemm, MatMul, Add, Sub, Mul, Div, Pow, Relu, Clip, Max, Min, Abs, Sqrt, \
Log, Exp, Neg, Reciprocal, Tanh, Sigmoid, Erf, Gelu, LeakyRelu, PRelu, HardSigmoid, HardSwish, Elu, Selu, \
Softplus, Softsign, Swish, Mish, Sum, Less, Greater, Not, And, Or, LayerNormalization, InstanceNormalization, \
GroupNormalization, Softmax, LogSoftmax, ArgMax, ArgMin, Resize, DepthToSpace, SpaceToDepth, \
ReduceMean/Sum/Max/Min/L1/L2/SumSquare/LogSumExp, BatchNormalization, LSTM, GRU, \
Reshape, Flatten, Squeeze, Unsqueeze, Transpose, Slice, Split, Concat, Gather, Identity, \
Dropout, Cast, Shape, Constant, ConstantOfShape, Expand, Tile, QuantizeLinear, DequantizeLinear, \
TreeEnsembleClassifier, TreeEnsembleRegressor, TreeEnsemble, LinearClassifier, LinearRegressor, \
SVMClassifier, SVMRegressor, Scaler, Normalizer, Binarizer, ArrayFeatureExtractor, ZipMap";

/// What to do about a tensor that is too large.
const SMALLER: &str = "make it smaller";

pub(crate) fn import(
    model: &ModelProto,
    options: &CompileOptions,
) -> Result<Imported, CompileError> {
    let mut importer = Importer::new(model, options)?;
    importer.import_input()?;
    for (index, node) in importer.nodes.iter().enumerate() {
        importer.origin = index;
        let first = importer.graph.values.len();
        importer.import_node(node)?;
        if let Some(reason) = importer.oversize(first) {
            return Err(refuse(node, &reason, SMALLER));
        }
        if importer.graph.nodes.len() > MAX_OPS as usize {
            let reason = format!("up to here the model has more than {MAX_OPS} ops");
            return Err(refuse(node, &reason, SMALLER));
        }
    }
    importer.finish()
}

pub(crate) struct Importer<'m> {
    graph: Graph,
    nodes: &'m [NodeProto],
    inputs: Vec<&'m ValueInfoProto>,
    outputs: &'m [ValueInfoProto],
    opset: i64,
    options: &'m CompileOptions,
    names: HashMap<String, ValueId>,
    origin: usize,
    labels: Vec<ValueId>,
    class_names: Vec<String>,
    /// Why constants cannot be used, which matters where one is.
    unusable: HashMap<String, String>,
}

/// What an op makes.
#[derive(Clone, Copy)]
struct Made<'s> {
    element: Element,
    shape: &'s [usize],
}

impl<'s> Made<'s> {
    fn floats(shape: &'s [usize]) -> Self {
        Made {
            element: Element::F32,
            shape,
        }
    }
}

/// Result of importing one node.
type Imports<T = ()> = Result<T, CompileError>;

impl<'m> Importer<'m> {
    fn new(model: &'m ModelProto, options: &'m CompileOptions) -> Imports<Self> {
        let graph = model.graph()?;
        let mut importer = Importer {
            graph: Graph::default(),
            nodes: &graph.node,
            inputs: graph.true_inputs().collect(),
            outputs: &graph.output,
            opset: model.opset("").unwrap_or(17),
            options,
            names: HashMap::new(),
            origin: 0,
            labels: Vec::new(),
            class_names: Vec::new(),
            unusable: HashMap::new(),
        };
        for tensor in &graph.initializer {
            importer.import_initializer(tensor)?;
        }
        Ok(importer)
    }

    /// Why a plan cannot hold one of the values from `first` on, if so.
    fn oversize(&self, first: ValueId) -> Option<String> {
        let mut shapes = self.graph.values.iter().skip(first);
        shapes.find_map(|value| oversize(&value.shape))
    }

    fn import_input(&mut self) -> Imports {
        let [input] = self.inputs[..] else {
            let reason = format!("the model has {} inputs", self.inputs.len());
            return Err(port_refusal(
                "",
                &reason,
                "join them into one tensor and slice it inside",
            ));
        };
        let element = match input.element_type() {
            Some(DataType::Float) => Element::F32,
            Some(DataType::Int8 | DataType::Uint8) => Element::I8,
            other => {
                let reason = match other {
                    Some(other) => format!("input type {other:?} is not supported"),
                    None => "the input is not a dense tensor of a known type".into(),
                };
                let nearest = "take float32, int8 or uint8";
                return Err(port_refusal(&input.name, &reason, nearest));
            }
        };
        let shape = batch_of_one(input)?;
        let id = self.graph.add_value(&input.name, element, &shape);
        if let Some(reason) = self.oversize(id) {
            return Err(port_refusal(&input.name, &reason, SMALLER));
        }
        self.graph.values[id].unsigned = input.element_type() == Some(DataType::Uint8);
        self.graph.input = id;
        self.names.insert(input.name.clone(), id);
        Ok(())
    }

    /// A constant that no plan can hold is only missed where it is used.
    fn import_initializer(&mut self, tensor: &TensorProto) -> Imports {
        match self.import_constant(&tensor.name, tensor) {
            Err(CompileError::Refused(refusal)) => {
                self.unusable.insert(tensor.name.clone(), refusal.reason);
                Ok(())
            }
            result => result,
        }
    }

    fn import_constant(&mut self, name: &str, tensor: &TensorProto) -> Imports {
        let shape = tensor.shape()?;
        let data = match tensor.element_type()? {
            DataType::Float => Data::F32(tensor.to_f32()?),
            DataType::Int8 => Data::I8(tensor.to_i8()?),
            DataType::Int32 => Data::I32(tensor.to_i32()?),
            DataType::Int64 => Data::I64(tensor.to_i64()?),
            DataType::Uint8 => Data::Bytes(tensor.to_u8()?),
            DataType::Bool => Data::I64(tensor.to_bool()?),
            other => {
                let reason = format!("constant of type {other:?} is not supported");
                return Err(port_refusal(
                    name,
                    &reason,
                    "use float, int8, uint8, int32, int64 or bool",
                ));
            }
        };
        let id = self.graph.add_constant(name, &shape, data);
        if let Some(reason) = self.oversize(id) {
            return Err(port_refusal(name, &reason, SMALLER));
        }
        self.names.insert(name.to_owned(), id);
        Ok(())
    }

    fn import_node(&mut self, node: &NodeProto) -> Imports {
        match (node.domain.as_str(), node.op_type.as_str()) {
            ("" | "ai.onnx", op) => self.import_standard(node, op),
            ("ai.onnx.ml", op) => self.import_classical(node, op),
            _ => Err(refuse(
                node,
                "operators of this domain are not supported",
                SUPPORTED,
            )),
        }
    }

    fn import_standard(&mut self, node: &NodeProto, op: &str) -> Imports {
        use dunlin_engine::format::OpCode::{
            Abs, Add, Div, Exp, Log, Mul, Neg, Sigmoid, Sqrt, Sub, Tanh,
        };
        match op {
            "Gemm" => self.gemm(node),
            "MatMul" => self.mat_mul(node),
            "Conv" => self.conv(node),
            "ConvTranspose" => self.conv_transpose(node),
            "AveragePool" | "GlobalAveragePool" => self.average_pool(node),
            "MaxPool" | "GlobalMaxPool" => self.max_pool(node),
            "Pad" => self.pad(node),
            "BatchNormalization" => self.batch_normalization(node),
            "Add" => self.binary(node, Add),
            "Sub" => self.binary(node, Sub),
            "Mul" => self.binary(node, Mul),
            "Div" => self.binary(node, Div),
            "Pow" => self.pow(node),
            "Reciprocal" => self.reciprocal(node),
            "Abs" => self.unary(node, Abs),
            "Sqrt" => self.unary(node, Sqrt),
            "Log" => self.unary(node, Log),
            "Exp" => self.unary(node, Exp),
            "Neg" => self.unary(node, Neg),
            "Tanh" => self.unary(node, Tanh),
            "Sigmoid" => self.unary(node, Sigmoid),
            "Relu" => self.relu(node),
            "Clip" => self.clip(node),
            "LeakyRelu" | "HardSigmoid" | "HardSwish" | "Erf" | "Gelu" | "PRelu" | "Elu"
            | "Selu" | "Softplus" | "Softsign" | "Swish" | "Mish" => self.activation(node),
            "LayerNormalization" => self.layer_normalization(node),
            "InstanceNormalization" => self.instance_normalization(node),
            "GroupNormalization" => self.group_normalization(node),
            "LogSoftmax" => self.log_softmax(node),
            "ReduceLogSumExp" => self.reduce_log_sum_exp(node),
            "Resize" | "Upsample" => self.resize(node),
            "DepthToSpace" | "SpaceToDepth" => self.depth_and_space(node),
            "Equal" | "And" | "Or" | "Not" | "Where" | "LessOrEqual" | "GreaterOrEqual" => {
                self.logic(node)
            }
            "Max" | "Min" => self.limit(node),
            "Sum" => self.sum(node),
            "Less" | "Greater" => self.compare(node),
            "Softmax" => self.softmax(node),
            "ArgMax" | "ArgMin" => self.arg_max(node),
            "QuantizeLinear" => self.quantize_linear(node),
            "DequantizeLinear" => self.dequantize_linear(node),
            "LSTM" | "GRU" => self.recurrent(node),
            op if op.starts_with("Reduce") => self.reduce(node),
            _ => self.import_view(node, op),
        }
    }

    fn import_view(&mut self, node: &NodeProto, op: &str) -> Imports {
        match op {
            "Identity" | "Dropout" => self.identity(node),
            "Cast" => self.cast(node),
            "Shape" => self.shape(node),
            "Constant" => self.constant_node(node),
            "Reshape" => self.reshape(node),
            "Flatten" => self.flatten(node),
            "Squeeze" | "Unsqueeze" => self.squeeze(node),
            "Transpose" => self.transpose(node),
            "Slice" => self.slice(node),
            "Split" => self.split(node),
            "Concat" => self.concat(node),
            "Gather" => self.gather(node),
            "Expand" | "Tile" => self.repeat(node),
            "ConstantOfShape" => self.constant_of_shape(node),
            _ => Err(refuse(node, "the operator is not supported", SUPPORTED)),
        }
    }

    fn import_classical(&mut self, node: &NodeProto, op: &str) -> Imports {
        match op {
            "TreeEnsembleClassifier" => self.tree_classifier(node),
            "TreeEnsembleRegressor" => self.tree_regressor(node),
            "TreeEnsemble" => self.tree_ensemble(node),
            "LinearClassifier" => self.linear_classifier(node),
            "LinearRegressor" => self.linear_regressor(node),
            "SVMClassifier" => self.svm_classifier(node),
            "SVMRegressor" => self.svm_regressor(node),
            "Scaler" => self.scaler(node),
            "Normalizer" => self.normalizer(node),
            "ArrayFeatureExtractor" => self.array_feature_extractor(node),
            "Binarizer" => self.binarizer(node),
            "ZipMap" => self.zip_map(node),
            _ => Err(refuse(node, "the operator is not supported", SUPPORTED)),
        }
    }

    fn finish(mut self) -> Imports<Imported> {
        for output in self.outputs {
            let id = *self.names.get(&output.name).ok_or_else(|| {
                port_refusal(
                    &output.name,
                    "no node computes this output",
                    "export the model again",
                )
            })?;
            if !self.graph.values[id].is_computed() || id == self.graph.input {
                let reason = "the output does not depend on the input, or is the input";
                return Err(port_refusal(&output.name, reason, "remove the output"));
            }
            self.graph.outputs.push(id);
            if self.is_label(id) {
                self.labels.push(id);
            }
        }
        Ok(Imported {
            graph: self.graph,
            labels: self.labels,
            class_names: self.class_names,
        })
    }

    /// Whether a value is a class, whatever its shape.
    fn is_label(&self, mut value: ValueId) -> bool {
        while !self.labels.contains(&value) {
            let producer = self.graph.producer(value);
            match producer.map(|at| &self.graph.nodes[at]) {
                Some(node) if node.op == Op::Reshape => value = node.inputs[0],
                _ => return false,
            }
        }
        true
    }

    /// The value of an input that must be there.
    fn input(&self, node: &NodeProto, index: usize) -> Imports<ValueId> {
        let missing = || {
            refuse(
                node,
                &format!("input {index} is missing"),
                "export the model again",
            )
        };
        let name = node.input_name(index).ok_or_else(missing)?;
        let unknown = || match self.unusable.get(name) {
            Some(reason) => {
                let reason = format!("input {index} is a {reason}");
                refuse(node, &reason, "use float, int8, uint8, int32 or int64")
            }
            None => {
                let reason = format!("no node before it computes input {name:?}");
                refuse(node, &reason, "sort the nodes, and leave no cycle")
            }
        };
        self.names.get(name).copied().ok_or_else(unknown)
    }

    /// The value of an input that may be left out.
    fn optional_input(&self, node: &NodeProto, index: usize) -> Imports<Option<ValueId>> {
        match node.input_name(index) {
            Some(_) => self.input(node, index).map(Some),
            None => Ok(None),
        }
    }

    /// A computed or constant `f32` input; quantised constants become floats.
    fn float_input(&mut self, node: &NodeProto, index: usize) -> Imports<ValueId> {
        let id = self.input(node, index)?;
        if let Content::Quantized(quantized) = &self.graph.values[id].content {
            let floats = quantized.dequantize(&self.graph.values[id].shape);
            let (name, shape) = (
                self.graph.values[id].name.clone(),
                self.graph.values[id].shape.clone(),
            );
            return Ok(self.graph.add_constant(&name, &shape, Data::F32(floats)));
        }
        match self.graph.values[id].element {
            Element::F32 => Ok(id),
            other => Err(refuse(
                node,
                &format!("input {index} is {other:?}"),
                "feed it float32",
            )),
        }
    }

    /// Whole numbers of a constant input.
    fn integer_input(&self, node: &NodeProto, index: usize) -> Imports<Vec<i64>> {
        let id = self.input(node, index)?;
        let computed = || {
            refuse(
                node,
                &format!("input {index} is not a constant"),
                "export with fixed shapes",
            )
        };
        self.graph
            .constant(id)
            .and_then(Data::integers)
            .ok_or_else(computed)
    }

    /// The computed `f32` input 0.
    fn computed_input(&mut self, node: &NodeProto) -> Imports<ValueId> {
        let id = self.float_input(node, 0)?;
        match self.graph.values[id].is_computed() {
            true => Ok(id),
            false => Err(refuse(
                node,
                "the operator is applied to a constant",
                "fold it before the export",
            )),
        }
    }

    /// The first input of an operator that takes one row.
    fn row_input(&mut self, node: &NodeProto) -> Imports<ValueId> {
        let id = self.computed_input(node)?;
        let value = &self.graph.values[id];
        if value.elements() == value.columns() {
            return Ok(id);
        }
        let reason = format!("its input is {:?}, more than one row", value.shape);
        Err(refuse(
            node,
            &reason,
            "export with batch 1 or an open batch",
        ))
    }

    /// The value that a node's first output has been given.
    fn output_value(&self, node: &NodeProto) -> Imports<ValueId> {
        let unnamed = || refuse(node, "it has no output", "export the model again");
        self.names
            .get(output_name(node))
            .copied()
            .ok_or_else(unnamed)
    }

    fn shape_of(&self, id: ValueId) -> Vec<usize> {
        self.graph.values[id].shape.clone()
    }

    /// Says that the codes of a value mean what those of another one do.
    fn read_alike(&mut self, id: ValueId, model: ValueId) {
        let (quantization, unsigned) = {
            let model = &self.graph.values[model];
            (model.quantization, model.unsigned)
        };
        let value = &mut self.graph.values[id];
        (value.quantization, value.unsigned) = (quantization, unsigned);
    }

    /// Adds an op and gives its output value.
    fn emit(&mut self, name: &str, op: Op, inputs: &[ValueId], made: Made<'_>) -> ValueId {
        let output = self.graph.add_value(name, made.element, made.shape);
        let origins = vec![self.origin];
        self.graph.nodes.push(Node {
            op,
            inputs: inputs.to_vec(),
            output,
            origins,
        });
        output
    }

    /// Adds an op that computes `f32` under the name of a node's output.
    fn emit_for(
        &mut self,
        node: &NodeProto,
        op: Op,
        inputs: &[ValueId],
        shape: &[usize],
    ) -> Imports {
        let output = self.emit(output_name(node), op, inputs, Made::floats(shape));
        self.bind(node, 0, output);
        Ok(())
    }

    /// Gives a node's output a value.
    fn bind(&mut self, node: &NodeProto, index: usize, id: ValueId) {
        if let Some(name) = node.output.get(index).filter(|name| !name.is_empty()) {
            self.names.insert(name.clone(), id);
            if self.graph.values[id].is_computed() && id != self.graph.input {
                self.graph.values[id].name = name.clone();
            }
        }
    }
}

/// Why a plan cannot hold a tensor of this shape, if so.
fn oversize(shape: &[usize]) -> Option<String> {
    let reason = || format!("shape {shape:?} has more than {MAX_ELEMENTS} elements");
    (!is_within_limits(shape)).then(reason)
}

/// Name of a node's first output.
fn output_name(node: &NodeProto) -> &str {
    node.output.first().map_or("", String::as_str)
}

/// A refusal of a node.
fn refuse(node: &NodeProto, reason: &str, nearest: &str) -> CompileError {
    let name = if node.name.is_empty() {
        output_name(node)
    } else {
        &node.name
    };
    Refusal {
        node: name.to_owned(),
        op: node.op_type.clone(),
        reason: reason.to_owned(),
        nearest: nearest.to_owned(),
    }
    .into()
}

/// A refusal of something that is not a node.
fn port_refusal(name: &str, reason: &str, nearest: &str) -> CompileError {
    let (node, op) = (name.to_owned(), "graph".to_owned());
    Refusal {
        node,
        op,
        reason: reason.to_owned(),
        nearest: nearest.to_owned(),
    }
    .into()
}

/// The input's shape with its first extent, where that is open, set to 1.
fn batch_of_one(input: &ValueInfoProto) -> Imports<Vec<usize>> {
    let unknown = || OnnxError::Tensor {
        name: input.name.clone(),
        reason: "has no shape".into(),
    };
    let extents = input.extents().ok_or_else(unknown)?;
    let fixed = |(position, extent): (usize, &Option<usize>)| match extent {
        Some(extent) if *extent > 0 => Ok(*extent),
        _ if position == 0 => Ok(1),
        _ => Err(port_refusal(
            &input.name,
            "an extent other than the batch is open",
            "fix the input's shape",
        )),
    };
    let shape: Vec<usize> = extents
        .iter()
        .enumerate()
        .map(fixed)
        .collect::<Imports<_>>()?;
    match shape.len() {
        1..=4 => Ok(shape),
        rank => Err(port_refusal(
            &input.name,
            &format!("rank {rank}"),
            "use 1 to 4 dimensions",
        )),
    }
}

/// An axis that may be counted from the end.
fn axis_of(node: &NodeProto, axis: i64, rank: usize) -> Imports<usize> {
    let positive = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(positive)
        .ok()
        .filter(|&axis| axis < rank)
        .ok_or_else(|| {
            refuse(
                node,
                &format!("axis {axis} of rank {rank}"),
                "export the model again",
            )
        })
}
