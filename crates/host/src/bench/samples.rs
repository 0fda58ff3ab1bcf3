//! Inputs from a file: NumPy's `.npz` and `.npy`, or plain bytes, one input after another.

use std::io::Read;
use std::path::Path;

use dunlin_engine::TensorInfo;
use dunlin_engine::format::DType;

use super::BenchError;

/// Beginning of the name of an array of inputs.
const ARRAY: &str = "inputs";
const DEFLATED: usize = 8;

/// The inputs in a file, each as the bytes of `tensor`; at most `most` of them.
///
/// # Errors
/// When the file cannot be read or its values are not those the model takes.
pub fn read(path: &Path, tensor: &TensorInfo, most: usize) -> Result<Vec<Vec<u8>>, BenchError> {
    let file = std::fs::read(path).map_err(BenchError::io(path))?;
    let wrong = |reason: &str| BenchError::Inputs {
        reason: format!("{}: {reason}", path.display()),
    };
    let name = path.to_string_lossy();
    let values = if name.ends_with(".npz") {
        let arrays = arrays(&file).ok_or_else(|| wrong("not an archive of NumPy arrays"))?;
        let fitting = arrays
            .into_iter()
            .find(|(name, array)| name.starts_with(ARRAY) && fits(array, tensor));
        let (_, array) = fitting.ok_or_else(|| {
            wrong(&format!(
                "no array whose name begins with `{ARRAY}` and whose type is {}",
                type_name(tensor)
            ))
        })?;
        array.values
    } else if name.ends_with(".npy") {
        let array = array(&file).ok_or_else(|| wrong("not a NumPy array"))?;
        if !fits(&array, tensor) {
            return Err(wrong(&format!(
                "its type is {}, the model takes {}",
                array.kind,
                type_name(tensor)
            )));
        }
        array.values
    } else {
        file
    };
    let length = tensor.bytes();
    if values.is_empty() || !values.len().is_multiple_of(length.max(1)) {
        return Err(wrong(&format!(
            "{} bytes are not a number of inputs of {length} bytes",
            values.len()
        )));
    }
    Ok(values
        .chunks_exact(length)
        .take(most)
        .map(<[u8]>::to_vec)
        .collect())
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

fn fits(array: &Array, tensor: &TensorInfo) -> bool {
    array.kind == type_name(tensor)
}

/// An array: its element type and its bytes, row by row.
struct Array {
    kind: String,
    values: Vec<u8>,
}

fn array(npy: &[u8]) -> Option<Array> {
    const MAGIC: &[u8] = b"\x93NUMPY";
    const PREFIX_BYTES: usize = 10;
    let length = usize::from(u16_at(npy, 8).filter(|_| npy.starts_with(MAGIC))?);
    let header = String::from_utf8_lossy(npy.get(PREFIX_BYTES..)?.get(..length)?).into_owned();
    let kind = header
        .split_once("'descr': '")?
        .1
        .split_once('\'')?
        .0
        .to_owned();
    let is_row_by_row = header.contains("'fortran_order': False");
    let values = npy.get(PREFIX_BYTES + length..)?.to_vec();
    is_row_by_row.then_some(Array { kind, values })
}

/// The arrays of an archive with their names. Its directory stands at the end and has 46 bytes and the name for each.
fn arrays(file: &[u8]) -> Option<Vec<(String, Array)>> {
    const END: &[u8] = b"PK\x05\x06";
    const END_BYTES: usize = 22;
    const ENTRY_BYTES: usize = 46;
    let end = file.len().checked_sub(END_BYTES)?;
    if !file.get(end..)?.starts_with(END) {
        return None;
    }
    let mut at = u32_at(file, end + 16)?;
    let mut arrays = Vec::new();
    for _ in 0..u16_at(file, end + 10)? {
        let field = |offset| Some(usize::from(u16_at(file, at + offset)?));
        let name = file.get(at + ENTRY_BYTES..)?.get(..field(28)?)?;
        let array = array(&member(file, at)?)?;
        arrays.push((String::from_utf8_lossy(name).into_owned(), array));
        at += ENTRY_BYTES + field(28)? + field(30)? + field(32)?;
    }
    Some(arrays)
}

/// The content of the member whose directory entry is at `entry`.
fn member(file: &[u8], entry: usize) -> Option<Vec<u8>> {
    const LOCAL_BYTES: usize = 30;
    let (method, packed) = (
        usize::from(u16_at(file, entry + 10)?),
        u32_at(file, entry + 20)?,
    );
    let local = u32_at(file, entry + 42)?;
    let field = |offset| Some(usize::from(u16_at(file, local + offset)?));
    let start = local + LOCAL_BYTES + field(26)? + field(28)?;
    let bytes = file.get(start..)?.get(..packed)?;
    if method != DEFLATED {
        return Some(bytes.to_vec());
    }
    let mut content = Vec::new();
    flate2::read::DeflateDecoder::new(bytes)
        .read_to_end(&mut content)
        .ok()?;
    Some(content)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunlin_engine::format::Role;

    fn tensor(dtype: DType, elements: u32) -> TensorInfo {
        TensorInfo {
            dtype,
            rank: 1,
            dims: [1, 1, 1, elements],
            offset: 0,
            scale: 0.0,
            zero_point: 0,
            role: Role::Plain,
        }
    }

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
    fn an_array_of_another_type_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("inputs.npy");
        let header = "{'descr': '|i1', 'fortran_order': False, 'shape': (2, 2), }\n";
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.bytes().chain([9, 8, 7, 6]));
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(
            read(&path, &tensor(DType::I8, 2), 9).unwrap(),
            [[9, 8], [7, 6]]
        );
        let error = read(&path, &tensor(DType::F32, 1), 9)
            .unwrap_err()
            .to_string();
        assert!(error.contains("|i1") && error.contains("<f4"), "{error}");
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
    }
}
