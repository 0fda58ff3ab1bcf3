//! Arrays from NumPy's `.npz` files: a zip archive of `.npy` members.
//!
//! Stored and deflated members, row-major, little-endian; no zip64, no comment behind the archive.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// One array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Array {
    /// NumPy's name of the element type: `|i1`, `<f4`.
    pub element: String,
    /// Extents.
    pub shape: Vec<usize>,
    /// The elements.
    pub bytes: Vec<u8>,
}

/// The arrays of an archive in words, for who looks for another: `input (|i1, 64 × 490), labels (<i8, 64)`.
pub fn listed(arrays: &BTreeMap<String, Array>) -> String {
    let listed = arrays.iter().map(|(name, array)| {
        let shape: Vec<String> = array.shape.iter().map(usize::to_string).collect();
        format!("{name} ({}, {})", array.element, shape.join(" × "))
    });
    match listed.collect::<Vec<_>>() {
        none if none.is_empty() => "nothing".to_owned(),
        some => some.join(", "),
    }
}

impl Array {
    /// How many rows the first axis has.
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(0)
    }

    /// The bytes of row `index` of the first axis; empty beyond the last.
    pub fn row(&self, index: usize) -> &[u8] {
        let length = self.bytes.len().checked_div(self.rows()).unwrap_or(0);
        let rest = self.bytes.get(index * length..).unwrap_or_default();
        rest.get(..length).unwrap_or_default()
    }
}

/// A file is not there, or not such an archive.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct NpzError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub reason: String,
}

/// Reads every array of a file, by name.
///
/// # Errors
/// When the file cannot be read, is no such archive, or has an array that cannot be taken.
pub fn read(path: &Path) -> Result<BTreeMap<String, Array>, NpzError> {
    let failed = |reason: String| NpzError {
        path: path.to_owned(),
        reason,
    };
    let file = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    let members = members(&file).ok_or_else(|| failed("is no .npz archive, or damaged".into()))?;
    let named = members.into_iter().map(|(name, npy)| {
        let array = array(&npy).ok_or_else(|| {
            failed(format!(
                "array {name:?} is not one of numbers, row by row; save np.ascontiguousarray(…) of a numeric type"
            ))
        })?;
        Ok((name, array))
    });
    named.collect()
}

const END: &[u8] = b"PK\x05\x06";
const END_BYTES: usize = 22;
const ENTRY_BYTES: usize = 46;
const MEMBER_BYTES: usize = 30;

/// Names and contents of an archive's members.
fn members(file: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let end = file.len().checked_sub(END_BYTES)?;
    if !file.get(end..)?.starts_with(END) {
        return None;
    }
    let (entries, mut at) = (u16_at(file, end + 10)?, u32_at(file, end + 16)?);
    let mut members = Vec::new();
    for _ in 0..entries {
        let lengths = [28, 30, 32].map(|field| u16_at(file, at + field));
        let [Some(name_length), Some(extra), Some(comment)] = lengths else {
            return None;
        };
        let name = file.get(at + ENTRY_BYTES..)?.get(..name_length)?;
        let name = String::from_utf8_lossy(name);
        let name = name.strip_suffix(".npy").unwrap_or(&name).to_owned();
        members.push((name, member(file, at)?));
        at += ENTRY_BYTES + name_length + extra + comment;
    }
    Some(members)
}

/// The content of the member whose directory entry is at `at`.
fn member(file: &[u8], at: usize) -> Option<Vec<u8>> {
    let (method, packed) = (u16_at(file, at + 10)?, u32_at(file, at + 20)?);
    let local = u32_at(file, at + 42)?;
    let start = local + MEMBER_BYTES + u16_at(file, local + 26)? + u16_at(file, local + 28)?;
    let bytes = file.get(start..)?.get(..packed)?;
    let mut content = Vec::new();
    match method {
        0 => content.extend_from_slice(bytes),
        8 => {
            let mut inflated = flate2::read::DeflateDecoder::new(bytes);
            inflated.read_to_end(&mut content).ok()?;
        }
        _ => return None,
    }
    Some(content)
}

