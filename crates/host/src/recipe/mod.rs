//! Recipes: the TOML file from which a model can be made again.
//!
//! Runs on the workstation. A recipe is parsed dumbly into the types here and validated once, in
//! [`Recipe::parse`]; every problem is reported with its file, line, column and key. What holds of a
//! validated recipe need not be checked again.
//!
//! ```no_run
//! use dunlin_host::recipe::{Algorithm, Recipe};
//! let recipe = Recipe::read("models/occupancy/recipe.toml".as_ref())?.with_algorithm(Algorithm::Forest);
//! println!("{} {}", recipe.name, recipe.hash());
//! # Ok::<(), dunlin_host::recipe::RecipeError>(())
//! ```
//!
//! **Architecture invariants.** No section reads data or knows how it is used; unknown keys are
//! errors; a default that changes a model stands in the type's `Default` and takes part in the hash.

mod data;
mod device;
mod error;
mod model;
mod period;
mod position;
mod simulation;
mod validate;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use data::{
    Column, ColumnKind, Data, Duplicates, Format, Order, Policy, Split, SplitKind, Target,
    TestFile, Time, Value, Window,
};
pub use device::{Deploy, Monitor};
pub use error::{Problem, RecipeError};
pub use model::{
    Algorithm, ClassWeights, Demand, Feature, Forest, Gates, Logistic, Mlp, Quantize, Scheme,
    Statistic, Train, UnknownAlgorithm,
};
pub use period::{Period, PeriodError};
pub use simulation::Simulation;

use position::Positions;

/// A recipe, read and validated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The model's name: `a-z`, `0-9` and `-`.
    pub name: String,
    /// The version of the bundle, from 1; a device takes only newer ones.
    pub version: u32,
    /// One line for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// `[data]`
    pub data: Data,
    /// `[target]`
    pub target: Target,
    /// `[split]`
    pub split: Split,
    /// `[[features]]`, in order.
    #[serde(default)]
    pub features: Vec<Feature>,
    /// `[train]`
    pub train: Train,
    /// `[gates]`
    #[serde(default)]
    pub gates: Gates,
    /// `[quantize]`
    #[serde(default)]
    pub quantize: Quantize,
    /// `[monitor]`
    pub monitor: Monitor,
    /// `[deploy]`
    #[serde(default)]
    pub deploy: Deploy,
    #[serde(skip)]
    path: PathBuf,
}

impl Recipe {
    /// Reads a recipe, given its path or that of the folder with a `recipe.toml`.
    ///
    /// # Errors
    /// [`RecipeError::Read`] when there is no such file, [`RecipeError::Invalid`] with every
    /// problem found.
    pub fn read(path: &Path) -> Result<Recipe, RecipeError> {
        let path = if path.is_dir() {
            path.join("recipe.toml")
        } else {
            path.to_owned()
        };
        let text = std::fs::read_to_string(&path).map_err(|source| RecipeError::Read {
            path: path.clone(),
            source,
        })?;
        Recipe::parse(&text, &path)
    }

    /// Parses and validates the text of a recipe; `path` is named in errors and remembered.
    ///
    /// # Errors
    /// [`RecipeError::Invalid`] with every problem found.
    pub fn parse(text: &str, path: &Path) -> Result<Recipe, RecipeError> {
        let positions = Positions::of(text);
        let mut recipe: Recipe = toml::from_str(text).map_err(|error| RecipeError::Invalid {
            problems: vec![positions.syntax_problem(path, &error)],
        })?;
        recipe.path = path.to_owned();
        let problems = validate::problems(&recipe, &positions);
        if problems.is_empty() {
            Ok(recipe)
        } else {
            Err(RecipeError::Invalid { problems })
        }
    }

    /// The same recipe with another algorithm.
    pub fn with_algorithm(mut self, algorithm: Algorithm) -> Recipe {
        self.train.algorithm = algorithm;
        self
    }

    /// The file the recipe was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of the recipe, in which data files are looked for unless told otherwise.
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// SHA-256 in hex of what the recipe says: defaults are filled in, comments, order of keys
    /// and file name do not matter.
    pub fn hash(&self) -> String {
        let canonical = serde_json::to_vec(self).unwrap_or_default();
        crate::data::hex(&Sha256::digest(canonical))
    }

    /// The recipe as TOML with every default written out.
    ///
    /// # Errors
    /// A number that TOML cannot hold; a validated recipe has none.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }
}

#[cfg(test)]
mod tests;
