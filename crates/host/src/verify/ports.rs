//! Models whose inputs or outputs are bytes, for libraries that are asked in floats.

use crate::onnx::builder::int;
use crate::onnx::proto::{DataType, GraphProto, ModelProto, NodeProto, TypeValue, ValueInfoProto};

/// What is added to the name of a port that was made one of floats.
const FLOATS: &str = "/floats";

/// The model with floats for every output of bytes: what a `QuantizeLinear` made is dequantised with its scale and zero
/// point, other bytes are numbers as they are.
pub(super) fn with_float_outputs(model: &ModelProto) -> ModelProto {
    let mut model = model.clone();
    let Some(graph) = &mut model.graph else {
        return model;
    };
    let outputs: Vec<ValueInfoProto> = graph.output.clone();
    for (place, output) in outputs.into_iter().enumerate() {
        if is_bytes(&output) {
            let to_floats = to_floats(graph, &output.name);
            graph.node.push(to_floats);
            make_floats(&mut graph.output[place]);
        }
    }
    model
}

/// The model with its first input, if that is of bytes, as floats that stand for the same integers.
pub(super) fn with_float_input(model: &ModelProto) -> ModelProto {
    let mut model = model.clone();
    let Some(graph) = &mut model.graph else {
        return model;
    };
    let Some(place) = graph.input.iter().position(is_bytes) else {
        return model;
    };
    let element = graph.input[place].element_type().unwrap_or(DataType::Int8);
    let name = graph.input[place].name.clone();
    make_floats(&mut graph.input[place]);
    let from = graph.input[place].name.clone();
    graph.node.insert(0, cast(from, name, element));
    model
}

/// Whether a port is of bytes.
pub(super) fn is_bytes(port: &ValueInfoProto) -> bool {
    matches!(port.element_type(), Some(DataType::Int8 | DataType::Uint8))
}

fn to_floats(graph: &GraphProto, name: &str) -> NodeProto {
    let to = format!("{name}{FLOATS}");
    let producer = graph.producer(name).map(|at| &graph.node[at]);
    match producer.filter(|node| node.op_type == "QuantizeLinear") {
        Some(quantize) => {
            let mut input = quantize.input.clone();
            input[0] = name.to_owned();
            NodeProto {
                op_type: "DequantizeLinear".to_owned(),
                input,
                output: vec![to],
                attribute: quantize
                    .attribute
                    .iter()
                    .filter(|attribute| ["axis", "block_size"].contains(&attribute.name.as_str()))
                    .cloned()
                    .collect(),
                ..Default::default()
            }
        }
        None => cast(name.to_owned(), to, DataType::Float),
    }
}

fn cast(from: String, to: String, element: DataType) -> NodeProto {
    NodeProto {
        op_type: "Cast".to_owned(),
        input: vec![from],
        output: vec![to],
        attribute: vec![int("to", element as i64)],
        ..Default::default()
    }
}

fn make_floats(port: &mut ValueInfoProto) {
    port.name.push_str(FLOATS);
    if let Some(of) = &mut port.r#type
        && let Some(TypeValue::Tensor(tensor)) = &mut of.value
    {
        tensor.elem_type = DataType::Float as i32;
    }
}
