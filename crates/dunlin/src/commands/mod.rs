//! Arguments of every command, and which library call each becomes.

mod bundle;
mod collect;
mod data;
mod flash;
mod fleet;
mod keys;
mod recipe;
mod report;
mod stream;

use crate::Outcome;
use anyhow::Result;
use clap::{Parser, Subcommand};

/// From a data file to an ARM device and back.
#[derive(Parser)]
#[command(
    name = "dunlin",
    version,
    propagate_version = true,
    after_help = "Example:\n  dunlin demo\n\nExit status: 0 done, 1 checked and failed, 2 error."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Look at data: check it against a recipe, or propose a recipe for it
    #[command(subcommand)]
    Data(data::Command),
    /// Put a bundle on a device: a process, an emulated board, a board on a probe
    Flash(flash::Arguments),
    /// Feed data to a device as if its own sensor had measured it
    Stream(stream::Arguments),
    /// Take in what devices recorded
    Collect(collect::Arguments),
    /// Show what the fleet has been doing, and where it drifts
    Report(report::Arguments),
    /// Make keys that sign bundles
    #[command(subcommand)]
    Keys(keys::Command),
    /// Look into a signed bundle
    #[command(subcommand)]
    Bundle(bundle::Command),
}

impl Cli {
    /// Runs the command that was asked for.
    ///
    /// # Errors
    /// Whatever the library says, with the file or device it was about.
    pub fn run(self) -> Result<Outcome> {
        match self.command {
            Command::Data(command) => command.run(),
            Command::Flash(arguments) => arguments.run(),
            Command::Stream(arguments) => arguments.run(),
            Command::Collect(arguments) => arguments.run(),
            Command::Report(arguments) => arguments.run(),
            Command::Keys(command) => command.run(),
            Command::Bundle(command) => command.run(),
        }
    }
}
