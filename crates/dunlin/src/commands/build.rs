//! `dunlin build`: everything from a recipe to signed bundles in one go.

use super::fleet::FleetArguments;
use super::model::{DEFAULT_KEY, against_budget, signing_key, targets, warn_of_same_version};
use super::recipe::RecipeArguments;
use super::run::{RootArguments, remember_data_dir};
use super::{evaluate, train};
use crate::{Outcome, output};
use anyhow::{Context, Result};
use clap::Args;
use dunlin_host::data::Splits;
use dunlin_host::keys::SecretKey;
use dunlin_host::recipe::{Algorithm, Recipe};
use dunlin_host::runs::Run;
use dunlin_host::stages::{self, PackageOptions};
use dunlin_host::target::Target;

#[derive(Args)]
#[command(after_help = "Example:
  dunlin build models/occupancy --data DIR

Exit status 1 when a gate of the recipe is not passed; nothing is packaged then.")]
pub struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    #[command(flatten)]
    root: RootArguments,
    /// Build for this target; for every target of the recipe unless given
    #[arg(long)]
    target: Option<String>,
    /// Name of the signing key
    #[arg(long, default_value = DEFAULT_KEY)]
    key: String,
    #[command(flatten)]
    fleet: FleetArguments,
}

impl Arguments {
    pub fn run(self) -> Result<Outcome> {
        let recipe = self.recipe.read()?;
        let targets = targets(&recipe, self.target.as_deref())?;
        let splits = self.recipe.load(&recipe)?;
        let mut run = train::train(&self.root.runs, &recipe, &splits)?;
        remember_data_dir(&mut run, &recipe, self.recipe.data.as_deref())?;
        quantize(&mut run, &recipe, &splits)?;
        let evaluation = evaluate::evaluate(&mut run, &recipe, &splits)?;
        evaluate::print(&run, &evaluation)?;
        if !evaluation.passed() {
            output::line("a gate is not passed: nothing was packaged")?;
            return Ok(Outcome::Failed);
        }
        let key = signing_key(&self.fleet.keys, &self.key)?;
        bundles(&mut run, &recipe, &splits, &targets, &key)?;
        Ok(Outcome::Done)
    }
}

/// Quantizes a model that has dense layers.
pub fn quantize(run: &mut Run, recipe: &Recipe, splits: &Splits) -> Result<()> {
    if recipe.train.algorithm != Algorithm::Mlp {
        return Ok(());
    }
    let report = stages::quantize(run, recipe, splits)?;
    output::line(report.to_string().trim_end())
}

/// Calibrates, and makes a bundle for every target.
pub fn bundles(
    run: &mut Run,
    recipe: &Recipe,
    splits: &Splits,
    targets: &[Target],
    key: &SecretKey,
) -> Result<()> {
    let account = stages::calibrate(run, recipe, splits)?;
    output::line(account.to_string().trim_end())?;
    for target in targets {
        let options = PackageOptions {
            recipe,
            splits,
            target,
            key,
        };
        let packaged =
            stages::package(run, &options).with_context(|| format!("for {}", target.name))?;
        warn_of_same_version(&packaged);
        output::line(against_budget(&packaged.report, target))?;
        output::line(format!(
            "bundle {} ({} B) {}",
            packaged.id,
            packaged.bytes,
            packaged.path.display()
        ))?;
    }
    Ok(())
}
