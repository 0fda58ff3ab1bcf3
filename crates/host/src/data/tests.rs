//! The real files, and files that are broken in every way a rule knows.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;

const OCCUPANCY: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../models/occupancy/recipe.toml"
));
const MACHINE: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../models/machine/recipe.toml"
));

/// Three columns, a row a minute.
const SMALL: &str = r#"
name = "small"
version = 1
[data]
format = "csv"
files = ["a.csv"]
[data.time]
column = "t"
[[data.column]]
name = "x"
kind = "number"
unit = "°C"
minimum = 0.0
maximum = 100.0
[target]
column = "y"
labels = ["off", "on"]
values = [0, 1]
[split]
kind = "time"
validation = 0.25
test = 0.25
[train]
algorithm = "logistic"
[monitor]
window = "1h"
block = "1h"
stuck_after = 3
sample_period = "1m"
"#;

fn occupancy_folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/occupancy");
    if !folder.join("datatraining.txt").exists() {
        eprintln!("skipped: no {}", folder.display());
        return None;
    }
    Some(folder)
}

fn recipe(text: &str) -> Recipe {
    Recipe::parse(text, Path::new("models/x/recipe.toml")).unwrap()
}

fn folder_with(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

fn options(folder: &Path) -> LoadOptions<'static> {
    LoadOptions {
        data_dir: Some(folder.to_owned()),
        progress: None,
    }
}

fn check_small(recipe_text: &str, csv: &str) -> CheckReport {
    let folder = folder_with(&[("a.csv", csv)]);
    let options = CheckOptions {
        data_dir: Some(folder.path().to_owned()),
        ..CheckOptions::default()
    };
    check(&recipe(recipe_text), &options).unwrap()
}

/// `minutes` rows, moving values, classes in turn.
fn rows_csv(minutes: std::ops::Range<u32>) -> String {
    let row = |minute: u32| {
        format!(
            "2026-01-01 00:{minute:02}:00,{},{}\n",
            20 + minute % 7,
            minute % 2
        )
    };
    format!("t,x,y\n{}", minutes.map(row).collect::<String>())
}

fn lines(report: &CheckReport) -> Vec<String> {
    report.findings.iter().map(Finding::to_string).collect()
}

#[test]
fn occupancy_files_are_read_to_the_last_row() {
    let Some(folder) = occupancy_folder() else {
        return;
    };
    let splits = load(&recipe(OCCUPANCY), &options(&folder)).unwrap();
    let [(first_name, first), (second_name, second)] = splits.tests.as_slice() else {
        panic!("two tests")
    };
    assert_eq!(
        (first_name.as_str(), second_name.as_str()),
        ("datatest", "datatest2")
    );
    assert_eq!(splits.train.len() + splits.validation.len(), 8143);
    assert_eq!(splits.validation.len(), 1629);
    assert_eq!((first.len(), second.len()), (2665, 9752));
    let train_counts = [&splits.train, &splits.validation].map(Examples::label_counts);
    assert_eq!(
        (
            train_counts[0][0] + train_counts[1][0],
            train_counts[0][1] + train_counts[1][1]
        ),
        (6414, 1729)
    );
    assert_eq!(first.label_counts(), [1693, 972]);
    assert_eq!(second.label_counts(), [7703, 2049]);
    assert_eq!(splits.report.dropped(), 0);
    assert_eq!(splits.report.errors(), 0);
}

