//! What only moves or picks elements moves past quantization, so that integer ops see their
//! neighbours and bytes are moved instead of floats.
//!
//! `view(dequantize(q))` becomes `dequantize(view(q))`, and `quantize(view(x))` becomes
//! `view(quantize(x))`: reshapes, copies, borders and maxima. A quantization keeps order, so the
//! code of the largest number is the largest code; equal numbers have equal codes. Tensors that are
//! dequantised alike are joined before that, and what is quantised behind a join is quantised
//! before it.

use super::super::constant::Data;
use super::super::graph::{Border, Element, Fill, Graph, Node, Op, ValueId};

pub(super) fn hoist(graph: &mut Graph) {
    while (0..graph.nodes.len()).any(|at| before_dequantization(graph, at))
        || (0..graph.nodes.len()).any(|at| behind_quantization(graph, at))
    {
        graph.remove_unused();
    }
}

type Quantization = (f32, i32);

/// The op on codes that does what an op on floats does, if it only moves or picks elements.
fn on_codes(op: &Op, zero_point: i32) -> Option<Op> {
    match op {
        Op::Reshape | Op::StridedCopy { .. } | Op::Transpose { .. } | Op::Concat { .. } => {
            Some(op.clone())
        }
        Op::MaxPool2d { window, .. } => Some(Op::MaxPool2d {
            window: *window,
            element: Element::I8,
        }),
        Op::Pad { border, .. } => {
            let fill = match border.fill {
                Fill::Float(value) => (value == 0.0).then_some(Fill::Code(zero_point))?,
                fill => fill,
            };
            let before = border.before.clone();
            Some(Op::Pad {
                border: Border { fill, before },
                element: Element::I8,
            })
        }
        _ => None,
    }
}

/// Scale and zero point with which a value is dequantised, and its codes.
fn dequantized(graph: &Graph, value: ValueId) -> Option<(Quantization, ValueId)> {
    let node = &graph.nodes[graph.producer(value)?];
    match node.op {
        Op::DequantizeLinear { scale, zero_point } => Some(((scale, zero_point), node.inputs[0])),
        _ => None,
    }
}

fn add_codes(graph: &mut Graph, like: ValueId, quantization: Quantization) -> ValueId {
    let (name, shape) = (
        graph.values[like].name.clone(),
        graph.values[like].shape.clone(),
    );
    let codes = graph.add_value(&name, Element::I8, &shape);
    graph.values[codes].quantization = Some(quantization);
    codes
}

/// Moves node `at` before the dequantizations of its operands, if they are alike.
fn before_dequantization(graph: &mut Graph, at: usize) -> bool {
    let node = graph.nodes[at].clone();
    let sources: Option<Vec<(Quantization, ValueId)>> = node
        .inputs
        .iter()
        .map(|&input| dequantized(graph, input))
        .collect();
    let Some(sources) = sources.filter(|sources| !sources.is_empty()) else {
        return false;
    };
    let (quantization, _) = sources[0];
    let Some(op) = on_codes(&node.op, quantization.1) else {
        return false;
    };
    if sources.iter().any(|(other, _)| *other != quantization) {
        return false;
    }
    let codes = add_codes(graph, node.output, quantization);
    let producers = node
        .inputs
        .iter()
        .filter_map(|&input| graph.producer(input));
    let origins = producers.flat_map(|producer| graph.nodes[producer].origins.clone());
    let (scale, zero_point) = quantization;
    let dequantize = Node {
        op: Op::DequantizeLinear { scale, zero_point },
        inputs: vec![codes],
        output: node.output,
        origins: origins.collect(),
    };
    let moved = Node {
        op,
        inputs: sources.into_iter().map(|(_, codes)| codes).collect(),
        output: codes,
        origins: node.origins,
    };
    graph.nodes.splice(at..=at, [moved, dequantize]);
    true
}

