//! Which versions of a model the runs of a folder hold.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{StageError, bundle_file};
use crate::runs::{self, Run};
use crate::target::Target;

/// A bundle that some run packaged of a model for a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Released {
    /// The run that packaged it.
    pub run: String,
    /// The file.
    pub path: PathBuf,
    /// Its version.
    pub version: u32,
    /// SHA-256 of the file in hex.
    pub sha256: String,
}

impl fmt::Display for Released {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: run {} packaged version {} with other contents; a device that has run that one refuses this one: \
             set `version = {}` in the recipe and train again",
            self.path.display(),
            self.run,
            self.version,
            self.version.saturating_add(1)
        )
    }
}

/// The bundles that the runs in the folder of `run` packaged of its model for a target, its own among them. Runs
/// whose record cannot be read are left out.
///
/// # Errors
/// When the folder cannot be read.
pub(super) fn of(run: &Run, target: &Target) -> Result<Vec<Released>, StageError> {
    let root = match run.folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let name = bundle_file(run, target);
    let others = runs::list(root)?.records.into_iter();
    let same_model = others.filter(|record| record.name == run.record.name);
    let bundles = same_model.filter_map(|record| {
        Some(Released {
            path: root.join(&record.id).join(&name),
            version: record.version,
            sha256: record.file(&name)?.sha256.clone(),
            run: record.id,
        })
    });
    Ok(bundles.collect())
}

/// The bundle of the highest version that another run than `run` packaged.
pub(super) fn newest_elsewhere<'r>(released: &'r [Released], run: &Run) -> Option<&'r Released> {
    released
        .iter()
        .filter(|bundle| bundle.run != run.record.id)
        .max_by_key(|bundle| bundle.version)
}

/// A bundle of this version that is not these bytes.
pub(super) fn conflicting(released: Vec<Released>, version: u32, bytes: &[u8]) -> Option<Released> {
    let sha256 = runs::sha256_hex(bytes);
    released
        .into_iter()
        .find(|bundle| bundle.version == version && bundle.sha256 != sha256)
}