#[test]
fn occupancy_rows_have_the_values_of_the_files() {
    let Some(folder) = occupancy_folder() else {
        return;
    };
    let by_time = OCCUPANCY.replace("kind = \"stratified\"", "kind = \"time\"");
    let splits = load(&recipe(&by_time), &options(&folder)).unwrap();
    let (first, second) = (&splits.tests[0].1, &splits.tests[1].1);
    let last = |examples: &Examples| examples.input(examples.len() - 1).unwrap().to_vec();
    assert_eq!(
        splits.train.input(0).unwrap(),
        [23.18, 27.272, 426.0, 721.25, 0.004_792_988_3]
    );
    assert_eq!(
        last(&splits.validation),
        [21.1, 36.2, 447.0, 821.0, 0.005_612_063_7]
    );
    assert_eq!(
        first.input(0).unwrap(),
        [23.7, 26.272, 585.2, 749.2, 0.004_764_163]
    );
    assert_eq!(
        last(first),
        [24.408_333, 25.681_667, 798.0, 1124.0, 0.004_860_208]
    );
    assert_eq!(
        second.input(0).unwrap(),
        [21.76, 31.133_333, 437.333_33, 1_029.666_6, 0.005_021_011]
    );
    assert_eq!(last(second), [21.0, 28.1, 409.0, 1864.0, 0.004_320_732]);
    assert_eq!(
        (
            splits.train.labels[0],
            *splits.validation.labels.last().unwrap()
        ),
        (1, 1)
    );
    assert_eq!(splits.train.time_ms[0], 1_423_072_260_000);
    assert_eq!(*second.time_ms.last().unwrap(), 1_424_251_140_000);
    assert!(splits.train.time_ms.iter().max() < splits.validation.time_ms.iter().min());
}

#[test]
fn occupancy_hash_does_not_depend_on_file_names_or_formats() {
    let Some(folder) = occupancy_folder() else {
        return;
    };
    let hash = load(&recipe(OCCUPANCY), &options(&folder))
        .unwrap()
        .data_hash;
    let other = tempfile::tempdir().unwrap();
    for (name, new) in [
        ("datatraining.txt", "a.tsv"),
        ("datatest.txt", "b.tsv"),
        ("datatest2.txt", "c.tsv"),
    ] {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        std::fs::write(
            other.path().join(new),
            text.replace(',', "\t")
                .replace('"', "")
                .replace('\n', "\r\n"),
        )
        .unwrap();
    }
    let text = OCCUPANCY
        .replace("datatraining.txt", "a.tsv")
        .replace("datatest.txt", "b.tsv")
        .replace("datatest2.txt", "c.tsv");
    let text = text.replace("delimiter = \",\"", "delimiter = \"\\t\"");
    assert_eq!(
        load(&recipe(&text), &options(other.path()))
            .unwrap()
            .data_hash,
        hash
    );
    let altered = std::fs::read_to_string(other.path().join("a.tsv"))
        .unwrap()
        .replacen("23.18", "23.19", 1);
    std::fs::write(other.path().join("a.tsv"), altered).unwrap();
    assert_ne!(
        load(&recipe(&text), &options(other.path()))
            .unwrap()
            .data_hash,
        hash
    );
}

#[test]
fn simulated_data_is_loaded_like_a_file() {
    let text = MACHINE
        .replace("sessions = 40", "sessions = 6")
        .replace("windows = 50", "windows = 5");
    let splits = load(&recipe(&text), &options(Path::new("/nowhere"))).unwrap();
    let all = [&splits.train, &splits.validation, &splits.tests[0].1];
    assert_eq!(all.map(Examples::len), [80, 20, 20]);
    for part in all {
        assert!(part.label_counts().iter().all(|&count| count > 0));
        assert_eq!(part.inputs.len(), part.len() * 128 * 3);
    }
    assert!(
        splits.report.files[0]
            .file
            .display()
            .to_string()
            .starts_with("simulated:")
    );
    let again = load(&recipe(&text), &options(Path::new("/nowhere"))).unwrap();
    assert_eq!(splits.data_hash, again.data_hash);
    let other = load(
        &recipe(&text.replace("[data.simulation]\nseed = 1", "[data.simulation]\nseed = 2")),
        &options(Path::new("/")),
    );
    assert_ne!(other.unwrap().data_hash, again.data_hash);
}

#[test]
fn clean_data_passes_without_a_word() {
    let report = check_small(SMALL, &rows_csv(0..40));
    assert_eq!(lines(&report), Vec::<String>::new());
    assert!(report.passed() && report.data_hash.is_some());
    assert_eq!((report.files[0].rows, report.files[0].dropped), (40, 0));
    assert_eq!(report.files[0].labels[1].count, 20);
}

