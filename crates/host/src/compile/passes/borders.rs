//! A border of zeros around an image becomes padding of the convolution or average behind it.
//!
//! The border first moves past what lies between: transpositions, and ops on single elements that
//! keep zero where it is, which limits around it and quantizations do. A convolution leaves taps
//! on its padding out, so nothing is lost but products with 0.0.

use super::super::graph::{Border, Content, Element, Fill, Graph, Node, Op, Value, Window};
use super::{layout, pairs};

pub(super) fn fold(graph: &mut Graph) {
    let next = |graph: &Graph| {
        pairs(graph)
            .into_iter()
            .find_map(|(first, second)| Some((first, second, behind(graph, first, second)?)))
    };
    while let Some((first, second, moved)) = next(graph) {
        exchange(graph, first, second, moved);
    }
    for (border, layer) in pairs(graph) {
        if let Some(op) = padded(graph, border, layer) {
            let border = graph.nodes[border].clone();
            let layer = &mut graph.nodes[layer];
            layer.op = op;
            layer.inputs[0] = border.inputs[0];
            layer.origins.extend(border.origins);
        }
    }
    graph.remove_unused();
    layout::settle(graph);
}

/// A border behind the op that it stood before, and the shape between them.
struct Moved {
    border: Border,
    between: Vec<usize>,
}

fn behind(graph: &Graph, first: usize, second: usize) -> Option<Moved> {
    let Op::Pad { border, .. } = &graph.nodes[first].op else {
        return None;
    };
    let shape = &graph.values[graph.nodes[first].inputs[0]].shape;
    let same = |fill: Fill| {
        let border = Border {
            fill,
            before: border.before.clone(),
        };
        let between = shape.clone();
        Moved { border, between }
    };
    let is_zero = border.fill == Fill::Float(0.0);
    match &graph.nodes[second].op {
        Op::Clamp { minimum, maximum } => {
            (is_zero && *minimum <= 0.0 && 0.0 <= *maximum).then(|| same(border.fill))
        }
        Op::QuantizeLinear { zero_point, .. } => is_zero.then(|| same(Fill::Code(*zero_point))),
        Op::DequantizeLinear { zero_point, .. } => {
            (border.fill == Fill::Code(*zero_point)).then(|| same(Fill::Float(0.0)))
        }
        Op::Transpose { order } => Some(Moved {
            border: Border {
                fill: border.fill,
                before: order.iter().map(|&axis| border.before[axis]).collect(),
            },
            between: order.iter().map(|&axis| shape[axis]).collect(),
        }),
        Op::Reshape => {
            let padded = &graph.values[graph.nodes[first].output].shape;
            let result = &graph.values[graph.nodes[second].output].shape;
            let more = result.len().checked_sub(padded.len())?;
            let is_alike = result[more..] == padded[..] && result[..more].iter().all(|&n| n == 1);
            is_alike.then(|| Moved {
                border: Border {
                    fill: border.fill,
                    before: [vec![0; more], border.before.clone()].concat(),
                },
                between: [vec![1; more], shape.clone()].concat(),
            })
        }
        _ => None,
    }
}

fn exchange(graph: &mut Graph, first: usize, second: usize, moved: Moved) {
    let (border, op) = (graph.nodes[first].clone(), graph.nodes[second].clone());
    let result = graph.values[op.output].clone();
    graph.values.push(Value {
        shape: moved.between,
        content: Content::Computed,
        ..result
    });
    let between = graph.values.len() - 1;
    graph.nodes[first] = Node {
        inputs: border.inputs,
        output: between,
        ..op.clone()
    };
    graph.nodes[second] = Node {
        op: Op::Pad {
            border: moved.border,
            element: graph.values[op.output].element,
        },
        inputs: vec![between],
        output: op.output,
        origins: border.origins,
    };
}

