use super::*;
use crate::data::{self, LoadOptions};
use crate::evaluate;
use crate::recipe::Algorithm;
use crate::train;

fn small(algorithm: Algorithm) -> (Recipe, Splits, Trained) {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/machine"));
    let mut recipe = Recipe::read(path).unwrap().with_algorithm(algorithm);
    if let Some(simulation) = &mut recipe.data.simulation {
        simulation.sessions = 10;
        simulation.windows = 5;
    }
    recipe.train.mlp.max_epochs = 3;
    let splits = data::load(&recipe, &LoadOptions::default()).unwrap();
    let trained = train::train(&recipe, &splits, &mut |_| ()).unwrap();
    (recipe, splits, trained)
}

#[test]
fn a_run_is_written_judged_listed_and_read_again() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(list(root.path()).unwrap(), Listing::default());
    let (recipe, splits, trained) = small(Algorithm::Mlp);
    let mut run = create(root.path(), &recipe, &splits, &trained).unwrap();
    let evaluation = evaluate::evaluate(&trained.model, &recipe, &splits).unwrap();
    run.judge(&evaluation).unwrap();
    run.judge(&evaluation).unwrap();
    let again = load(root.path(), &run.record.id).unwrap();
    assert_eq!(again.record.test_uses, 2);
    assert_eq!(without_floats(&again), without_floats(&run));
    let measured = |run: &Run| {
        run.record.evaluation.as_ref().unwrap().tests[0]
            .metrics
            .log_loss
            .value
    };
    assert!((measured(&again) - measured(&run)).abs() < 1e-12);
    assert_eq!(list(root.path()).unwrap().records, [again.record.clone()]);
    for file in &again.record.files {
        assert_eq!(
            sha256_hex(&std::fs::read(again.path(&file.name)).unwrap()),
            file.sha256,
            "{}",
            file.name
        );
    }
    assert_eq!(again.record.files.len(), 4);
    assert_eq!(
        std::fs::read_to_string(again.path(CURVES))
            .unwrap()
            .lines()
            .count(),
        1 + trained.curve.len()
    );
    assert_eq!(onnx::read(&again.path(MODEL)).unwrap(), trained.model);
    assert_eq!(
        Recipe::read(&again.path(RECIPE)).unwrap().hash(),
        recipe.hash()
    );
}

/// JSON's reader may miss the last bit of a float.
fn without_floats(run: &Run) -> Run {
    let mut run = run.clone();
    run.record.evaluation = None;
    run.record.curve.clear();
    run.record.timings.clear();
    run
}

#[test]
fn a_report_needs_nothing_but_itself_and_says_how_often_the_tests_were_used() {
    let root = tempfile::tempdir().unwrap();
    let (recipe, splits, trained) = small(Algorithm::Logistic);
    let mut run = create(root.path(), &recipe, &splits, &trained).unwrap();
    run.judge(&evaluate::evaluate(&trained.model, &recipe, &splits).unwrap())
        .unwrap();
    let html = std::fs::read_to_string(run.path(REPORT)).unwrap();
    assert!(html.starts_with("<!doctype html>") && html.trim_end().ends_with("</html>"));
    for foreign in ["src=", "href=", "url(", "@import", "<script"] {
        assert!(!html.contains(foreign), "{foreign}");
    }
    assert!(html.contains("used once in this run") && html.matches("<svg").count() >= 4);
    run.judge(&evaluate::evaluate(&trained.model, &recipe, &splits).unwrap())
        .unwrap();
    assert!(
        std::fs::read_to_string(run.path(REPORT))
            .unwrap()
            .contains("used 2 times in this run")
    );
}

#[test]
fn runs_are_found_by_the_beginning_of_their_name() {
    let root = tempfile::tempdir().unwrap();
    let (recipe, splits, trained) = small(Algorithm::Logistic);
    let first = create(root.path(), &recipe, &splits, &trained).unwrap();
    let second = create(root.path(), &recipe, &splits, &trained).unwrap();
    assert_ne!(first.record.id, second.record.id);
    assert!(
        matches!(load(root.path(), "mach"), Err(RunsError::Ambiguous { candidates, .. }) if candidates.len() == 2)
    );
    assert!(matches!(
        load(root.path(), "other"),
        Err(RunsError::Unknown { .. })
    ));
    assert_eq!(
        without_floats(&load(root.path(), &second.record.id).unwrap()),
        without_floats(&second)
    );
    assert!(load(root.path(), "latest").is_ok());
}

