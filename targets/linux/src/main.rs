//! The agent as a program of its own.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    dunlin_agent::main_with(std::env::args_os())
}
