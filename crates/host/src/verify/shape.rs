//! The shape of an ONNX model's input, for a batch of one.

use prost::Message;

use crate::onnx::proto::{DataType, DimensionValue, ModelProto, TypeValue, ValueInfoProto};

/// Extents of the only input; those the file leaves open are 1.
///
/// # Errors
/// When the file is no model, or has not one float32 tensor as input.
pub(super) fn input_shape(onnx: &[u8]) -> Result<Vec<usize>, String> {
    let model = ModelProto::decode(onnx).map_err(|error| format!("not an ONNX model: {error}"))?;
    let (input, shape) = input_extents(&model)?;
    match input.element_type() {
        Some(DataType::Float) => Ok(shape),
        _ => Err(format!("input {:?} is not a float32 tensor", input.name)),
    }
}

/// The only input, of any element type, with its extents; those left open are 1.
///
/// # Errors
/// When the model has not one tensor as input.
pub(super) fn input_extents(model: &ModelProto) -> Result<(&ValueInfoProto, Vec<usize>), String> {
    let graph = model.graph().map_err(|error| error.to_string())?;
    let inputs: Vec<_> = graph.true_inputs().collect();
    let [input] = inputs[..] else {
        return Err(format!(
            "the model has {} inputs, one is supported",
            inputs.len()
        ));
    };
    let tensor = match input.r#type.as_ref().and_then(|of| of.value.as_ref()) {
        Some(TypeValue::Tensor(tensor)) => tensor,
        _ => return Err(format!("input {:?} is not a tensor", input.name)),
    };
    let shape = tensor
        .shape
        .as_ref()
        .ok_or_else(|| format!("input {:?} has no shape", input.name))?;
    let extent = |value: &Option<DimensionValue>| match value {
        Some(DimensionValue::Value(extent)) => usize::try_from(*extent)
            .ok()
            .filter(|&extent| extent > 0)
            .unwrap_or(1),
        _ => 1,
    };
    let extents = shape.dim.iter().map(|dimension| extent(&dimension.value));
    Ok((input, extents.collect()))
}
