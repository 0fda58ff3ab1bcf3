//! `dunlin build`: everything from a recipe to signed bundles in one go.

use super::fleet::KeysArguments;
use super::model::{self, Bundle, BundleOptions, DEFAULT_KEY, signing_key, targets};
use super::recipe::{AlgorithmArguments, RecipeArguments};
use super::run::{RootArguments, remember_data_dir};
use super::{evaluate, train};
use crate::{Outcome, output};
use anyhow::{Context, Result};
use clap::Args;
use dunlin_host::data::Splits;
use dunlin_host::evaluate::Evaluation;
use dunlin_host::quantize::QuantizeReport;
use dunlin_host::recipe::{Algorithm, Recipe};
use dunlin_host::runs::{self, Run};
use dunlin_host::stages;
use std::fmt::Display;

#[derive(Args)]
#[command(after_help = "Example:
  dunlin build models/occupancy --data DIR

Exit status 1 when a gate of the recipe is not passed; nothing is packaged then.")]
pub struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    #[command(flatten)]
    algorithm: AlgorithmArguments,
    #[command(flatten)]
    root: RootArguments,
    /// Build for this target; for every target of the recipe unless given
    #[arg(long)]
    target: Option<String>,
    /// Name of the signing key
    #[arg(long, default_value = DEFAULT_KEY)]
    key: String,
    #[command(flatten)]
    keys: KeysArguments,
    /// Print the evaluation and the bundles as JSON
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub fn run(self) -> Result<Outcome> {
        let recipe = self.algorithm.apply(self.recipe.read()?);
        let targets = targets(&recipe, self.target.as_deref())?;
        let splits = self.recipe.load(&recipe)?;
        let mut run = train::train(&self.root.runs, &recipe, &splits)?;
        remember_data_dir(&mut run, &recipe, self.recipe.data.as_deref())?;
        let quantized = quantize(&mut run, &recipe, &splits)?;
        quantized.map_or(Ok(()), |report| self.say(report))?;
        let evaluation = evaluate::evaluate(&mut run, &recipe, &splits)?;
        if !self.json {
            evaluate::print(&run, &evaluation)?;
        }
        if !evaluation.passed() {
            self.say("a gate is not passed: nothing was packaged")?;
            return self.end(&run, &evaluation, &[]);
        }
        self.say(model::calibrate(&mut run, &recipe, &splits)?)?;
        let key = signing_key(&self.keys.keys, &self.key)?;
        let options = BundleOptions {
            recipe: &recipe,
            splits: &splits,
            key: &key,
        };
        let bundles = model::bundles(&mut run, &targets, &options)?;
        self.end(&run, &evaluation, &bundles)
    }

    /// A line for people.
    fn say(&self, text: impl Display) -> Result<()> {
        match self.json {
            true => Ok(()),
            false => output::line(text.to_string().trim_end()),
        }
    }

    fn end(&self, run: &Run, evaluation: &Evaluation, bundles: &[Bundle<'_>]) -> Result<Outcome> {
        if self.json {
            output::json(&serde_json::json!({
                "run": run.record.id,
                "folder": run.folder,
                "passed": evaluation.passed(),
                "evaluation": evaluation,
                "bundles": bundles.iter().map(Bundle::json).collect::<Vec<_>>(),
            }))?;
        } else {
            bundles.iter().try_for_each(Bundle::print)?;
        }
        Ok(Outcome::of(evaluation.passed()))
    }
}

/// Quantizes a model that has dense layers; `None` for one that has none.
pub fn quantize(run: &mut Run, recipe: &Recipe, splits: &Splits) -> Result<Option<QuantizeReport>> {
    if recipe.train.algorithm != Algorithm::Mlp {
        return Ok(None);
    }
    let model = run.path(runs::MODEL);
    let report = stages::quantize(run, recipe, splits);
    Ok(Some(report.with_context(|| model.display().to_string())?))
}
