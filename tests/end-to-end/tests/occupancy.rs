//! The real job on real data: the first test file stays quiet, the second raises drift on CO2.

use serde_json::Value;
use test_end_to_end::{Place, shared};

/// Channels that drifted in the judged windows that opened within these months' days, window by window.
fn drifted_channels(report: &Value, from_ms: i64, to_ms: i64) -> Vec<Vec<String>> {
    let windows = report["devices"][0]["windows"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let judged = windows.iter().filter(|window| {
        let opened = window["opened_ms"].as_i64().unwrap_or(0);
        let verdict = window["judgement"].as_str().unwrap_or_default();
        (from_ms..to_ms).contains(&opened) && ["quiet", "drifted"].contains(&verdict)
    });
    judged.map(drifted_in).collect()
}

fn drifted_in(window: &Value) -> Vec<String> {
    let channels = window["channels"].as_array().into_iter().flatten();
    channels
        .filter(|channel| channel["drifted"] == true)
        .filter_map(|channel| channel["name"].as_str().map(str::to_owned))
        .collect()
}

#[test]
fn days_like_those_of_training_stay_quiet_and_open_doors_raise_drift_on_co2() {
    let Some(data) = shared("data/occupancy") else {
        eprintln!("skipped: no occupancy data beside the repository");
        return;
    };
    let data = data.to_string_lossy().into_owned();
    let place = Place::new().expect("cargo build --release --workspace comes first");
    let recipe = "models/occupancy";
    place.done(&["data", "check", recipe, "--data", &data], &[]);
    place.done(
        &["build", recipe, "--data", &data, "--target", "local"],
        &["runs", "keys"],
    );
    place.done(
        &["flash", &place.run_file("local.bundle")],
        &["keys", "fleet"],
    );
    for part in ["datatest", "datatest2"] {
        place.done(
            &[
                "stream", recipe, "--data", &data, "--part", part, "--to", "local",
            ],
            &["fleet"],
        );
    }
    place.done(&["collect", "--from", "local"], &["fleet"]);
    let report = place.done(&["report", "--json"], &["fleet"]).json();

    const FEBRUARY_1: i64 = 1_422_748_800_000;
    const DAY: i64 = 86_400_000;
    let first = drifted_channels(&report, FEBRUARY_1, FEBRUARY_1 + 9 * DAY);
    let second = drifted_channels(&report, FEBRUARY_1 + 9 * DAY, FEBRUARY_1 + 20 * DAY);
    assert!(
        !first.is_empty() && second.len() >= 5,
        "{} and {} windows",
        first.len(),
        second.len()
    );
    let quiet = report["devices"][0]["windows"][0]["judgement"] == "quiet";
    assert!(
        quiet,
        "neither a channel nor the predictions drift in the first window"
    );
    assert!(
        first.iter().all(Vec::is_empty),
        "the first test file is quiet: {first:?}"
    );
    let co2 = second
        .iter()
        .filter(|channels| channels.contains(&"CO2".to_owned()))
        .count();
    assert!(
        co2 * 2 > second.len(),
        "CO2 drifts in most windows of the second: {second:?}"
    );
}
