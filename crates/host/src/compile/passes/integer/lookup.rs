//! `dequantize → functions of one element → quantize` becomes a table of all 256 results.
//!
//! The functions may be any chain, and any tree over one tensor (`x·sigmoid(x)`), with constants of
//! one element. Every entry is the real function of the real value, rounded once, half to even:
//! rational functions in rational arithmetic, the others to fifty digits (`real.rs`).

use super::super::super::byte_op::ByteOp;
use super::super::super::constant::Data;
use super::super::super::graph::{Content, Graph, Node, Op, ValueId};
use super::super::super::real::Real;
use super::{Formed, Source, source};
use dunlin_engine::format::OpCode;
use std::collections::HashMap;

/// Most nodes of a function, so that a search ends.
const MAX_NODES: usize = 64;

/// A function of the codes of one tensor.
struct Function {
    source: Source,
    /// Nodes in the order in which they can be computed.
    nodes: Vec<usize>,
    /// Real values of the constants of one element.
    constants: HashMap<ValueId, Real>,
}

pub(super) fn form(graph: &mut Graph, at: usize) -> Option<Formed> {
    let Op::QuantizeLinear { scale, zero_point } = graph.nodes[at].op else {
        return None;
    };
    let function = Function::find(graph, graph.nodes[at].inputs[0])?;
    let result = graph.nodes[at].inputs[0];
    let codes: Option<Vec<i8>> = (0..=255_u8)
        .map(|byte| {
            let value = function.value(graph, byte as i8, result)?;
            value.code(scale, zero_point)
        })
        .collect();
    let origins = function
        .nodes
        .iter()
        .flat_map(|&node| graph.nodes[node].origins.clone());
    let origins = [function.source.origins.clone(), origins.collect()].concat();
    Some(Formed {
        at,
        node: table_node(graph, function.source.codes, codes?, origins),
    })
}

/// A lookup of `codes` by the byte of a value; through another lookup that nobody else uses.
fn table_node(graph: &mut Graph, mut x: ValueId, codes: Vec<i8>, mut origins: Vec<usize>) -> Node {
    let mut codes = codes;
    if let Some((first, before)) = lookup_before(graph, x) {
        let node = &graph.nodes[first];
        (x, origins) = (node.inputs[0], [node.origins.clone(), origins].concat());
        codes = before
            .iter()
            .map(|&code| codes[usize::from(code as u8)])
            .collect();
    }
    let table = graph.add_constant("table", &[codes.len()], Data::I8(codes));
    Node {
        op: Op::Bytes(ByteOp::Lookup),
        inputs: vec![x, table],
        output: x,
        origins,
    }
}

/// The lookup that computes a value which is used once, and its table.
fn lookup_before(graph: &Graph, x: ValueId) -> Option<(usize, Vec<i8>)> {
    let first = graph.producer(x)?;
    let node = &graph.nodes[first];
    let is_lookup = node.op == Op::Bytes(ByteOp::Lookup) && graph.uses(x) == 1;
    match graph.constant(*node.inputs.get(1)?)? {
        Data::I8(codes) if is_lookup => Some((first, codes.clone())),
        _ => None,
    }
}

impl Function {
    /// The function that gives a value, if it is one of a single dequantised tensor.
    fn find(graph: &Graph, result: ValueId) -> Option<Function> {
        let mut found: Option<Source> = None;
        let (mut nodes, mut constants) = (Vec::new(), HashMap::new());
        let mut waiting = vec![result];
        while let Some(value) = waiting.pop() {
            if let Some(real) = constant(graph, value) {
                constants.insert(value, real);
                continue;
            }
            if graph.values[value].shape != graph.values[result].shape {
                return None;
            }
            if let Some(source) = source(graph, value) {
                let same = found.as_ref().is_none_or(|found| found.is_like(&source));
                found = Some(source).filter(|_| same);
                found.as_ref()?;
                continue;
            }
            let node = graph.producer(value)?;
            let is_function = matches!(
                graph.nodes[node].op,
                Op::Unary(_) | Op::Clamp { .. } | Op::Binary(_) | Op::Activation { .. }
            );
            if !is_function || nodes.len() == MAX_NODES {
                return None;
            }
            nodes.push(node);
            waiting.extend(&graph.nodes[node].inputs);
        }
        nodes.sort_unstable();
        nodes.dedup();
        Some(Function {
            source: found?,
            nodes,
            constants,
        })
    }

