//! What ops cost on a Cortex-M4, estimated from their shapes.
//!
//! The unit is the cycle of `bench`'s model of that core (no wait states). An op costs a sum over the
//! loops of its kernel: how often each runs times what a round takes. [`packed`] has the formulas of the
//! packed kernels, counted from their assembly; [`reference`] those of all others, where what a round
//! takes was measured with `dunlin bench` on models of one op each. On top of it, every op takes
//! [`DISPATCH`], and every float of an output [`OUTPUT_CHECK`].
//!
//! Held against `dunlin bench` function by function, which prints both sums (a test holds them to the budgets):
//! kws, ic, ad, hello and MobileNetV1-0.25 come out within 4 %, the loops over columns within 0.3 %, depthwise
//! layers within 3 %, gathering within 6 %. Reference kernels are measured on few shapes: float networks of
//! convolutions come out within 2 %, recurrent layers and forests within 8 %; else expect a quarter more or less,
//! more where rows are very short.
//!
//! Passes ask for costs before layers are packed. An integer layer that has the shape for a packed kernel
//! is then taken for packed ([`expected_total`]).

mod packed;
mod reference;

use super::graph::{Element, Graph, Node, Op};
use super::packing::Geometry;
use super::packing::Ties;
use super::packing::depthwise::Planes;

/// Cycles to find an op's kernel and operands.
const DISPATCH: u64 = 110;
/// Cycles to look at a float of an output.
const OUTPUT_CHECK: u64 = 12;

/// Cycles of one run of a graph.
pub(crate) fn total(graph: &Graph) -> u64 {
    let ops: u64 = graph.nodes.iter().map(|node| cycles(graph, node)).sum();
    ops + output_check(graph)
}

/// As [`total`], of a graph whose layers will be packed.
pub(crate) fn expected_total(graph: &Graph) -> u64 {
    let ops: u64 = graph.nodes.iter().map(|node| expected(graph, node)).sum();
    ops + output_check(graph)
}

fn output_check(graph: &Graph) -> u64 {
    let outputs = graph.outputs.iter().map(|&id| &graph.values[id]);
    let floats = outputs.filter(|value| value.element == Element::F32);
    OUTPUT_CHECK * floats.map(|value| value.elements() as u64).sum::<u64>()
}

/// Cycles of an op.
pub(crate) fn cycles(graph: &Graph, node: &Node) -> u64 {
    let kernel = match node.op {
        Op::FullyConnectedPacked {
            rows,
            k,
            n,
            limits,
            ties,
            ..
        } => packed::fully_connected([rows, k, n]) + packed::ends(limits, ties, rows * n),
        Op::Conv2dPacked {
            ref geometry,
            limits,
            ..
        } => {
            let ends = packed::ends(limits, geometry.ties, elements(graph, node));
            packed::convolution(geometry) + ends
        }
        Op::DepthwisePacked {
            ref geometry,
            limits,
            planes,
            ..
        } => {
            let ends = packed::ends(limits, Ties::Up, elements(graph, node));
            packed::depthwise(geometry, planes) + ends
        }
        _ => reference::cycles(graph, node),
    };
    DISPATCH + kernel
}

/// As [`cycles`], with an integer layer taken for packed if it has the shape for it.
fn expected(graph: &Graph, node: &Node) -> u64 {
    let columns = |value: usize| graph.values[value].columns();
    let kernel = match node.op {
        Op::FullyConnectedI8 { .. } => {
            let k = columns(node.inputs[0]);
            let rows = graph.values[node.inputs[0]].elements() / k.max(1);
            packed::fully_connected([rows, k, columns(node.output)])
        }
        Op::Conv2dI8 { .. } => match (Geometry::of(graph, node), in_group(graph, node)) {
            (Some(geometry), 1) if geometry.channels == geometry.filters => {
                packed::depthwise(&geometry, Planes::whole(&geometry))
            }
            (Some(geometry), channels) if channels == geometry.channels => {
                packed::any_convolution(&geometry)
            }
            _ => reference::cycles(graph, node),
        },
        _ => return cycles(graph, node),
    };
    DISPATCH + kernel
}

/// Input channels that a filter sees.
fn in_group(graph: &Graph, node: &Node) -> usize {
    graph.values[node.inputs[1]].columns()
}

/// Elements of what a node computes.
fn elements(graph: &Graph, node: &Node) -> usize {
    graph.values[node.output].elements()
}

#[cfg(test)]
mod tests {
    use super::super::tests::shared_models;
    use super::super::{CompileOptions, compile};
    use crate::onnx;
    use crate::onnx::proto::ModelProto;

    /// How far an estimate may be off, in hundredths. Budgets are what may be taken at most, and lag behind kernels
    /// that became faster.
    const TOLERANCE: std::ops::Range<f64> = -20.0..10.0;

    /// The cycles that `dunlin bench` counts for the reference networks, as the budgets state them.
    fn budgets() -> toml::Table {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../engine/budgets.toml");
        let text = std::fs::read_to_string(path).expect("the budgets are there");
        text.parse().expect("TOML")
    }

    fn networks() -> Vec<(String, ModelProto)> {
        let mobilenet = ("mobilenet-v1-0.25".to_owned(), crate::bench::mobilenet());
        let shared = shared_models().into_iter().flat_map(|folder| {
            ["kws", "ic", "ad", "hello"].map(|name| {
                let name = format!("{name}_int8_qdq");
                let model = onnx::read(&folder.join(format!("{name}.onnx"))).expect("a model");
                (name, model)
            })
        });
        std::iter::once(mobilenet).chain(shared).collect()
    }

    #[test]
    fn estimates_are_near_the_counted_cycles_of_the_reference_networks() {
        let budgets = budgets();
        let networks = networks();
        assert!(networks.len() == 1 || networks.len() == 5);
        for (name, model) in networks {
            let counted = budgets[&name]["modelled_cycles"]
                .as_integer()
                .expect("cycles");
            let compiled = compile(&model, &CompileOptions::default()).expect("it compiles");
            let estimated = compiled.report.modelled_cycles;
            let off = 100.0 * (estimated as f64 / counted as f64 - 1.0);
            eprintln!("{name}: {estimated} estimated, {counted} counted, {off:.1} % off");
            assert!(TOLERANCE.contains(&off), "{name}: {off:.1} % off");
        }
    }

    #[test]
    fn every_op_has_a_cost_and_they_add_up() {
        for (name, model) in networks() {
            let report = compile(&model, &CompileOptions::default()).unwrap().report;
            let sum: u64 = report.ops.iter().map(|op| op.modelled_cycles).sum();
            assert!(report.ops.iter().all(|op| op.modelled_cycles > 0));
            let beside = report.modelled_cycles - sum;
            assert!(beside * 100 <= report.modelled_cycles, "{name}: {beside}");
        }
    }
}
