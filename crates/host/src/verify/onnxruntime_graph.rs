//! A quantised graph, run by ONNX Runtime with all or none of its graph optimisations.

use std::collections::HashMap;

use ort::logging::LogLevel;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::TensorRef;
use prost::Message;

use super::BackendError;
use super::exactness::Sample;
use super::onnxruntime::{NAME, OnnxRuntimeOptions, environment};
use crate::onnx::proto::{GraphProto, ModelProto};

/// Which rewrites ONNX Runtime makes before it runs a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rewrites {
    /// All: integer kernels in place of float ones between quantizations.
    All,
    /// None: every node as it stands, in floats.
    None,
}

/// A model loaded for inputs of its own element type.
pub(super) struct OnnxGraph {
    session: Session,
    shape: Vec<usize>,
    /// For every output, the op that computes it after the rewrites.
    pub makers: HashMap<String, String>,
}

impl OnnxGraph {
    /// Loads a model for inputs of `shape`, on one thread.
    pub fn load(
        model: &ModelProto,
        shape: &[usize],
        rewrites: Rewrites,
        options: &OnnxRuntimeOptions,
    ) -> Result<OnnxGraph, BackendError> {
        let environment = environment(options)?;
        let failed = |error: &dyn std::fmt::Display| BackendError::new(NAME, error);
        let folder = tempfile::tempdir().map_err(|error| failed(&error))?;
        let rewritten = folder.path().join("rewritten.onnx");
        let level = match rewrites {
            Rewrites::All => GraphOptimizationLevel::All,
            Rewrites::None => GraphOptimizationLevel::Disable,
        };
        let load = || -> ort::Result<Session> {
            Session::builder(environment)?
                .with_intra_threads(1)?
                .with_log_level(LogLevel::Fatal)?
                .with_optimization_level(level)?
                .with_optimized_model_path(&rewritten)?
                .commit_from_memory(&model.encode_to_vec())
        };
        let session = load().map_err(|error| failed(&error))?;
        let makers = crate::onnx::read(&rewritten)
            .ok()
            .and_then(|model| model.graph)
            .map(|graph| makers(&graph));
        Ok(OnnxGraph {
            session,
            shape: shape.to_vec(),
            makers: makers.unwrap_or_default(),
        })
    }

    /// Every output of integers or floats by name, for one input.
    pub fn run(&mut self, input: &Sample) -> Result<HashMap<String, Sample>, BackendError> {
        let mut run = || -> ort::Result<HashMap<String, Sample>> {
            let shape = self.shape.clone();
            let outputs = match input {
                Sample::I8(values) => {
                    let tensor = TensorRef::from_array_view((shape, values.as_slice()))?;
                    self.session.run(ort::inputs![tensor])?
                }
                Sample::U8(values) => {
                    let tensor = TensorRef::from_array_view((shape, values.as_slice()))?;
                    self.session.run(ort::inputs![tensor])?
                }
                Sample::F32(values) => {
                    let tensor = TensorRef::from_array_view((shape, values.as_slice()))?;
                    self.session.run(ort::inputs![tensor])?
                }
            };
            let mut values = HashMap::new();
            for (name, output) in &outputs {
                let value = if let Ok((_, codes)) = output.try_extract_tensor::<i8>() {
                    Sample::I8(codes.to_vec())
                } else if let Ok((_, codes)) = output.try_extract_tensor::<u8>() {
                    Sample::U8(codes.to_vec())
                } else if let Ok((_, floats)) = output.try_extract_tensor::<f32>() {
                    Sample::F32(floats.to_vec())
                } else {
                    continue;
                };
                values.insert(name.to_owned(), value);
            }
            Ok(values)
        };
        run().map_err(|error| BackendError::new(NAME, error))
    }
}

/// The op behind every output, past ops that only move elements.
fn makers(graph: &GraphProto) -> HashMap<String, String> {
    const MOVES: [&str; 5] = ["Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten"];
    let maker = |output: &str| {
        let mut node = &graph.node[graph.producer(output)?];
        while MOVES.contains(&node.op_type.as_str()) {
            node = &graph.node[graph.producer(node.input_name(0)?)?];
        }
        Some((output.to_owned(), node.op_type.clone()))
    };
    graph
        .output
        .iter()
        .filter_map(|output| maker(&output.name))
        .collect()
}