/// One broken line 5 (or what `replace` makes) in otherwise clean data, and what is said of it.
#[test]
fn each_broken_row_is_reported_with_file_line_column_value_and_expectation() {
    let row = "2026-01-01 00:03:00,23,1\n";
    let cases = [
        (
            "2026-01-01 00:03:00,warm,1\n",
            "a.csv:5: column \"x\": found \"warm\": expected a number",
            "type",
        ),
        (
            "2026-01-01 00:03:00,inf,1\n",
            "a.csv:5: column \"x\": found \"inf\": expected a finite number; correct it, or list \"inf\" in data.null_values",
            "type",
        ),
        (
            "2026-01-01 00:03:00,,1\n",
            "a.csv:5: column \"x\": found \"\": a missing value, expected a number",
            "null",
        ),
        (
            "2026-01-01 00:03:00,NaN,1\n",
            "a.csv:5: column \"x\": found \"NaN\": a missing value",
            "null",
        ),
        (
            "2026-01-01 00:03:00,100.5,1\n",
            "a.csv:5: column \"x\": found \"100.5\": expected 0 to 100 °C",
            "range",
        ),
        (
            "2026-01-01 00:03:00,23,2\n",
            "a.csv:5: column \"y\": found \"2\": expected one of 0, 1",
            "label",
        ),
        (
            "2026-01-01 00:03:00,23,\n",
            "a.csv:5: column \"y\": found \"\": a missing value, expected a label",
            "null",
        ),
        (
            "2026-01-32 00:03:00,23,1\n",
            "a.csv:5: column \"t\": found \"2026-01-32 00:03:00\": expected a time as \"%Y-%m-%d",
            "time",
        ),
        (
            "2026-01-01 00:03:00,23\n",
            "a.csv:5: found 2 fields, expected 3",
            "field-count",
        ),
        (
            "2026-01-01 00:03:00,2,3,1\n",
            "a.csv:5: found 4 fields, expected 3; look for an unquoted separator",
            "field-count",
        ),
        (
            "2026-01-01 00:03:00,\"23,1\n",
            "a.csv:5: found 2 fields, expected 3; look for a missing separator or an unclosed quote",
            "field-count",
        ),
        (
            "2026-01-01 00:02:00,22,0\n",
            "a.csv:5: the same row as a.csv:4; expected each once",
            "duplicate-row",
        ),
        (
            "2026-01-01 00:02:00,23,0\n",
            "a.csv:5: column \"t\": found \"2026-01-01T00:02:00Z\": another row has this time",
            "duplicate-time",
        ),
        (
            "2025-12-31 23:03:00,23,1\n",
            "a.csv:5: column \"t\": found \"2025-12-31T23:03:00Z\": the time goes back by 3540 s",
            "clock-jump",
        ),
    ];
    for (broken, start, rule) in cases {
        let report = check_small(SMALL, &rows_csv(0..40).replace(row, broken));
        let found = lines(&report);
        assert!(
            found
                .iter()
                .any(|line| line.starts_with(start) && line.ends_with(&format!("[{rule}]"))),
            "{start}\n{found:#?}"
        );
        assert!(!report.passed() && report.data_hash.is_none(), "{start}");
    }
}

#[test]
fn columns_that_do_not_match_the_recipe_are_named() {
    let report = check_small(SMALL, &rows_csv(0..9).replace("t,x,y", "t,z,y"));
    let found = lines(&report);
    assert!(
        found.iter().any(|line| line
            .starts_with("a.csv:1: column \"z\": the recipe does not describe this column")),
        "{found:#?}"
    );
    assert!(
        found.iter().any(|line| line.starts_with(
            "a.csv:1: column \"x\": the recipe's column is not in the file, which has t, z, y"
        )),
        "{found:#?}"
    );
}

