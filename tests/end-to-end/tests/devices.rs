//! One model through every kind of device: build, flash, stream, collect, report.

use serde_json::Value;
use std::path::Path;
use test_end_to_end::{Place, is_installed, root};

/// The demonstration's recipe with fewer sessions, and a gate for what can be learnt from them.
fn small_recipe(place: &Place) -> String {
    let text = std::fs::read_to_string(root().join("models/machine/recipe.toml"))
        .expect("the recipe is there");
    let mut lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("sessions ="))
        .collect();
    let section = lines
        .iter()
        .position(|line| *line == "[data.simulation]")
        .expect("a simulated machine");
    lines.insert(section + 1, "sessions = 12");
    let gate = lines
        .iter()
        .position(|line| line.starts_with("accuracy ="))
        .expect("a gate");
    lines[gate] = "accuracy = 0.8";
    let path = place.path("recipe.toml");
    std::fs::write(&path, lines.join("\n")).expect("the place is writable");
    path
}

/// What a device of this kind needs and this machine lacks.
fn lacking(target: &str) -> Option<String> {
    let (image, program) = match target {
        "qemu-cortex-m4f" => (
            "thumbv7em-none-eabihf/release/dunlin-qemu-cortex-m4f",
            "qemu-system-arm",
        ),
        "linux-aarch64" => (
            "aarch64-unknown-linux-gnu/device/dunlin-agent",
            "qemu-aarch64",
        ),
        "linux-armv7" => (
            "armv7-unknown-linux-gnueabihf/device/dunlin-agent",
            "qemu-arm",
        ),
        _ => return None,
    };
    let image = Path::new("target/cross").join(image);
    if !is_installed(program) {
        return Some(format!("{program} is not installed"));
    }
    (!root().join(&image).is_file()).then(|| {
        format!(
            "{} is not built: cargo xtask build {target}",
            image.display()
        )
    })
}

fn walks_the_whole_loop(target: &str) {
    if let Some(reason) = lacking(target) {
        eprintln!("skipped: {target}: {reason}");
        return;
    }
    let place = Place::new().expect("cargo build --release --workspace comes first");
    let recipe = small_recipe(&place);
    place.done(
        &["build", &recipe, "--target", target],
        &["runs", "keys", "fleet"],
    );
    let bundle = place.run_file(&format!("{target}.bundle"));
    let flashed = place
        .done(&["flash", &bundle, "--json"], &["keys", "fleet"])
        .json();
    assert_eq!(flashed["name"], target);

    let streamed = place
        .done(
            &[
                "stream", &recipe, "--part", "test", "--to", target, "--json",
            ],
            &["fleet"],
        )
        .json();
    let samples = streamed["samples"].as_u64().expect("a count");
    assert!(samples > 100, "{streamed}");

    let first = place
        .done(&["collect", "--from", target, "--json"], &["fleet"])
        .json();
    let again = place
        .done(&["collect", "--from", target, "--json"], &["fleet"])
        .json();
    assert!(first["stored"].as_u64() > Some(0), "{first}");
    assert_eq!(
        again["stored"], 0,
        "acknowledged records come once: {again}"
    );

    let report = place.done(&["report", "--json"], &["fleet"]).json();
    assert_eq!(observed(&report), samples, "every sample is in a window");
    assert_eq!(
        report["overview"]["lost_records"], 0,
        "{}",
        report["overview"]
    );
    let on = format!("local,{target}");
    let verified = place
        .done(
            &["verify", "latest", "--on", &on, "--inputs", "20", "--json"],
            &["runs", "keys", "fleet"],
        )
        .json();
    assert_eq!(
        differing(&verified),
        [0, 0],
        "the same bytes here and there"
    );
}

/// Inputs in all windows of all devices.
fn observed(report: &Value) -> u64 {
    let devices = report["devices"].as_array().into_iter().flatten();
    let windows = devices.flat_map(|device| device["windows"].as_array().into_iter().flatten());
    windows.filter_map(|window| window["inputs"].as_u64()).sum()
}

fn differing(verified: &Value) -> Vec<u64> {
    let comparisons = verified["comparisons"].as_array().into_iter().flatten();
    comparisons
        .filter_map(|comparison| comparison["differing"].as_u64())
        .collect()
}

#[test]
fn a_local_process_walks_the_whole_loop() {
    walks_the_whole_loop("local");
}

#[test]
fn the_emulated_board_walks_the_whole_loop() {
    walks_the_whole_loop("qemu-cortex-m4f");
}

#[test]
fn the_agent_for_aarch64_walks_the_whole_loop() {
    walks_the_whole_loop("linux-aarch64");
}

#[test]
fn the_agent_for_armv7_walks_the_whole_loop() {
    walks_the_whole_loop("linux-armv7");
}
