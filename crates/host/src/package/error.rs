//! Why a bundle was not packaged.

use std::path::PathBuf;

use dunlin_engine::LoadError;
use dunlin_wire::baseline::BaselineError;
use dunlin_wire::bundle::{AssembleError, BundleError};
use dunlin_wire::golden::GoldenError;
use dunlin_wire::schema::SchemaError;

use crate::target::ModelKind;
use crate::verify::BackendError;

/// Why a bundle was not packaged.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// Versions count from 1.
    #[error("version 0: expected 1 or more; set `version` in the recipe")]
    NoVersion,
    /// The version is lower than the one last released.
    #[error(
        "{}: holds version {previous}, this would be version {version}, and devices take no older one: set `version = {}` in the recipe and train again", path.display(), previous.saturating_add(1)
    )]
    VersionOlder {
        /// The version asked for.
        version: u32,
        /// The one last released.
        previous: u32,
        /// The file of the one last released.
        path: PathBuf,
    },
    /// The target does not run that kind of model.
    #[error("target {target} runs no {}; leave that part out", match kind { ModelKind::Plan => "plans", ModelKind::Onnx => "ONNX models" })]
    NotForTarget {
        /// The target.
        target: String,
        /// The kind of model.
        kind: ModelKind,
    },
    /// The target has not the memory for it.
    #[error(
        "{what}: needs {needed} bytes, target {target} has {budget}; make the model smaller, or raise the budget in the target's descriptor"
    )]
    OverBudget {
        /// Which memory.
        what: &'static str,
        /// Bytes needed.
        needed: u64,
        /// Bytes there are.
        budget: u64,
        /// The target.
        target: String,
    },
    /// More of something than a bundle can hold.
    #[error("{got} {what}, a bundle holds at most {most}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there are.
        got: usize,
        /// How many there may be.
        most: usize,
    },
    /// The plan cannot be loaded.
    #[error("the plan cannot be loaded: {0}; compile it again")]
    Plan(LoadError),
    /// The plan's input is not the schema's.
    #[error(
        "the plan takes {got} values, the schema says {expected}; compile the model of this schema"
    )]
    InputWidth {
        /// Steps × channels of the schema.
        expected: usize,
        /// Values of the plan's input.
        got: usize,
    },
    /// The schema breaks a rule of the format.
    #[error(transparent)]
    Schema(SchemaError),
    /// The baseline cannot be read.
    #[error("the baseline cannot be read: {0}; calibrate again")]
    Baseline(BaselineError),
    /// The baseline is of other data.
    #[error("the baseline has {got} channels, the schema {expected}; calibrate with this schema")]
    BaselineChannels {
        /// Channels of the schema.
        expected: usize,
        /// Channels of the baseline.
        got: usize,
    },
    /// The golden vectors break a rule of the format.
    #[error(transparent)]
    Golden(GoldenError),
    /// An output of the plan has an element type that golden vectors do not know.
    #[error(
        "output {output} of the plan has an element type that golden vectors do not hold, expected f32 or i32"
    )]
    GoldenElement {
        /// The output.
        output: usize,
    },
    /// The model could not be run for golden vectors.
    #[error("golden vectors: {0}")]
    Backend(#[from] BackendError),
    /// The bundle could not be put together.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    /// What was put together would be refused.
    #[error("the bundle would be refused: {0}")]
    Refused(BundleError),
}
