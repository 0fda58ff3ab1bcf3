//! Quantizes the dense layers of a float model to int8, with ranges from training data.
//!
//! Runs on the workstation. Cost: two runs of the model per calibration row, in the engine itself, and the values of
//! every layer held in memory.
//!
//! ```no_run
//! use dunlin_host::quantize::{QuantizeOptions, quantize};
//! # fn demo(training_rows: &[f32]) -> Result<(), Box<dyn std::error::Error>> {
//! let model = dunlin_host::onnx::read(std::path::Path::new("model.onnx"))?;
//! let quantized = quantize(&model, training_rows, &QuantizeOptions::default())?;
//! println!("{}", quantized.report);
//! dunlin_host::onnx::write(&quantized.model, std::path::Path::new("model.int8.onnx"))?;
//! # Ok(())
//! # }
//! ```
//!
//! What is quantized is the chain of `Gemm` (or `MatMul` and `Add`) layers with `Relu` or `Clip` between them that
//! ends the model; whatever stands before it, such as features, stays float, and the values that enter the chain
//! are quantized once. The result is standard ONNX: `QuantizeLinear`/`DequantizeLinear` pairs around every layer.
//!
//! - Activations: asymmetric, one scale and zero point per tensor. The range is that of the calibration rows, or the
//!   given share of its values, widened to hold 0. `scale = (high - low)/255`,
//!   `zero point = round(-128 - low/scale)`.
//! - Weights: symmetric, one scale per output, `scale = max|w|/127`.
//! - Biases: int32 with the scale of input times weight.
//!
//! **Architecture invariants**: the model given is not changed; activations are measured by running the compiled
//! model in the engine, so there is no second interpreter; what is written compiles to integer layers.

mod chain;
mod measure;
mod rewrite;

#[cfg(test)]
mod tests;

use crate::compile::CompileError;
use crate::onnx::OnnxError;
use crate::onnx::proto::ModelProto;
use chain::Chain;
use measure::Measured;
use serde::Serialize;
use std::fmt;

/// How ranges are chosen.
#[derive(Clone, Debug)]
pub struct QuantizeOptions {
    /// Share of each activation's values that its range must hold, above 0 and at most 1. 1 takes the extremes;
    /// less leaves out equal shares at both ends.
    pub kept_share: f64,
    /// Most calibration rows used, evenly spread over those given.
    pub max_rows: usize,
}

impl Default for QuantizeOptions {
    fn default() -> Self {
        QuantizeOptions {
            kept_share: 1.0,
            max_rows: 2000,
        }
    }
}

/// Why a model was not quantized.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuantizeError {
    /// The file is not a usable ONNX model.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// The model, or the quantized one, does not compile, so it cannot be measured.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The model does not end in dense layers.
    #[error(
        "no chain of Gemm or MatMul layers leads to the outputs: quantize an MLP, or keep the model float"
    )]
    NoLayers,
    /// `QuantizeLinear` per axis needs a newer operator set.
    #[error("opset {got} has no quantization per axis; export with 13 or newer")]
    OldOpset {
        /// The model's opset.
        got: i64,
    },
    /// The calibration rows are empty or of another width than the input.
    #[error("{values} calibration values are not rows of {width}")]
    Rows {
        /// Values given.
        values: usize,
        /// Width of the model's input.
        width: usize,
    },
    /// The engine refused to run.
    #[error("the engine could not run the model: {0}")]
    Run(dunlin_engine::RunError),
    /// An option is out of range.
    #[error("kept_share is {0}, not above 0 and at most 1")]
    KeptShare(f64),
}

/// A quantized model and what it costs in accuracy.
#[derive(Clone, Debug)]
pub struct Quantized {
    /// The model, as ONNX with `QuantizeLinear` and `DequantizeLinear`.
    pub model: ModelProto,
    /// Errors per layer.
    pub report: QuantizeReport,
}

/// What quantization changed, measured on the calibration rows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct QuantizeReport {
    /// Rows used.
    pub rows: usize,
    /// The input of the chain, then each layer.
    pub layers: Vec<LayerReport>,
    /// Share of rows whose label the quantized model keeps; none for models without a label.
    pub label_agreement: Option<f64>,
}

