//! Rewrites of the graph, in the order in which they run. Each leaves every result as it
//! was, but for what its module says.
//!
//! # What is not done, and why
//!
//! **Winograd, F(2 × 2, 3 × 3).** A tile of 2 × 2 outputs takes 16 products of transformed inputs and weights in place of
//! 36, 4 per output and channel in place of 9. It is exact: `4·GgGᵀ` is whole and below 9·128, transformed inputs are
//! below 4·256, the sums' transform is four times the true sum. Instructions per output, `c` channels in and `n` filters:
//!
//! | | direct | Winograd |
//! |---|---|---|
//! | products | 9 · 0.75 `c`: 12 for 16, two filters to a lane | 4 · 0.69 `c`: 11 for 16, 3 loads and 8 `SMLAD`; no lane holds two 12-bit weights |
//! | inputs | 13 `c/n` to widen 9 bytes | 9 `c/n`: per tile and channel 16 `SADD16`, 12 to widen, 8 to store |
//! | sums | 7 | 31: 16 sums stored, read, 24 additions, 16 begun groups in place of one per tile; requantised |
//! | `c = n = 16`, 32, 64 | 128, 236, 452 | 84, 128, 216 |
//!
//! So it is faster, by a quarter for ic as a whole. It does not pay by the order of what counts: its weights are 16 words of
//! 16 bits for 9 bytes, 3.56 times the flash. For ic 50,688 bytes become 180,224, and small comes before fast.
//!
//! **Streaming rows from layer to layer.** Outputs grow over their inputs (`needs::reach`), so a layer takes little more than the
//! larger of its two tensors. Two layers in one, row by row, take the larger of the first input and the last output plus a few
//! rows of what is between: less only where that is the largest of the three, as before a depthwise layer with stride 2, or where
//! a residual block's input waits for its sum. No budget of the reference networks asks for it.
//!
//! **A depthwise layer in the pointwise one behind it.** It would spare storing and reading the tensor between, which already
//! lies where the depthwise layer's input did. But the pointwise loop wants all channels of two pixels and the depthwise loop
//! all pixels of a channel: a few rows of every channel would stand in 16 bits, more than kws's whole arena, and the rows at
//! their edges would be widened twice.
//!
//! **Weights in RAM.** A plan is read where it lies, so who copies it to RAM before loading has its weights there, and no target
//! states wait states by which to choose. The loop over two columns reads 8 bytes of weights in 13 cycles: a wait state per
//! 16 bytes of flash makes it 4 % slower, and kws would take 34 KB of RAM where it takes 8 now.

mod activations;
mod biases;
mod borders;
mod channels;
mod constants;
mod integer;
mod layout;
mod means;
mod normalizations;
mod pack;
mod rows;
mod scales;
mod steps;
mod stream;
mod strips;
mod turn;
mod views;

use super::error::Refusal;
use super::graph::{Graph, Node, ValueId};
use super::options::CompileOptions;
use super::report::{StreamingReport, total_macs};
use super::{cost, memory};
use serde::Serialize;
use std::collections::BTreeMap;

/// Why ops became what they are, by the values they compute.
pub(crate) type Reasons = BTreeMap<ValueId, Vec<String>>;

/// What one pass did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PassReport {
    /// Name of the pass.
    pub name: &'static str,
    /// Whether it changed anything.
    pub changed: bool,
    /// The graph before it.
    pub before: Figures,
    /// The graph after it.
    pub after: Figures,
}

/// What a graph takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Ops.
    pub ops: usize,
    /// Multiply-accumulates of one run.
    pub macs: u64,
    /// Bytes of weights and other constants; of floats where no integer op has taken them yet.
    pub constant_bytes: usize,
    /// Most bytes of tensors alive at once.
    pub live_bytes: usize,
    /// Estimated cycles of one run on a Cortex-M4.
    pub modelled_cycles: u64,
}

impl Figures {
    fn of(graph: &Graph) -> Figures {
        Figures {
            ops: graph.nodes.len(),
            macs: total_macs(graph),
            constant_bytes: graph.constant_bytes(),
            live_bytes: memory::most_alive(graph),
            modelled_cycles: cost::total(graph),
        }
    }
}

