//! Any ONNX model, run by tract.
//!
//! A model takes one tensor of numbers; dimensions it leaves open are one for the batch, and an
//! error elsewhere. Values are given as `f32` and cast to the tensor's type, towards zero. Of the
//! outputs, the first single integer is the label and the first other one of numbers the scores. A
//! model without a label answers the class of its highest score; one with a single score has no
//! classes.
//!
//! Cost: loading translates and optimises the graph (milliseconds to seconds, and memory of a few
//! times the file's size); a run allocates.

use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::Factoid;
use tract_onnx::tract_hir::internal::DimLike;

/// Scores this far from adding up to one are not probabilities.
const SUM_TOLERANCE: f32 = 1e-3;
/// What tract puts in front of a key of the file's metadata.
const METADATA: &str = "onnx.metadata_props.";

/// A loaded model.
#[derive(Debug, Clone)]
pub struct OnnxModel {
    plan: Arc<TypedRunnableModel>,
    input_shape: TVec<usize>,
    input_type: DatumType,
    label: Option<usize>,
    scores: Option<usize>,
    classes: usize,
    metadata: Vec<(String, String)>,
}

/// What a model said.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Index of the class; `None` for a model without classes.
    pub label: Option<u32>,
    /// One score per class, or the model's one number.
    pub scores: Vec<f32>,
}

/// Why a model cannot be used. Reasons are tract's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OnnxError {
    /// Not ONNX, or operators that tract does not have.
    #[error("the model cannot be loaded: {reason}")]
    Load {
        /// Why.
        reason: String,
    },
    /// More than one input, or none.
    #[error("the model has {count} inputs; one is supported")]
    Inputs {
        /// How many it has.
        count: usize,
    },
    /// Not of numbers, or a dimension besides the batch left open.
    #[error(
        "the model's input is {fact}; a tensor of numbers with only the batch left open is supported"
    )]
    InputFact {
        /// The input as tract describes it.
        fact: String,
    },
    /// Neither an integer nor a float output.
    #[error("the model has no output that is a label or scores")]
    Outputs,
    /// An input of another length.
    #[error("an input has {got} values, the model takes {expected}")]
    InputLength {
        /// Values the model takes.
        expected: usize,
        /// Values given.
        got: usize,
    },
    /// A run failed.
    #[error("the model failed: {reason}")]
    Run {
        /// Why.
        reason: String,
    },
}

impl OnnxModel {
    /// Loads a model from the bytes of an ONNX file, for a batch of one.
    ///
    /// # Errors
    /// [`OnnxError`]: anything but the model failing at a run.
    pub fn load(bytes: &[u8]) -> Result<Self, OnnxError> {
        let failed = |error: TractError| OnnxError::Load {
            reason: format!("{error:#}"),
        };
        let mut model = tract_onnx::onnx()
            .model_for_read(&mut std::io::Cursor::new(bytes))
            .map_err(failed)?;
        let (input_shape, input_type) = closed_input(&mut model)?;
        let metadata = metadata(&model);
        let plan = model
            .into_optimized()
            .and_then(|model| model.into_runnable())
            .map_err(failed)?;
        Self::over(plan, input_shape, input_type, metadata)
    }

    fn over(
        plan: Arc<TypedRunnableModel>,
        input_shape: TVec<usize>,
        input_type: DatumType,
        metadata: Vec<(String, String)>,
    ) -> Result<Self, OnnxError> {
        let failed = |error: TractError| OnnxError::Load {
            reason: format!("{error:#}"),
        };
        let model = plan.model();
        let (mut label, mut scores, mut classes) = (None, None, 0);
        for index in 0..model.outputs.len() {
            let fact = model.output_fact(index).map_err(failed)?;
            let shape = fact.shape.as_concrete();
            let values: Option<usize> = shape.map(|shape| shape.iter().product());
            if fact.datum_type.is_integer() && values == Some(1) && label.is_none() {
                label = Some(index);
            } else if fact.datum_type.is_number() && scores.is_none() {
                scores = Some(index);
                classes = values.unwrap_or_default();
            }
        }
        if label.is_none() && scores.is_none() {
            return Err(OnnxError::Outputs);
        }
        Ok(Self {
            plan,
            input_shape,
            input_type,
            label,
            scores,
            classes,
            metadata,
        })
    }

    /// Values of one input.
    pub fn input_values(&self) -> usize {
        self.input_shape.iter().product()
    }

    /// Scores of one answer, 0 for a model that gives only a label.
    pub fn scores(&self) -> usize {
        self.classes
    }

    /// Whether answers have a label.
    pub fn classifies(&self) -> bool {
        self.label.is_some() || self.classes > 1
    }

    /// A list of texts from the file's metadata, where it is a JSON list of them.
    pub fn list(&self, key: &str) -> Option<Vec<String>> {
        let (_, text) = self.metadata.iter().find(|(name, _)| name == key)?;
        serde_json::from_str(text).ok()
    }

