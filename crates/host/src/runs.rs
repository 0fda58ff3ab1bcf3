//! Run folders: everything that went into a training and came out of it.
//!
//! Runs on the workstation. A run is the folder `runs/<name>-<utc date>-<utc time>-<hash4>/` with `run.json`
//! ([`Record`]), `recipe.toml` with every default written out, `model.onnx`, `curves.csv` and, once evaluated,
//! `report.html`; later stages add their files through [`Run::add_file`]. Cost: a few small files.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use dunlin_host::{data, evaluate, recipe::Recipe, runs, train};
//! let recipe = Recipe::read("models/occupancy/recipe.toml".as_ref())?;
//! let splits = data::load(&recipe, &data::LoadOptions::default())?;
//! let trained = train::train(&recipe, &splits, &mut |_| ())?;
//! let mut run = runs::create("runs".as_ref(), &recipe, &splits, &trained)?;
//! run.judge(&evaluate::evaluate(&trained.model, &recipe, &splits)?)?;
//! for summary in runs::list("runs".as_ref())? {
//!     println!("{} {}", summary.id, summary.algorithm);
//! }
//! # Ok(()) }
//! ```
//!
//! **Architecture invariants**: a run's inputs never change once written; the number of times its tests were used
//! only grows; every file of a run is listed with its hash.

mod compare;
mod host;

pub use compare::{Comparison, Difference, MeasureDifference, compare};
pub use host::Host;

use crate::data::{Examples, Splits};
use crate::evaluate::{Evaluation, report};
use crate::onnx;
use crate::plot::PlotError;
use crate::recipe::Recipe;
use crate::train::{Epoch, Trained};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The record's file name.
pub const RECORD: &str = "run.json";
/// The recipe's file name.
pub const RECIPE: &str = "recipe.toml";
/// The exported model's file name.
pub const MODEL: &str = "model.onnx";
/// The training curve's file name.
pub const CURVES: &str = "curves.csv";
/// The report's file name.
pub const REPORT: &str = "report.html";
/// Version of [`Record`] that this code writes, and the only one it reads.
pub const FORMAT: u32 = 1;

/// Why a run could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum RunsError {
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A record is not a record of this version.
    #[error("{}: not a run record: {reason}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// No run has that name.
    #[error("there is no run {name:?} in {}", root.display())]
    Unknown {
        /// What was asked for.
        name: String,
        /// Where.
        root: PathBuf,
    },
    /// Several runs have names that begin so.
    #[error("{name:?} may be any of: {}", candidates.join(", "))]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// The runs.
        candidates: Vec<String>,
    },
    /// The recipe cannot be written as TOML.
    #[error("the recipe cannot be written: {reason}")]
    Recipe {
        /// Why not.
        reason: String,
    },
    /// A plot of the report could not be drawn.
    #[error(transparent)]
    Plot(#[from] PlotError),
}

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
    /// Start of the run, RFC 3339 in UTC.
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

/// A run on disk.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Its folder.
    pub folder: PathBuf,
    /// What stands in its record.
    pub record: Record,
}

/// Makes the folder of a new run under `root` and writes what training left.
///
/// # Errors
/// [`RunsError::File`], [`RunsError::Recipe`].
pub fn create(
    root: &Path,
    recipe: &Recipe,
    splits: &Splits,
    trained: &Trained,
) -> Result<Run, RunsError> {
    let now = jiff::Timestamp::now();
    let record = new_record(recipe, splits, trained, now)?;
    let (id, folder) = fresh_folder(root, &record.id)?;
    let recipe_text = record.recipe.clone();
    let mut run = Run {
        folder,
        record: Record { id, ..record },
    };
    run.add_file(RECIPE, recipe_text.as_bytes())?;
    run.add_file(MODEL, &onnx::encode(&trained.model))?;
    if !trained.curve.is_empty() {
        run.add_file(CURVES, curve_text(&trained.curve).as_bytes())?;
    }
    run.save()?;
    Ok(run)
}

/// All runs under `root`, newest last; folders without a record are not runs. No folder is no run.
///
/// # Errors
/// [`RunsError::File`], [`RunsError::Record`].
pub fn list(root: &Path) -> Result<Vec<Record>, RunsError> {
    let mut records = Vec::new();
    for name in names(root)? {
        records.push(read(&root.join(name))?.record);
    }
    records.sort_by(|a, b| (&a.started, &a.id).cmp(&(&b.started, &b.id)));
    Ok(records)
}

