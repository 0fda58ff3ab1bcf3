//! `dunlin bundle`: what is in a signed bundle.

use super::fleet::KeysArguments;
use crate::{Outcome, output};
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Subcommand)]
pub enum Command {
    /// Verify a bundle and show what it says
    #[command(after_help = "Example:\n  dunlin bundle show runs/RUN/occupancy-local.bundle")]
    Show(Show),
}

#[derive(Args)]
pub struct Show {
    /// The bundle
    bundle: PathBuf,
    #[command(flatten)]
    keys: KeysArguments,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

impl Command {
    pub fn run(self) -> Result<Outcome> {
        let Command::Show(show) = self;
        let bytes =
            std::fs::read(&show.bundle).with_context(|| show.bundle.display().to_string())?;
        let trusted = show.keys.trusted()?;
        let shown = dunlin_host::package::show(&bytes, &trusted)
            .with_context(|| show.bundle.display().to_string())?;
        if show.json {
            output::json(&shown)?
        } else {
            output::line(shown)?
        }
        Ok(Outcome::Done)
    }
}