/// A convolution or average with the border before it as padding.
fn padded(graph: &Graph, border: usize, layer: usize) -> Option<Op> {
    let (first, second) = (&graph.nodes[border], &graph.nodes[layer]);
    let Op::Pad { border, element } = &first.op else {
        return None;
    };
    let zeros = border.fill == Fill::Float(0.0) && *element == Element::F32;
    if !zeros || second.inputs[0] != first.output {
        return None;
    }
    let around = around(
        border,
        &graph.values[first.inputs[0]].shape,
        &graph.values[first.output].shape,
    )?;
    let wider = |window: Window| Window {
        pads: std::array::from_fn(|side| window.pads[side] + around[side]),
        ..window
    };
    match second.op {
        Op::Conv2d {
            window,
            transposed: false,
            minimum,
            maximum,
        } => Some(Op::Conv2d {
            window: wider(window),
            transposed: false,
            minimum,
            maximum,
        }),
        Op::AveragePool2d { window, margins } if window.pads == [0; 4] && margins == [0; 4] => {
            Some(Op::AveragePool2d {
                window: wider(window),
                margins: around,
            })
        }
        _ => None,
    }
}

/// Top, left, bottom and right of a border around rows and columns only.
fn around(border: &Border, from: &[usize], to: &[usize]) -> Option<[usize; 4]> {
    let ([_, h, w, _], [_, rows, columns, _]) = (from, to) else {
        return None;
    };
    let [0, top, left, 0] = border.before[..] else {
        return None;
    };
    let (top, left) = (usize::try_from(top).ok()?, usize::try_from(left).ok()?);
    let bottom = rows.checked_sub(h + top)?;
    let right = columns.checked_sub(w + left)?;
    (from[0] == to[0] && from[3] == to[3]).then_some([top, left, bottom, right])
}

#[cfg(test)]
mod tests {
    use super::super::testing::{floats, graph, node, ops};
    use super::*;

    const FREE: (f32, f32) = (f32::NEG_INFINITY, f32::INFINITY);

    fn window(pads: [usize; 4]) -> Window {
        Window {
            kernel: [2, 2],
            strides: [1, 1],
            dilations: [1, 1],
            pads,
        }
    }

    fn convolution(pads: [usize; 4]) -> Op {
        Op::Conv2d {
            window: window(pads),
            transposed: false,
            minimum: FREE.0,
            maximum: FREE.1,
        }
    }

    /// A border before limits and a convolution.
    fn bordered(fill: f32, minimum: f32) -> Graph {
        let mut graph = graph();
        graph.values[graph.input].shape = vec![1, 3, 3, 1];
        let border = Border {
            fill: Fill::Float(fill),
            before: vec![0, 1, 0, 0],
        };
        let pad = Op::Pad {
            border,
            element: Element::F32,
        };
        let x = graph.input;
        let padded = node(&mut graph, pad, &[x], &[1, 4, 5, 1]);
        let limits = Op::Clamp {
            minimum,
            maximum: 6.0,
        };
        let limited = node(&mut graph, limits, &[padded], &[1, 4, 5, 1]);
        let (weights, bias) = (floats(&mut graph, &[1.0; 4]), floats(&mut graph, &[0.0]));
        let op = convolution([0, 1, 0, 1]);
        let y = node(&mut graph, op, &[limited, weights, bias], &[1, 3, 6, 1]);
        graph.outputs = vec![y];
        fold(&mut graph);
        graph.remove_unused();
        graph
    }

    #[test]
    fn zeros_become_padding() {
        let graph = bordered(0.0, 0.0);
        let limits = Op::Clamp {
            minimum: 0.0,
            maximum: 6.0,
        };
        assert_eq!(ops(&graph), [&limits, &convolution([1, 1, 0, 3])]);
        assert_eq!(graph.values[graph.nodes[0].output].shape, [1, 3, 3, 1]);
    }

    #[test]
    fn other_borders_stay() {
        assert_eq!(bordered(1.0, 0.0).nodes.len(), 3);
        assert_eq!(bordered(0.0, 0.5).nodes.len(), 3);
    }
}