#[test]
fn gaps_early_rows_stuck_constant_and_missing_classes_are_warnings() {
    let gap = rows_csv(0..20).replace("00:19:00", "00:29:00");
    let early = rows_csv(0..20).replace("00:19:00", "00:18:10");
    let stuck = rows_csv(0..20)
        .replace("00:01:00,21", "00:01:00,20")
        .replace("00:02:00,22", "00:02:00,20");
    let constant = (0..20)
        .map(|minute| format!("2026-01-01 00:{minute:02}:00,7,{}\n", minute % 2))
        .collect::<String>();
    let one_class = rows_csv(0..20).replace(",1\n", ",0\n");
    let cases = [
        (
            gap,
            "a.csv:21: column \"t\": found \"2026-01-01T00:29:00Z\": a gap of 660 s, expected 60 s",
            "gap",
        ),
        (
            early,
            "a.csv:21: column \"t\": found \"2026-01-01T00:18:10Z\": an early row of 10 s, expected 60 s",
            "early",
        ),
        (
            stuck,
            "a.csv:2: column \"x\": found \"20\": the same value for 3 rows, expected fewer than 3",
            "stuck",
        ),
        (
            format!("t,x,y\n{constant}"),
            "a.csv: column \"x\": found \"7\": all 20 rows have the same value",
            "constant",
        ),
        (
            one_class,
            "a.csv: column \"y\": no row is labelled \"on\"",
            "missing-class",
        ),
    ];
    for (csv, start, rule) in cases {
        let report = check_small(SMALL, &csv);
        let found = lines(&report);
        assert!(
            found
                .iter()
                .any(|line| line.starts_with(start) && line.ends_with(&format!("[{rule}]"))),
            "{start}\n{found:#?}"
        );
        assert!(report.passed() && report.warnings() > 0, "{found:#?}");
    }
}

#[test]
fn rows_are_dropped_only_where_the_recipe_says_so_and_counted() {
    let text = SMALL.replace(
        "maximum = 100.0",
        "maximum = 100.0\nnulls = \"drop\"\nout_of_range = \"drop\"",
    );
    let text = text.replace("files =", "duplicates = \"drop\"\nfiles =");
    let csv = rows_csv(0..40)
        .replace("00:03:00,23", "00:03:00,")
        .replace("00:05:00,25", "00:05:00,500");
    let csv = format!("{csv}{}", "2026-01-01 00:39:00,24,1\n");
    let folder = folder_with(&[("a.csv", &csv)]);
    let splits = load(&recipe(&text), &options(folder.path())).unwrap();
    assert_eq!(splits.report.dropped(), 3);
    assert_eq!(
        splits.train.len() + splits.validation.len() + splits.tests[0].1.len(),
        38
    );
    let rules: Vec<(&str, &str, u64)> = splits
        .report
        .counts
        .iter()
        .map(|count| (count.rule.name(), count.severity.name(), count.count))
        .collect();
    assert!(
        rules.contains(&("null", "dropped", 1)) && rules.contains(&("range", "dropped", 1)),
        "{rules:?}"
    );
    assert!(
        rules.contains(&("duplicate-row", "dropped", 1)),
        "{rules:?}"
    );
}

#[test]
fn rows_out_of_order_are_sorted_where_the_recipe_says_so() {
    let text = SMALL.replace("column = \"t\"", "column = \"t\"\norder = \"sort\"");
    let mut rows: Vec<String> = rows_csv(0..40).lines().map(str::to_owned).collect();
    rows.swap(5, 6);
    let folder = folder_with(&[("a.csv", &rows.join("\n"))]);
    let splits = load(&recipe(&text), &options(folder.path())).unwrap();
    assert!(splits.train.time_ms.is_sorted());
    assert_eq!(
        splits
            .report
            .findings
            .iter()
            .map(|finding| finding.rule)
            .collect::<Vec<_>>(),
        [Rule::ClockJump]
    );
}

#[test]
fn errors_of_load_show_the_first_findings_and_their_number() {
    let csv = rows_csv(0..40).replace(",1\n", ",5\n");
    let folder = folder_with(&[("a.csv", &csv)]);
    let error = load(&recipe(SMALL), &options(folder.path()))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with(
            "the data has 20 errors and is not used:\na.csv:3: column \"y\": found \"5\""
        ),
        "{error}"
    );
    assert!(
        error.ends_with("and 15 more; see all with `dunlin data check`"),
        "{error}"
    );
}

