//! Tells the library which compiler builds it, for the records of runs.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=RUSTC");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output();
    let version = output
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok());
    println!(
        "cargo::rustc-env=DUNLIN_RUSTC={}",
        version.as_deref().unwrap_or("unknown compiler").trim()
    );
}
