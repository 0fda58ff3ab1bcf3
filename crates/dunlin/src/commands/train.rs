//! `dunlin train`: from a recipe to a run.

use super::recipe::{AlgorithmArguments, RecipeArguments};
use super::run::{RootArguments, remember_data_dir};
use crate::Outcome;
use crate::output::{self, Bar};
use anyhow::Result;
use clap::Args;
use dunlin_host::data::Splits;
use dunlin_host::recipe::Recipe;
use dunlin_host::runs::{self, Run};
use dunlin_host::train;
use std::path::Path;

#[derive(Args)]
#[command(after_help = "Examples:
  dunlin train models/occupancy --data DIR
  dunlin train models/occupancy --data DIR --algorithm forest")]
pub struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    #[command(flatten)]
    algorithm: AlgorithmArguments,
    #[command(flatten)]
    root: RootArguments,
    /// Print the run's record as JSON
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub fn run(self) -> Result<Outcome> {
        let recipe = self.algorithm.apply(self.recipe.read()?);
        let splits = self.recipe.load(&recipe)?;
        let mut run = train(&self.root.runs, &recipe, &splits)?;
        remember_data_dir(&mut run, &recipe, self.recipe.data.as_deref())?;
        if self.json {
            output::json(&run.record)?;
        } else {
            output::line(format!(
                "trained {} on {} examples, {} to tune",
                run.record.algorithm,
                splits.train.len(),
                splits.validation.len()
            ))?;
            output::line(run.folder.display())?;
        }
        Ok(Outcome::Done)
    }
}

/// Trains with a progress bar and makes the run's folder.
pub fn train(root: &Path, recipe: &Recipe, splits: &Splits) -> Result<Run> {
    let bar = Bar::new("train", 0);
    let trained = train::train(recipe, splits, &mut |progress: train::Progress| {
        bar.set_total(progress.total as u64);
        bar.set(progress.done as u64);
        if let Some(loss) = progress.validation_loss {
            bar.say(format!("train: validation loss {loss:.4}, pass"));
        }
    })?;
    Ok(runs::create(root, recipe, splits, &trained)?)
}
