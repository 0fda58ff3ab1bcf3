//! An ONNX file, run by tract.

use std::sync::Arc;

use tract_onnx::prelude::*;

use super::shape::input_shape;
use super::{Answer, Backend, BackendError};

/// A model loaded by tract for one input at a time.
pub struct Tract {
    plan: Arc<TypedRunnableModel>,
    shape: Vec<usize>,
}

impl Tract {
    /// Loads an ONNX file with one float32 input, for a batch of one.
    ///
    /// # Errors
    /// When the file has another kind of input or tract cannot load it, in tract's words.
    pub fn load(onnx: &[u8]) -> Result<Self, BackendError> {
        let shape = input_shape(onnx).map_err(|reason| BackendError::new("tract", reason))?;
        let plan = runnable(onnx, &shape).map_err(failed)?;
        Ok(Self { plan, shape })
    }
}

fn runnable(onnx: &[u8], shape: &[usize]) -> TractResult<Arc<TypedRunnableModel>> {
    tract_onnx::onnx()
        .model_for_read(&mut std::io::Cursor::new(onnx))?
        .with_input_fact(0, f32::fact(shape).into())?
        .into_optimized()?
        .into_runnable()
}

impl Backend for Tract {
    fn name(&self) -> &str {
        "tract"
    }

    fn run(&mut self, input: &[f32]) -> Result<Answer, BackendError> {
        let tensor = Tensor::from_shape(&self.shape, input).map_err(failed)?;
        let outputs = self.plan.run(tvec!(tensor.into_tvalue())).map_err(failed)?;
        answer(&outputs).map_err(failed)
    }
}

/// The first integer output is the label, the first float output the scores.
fn answer(outputs: &[TValue]) -> TractResult<Answer> {
    let is_whole = |of: DatumType| of.is_integer() || of == TDim::datum_type();
    let label = outputs.iter().find(|output| is_whole(output.datum_type()));
    let scores = outputs.iter().find(|output| output.datum_type().is_float());
    let label = match label {
        Some(label) => label
            .cast_to::<i32>()?
            .to_plain_array_view::<i32>()?
            .iter()
            .next()
            .copied(),
        None => None,
    };
    let scores = match scores {
        Some(scores) => scores
            .cast_to::<f32>()?
            .to_plain_array_view::<f32>()?
            .iter()
            .copied()
            .collect(),
        None => Vec::new(),
    };
    Ok(Answer { label, scores })
}

fn failed(error: TractError) -> BackendError {
    BackendError::new("tract", format!("{error:#}"))
}