/// One quantized tensor against its float original.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerReport {
    /// Name of the tensor.
    pub tensor: String,
    /// Real value of one step.
    pub scale: f32,
    /// The integer that stands for 0.
    pub zero_point: i32,
    /// Largest absolute error, in the tensor's unit.
    pub largest_error: f32,
    /// Root of the mean squared error, in the tensor's unit.
    pub rms_error: f32,
    /// Power of the float values over the power of the errors, in decibel; infinite where there is no error.
    pub signal_to_noise_db: f32,
}

/// Quantizes the dense layers that end a float model. `rows` are raw inputs, row after row.
///
/// # Errors
/// See [`QuantizeError`].
pub fn quantize(
    model: &ModelProto,
    rows: &[f32],
    options: &QuantizeOptions,
) -> Result<Quantized, QuantizeError> {
    if !(options.kept_share > 0.0 && options.kept_share <= 1.0) {
        return Err(QuantizeError::KeptShare(options.kept_share));
    }
    let got = model.opset("").unwrap_or(0);
    if got < 13 {
        return Err(QuantizeError::OldOpset { got });
    }
    let chain = Chain::find(model.graph()?).ok_or(QuantizeError::NoLayers)?;
    let original = Measured::of(model, &chain.tensors(), rows, options.max_rows)?;
    let ranges = original.ranges(options.kept_share);
    let quantized = rewrite::quantized(model, &chain, &ranges)?;
    let names: Vec<String> = chain
        .tensors()
        .iter()
        .map(|name| rewrite::dequantized_name(name))
        .collect();
    let changed = Measured::of(&quantized, &names, rows, options.max_rows)?;
    let report = report(&chain, &ranges, &original, &changed);
    Ok(Quantized {
        model: quantized,
        report,
    })
}

/// An activation's scale and zero point.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Range {
    scale: f32,
    zero_point: i8,
}

impl Range {
    /// The finest steps that hold `low..=high` and 0.
    fn holding(low: f32, high: f32) -> Range {
        let (low, high) = (low.min(0.0), high.max(0.0));
        let scale = (high - low) / 255.0;
        if !scale.is_normal() {
            return Range {
                scale: 1.0,
                zero_point: 0,
            };
        }
        let zero_point = (-128.0 - low / scale)
            .round_ties_even()
            .clamp(-128.0, 127.0);
        Range {
            scale,
            zero_point: zero_point as i8,
        }
    }
}

fn report(
    chain: &Chain,
    ranges: &[Range],
    original: &Measured,
    changed: &Measured,
) -> QuantizeReport {
    let tensors = chain.tensors();
    let layers = tensors.iter().enumerate().map(|(index, tensor)| {
        let pairs = || original.values[index].iter().zip(&changed.values[index]);
        let errors = || pairs().map(|(a, b)| f64::from(a - b));
        let count = original.values[index].len().max(1) as f64;
        let noise = errors().map(|error| error * error).sum::<f64>();
        let signal = original.values[index]
            .iter()
            .map(|&value| f64::from(value).powi(2))
            .sum::<f64>();
        LayerReport {
            tensor: tensor.clone(),
            scale: ranges[index].scale,
            zero_point: i32::from(ranges[index].zero_point),
            largest_error: errors().map(f64::abs).fold(0.0, f64::max) as f32,
            rms_error: (noise / count).sqrt() as f32,
            signal_to_noise_db: (10.0 * (signal / noise).log10()) as f32,
        }
    });
    let same = original
        .labels
        .iter()
        .zip(&changed.labels)
        .filter(|(a, b)| a == b)
        .count();
    let rows = original.rows;
    QuantizeReport {
        rows,
        layers: layers.collect(),
        label_agreement: (original.labels.len() == rows).then(|| same as f64 / rows as f64),
    }
}

impl fmt::Display for QuantizeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for layer in &self.layers {
            writeln!(
                f,
                "{:<28} scale {:<12.6e} zero point {:>4}  error {:.3e} rms, {:.3e} at most, {:.1} dB",
                layer.tensor,
                layer.scale,
                layer.zero_point,
                layer.rms_error,
                layer.largest_error,
                layer.signal_to_noise_db
            )?;
        }
        match self.label_agreement {
            Some(share) => write!(
                f,
                "labels kept on {:.2} % of {} calibration rows",
                100.0 * share,
                self.rows
            ),
            None => write!(f, "{} calibration rows", self.rows),
        }
    }
}