#[test]
fn missing_and_broken_files_are_named_with_advice() {
    let folder = folder_with(&[("empty.csv", "t,x,y\n"), ("latin.csv", "t,x,y\n")]);
    std::fs::write(folder.path().join("latin.csv"), b"t,x,y\n\xB0,1,1\n").unwrap();
    std::fs::write(folder.path().join("a.parquet"), b"not a parquet file").unwrap();
    let error = |text: &str| {
        load(&recipe(text), &options(folder.path()))
            .unwrap_err()
            .to_string()
    };
    let missing = error(SMALL);
    assert!(
        missing.contains("a.csv: cannot read the data file") && missing.contains("--data DIR"),
        "{missing}"
    );
    let latin = error(&SMALL.replace("a.csv", "latin.csv"));
    assert!(
        latin.contains("latin.csv:2: not valid UTF-8; set data.encoding"),
        "{latin}"
    );
    let empty = error(&SMALL.replace("a.csv", "empty.csv"));
    assert!(
        empty.contains("empty.csv:1: no rows after the header, expected at least one"),
        "{empty}"
    );
    let parquet = error(
        &SMALL
            .replace("a.csv", "a.parquet")
            .replace("\"csv\"", "\"parquet\""),
    );
    assert!(
        parquet.contains("a.parquet:1: not a readable Parquet file"),
        "{parquet}"
    );
}

#[test]
fn test_file_that_repeats_training_rows_is_a_leak() {
    let text = SMALL.replace(
        "test = 0.25",
        "[[split.test_file]]\nname = \"later\"\nfile = \"b.csv\"",
    );
    let folder = folder_with(&[("a.csv", &rows_csv(0..20)), ("b.csv", &rows_csv(3..30))]);
    let options = CheckOptions {
        data_dir: Some(folder.path().to_owned()),
        ..CheckOptions::default()
    };
    let report = check(&recipe(&text), &options).unwrap();
    let found = lines(&report);
    let row = "b.csv:2: the later part has the same row as the train part, at a.csv:5; expected each row in one part [shared-row]";
    assert!(found.iter().any(|line| line == row), "{found:#?}");
    assert!(
        found
            .iter()
            .any(|line| line.contains("cover the same time") && line.ends_with("[time-overlap]")),
        "{found:#?}"
    );
    assert!(!report.passed());
}

#[test]
fn validation_days_may_lie_within_training_but_not_the_test() {
    let text = SMALL.replace(
        "test = 0.25",
        "[[split.test_file]]\nname = \"later\"\nfile = \"b.csv\"",
    );
    let text = text
        .replace("validation = 0.25", "validation_days = [\"2026-01-02\"]")
        .replace("\"1m\"", "\"1h\"");
    let row = |hour: u32| {
        format!(
            "2026-01-{:02} {:02}:00:00,{},{}\n",
            1 + hour / 24,
            hour % 24,
            20 + hour % 7,
            hour % 2
        )
    };
    let hours =
        |range: std::ops::Range<u32>| format!("t,x,y\n{}", range.map(row).collect::<String>());
    let overlap = |test: std::ops::Range<u32>| {
        let folder = folder_with(&[
            ("a.csv", &hours(0..72)),
            ("b.csv", &hours(test).replace(":00:00", ":00:30")),
        ]);
        let options = CheckOptions {
            data_dir: Some(folder.path().to_owned()),
            ..CheckOptions::default()
        };
        lines(&check(&recipe(&text), &options).unwrap())
    };
    assert_eq!(overlap(72..96), Vec::<String>::new());
    let found = overlap(60..80);
    assert!(
        found
            .iter()
            .any(|line| line.contains("the train part") && line.ends_with("[time-overlap]")),
        "{found:#?}"
    );
}

#[test]
fn random_split_of_timed_rows_is_warned_about() {
    let report = check_small(
        &SMALL.replace("kind = \"time\"", "kind = \"random\""),
        &rows_csv(0..40),
    );
    assert!(report.passed());
    assert!(
        lines(&report)
            .iter()
            .any(|line| line.contains("consider split.kind = \"time\"")),
        "{:#?}",
        lines(&report)
    );
}

#[test]
fn reports_are_written_as_json() {
    let report = check_small(
        SMALL,
        &rows_csv(0..40).replace("00:03:00,23", "00:03:00,warm"),
    );
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["findings"][0]["line"], 5);
    assert_eq!(json["findings"][0]["rule"], "type");
    assert_eq!(json["findings"][0]["severity"], "error");
    assert_eq!(json["counts"][0]["count"], 1);
    assert_eq!(json["files"][0]["rows"], 40);
}

