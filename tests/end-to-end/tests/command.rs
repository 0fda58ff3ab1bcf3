//! Exit statuses, errors and help of the command.

use test_end_to_end::{Place, shared};

fn place() -> Place {
    Place::new().expect("cargo build --release --workspace comes first")
}

/// The commands that a help text lists.
fn subcommands(help: &str) -> Vec<String> {
    let section = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| line.starts_with("  "));
    section
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

/// Checks the help of this command and of all below it; gives the number of commands that do something.
fn help_is_whole(place: &Place, command: &[String]) -> usize {
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    let help = place.dunlin(&[&words[..], &["--help"]].concat());
    assert_eq!(help.status, Some(0), "{command:?}");
    let below = subcommands(&help.output);
    if below.is_empty() || command.is_empty() {
        assert!(
            help.output.contains("Example"),
            "{command:?} has no example:\n{}",
            help.output
        );
    }
    let deeper = below.iter().map(|name| {
        let command = [command, std::slice::from_ref(name)].concat();
        help_is_whole(place, &command)
    });
    usize::from(below.is_empty()) + deeper.sum::<usize>()
}

#[test]
fn every_command_has_help_with_an_example() {
    let commands = help_is_whole(&place(), &[]);
    assert!(commands >= 21, "{commands} commands");
}

#[test]
fn a_missing_file_is_an_error_that_names_it() {
    let finished = place().dunlin(&["data", "check", "nowhere/recipe.toml"]);
    assert_eq!(finished.status, Some(2));
    assert!(
        finished.errors.contains("nowhere/recipe.toml"),
        "{finished:?}"
    );
}

#[test]
fn a_broken_row_fails_the_check_and_is_named_with_its_line() {
    let Some(data) = shared("data/occupancy") else {
        eprintln!("skipped: no occupancy data beside the repository");
        return;
    };
    let place = place();
    let folder = place.path("broken");
    std::fs::create_dir(&folder).expect("the place is writable");
    for name in ["datatraining.txt", "datatest.txt", "datatest2.txt"] {
        let text = std::fs::read_to_string(data.join(name)).expect("the data is readable");
        let text = if name == "datatest.txt" {
            text.replacen("26.272", "much", 1)
        } else {
            text
        };
        std::fs::write(format!("{folder}/{name}"), text).expect("the place is writable");
    }
    let finished = place.dunlin(&["data", "check", "models/occupancy", "--data", &folder]);
    assert_eq!(finished.status, Some(1), "{finished:?}");
    let line = finished.output.lines().next().unwrap_or_default();
    for part in ["datatest.txt:2", "Humidity", "much"] {
        assert!(line.contains(part), "no {part} in {line:?}");
    }
}

#[test]
fn an_altered_bundle_is_refused_before_anything_is_started() {
    let place = place();
    place.done(&["keys", "new"], &["keys"]);
    let bundle = place.path("some.bundle");
    std::fs::write(&bundle, b"DUNLINB1 and then nothing of sense").expect("the place is writable");
    let finished = place.dunlin(&[
        "flash",
        &bundle,
        "--keys",
        &place.path("keys"),
        "--fleet",
        &place.path("fleet"),
    ]);
    assert_eq!(finished.status, Some(2), "{finished:?}");
    assert!(finished.errors.contains("some.bundle"), "{finished:?}");
}

#[test]
fn a_demonstration_on_the_board_says_where_its_firmware_comes_from() {
    let place = place();
    let elsewhere = place.path("elsewhere");
    std::fs::create_dir(&elsewhere).expect("the place is writable");
    let finished = place.dunlin_in(&elsewhere, &["demo", "--device", "qemu"]);
    assert_eq!(finished.status, Some(2), "{finished:?}");
    for part in ["Dunlin's source", "--device local"] {
        assert!(finished.errors.contains(part), "no {part} in {finished:?}");
    }
}

#[test]
fn a_run_that_is_not_there_and_a_bundle_without_a_target_say_what_to_do() {
    let place = place();
    place.done(&["keys", "new"], &["keys"]);
    let fleet = place.path("fleet");
    let finished = place.dunlin(&["flash", "latest", "--fleet", &fleet]);
    assert_eq!(finished.status, Some(2), "{finished:?}");
    assert!(finished.errors.contains("--target"), "{finished:?}");
}

#[test]
fn a_quantised_model_is_counted_against_exact_arithmetic() {
    let (Some(model), Some(samples)) = (
        shared("models/hello_int8_qdq.onnx"),
        shared("models/hello_samples.npz"),
    ) else {
        eprintln!("skipped: ../shared/models is not there");
        return;
    };
    let (model, samples) = (model.to_string_lossy(), samples.to_string_lossy());
    let place = place();
    let counted = place.dunlin(&["verify", &model, "--samples", &samples, "--json"]);
    assert_eq!(counted.status, Some(0), "{counted:?}");
    let found: serde_json::Value = serde_json::from_str(&counted.output).expect("JSON");
    assert_eq!(found["output"]["bytes"], 20);
    assert_eq!(found["output"]["engine"], 0);
    assert_eq!(found["nodes"].as_array().map(Vec::len), Some(3));
    let table = place.dunlin(&["verify", &model, "--inputs", "3"]);
    assert!(table.output.contains("MatMul+Add+Relu"), "{table:?}");
    let misplaced = place.dunlin(&["verify", "latest", "--samples", &samples]);
    assert_eq!(misplaced.status, Some(2));
    assert!(
        misplaced.errors.contains("--samples is for an ONNX file"),
        "{misplaced:?}"
    );
}
