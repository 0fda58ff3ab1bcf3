//! `dunlin data`: check data against a recipe, or propose a recipe for it.

use super::recipe::RecipeArguments;
use crate::{Outcome, output};
use anyhow::Result;
use clap::{Args, Subcommand};
use dunlin_host::data::{self, CheckOptions, CheckReport};
use dunlin_host::words::counted;
use std::path::PathBuf;

#[derive(Subcommand)]
pub enum Command {
    /// Check the data of a recipe: types, ranges, nulls, duplicates, times, leakage
    #[command(
        after_help = "Example:\n  dunlin data check models/occupancy --data DIR\n\nExit status 1 when a rule is broken."
    )]
    Check(Check),
    /// Look at a CSV or Parquet file and propose the start of a recipe
    #[command(after_help = "Example:\n  dunlin data infer measurements.csv > recipe.toml")]
    Infer(Infer),
}

#[derive(Args)]
pub struct Check {
    #[command(flatten)]
    recipe: RecipeArguments,
    /// Findings shown per file, column and rule; all are counted
    #[arg(long, default_value_t = 20)]
    show: usize,
    /// Print the whole report as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct Infer {
    /// The file to look at
    file: PathBuf,
    /// Print the proposal as JSON
    #[arg(long)]
    json: bool,
}

impl Command {
    pub fn run(self) -> Result<Outcome> {
        match self {
            Command::Check(check) => check.run(),
            Command::Infer(infer) => infer.run(),
        }
    }
}

impl Check {
    fn run(self) -> Result<Outcome> {
        let recipe = self.recipe.read()?;
        let options = CheckOptions {
            data_dir: self.recipe.data.clone(),
            kept: self.show,
        };
        let report = data::check(&recipe, &options)?;
        if self.json {
            output::json(&report)?
        } else {
            print(&report)?
        }
        Ok(Outcome::of(report.passed()))
    }
}

/// Prints the findings, a line per file, and the verdict.
pub fn print(report: &CheckReport) -> Result<()> {
    for finding in &report.findings {
        output::line(format!("{}: {finding}", finding.severity.name()))?;
    }
    for file in &report.files {
        let labels: Vec<String> = file
            .labels
            .iter()
            .map(|count| format!("{} {}", count.count, count.label))
            .collect();
        let dropped = if file.dropped > 0 {
            format!(", {} dropped", file.dropped)
        } else {
            String::new()
        };
        output::line(format!(
            "{} ({}): {} rows{dropped}; {}",
            file.file.display(),
            file.part,
            file.rows,
            labels.join(", ")
        ))?;
    }
    if let Some(hash) = &report.data_hash {
        output::line(format!("content sha256 {hash}"))?;
    }
    output::line(format!(
        "{}, {}",
        counted(report.errors(), "error"),
        counted(report.warnings(), "warning")
    ))
}

impl Infer {
    fn run(self) -> Result<Outcome> {
        let proposal = data::infer(&self.file)?;
        if self.json {
            output::json(&proposal)?
        } else {
            output::line(proposal)?
        }
        Ok(Outcome::Done)
    }
}
