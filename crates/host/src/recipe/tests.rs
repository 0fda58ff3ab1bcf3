use std::path::Path;

use super::*;

const OCCUPANCY: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../models/occupancy/recipe.toml"
));
const MACHINE: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../models/machine/recipe.toml"
));

fn parse(text: &str) -> Result<Recipe, RecipeError> {
    Recipe::parse(text, Path::new("models/x/recipe.toml"))
}

fn problem(from: &str, to: &str) -> String {
    assert!(OCCUPANCY.contains(from), "the recipe has no {from:?}");
    parse(&OCCUPANCY.replacen(from, to, 1))
        .unwrap_err()
        .to_string()
}

fn line_of(text: &str, part: &str) -> usize {
    1 + text.lines().position(|line| line.contains(part)).unwrap()
}

#[test]
fn recipes_in_the_repository_are_valid() {
    let occupancy = parse(OCCUPANCY).unwrap();
    assert_eq!(occupancy.train.algorithm, Algorithm::Mlp);
    assert_eq!(occupancy.data.channels().count(), 5);
    assert_eq!(occupancy.monitor.window.ms, 86_400_000);
    let machine = parse(MACHINE).unwrap();
    assert_eq!(machine.data.steps(), 128);
}

#[test]
fn reference_in_the_documentation_is_a_valid_recipe_with_true_defaults() {
    let readme = include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../models/README.md"
    ));
    let text = readme
        .split("```toml\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .unwrap();
    let recipe = parse(text).unwrap_or_else(|error| panic!("{error}"));
    let defaults = (Logistic::default(), Forest::default(), Mlp::default());
    assert_eq!(
        (recipe.train.logistic, recipe.train.forest, recipe.train.mlp),
        defaults
    );
    assert_eq!(
        (recipe.quantize, recipe.deploy),
        (Quantize::default(), Deploy::default())
    );
    let rules = readme.split("| rule |").nth(1).unwrap();
    assert!(
        crate::data::Rule::ALL
            .iter()
            .all(|rule| rules.contains(&format!("`{}`", rule.name())))
    );
}

#[test]
fn recipe_written_as_toml_reads_back_equal() {
    for text in [OCCUPANCY, MACHINE] {
        let recipe = parse(text).unwrap();
        let written = recipe.to_toml().unwrap();
        assert_eq!(parse(&written).unwrap(), recipe, "{written}");
    }
}

#[test]
fn hash_ignores_comments_and_order_but_not_the_algorithm() {
    let recipe = parse(OCCUPANCY).unwrap();
    let commented = parse(&format!(
        "# a comment\n{}",
        OCCUPANCY.replace(
            "name = \"occupancy\"\nversion = 1",
            "version = 1\nname = \"occupancy\""
        )
    ))
    .unwrap();
    assert_eq!(recipe.hash(), commented.hash());
    assert_eq!(recipe.hash().len(), 64);
    assert_ne!(
        recipe.hash(),
        recipe.clone().with_algorithm(Algorithm::Forest).hash()
    );
}

#[test]
fn unknown_algorithm_lists_those_that_exist() {
    let message = problem("algorithm = \"mlp\"", "algorithm = \"svm\"");
    let line = line_of(OCCUPANCY, "algorithm = \"mlp\"");
    assert!(
        message.starts_with(&format!(
            "models/x/recipe.toml:{line}:13: train.algorithm: "
        )),
        "{message}"
    );
    for name in ["svm", "logistic", "forest", "mlp"] {
        assert!(message.contains(name), "{message}");
    }
    let error = "svm".parse::<Algorithm>().unwrap_err().to_string();
    assert!(error.contains("logistic, forest and mlp"), "{error}");
}

#[test]
fn unknown_key_is_refused_with_its_line_and_the_known_ones() {
    let message = problem("delimiter = \",\"", "delimeter = \",\"");
    let line = line_of(OCCUPANCY, "delimiter = ");
    assert!(
        message.starts_with(&format!(
            "models/x/recipe.toml:{line}:1: data.delimeter: unknown field"
        )),
        "{message}"
    );
    assert!(message.contains("`delimiter`"), "{message}");
}

#[test]
fn unknown_key_in_a_feature_names_its_table() {
    let message = problem("kind = \"standardize\"", "kind = \"spectrum\"\nbanks = 2");
    let line = line_of(OCCUPANCY, "[[features]]");
    assert!(
        message.starts_with(&format!("models/x/recipe.toml:{line}:1: features[0]: ")),
        "{message}"
    );
    assert!(
        message.contains("banks") && message.contains("bands"),
        "{message}"
    );
}

