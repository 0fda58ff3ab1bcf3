//! The device of a demonstration: the emulated board where it can be, else a local process.

use crate::output::{self, Bar};
use anyhow::{Context, Result};
use clap::ValueEnum;
use dunlin_host::target::Target;
use std::path::Path;
use std::process::Command;

/// The target of the emulated board.
const BOARD: &str = "qemu-cortex-m4f";

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// The emulated board where its tools are installed, else a local process
    Auto,
    /// The emulated Cortex-M4F board
    Qemu,
    /// A process on this machine that runs the same runtime
    Local,
}

/// The target asked for; the emulated board where it can be built and run.
pub fn choose(kind: Kind) -> Result<Target> {
    match kind {
        Kind::Qemu => {
            check_source()?;
            check_tools()?;
            board()
        }
        Kind::Local => {
            output::line(
                "device: a local process; `dunlin demo --device qemu` takes the emulated Cortex-M4F board",
            )?;
            Ok(Target::find("local")?)
        }
        Kind::Auto => match check_source().and_then(|()| check_tools()) {
            Ok(()) => board().or_else(|error| instead_of_the_board(&format!("{error:#}"))),
            Err(error) => instead_of_the_board(&error.to_string()),
        },
    }
}

/// The firmware is built from source, which is looked for where the command was called.
fn check_source() -> Result<()> {
    anyhow::ensure!(
        Path::new("crates/xtask").is_dir() && Path::new("targets").join(BOARD).is_dir(),
        "the board's firmware is built from Dunlin's source, and the current folder is not its source: go to the \
         folder of the repository, or take --device local"
    );
    Ok(())
}

fn check_tools() -> Result<()> {
    let on_path = |program: &&str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    };
    let missing: Vec<&str> = ["qemu-system-arm", "arm-none-eabi-ld", "cargo"]
        .into_iter()
        .filter(|program| !on_path(program))
        .collect();
    anyhow::ensure!(
        missing.is_empty(),
        "missing for the emulated board: {}; `cargo xtask setup` installs it",
        missing.join(", ")
    );
    Ok(())
}

/// The emulated board, its firmware built.
fn board() -> Result<Target> {
    build_firmware()?;
    Ok(Target::find(BOARD)?)
}

/// The local process, with the reason why it is not the board, and how to get that.
fn instead_of_the_board(reason: &str) -> Result<Target> {
    output::line(format!(
        "device: a local process, not the emulated Cortex-M4F board: {reason}"
    ))?;
    Ok(Target::find("local")?)
}

/// Builds the firmware through the one place for cross builds.
fn build_firmware() -> Result<()> {
    output::line(
        "device: the emulated Cortex-M4F board mps2-an386 in QEMU; `--device local` takes a local process",
    )?;
    let bar = Bar::new("building the firmware (about a minute the first time)", 0);
    let output = Command::new("cargo")
        .args(["xtask", "build", BOARD])
        .output()
        .context("cargo xtask build")?;
    drop(bar);
    anyhow::ensure!(
        output.status.success(),
        "cargo xtask build {BOARD}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
