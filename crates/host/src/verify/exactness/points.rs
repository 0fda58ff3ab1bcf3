//! Where a graph can be looked at: the outputs of its `QuantizeLinear` nodes.

use crate::onnx::proto::{
    DataType, GraphProto, ModelProto, TensorTypeProto, TypeProto, TypeValue, ValueInfoProto,
};
use std::collections::HashSet;

/// A quantised activation.
#[derive(Clone, Debug)]
pub(super) struct Point {
    /// Its name in the graph.
    pub tensor: String,
    /// The value that is quantised.
    pub real: String,
    pub element: DataType,
    pub scale: f32,
    pub zero_point: i64,
    /// Indices of the points its value is computed from.
    pub before: Vec<usize>,
    /// The ops between those and this one.
    pub ops: Vec<String>,
    /// Whether an output of the model comes from it without another point between.
    pub is_output: bool,
}

/// All points in the order of the nodes.
pub(super) fn find(model: &ModelProto) -> Vec<Point> {
    let Some(graph) = &model.graph else {
        return Vec::new();
    };
    let mut points: Vec<Point> = Vec::new();
    for (index, node) in graph.node.iter().enumerate() {
        let is_constant = || is_from_constants(graph, &node.input[0]);
        if node.op_type != "QuantizeLinear" || node.input.len() < 2 || is_constant() {
            continue;
        }
        let (before, ops) = behind(graph, &points, index);
        let (element, zero_point) = zero_point(graph, node.input_name(2));
        points.push(Point {
            tensor: node.output[0].clone(),
            real: node.input[0].clone(),
            element,
            scale: first_float(graph, &node.input[1]),
            zero_point,
            before,
            ops,
            is_output: false,
        });
    }
    let ends: HashSet<usize> = graph
        .output
        .iter()
        .flat_map(|output| walked(graph, &points, &output.name).0)
        .collect();
    for (index, point) in points.iter_mut().enumerate() {
        point.is_output = ends.contains(&index);
    }
    points
}

/// Points that the input of a node is computed from, and the ops between.
fn behind(graph: &GraphProto, points: &[Point], node: usize) -> (Vec<usize>, Vec<String>) {
    walked(graph, points, &graph.node[node].input[0])
}

/// The nearest points that `value` is computed from, itself included, and the ops on the way, in
/// the order of the nodes.
fn walked(graph: &GraphProto, points: &[Point], value: &str) -> (Vec<usize>, Vec<String>) {
    let (mut before, mut nodes) = (Vec::new(), Vec::new());
    let (mut open, mut seen) = (vec![value.to_owned()], HashSet::new());
    while let Some(name) = open.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        if let Some(point) = points.iter().position(|point| point.tensor == name) {
            before.push(point);
        } else if let Some(producer) = graph
            .producer(&name)
            .filter(|_| !is_from_constants(graph, &name))
        {
            nodes.push(producer);
            open.extend(graph.node[producer].input.iter().cloned());
        }
    }
    nodes.sort_unstable();
    nodes.dedup();
    before.sort_unstable();
    let ops = nodes
        .into_iter()
        .map(|node| graph.node[node].op_type.clone());
    let ops = ops.filter(|op| op != "DequantizeLinear").collect();
    (before, ops)
}

/// Whether a value is computed from nothing but constants.
fn is_from_constants(graph: &GraphProto, value: &str) -> bool {
    if value.is_empty() || graph.initializer(value).is_some() {
        return true;
    }
    graph.producer(value).is_some_and(|producer| {
        let inputs = &graph.node[producer].input;
        inputs.iter().all(|input| is_from_constants(graph, input))
    })
}

fn first_float(graph: &GraphProto, name: &str) -> f32 {
    let values = graph
        .initializer(name)
        .and_then(|tensor| tensor.to_f32().ok());
    values
        .and_then(|values| values.first().copied())
        .unwrap_or(f32::NAN)
}

/// Element type and value of a zero point; unsigned and 0 where it is left out.
fn zero_point(graph: &GraphProto, name: Option<&str>) -> (DataType, i64) {
    let tensor = name.and_then(|name| graph.initializer(name));
    let signed = tensor.and_then(|tensor| tensor.to_i8().ok());
    let unsigned = tensor.and_then(|tensor| tensor.to_u8().ok());
    match (signed, unsigned) {
        (Some(values), _) => (DataType::Int8, values.first().map_or(0, |&v| v.into())),
        (_, values) => {
            let first = values.and_then(|values| values.first().copied());
            (DataType::Uint8, first.map_or(0, i64::from))
        }
    }
}

/// The model up to a point, which is its only output. Nodes and constants that it does not take
/// are left out.
pub(super) fn cut(model: &ModelProto, point: &Point) -> ModelProto {
    let mut model = model.clone();
    if let Some(graph) = &mut model.graph {
        graph.output = vec![output(point)];
        let mut needed = HashSet::from([point.tensor.clone()]);
        for node in graph.node.iter().rev() {
            if node.output.iter().any(|output| needed.contains(output)) {
                needed.extend(node.input.iter().cloned());
            }
        }
        graph
            .node
            .retain(|node| node.output.iter().any(|output| needed.contains(output)));
        graph
            .initializer
            .retain(|constant| needed.contains(&constant.name));
        let constants: Vec<String> = graph.initializer.iter().map(|c| c.name.clone()).collect();
        let is_used = |name: &String| needed.contains(name) || !constants.contains(name);
        graph.input.retain(|input| is_used(&input.name));
    }
    model
}

/// The model with every point as an output beside its own.
pub(super) fn watched(model: &ModelProto, points: &[Point]) -> ModelProto {
    let mut model = model.clone();
    if let Some(graph) = &mut model.graph {
        for point in points {
            if graph.output.iter().all(|known| known.name != point.tensor) {
                graph.output.push(output(point));
            }
        }
    }
    model
}

/// A tensor of the point's type; its shape is left to be inferred.
fn output(point: &Point) -> ValueInfoProto {
    let tensor = TensorTypeProto {
        elem_type: point.element as i32,
        shape: None,
    };
    ValueInfoProto {
        name: point.tensor.clone(),
        r#type: Some(TypeProto {
            value: Some(TypeValue::Tensor(tensor)),
            denotation: String::new(),
        }),
        ..Default::default()
    }
}
