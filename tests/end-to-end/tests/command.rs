//! Exit statuses, errors and help of the command.

use test_end_to_end::{Place, shared};

fn place() -> Place {
    Place::new().expect("cargo build --release --workspace comes first")
}

#[test]
fn every_command_has_help_with_an_example() {
    let place = place();
    let commands = [
        "demo",
        "data check",
        "data infer",
        "train",
        "evaluate",
        "export",
        "quantize",
        "compile",
        "package",
        "build",
        "verify",
        "flash",
        "stream",
        "collect",
        "report",
        "runs list",
        "runs show",
        "runs compare",
        "keys new",
        "bundle show",
        "agent run",
    ];
    for command in commands {
        let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let help = place.dunlin(&words);
        assert_eq!(help.status, Some(0), "{command}");
        assert!(
            help.output.contains("Example"),
            "{command} has no example:\n{}",
            help.output
        );
    }
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
