//! `dunlin runs`: what was trained, and how it compares.

use super::run::RootArguments;
use crate::{Outcome, output};
use anyhow::Result;
use clap::{Args, Subcommand};
use dunlin_host::evaluate::table;
use dunlin_host::runs::{self, Broken, Comparison, MeasureDifference, Record};

#[derive(Subcommand)]
pub enum Command {
    /// List all runs, newest last
    #[command(after_help = "Example:\n  dunlin runs list")]
    List(List),
    /// Show one run's record
    #[command(after_help = "Example:\n  dunlin runs show latest")]
    Show(Show),
    /// Compare two runs: settings that differ, measures with their intervals
    #[command(after_help = "Example:\n  dunlin runs compare occupancy-2026 latest")]
    Compare(Compare),
}

#[derive(Args)]
pub struct List {
    #[command(flatten)]
    root: RootArguments,
    /// Print the records as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct Show {
    /// The run
    run: String,
    #[command(flatten)]
    root: RootArguments,
}

#[derive(Args)]
pub struct Compare {
    /// One run
    first: String,
    /// Another
    second: String,
    #[command(flatten)]
    root: RootArguments,
    /// Print the comparison as JSON
    #[arg(long)]
    json: bool,
}

impl Command {
    pub fn run(self) -> Result<Outcome> {
        match self {
            Command::List(list) => list.run()?,
            Command::Show(show) => output::json(&show.root.find(&show.run)?.record)?,
            Command::Compare(compare) => compare.run()?,
        }
        Ok(Outcome::Done)
    }
}

impl List {
    fn run(self) -> Result<()> {
        let listing = runs::list(&self.root.runs)?;
        if self.json {
            return output::json(&listing);
        }
        let mut rows = vec![
            ["run", "algorithm", "accuracy", "gates"]
                .map(str::to_owned)
                .to_vec(),
        ];
        rows.extend(listing.records.iter().map(row));
        rows.extend(listing.broken.iter().map(broken_row));
        output::line(table::aligned(&rows).trim_end())
    }
}

fn row(record: &Record) -> Vec<String> {
    let (accuracy, gates) = match &record.evaluation {
        Some(evaluation) => {
            let tests = evaluation.tests.iter();
            let accuracies: Vec<String> = tests
                .map(|test| format!("{} {:.3}", test.name, test.metrics.accuracy.value))
                .collect();
            (
                accuracies.join(", "),
                if evaluation.passed() {
                    "passed"
                } else {
                    "not passed"
                },
            )
        }
        None => ("-".to_owned(), "not evaluated"),
    };
    vec![
        record.id.clone(),
        record.algorithm.clone(),
        accuracy,
        gates.to_owned(),
    ]
}

/// A run that cannot be read: its reason in place of its measures.
fn broken_row(broken: &Broken) -> Vec<String> {
    [broken.id.as_str(), "broken", broken.reason.as_str()]
        .map(str::to_owned)
        .to_vec()
}

impl Compare {
    fn run(self) -> Result<()> {
        let first = self.root.find(&self.first)?.record;
        let second = self.root.find(&self.second)?.record;
        let comparison = runs::compare(&first, &second);
        if self.json {
            return output::json(&comparison);
        }
        output::line(format!("{}\n{}", first.id, second.id))?;
        if !comparison.same_data {
            output::line("the two runs learnt from different data")?;
        }
        output::line(table::aligned(&settings(&comparison)).trim_end())?;
        output::line(table::aligned(&measures(&comparison)).trim_end())?;
        match &first.evaluation {
            Some(evaluation) => output::line(table::intervals(evaluation).trim_end()),
            None => Ok(()),
        }
    }
}

/// The settings that differ, a row each.
fn settings(comparison: &Comparison) -> Vec<Vec<String>> {
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let differences = comparison.settings.iter();
    differences
        .map(|difference| {
            vec![
                difference.key.clone(),
                shown(&difference.first),
                shown(&difference.second),
            ]
        })
        .collect()
}

/// Every measure of both, with intervals; `apart` where the intervals do not meet.
fn measures(comparison: &Comparison) -> Vec<Vec<String>> {
    let row = |difference: &MeasureDifference| {
        vec![
            difference.test.clone(),
            difference.measure.clone(),
            table::estimate(&difference.first),
            table::estimate(&difference.second),
            if difference.apart { "apart" } else { "" }.to_owned(),
        ]
    };
    comparison.measures.iter().map(row).collect()
}
