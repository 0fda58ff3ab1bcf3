//! Arguments that several commands share: a recipe and where its data lies.

use anyhow::Result;
use clap::Args;
use dunlin_host::data::{self, LoadOptions, Splits};
use dunlin_host::recipe::{Algorithm, Recipe};
use std::path::PathBuf;

use crate::output::Bar;

#[derive(Args)]
pub struct RecipeArguments {
    /// The recipe, or the folder with a recipe.toml
    pub recipe: PathBuf,
    /// The folder of the data files; the recipe's own folder unless given
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// What a command that trains may override.
#[derive(Args)]
pub struct AlgorithmArguments {
    /// Train with this algorithm instead of the recipe's: logistic, forest, mlp
    #[arg(long)]
    pub algorithm: Option<Algorithm>,
}

impl RecipeArguments {
    /// Reads the recipe.
    pub fn read(&self) -> Result<Recipe> {
        Ok(Recipe::read(&self.recipe)?)
    }

    /// Loads, checks and splits the recipe's data, with a progress line.
    pub fn load(&self, recipe: &Recipe) -> Result<Splits> {
        load(recipe, self.data.clone())
    }
}

impl AlgorithmArguments {
    /// The recipe with what the command line overrides.
    pub fn apply(&self, recipe: Recipe) -> Recipe {
        match self.algorithm {
            Some(algorithm) => recipe.with_algorithm(algorithm),
            None => recipe,
        }
    }
}

/// Loads, checks and splits a recipe's data, with a progress line.
pub fn load(recipe: &Recipe, data_dir: Option<PathBuf>) -> Result<Splits> {
    let bar = Bar::new("data", 0);
    let progress = |progress: data::Progress<'_>| {
        bar.say(format!("data: {} rows of {}", progress.rows, progress.file))
    };
    let options = LoadOptions {
        data_dir,
        progress: Some(&progress),
    };
    Ok(data::load(recipe, &options)?)
}
