//! Reads arrays from NumPy's `.npz` files: a zip archive of `.npy` members.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

/// One array: its shape and little-endian bytes.
pub struct Array {
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

impl Array {
    /// The bytes of row `index` of the first axis.
    pub fn row(&self, index: usize) -> &[u8] {
        let length = self.bytes.len() / self.shape[0];
        &self.bytes[index * length..][..length]
    }
}

pub fn read(path: &Path) -> HashMap<String, Array> {
    let file = std::fs::read(path).expect("the file is there");
    let directory_end = file.len() - 22;
    assert_eq!(
        file[directory_end..][..4],
        *b"PK\x05\x06",
        "no comment behind the archive"
    );
    let entries = u16_at(&file, directory_end + 10);
    let mut at = u32_at(&file, directory_end + 16);
    let mut arrays = HashMap::new();
    for _ in 0..entries {
        let (name_length, extra, comment) = (
            u16_at(&file, at + 28),
            u16_at(&file, at + 30),
            u16_at(&file, at + 32),
        );
        let name = String::from_utf8_lossy(&file[at + 46..][..name_length]).replace(".npy", "");
        arrays.insert(name, array(&member(&file, at)));
        at += 46 + name_length + extra + comment;
    }
    arrays
}

/// The content of the member whose directory entry is at `at`.
fn member(file: &[u8], at: usize) -> Vec<u8> {
    let (method, packed) = (u16_at(file, at + 10), u32_at(file, at + 20));
    let local = u32_at(file, at + 42);
    let start = local + 30 + u16_at(file, local + 26) + u16_at(file, local + 28);
    let bytes = &file[start..][..packed];
    let mut content = Vec::new();
    match method {
        0 => content.extend_from_slice(bytes),
        _ => {
            flate2::read::DeflateDecoder::new(bytes)
                .read_to_end(&mut content)
                .expect("deflated member");
        }
    }
    content
}

fn array(npy: &[u8]) -> Array {
    assert_eq!(npy[..6], *b"\x93NUMPY");
    let length = u16_at(npy, 8);
    let header = String::from_utf8_lossy(&npy[10..][..length]);
    let shape = header
        .split_once('(')
        .and_then(|(_, rest)| rest.split_once(')'))
        .expect("a shape")
        .0;
    let shape = shape
        .split(',')
        .filter_map(|extent| extent.trim().parse().ok())
        .collect();
    Array {
        shape,
        bytes: npy[10 + length..].to_vec(),
    }
}

fn u16_at(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes(
        bytes[at..][..2].try_into().expect("two bytes"),
    ))
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..][..4].try_into().expect("four bytes")) as usize
}
