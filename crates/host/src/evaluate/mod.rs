//! Evaluation: how good a model is, with how much certainty, and whether that is enough.
//!
//! Runs on the workstation. What is measured is the exported ONNX file, run by tract from raw inputs, so that it is
//! the model that ships and not a relative of it. Cost: one run over the examples and
//! [`metrics::RESAMPLES`] passes over their answers, a second or two for ten thousand examples.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use dunlin_host::{data, evaluate, onnx, recipe::Recipe};
//! let recipe = Recipe::read("models/occupancy/recipe.toml".as_ref())?;
//! let splits = data::load(&recipe, &data::LoadOptions::default())?;
//! let evaluation = evaluate::evaluate(&onnx::read("model.onnx".as_ref())?, &recipe, &splits)?;
//! print!("{}", evaluate::table::text(&evaluation));
//! std::process::exit(if evaluation.passed() { 0 } else { 1 });
//! # }
//! ```
//!
//! **Architecture invariants**: nothing is tuned here; a measure without an interval says so; a gate that cannot be
//! measured fails.

pub mod metrics;
pub mod report;
pub mod statistics;
pub mod table;

use crate::data::{Examples, Splits};
use crate::onnx::OnnxError;
use crate::onnx::proto::ModelProto;
use crate::onnx::session::{Output, RUNTIME, Session};
use crate::recipe::{Demand, Period, Recipe};
use metrics::{Answers, Metrics, MetricsError, Units};
use serde::{Deserialize, Serialize};

/// Why a model could not be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// The model could not be run.
    #[error(transparent)]
    Run(#[from] OnnxError),
    /// The model's input or outputs are not those of a classifier of this data.
    #[error("the model does not fit the data: {reason}")]
    Misfit {
        /// What does not fit.
        reason: String,
    },
    /// The answers to one part could not be measured.
    #[error("part {part:?}: {source}")]
    Measure {
        /// Name of the part.
        part: String,
        /// Why not.
        source: MetricsError,
    },
}

/// Measures of a model on every part that judges it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// What ran the model.
    pub runtime: String,
    /// SHA-256 in hex of the model file's bytes.
    pub model_hash: String,
    /// The validation part, which may have stopped the training; no gate stands on it.
    pub validation: Metrics,
    /// The tests, in the order of the recipe.
    pub tests: Vec<Judged>,
    /// What the recipe demands, and what was reached.
    pub gates: Vec<GateResult>,
}

/// One test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// Name of the test.
    pub name: String,
    /// Its measures.
    pub metrics: Metrics,
}

/// One demand of the recipe on one test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateResult {
    /// Name of the test.
    pub test: String,
    /// Name of the measure.
    pub measure: String,
    /// Whether the limit is the highest allowed value; otherwise the lowest.
    pub at_most: bool,
    /// The limit.
    pub limit: f64,
    /// What was reached; `None` when it is not defined on this test.
    pub value: Option<f64>,
    /// Whether that is enough.
    pub passed: bool,
}

impl Evaluation {
    /// Whether every gate was passed.
    pub fn passed(&self) -> bool {
        self.gates.iter().all(|gate| gate.passed)
    }

    /// The measures of a test.
    pub fn test(&self, name: &str) -> Option<&Metrics> {
        self.tests
            .iter()
            .find(|test| test.name == name)
            .map(|test| &test.metrics)
    }
}

