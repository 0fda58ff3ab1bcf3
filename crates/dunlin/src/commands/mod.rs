//! Arguments of every command, and which library call each becomes.

mod bench;
mod build;
mod bundle;
mod collect;
mod data;
mod demo;
mod evaluate;
mod flash;
mod fleet;
mod keys;
mod model;
mod recipe;
mod report;
mod run;
mod runs;
mod stream;
mod train;
mod verify;

use crate::Outcome;
use anyhow::Result;
use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{Parser, Subcommand};
use std::path::PathBuf;

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
    /// See the whole loop on a simulated machine, in a few minutes
    Demo(demo::Arguments),
    /// Look at data: check it against a recipe, or propose a recipe for it
    #[command(subcommand)]
    Data(data::Command),
    /// Train what a recipe describes
    Train(train::Arguments),
    /// Measure a run's model on its test data, against the gates of the recipe
    Evaluate(evaluate::Arguments),
    /// Write a run's model as an ONNX file
    Export(model::Export),
    /// Turn a run's MLP into an int8 model
    Quantize(model::Quantize),
    /// Compile a model for a target, and see what it takes there
    Compile(model::Compile),
    /// Sign a bundle for a target
    Package(model::Package),
    /// All of that in one go: train, evaluate, quantize, calibrate, compile, package
    Build(build::Arguments),
    /// Run the same inputs on every backend and compare
    Verify(verify::Arguments),
    /// Measure what models cost on a device: instructions, cycles, memory, code
    Bench(bench::Arguments),
    /// Put a bundle on a device: a process, an emulated board, a board on a probe
    Flash(flash::Arguments),
    /// Feed data to a device as if its own sensor had measured it
    Stream(stream::Arguments),
    /// Take in what devices recorded
    Collect(collect::Arguments),
    /// Show what the fleet has been doing, and where it drifts
    Report(report::Arguments),
    /// List and compare runs
    #[command(subcommand)]
    Runs(runs::Command),
    /// Make keys that sign bundles
    #[command(subcommand)]
    Keys(keys::Command),
    /// Look into a signed bundle
    #[command(subcommand)]
    Bundle(bundle::Command),
    /// Be a device: run the agent in this process
    #[command(subcommand)]
    Agent(dunlin_agent::options::Action),
}

impl Cli {
    /// Runs the command that was asked for.
    ///
    /// # Errors
    /// Whatever the library says, with the file or device it was about.
    pub fn run(self) -> Result<Outcome> {
        match self.command {
            Command::Demo(arguments) => arguments.run(),
            Command::Data(command) => command.run(),
            Command::Train(arguments) => arguments.run(),
            Command::Evaluate(arguments) => arguments.run(),
            Command::Export(arguments) => arguments.run(),
            Command::Quantize(arguments) => arguments.run(),
            Command::Compile(arguments) => arguments.run(),
            Command::Package(arguments) => arguments.run(),
            Command::Build(arguments) => arguments.run(),
            Command::Verify(arguments) => arguments.run(),
            Command::Bench(arguments) => arguments.run(),
            Command::Flash(arguments) => arguments.run(),
            Command::Stream(arguments) => arguments.run(),
            Command::Collect(arguments) => arguments.run(),
            Command::Report(arguments) => arguments.run(),
            Command::Runs(command) => command.run(),
            Command::Keys(command) => command.run(),
            Command::Bundle(command) => command.run(),
            Command::Agent(dunlin_agent::options::Action::Run(options)) => {
                dunlin_agent::run(&options)?;
                Ok(Outcome::Done)
            }
        }
    }
}

/// A file that must be there, for what would otherwise be searched for elsewhere.
fn existing() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| match path.is_file() {
        true => Ok(path),
        false => Err("there is no such file"),
    })
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::CommandFactory;

    /// Which of the options that commands share a command takes.
    fn shared(path: &str) -> Vec<&'static str> {
        let mut command = Cli::command();
        command.build();
        let found = path.split(' ').fold(&command, |command, name| {
            command
                .find_subcommand(name)
                .unwrap_or_else(|| panic!("no `{name}` of `{path}`"))
        });
        let takes = |option: &str| found.get_arguments().any(|a| a.get_long() == Some(option));
        ["algorithm", "data", "fleet", "keys", "runs"]
            .into_iter()
            .filter(|option| takes(option))
            .collect()
    }

    #[test]
    fn a_command_takes_the_shared_options_that_it_uses_and_no_others() {
        for (path, options) in [
            ("data check", &["data"][..]),
            ("train", &["algorithm", "data", "runs"]),
            ("evaluate", &["data", "runs"]),
            ("export", &["runs"]),
            ("quantize", &["data", "runs"]),
            ("compile", &["runs"]),
            ("package", &["data", "keys", "runs"]),
            ("build", &["algorithm", "data", "keys", "runs"]),
            ("verify", &["data", "keys", "runs"]),
            ("flash", &["fleet", "keys", "runs"]),
            ("stream", &["data", "fleet"]),
            ("collect", &["fleet"]),
            ("report", &["fleet"]),
            ("keys new", &["keys"]),
            ("bundle show", &["keys"]),
        ] {
            assert_eq!(shared(path), options, "dunlin {path}");
        }
    }
}
