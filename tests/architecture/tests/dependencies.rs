//! Who may know whom, kept over `cargo metadata`.

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Every package of the project, and the packages of the project that it may depend on.
const ALLOWED: &[(&str, &[&str])] = &[
    ("dunlin-wire", &[]),
    ("dunlin-kernels", &[]),
    ("dunlin-engine", &["dunlin-kernels"]),
    ("dunlin-monitor", &["dunlin-wire"]),
    ("dunlin-link", &["dunlin-wire"]),
    (
        "dunlin-runtime",
        &["dunlin-wire", "dunlin-engine", "dunlin-monitor"],
    ),
    ("dunlin-firmware", &["dunlin-wire", "dunlin-runtime"]),
    (
        "dunlin-agent",
        &[
            "dunlin-wire",
            "dunlin-engine",
            "dunlin-kernels",
            "dunlin-monitor",
            "dunlin-runtime",
        ],
    ),
    (
        "dunlin-qemu-cortex-m4f",
        &[
            "dunlin-wire",
            "dunlin-engine",
            "dunlin-kernels",
            "dunlin-monitor",
            "dunlin-runtime",
            "dunlin-firmware",
        ],
    ),
    (
        "dunlin-nrf52840",
        &[
            "dunlin-wire",
            "dunlin-engine",
            "dunlin-kernels",
            "dunlin-monitor",
            "dunlin-runtime",
            "dunlin-firmware",
        ],
    ),
    (
        "dunlin-host",
        &[
            "dunlin-wire",
            "dunlin-engine",
            "dunlin-kernels",
            "dunlin-monitor",
            "dunlin-link",
        ],
    ),
    (
        "dunlin-fleet",
        &["dunlin-wire", "dunlin-monitor", "dunlin-link"],
    ),
    (
        "dunlin",
        &[
            "dunlin-wire",
            "dunlin-host",
            "dunlin-fleet",
            "dunlin-agent",
            "dunlin-link",
        ],
    ),
    ("xtask", &[]),
];

/// Manifests that are workspaces of their own.
const OUTSIDE: &[&str] = &[
    "targets/qemu-cortex-m4f/Cargo.toml",
    "targets/qemu-cortex-m4f/counter/Cargo.toml",
    "targets/nrf52840/Cargo.toml",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Pairs of package and normal or build dependency, within the project.
fn edges(manifest: &Path) -> BTreeSet<(String, String)> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
            "--manifest-path",
        ])
        .arg(manifest)
        .output()
        .expect("cargo runs");
    let metadata: Value =
        serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    packages.iter().flat_map(package_edges).collect()
}

fn package_edges(package: &Value) -> Vec<(String, String)> {
    let name = package["name"].as_str().unwrap_or_default().to_owned();
    let dependencies = package["dependencies"].as_array().into_iter().flatten();
    let inside = dependencies
        .filter(|dependency| dependency["kind"] != "dev" && !dependency["path"].is_null());
    inside
        .map(|dependency| {
            (
                name.clone(),
                dependency["name"].as_str().unwrap_or_default().to_owned(),
            )
        })
        .collect()
}

fn forbidden(edges: &BTreeSet<(String, String)>) -> Vec<String> {
    let is_allowed = |from: &str, to: &str| {
        ALLOWED
            .iter()
            .any(|(name, may_know)| *name == from && may_know.contains(&to))
            || from.starts_with("test-")
    };
    edges
        .iter()
        .filter(|(from, to)| !is_allowed(from, to))
        .map(|(from, to)| format!("{from} -> {to}"))
        .collect()
}

#[test]
fn crates_know_only_whom_they_may() {
    let mut all = edges(&root().join("Cargo.toml"));
    for manifest in OUTSIDE {
        all.extend(edges(&root().join(manifest)));
    }
    assert!(all.len() >= 15, "too few edges to mean anything: {all:?}");
    assert_eq!(forbidden(&all), Vec::<String>::new());
}

#[test]
fn a_forbidden_dependency_is_noticed() {
    let wrong = [("dunlin-engine".to_owned(), "dunlin-monitor".to_owned())];
    assert_eq!(
        forbidden(&wrong.into()),
        ["dunlin-engine -> dunlin-monitor"]
    );
}
