//! The engine's codes.

use super::Sample;
use crate::compile::{CompileOptions, compile};
use crate::onnx::proto::{DataType, ModelProto};
use crate::verify::Local;
use dunlin_engine::format::DType;

/// The only output of a model for every input, or why there is none.
pub(super) fn codes(
    model: &ModelProto,
    element: DataType,
    inputs: &[Sample],
) -> Result<Vec<Vec<i64>>, String> {
    let compiled = compile(model, &CompileOptions::default()).map_err(|error| error.to_string())?;
    let mut local = Local::load(&compiled.plan).map_err(|error| error.reason)?;
    if !local
        .plan()
        .outputs()
        .all(|output| output.dtype == DType::I8)
    {
        return Err("the plan's output is not int8".into());
    }
    let run = |input: &Sample| {
        let outputs = local
            .run_bytes(&bytes(input))
            .map_err(|error| error.reason)?;
        let signed = outputs.first().cloned().unwrap_or_default();
        Ok(signed
            .into_iter()
            .map(|byte| shifted(element, byte as i8))
            .collect())
    };
    inputs.iter().map(run).collect()
}

/// A plan holds unsigned bytes as signed ones, less 128.
fn shifted(element: DataType, code: i8) -> i64 {
    i64::from(code) + if element == DataType::Uint8 { 128 } else { 0 }
}

fn bytes(input: &Sample) -> Vec<u8> {
    match input {
        Sample::I8(values) => values.iter().map(|&value| value as u8).collect(),
        Sample::U8(values) => values.iter().map(|&value| value ^ 0x80).collect(),
        Sample::F32(values) => values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect(),
    }
}
