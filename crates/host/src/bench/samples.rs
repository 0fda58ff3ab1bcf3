//! Inputs from a file: NumPy's `.npz`, or plain bytes, one input after another.

use std::path::Path;

use dunlin_engine::TensorInfo;
use dunlin_engine::format::DType;

use super::BenchError;
use crate::npz::{self, Array};

/// Beginning of the name of an array of inputs.
const ARRAY: &str = "inputs";

/// The inputs in a file, each as the bytes of `tensor`; at most `most` of them.
///
/// # Errors
/// When the file cannot be read or its values are not those the model takes.
pub fn read(path: &Path, tensor: &TensorInfo, most: usize) -> Result<Vec<Vec<u8>>, BenchError> {
    let wrong = |reason: String| BenchError::Inputs {
        reason: format!("{}: {reason}", path.display()),
    };
    let values = match path.extension().is_some_and(|ending| ending == "npz") {
        true => array(path, type_name(tensor))?.bytes,
        false => std::fs::read(path).map_err(BenchError::io(path))?,
    };
    let (length, bytes) = (tensor.bytes().max(1), values.len());
    if values.is_empty() || !bytes.is_multiple_of(length) {
        return Err(wrong(format!(
            "{bytes} bytes are no whole number of inputs of {length} bytes"
        )));
    }
    Ok(values
        .chunks_exact(length)
        .take(most)
        .map(<[u8]>::to_vec)
        .collect())
}

/// The first array of inputs with these elements.
fn array(path: &Path, element: &str) -> Result<Array, BenchError> {
    let reason = |reason: String| BenchError::Inputs { reason };
    let arrays = npz::read(path).map_err(|error| reason(error.to_string()))?;
    let fits =
        |(name, array): &(String, Array)| name.starts_with(ARRAY) && array.element == element;
    let listed = npz::listed(&arrays);
    let found = arrays.into_iter().find(fits).map(|(_, array)| array);
    found.ok_or_else(|| {
        let path = path.display();
        reason(format!(
            "{path}: no array whose name begins with `{ARRAY}` and whose elements are {element}; it has {listed}"
        ))
    })
}

/// NumPy's name of a tensor's element type.
fn type_name(tensor: &TensorInfo) -> &'static str {
    match tensor.dtype {
        DType::F32 => "<f4",
        DType::I32 => "<i4",
        DType::I8 => "|i1",
        DType::U8 => "|u1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::inputs::tests::tensor;

    #[test]
    fn plain_bytes_are_cut_into_inputs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("inputs.bin");
        std::fs::write(&path, [1, 2, 3, 4, 5, 6]).unwrap();
        assert_eq!(
            read(&path, &tensor(DType::I8, 2), 2).unwrap(),
            [[1, 2], [3, 4]]
        );
        assert!(read(&path, &tensor(DType::I8, 4), 2).is_err());
    }

    #[test]
    fn archives_of_samples_are_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/models");
        if !folder.is_dir() {
            eprintln!("skipped: {} is not there", folder.display());
            return;
        }
        let forest = read(
            &folder.join("rf_bc_10_samples.npz"),
            &tensor(DType::F32, 30),
            99,
        )
        .unwrap();
        assert_eq!((forest.len(), forest[0].len()), (64, 120));
        let images = read(&folder.join("ic_samples.npz"), &tensor(DType::I8, 3072), 3).unwrap();
        assert_eq!(images.len(), 3);
        assert_ne!(images[0], images[1]);
        let error = read(
            &folder.join("rf_bc_10_samples.npz"),
            &tensor(DType::I8, 30),
            1,
        )
        .unwrap_err();
        assert!(error.to_string().contains("|i1"), "{error}");
    }
}