#[test]
fn text_that_is_not_toml_is_refused_with_its_line() {
    let message = parse("name = \"x\"\nversion = = 1\n")
        .unwrap_err()
        .to_string();
    assert!(
        message.starts_with("models/x/recipe.toml:2:11: "),
        "{message}"
    );
}

#[test]
fn each_value_out_of_bounds_is_refused_with_line_key_and_expectation() {
    let cases = [
        (
            "name = \"occupancy\"",
            "name = \"Occupancy!\"",
            "name = \"occ",
            "name",
            "a-z, 0-9 and -",
        ),
        (
            "version = 1",
            "version = 0",
            "version = 1",
            "version",
            "from 1",
        ),
        (
            "validation = 0.2",
            "validation = 1.5",
            "validation = 0.2",
            "split.validation",
            "below 1",
        ),
        (
            "files = [\"datatraining.txt\"]",
            "files = []",
            "files = [",
            "data.files",
            "at least one",
        ),
        (
            "encoding = \"utf-8\"",
            "encoding = \"utf-9\"",
            "encoding = ",
            "data.encoding",
            "windows-1252",
        ),
        (
            "maximum = 80.0",
            "maximum = -80.0",
            "minimum = -40.0",
            "data.column[0].minimum",
            "less than the maximum -80",
        ),
        (
            "name = \"Humidity\"",
            "name = \"Temperature\"",
            "name = \"Humidity\"",
            "data.column[1].name",
            "twice",
        ),
        (
            "labels = [\"empty\", \"occupied\"]",
            "labels = [\"empty\"]",
            "labels = ",
            "target.labels",
            "at least two",
        ),
        (
            "values = [0, 1]",
            "values = [0, 0]",
            "values = ",
            "target.values",
            "twice",
        ),
        (
            "kind = \"stratified\"",
            "kind = \"group\"",
            "kind = \"stratified\"",
            "split.kind",
            "kind = \"group\"",
        ),
        (
            "window = \"1d\"",
            "window = \"1s\"",
            "window = \"1d\"",
            "monitor.window",
            "at least the sample period",
        ),
        (
            "accuracy = 0.95",
            "accuracy = 95.0",
            "accuracy = 0.95",
            "gates.accuracy",
            "0 to 1",
        ),
        (
            "accuracy = 0.95",
            "test.other.f1 = 0.5",
            "accuracy = 0.95",
            "gates.test.other",
            "datatest, datatest2",
        ),
        (
            "file = \"datatest2.txt\"",
            "file = \"/datatest2.txt\"",
            "file = \"datatest2.txt\"",
            "split.test_file[1].file",
            "--data",
        ),
        (
            "sample_period = \"1m\"",
            "sample_period = \"1 fortnight\"",
            "sample_period = ",
            "monitor.sample_period",
            "\"1d\"",
        ),
    ];
    for (from, to, at, key, expected) in cases {
        let message = problem(from, to);
        let line = line_of(OCCUPANCY, at);
        let start = format!("models/x/recipe.toml:{line}:");
        let key = format!(": {key}: ");
        assert!(
            message.lines().any(|problem| problem.starts_with(&start)
                && problem.contains(&key)
                && problem.contains(expected)),
            "{start} {key}\n{message}"
        );
    }
}

#[test]
fn simulated_data_is_held_to_what_the_simulator_makes() {
    let refused = |from: &str, to: &str| {
        assert!(MACHINE.contains(from));
        parse(&MACHINE.replacen(from, to, 1))
            .unwrap_err()
            .to_string()
    };
    let message = refused("\"bearing\"]", "\"broken\"]");
    assert!(
        message.contains("target.labels[3]: there is no condition \"broken\""),
        "{message}"
    );
    let message = refused("name = \"axial\"", "name = \"z\"");
    assert!(
        message.contains("expected the simulator's channels horizontal, vertical, axial"),
        "{message}"
    );
    let message = refused("severity = [0.1, 1.0]", "severity = [1.0, 0.3]");
    assert!(
        message.contains("data.simulation.severity: found [1, 0.3]"),
        "{message}"
    );
}

#[test]
fn several_problems_are_told_at_once_in_order() {
    let text = OCCUPANCY
        .replace("version = 1", "version = 0")
        .replace("accuracy = 0.95", "accuracy = 95.0");
    let message = parse(&text).unwrap_err().to_string();
    let keys: Vec<&str> = message
        .lines()
        .filter_map(|line| line.split(": ").nth(1))
        .collect();
    assert_eq!(keys, ["version", "gates.accuracy"]);
}

#[test]
fn missing_file_says_what_to_give() {
    let message = Recipe::read(Path::new("/nowhere/recipe.toml"))
        .unwrap_err()
        .to_string();
    assert!(
        message.starts_with("/nowhere/recipe.toml: cannot read the recipe"),
        "{message}"
    );
    assert!(message.contains("give the path"), "{message}");
}