    /// The real value of `result` for a code of the source.
    fn value(&self, graph: &Graph, code: i8, result: ValueId) -> Option<Real> {
        let steps = i64::from(code) - i64::from(self.source.zero_point);
        let x = Real::from_f32(self.source.scale)?.times(&Real::integer(steps));
        let mut values: HashMap<ValueId, Real> = HashMap::new();
        for &node in &self.nodes {
            let node = &graph.nodes[node];
            let arguments = node.inputs.iter().map(|input| {
                values
                    .get(input)
                    .or_else(|| self.constants.get(input))
                    .unwrap_or(&x)
            });
            let arguments: Vec<&Real> = arguments.collect();
            let value = apply(&node.op, &arguments)?;
            values.insert(node.output, value);
        }
        Some(values.remove(&result).unwrap_or(x))
    }
}

/// The real value of a constant of one element.
fn constant(graph: &Graph, value: ValueId) -> Option<Real> {
    match &graph.values[value].content {
        Content::Constant(Data::F32(values)) if values.len() == 1 => Real::from_f32(values[0]),
        Content::Quantized(quantized) if quantized.integers.len() == 1 => {
            let (scale, zero_point) = quantized.parameters(0);
            let steps = i64::from(quantized.integers[0]) - i64::from(zero_point);
            Some(Real::from_f32(scale)?.times(&Real::integer(steps)))
        }
        _ => None,
    }
}

/// The real value of an op of real values; none where it has none or is none of these.
fn apply(op: &Op, arguments: &[&Real]) -> Option<Real> {
    match (op, arguments) {
        (Op::Unary(function), [x]) => unary(*function, x),
        (Op::Activation { op, alpha, beta }, [x]) => activation(*op, x, [*alpha, *beta]),
        (Op::Clamp { minimum, maximum }, [x]) => Some(limited(x, *minimum, *maximum)),
        (Op::Binary(OpCode::Add), [a, b]) => Some(a.plus(b)),
        (Op::Binary(OpCode::Sub), [a, b]) => Some(a.minus(b)),
        (Op::Binary(OpCode::Mul), [a, b]) => Some(a.times(b)),
        (Op::Binary(OpCode::Div), [a, b]) => a.over(b),
        (Op::Binary(OpCode::Maximum), [a, b]) => Some(a.larger(b)),
        (Op::Binary(OpCode::Minimum), [a, b]) => Some(a.smaller(b)),
        _ => None,
    }
}

fn unary(function: OpCode, x: &Real) -> Option<Real> {
    match function {
        OpCode::Abs => Some(x.absolute()),
        OpCode::Neg => Some(x.negated()),
        OpCode::Sqrt => x.square_root(),
        OpCode::Exp => x.exponential(),
        OpCode::Log => x.logarithm(),
        OpCode::Tanh => x.tangent(),
        OpCode::Sigmoid => x.sigmoid(),
        OpCode::Erf => Some(x.error_function()),
        OpCode::HardSwish => {
            let line = x.plus(&Real::integer(3)).over(&Real::integer(6))?;
            Some(x.times(&limited(&line, 0.0, 1.0)))
        }
        _ => None,
    }
}

fn activation(op: OpCode, x: &Real, parameters: [f32; 2]) -> Option<Real> {
    let [alpha, beta] = parameters.map(Real::from_f32);
    match op {
        OpCode::LeakyRelu if x.is_negative() => Some(x.times(&alpha?)),
        OpCode::LeakyRelu => Some(x.clone()),
        OpCode::HardSigmoid => Some(limited(&x.times(&alpha?).plus(&beta?), 0.0, 1.0)),
        _ => None,
    }
}

