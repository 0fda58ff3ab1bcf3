//! Python neighbours that tests compare with.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// An interpreter that has `package`: `DUNLIN_PYTHON`, then the one under `target/`. Says that a test is skipped when
/// there is none.
pub(crate) fn with(package: &str) -> Option<PathBuf> {
    let set = std::env::var_os("DUNLIN_PYTHON").map(PathBuf::from);
    let local = PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../target/python/bin/python"
    ));
    let has = |python: &PathBuf| {
        let found = Command::new(python)
            .args(["-c", &format!("import {package}")])
            .stderr(Stdio::null())
            .status();
        found.is_ok_and(|status| status.success())
    };
    let python = set.into_iter().chain([local]).find(has);
    if python.is_none() {
        eprintln!("skipped: no Python with {package} found (DUNLIN_PYTHON, target/python)");
    }
    python
}

/// What a program prints as JSON when it is given JSON.
pub(crate) fn json(command: &mut Command, input: &serde_json::Value) -> serde_json::Value {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.to_string().as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}