#[test]
fn gates_of_a_test_come_before_those_of_all() {
    let text = OCCUPANCY.replace(
        "accuracy = 0.95",
        "accuracy = 0.95\nf1 = 0.9\ntest.datatest2.accuracy = 0.97",
    );
    let gates = parse(&text).unwrap().gates;
    let limit = |test: &str, measure: &str| {
        let demands = gates.demands_of(test);
        demands
            .iter()
            .find(|demand| demand.measure == measure)
            .map(|demand| demand.limit)
    };
    assert_eq!(limit("datatest", "accuracy"), Some(0.95));
    assert_eq!(limit("datatest2", "accuracy"), Some(0.97));
    assert_eq!(limit("datatest2", "f1"), Some(0.9));
    assert_eq!(limit("datatest2", "roc_auc"), None);
}

#[test]
fn a_test_has_no_tests_of_its_own() {
    let message = problem(
        "accuracy = 0.95",
        "test.datatest.test.datatest2.accuracy = 0.97",
    );
    assert!(
        message.contains("gates.test.datatest.test: a test has no tests"),
        "{message}"
    );
}

#[test]
fn problems_are_told_with_the_column_of_their_key() {
    let message = problem(
        "accuracy = 0.95",
        "test = { datatest = { accuracy = 95.0 } }",
    );
    let line = line_of(OCCUPANCY, "accuracy = 0.95");
    assert!(
        message.starts_with(&format!(
            "models/x/recipe.toml:{line}:23: gates.test.datatest.accuracy: "
        )),
        "{message}"
    );
}

/// Each asks for more memory, or for something else that would fail only after training.
#[test]
fn what_would_fail_after_training_is_refused_with_place_figure_limit_and_advice() {
    let wide = format!("hidden = [{}]", ["65536"; 3].join(", "));
    let labels: Vec<String> = (0..17).map(|label| format!("\"l{label}\"")).collect();
    let labels = format!("labels = [{}]", labels.join(", "));
    let cases = [
        (
            "hidden = [32]",
            wide.as_str(),
            ":1: train.mlp.hidden: 8590589954 weights (layers of 5 × 65536 × 65536 × 65536 × 2), at most 10000000; make",
        ),
        (
            "batch = 256",
            "batch = 100000000",
            ":1: train.mlp.batch: 3900000000 values per step of training (100000000 examples × 39 values), at most 250000000; ",
        ),
        (
            "calibration_rows = 2000",
            "calibration_rows = 10000000",
            ":1: quantize.calibration_rows: 390000000 values measured (10000000 rows × 39 values), at most 250000000; ",
        ),
        (
            "min_leaf = 50",
            "trees = 20000",
            ":1: train.forest.trees: 20000 trees, at most 10000; ",
        ),
        (
            "min_leaf = 50",
            "max_depth = 1000",
            ":1: train.forest.max_depth: 1000 levels of a tree, at most 64; ",
        ),
        (
            "labels = [\"empty\", \"occupied\"]\nvalues = [0, 1]",
            labels.as_str(),
            ":1: target.labels: 17 labels, at most 16; ",
        ),
        (
            "[data.time]",
            "[data.window]\nsteps = 4000\nstride = 1\n\n[data.time]",
            ":1: data.window.steps: 20000 values per input (4000 steps × 5 channels), at most 16384; ",
        ),
        (
            "targets = [\"local\", \"qemu-cortex-m4f\", \"linux-aarch64\", \"linux-armv7\"]",
            "targets = []",
            ":1: deploy.targets: no target is named; name at least one of local, ",
        ),
        (
            "\"qemu-cortex-m4f\"",
            "\"esp32\"",
            ":21: deploy.targets[1]: there is no target \"esp32\"; there are local, ",
        ),
    ];
    for (from, to, expected) in cases {
        let message = problem(from, to);
        assert!(message.contains(expected), "{expected}\n{message}");
    }
}

#[test]
fn simulated_data_and_spectra_that_fill_the_memory_are_refused() {
    let refused = |text: String| parse(&text).unwrap_err().to_string();
    let message = refused(MACHINE.replacen("sessions = 40", "sessions = 10000", 1));
    let expected = "data.simulation: 768000000 simulated values (10000 sessions × 4 conditions × 50 windows × 128 steps \
                    × 3 channels), at most 100000000; ";
    assert!(message.contains(expected), "{message}");
    let long =
        MACHINE
            .replacen("steps = 128", "steps = 4096", 1)
            .replacen("bands = 16", "bands = 2", 1);
    let message = refused(long);
    assert!(
        message.contains("features[1].bands: 4194336 constants (8 × 2² bands + (4096 steps / 2 bands)²), at most 4000000; "),
        "{message}"
    );
}