/// Infinite limits limit nothing.
fn limited(x: &Real, minimum: f32, maximum: f32) -> Real {
    let raised = Real::from_f32(minimum).map_or(x.clone(), |minimum| x.larger(&minimum));
    Real::from_f32(maximum).map_or(raised.clone(), |maximum| raised.smaller(&maximum))
}

#[cfg(test)]
mod tests {
    use super::super::super::super::graph::Element;
    use super::super::super::testing::{floats, graph, node};
    use super::super::form as form_all;
    use super::*;

    /// The table of `build` between a dequantization and a quantization; none where there is none.
    fn table(
        build: impl FnOnce(&mut Graph, ValueId) -> ValueId,
        (scale, zero_point): (f32, i32),
    ) -> Option<Vec<i8>> {
        let mut graph = graph();
        let x = graph.input;
        graph.values[x].element = Element::I8;
        let dequantize = Op::DequantizeLinear {
            scale: 0.1,
            zero_point: 3,
        };
        let float = node(&mut graph, dequantize, &[x], &[1, 2]);
        let result = build(&mut graph, float);
        let quantize = Op::QuantizeLinear { scale, zero_point };
        let codes = node(&mut graph, quantize, &[result], &[1, 2]);
        graph.outputs = vec![codes];
        form_all(&mut graph);
        graph.remove_unused();
        match (graph.nodes.len(), &graph.nodes[0].op) {
            (1, Op::Bytes(ByteOp::Lookup)) => match graph.constant(graph.nodes[0].inputs[1]) {
                Some(Data::I8(codes)) => Some(codes.clone()),
                _ => None,
            },
            _ => None,
        }
    }

    fn real(index: usize) -> f64 {
        f64::from(0.1_f32) * (f64::from(index as u8 as i8) - 3.0)
    }

    #[test]
    fn a_diamond_over_one_tensor_is_one_table() {
        let codes = table(
            |graph, x| {
                let gate = node(graph, Op::Unary(OpCode::Sigmoid), &[x], &[1, 2]);
                node(graph, Op::Binary(OpCode::Mul), &[x, gate], &[1, 2])
            },
            (0.05, -100),
        )
        .unwrap();
        for (index, &code) in codes.iter().enumerate() {
            let x = real(index);
            let expected = (x / (1.0 + (-x).exp()) / f64::from(0.05_f32)).round() - 100.0;
            assert_eq!(f64::from(code), expected.clamp(-128.0, 127.0), "{x}");
        }
    }

    #[test]
    fn two_requantisations_are_rounded_twice_in_one_table() {
        let codes = table(
            |graph, x| {
                let quantize = Op::QuantizeLinear {
                    scale: 0.7,
                    zero_point: 0,
                };
                let coarse = node(graph, quantize, &[x], &[1, 2]);
                graph.values[coarse].element = Element::I8;
                let dequantize = Op::DequantizeLinear {
                    scale: 0.7,
                    zero_point: 0,
                };
                node(graph, dequantize, &[coarse], &[1, 2])
            },
            (0.2, 0),
        )
        .unwrap();
        for (index, &code) in codes.iter().enumerate() {
            let coarse = (real(index) / f64::from(0.7_f32)).round() * f64::from(0.7_f32);
            let expected = (coarse / f64::from(0.2_f32)).round();
            assert_eq!(f64::from(code), expected.clamp(-128.0, 127.0));
        }
    }

    #[test]
    fn a_function_that_is_not_real_somewhere_stays_in_floats() {
        let root = |graph: &mut Graph, x| node(graph, Op::Unary(OpCode::Sqrt), &[x], &[1, 2]);
        assert!(table(root, (0.1, 0)).is_none());
        let by_row = |graph: &mut Graph, x| {
            let row = floats(graph, &[1.0, 2.0]);
            node(graph, Op::Binary(OpCode::Mul), &[x, row], &[1, 2])
        };
        assert!(table(by_row, (0.1, 0)).is_none());
    }
}