    /// One inference.
    ///
    /// # Errors
    /// [`OnnxError::InputLength`] or [`OnnxError::Run`].
    pub fn run(&self, input: &[f32]) -> Result<Answer, OnnxError> {
        let expected = self.input_values();
        if input.len() != expected {
            return Err(OnnxError::InputLength {
                expected,
                got: input.len(),
            });
        }
        let failed = |error: TractError| OnnxError::Run {
            reason: format!("{error:#}"),
        };
        let tensor = Tensor::from_shape(&self.input_shape, input)
            .and_then(|tensor| Ok(tensor.cast_to_dt(self.input_type)?.into_owned()))
            .map_err(failed)?;
        let outputs = self.plan.run(tvec!(tensor.into_tvalue())).map_err(failed)?;
        self.answer(&outputs).map_err(failed)
    }

    fn answer(&self, outputs: &[TValue]) -> TractResult<Answer> {
        let scores: Vec<f32> = match self.scores.and_then(|index| outputs.get(index)) {
            None => Vec::new(),
            Some(tensor) => {
                let cast = tensor.cast_to::<f32>()?;
                cast.to_plain_array_view::<f32>()?.iter().copied().collect()
            }
        };
        let label = match self.label.and_then(|index| outputs.get(index)) {
            Some(tensor) => {
                let cast = tensor.cast_to::<i64>()?;
                let first = cast.to_plain_array_view::<i64>()?.iter().next().copied();
                first.and_then(|label| u32::try_from(label).ok())
            }
            None if scores.len() > 1 => highest(&scores),
            None => None,
        };
        Ok(Answer { label, scores })
    }
}

impl Answer {
    /// Probability of the label, 0 to 1: its score where the scores are probabilities, its softmax
    /// where they are not; 1 for a label without scores and for a model without classes.
    pub fn confidence(&self) -> f32 {
        self.label
            .and_then(|label| probabilities(&self.scores).get(label as usize).copied())
            .unwrap_or(1.0)
    }
}

/// Scores as probabilities: themselves where they are, else their softmax.
pub fn probabilities(scores: &[f32]) -> Vec<f32> {
    let sum: f32 = scores.iter().sum();
    let within = scores.iter().all(|score| (0.0..=1.0).contains(score));
    if within && (sum - 1.0).abs() <= SUM_TOLERANCE {
        return scores.to_vec();
    }
    let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = scores.iter().map(|score| (score - highest).exp()).collect();
    let whole: f32 = powers.iter().sum();
    powers.iter().map(|power| power / whole).collect()
}

fn highest(scores: &[f32]) -> Option<u32> {
    let best = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    scores
        .iter()
        .position(|score| *score == best)
        .map(|index| index as u32)
}

fn metadata(model: &InferenceModel) -> Vec<(String, String)> {
    let text = |tensor: &Tensor| {
        tensor
            .to_plain_array_view::<String>()
            .ok()?
            .iter()
            .next()
            .cloned()
    };
    model
        .properties
        .iter()
        .filter_map(|(key, value)| Some((key.strip_prefix(METADATA)?.to_owned(), text(value)?)))
        .collect()
}

/// Fixes the input to one example and returns its shape and type.
fn closed_input(model: &mut InferenceModel) -> Result<(TVec<usize>, DatumType), OnnxError> {
    let count = model.inputs.len();
    if count != 1 {
        return Err(OnnxError::Inputs { count });
    }
    let failed = |error: TractError| OnnxError::Load {
        reason: format!("{error:#}"),
    };
    let fact = model.input_fact(0).map_err(failed)?.clone();
    let unusable = || OnnxError::InputFact {
        fact: format!("{fact:?}"),
    };
    let numbers = fact.datum_type.concretize().filter(|kind| kind.is_number());
    let input_type = numbers.ok_or_else(unusable)?;
    let shape = fact
        .shape
        .dims()
        .enumerate()
        .map(|(axis, dim)| {
            let fixed = dim.concretize().and_then(|dim| dim.to_usize().ok());
            fixed.or((axis == 0).then_some(1)).ok_or_else(unusable)
        })
        .collect::<Result<TVec<usize>, _>>()?;
    model
        .set_input_fact(0, InferenceFact::dt_shape(input_type, shape.as_slice()))
        .map_err(failed)?;
    Ok((shape, input_type))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_no_model() {
        for bytes in [&b""[..], b"not onnx", &[0xFF; 64]] {
            assert!(OnnxModel::load(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn probabilities_stay_and_other_scores_become_some() {
        assert_eq!(probabilities(&[0.25, 0.75]), [0.25, 0.75]);
        let soft = probabilities(&[0.0, 3f32.ln()]);
        assert!((soft[1] - 0.75).abs() < 1e-6, "{soft:?}");
        assert!((probabilities(&[1000.0, 999.0]).iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!(probabilities(&[]).is_empty());
    }

    #[test]
    fn confidence_is_the_probability_of_the_label() {
        let answer = |label, scores: &[f32]| Answer {
            label,
            scores: scores.to_vec(),
        };
        assert_eq!(answer(Some(1), &[0.25, 0.75]).confidence(), 0.75);
        assert_eq!(answer(Some(0), &[0.25, 0.75]).confidence(), 0.25);
        assert_eq!(answer(Some(3), &[]).confidence(), 1.0);
        assert_eq!(answer(None, &[17.0]).confidence(), 1.0);
        assert_eq!(highest(&[0.1, 0.7, 0.7]), Some(1), "the first of equals");
    }
}
