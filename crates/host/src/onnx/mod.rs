//! ONNX files: messages, reading, writing.
//!
//! Runs on the workstation. Cost: a model is held in memory once decoded and once as bytes while it is read or
//! written. Nothing here interprets operators: `compile` does, and [`tract_onnx`] runs them.
//!
//! ```no_run
//! use dunlin_host::onnx;
//! let model = onnx::read(std::path::Path::new("model.onnx"))?;
//! let graph = model.graph()?;
//! for node in &graph.node {
//!     println!("{} {:?} -> {:?}", node.op_type, node.input, node.output);
//! }
//! for constant in &graph.initializer {
//!     println!("{} {:?}", constant.name, constant.shape()?);
//! }
//! # Ok::<(), onnx::OnnxError>(())
//! ```
//!
//! **Architecture invariants**: no generated code and no `protoc`; no third party's message types in the public
//! API. Values that a file keeps beside itself (external data, as PyTorch's exporter writes them) are taken in by
//! [`read`]; from bytes alone they are refused when they are asked for.

pub mod builder;
mod external;
pub mod proto;
mod read;
pub mod session;

#[cfg(test)]
mod tests;

use prost::Message;
use proto::ModelProto;
use std::path::{Path, PathBuf};

/// Why a file could not be read, written or understood.
#[derive(Debug, thiserror::Error)]
pub enum OnnxError {
    /// The file could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not a protobuf message of this kind, or one without a graph.
    #[error("{}: not an ONNX model: {reason}", path.display())]
    NotAModel {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The bytes are not a protobuf message of this kind.
    #[error("not an ONNX model: {0}")]
    Decode(#[from] prost::DecodeError),
    /// The model holds no graph.
    #[error("the model holds no graph")]
    NoGraph,
    /// A tensor is not what it says it is, or not what was asked for.
    #[error("tensor {name:?} {reason}")]
    Tensor {
        /// Name of the tensor.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A model could not be run.
    #[error("running the model: {reason}")]
    Run {
        /// What went wrong.
        reason: String,
    },
}

/// Reads a model file.
///
/// # Errors
/// [`OnnxError::File`], [`OnnxError::NotAModel`].
pub fn read(path: &Path) -> Result<ModelProto, OnnxError> {
    let bytes = std::fs::read(path).map_err(|source| OnnxError::File {
        path: path.to_owned(),
        source,
    })?;
    let mut model = decode_file(&bytes, path)?;
    external::take_in(&mut model, path)?;
    Ok(model)
}

/// Decodes a model from the bytes of a file that errors are to name.
///
/// # Errors
/// [`OnnxError::NotAModel`], also when the model has no graph, as an empty file.
pub fn decode_file(bytes: &[u8], path: &Path) -> Result<ModelProto, OnnxError> {
    let not_a_model = |reason: String| OnnxError::NotAModel {
        path: path.to_owned(),
        reason,
    };
    let model = ModelProto::decode(bytes).map_err(|error| not_a_model(error.to_string()))?;
    match model.graph {
        Some(_) => Ok(model),
        None => Err(not_a_model(format!(
            "{} bytes without a graph",
            bytes.len()
        ))),
    }
}

/// Writes a model file, replacing it.
///
/// # Errors
/// [`OnnxError::File`].
pub fn write(model: &ModelProto, path: &Path) -> Result<(), OnnxError> {
    std::fs::write(path, encode(model)).map_err(|source| OnnxError::File {
        path: path.to_owned(),
        source,
    })
}

/// Decodes a model from bytes.
///
/// # Errors
/// [`OnnxError::Decode`].
pub fn decode(bytes: &[u8]) -> Result<ModelProto, OnnxError> {
    Ok(ModelProto::decode(bytes)?)
}

/// Encodes a model; equal models give equal bytes.
pub fn encode(model: &ModelProto) -> Vec<u8> {
    model.encode_to_vec()
}
