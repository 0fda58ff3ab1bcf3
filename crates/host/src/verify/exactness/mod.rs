//! Counts, byte by byte and node by node, who computes a quantised model exactly.
//!
//! The oracle is [`exact`](super::exact). Held against it are the engine here and ONNX Runtime,
//! with all its graph optimisations and with none. Every `QuantizeLinear` of an activation is a
//! *point*: there all of them have a tensor of bytes to compare. To say at which point ONNX Runtime
//! leaves exact arithmetic, the oracle also computes each point from ONNX Runtime's own values at
//! the points before it; a byte that differs then was made wrong there and nowhere else.
//!
//! The engine's values at a point come from the model cut off behind it. ONNX Runtime gives its own
//! at all points in one run, so that what stands before a point is what it computed the point from;
//! its answers come from the model as it is, should looking at a point change a rewrite.
//!
//! Cost: per input one evaluation by the oracle (some 20 ns per multiplication), per point one
//! compilation.

mod counts;
mod engine;
mod points;
mod sample;
mod table;
#[cfg(test)]
mod tests;

pub use counts::{Departure, Difference, Exactness, OutputCounts, PointCounts, Recorded};
pub use sample::{Sample, Samples, SamplesError};

use super::exact::{Evaluator, ExactError, Values};
use super::onnxruntime::OnnxRuntimeOptions;
use super::onnxruntime_graph::{OnnxGraph, Rewrites};
use super::{BackendError, Skipped};
use crate::onnx::proto::ModelProto;
use points::Point;
use std::collections::HashMap;
use std::rc::Rc;

/// A model could not be counted.
#[derive(Debug, thiserror::Error)]
pub enum ExactnessError {
    /// The oracle does not evaluate a node.
    #[error("the exact result is not known: {0}")]
    Exact(#[from] ExactError),
    /// The engine or ONNX Runtime failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The inputs do not fit.
    #[error(transparent)]
    Samples(#[from] SamplesError),
    /// There is nothing to count.
    #[error("the model has no QuantizeLinear of an activation; quantise it first")]
    NotQuantized,
}

/// Codes of one backend: per point, per input.
type Codes = Vec<Vec<Vec<i64>>>;

/// What the oracle gave.
struct Exact {
    codes: Codes,
    /// Per point.
    shapes: Vec<Vec<usize>>,
}

/// What ONNX Runtime gave with some rewrites.
struct Others {
    codes: Codes,
    /// The same at points that are outputs of the model, from the model as it is.
    answers: HashMap<usize, Vec<Vec<i64>>>,
    /// The op that made every point, where that is known.
    makers: Vec<Option<String>>,
}

/// A model with what the counting needs of it.
struct Study<'m> {
    model: &'m ModelProto,
    points: Vec<Point>,
    input: String,
    shape: Vec<usize>,
    evaluator: Evaluator<'m>,
    samples: &'m Samples,
}

/// Counts a model on `samples`; `say` hears what is being done.
///
/// # Errors
/// [`ExactnessError`]. That ONNX Runtime is not there, or cannot load the model, is no error but
/// part of the result.
pub fn exactness(
    model: &ModelProto,
    samples: &Samples,
    options: &OnnxRuntimeOptions,
    say: &mut dyn FnMut(&str),
) -> Result<Exactness, ExactnessError> {
    let (input, _, shape) = sample::input(model)?;
    let study = Study {
        points: points::find(model),
        evaluator: Evaluator::new(model)?,
        model,
        input,
        shape,
        samples,
    };
    if study.points.is_empty() {
        return Err(ExactnessError::NotQuantized);
    }
    say("exact arithmetic");
    let exact = study.exact()?;
    say("engine");
    let engine = study.engine();
    let mut skipped = Vec::new();
    let mut ask = |name: &str, rewrites| {
        say(name);
        let asked = study.others(rewrites, options);
        asked
            .map_err(|error| {
                skipped.push(Skipped {
                    backend: name.to_owned(),
                    reason: error.reason,
                });
            })
            .ok()
    };
    let optimized = ask("ONNX Runtime, optimised", Rewrites::All);
    let unoptimized = ask("ONNX Runtime, unoptimised", Rewrites::None);
    say("counting");
    let counter = counts::Counter {
        study: &study,
        exact: &exact,
        engine: &engine,
        optimized: optimized.as_ref(),
        unoptimized: unoptimized.as_ref(),
    };
    counter.count(skipped)
}

impl Study<'_> {
    fn given(&self, sample: &Sample) -> Result<Values, ExactnessError> {
        let tensor = sample.tensor(&self.shape)?;
        Ok(Values::from([(self.input.clone(), Rc::new(tensor))]))
    }

    fn exact(&self) -> Result<Exact, ExactnessError> {
        let names: Vec<&str> = self.points.iter().map(|p| p.tensor.as_str()).collect();
        let mut codes = vec![Vec::new(); names.len()];
        let mut shapes = Vec::new();
        for sample in &self.samples.inputs {
            let values = self.evaluator.evaluate(self.given(sample)?, &names)?;
            for (name, codes) in names.iter().zip(&mut codes) {
                codes.push(values[*name].codes().unwrap_or_default().to_vec());
            }
            shapes = names
                .iter()
                .map(|name| values[*name].shape.clone())
                .collect();
        }
        Ok(Exact { codes, shapes })
    }

    /// The engine's codes at every point, or why there are none.
    fn engine(&self) -> Vec<Result<Vec<Vec<i64>>, String>> {
        let codes = |point: &Point| {
            let cut = points::cut(self.model, point);
            engine::codes(&cut, point.element, &self.samples.inputs)
        };
        self.points.iter().map(codes).collect()
    }

    fn others(
        &self,
        rewrites: Rewrites,
        options: &OnnxRuntimeOptions,
    ) -> Result<Others, BackendError> {
        let load = |model: &ModelProto| OnnxGraph::load(model, &self.shape, rewrites, options);
        let mut watched = load(&points::watched(self.model, &self.points))?;
        let mut plain = load(self.model)?;
        let maker = |point: &Point| watched.makers.get(&point.tensor).cloned();
        let mut others = Others {
            codes: vec![Vec::new(); self.points.len()],
            makers: self.points.iter().map(maker).collect(),
            answers: HashMap::new(),
        };
        for sample in &self.samples.inputs {
            let (values, answers) = (watched.run(sample)?, plain.run(sample)?);
            for (index, point) in self.points.iter().enumerate() {
                let codes = values.get(&point.tensor).and_then(Sample::codes);
                others.codes[index].push(codes.unwrap_or_default());
                if let Some(codes) = answers.get(&point.tensor).and_then(Sample::codes) {
                    others.answers.entry(index).or_default().push(codes);
                }
            }
        }
        Ok(others)
    }
}

impl Others {
    /// The codes of an output.
    fn answer(&self, index: usize) -> &Vec<Vec<i64>> {
        self.answers.get(&index).unwrap_or(&self.codes[index])
    }
}
