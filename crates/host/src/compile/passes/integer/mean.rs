//! `reduce_mean` of a quantised tensor becomes one op on bytes: an integer sum, divided once.

use super::super::super::byte_op::{ByteOp, Ratio};
use super::super::super::graph::{Graph, Node, Op};
use super::super::super::rational::Dyadic;
use super::{Formed, quantization_through_limits, source};
use dunlin_engine::format::OpCode;

/// Longest axis the engine sums in 32 bits.
const MAX_REDUCED: usize = 1 << 23;

pub(super) fn form(graph: &mut Graph, at: usize) -> Option<Formed> {
    let node = graph.nodes[at].clone();
    let Op::Reduce {
        op: OpCode::ReduceMean,
        outer,
        reduced,
        inner,
    } = node.op
    else {
        return None;
    };
    let source = source(graph, node.inputs[0])?;
    let behind = quantization_through_limits(graph, at)?;
    let unit = Dyadic::from_f32(source.scale);
    let (ratio, _) = Ratio::new([unit], reduced as u64, &behind.target)?;
    (reduced <= MAX_REDUCED).then(|| Formed {
        at: behind.at,
        node: Node {
            op: Op::Bytes(ByteOp::Mean {
                sizes: [outer, reduced, inner],
                zero_point: source.zero_point,
                ratio,
            }),
            inputs: vec![source.codes],
            output: node.output,
            origins: [source.origins, behind.origins, node.origins].concat(),
        },
    })
}
