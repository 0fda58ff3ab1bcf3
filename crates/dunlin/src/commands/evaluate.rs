//! `dunlin evaluate`: how good a run's model is, and whether that is enough.

use super::run::RunArguments;
use crate::{Outcome, output};
use anyhow::{Context, Result};
use clap::Args;
use dunlin_host::data::Splits;
use dunlin_host::evaluate::{self, Evaluation};
use dunlin_host::recipe::Recipe;
use dunlin_host::runs::{self, Run};
use dunlin_host::stages;

#[derive(Args)]
#[command(after_help = "Example:
  dunlin evaluate latest

Exit status 1 when a gate of the recipe is not passed.")]
pub struct Arguments {
    #[command(flatten)]
    run: RunArguments,
    /// Print the evaluation as JSON
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub fn run(self) -> Result<Outcome> {
        let mut opened = self.run.open()?;
        let splits = self.run.load(&opened)?;
        let evaluation = evaluate(&mut opened.run, &opened.recipe, &splits)?;
        if self.json {
            output::json(&evaluation)?
        } else {
            print(&opened.run, &evaluation)?
        }
        Ok(Outcome::of(evaluation.passed()))
    }
}

/// Evaluates the model that is deployed, the int8 one where there is one, and keeps the result in the run.
pub fn evaluate(run: &mut Run, recipe: &Recipe, splits: &Splits) -> Result<Evaluation> {
    let path = stages::deployed_model(run);
    let model = stages::deployed(run)?;
    let evaluation =
        evaluate::evaluate(&model, recipe, splits).with_context(|| path.display().to_string())?;
    run.judge(&evaluation)?;
    Ok(evaluation)
}

/// Prints the measures, and how often the tests have been used by now.
pub fn print(run: &Run, evaluation: &Evaluation) -> Result<()> {
    let model = stages::deployed_model(run);
    output::line(format!("measured: {}", model.display()))?;
    output::line(evaluate::table::text(evaluation).trim_end())?;
    output::line(match run.record.test_uses {
        1 => "the test parts were used for the first time".to_owned(),
        uses => format!(
            "the test parts have been used {uses} times: choosing by them now would flatter the model"
        ),
    })?;
    output::line(run.path(runs::REPORT).display())
}
