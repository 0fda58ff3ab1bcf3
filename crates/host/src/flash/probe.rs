//! Boards on a debug probe: probe-rs writes the firmware and the identity.

use std::path::Path;
use std::process::{Command, Stdio};

use super::process::{find_tool, image, missing};
use super::{FlashError, FlashOptions, Progress, Step, provision};

/// Memory region that holds a board's identity.
const PROVISION_REGION: &str = "provision";

/// The program that writes boards.
fn tool<'a>(options: &FlashOptions<'a>) -> &'a str {
    let launcher = &options.target.run.launcher;
    launcher.first().map_or("probe-rs", String::as_str)
}

/// Fails when the program that writes boards is not there.
pub(super) fn check_tool(options: &FlashOptions<'_>) -> Result<(), FlashError> {
    let tool = tool(options);
    match find_tool(tool) {
        Some(_) => Ok(()),
        None => Err(missing(tool)),
    }
}

/// Writes firmware and identity and restarts the board.
pub(super) fn write(
    options: &FlashOptions<'_>,
    progress: &mut dyn Progress,
) -> Result<(), FlashError> {
    let tool = tool(options);
    let image = image(options)?;
    let base = format!("{:#x}", provision_address(options)?);
    let identity = provision::path(options.state);
    let raw = ["--binary-format", "bin", "--base-address", base.as_str()];
    call(options, tool, "download", &[], Some(&image), progress)?;
    call(options, tool, "download", &raw, Some(&identity), progress)?;
    call(options, tool, "reset", &[], None, progress)
}

fn provision_address(options: &FlashOptions<'_>) -> Result<u64, FlashError> {
    let regions = &options.target.memory;
    let region = regions
        .iter()
        .find(|region| region.name == PROVISION_REGION);
    region
        .map(|region| region.origin)
        .ok_or_else(|| FlashError::Descriptor {
            target: options.target.name.clone(),
            key: "memory",
            expected: "a region named `provision` for the board's identity",
        })
}

/// The chip, from the command line that runs the firmware.
fn chip<'a>(options: &FlashOptions<'a>) -> Result<&'a str, FlashError> {
    let launcher = &options.target.run.launcher;
    let at = launcher.iter().position(|part| part == "--chip");
    at.and_then(|at| launcher.get(at + 1))
        .map(String::as_str)
        .ok_or_else(|| FlashError::Descriptor {
            target: options.target.name.clone(),
            key: "run.launcher",
            expected: "--chip with the chip's name, as `probe-rs chip list` prints it",
        })
}

fn call(
    options: &FlashOptions<'_>,
    tool: &str,
    verb: &str,
    arguments: &[&str],
    file: Option<&Path>,
    progress: &mut dyn Progress,
) -> Result<(), FlashError> {
    let mut command = vec![
        tool.to_owned(),
        verb.into(),
        "--chip".into(),
        chip(options)?.into(),
    ];
    command.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    command.extend(file.map(|file| file.display().to_string()));
    progress.step(Step::Running { command: &command });
    let output = Command::new(tool)
        .args(&command[1..])
        .stdin(Stdio::null())
        .output()
        .map_err(FlashError::io(tool))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(FlashError::Program {
        program: format!("{tool} {verb}"),
        status: output.status.to_string(),
        output: String::from_utf8_lossy(&said).into_owned(),
    })
}