fn array(npy: &[u8]) -> Option<Array> {
    if !npy.starts_with(b"\x93NUMPY") {
        return None;
    }
    let length = u16_at(npy, 8)?;
    let header = String::from_utf8_lossy(npy.get(10..)?.get(..length)?).into_owned();
    let extents = header.split_once('(')?.1.split_once(')')?.0;
    let shape: Vec<usize> = extents
        .split(',')
        .filter_map(|extent| extent.trim().parse().ok())
        .collect();
    let element = header
        .split_once("'descr':")?
        .1
        .split('\'')
        .nth(1)?
        .to_owned();
    let bytes = npy.get(10 + length..)?.to_vec();
    let width: usize = element.get(2..)?.parse().ok()?;
    let fits = bytes.len() == shape.iter().product::<usize>() * width;
    (fits && !header.contains("'fortran_order': True")).then_some(Array {
        element,
        shape,
        bytes,
    })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<usize> {
    let field = bytes.get(at..)?.first_chunk()?;
    Some(usize::from(u16::from_le_bytes(*field)))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    let field = bytes.get(at..)?.first_chunk()?;
    usize::try_from(u32::from_le_bytes(*field)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive of one stored member, as `np.savez` writes it; checksums are not looked at.
    fn archive(name: &str, header: &str, data: &[u8]) -> Vec<u8> {
        let npy = [
            b"\x93NUMPY\x01\x00".as_slice(),
            &(header.len() as u16).to_le_bytes(),
            header.as_bytes(),
            data,
        ]
        .concat();
        let mut file = vec![0; MEMBER_BYTES];
        file[26..28].copy_from_slice(&(name.len() as u16).to_le_bytes());
        file.extend_from_slice(name.as_bytes());
        file.extend_from_slice(&npy);
        let directory = file.len();
        let mut entry = vec![0; ENTRY_BYTES];
        entry[20..24].copy_from_slice(&(npy.len() as u32).to_le_bytes());
        entry[28..30].copy_from_slice(&(name.len() as u16).to_le_bytes());
        file.extend_from_slice(&entry);
        file.extend_from_slice(name.as_bytes());
        let mut end = vec![0; END_BYTES];
        end[..4].copy_from_slice(END);
        end[10] = 1;
        end[16..20].copy_from_slice(&(directory as u32).to_le_bytes());
        file.extend_from_slice(&end);
        file
    }

    const HEADER: &str = "{'descr': '|i1', 'fortran_order': False, 'shape': (2, 3), }";

    #[test]
    fn arrays_have_names_shapes_and_rows() {
        let found = members(&archive("x.npy", HEADER, &[1, 2, 3, 4, 5, 6])).unwrap();
        assert_eq!((found.len(), found[0].0.as_str()), (1, "x"));
        let x = array(&found[0].1).unwrap();
        assert_eq!(
            (x.element.as_str(), x.shape.as_slice()),
            ("|i1", &[2, 3][..])
        );
        assert_eq!((x.row(1), x.row(2)), (&[4, 5, 6][..], &[][..]));
    }

    #[test]
    fn damaged_archives_are_refused() {
        let good = archive("x.npy", HEADER, &[1, 2, 3, 4, 5, 6]);
        for length in 0..good.len() {
            assert!(members(&good[..length]).is_none());
        }
    }

    #[test]
    fn an_array_that_cannot_be_taken_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("samples.npz");
        let by_columns = HEADER.replace("False", "True");
        let texts = HEADER.replace("|i1", "<U5");
        for (header, data) in [
            (HEADER, &[1, 2, 3][..]),
            (&by_columns, &[0; 6]),
            (&texts, &[0; 120]),
        ] {
            std::fs::write(&path, archive("x.npy", header, data)).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(
                error.contains("samples.npz: array \"x\" is not one of numbers"),
                "{error}"
            );
        }
    }
}
