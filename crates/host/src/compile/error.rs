//! Why a model cannot be compiled.

use crate::onnx::OnnxError;
use std::fmt;

/// Why [`compile`](super::compile()) gives no plan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// The file is not a usable ONNX model.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// A node, input or output cannot become part of a plan.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The plan does not fit the target.
    #[error("{resource} needs {needed} bytes, the target has {available}")]
    OverBudget {
        /// What is too small.
        resource: Resource,
        /// Bytes the plan needs.
        needed: usize,
        /// Bytes the target offers.
        available: usize,
    },
    /// The target's firmware has no such kernel.
    #[error("the target's firmware has no kernel {kernel}")]
    MissingKernel {
        /// Name of the kernel.
        kernel: String,
    },
    /// The engine refuses the plan that was written: a fault of the compiler.
    #[error("the compiler wrote a plan that the engine refuses: {0}")]
    Rejected(dunlin_engine::LoadError),
}

/// What a target offers a limited amount of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Flash for the plan.
    Flash,
    /// Memory for the arena.
    Arena,
    /// Stack.
    Stack,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Resource::Flash => "plan (flash)",
            Resource::Arena => "arena",
            Resource::Stack => "stack",
        })
    }
}

/// A node that cannot be compiled, why, and what to do instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("node {node:?} ({op}): {reason}; {nearest}")]
pub struct Refusal {
    /// Name of the node, or of its first output where it has no name.
    pub node: String,
    /// ONNX operator.
    pub op: String,
    /// What is not supported.
    pub reason: String,
    /// The nearest thing that works.
    pub nearest: String,
}
