//! Quantization moves before the joining of tensors: `quantize(concat(a, b))` becomes
//! `concat(quantize(a), quantize(b))`, which acts on the same single elements. The parts are
//! joined as bytes, and each quantization meets the op that computes its part.

use super::super::graph::{Element, Graph, Node, Op};

pub(super) fn split(graph: &mut Graph) {
    while let Some((join, quantize)) = find(graph) {
        apply(graph, join, quantize);
    }
}

/// A join whose only use is a quantization.
fn find(graph: &Graph) -> Option<(usize, usize)> {
    let is_pair = |&(join, quantize): &(usize, usize)| {
        matches!(graph.nodes[join].op, Op::Concat { .. })
            && matches!(graph.nodes[quantize].op, Op::QuantizeLinear { .. })
    };
    super::pairs(graph).into_iter().find(is_pair)
}

/// Quantises every part in the place of the join, and joins them in the place of the quantization.
fn apply(graph: &mut Graph, join: usize, quantize: usize) {
    let (joined, behind) = (graph.nodes[join].clone(), graph.nodes[quantize].clone());
    let Op::QuantizeLinear { scale, zero_point } = behind.op else {
        return;
    };
    let mut parts = Vec::new();
    for &part in &joined.inputs {
        let value = graph.values[part].clone();
        let output = graph.add_value(&value.name, Element::I8, &value.shape);
        graph.values[output].quantization = Some((scale, zero_point));
        parts.push(Node {
            op: behind.op.clone(),
            inputs: vec![part],
            output,
            origins: behind.origins.clone(),
        });
    }
    graph.nodes[quantize] = Node {
        inputs: parts.iter().map(|part| part.output).collect(),
        output: behind.output,
        ..joined
    };
    graph.nodes.splice(join..=join, parts);
}

#[cfg(test)]
mod tests {
    use super::super::testing::{graph, node, ops};
    use super::*;

    #[test]
    fn parts_are_quantised_before_they_are_joined() {
        let mut graph = graph();
        let (scale, zero_point) = (0.5, 3);
        let x = graph.input;
        let doubled = node(
            &mut graph,
            Op::Binary(dunlin_engine::format::OpCode::Add),
            &[x, x],
            &[1, 2],
        );
        let joined = node(&mut graph, Op::Concat { outer: 1 }, &[x, doubled], &[1, 4]);
        let quantize = Op::QuantizeLinear { scale, zero_point };
        let quantized = node(&mut graph, quantize.clone(), &[joined], &[1, 4]);
        graph.outputs = vec![quantized];
        split(&mut graph);
        let add = Op::Binary(dunlin_engine::format::OpCode::Add);
        let join = Op::Concat { outer: 1 };
        assert_eq!(ops(&graph), [&add, &quantize, &quantize, &join]);
        assert_eq!(graph.nodes[1].inputs, [x]);
        assert_eq!(
            graph.nodes[3].inputs,
            [graph.nodes[1].output, graph.nodes[2].output]
        );
        assert_eq!(graph.nodes[3].output, quantized);
    }
}
