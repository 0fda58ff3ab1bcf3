//! What stands in a run's `run.json`.

use super::{FORMAT, Host, RunsError, sha256_hex};
use crate::data::{Examples, Splits};
use crate::evaluate::Evaluation;
use crate::recipe::Recipe;
use crate::train::{Epoch, Trained};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything about a run, as it stands in `run.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`FORMAT`]
    pub format: u32,
    /// Name of the folder.
    pub id: String,
    /// Name of the model.
    pub name: String,
    /// Version of the bundle.
    pub version: u32,
    /// What learned.
    pub algorithm: String,
    /// Start of the run, RFC 3339 in UTC, in microseconds: its order among runs.
    pub started: String,
    /// The recipe as TOML with every default written out.
    pub recipe: String,
    /// SHA-256 in hex of what the recipe says.
    pub recipe_hash: String,
    /// SHA-256 in hex of the data's content.
    pub data_hash: String,
    /// The files the data came from.
    pub data_files: Vec<FileEntry>,
    /// The seed of training.
    pub seed: u64,
    /// Version of Dunlin.
    pub tool_version: String,
    /// The compiler that built it.
    pub rustc: String,
    /// The machine.
    pub host: Host,
    /// Class names.
    pub labels: Vec<String>,
    /// What the data was split into.
    pub parts: Vec<Part>,
    /// Names of the values the core sees.
    pub features: Vec<String>,
    /// The training curve.
    pub curve: Vec<Epoch>,
    /// The pass whose weights were kept; 0 without passes.
    pub best_epoch: usize,
    /// Seconds per stage.
    pub timings: BTreeMap<String, f64>,
    /// How many times the tests were used.
    pub test_uses: u32,
    /// Measures and gates, once evaluated.
    pub evaluation: Option<Evaluation>,
    /// The files of the run.
    pub files: Vec<FileEntry>,
}

/// A file with its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Name in the folder, or the path of a data file as the recipe names it.
    pub name: String,
    /// SHA-256 in hex.
    pub sha256: String,
}

/// A part of the split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// `train`, `validation` or the name of a test.
    pub name: String,
    /// Number of examples.
    pub examples: usize,
    /// Examples per class.
    pub labels: Vec<usize>,
}

impl Record {
    /// The record of a training that began at `now`; nothing is evaluated, and no file is written yet.
    pub(super) fn new(
        recipe: &Recipe,
        splits: &Splits,
        trained: &Trained,
        now: jiff::Timestamp,
    ) -> Result<Record, RunsError> {
        let text = recipe.to_toml().map_err(|error| RunsError::Recipe {
            reason: error.to_string(),
        })?;
        let (recipe_hash, data_hash) = (recipe.hash(), splits.data_hash.clone());
        Ok(Record {
            format: FORMAT,
            id: id(&recipe.name, now, &format!("{recipe_hash}{data_hash}")),
            name: recipe.name.clone(),
            version: recipe.version,
            algorithm: recipe.train.algorithm.name().to_owned(),
            started: now.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
            recipe: text,
            recipe_hash,
            data_hash,
            data_files: splits.report.files.iter().map(data_file).collect(),
            seed: recipe.train.seed,
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            rustc: env!("DUNLIN_RUSTC").to_owned(),
            host: Host::here(),
            labels: splits.train.label_names.clone(),
            parts: parts(splits),
            features: trained.features.names(),
            curve: trained.curve.clone(),
            best_epoch: trained.best_epoch,
            timings: BTreeMap::from([("training".to_owned(), trained.seconds)]),
            test_uses: 0,
            evaluation: None,
            files: Vec::new(),
        })
    }

    /// The file of that name with its hash, if the run wrote it.
    pub fn file(&self, name: &str) -> Option<&FileEntry> {
        self.files.iter().find(|file| file.name == name)
    }
}

fn id(name: &str, now: jiff::Timestamp, inputs: &str) -> String {
    let hash = sha256_hex(inputs.as_bytes());
    let start = hash.get(..4).unwrap_or_default();
    format!("{name}-{}-{start}", now.strftime("%Y%m%d-%H%M%S"))
}

fn data_file(file: &crate::data::FileSummary) -> FileEntry {
    FileEntry {
        name: file.file.display().to_string(),
        sha256: file.sha256.clone(),
    }
}

fn parts(splits: &Splits) -> Vec<Part> {
    let tuned = [
        part("train", &splits.train),
        part("validation", &splits.validation),
    ];
    let tests = splits
        .tests
        .iter()
        .map(|(name, examples)| part(name, examples));
    tuned.into_iter().chain(tests).collect()
}

fn part(name: &str, examples: &Examples) -> Part {
    Part {
        name: name.to_owned(),
        examples: examples.len(),
        labels: examples.label_counts(),
    }
}
