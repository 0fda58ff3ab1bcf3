//! Finds the dense layers that end a model.

use crate::onnx::proto::{GraphProto, NodeProto};

/// The layers to quantize, in order; each takes what the one before gives.
#[derive(Debug)]
pub(super) struct Chain {
    /// Name of the float tensor that enters the first layer.
    pub input: String,
    pub layers: Vec<Layer>,
}

/// A dense layer and the activation behind it.
#[derive(Debug)]
pub(super) struct Layer {
    /// Index of the `Gemm` or `MatMul`.
    pub product: usize,
    /// Index of the `Add` that adds a constant row to a `MatMul`.
    pub sum: Option<usize>,
    /// Name of the tensor that leaves the layer, activation included.
    pub output: String,
    /// Whether no activation stands between product, or sum, and output.
    pub bare: bool,
}

impl Chain {
    /// The longest chain that ends nearest to the outputs; none where the model has no layer.
    pub fn find(graph: &GraphProto) -> Option<Chain> {
        let last = (0..graph.node.len())
            .rev()
            .find(|&index| is_product(graph, index))?;
        let mut layers = Vec::new();
        let mut product = Some(last);
        let mut input = String::new();
        while let Some(index) = product {
            let layer = Layer::at(graph, index);
            if layers
                .last()
                .is_some_and(|next: &Layer| graph.node[next.product].input[0] != layer.output)
            {
                break;
            }
            input = graph.node[index].input[0].clone();
            layers.push(layer);
            product = layer_before(graph, &input);
        }
        layers.reverse();
        Some(Chain { input, layers })
    }

    /// Names of the tensors to quantize: the input, then every layer's output.
    pub fn tensors(&self) -> Vec<String> {
        let outputs = self.layers.iter().map(|layer| layer.output.clone());
        std::iter::once(self.input.clone()).chain(outputs).collect()
    }
}

impl Layer {
    fn at(graph: &GraphProto, product: usize) -> Layer {
        let mut output = graph.node[product].output[0].clone();
        let sum = match graph.node[product].op_type.as_str() {
            "MatMul" => {
                only_consumer(graph, &output).filter(|&index| adds_row(graph, &graph.node[index]))
            }
            _ => None,
        };
        if let Some(sum) = sum {
            output = graph.node[sum].output[0].clone();
        }
        let mut bare = true;
        while let Some(next) =
            only_consumer(graph, &output).filter(|&next| is_activation(&graph.node[next]))
        {
            output = graph.node[next].output[0].clone();
            bare = false;
        }
        Layer {
            product,
            sum,
            output,
            bare,
        }
    }

    /// The product with its bias, before any activation.
    pub fn bare_output<'g>(&self, graph: &'g GraphProto) -> &'g str {
        &graph.node[self.sum.unwrap_or(self.product)].output[0]
    }
}

/// A product with a constant matrix.
fn is_product(graph: &GraphProto, index: usize) -> bool {
    let node = &graph.node[index];
    let constant = |position: usize| {
        node.input_name(position)
            .and_then(|name| graph.initializer(name))
    };
    let matrix = constant(1).is_some_and(|weights| weights.dims.len() == 2);
    match node.op_type.as_str() {
        "Gemm" => {
            let plain = node.int("transA").unwrap_or(0) == 0
                && node.float("alpha").unwrap_or(1.0) == 1.0
                && node.float("beta").unwrap_or(1.0) == 1.0;
            matrix && plain && (node.input.len() < 3 || constant(2).is_some())
        }
        "MatMul" => matrix,
        _ => false,
    }
}

/// The product whose layer gives `tensor`, if nothing but activations lies between.
fn layer_before(graph: &GraphProto, tensor: &str) -> Option<usize> {
    let index = graph.producer(tensor)?;
    let node = &graph.node[index];
    match node.op_type.as_str() {
        "Gemm" | "MatMul" => is_product(graph, index).then_some(index),
        "Add" if adds_row(graph, node) => {
            let product = graph.producer(computed_input(graph, node)?)?;
            (graph.node[product].op_type == "MatMul" && is_product(graph, product))
                .then_some(product)
        }
        _ if is_activation(node) => layer_before(graph, &node.input[0]),
        _ => None,
    }
}

fn is_activation(node: &NodeProto) -> bool {
    matches!(node.op_type.as_str(), "Relu" | "Clip")
}

/// The only node that takes a tensor that is no output of the model.
fn only_consumer(graph: &GraphProto, tensor: &str) -> Option<usize> {
    let is_output = graph.output.iter().any(|output| output.name == tensor);
    let mut consumers = graph.consumers(tensor);
    let first = consumers.next().filter(|_| !is_output)?;
    consumers.next().is_none().then_some(first)
}

fn computed_input<'g>(graph: &GraphProto, node: &'g NodeProto) -> Option<&'g str> {
    node.input
        .iter()
        .find(|name| graph.initializer(name).is_none())
        .map(String::as_str)
}

/// Whether a node adds one constant per column.
fn adds_row(graph: &GraphProto, node: &NodeProto) -> bool {
    let row = |name: &String| {
        graph
            .initializer(name)
            .is_some_and(|constant| constant.dims.len() == 1)
    };
    node.op_type == "Add" && node.input.iter().filter(|name| row(name)).count() == 1
}
