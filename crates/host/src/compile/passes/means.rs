//! An average over a whole image becomes the mean of its pixels: the same sum in the same order, divided once by
//! as many, without positions of windows.

use super::super::byte_op::{ByteOp, Ratio};
use super::super::graph::{Graph, Op, Window};
use dunlin_engine::format::OpCode;

/// Bits of a divisor.
const DIVISOR_BITS: u32 = 63;

pub(super) fn take(graph: &mut Graph) {
    for at in 0..graph.nodes.len() {
        if let Some(op) = mean(graph, at) {
            graph.nodes[at].op = op;
        }
    }
}

fn mean(graph: &Graph, at: usize) -> Option<Op> {
    let node = &graph.nodes[at];
    let sizes = |window: &Window| {
        let &[1, h, w, c] = &graph.values[node.inputs[0]].shape[..] else {
            return None;
        };
        let is_whole = graph.values[node.output].shape == [1, 1, 1, c]
            && window.kernel == [h, w]
            && window.pads == [0; 4]
            && (window.dilations == [1, 1] || h * w == 1);
        is_whole.then_some([1, h * w, c])
    };
    match &node.op {
        Op::AveragePool2d { window, .. } => {
            sizes(window).map(|[outer, reduced, inner]| Op::Reduce {
                op: OpCode::ReduceMean,
                outer,
                reduced,
                inner,
            })
        }
        Op::Bytes(ByteOp::AveragePool2d {
            window,
            ratio,
            input_zero_point,
            ..
        }) => {
            let sizes = sizes(window)?;
            let [_, reduced, _] = sizes.map(|size| size as u64);
            let divisor = ratio.divisor.checked_mul(reduced);
            let divisor = divisor.filter(|divisor| divisor >> DIVISOR_BITS == 0)?;
            Some(Op::Bytes(ByteOp::Mean {
                sizes,
                zero_point: *input_zero_point,
                ratio: Ratio { divisor, ..*ratio },
            }))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::graph::Element;
    use super::super::testing::node;
    use super::*;

    /// What a pool of `kernel` over an image of 3 × 5 pixels and two channels becomes.
    fn taken(kernel: [usize; 2], pads: [usize; 4], shape: &[usize]) -> Option<Op> {
        let mut graph = Graph::default();
        graph.input = graph.add_value("x", Element::F32, &[1, 3, 5, 2]);
        let window = Window {
            kernel,
            strides: [1, 1],
            dilations: [1, 1],
            pads,
        };
        let pool = Op::AveragePool2d {
            window,
            margins: [0; 4],
        };
        let x = graph.input;
        node(&mut graph, pool, &[x], shape);
        mean(&graph, 0)
    }

    #[test]
    fn a_pool_over_the_whole_image_is_a_mean() {
        let expected = Op::Reduce {
            op: OpCode::ReduceMean,
            outer: 1,
            reduced: 15,
            inner: 2,
        };
        assert_eq!(taken([3, 5], [0; 4], &[1, 1, 1, 2]), Some(expected));
    }

    #[test]
    fn pools_over_less_or_more_stay() {
        assert_eq!(taken([3, 4], [0; 4], &[1, 1, 2, 2]), None);
        assert_eq!(taken([2, 5], [0; 4], &[1, 1, 1, 2]), None);
        assert_eq!(taken([3, 5], [1, 0, 0, 0], &[1, 1, 1, 2]), None);
    }
}
