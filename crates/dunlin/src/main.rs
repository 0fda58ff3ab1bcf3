//! The `dunlin` command: parse, call the library, print.
//!
//! Runs on the workstation. Exit status 0 done, 1 checked and failed, 2 error.
//!
//! # Architecture invariants
//! - Decides nothing that a library could decide; a command is arguments, one call, and words about its result.
//! - What a program may want is on standard output; progress and notices are on standard error.
#![forbid(unsafe_code)]

mod commands;
mod output;

use clap::Parser;
use std::process::ExitCode;

/// What a command came to.
pub enum Outcome {
    /// Everything asked for was done.
    Done,
    /// Something was checked and did not pass.
    Failed,
}

impl Outcome {
    /// `Done` if all is well.
    pub fn of(passed: bool) -> Self {
        if passed {
            Outcome::Done
        } else {
            Outcome::Failed
        }
    }
}

fn main() -> ExitCode {
    let cli = commands::Cli::parse();
    match cli.run() {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {}", output::causes(&error));
            ExitCode::from(2)
        }
    }
}
