//! `dunlin bench` on the emulated board, and its counts against another counter.

use serde_json::Value;
use std::process::{Command, Stdio};
use test_end_to_end::{Place, is_installed, root, shared};

const KEYS: [&str; 8] = [
    "model",
    "macs",
    "instructions",
    "modelled_cycles",
    "arena_bytes",
    "stack_bytes",
    "plan_bytes",
    "code_bytes",
];

/// Why nothing can be measured here, if so.
fn missing() -> Option<String> {
    let programs = [
        "qemu-system-arm",
        "arm-none-eabi-ld",
        "arm-none-eabi-objdump",
    ];
    let missing = programs.into_iter().find(|program| !is_installed(program));
    missing.map(|program| format!("{program} is not installed"))
}

/// Models by name, where they are.
fn models(names: &[&str]) -> Option<Vec<String>> {
    let path = |name: &&str| shared(&format!("models/{name}.onnx"));
    let paths: Option<Vec<_>> = names.iter().map(path).collect();
    let text = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    paths.map(|paths| paths.into_iter().map(text).collect())
}

/// Instructions and modelled cycles of the first bracket, as the other counter tells them; `None` where it is not there.
fn counted_elsewhere(image: &str) -> Option<Value> {
    let counter = shared("tools/count-instructions/count-instructions")?;
    if !is_installed("gcc") || !is_installed("python3") {
        return None;
    }
    let output = Command::new(counter)
        .arg(image)
        .stdin(Stdio::null())
        .output();
    let output = output.expect("the counter starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(serde_json::from_slice(&output.stdout).expect("the counter prints JSON"))
}

fn number(value: &Value, key: &str) -> u64 {
    value[key]
        .as_u64()
        .unwrap_or_else(|| panic!("{key} in {value}"))
}

#[test]
fn models_are_measured_and_another_counter_counts_the_same() {
    let Some(models) = models(&["hello_int8_qdq", "ad_int8_qdq"]) else {
        eprintln!("skipped: no models beside the repository");
        return;
    };
    if let Some(reason) = missing() {
        eprintln!("skipped: {reason}");
        return;
    }
    let place = Place::new().expect("cargo build --release --workspace comes first");
    let kept = place.path("kept");
    let mut arguments = vec![
        "bench",
        "--target",
        "qemu-cortex-m4f",
        "--json",
        "--keep",
        &kept,
    ];
    arguments.extend(models.iter().map(String::as_str));
    let measured = place.done(&arguments, &[]).json();
    let measured = measured.as_array().expect("a list");
    assert_eq!(measured.len(), 2);
    for (model, macs) in measured.iter().zip([288, 264_192]) {
        assert!(KEYS.iter().all(|key| !model[key].is_null()), "{model}");
        assert_eq!(number(model, "macs"), macs);
        assert_eq!(model["outputs_equal"], true);
        assert!(number(model, "output_bytes") >= 4 && number(model, "inputs") == 4);
        assert!(number(model, "code_bytes") > 1000 && number(model, "stack_bytes") > 100);
        assert_eq!(model["peers"][0]["name"], "TFLM + CMSIS-NN");
        compare(
            model,
            &format!("{kept}/{}", model["model"].as_str().expect("a name")),
        );
    }
}

/// Holds a measurement against the other counter, and the stub against what it must not have.
fn compare(model: &Value, folder: &str) {
    let symbols = Command::new("arm-none-eabi-objdump")
        .args(["-t", &format!("{folder}/stub.elf")])
        .output()
        .expect("objdump starts");
    let symbols = String::from_utf8_lossy(&symbols.stdout).into_owned();
    assert!(symbols.contains("mark_begin"));
    for taken in ["memcpy", "memset", "memmove", "__aeabi_", "dunlin_engine"] {
        assert!(
            !symbols.contains(taken),
            "{taken} in the stub would be missing in the engine's code"
        );
    }
    let Some(elsewhere) = counted_elsewhere(&format!("{folder}/bench.elf")) else {
        eprintln!("skipped: no other counter here");
        return;
    };
    for key in ["instructions", "modelled_cycles"] {
        assert_eq!(
            number(model, key),
            number(&elsewhere, key),
            "{key} of {}",
            model["model"]
        );
    }
    assert_eq!(
        number(model, "load_instructions"),
        elsewhere["brackets"][1].as_u64().expect("two brackets")
    );
}

#[test]
fn measuring_away_from_the_source_says_where_to_go() {
    let place = Place::new().expect("cargo build --release --workspace comes first");
    let model = root().join("models").to_string_lossy().into_owned();
    let run = place.dunlin_in(&place.path("."), &["bench", &model]);
    assert_eq!(run.status, Some(2), "{run:?}");
    let Some(models) = models(&["hello_int8_qdq"]) else {
        eprintln!("skipped: no models beside the repository");
        return;
    };
    let run = place.dunlin_in(&place.path("."), &["bench", &models[0]]);
    assert_eq!(run.status, Some(2), "{run:?}");
    assert!(
        run.errors.contains("go to the folder of the repository"),
        "{run:?}"
    );
}
