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
    place.done(&["build", &recipe, "--target", target], &["runs", "keys"]);
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
            &["runs", "keys"],
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
fn every_stage_prints_one_json_document() {
    let place = Place::new().expect("cargo build --release --workspace comes first");
    let recipe = small_recipe(&place);
    let built = place.done(&["build", &recipe, "--json"], &["runs", "keys"]);
    let built = built.json();
    let bundles = built["bundles"].as_array().map_or(0, Vec::len);
    assert!(bundles > 1 && built["passed"] == true, "{built}");
    let compiled = place
        .done(&["compile", "latest", "--json"], &["runs"])
        .json();
    assert_eq!(
        compiled.as_array().map(Vec::len),
        Some(bundles),
        "one document"
    );
    let packaged = ["package", "latest", "--target", "local", "--json"];
    let packaged = place.done(&packaged, &["runs", "keys"]).json();
    let path = packaged["bundles"][0]["path"].as_str().expect("a path");
    assert_eq!(path, place.run_file("local.bundle"));
    let exported = place
        .done(&["export", "latest", "--json"], &["runs"])
        .json();
    assert!(Path::new(exported["model"].as_str().expect("a path")).is_file());
}

#[test]
fn devices_flashed_at_once_are_all_collected_and_names_keep_their_kind() {
    let place = Place::new().expect("cargo build --release --workspace comes first");
    let recipe = small_recipe(&place);
    place.done(&["build", &recipe], &["runs", "keys"]);
    let bundle = place.run_file("local.bundle");
    let (keys, fleet) = (place.path("keys"), place.path("fleet"));
    let names = ["d0", "d1", "d2", "d3", "d4"];
    let call = |name| {
        vec![
            "flash",
            bundle.as_str(),
            "--name",
            name,
            "--keys",
            &keys,
            "--fleet",
            &fleet,
        ]
    };
    for finished in place.at_once(&names.map(call)) {
        assert_eq!(finished.status, Some(0), "{finished:?}");
    }
    for name in names {
        let collected = place
            .done(&["collect", "--from", name, "--json"], &["fleet"])
            .json();
        assert!(
            collected["stored"].as_u64() > Some(0),
            "{name}: {collected}"
        );
    }

    let other = place.run_file("qemu-cortex-m4f.bundle");
    let refused = place.dunlin(&[
        "flash", &other, "--name", "d0", "--keys", &keys, "--fleet", &fleet,
    ]);
    assert_eq!(refused.status, Some(2), "{refused:?}");
    assert!(refused.errors.contains("`d0` is a local"), "{refused:?}");
    place.done(&["flash", "--stop", "d0"], &["fleet"]);
    place.done(&["flash", "--forget", "d0"], &["fleet"]);
    let gone = place.dunlin(&["collect", "--from", "d0", "--fleet", &fleet]);
    assert_eq!(gone.status, Some(2), "{gone:?}");
}

#[test]
fn records_come_over_mqtt_once_and_only_from_devices_that_are_known() {
    let place = Place::new().expect("cargo build --release --workspace comes first");
    let recipe = small_recipe(&place);
    place.done(&["build", &recipe, "--target", "local"], &["runs", "keys"]);
    let bundle = place.run_file("local.bundle");
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port");
    let (listen, broker) = (port.to_string(), format!("mqtt://{port}"));
    let (keys, fleet, other) = (place.path("keys"), place.path("fleet"), place.path("other"));
    let flash = ["flash", &bundle, "--mqtt", &broker, "--keys", &keys];
    let known = place.dunlin(&[&flash[..], &["--fleet", &fleet]].concat());
    assert_eq!(known.status, Some(0), "{known:?}");
    place.done(
        &["stream", &recipe, "--part", "test", "--to", "local"],
        &["fleet"],
    );
    let collect = [
        "collect", "--listen", &listen, "--idle", "12", "--json", "--fleet", &fleet,
    ];
    let first = place.dunlin(&collect);
    assert_eq!(first.status, Some(0), "{first:?}");
    assert!(first.json()["stored"].as_u64() > Some(0), "{first:?}");

    let stranger = place.dunlin(&[&flash[..], &["--fleet", &other, "--name", "stranger"]].concat());
    assert_eq!(stranger.status, Some(0), "{stranger:?}");
    let again = place.dunlin(&collect);
    place.dunlin(&["flash", "--stop", "stranger", "--fleet", &other]);
    assert_eq!(again.status, Some(1), "{again:?}");
    let counts = again.json();
    assert_eq!(
        counts["stored"], 0,
        "acknowledged records come once: {again:?}"
    );
    assert!(counts["refused"].as_u64() > Some(0), "{again:?}");
    assert!(again.errors.contains("not a known device"), "{again:?}");
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
