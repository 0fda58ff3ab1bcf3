//! `mat_mul` of two quantised tensors becomes one op on bytes, if neither is a layer's weights.

use super::super::super::byte_op::{ByteOp, Ratio};
use super::super::super::graph::{Graph, Node, Op};
use super::super::super::rational::Dyadic;
use super::pair::operand;
use super::{Formed, quantization_through_limits};

/// Longest dot product the engine sums in 32 bits, whatever the zero points.
const MAX_LENGTH: usize = 1 << 15;

pub(super) fn form(graph: &mut Graph, at: usize) -> Option<Formed> {
    let node = graph.nodes[at].clone();
    let Op::MatMul {
        batch,
        m,
        k,
        n,
        a_batched,
        b_batched,
    } = node.op
    else {
        return None;
    };
    let behind = quantization_through_limits(graph, at)?;
    let a = operand(graph, node.inputs[0])?;
    let b = operand(graph, node.inputs[1])?;
    let unit = Dyadic::from_f32(a.scale).times(Dyadic::from_f32(b.scale));
    let (ratio, _) = Ratio::new([unit], 1, &behind.target)?;
    let sizes = [batch, m, k, n, a_batched.into(), b_batched.into()];
    (k <= MAX_LENGTH).then(|| Formed {
        at: behind.at,
        node: Node {
            op: Op::Bytes(ByteOp::MatMul {
                sizes,
                zero_points: [a.zero_point, b.zero_point],
                ratio,
            }),
            inputs: vec![a.codes, b.codes],
            output: node.output,
            origins: [a.origins, b.origins, behind.origins, node.origins].concat(),
        },
    })
}