#[test]
fn a_comparison_names_what_differs() {
    let (recipe, splits, trained) = small(Algorithm::Logistic);
    let root = tempfile::tempdir().unwrap();
    let mut first = create(root.path(), &recipe, &splits, &trained).unwrap();
    first
        .judge(&evaluate::evaluate(&trained.model, &recipe, &splits).unwrap())
        .unwrap();
    let (recipe, splits, trained) = small(Algorithm::Forest);
    let mut second = create(root.path(), &recipe, &splits, &trained).unwrap();
    second
        .judge(&evaluate::evaluate(&trained.model, &recipe, &splits).unwrap())
        .unwrap();
    let comparison = compare(&first.record, &second.record);
    let keys: Vec<&str> = comparison
        .settings
        .iter()
        .map(|difference| difference.key.as_str())
        .collect();
    assert_eq!(keys, ["train.algorithm"]);
    assert!(
        comparison.same_data && comparison.measures.len() == 6,
        "{comparison:?}"
    );
    assert!(compare(&first.record, &first.record).settings.is_empty());
}

#[test]
fn a_record_of_another_version_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let (recipe, splits, trained) = small(Algorithm::Logistic);
    let mut run = create(root.path(), &recipe, &splits, &trained).unwrap();
    run.record.format = FORMAT + 1;
    run.save().unwrap();
    assert!(matches!(read(&run.folder), Err(RunsError::Record { .. })));
}

#[test]
fn a_broken_run_is_listed_with_its_reason_and_does_not_hide_the_others() {
    let root = tempfile::tempdir().unwrap();
    let (recipe, splits, trained) = small(Algorithm::Logistic);
    let good = create(root.path(), &recipe, &splits, &trained).unwrap();
    let broken = root.path().join("machine-99991231-000000-beef");
    std::fs::create_dir(&broken).unwrap();
    std::fs::write(broken.join(RECORD), "{\"format\": 1,").unwrap();
    let listing = list(root.path()).unwrap();
    assert_eq!((listing.records.len(), listing.broken.len()), (1, 1));
    assert_eq!(listing.broken[0].id, "machine-99991231-000000-beef");
    let reason = &listing.broken[0].reason;
    assert!(
        reason.contains("run.json: not a run record: ") && reason.contains("line 1"),
        "{reason}"
    );
    assert_eq!(
        load(root.path(), "latest").unwrap().record.id,
        good.record.id
    );
    assert!(matches!(
        load(root.path(), "machine-9999"),
        Err(RunsError::Record { .. })
    ));
}

#[test]
fn a_file_that_was_changed_or_put_there_is_not_used() {
    let root = tempfile::tempdir().unwrap();
    let (recipe, splits, trained) = small(Algorithm::Logistic);
    let run = create(root.path(), &recipe, &splits, &trained).unwrap();
    let model = run.file(MODEL).unwrap();
    assert_eq!(onnx::decode(&model).unwrap(), trained.model);
    std::fs::write(run.path(MODEL), [model, vec![0]].concat()).unwrap();
    let error = run.file(MODEL).unwrap_err().to_string();
    assert!(
        error.contains("model.onnx: changed since run machine-")
            && error.contains("is ")
            && error.contains("train again"),
        "{error}"
    );
    std::fs::write(run.path("model.int8.onnx"), "other").unwrap();
    assert!(matches!(
        run.file("model.int8.onnx"),
        Err(RunsError::Foreign { .. })
    ));
    assert!(matches!(run.file("none"), Err(RunsError::File { .. })));
}

#[test]
fn a_copied_run_is_not_taken_for_the_run_itself() {
    let root = tempfile::tempdir().unwrap();
    let (recipe, splits, trained) = small(Algorithm::Logistic);
    let run = create(root.path(), &recipe, &splits, &trained).unwrap();
    let copy = root.path().join("zz-copy");
    std::fs::create_dir(&copy).unwrap();
    std::fs::copy(run.path(RECORD), copy.join(RECORD)).unwrap();
    let listing = list(root.path()).unwrap();
    assert_eq!((listing.records.len(), listing.broken.len()), (1, 1));
    let reason = &listing.broken[0].reason;
    assert!(
        reason.contains(&format!("the record of run {}", run.record.id)),
        "{reason}"
    );
    assert_eq!(
        load(root.path(), "latest").unwrap().record.id,
        run.record.id
    );
}

#[test]
fn the_latest_of_several_runs_in_one_second_is_the_one_started_last() {
    let root = tempfile::tempdir().unwrap();
    let (mut recipe, splits, trained) = small(Algorithm::Logistic);
    for version in (1..=8).rev() {
        recipe.version = version;
        let run = create(root.path(), &recipe, &splits, &trained).unwrap();
        assert_eq!(
            load(root.path(), "latest").unwrap().record.id,
            run.record.id
        );
    }
}
