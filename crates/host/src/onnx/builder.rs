//! Writes a graph node by node, with fresh names.

use super::proto::{
    AttributeProto, AttributeType, DataType, Dimension, DimensionValue, GraphProto, ModelProto,
    NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto, TensorShapeProto,
    TensorTypeProto, TypeProto, TypeValue, ValueInfoProto,
};

/// Version of `ai.onnx` that Dunlin writes.
pub const OPSET: i64 = 17;
/// Version of `ai.onnx.ml` that Dunlin writes where trees are used.
pub const ML_OPSET: i64 = 3;
/// Version of the file format that Dunlin writes: the first one with opset 17.
pub const IR_VERSION: i64 = 8;
/// Domain of classical machine learning operators.
pub const ML_DOMAIN: &str = "ai.onnx.ml";

/// A named value of a graph under construction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value(String);

impl Value {
    /// Its name in the graph.
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// One extent of an input or output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extent {
    /// A number of elements.
    Fixed(usize),
    /// A named number, e.g. `batch`.
    Named(&'static str),
}

/// Collects nodes and constants; [`GraphBuilder::finish`] makes the model.
///
/// ```
/// use dunlin_host::onnx::builder::{Extent, GraphBuilder};
/// use dunlin_host::onnx::proto::DataType;
/// let mut graph = GraphBuilder::new("double");
/// let input = graph.input("input", DataType::Float, &[Extent::Named("batch"), Extent::Fixed(2)]);
/// let two = graph.constant_f32("two", &[], &[2.0]);
/// let doubled = graph.node("Mul", &[&input, &two], vec![]);
/// graph.output(&doubled, "doubled", DataType::Float, &[Extent::Named("batch"), Extent::Fixed(2)]);
/// let model = graph.finish();
/// assert_eq!(model.graph.unwrap().node[0].output, ["doubled"]);
/// ```
#[derive(Debug, Default)]
pub struct GraphBuilder {
    graph: GraphProto,
    uses_ml: bool,
}

impl GraphBuilder {
    /// An empty graph.
    pub fn new(name: &str) -> GraphBuilder {
        GraphBuilder {
            graph: GraphProto {
                name: name.to_owned(),
                ..Default::default()
            },
            uses_ml: false,
        }
    }

    /// Declares an input.
    pub fn input(&mut self, name: &str, element: DataType, extents: &[Extent]) -> Value {
        self.graph.input.push(value_info(name, element, extents));
        Value(name.to_owned())
    }

    /// Declares `value` an output called `name`: a node's output is renamed, an input goes through `Identity`.
    pub fn output(&mut self, value: &Value, name: &str, element: DataType, extents: &[Extent]) {
        match self.graph.producer(value.name()) {
            Some(_) => self.rename(value.name(), name),
            None => self.named_node(("", "Identity"), &[value], vec![], &[name]),
        }
        self.graph.output.push(value_info(name, element, extents));
    }

    /// Adds a float constant. `shape` is row-major and may be empty for a scalar.
    pub fn constant_f32(&mut self, name: &str, shape: &[usize], values: &[f32]) -> Value {
        self.constant(
            name,
            DataType::Float,
            shape,
            values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
        )
    }

    /// Adds an int64 constant.
    pub fn constant_i64(&mut self, name: &str, shape: &[usize], values: &[i64]) -> Value {
        self.constant(
            name,
            DataType::Int64,
            shape,
            values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
        )
    }

    /// Adds an int32 constant.
    pub fn constant_i32(&mut self, name: &str, shape: &[usize], values: &[i32]) -> Value {
        self.constant(
            name,
            DataType::Int32,
            shape,
            values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
        )
    }

    /// Adds an int8 constant.
    pub fn constant_i8(&mut self, name: &str, shape: &[usize], values: &[i8]) -> Value {
        self.constant(
            name,
            DataType::Int8,
            shape,
            values.iter().map(|&value| value as u8).collect(),
        )
    }

    /// Adds a uint8 constant.
    pub fn constant_u8(&mut self, name: &str, shape: &[usize], values: &[u8]) -> Value {
        self.constant(name, DataType::Uint8, shape, values.to_vec())
    }

    /// Adds an `ai.onnx` node with one output.
    pub fn node(&mut self, op: &str, inputs: &[&Value], attributes: Vec<AttributeProto>) -> Value {
        let output = self.fresh(op);
        self.named_node(("", op), inputs, attributes, &[&output]);
        Value(output)
    }

    /// Adds an `ai.onnx` node with `outputs` outputs.
    pub fn nodes(
        &mut self,
        op: &str,
        inputs: &[&Value],
        attributes: Vec<AttributeProto>,
        outputs: usize,
    ) -> Vec<Value> {
        self.node_of(("", op), inputs, attributes, outputs)
    }

    /// Adds an `ai.onnx.ml` node with `outputs` outputs.
    pub fn ml_node(
        &mut self,
        op: &str,
        inputs: &[&Value],
        attributes: Vec<AttributeProto>,
        outputs: usize,
    ) -> Vec<Value> {
        self.uses_ml = true;
        self.node_of((ML_DOMAIN, op), inputs, attributes, outputs)
    }

