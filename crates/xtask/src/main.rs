//! The project's own chores: `cargo xtask setup`, `cargo xtask test`, `cargo xtask build TARGET`.
//!
//! Runs on the workstation, depends on nothing but the standard library, so that it compiles in seconds
//! on a machine that has Rust and nothing else.
//!
//! # Architecture invariants
//! - Every cross build goes through this program.
//! - Installs only what is missing, says what it installs, and asks first where a terminal is attached.
#![forbid(unsafe_code)]

mod bench;
mod cross;
mod measure;
mod setup;
mod test;

use std::process::ExitCode;

const HELP: &str = "\
Chores of the Dunlin workspace.

Usage: cargo xtask COMMAND

Commands:
  setup           install what the tests need: emulators, cross compilers, a Python environment
  build TARGET…   build for devices: qemu-cortex-m4f, nrf52840, linux-aarch64, linux-armv7, or all
  size TARGET…    build firmware and print its flash and RAM against the target's budgets
  measure BUNDLE PUBLIC_KEY
                  count the instructions of one inference and one monitored sample in the emulator
  bench FOLDER [TARGET]
                  build what `dunlin bench` measures with, around the plan in a folder
  check           build the image with which tests hold kernels and plans on the emulated core; prints its path
  test [FILTER]   set up, build for every device, run every test; exit 1 if one fails

Example:
  cargo xtask test
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        ["setup"] => setup::run().map(|()| true),
        ["build", names @ ..] => cross::build(names).map(|()| true),
        ["size", names @ ..] => cross::size(names),
        ["measure", bundle, key] => measure::run(bundle, key).map(|()| true),
        ["bench", folder] => bench::run(folder, "qemu-cortex-m4f").map(|()| true),
        ["bench", folder, target] => bench::run(folder, target).map(|()| true),
        ["check"] => cross::build_check().map(|image| {
            println!("{}", image.display());
            true
        }),
        ["test"] => test::run(None),
        ["test", filter] => test::run(Some(filter)),
        ["--help" | "-h" | "help"] | [] => {
            print!("{HELP}");
            Ok(true)
        }
        other => Err(format!(
            "unknown command `{}`; `cargo xtask --help` lists what there is",
            other.join(" ")
        )),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
    }
}