/// Runs the model on the validation and test parts and measures its answers.
///
/// # Errors
/// [`EvaluateError`]
pub fn evaluate(
    model: &ModelProto,
    recipe: &Recipe,
    splits: &Splits,
) -> Result<Evaluation, EvaluateError> {
    let session = Session::new(model)?;
    let measured = |part: &str, examples: &Examples| {
        let answers = answers(&session, model, examples)?;
        let units = units(examples, recipe.monitor.block);
        Metrics::measure(&answers, &units).map_err(|source| EvaluateError::Measure {
            part: part.to_owned(),
            source,
        })
    };
    let validation = measured("validation", &splits.validation)?;
    let mut tests = Vec::new();
    for (name, examples) in &splits.tests {
        tests.push(Judged {
            name: name.clone(),
            metrics: measured(name, examples)?,
        });
    }
    let gates = tests
        .iter()
        .flat_map(|test| judge(test, &recipe.gates.demands_of(&test.name)))
        .collect();
    let model_hash = crate::runs::sha256_hex(&crate::onnx::encode(model));
    Ok(Evaluation {
        runtime: RUNTIME.to_owned(),
        model_hash,
        validation,
        tests,
        gates,
    })
}

/// The model's answers to examples.
///
/// # Errors
/// [`EvaluateError::Run`], [`EvaluateError::Misfit`].
pub fn answers(
    session: &Session,
    model: &ModelProto,
    examples: &Examples,
) -> Result<Answers, EvaluateError> {
    if session.width() != examples.schema.width() {
        return Err(misfit(format!(
            "it takes {} values, an example has {}",
            session.width(),
            examples.schema.width()
        )));
    }
    let names = model.graph()?.output.iter();
    let mut outputs: Vec<(&str, Output)> = names
        .map(|output| output.name.as_str())
        .zip(session.run(&examples.inputs)?)
        .collect();
    let labels = take(&mut outputs, "label")?
        .integers()
        .ok_or_else(|| misfit("\"label\" is not an integer".into()))?;
    let probabilities = take(&mut outputs, "probabilities")?
        .floats()
        .ok_or_else(|| misfit("\"probabilities\" is not a float".into()))?;
    let predicted: Option<Vec<u32>> = labels
        .iter()
        .map(|&label| u32::try_from(label).ok())
        .collect();
    Ok(Answers {
        truth: examples.labels.clone(),
        predicted: predicted.ok_or_else(|| misfit("a label is negative".into()))?,
        probabilities,
        class_names: examples.label_names.clone(),
    })
}

fn misfit(reason: String) -> EvaluateError {
    EvaluateError::Misfit { reason }
}

/// Takes the output of that name from the list.
fn take(outputs: &mut Vec<(&str, Output)>, name: &str) -> Result<Output, EvaluateError> {
    let place = outputs.iter().position(|(output, _)| *output == name);
    let place = place.ok_or_else(|| misfit(format!("it has no output {name:?}")))?;
    Ok(outputs.swap_remove(place).1)
}

/// What is resampled: groups where there are several, otherwise blocks of time where rows carry one (they must be at
/// least as long as rows depend on each other), otherwise rows.
pub fn units(examples: &Examples, block: Period) -> Units {
    if examples.group.windows(2).any(|pair| pair[0] != pair[1]) {
        return Units::keyed(&examples.group, "group");
    }
    if examples.time_ms.windows(2).any(|pair| pair[0] != pair[1]) && block.ms > 0 {
        let length = i64::try_from(block.ms).unwrap_or(i64::MAX);
        let blocks: Vec<i64> = examples
            .time_ms
            .iter()
            .map(|time| time.div_euclid(length))
            .collect();
        return Units::keyed(&blocks, &format!("block of {block}"));
    }
    Units::rows(examples.len())
}

fn judge(test: &Judged, demands: &[Demand]) -> Vec<GateResult> {
    let result = |demand: &Demand| {
        let Demand {
            measure,
            limit,
            at_most,
        } = *demand;
        let value = test.metrics.named(measure).map(|found| found.value);
        let enough = |value| {
            if at_most {
                value <= limit
            } else {
                value >= limit
            }
        };
        GateResult {
            test: test.name.clone(),
            measure: measure.to_owned(),
            at_most,
            limit,
            value,
            passed: value.is_some_and(enough),
        }
    };
    demands.iter().map(result).collect()
}

#[cfg(test)]
mod tests;
