//! Why a model could not be measured.

use std::path::PathBuf;

use crate::compile::CompileError;
use crate::onnx::OnnxError;
use crate::target::TargetError;

/// Why a model could not be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// The file is not a usable model.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// The model cannot run there.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The target's description is wrong.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A program is not installed.
    #[error(
        "`{program}` is not installed; on Debian: apt-get install {package}, or `cargo xtask setup`"
    )]
    MissingTool {
        /// The program.
        program: String,
        /// The Debian package that brings it.
        package: String,
    },
    /// A program ended with an error.
    #[error("{command}: {reason}")]
    Command {
        /// The program and what it was told.
        command: String,
        /// What it said.
        reason: String,
    },
    /// The emulated board or the counter said something unexpected.
    #[error("the emulated board: {reason}")]
    Board {
        /// What was wrong.
        reason: String,
    },
    /// The inputs do not fit the model.
    #[error("{reason}")]
    Inputs {
        /// What was wrong.
        reason: String,
    },
}

impl BenchError {
    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        |source| Self::Io { path, source }
    }

    pub(super) fn board(reason: impl Into<String>) -> Self {
        Self::Board {
            reason: reason.into(),
        }
    }
}