type Pass = (&'static str, fn(&mut Graph));

const PASSES: [Pass; 11] = [
    ("move transpositions to where they vanish", layout::settle),
    ("turn borders of zeros into padding", borders::fold),
    (
        "fold factors and offsets into the convolution before",
        normalizations::fold,
    ),
    ("fold added constants into the layer before", biases::fold),
    ("fold limits into the layer before", activations::fold),
    ("move views past quantization", views::hoist),
    (
        "compute only the steps of recurrent layers that are read",
        steps::shorten,
    ),
    ("compute quantized layers in integers", integer::form),
    ("copy what is still transposed", layout::lower),
    ("join constant offsets and factors", scales::join),
    (
        "turn the remaining quantized constants into floats",
        constants::dequantize,
    ),
];

/// What the passes did.
pub(crate) struct Rewritten {
    pub passes: Vec<PassReport>,
    pub streaming: Option<StreamingReport>,
    pub reasons: Reasons,
}

/// Runs every pass that the options allow.
///
/// # Errors
/// Where a stream is asked for and the input has no window of one.
pub(crate) fn run(graph: &mut Graph, options: &CompileOptions) -> Result<Rewritten, Refusal> {
    graph.remove_unused();
    let mut passes = Passes::new(graph);
    for (name, pass) in PASSES {
        passes.run(name, graph, pass);
    }
    let streaming = match options.streaming {
        Some(rows) => {
            let rewrite = |graph: &mut Graph| stream::rewrite(graph, rows);
            Some(passes.run("compute new rows of a stream only", graph, rewrite)?)
        }
        None => None,
    };
    let mut reasons = Reasons::default();
    if !options.keep_channels {
        let name = "remove channels that are constant or unread";
        let remove = |graph: &mut Graph| channels::remove(graph, options);
        note(&mut reasons, passes.run(name, graph, remove));
    }
    passes.run("take means of whole images", graph, means::take);
    passes.run("read rows past views of them", graph, rows::read);
    for (name, pass) in for_processor(options) {
        note(&mut reasons, passes.run(name, graph, pass));
    }
    Ok(Rewritten {
        passes: passes.reports,
        streaming,
        reasons,
    })
}

/// A pass that says why.
type Reasoned = (&'static str, fn(&mut Graph) -> Reasons);

/// The passes that give layers the kernels for the processor, if the options want them.
const FOR_PROCESSOR: [Reasoned; 2] = [
    ("pack integer layers for the processor", pack::run),
    (
        "fit the planes of depthwise layers into the arena",
        strips::run,
    ),
];

fn for_processor(options: &CompileOptions) -> impl Iterator<Item = Reasoned> + use<> {
    let wanted = !options.reference;
    FOR_PROCESSOR.into_iter().filter(move |_| wanted)
}

/// Appends reasons to those of earlier passes.
fn note(reasons: &mut Reasons, new: Reasons) {
    for (value, notes) in new {
        reasons.entry(value).or_default().extend(notes);
    }
}

/// The passes that have run, and what the last one left.
struct Passes {
    reports: Vec<PassReport>,
    figures: Figures,
}

impl Passes {
    fn new(graph: &Graph) -> Passes {
        Passes {
            reports: Vec::new(),
            figures: Figures::of(graph),
        }
    }

    fn run<T>(
        &mut self,
        name: &'static str,
        graph: &mut Graph,
        pass: impl FnOnce(&mut Graph) -> T,
    ) -> T {
        let nodes = graph.nodes.clone();
        let result = pass(graph);
        graph.remove_unused();
        let (before, after) = (self.figures, Figures::of(graph));
        self.reports.push(PassReport {
            name,
            changed: before != after || !are_alike(&nodes, &graph.nodes),
            before,
            after,
        });
        self.figures = after;
        result
    }
}

/// Whether nodes compute the same from the same.
fn are_alike(nodes: &[Node], others: &[Node]) -> bool {
    let is_alike =
        |(a, b): (&Node, &Node)| (&a.op, &a.inputs, a.output) == (&b.op, &b.inputs, b.output);
    nodes.len() == others.len() && nodes.iter().zip(others).all(is_alike)
}

/// Puts `node` in the place of node `at`, whose output it takes over, with the origins of both.
///
/// Its inputs must be computed before `at`.
fn replace(graph: &mut Graph, at: usize, mut node: Node) {
    node.output = graph.nodes[at].output;
    node.origins.extend(graph.nodes[at].origins.clone());
    node.origins.sort_unstable();
    node.origins.dedup();
    graph.nodes[at] = node;
}

/// Indices of a node and of the only node that uses its result.
fn pairs(graph: &Graph) -> Vec<(usize, usize)> {
    let consumer = |index: usize| Some((index, graph.only_consumer(graph.nodes[index].output)?));
    (0..graph.nodes.len()).filter_map(consumer).collect()
}

#[cfg(test)]
pub(crate) mod testing {
    //! Small graphs for the passes' tests.

    use super::super::constant::Data;
    use super::super::graph::{Element, Graph, Node, Op, ValueId};

    pub fn node(graph: &mut Graph, op: Op, inputs: &[ValueId], shape: &[usize]) -> ValueId {
        let output = graph.add_value("v", Element::F32, shape);
        graph.nodes.push(Node {
            op,
            inputs: inputs.to_vec(),
            output,
            origins: vec![graph.nodes.len()],
        });
        output
    }

    pub fn floats(graph: &mut Graph, values: &[f32]) -> ValueId {
        graph.add_constant("c", &[values.len()], Data::F32(values.to_vec()))
    }

    /// A graph with one float input of two elements.
    pub fn graph() -> Graph {
        let mut graph = Graph::default();
        graph.input = graph.add_value("x", Element::F32, &[1, 2]);
        graph
    }

    /// A fully connected op on `x` with two outputs and the given bias.
    pub fn layer(graph: &mut Graph, x: ValueId, bias: &[f32]) -> ValueId {
        let weights = graph.add_constant("w", &[2, 2], Data::F32(vec![1.0, 2.0, 3.0, 4.0]));
        let bias = floats(graph, bias);
        let op = Op::FullyConnected {
            minimum: f32::NEG_INFINITY,
            maximum: f32::INFINITY,
        };
        node(graph, op, &[x, weights, bias], &[1, 2])
    }

    pub fn ops(graph: &Graph) -> Vec<&Op> {
        graph.nodes.iter().map(|node| &node.op).collect()
    }
}
