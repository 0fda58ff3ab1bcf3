//! `dunlin bench` on the emulated board: the reference networks within their budgets, and its counts against another
//! counter.

use serde_json::Value;
use std::collections::BTreeMap;
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
/// The network that the command makes.
const MADE: &str = "mobilenet-v1-0.25";

/// What each network may take, by its figure's name in the JSON.
type Budgets = BTreeMap<String, BTreeMap<String, u64>>;

fn budgets() -> Budgets {
    let path = root().join("crates/engine/budgets.toml");
    let text = std::fs::read_to_string(path).expect("the budgets are there");
    toml::from_str(&text).expect("the budgets are whole numbers in a table for each network")
}

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

/// Where a network's file is; makes the one that the command makes.
fn model(place: &Place, name: &str) -> Option<String> {
    if name == MADE {
        let path = place.path("mobilenet-v1-0.25.onnx");
        place.done(&["bench", "--make", MADE, &path], &[]);
        return Some(path);
    }
    let path = shared(&format!("models/{name}.onnx"))?;
    Some(path.to_string_lossy().into_owned())
}

/// What the other counter tells of an image; `None` where it is not there.
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
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    Some(serde_json::from_slice(&output.stdout).expect("the counter prints JSON"))
}

fn number(value: &Value, key: &str) -> u64 {
    let number = value[key].as_f64().map(|number| number.ceil() as u64);
    number.unwrap_or_else(|| panic!("{key} in {value}"))
}

/// The figures that are above their budget, in words.
fn exceeded(budget: &BTreeMap<String, u64>, measured: &Value) -> Vec<String> {
    let over = budget
        .iter()
        .filter(|(key, most)| number(measured, key) > **most);
    over.map(|(key, most)| format!("{key}: {}, at most {most}", measured[key]))
        .collect()
}

#[test]
fn reference_networks_stay_within_their_budgets_and_another_counter_counts_the_same() {
    if let Some(reason) = missing() {
        eprintln!("skipped: {reason}");
        return;
    }
    let place = Place::new().expect("cargo build --release --workspace comes first");
    let budgets = budgets();
    let models: Vec<String> = budgets
        .keys()
        .filter_map(|name| model(&place, name))
        .collect();
    if models.len() < budgets.len() {
        eprintln!("skipped: not all models are beside the repository");
        return;
    }
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
    assert_eq!(measured.len(), budgets.len());
    for model in measured {
        let name = model["model"].as_str().expect("a name");
        println!("{model}");
        assert!(KEYS.iter().all(|key| !model[key].is_null()), "{model}");
        assert_eq!(model["outputs_equal"], true, "{name}");
        assert!(number(model, "output_bytes") >= 4 && number(model, "inputs") == 4);
        assert_eq!(
            exceeded(&budgets[name], model),
            Vec::<String>::new(),
            "{name}"
        );
        compare(model, &format!("{kept}/{name}"));
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
    let load = elsewhere["brackets"][1].as_u64();
    assert_eq!(
        Some(number(model, "load_instructions")),
        load,
        "{}",
        model["model"]
    );
}

/// Target, emulator and linker of every other core, and the models that it has room for.
const CORES: [(&str, [&str; 2], &[&str]); 5] = [
    ("qemu-cortex-m0", ARM, &["kws_int8_qdq"]),
    ("qemu-cortex-m3", ARM, &["kws_int8_qdq", "ad_int8_qdq"]),
    ("qemu-cortex-m7", ARM, &["kws_int8_qdq", "ad_int8_qdq"]),
    ("qemu-cortex-m33", ARM, &["kws_int8_qdq", "ad_int8_qdq"]),
    (
        "qemu-riscv32",
        ["qemu-system-riscv32", "riscv64-unknown-elf-ld"],
        &["kws_int8_qdq", "ad_int8_qdq"],
    ),
];
const ARM: [&str; 2] = ["qemu-system-arm", "arm-none-eabi-ld"];
/// Instructions per multiply-accumulate of `ad` with the loops for the DSP extension, at most.
const WITH_DSP: f64 = 1.2;

#[test]
fn the_same_plan_gives_the_same_bytes_on_other_cores() {
    let place = Place::new().expect("cargo build --release --workspace comes first");
    for (target, tools, names) in CORES {
        if let Some(missing) = tools.into_iter().find(|tool| !is_installed(tool)) {
            eprintln!("skipped: {target}: {missing} is not installed");
            continue;
        }
        let models: Option<Vec<String>> = names.iter().map(|name| model(&place, name)).collect();
        let Some(models) = models else {
            eprintln!("skipped: no models beside the repository");
            return;
        };
        let mut arguments = vec!["bench", "--target", target, "--inputs", "2", "--json"];
        arguments.extend(models.iter().map(String::as_str));
        let measured = place.done(&arguments, &[]).json();
        let measured = measured.as_array().expect("a list");
        assert_eq!(measured.len(), names.len());
        for model in measured {
            println!("{target}: {model}");
            assert_eq!(model["outputs_equal"], true, "{target}");
            assert_eq!(model["target"], target);
            assert!(number(model, "output_bytes") >= 24 && number(model, "inputs") == 2);
            let has_dsp = ["qemu-cortex-m7", "qemu-cortex-m33"].contains(&target);
            if has_dsp && model["model"] == "ad_int8_qdq" {
                assert!(
                    model["instructions_per_mac"].as_f64() < Some(WITH_DSP),
                    "{target}"
                );
            }
        }
    }
}

#[test]
fn a_forest_is_measured_on_its_own_samples() {
    let files =
        ["rf_bc_10.onnx", "rf_bc_10_samples.npz"].map(|name| shared(&format!("models/{name}")));
    let [Some(model), Some(samples)] = files else {
        eprintln!("skipped: no models beside the repository");
        return;
    };
    if let Some(reason) = missing() {
        eprintln!("skipped: {reason}");
        return;
    }
    let place = Place::new().expect("cargo build --release --workspace comes first");
    let (model, samples) = (model.to_string_lossy(), samples.to_string_lossy());
    let measured = place
        .done(&["bench", "--json", &model, "--samples", &samples], &[])
        .json();
    let forest = &measured[0];
    assert_eq!(
        (number(forest, "inputs"), &forest["outputs_equal"]),
        (64, &Value::Bool(true))
    );
    assert!(number(forest, "least_instructions") < number(forest, "most_instructions"));
    assert_eq!(forest["peers"][0]["name"], "emlearn, loadable");
}

#[test]
fn measuring_away_from_the_source_says_where_to_go() {
    let place = Place::new().expect("cargo build --release --workspace comes first");
    let model = model(&place, MADE).expect("it is made");
    let run = place.dunlin_in(&place.path("."), &["bench", &model]);
    assert_eq!(run.status, Some(2), "{run:?}");
    assert!(
        run.errors.contains("go to the folder of the repository"),
        "{run:?}"
    );
    let run = place.dunlin(&["bench", "no-such-model.onnx"]);
    assert_eq!(run.status, Some(2), "{run:?}");
    assert!(run.errors.contains("no-such-model.onnx"), "{run:?}");
}

#[test]
fn what_is_too_much_exceeds_a_budget() {
    let budget = BTreeMap::from([
        ("arena_bytes".to_owned(), 64),
        ("plan_bytes".to_owned(), 100),
    ]);
    let measured = serde_json::json!({"arena_bytes": 64, "plan_bytes": 101});
    assert_eq!(
        exceeded(&budget, &measured),
        ["plan_bytes: 101, at most 100"]
    );
}
