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
//! for record in runs::list("runs".as_ref())?.records {
//!     println!("{} {}", record.id, record.algorithm);
//! }
//! # Ok(()) }
//! ```
//!
//! **Architecture invariants**: a run's inputs never change once written; the number of times its tests were used
//! only grows; every file of a run is listed with its hash, and read only while it has that hash.

mod compare;
mod host;
mod record;
mod search;

pub use compare::{Comparison, Difference, MeasureDifference, compare};
pub use host::Host;
pub use record::{FileEntry, Part, Record};
pub use search::{Broken, Listing, list, load};

use crate::data::Splits;
use crate::evaluate::{Evaluation, report};
use crate::onnx;
use crate::plot::PlotError;
use crate::recipe::Recipe;
use crate::train::{Epoch, Trained};
use sha2::{Digest, Sha256};
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
    /// A file of a run is not what a stage wrote there.
    #[error(
        "{}: changed since run {run} wrote it: sha256 was {expected}, is {got}; put the file back, or make it again ({remedy})", path.display()
    )]
    Changed {
        /// The file.
        path: PathBuf,
        /// The run.
        run: String,
        /// The hash in the run's record.
        expected: String,
        /// The hash of what is there.
        got: String,
        /// What makes the file.
        remedy: String,
    },
    /// A file lies in a run's folder that no stage wrote.
    #[error(
        "{}: run {run} did not write this file; remove it, or name it as a file of its own where the command takes one", path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The run.
        run: String,
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
    let record = Record::new(recipe, splits, trained, now)?;
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

    /// The bytes of one of the run's files, as the stage that wrote it left them. Cost: one hash of the file.
    ///
    /// # Errors
    /// [`RunsError::Changed`], [`RunsError::Foreign`], [`RunsError::File`].
    pub fn file(&self, name: &str) -> Result<Vec<u8>, RunsError> {
        let path = self.path(name);
        let bytes = std::fs::read(&path).map_err(|source| RunsError::File {
            path: path.clone(),
            source,
        })?;
        let run = self.record.id.clone();
        let Some(noted) = self.record.file(name) else {
            return Err(RunsError::Foreign { path, run });
        };
        let got = sha256_hex(&bytes);
        if got == noted.sha256 {
            return Ok(bytes);
        }
        Err(RunsError::Changed {
            path,
            remedy: remedy(name, &run),
            run,
            expected: noted.sha256.clone(),
            got,
        })
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

/// The command that writes a file of a run.
fn remedy(name: &str, run: &str) -> String {
    let made_in_training = [RECIPE, MODEL, CURVES].contains(&name);
    match name {
        REPORT => format!("`dunlin evaluate {run}`"),
        crate::stages::INT8_MODEL => format!("`dunlin quantize {run}`"),
        _ if made_in_training => "train again".to_owned(),
        _ => format!("`dunlin package {run}`"),
    }
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
