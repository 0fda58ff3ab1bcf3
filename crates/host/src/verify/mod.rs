//! The same inputs on every backend, compared.
//!
//! Runs on the workstation. A backend is anything that answers an input: the engine here
//! ([`Local`]), ONNX libraries ([`Tract`], [`OnnxRuntime`]), or a device at the end of a link
//! ([`Device`]). The first backend is the reference; each other one is compared with it value by
//! value. The engine gives the same bytes on every machine, so devices are held to [`Tolerance::Exact`];
//! libraries add floats in another order and are held to a stated distance.
//!
//! Costs one run of every backend per input.
//!
//! # Example
//! ```
//! use dunlin_host::verify::{Answer, Backend, BackendError, Rival, Tolerance, verify};
//!
//! struct Halves(f32);
//! impl Backend for Halves {
//!     fn name(&self) -> &str { "halves" }
//!     fn run(&mut self, input: &[f32]) -> Result<Answer, BackendError> {
//!         let scores = input.iter().map(|value| value / 2.0 + self.0).collect();
//!         Ok(Answer { label: Some(1), scores })
//!     }
//! }
//! let inputs = [[0.2_f32, 1.8], [0.6, 1.4]];
//! let mut rivals = [Rival { backend: Box::new(Halves(0.0001)), tolerance: Tolerance::Absolute(0.001) }];
//! let found = verify(&mut Halves(0.0), &mut rivals, inputs.iter().map(|input| &input[..]))?;
//! assert!(found.passed());
//! assert_eq!(found.comparisons[0].differing, 4);
//! # Ok::<(), BackendError>(())
//! ```
//!
//! # Architecture invariants
//! - A device is just another backend: nothing here knows how one is started or flashed.
//! - Nothing passes unseen: differing values are counted even where they are within tolerance, and
//!   a comparison of nothing does not pass.

mod comparison;
mod device;
#[cfg(test)]
mod device_tests;
pub mod exact;
pub mod exactness;
mod file;
mod local;
mod onnxruntime;
mod onnxruntime_graph;
mod ports;
mod shape;
#[cfg(test)]
mod tests;
mod tract;

pub use comparison::{Comparison, Skipped, Tolerance, Verification};
pub use device::Device;
pub use file::verify_file;
pub use local::Local;
pub use onnxruntime::{OnnxRuntime, OnnxRuntimeOptions};
pub use tract::Tract;

/// What a model said.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The class; `None` for a model without classes.
    pub label: Option<i32>,
    /// One score per class, or the model's numbers.
    pub scores: Vec<f32>,
}

/// Something that answers inputs.
pub trait Backend {
    /// How it is called in results: `local`, `tract`, a target's name.
    fn name(&self) -> &str;

    /// Answers one input: steps × channels values, row-major.
    ///
    /// # Errors
    /// When the input does not fit or the run fails.
    fn run(&mut self, input: &[f32]) -> Result<Answer, BackendError>;
}

/// A backend cannot be used, or failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{backend}: {reason}")]
pub struct BackendError {
    /// Which one.
    pub backend: String,
    /// Why, in words for people.
    pub reason: String,
}

impl BackendError {
    /// Any reason that can be shown.
    pub fn new(backend: &str, reason: impl std::fmt::Display) -> Self {
        Self {
            backend: backend.to_owned(),
            reason: reason.to_string(),
        }
    }
}

/// A backend that is compared with the reference.
pub struct Rival {
    /// The backend.
    pub backend: Box<dyn Backend>,
    /// How far its scores may be from the reference's.
    pub tolerance: Tolerance,
}

/// Up to `most` of `total` indices, spread evenly and ascending: which inputs to compare when a
/// device is too slow for all.
pub fn spread(total: usize, most: usize) -> impl Iterator<Item = usize> {
    let count = most.min(total);
    (0..count).map(move |place| place * total / count)
}

/// Runs all `inputs` on the reference and on every rival, and compares.
///
/// # Errors
/// When the reference or a rival fails on an input; the error names the backend and the input.
pub fn verify<'i>(
    reference: &mut dyn Backend,
    rivals: &mut [Rival],
    inputs: impl IntoIterator<Item = &'i [f32]>,
) -> Result<Verification, BackendError> {
    let mut comparisons: Vec<Comparison> = rivals
        .iter()
        .map(|rival| Comparison::new(rival.backend.name(), rival.tolerance))
        .collect();
    for (index, input) in inputs.into_iter().enumerate() {
        let expected = run(reference, index, input)?;
        for (rival, comparison) in rivals.iter_mut().zip(&mut comparisons) {
            comparison.add(&expected, &run(&mut *rival.backend, index, input)?);
        }
    }
    Ok(Verification {
        reference: reference.name().to_owned(),
        comparisons,
        skipped: Vec::new(),
    })
}

fn run(backend: &mut dyn Backend, index: usize, input: &[f32]) -> Result<Answer, BackendError> {
    backend.run(input).map_err(|error| BackendError {
        reason: format!("input {index}: {}", error.reason),
        ..error
    })
}
