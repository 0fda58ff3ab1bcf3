//! Sample files that tests rely on.

pub use crate::npz::Array;
use std::collections::BTreeMap;
use std::path::Path;

pub fn read(path: &Path) -> BTreeMap<String, Array> {
    crate::npz::read(path).expect("an archive of samples")
}
