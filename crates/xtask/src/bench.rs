//! `cargo xtask bench FOLDER TARGET`: the images with which `dunlin bench` measures, built around what is in a folder.

use crate::cross;
use crate::setup;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Manifest of the plugin that counts.
const COUNTER: &str = "targets/qemu-cortex-m4f/counter/Cargo.toml";
/// What it makes.
const COUNTER_LIBRARY: &str = "release/libdunlin_counter.so";
/// First version of QEMU whose plugin interface has number 2; those before have 1.
const FIRST_WITH_INTERFACE_2: u32 = 9;

/// Builds the engine for a target around the plan in `folder`, the same without an engine, and the plugin that counts, and copies
/// them there as `bench.elf`, `stub.elf` and `counter.so`.
///
/// # Errors
/// Says which tool is missing and which package brings it, or which command failed.
pub fn run(folder: &str, target: &str) -> Result<(), String> {
    let folder = std::fs::canonicalize(folder).map_err(|error| format!("{folder}: {error}"))?;
    let target_folder = cross::target_folder();
    std::fs::create_dir_all(&target_folder).map_err(|error| wrong(&target_folder, &error))?;
    // Two benches at once would take each other's image: their names do not depend on the folder.
    let lock_path = target_folder.join("bench.lock");
    let lock = std::fs::File::create(&lock_path).map_err(|error| wrong(&lock_path, &error))?;
    lock.lock().map_err(|error| wrong(&lock_path, &error))?;
    let (image, stub) = cross::build_bench(&folder, target)?;
    let counter = build_counter(&target_folder)?;
    for (from, name) in [
        (image, "bench.elf"),
        (stub, "stub.elf"),
        (counter, "counter.so"),
    ] {
        std::fs::copy(&from, folder.join(name)).map_err(|error| wrong(&from, &error))?;
    }
    Ok(())
}

fn wrong(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

fn build_counter(target_folder: &Path) -> Result<PathBuf, String> {
    let mut cargo = Command::new("cargo");
    cargo
        .args(["build", "--quiet", "--release", "--manifest-path"])
        .arg(setup::root().join(COUNTER))
        .arg("--target-dir")
        .arg(target_folder)
        .env("DUNLIN_QEMU_PLUGIN_API", plugin_interface()?)
        .stdin(Stdio::null());
    setup::call(&mut cargo)?;
    Ok(target_folder.join(COUNTER_LIBRARY))
}

/// Number of the plugin interface of the QEMU that is installed.
fn plugin_interface() -> Result<&'static str, String> {
    let qemu = "qemu-system-arm";
    let output = Command::new(qemu).arg("--version").output();
    let output = output.map_err(|_| cross::missing(qemu, qemu))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let major = major_version(&text).ok_or_else(|| format!("{qemu} --version: {text}"))?;
    Ok(if major < FIRST_WITH_INTERFACE_2 {
        "1"
    } else {
        "2"
    })
}

fn major_version(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once("version ")?;
    rest.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_qemu_is_read() {
        let debian = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright";
        assert_eq!(major_version(debian), Some(7));
        assert_eq!(major_version("QEMU emulator version 10.0.2\n"), Some(10));
        assert_eq!(major_version("no emulator"), None);
    }
}