    fn node_of(
        &mut self,
        (domain, op): (&str, &str),
        inputs: &[&Value],
        attributes: Vec<AttributeProto>,
        outputs: usize,
    ) -> Vec<Value> {
        let names: Vec<String> = (0..outputs)
            .map(|index| format!("{}_{index}", self.fresh(op)))
            .collect();
        let borrowed: Vec<&str> = names.iter().map(String::as_str).collect();
        self.named_node((domain, op), inputs, attributes, &borrowed);
        names.into_iter().map(Value).collect()
    }

    /// The model, without metadata.
    pub fn finish(self) -> ModelProto {
        let mut opset_import = vec![OperatorSetIdProto {
            domain: String::new(),
            version: OPSET,
        }];
        if self.uses_ml {
            opset_import.push(OperatorSetIdProto {
                domain: ML_DOMAIN.to_owned(),
                version: ML_OPSET,
            });
        }
        ModelProto {
            ir_version: IR_VERSION,
            producer_name: "dunlin".to_owned(),
            producer_version: env!("CARGO_PKG_VERSION").to_owned(),
            graph: Some(self.graph),
            opset_import,
            ..Default::default()
        }
    }

    fn constant(&mut self, name: &str, element: DataType, shape: &[usize], raw: Vec<u8>) -> Value {
        let name = self.unique_constant(name);
        self.graph
            .initializer
            .push(tensor(&name, element, shape, raw));
        Value(name)
    }

    fn rename(&mut self, old: &str, new: &str) {
        let values = self
            .graph
            .node
            .iter_mut()
            .flat_map(|node| node.input.iter_mut().chain(&mut node.output));
        values
            .filter(|value| *value == old)
            .for_each(|value| *value = new.to_owned());
    }

    fn unique_constant(&self, wanted: &str) -> String {
        let taken = |name: &str| {
            self.graph
                .initializer
                .iter()
                .any(|tensor| tensor.name == name)
        };
        let numbered = (2..).map(|number| format!("{wanted}_{number}"));
        std::iter::once(wanted.to_owned())
            .chain(numbered)
            .find(|name| !taken(name))
            .unwrap_or_default()
    }

    fn fresh(&self, op: &str) -> String {
        format!("{}_{}", op.to_lowercase(), self.graph.node.len())
    }

    fn named_node(
        &mut self,
        (domain, op): (&str, &str),
        inputs: &[&Value],
        attributes: Vec<AttributeProto>,
        outputs: &[&str],
    ) {
        self.graph.node.push(NodeProto {
            input: inputs.iter().map(|value| value.name().to_owned()).collect(),
            output: outputs.iter().map(|&name| name.to_owned()).collect(),
            name: format!("{}_{}", op, self.graph.node.len()),
            op_type: op.to_owned(),
            attribute: attributes,
            domain: domain.to_owned(),
            ..Default::default()
        });
    }
}

/// Sets or replaces a metadata entry.
pub fn set_metadata(model: &mut ModelProto, key: &str, value: &str) {
    model.metadata_props.retain(|entry| entry.key != key);
    model.metadata_props.push(StringStringEntryProto {
        key: key.to_owned(),
        value: value.to_owned(),
    });
}

/// A tensor from little-endian bytes.
pub fn tensor(name: &str, element: DataType, shape: &[usize], raw: Vec<u8>) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        data_type: element as i32,
        dims: shape.iter().map(|&extent| extent as i64).collect(),
        raw_data: Some(raw),
        ..Default::default()
    }
}

/// A named dense tensor type.
pub fn value_info(name: &str, element: DataType, extents: &[Extent]) -> ValueInfoProto {
    let dimension = |extent: &Extent| Dimension {
        value: Some(match extent {
            Extent::Fixed(number) => DimensionValue::Value(*number as i64),
            Extent::Named(parameter) => DimensionValue::Parameter((*parameter).to_owned()),
        }),
        denotation: String::new(),
    };
    let shape = TensorShapeProto {
        dim: extents.iter().map(dimension).collect(),
    };
    let tensor = TensorTypeProto {
        elem_type: element as i32,
        shape: Some(shape),
    };
    let r#type = TypeProto {
        value: Some(TypeValue::Tensor(tensor)),
        denotation: String::new(),
    };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(r#type),
        ..Default::default()
    }
}

/// An integer attribute.
pub fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        i: Some(value),
        ..attribute(name, AttributeType::Int)
    }
}

/// A float attribute.
pub fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto {
        f: Some(value),
        ..attribute(name, AttributeType::Float)
    }
}

/// A string attribute.
pub fn string(name: &str, value: &str) -> AttributeProto {
    AttributeProto {
        s: Some(value.as_bytes().to_vec()),
        ..attribute(name, AttributeType::String)
    }
}

/// An integer list attribute.
pub fn ints(name: &str, values: Vec<i64>) -> AttributeProto {
    AttributeProto {
        ints: values,
        ..attribute(name, AttributeType::Ints)
    }
}

/// A float list attribute.
pub fn floats(name: &str, values: Vec<f32>) -> AttributeProto {
    AttributeProto {
        floats: values,
        ..attribute(name, AttributeType::Floats)
    }
}

/// A string list attribute.
pub fn strings(name: &str, values: &[&str]) -> AttributeProto {
    let strings = values
        .iter()
        .map(|value| value.as_bytes().to_vec())
        .collect();
    AttributeProto {
        strings,
        ..attribute(name, AttributeType::Strings)
    }
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        kind: kind as i32,
        ..Default::default()
    }
}