/// Moves the quantization at `at` before the op whose only use it is.
fn behind_quantization(graph: &mut Graph, at: usize) -> bool {
    let quantize = graph.nodes[at].clone();
    let Op::QuantizeLinear { scale, zero_point } = quantize.op else {
        return false;
    };
    let Some(first) = graph.producer(quantize.inputs[0]) else {
        return false;
    };
    let node = graph.nodes[first].clone();
    let op = on_codes(&node.op, zero_point);
    // A slice is cheaper quantised alone than with what it leaves.
    let elements = |id: ValueId| graph.values[id].elements();
    let shrinks = node
        .inputs
        .iter()
        .map(|&input| elements(input))
        .sum::<usize>()
        > elements(node.output);
    let worth = matches!(op, Some(Op::MaxPool2d { .. })) || !shrinks;
    let only = graph.uses(node.output) == 1;
    let Some(op) = op.filter(|_| worth && only) else {
        return false;
    };
    let constants: Vec<Option<Vec<i8>>> = node
        .inputs
        .iter()
        .map(|&input| codes(graph, input, (scale, zero_point)))
        .collect();
    let known = |(&input, codes): (&ValueId, &Option<Vec<i8>>)| {
        graph.values[input].is_computed() || codes.is_some()
    };
    if !node.inputs.iter().zip(&constants).all(known) {
        return false;
    }
    let (mut nodes, mut inputs) = (Vec::new(), Vec::new());
    for (&input, constant) in node.inputs.iter().zip(constants) {
        inputs.push(match constant {
            Some(codes) => {
                let shape = graph.values[input].shape.clone();
                graph.add_constant("codes", &shape, Data::I8(codes))
            }
            None => {
                let output = add_codes(graph, input, (scale, zero_point));
                nodes.push(Node {
                    inputs: vec![input],
                    output,
                    ..quantize.clone()
                });
                output
            }
        });
    }
    nodes.push(Node {
        op,
        inputs,
        output: quantize.output,
        origins: node.origins,
    });
    graph.nodes.remove(at);
    graph.nodes.splice(first..=first, nodes);
    true
}

