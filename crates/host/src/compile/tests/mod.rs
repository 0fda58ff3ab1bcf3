//! The compiler and the engine together, on real models and against exact arithmetic.

mod activations;
mod bytes;
mod channels;
mod convolution;
mod exact;
mod explain;
mod exporters;
mod forests;
mod fuzz;
mod images;
mod machines;
mod models;
mod network;
mod npz;
mod pipelines;
mod pooling;
mod random;
pub(crate) mod random_graph;
mod random_graphs;
mod recurrent;
mod refusals;
mod small;
mod streaming;

use super::{CompileOptions, Compiled, compile};
use crate::onnx::proto::ModelProto;
use dunlin_engine::Plan;
use std::path::{Path, PathBuf};

/// The folder of models made by others; none, with a word on stderr, where it is not there.
pub(crate) fn shared_models() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/models");
    if !folder.is_dir() {
        eprintln!("skipped: {} is not there", folder.display());
        return None;
    }
    Some(folder)
}

fn compiled(model: &ModelProto) -> Compiled {
    compile(model, &CompileOptions::default()).expect("the model compiles")
}

/// As [`compiled`], with nothing but reference kernels.
fn compiled_for_reference(model: &ModelProto) -> Compiled {
    let options = CompileOptions {
        reference: true,
        ..CompileOptions::default()
    };
    compile(model, &options).expect("the model compiles")
}

/// Bytes of every output for the bytes of an input. The arena starts as rubbish.
fn run(plan: &[u8], input: &[u8]) -> Vec<Vec<u8>> {
    let plan = Plan::load(plan).expect("the plan loads");
    let mut arena = vec![0xA5; plan.requirements().arena_bytes];
    arena[plan.input().range()].copy_from_slice(input);
    plan.run(&mut arena).expect("the plan runs");
    plan.outputs()
        .map(|output| arena[output.range()].to_vec())
        .collect()
}

fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

fn f32_values(bytes: &[u8]) -> Vec<f32> {
    bytes
        .as_chunks()
        .0
        .iter()
        .map(|chunk| f32::from_le_bytes(*chunk))
        .collect()
}

/// Numbers that look random and are the same everywhere, in -1..1.
fn pseudo_random(seed: u32) -> impl Iterator<Item = f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).max(1);
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as f32 / u32::MAX as f32 * 2.0 - 1.0
    })
}
