//! Runs in a folder: all of them, or the one that a name means.

use super::{RECORD, Record, Run, RunsError, read};
use serde::Serialize;
use std::path::Path;

/// What lies in a folder of runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Listing {
    /// The runs, newest last.
    pub records: Vec<Record>,
    /// Runs whose record cannot be used, by name.
    pub broken: Vec<Broken>,
}

/// A run whose record cannot be read, or is that of a run of another name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// Name of the folder.
    pub id: String,
    /// The file, and what is wrong with it.
    pub reason: String,
}

/// All runs under `root`; folders without a record are not runs. No folder is no run.
///
/// # Errors
/// [`RunsError::File`] when the folder itself cannot be read.
pub fn list(root: &Path) -> Result<Listing, RunsError> {
    let mut listing = Listing::default();
    for id in names(root)? {
        match read(&root.join(&id)) {
            Ok(run) if run.record.id == id => listing.records.push(run.record),
            Ok(run) => listing.broken.push(Broken {
                reason: format!(
                    "{}: the record of run {}; rename the folder to that, or remove it if it is a copy",
                    run.path(RECORD).display(),
                    run.record.id
                ),
                id,
            }),
            Err(error) => listing.broken.push(Broken {
                id,
                reason: error.to_string(),
            }),
        }
    }
    listing
        .records
        .sort_by(|a, b| (&a.started, &a.id).cmp(&(&b.started, &b.id)));
    Ok(listing)
}

/// The run with that name, or the only one whose name begins so; `latest` is the newest that can be read.
///
/// # Errors
/// [`RunsError::Unknown`], [`RunsError::Ambiguous`], [`RunsError::File`], [`RunsError::Record`].
pub fn load(root: &Path, name: &str) -> Result<Run, RunsError> {
    let unknown = || RunsError::Unknown {
        name: name.to_owned(),
        root: root.to_owned(),
    };
    if name == "latest" {
        let newest = list(root)?.records.pop().ok_or_else(unknown)?;
        return read(&root.join(newest.id));
    }
    let all = names(root)?;
    let matching: Vec<&String> = match all.iter().find(|run| *run == name) {
        Some(exact) => vec![exact],
        None => all
            .iter()
            .filter(|run| !name.is_empty() && run.starts_with(name))
            .collect(),
    };
    match matching.as_slice() {
        [] => Err(unknown()),
        [only] => read(&root.join(only)),
        several => Err(RunsError::Ambiguous {
            name: name.to_owned(),
            candidates: several.iter().map(|&run| run.clone()).collect(),
        }),
    }
}

fn names(root: &Path) -> Result<Vec<String>, RunsError> {
    let failed = |source| RunsError::File {
        path: root.to_owned(),
        source,
    };
    let entries = match std::fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if entry.path().join(RECORD).is_file() {
            names.extend(entry.file_name().into_string());
        }
    }
    names.sort();
    Ok(names)
}
