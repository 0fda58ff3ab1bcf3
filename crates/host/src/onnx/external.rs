//! Values that a model keeps in files beside its own.

use super::OnnxError;
use super::proto::{ModelProto, TensorProto};
use std::collections::HashMap;
use std::path::{Component, Path};

/// Most bytes of a file of values: beyond every model that a plan holds.
const MOST_BYTES: u64 = 1 << 32;

/// Puts the values of external tensors into them. Their files lie in the model's folder or below.
pub(super) fn take_in(model: &mut ModelProto, path: &Path) -> Result<(), OnnxError> {
    let Some(graph) = &mut model.graph else {
        return Ok(());
    };
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut files = HashMap::new();
    let attributes = graph.node.iter_mut().flat_map(|node| &mut node.attribute);
    let in_nodes = attributes.filter_map(|attribute| attribute.t.as_mut());
    for tensor in graph.initializer.iter_mut().chain(in_nodes) {
        if tensor.data_location != 0 || !tensor.external_data.is_empty() {
            fill(tensor, folder, &mut files)?;
        }
    }
    Ok(())
}

fn fill(
    tensor: &mut TensorProto,
    folder: &Path,
    files: &mut HashMap<String, Vec<u8>>,
) -> Result<(), OnnxError> {
    let name = tensor.name.clone();
    let fault = |reason: String| OnnxError::Tensor {
        name: name.clone(),
        reason,
    };
    let entry = |key: &str| {
        let entry = tensor.external_data.iter().find(|entry| entry.key == key);
        entry.map(|entry| entry.value.clone())
    };
    let location = entry("location").unwrap_or_default();
    let is_inside = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    if location.is_empty() || !Path::new(&location).components().all(is_inside) {
        let reason = format!("lies in {location:?}, which is no file in the model's folder");
        return Err(fault(reason));
    }
    if !files.contains_key(&location) {
        let file = folder.join(&location);
        let read = || match std::fs::metadata(&file)?.len() {
            ..=MOST_BYTES => std::fs::read(&file),
            _ => Err(std::io::Error::other("the file is too large")),
        };
        let reason = |error| format!("lies in {}, which cannot be read: {error}", file.display());
        let bytes = read().map_err(|error| fault(reason(error)))?;
        files.insert(location.clone(), bytes);
    }
    let bytes = files.get(&location).map_or(&[][..], Vec::as_slice);
    let number = |key: &str, otherwise: usize| match entry(key) {
        Some(text) => text
            .parse()
            .map_err(|_| fault(format!("has {key} {text:?}"))),
        None => Ok(otherwise),
    };
    let start = number("offset", 0)?;
    let length = number("length", bytes.len().saturating_sub(start))?;
    let end = start.checked_add(length).filter(|&end| end <= bytes.len());
    let values = end.map(|end| bytes[start.min(end)..end].to_vec());
    tensor.raw_data = Some(values.ok_or_else(|| {
        let held = bytes.len();
        fault(format!(
            "wants {length} bytes from {start} on of the {held} in {location:?}"
        ))
    })?);
    tensor.external_data.clear();
    tensor.data_location = 0;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::builder::{Extent, GraphBuilder};
    use super::super::proto::{DataType, StringStringEntryProto};
    use super::super::{encode, read};
    use super::*;

    /// A model whose only constant lies outside, as these entries say.
    fn model(entries: &[(&str, &str)]) -> ModelProto {
        let mut graph = GraphBuilder::new("outside");
        let input = graph.input("input", DataType::Float, &[Extent::Fixed(2)]);
        let factor = graph.constant_f32("factor", &[2], &[0.0, 0.0]);
        let result = graph.node("Mul", &[&input, &factor], vec![]);
        graph.output(&result, "result", DataType::Float, &[Extent::Fixed(2)]);
        let mut model = graph.finish();
        let tensor = &mut model.graph.as_mut().unwrap().initializer[0];
        tensor.raw_data = None;
        tensor.float_data.clear();
        tensor.data_location = 1;
        tensor.external_data = entries
            .iter()
            .map(|(key, value)| StringStringEntryProto {
                key: (*key).to_owned(),
                value: (*value).to_owned(),
            })
            .collect();
        model
    }

    fn taken_in(entries: &[(&str, &str)]) -> Result<Vec<f32>, OnnxError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        std::fs::write(&path, encode(&model(entries))).unwrap();
        let values: Vec<u8> = [9.0_f32, 1.5, -2.0]
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect();
        std::fs::write(folder.path().join("model.onnx.data"), values).unwrap();
        read(&path)?.graph()?.initializer[0].to_f32()
    }

    #[test]
    fn values_beside_the_model_are_taken_in() {
        let place = [
            ("location", "model.onnx.data"),
            ("offset", "4"),
            ("length", "8"),
        ];
        assert_eq!(taken_in(&place).unwrap(), [1.5, -2.0]);
        assert_eq!(taken_in(&place[..2]).unwrap(), [1.5, -2.0]);
    }

    #[test]
    fn values_that_are_not_there_are_named() {
        let cases: [(&[(&str, &str)], &str); 6] = [
            (
                &[("location", "../model.onnx.data")],
                "no file in the model's folder",
            ),
            (
                &[("location", "/etc/hostname")],
                "no file in the model's folder",
            ),
            (&[], "no file in the model's folder"),
            (&[("location", "other.data")], "cannot be read"),
            (
                &[
                    ("location", "model.onnx.data"),
                    ("offset", "8"),
                    ("length", "8"),
                ],
                "wants 8 bytes from 8 on of the 12",
            ),
            (
                &[("location", "model.onnx.data"), ("offset", "many")],
                "has offset \"many\"",
            ),
        ];
        for (entries, expected) in cases {
            let error = taken_in(entries).unwrap_err().to_string();
            assert!(
                error.contains(expected) && error.contains("\"factor\""),
                "{error}"
            );
        }
    }
}
