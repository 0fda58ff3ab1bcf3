//! Runs a model through tract.

use super::OnnxError;
use super::proto::ModelProto;
use std::sync::Arc;
use tract_onnx::prelude::{
    DatumType, Framework, InferenceModelExt, IntoRunnable, TValue, Tensor, TypedRunnableModel,
    tract_ndarray, tvec,
};

/// Rows run at once; more only costs memory.
const ROWS_AT_ONCE: usize = 256;

/// The runtime behind [`Session`], with its version, for reports.
pub const RUNTIME: &str = "tract-onnx 0.23.9";

/// A model of one input `[batch, width]`, ready to run.
pub struct Session {
    plan: Arc<TypedRunnableModel>,
    width: usize,
}

/// The values of one output for all rows, row-major.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// A float output.
    Floats(Vec<f32>),
    /// An integer output, widened.
    Integers(Vec<i64>),
}

impl Output {
    /// The floats; `None` for integers.
    pub fn floats(self) -> Option<Vec<f32>> {
        match self {
            Output::Floats(values) => Some(values),
            Output::Integers(_) => None,
        }
    }

    /// The integers; `None` for floats.
    pub fn integers(self) -> Option<Vec<i64>> {
        match self {
            Output::Integers(values) => Some(values),
            Output::Floats(_) => None,
        }
    }

    fn append(&mut self, more: Output) -> Result<(), OnnxError> {
        match (self, more) {
            (Output::Floats(all), Output::Floats(more)) => all.extend(more),
            (Output::Integers(all), Output::Integers(more)) => all.extend(more),
            _ => {
                return Err(OnnxError::Run {
                    reason: "an output changed its type".into(),
                });
            }
        }
        Ok(())
    }
}

impl Session {
    /// Prepares a model. Cost: milliseconds for small models; the graph is optimised once.
    ///
    /// # Errors
    /// [`OnnxError::Run`] when tract cannot type or build the graph, [`OnnxError::NoGraph`], and when the model does
    /// not have exactly one input of two dimensions with a fixed width.
    pub fn new(model: &ModelProto) -> Result<Session, OnnxError> {
        let width = input_width(model)?;
        let bytes = super::encode(model);
        let plan = tract_onnx::onnx()
            .model_for_read(&mut bytes.as_slice())
            .and_then(|graph| graph.into_optimized())
            .and_then(|graph| graph.into_runnable())
            .map_err(refused)?;
        Ok(Session { plan, width })
    }

    /// Values per row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Runs rows `[n, width]`; the outputs in the graph's order.
    ///
    /// # Errors
    /// [`OnnxError::Run`] when the values are not whole rows or tract fails.
    pub fn run(&self, rows: &[f32]) -> Result<Vec<Output>, OnnxError> {
        if rows.is_empty() || !rows.len().is_multiple_of(self.width) {
            return Err(OnnxError::Run {
                reason: format!("{} values are not rows of {}", rows.len(), self.width),
            });
        }
        let mut all: Vec<Output> = Vec::new();
        for chunk in rows.chunks(ROWS_AT_ONCE * self.width) {
            let outputs = self.run_chunk(chunk)?;
            if all.is_empty() {
                all = outputs;
                continue;
            }
            for (sum, output) in all.iter_mut().zip(outputs) {
                sum.append(output)?;
            }
        }
        Ok(all)
    }

    fn run_chunk(&self, chunk: &[f32]) -> Result<Vec<Output>, OnnxError> {
        let shape = (chunk.len() / self.width, self.width);
        let rows =
            tract_ndarray::Array2::from_shape_vec(shape, chunk.to_vec()).map_err(|error| {
                OnnxError::Run {
                    reason: error.to_string(),
                }
            })?;
        let outputs = self
            .plan
            .run(tvec!(Tensor::from(rows).into()))
            .map_err(refused)?;
        outputs.iter().map(values).collect()
    }
}

fn input_width(model: &ModelProto) -> Result<usize, OnnxError> {
    let graph = model.graph()?;
    let inputs: Vec<_> = graph.true_inputs().collect();
    match inputs.as_slice() {
        [only] => match only.extents().as_deref() {
            Some([_, Some(width)]) if *width > 0 => Ok(*width),
            other => Err(OnnxError::Run {
                reason: format!("input shape {other:?} is not [batch, width]"),
            }),
        },
        _ => Err(OnnxError::Run {
            reason: format!("{} inputs, expected one", inputs.len()),
        }),
    }
}

fn values(output: &TValue) -> Result<Output, OnnxError> {
    let tensor: &Tensor = output;
    let wanted = if tensor.datum_type().is_float() {
        DatumType::F32
    } else {
        DatumType::I64
    };
    let cast = tensor.cast_to_dt(wanted).map_err(refused)?;
    let plain = cast.try_as_plain_ram().map_err(refused)?;
    Ok(match wanted {
        DatumType::F32 => Output::Floats(plain.as_slice::<f32>().map_err(refused)?.to_vec()),
        _ => Output::Integers(plain.as_slice::<i64>().map_err(refused)?.to_vec()),
    })
}

fn refused(error: impl std::fmt::Display + std::fmt::Debug) -> OnnxError {
    OnnxError::Run {
        reason: format!("{error:#}"),
    }
}
