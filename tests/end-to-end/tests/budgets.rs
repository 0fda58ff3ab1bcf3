//! What the occupancy model takes on the emulated board, held against `models/occupancy/budgets.toml`.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use test_end_to_end::{Place, is_installed, root, shared};

const TARGET: &str = "qemu-cortex-m4f";

type Figures = BTreeMap<String, u64>;

/// The budgets of every algorithm that has some.
fn budgets() -> BTreeMap<String, Figures> {
    let path = root().join("models/occupancy/budgets.toml");
    let text = std::fs::read_to_string(path).expect("the budgets are there");
    toml::from_str(&text).expect("the budgets are whole numbers in a table for each algorithm")
}

/// Builds the model with an algorithm and runs its bundle on the emulated board.
fn measured(algorithm: &str, data: &str) -> Figures {
    let place = Place::new().expect("cargo build --release --workspace comes first");
    let build = [
        "build",
        "models/occupancy",
        "--data",
        data,
        "--algorithm",
        algorithm,
        "--target",
        TARGET,
    ];
    place.done(&build, &["runs", "keys"]);
    let bundle = place.run_file(".bundle");
    let output = Command::new(place.program("xtask"))
        .args(["measure", &bundle, &place.path("keys/signing.pub.pem")])
        .current_dir(root())
        .stdin(Stdio::null())
        .output()
        .expect("xtask starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut figures: Figures = text.lines().filter_map(figure).collect();
    let plan = std::fs::metadata(place.run_file("plan-qemu-cortex-m4f.bin"));
    figures.insert("plan_bytes".into(), plan.expect("the plan is there").len());
    figures
}

/// A line `name count`.
fn figure(line: &str) -> Option<(String, u64)> {
    let (name, count) = line.split_once(' ')?;
    Some((name.to_owned(), count.parse().ok()?))
}

/// The figures that are missing or above their budget, in words.
fn exceeded(budget: &Figures, measured: &Figures) -> Vec<String> {
    let judge = |(name, most): (&String, &u64)| match measured.get(name) {
        None => Some(format!("{name} was not measured")),
        Some(got) if got > most => Some(format!("{name}: {got}, at most {most}")),
        Some(_) => None,
    };
    budget.iter().filter_map(judge).collect()
}

#[test]
fn the_occupancy_model_stays_within_its_budgets_on_the_emulated_board() {
    let Some(data) = shared("data/occupancy") else {
        eprintln!("skipped: no occupancy data beside the repository");
        return;
    };
    if !is_installed("qemu-system-arm") {
        eprintln!("skipped: qemu-system-arm is not installed");
        return;
    }
    let budgets = budgets();
    assert!(budgets.contains_key("forest") && budgets.contains_key("mlp"));
    for (algorithm, budget) in budgets {
        let measured = measured(&algorithm, &data.to_string_lossy());
        println!("{algorithm}: {measured:?}");
        assert_eq!(
            exceeded(&budget, &measured),
            Vec::<String>::new(),
            "{algorithm}: {measured:?}"
        );
    }
}

#[test]
fn what_is_missing_or_too_much_exceeds_a_budget() {
    let budget = Figures::from([("arena_bytes".into(), 64), ("plan_bytes".into(), 100)]);
    let measured = Figures::from([("plan_bytes".into(), 101)]);
    let told = [
        "arena_bytes was not measured",
        "plan_bytes: 101, at most 100",
    ];
    assert_eq!(exceeded(&budget, &measured), told);
}