/// The codes of a constant; none of a computed value.
fn codes(graph: &Graph, value: ValueId, (scale, zero_point): (f32, i32)) -> Option<Vec<i8>> {
    let reals = graph.reals(value);
    let codes = reals?.into_iter().map(|real| real.code(scale, zero_point));
    codes.collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::graph::Window;
    use super::super::testing::{floats, graph, node, ops};
    use super::*;

    const DEQUANTIZE: Op = Op::DequantizeLinear {
        scale: 0.5,
        zero_point: 3,
    };
    const QUANTIZE: Op = Op::QuantizeLinear {
        scale: 0.5,
        zero_point: 3,
    };

    /// A graph that takes four bytes.
    fn bytes() -> Graph {
        let mut graph = graph();
        graph.values[graph.input].element = Element::I8;
        graph.values[graph.input].shape = vec![1, 2, 2, 1];
        graph
    }

    #[test]
    fn a_reshape_moves_before_dequantization_and_behind_quantization() {
        let mut graph = bytes();
        let x = graph.input;
        let float = node(&mut graph, DEQUANTIZE, &[x], &[1, 2, 2, 1]);
        let column = node(&mut graph, Op::Reshape, &[float], &[4, 1]);
        let flat = node(&mut graph, Op::Reshape, &[column], &[4]);
        let quantized = node(&mut graph, QUANTIZE, &[flat], &[4]);
        graph.outputs = vec![quantized];
        hoist(&mut graph);
        assert_eq!(
            ops(&graph),
            [&Op::Reshape, &Op::Reshape, &DEQUANTIZE, &QUANTIZE]
        );
        assert_eq!(graph.values[graph.nodes[1].output].shape, [4]);
        assert_eq!(graph.nodes[3].output, quantized);
    }

    #[test]
    fn a_maximum_is_taken_of_codes() {
        let window = Window {
            kernel: [2, 2],
            strides: [1, 1],
            dilations: [1, 1],
            pads: [0; 4],
        };
        let pool = |element: Element| Op::MaxPool2d { window, element };
        let mut graph = bytes();
        let x = graph.input;
        let float = node(&mut graph, DEQUANTIZE, &[x], &[1, 2, 2, 1]);
        let best = node(&mut graph, pool(Element::F32), &[float], &[1, 1, 1, 1]);
        graph.outputs = vec![best];
        hoist(&mut graph);
        assert_eq!(ops(&graph), [&pool(Element::I8), &DEQUANTIZE]);
        let codes = &graph.values[graph.nodes[0].output];
        assert_eq!(
            (codes.element, codes.quantization),
            (Element::I8, Some((0.5, 3)))
        );
    }

    #[test]
    fn a_border_of_zeros_is_one_of_zero_points_and_others_stay() {
        let border = |fill: Fill, element: Element| Op::Pad {
            border: Border {
                fill,
                before: vec![0, 1, 0, 0],
            },
            element,
        };
        for (fill, moves) in [(0.0, true), (0.3, false)] {
            let mut graph = bytes();
            let x = graph.input;
            let float = node(&mut graph, DEQUANTIZE, &[x], &[1, 2, 2, 1]);
            let pad = border(Fill::Float(fill), Element::F32);
            let padded = node(&mut graph, pad.clone(), &[float], &[1, 3, 2, 1]);
            graph.outputs = vec![padded];
            hoist(&mut graph);
            let expected = match moves {
                true => [border(Fill::Code(3), Element::I8), DEQUANTIZE],
                false => [DEQUANTIZE, pad],
            };
            assert_eq!(ops(&graph), expected.iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_join_is_quantised_before_it() {
        let mut graph = bytes();
        let x = graph.input;
        let float = node(&mut graph, DEQUANTIZE, &[x], &[1, 2, 2, 1]);
        let other = node(&mut graph, Op::Softmax, &[float], &[1, 2, 2, 1]);
        let join = Op::Concat { outer: 1 };
        let both = node(&mut graph, join.clone(), &[float, other], &[1, 4, 2, 1]);
        let quantized = node(&mut graph, QUANTIZE, &[both], &[1, 4, 2, 1]);
        graph.outputs = vec![quantized];
        hoist(&mut graph);
        assert_eq!(
            ops(&graph),
            [&DEQUANTIZE, &Op::Softmax, &QUANTIZE, &QUANTIZE, &join]
        );
    }

    #[test]
    fn views_of_one_dequantised_tensor_each_move_before_it() {
        let mut graph = graph();
        let x = graph.input;
        graph.values[x].element = Element::I8;
        let float = node(&mut graph, DEQUANTIZE, &[x], &[1, 2]);
        let part = |base| Op::StridedCopy {
            base,
            strides: [0; 4],
        };
        let first = node(&mut graph, part(0), &[float], &[1, 1]);
        let second = node(&mut graph, part(1), &[float], &[1, 1]);
        graph.outputs = vec![first, second];
        hoist(&mut graph);
        graph.remove_unused();
        let is_view = |node: &&Node| matches!(node.op, Op::StridedCopy { .. });
        let views: Vec<&Node> = graph.nodes.iter().filter(is_view).collect();
        assert!(graph.nodes.len() == 4 && views.len() == 2);
        assert!(views.iter().all(|view| view.inputs == [x]));
    }

    #[test]
    fn what_is_joined_is_quantised_one_by_one() {
        let mut graph = graph();
        let x = graph.input;
        let constant = floats(&mut graph, &[1.25, -100.0]);
        let concat = Op::Concat { outer: 1 };
        let joined = node(&mut graph, concat.clone(), &[x, constant], &[1, 4]);
        let quantized = node(&mut graph, QUANTIZE, &[joined], &[1, 4]);
        graph.outputs = vec![quantized];
        hoist(&mut graph);
        assert_eq!(ops(&graph), [&QUANTIZE, &concat]);
        let codes = graph.constant(graph.nodes[1].inputs[1]);
        // 2.5 steps go to the even 2.
        assert_eq!(codes, Some(&Data::I8(vec![5, -128])));
        assert_eq!(graph.nodes[1].output, quantized);
    }
}