#[test]
fn progress_is_told_at_the_end_of_each_file() {
    let folder = folder_with(&[("a.csv", &rows_csv(0..40))]);
    let told = std::cell::RefCell::new(Vec::new());
    let tell = |progress: Progress<'_>| {
        told.borrow_mut()
            .push((progress.file.to_owned(), progress.rows, progress.done))
    };
    let options = LoadOptions {
        data_dir: Some(folder.path().to_owned()),
        progress: Some(&tell),
    };
    load(&recipe(SMALL), &options).unwrap();
    assert_eq!(told.into_inner(), [("a.csv".to_owned(), 40, true)]);
}

#[test]
fn windows_are_made_of_rows_in_a_row() {
    let text = SMALL
        .replace(
            "[data.time]",
            "[data.window]\nsteps = 4\nstride = 2\n[data.time]",
        )
        .replace("\"1m\"", "\"2m\"");
    let folder = folder_with(&[("a.csv", &rows_csv(0..40))]);
    let splits = load(&recipe(&text), &options(folder.path())).unwrap();
    assert_eq!((splits.train.len(), splits.train.schema.width()), (9, 4));
    assert_eq!(splits.train.input(1).unwrap(), [22.0, 23.0, 24.0, 25.0]);
}

#[test]
fn severities_and_rules_have_names_of_their_own() {
    let names: std::collections::HashSet<&str> = Rule::ALL.iter().map(|rule| rule.name()).collect();
    assert_eq!(names.len(), Rule::ALL.len());
    for rule in Rule::ALL {
        assert_eq!(serde_json::to_value(rule).unwrap(), rule.name());
    }
}

proptest! {
    #[test]
    fn numbers_survive_writing_and_reading(values in prop::collection::vec(0.0f32..100.0, 8..40), decimal in prop::sample::select(vec!['.', ','])) {
        let text = SMALL.replace("files =", &format!("delimiter = \";\"\ndecimal = \"{decimal}\"\nfiles ="));
        let row = |(minute, value): (usize, &f32)| {
            format!("\"2026-01-01 00:{minute:02}:00\";\"{}\";{}\n", value.to_string().replace('.', &decimal.to_string()), minute % 2)
        };
        let csv = format!("t;x;y\n{}", values.iter().enumerate().map(row).collect::<String>());
        let folder = folder_with(&[("a.csv", &csv)]);
        let splits = load(&recipe(&text), &options(folder.path())).unwrap();
        let read: Vec<f32> = [&splits.train, &splits.validation, &splits.tests[0].1].into_iter().flat_map(|part| part.inputs.clone()).collect();
        prop_assert_eq!(read, values);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), tail in "[a-z0-9,;\"\r\n. ]{0,80}") {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, [bytes.as_slice(), tail.as_bytes()].concat()).unwrap();
        let options = CheckOptions { data_dir: Some(folder.path().to_owned()), ..CheckOptions::default() };
        if let Ok(report) = check(&recipe(SMALL), &options) {
            prop_assert!(!report.passed());
        }
        if let Ok(proposal) = infer(&path) {
            prop_assert!(proposal.to_string().contains("rows"));
        }
    }
}

#[test]
fn windows_that_would_fill_the_memory_are_refused_with_figure_limit_and_advice() {
    let mut recipe = Recipe::read(Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../models/machine"
    )))
    .unwrap();
    let schema = super::ingest::input_schema(&recipe);
    let window = |stride| {
        Some(crate::recipe::Window {
            steps: schema.steps,
            stride,
        })
    };
    recipe.data.window = window(1);
    let error = super::require_memory(&recipe, &schema, 1_000_000)
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "data.window: 1000000 rows make up to 1000000 windows of 384 values, which is 384000000 values, at most \
         250000000; take a longer stride, fewer steps or fewer rows"
    );
    recipe.data.window = window(128);
    assert!(super::require_memory(&recipe, &schema, 1_000_000).is_ok());
}