/// The run with that name, or the only one whose name begins so; `latest` is the newest.
///
/// # Errors
/// [`RunsError::Unknown`], [`RunsError::Ambiguous`], [`RunsError::File`], [`RunsError::Record`].
pub fn load(root: &Path, name: &str) -> Result<Run, RunsError> {
    let unknown = || RunsError::Unknown {
        name: name.to_owned(),
        root: root.to_owned(),
    };
    if name == "latest" {
        let newest = list(root)?.pop().ok_or_else(unknown)?;
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

/// The run in a folder. Measures may differ from those written in the last bit of a float.
///
/// # Errors
/// [`RunsError::File`], [`RunsError::Record`].
pub fn read(folder: &Path) -> Result<Run, RunsError> {
    let path = folder.join(RECORD);
    let text = std::fs::read(&path).map_err(|source| RunsError::File {
        path: path.clone(),
        source,
    })?;
    let wrong = |reason: String| RunsError::Record {
        path: path.clone(),
        reason,
    };
    let record: Record = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
    match record.format {
        FORMAT => Ok(Run {
            folder: folder.to_owned(),
            record,
        }),
        other => Err(wrong(format!("format {other}, expected {FORMAT}"))),
    }
}

impl Run {
    /// The path of one of the run's files.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes a file of the run and lists it, replacing one of the same name. [`Run::save`] keeps the list.
    ///
    /// # Errors
    /// [`RunsError::File`].
    pub fn add_file(&mut self, name: &str, bytes: &[u8]) -> Result<(), RunsError> {
        write(&self.path(name), bytes)?;
        self.record.files.retain(|file| file.name != name);
        self.record.files.push(FileEntry {
            name: name.to_owned(),
            sha256: sha256_hex(bytes),
        });
        Ok(())
    }

    /// Keeps an evaluation, counts one more use of the tests, writes the report and saves.
    ///
    /// # Errors
    /// [`RunsError::File`], [`RunsError::Plot`].
    pub fn judge(&mut self, evaluation: &Evaluation) -> Result<(), RunsError> {
        self.record.test_uses += 1;
        self.record.evaluation = Some(evaluation.clone());
        let html = report::html(&self.record, evaluation)?;
        self.add_file(REPORT, html.as_bytes())?;
        self.save()
    }

    /// Keeps how long a stage took; [`Run::save`] writes it.
    pub fn time(&mut self, stage: &str, seconds: f64) {
        self.record.timings.insert(stage.to_owned(), seconds);
    }

    /// Writes the record, replacing it in one step.
    ///
    /// # Errors
    /// [`RunsError::File`].
    pub fn save(&self) -> Result<(), RunsError> {
        let path = self.path(RECORD);
        let new = self.path("run.json.new");
        let text = serde_json::to_vec_pretty(&self.record).map_err(|error| RunsError::Record {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        write(&new, &text)?;
        std::fs::rename(&new, &path).map_err(|source| RunsError::File { path, source })
    }
}

fn new_record(
    recipe: &Recipe,
    splits: &Splits,
    trained: &Trained,
    now: jiff::Timestamp,
) -> Result<Record, RunsError> {
    let text = recipe.to_toml().map_err(|error| RunsError::Recipe {
        reason: error.to_string(),
    })?;
    let (recipe_hash, data_hash) = (recipe.hash(), splits.data_hash.clone());
    let both = sha256_hex(format!("{recipe_hash}{data_hash}").as_bytes());
    let tests = splits
        .tests
        .iter()
        .map(|(name, examples)| part(name, examples));
    Ok(Record {
        format: FORMAT,
        id: format!(
            "{}-{}-{}",
            recipe.name,
            now.strftime("%Y%m%d-%H%M%S"),
            both.get(..4).unwrap_or_default()
        ),
        name: recipe.name.clone(),
        version: recipe.version,
        algorithm: recipe.train.algorithm.name().to_owned(),
        started: now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        recipe: text,
        recipe_hash,
        data_hash,
        data_files: splits.report.files.iter().map(data_file).collect(),
        seed: recipe.train.seed,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        rustc: env!("DUNLIN_RUSTC").to_owned(),
        host: Host::here(),
        labels: splits.train.label_names.clone(),
        parts: [
            part("train", &splits.train),
            part("validation", &splits.validation),
        ]
        .into_iter()
        .chain(tests)
        .collect(),
        features: trained.features.names(),
        curve: trained.curve.clone(),
        best_epoch: trained.best_epoch,
        timings: BTreeMap::from([("training".to_owned(), trained.seconds)]),
        test_uses: 0,
        evaluation: None,
        files: Vec::new(),
    })
}

fn data_file(file: &crate::data::FileSummary) -> FileEntry {
    FileEntry {
        name: file.file.display().to_string(),
        sha256: file.sha256.clone(),
    }
}

fn part(name: &str, examples: &Examples) -> Part {
    Part {
        name: name.to_owned(),
        examples: examples.len(),
        labels: examples.label_counts(),
    }
}

/// Makes a folder of that name; one that is there already gets a number behind it.
fn fresh_folder(root: &Path, wanted: &str) -> Result<(String, PathBuf), RunsError> {
    std::fs::create_dir_all(root).map_err(|source| RunsError::File {
        path: root.to_owned(),
        source,
    })?;
    for id in std::iter::once(wanted.to_owned())
        .chain((2u32..).map(|number| format!("{wanted}-{number}")))
    {
        let folder = root.join(&id);
        match std::fs::create_dir(&folder) {
            Ok(()) => return Ok((id, folder)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(source) => {
                return Err(RunsError::File {
                    path: folder,
                    source,
                });
            }
        }
    }
    Err(RunsError::Unknown {
        name: wanted.to_owned(),
        root: root.to_owned(),
    })
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

fn curve_text(curve: &[Epoch]) -> String {
    let line = |epoch: &Epoch| {
        format!(
            "{},{},{}\n",
            epoch.epoch, epoch.train_loss, epoch.validation_loss
        )
    };
    let lines: String = curve.iter().map(line).collect();
    format!("epoch,train_loss,validation_loss\n{lines}")
}

/// SHA-256 of bytes, in hex.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    crate::data::hex(&Sha256::digest(bytes))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), RunsError> {
    std::fs::write(path, bytes).map_err(|source| RunsError::File {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests;
