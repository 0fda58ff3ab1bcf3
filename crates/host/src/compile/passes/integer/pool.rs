//! `average_pool_2d` between quantizations: one rounding of the mean.

use super::super::super::byte_op::{ByteOp, Ratio};
use super::super::super::graph::{Graph, Node, Op};
use super::super::super::rational::Dyadic;
use super::{Formed, quantization_through_limits, source};

/// Largest divisor of the engine's `average_pool_2d`.
const MAX_DIVISOR: u64 = 1 << 40;

pub(super) fn form(graph: &mut Graph, at: usize) -> Option<Formed> {
    let node = graph.nodes[at].clone();
    let Op::AveragePool2d { window, margins } = node.op else {
        return None;
    };
    let source = source(graph, node.inputs[0])?;
    let behind = quantization_through_limits(graph, at)?;
    let (ratio, _) = Ratio::new([Dyadic::from_f32(source.scale)], 1, &behind.target)?;
    let op = ByteOp::AveragePool2d {
        window,
        margins,
        ratio,
        input_zero_point: source.zero_point,
    };
    (ratio.divisor < MAX_DIVISOR).then(|| Formed {
        at: behind.at,
        node: Node {
            op: Op::Bytes(op),
            inputs: vec![source.codes],
            output: node.output,
            origins: [source.origins, node.origins, behind.origins].concat(),
        },
    })
}
