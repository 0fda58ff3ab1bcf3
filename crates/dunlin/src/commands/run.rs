//! Arguments that several commands share: a run, and the data it was made from.

use super::recipe::load;
use crate::output;
use anyhow::{Context, Result};
use clap::Args;
use dunlin_host::data::Splits;
use dunlin_host::recipe::Recipe;
use dunlin_host::runs::{self, Run};
use std::path::{Path, PathBuf};

/// The file of a run that says where its data lay.
const DATA_DIR: &str = "data-dir.txt";

/// Which run.
#[derive(Args)]
pub struct RunName {
    /// The run: its id or the beginning of it, a model's name for its newest run, or `latest`
    pub run: String,
    #[command(flatten)]
    pub root: RootArguments,
}

/// Which run, and where its data lies.
#[derive(Args)]
pub struct RunArguments {
    #[command(flatten)]
    pub name: RunName,
    /// The folder of the data files; where they were in training unless given
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

#[derive(Args)]
pub struct RootArguments {
    /// The folder of all runs
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub runs: PathBuf,
}

impl RootArguments {
    /// The run with this id, this beginning of an id, or the newest of the model with this name.
    pub fn find(&self, name: &str) -> Result<Run> {
        let exact = self.runs.join(name);
        if exact.join(runs::RECORD).is_file() {
            return Ok(runs::read(&exact)?);
        }
        let listing = runs::list(&self.runs)?;
        for broken in &listing.broken {
            output::warning(format!("left out: {}", broken.reason));
        }
        let newest = listing
            .records
            .into_iter()
            .rev()
            .find(|record| record.name == name);
        let id = newest.map_or_else(|| name.to_owned(), |record| record.id);
        Ok(runs::load(&self.runs, &id)?)
    }
}

/// A run with its recipe, and its data where that was asked for.
pub struct Opened {
    pub run: Run,
    pub recipe: Recipe,
}

impl RunName {
    /// Finds the run and reads its recipe.
    pub fn open(&self) -> Result<Opened> {
        let run = self.root.find(&self.run)?;
        let recipe = Recipe::parse(&run.record.recipe, &run.path(runs::RECIPE))?;
        Ok(Opened { run, recipe })
    }
}

impl RunArguments {
    /// Finds the run and reads its recipe.
    pub fn open(&self) -> Result<Opened> {
        self.name.open()
    }

    /// Loads the run's data and makes sure that it is what the run was trained on.
    pub fn load(&self, opened: &Opened) -> Result<Splits> {
        let remembered = std::fs::read_to_string(opened.run.path(DATA_DIR))
            .ok()
            .map(PathBuf::from);
        let splits = load(&opened.recipe, self.data.clone().or(remembered))?;
        anyhow::ensure!(
            splits.data_hash == opened.run.record.data_hash,
            "the data has changed since {} was trained: content sha256 was {}, is {}; train again, or name the \
             folder with the data of then (--data DIR)",
            opened.run.record.id,
            opened.run.record.data_hash,
            splits.data_hash
        );
        Ok(splits)
    }
}

/// Writes down where the data of a run lies.
pub fn remember_data_dir(run: &mut Run, recipe: &Recipe, data: Option<&Path>) -> Result<()> {
    let folder = data.unwrap_or_else(|| recipe.folder());
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let folder = folder
        .canonicalize()
        .with_context(|| folder.display().to_string())?;
    run.add_file(DATA_DIR, folder.to_string_lossy().as_bytes())?;
    Ok(run.save()?)
}
