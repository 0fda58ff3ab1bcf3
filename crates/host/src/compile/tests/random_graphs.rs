//! Random quantised graphs, compiled and run: the bytes are those of exact arithmetic.

use super::exact::Evaluator;
use super::random_graph::{Chance, RandomGraph, random_graph};
use super::run;
use crate::compile::{CompileError, CompileOptions, Compiled, compile};
use crate::onnx;
use std::collections::BTreeMap;

/// Graphs tried in tests; `DUNLIN_GRAPHS` sets another number for a longer hunt.
const GRAPHS: u64 = 3000;
/// Inputs given to each.
const INPUTS: usize = 4;

fn inputs(graph: &RandomGraph, chance: &mut Chance) -> Vec<Vec<i8>> {
    (0..INPUTS)
        .map(|_| (0..graph.input).map(|_| chance.code()).collect())
        .collect()
}

/// A file with the graph, for a person to look at.
fn kept(seed: u64, graph: &RandomGraph) -> String {
    let path = std::env::temp_dir().join(format!("dunlin-graph-{seed}.onnx"));
    let written = onnx::write(&graph.model, &path);
    written.map_or_else(|error| error.to_string(), |()| path.display().to_string())
}

/// What packing can make of a layer.
const PACKED: [&str; 11] = [
    "fully_connected.2.3",
    "fully_connected.2.4",
    "fully_connected.2.5",
    "conv_2d.2.3",
    "conv_2d.2.4",
    "conv_2d.2.5",
    "conv_2d.2.6",
    "conv_2d.2.7",
    "conv_2d.2.8",
    "as one with zeros",
    "dilated by zeros",
];

/// What the graphs came to.
#[derive(Default)]
struct Tally {
    compared: usize,
    graphs: BTreeMap<&'static str, usize>,
    refused: BTreeMap<String, usize>,
    wrong: Vec<String>,
    /// Graphs whose two plans are not the same.
    packed: usize,
    /// Layers by packed kernel, and those filled up with zeros.
    kinds: BTreeMap<String, usize>,
}

/// A graph's plan with all passes, and with nothing but reference kernels.
fn plans(seed: u64, graph: &RandomGraph) -> Result<[Compiled; 2], String> {
    let compiled = |reference: bool| {
        let options = CompileOptions {
            reference,
            ..CompileOptions::default()
        };
        compile(&graph.model, &options)
    };
    match (compiled(false), compiled(true)) {
        (Ok(fast), Ok(reference)) => Ok([fast, reference]),
        (Err(CompileError::Refused(refusal)), _) => {
            Err(format!("{}: {}", refusal.op, refusal.reason))
        }
        (Err(error), _) | (_, Err(error)) => {
            panic!(
                "seed {seed}, {:?}: {error}; {}",
                graph.ops,
                kept(seed, graph)
            )
        }
    }
}

/// Compiles a graph in both ways and compares the bytes with the oracle's.
fn check(seed: u64, tally: &mut Tally) {
    let mut chance = Chance::new(seed);
    let graph = random_graph(&mut chance);
    let plans = match plans(seed, &graph) {
        Ok(plans) => plans,
        Err(refusal) => {
            *tally.refused.entry(refusal).or_default() += 1;
            return;
        }
    };
    let evaluator = Evaluator::new(&graph.model);
    for codes in inputs(&graph, &mut chance) {
        let expected = evaluator.last_bytes(&codes, graph.unsigned);
        let expected: Vec<u8> = expected.iter().map(|&code| code as u8).collect();
        let bytes: Vec<u8> = codes.iter().map(|&code| code as u8).collect();
        for (kind, compiled) in ["fast", "reference"].into_iter().zip(&plans) {
            let ours = run(&compiled.plan, &bytes).remove(0);
            if ours != expected {
                tally.wrong.push(format!(
                    "seed {seed}, {kind}, {:?}: {}",
                    graph.ops,
                    kept(seed, &graph)
                ));
                return;
            }
            tally.compared += ours.len();
        }
    }
    tally.packed += usize::from(plans[0].plan != plans[1].plan);
    for op in &plans[0].report.ops {
        let zeros = ["as one with zeros", "dilated by zeros"];
        let kinds = zeros.into_iter().filter(|zeros| op.why.contains(zeros));
        let kinds = kinds.chain(op.why.contains("packed").then_some(op.kernel.as_str()));
        for kind in kinds {
            *tally.kinds.entry(kind.to_owned()).or_default() += 1;
        }
    }
    for op in graph.ops {
        *tally.graphs.entry(op).or_default() += 1;
    }
}

#[test]
fn compiled_random_graphs_equal_exact_arithmetic() {
    let set = std::env::var("DUNLIN_GRAPHS").ok();
    let graphs = set.and_then(|number| number.parse().ok()).unwrap_or(GRAPHS);
    let first = std::env::var("DUNLIN_FIRST_GRAPH").ok();
    let first: u64 = first.and_then(|number| number.parse().ok()).unwrap_or(0);
    let mut tally = Tally::default();
    for seed in first..first + graphs {
        check(seed, &mut tally);
    }
    let refused: usize = tally.refused.values().sum();
    eprintln!(
        "{} bytes equal, {} graphs with packed kernels; layers {:?}",
        tally.compared, tally.packed, tally.graphs
    );
    eprintln!("packed {:?}", tally.kinds);
    eprintln!("refused {refused} of {graphs} graphs: {:#?}", tally.refused);
    assert!(tally.compared > 0, "nothing was compared");
    if graphs >= GRAPHS {
        let missing: Vec<_> = PACKED
            .iter()
            .filter(|kind| !tally.kinds.contains_key(**kind))
            .collect();
        assert!(missing.is_empty(), "no graph has {missing:?}");
    }
    let wrong = tally.wrong.len();
    assert!(
        wrong == 0,
        "{wrong} graphs differ, among them {:#?}",
        &tally.wrong[..wrong.min(30)]
    );
}
