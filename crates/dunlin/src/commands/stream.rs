//! `dunlin stream`: feeds data to a device as if its own sensor had measured it.

use super::fleet::FleetArguments;
use super::recipe::RecipeArguments;
use crate::Outcome;
use crate::output::{self, Bar};
use anyhow::{Context, Result};
use clap::Args;
use dunlin_host::data::Examples;
use dunlin_host::stream::{self, StreamOptions, Streamed, stream};
use dunlin_link::Link;
use dunlin_wire::schema::Schema;

#[derive(Args)]
#[command(after_help = "Example:
  dunlin stream models/occupancy --data DIR --part datatest --to local

Times are those of the data: a week of it passes in seconds.")]
pub struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    /// Which part of the data: train, validation, or a test's name
    #[arg(long)]
    part: String,
    /// The device: its name in the fleet, or an address (tcp:HOST:PORT, unix:PATH, serial:PATH[:BAUD])
    #[arg(long)]
    to: String,
    /// Leave the last, unfinished monitoring window open
    #[arg(long)]
    keep_window: bool,
    #[command(flatten)]
    fleet: FleetArguments,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub fn run(self) -> Result<Outcome> {
        let recipe = self.recipe.read()?;
        let splits = self.recipe.load(&recipe)?;
        let examples = part(&splits, &self.part)?;
        let address = self.fleet.address(&self.to)?;
        let device = || format!("device {} at {address}", self.to);
        let _turn = self.fleet.turn(&self.to)?;
        let mut link =
            Link::open(&address).with_context(|| super::fleet::silent(&self.to, &address))?;
        self.check_schema(&mut link, examples)
            .with_context(device)?;
        let options = StreamOptions {
            close_window: !self.keep_window,
            ..StreamOptions::default()
        };
        let bar = Bar::new("stream", examples.len() as u64);
        let done = stream(&mut link, examples, &options, &mut |streamed| {
            bar.set(streamed.samples)
        });
        drop(bar);
        self.print(done.with_context(device)?)?;
        Ok(Outcome::Done)
    }

    /// Refuses data whose channels are not those of the model on the device, where its bundle is known here.
    fn check_schema(&self, link: &mut Link, examples: &Examples) -> Result<()> {
        let Some(bundle) = link.info()?.bundle else {
            return Ok(());
        };
        let Some(section) = self.fleet.bundle_schema(bundle.id)? else {
            output::warning(format!(
                "bundle {} was not flashed from {}: the names of its channels are not known here, only their number is checked",
                bundle.id,
                self.fleet.fleet.display()
            ));
            return Ok(());
        };
        let model = Schema::parse(&section)
            .map_err(|error| anyhow::anyhow!("the schema of bundle {}: {error}", bundle.id))?;
        Ok(stream::check_schema(&examples.schema, &model)?)
    }

    fn print(&self, done: Streamed) -> Result<()> {
        if self.json {
            return output::json(&serde_json::json!({
                "part": self.part, "samples": done.samples, "windows_closed": done.windows_closed,
            }));
        }
        output::line(format!(
            "{} samples, {} monitoring windows",
            done.samples, done.windows_closed
        ))
    }
}

/// The part of a data set with this name.
pub fn part<'a>(splits: &'a dunlin_host::data::Splits, name: &str) -> Result<&'a Examples> {
    let tests = || {
        splits
            .tests
            .iter()
            .find(|(test, _)| test == name)
            .map(|(_, examples)| examples)
    };
    let found = match name {
        "train" => Some(&splits.train),
        "validation" => Some(&splits.validation),
        _ => tests(),
    };
    found.with_context(|| {
        let names: Vec<&str> = splits.tests.iter().map(|(test, _)| test.as_str()).collect();
        format!(
            "no part `{name}`; there are train, validation, {}",
            names.join(", ")
        )
    })
}
