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
    let constants = constants(graph);
    let mut points: Vec<Point> = Vec::new();
    for node in &graph.node {
        let is_whole = node.input.len() >= 2 && !node.output.is_empty();
        if node.op_type != "QuantizeLinear" || !is_whole || constants.contains(&node.input[0]) {
            continue;
        }
        let walk = Walk {
            graph,
            constants: &constants,
            points: &points,
        };
        let (before, ops) = walk.to(&node.input[0]);
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
    let walk = Walk {
        graph,
        constants: &constants,
        points: &points,
    };
    let ends: HashSet<usize> = graph
        .output
        .iter()
        .flat_map(|output| walk.to(&output.name).0)
        .collect();
    for (index, point) in points.iter_mut().enumerate() {
        point.is_output = ends.contains(&index);
    }
    points
}

/// What is known on a walk back through a graph.
struct Walk<'g> {
    graph: &'g GraphProto,
    constants: &'g HashSet<String>,
    points: &'g [Point],
}

impl Walk<'_> {
    /// The nearest points that `value` is computed from, itself included, and the ops on the way,
    /// in the order of the nodes.
    fn to(&self, value: &str) -> (Vec<usize>, Vec<String>) {
        let (mut before, mut nodes) = (Vec::new(), Vec::new());
        let (mut open, mut seen) = (vec![value.to_owned()], HashSet::new());
        while let Some(name) = open.pop() {
            if !seen.insert(name.clone()) || self.constants.contains(&name) {
                continue;
            }
            if let Some(point) = self.points.iter().position(|point| point.tensor == name) {
                before.push(point);
            } else if let Some(producer) = self.graph.producer(&name) {
                nodes.push(producer);
                open.extend(self.graph.node[producer].input.iter().cloned());
            }
        }
        nodes.sort_unstable();
        nodes.dedup();
        before.sort_unstable();
        let ops = nodes
            .into_iter()
            .map(|node| self.graph.node[node].op_type.clone());
        let ops = ops.filter(|op| op != "DequantizeLinear").collect();
        (before, ops)
    }
}

/// Names of the values that are computed from nothing but constants.
fn constants(graph: &GraphProto) -> HashSet<String> {
    let names = graph.initializer.iter().map(|tensor| tensor.name.clone());
    let mut constants: HashSet<String> = names.collect();
    for node in &graph.node {
        let is_constant = |input: &String| input.is_empty() || constants.contains(input);
        if node.input.iter().all(is_constant) {
            constants.extend(node.output.iter().cloned());
        }
    }
    constants
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
