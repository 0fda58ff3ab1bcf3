use super::*;
use crate::data::{self, LoadOptions};
use crate::runs;
use crate::train;
use std::path::Path;

struct Workshop {
    root: tempfile::TempDir,
    recipe: Recipe,
    splits: Splits,
    target: Target,
    key: SecretKey,
}

impl Workshop {
    fn new() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/machine");
        let mut recipe = Recipe::read(Path::new(path))
            .unwrap()
            .with_algorithm(Algorithm::Logistic);
        if let Some(simulation) = &mut recipe.data.simulation {
            simulation.sessions = 10;
            simulation.windows = 40;
        }
        let splits = data::load(&recipe, &LoadOptions::default()).unwrap();
        Workshop {
            root: tempfile::tempdir().unwrap(),
            recipe,
            splits,
            target: Target::find("local").unwrap(),
            key: SecretKey::generate().unwrap(),
        }
    }

    /// Trains and calibrates a run of this version; `l2` makes other contents.
    fn run(&self, version: u32, l2: f64) -> (Run, Recipe) {
        let mut recipe = self.recipe.clone();
        recipe.version = version;
        recipe.train.logistic.l2 = l2;
        let trained = train::train(&recipe, &self.splits, &mut |_| ()).unwrap();
        let mut run = runs::create(self.root.path(), &recipe, &self.splits, &trained).unwrap();
        calibrate(&mut run, &recipe, &self.splits).unwrap();
        (run, recipe)
    }

    fn package(&self, (run, recipe): &mut (Run, Recipe)) -> Result<Packaged, StageError> {
        let options = PackageOptions {
            recipe,
            splits: &self.splits,
            target: &self.target,
            key: &self.key,
        };
        package(run, &options)
    }
}

#[test]
fn a_version_older_than_another_runs_bundle_is_refused_with_file_versions_and_what_to_do() {
    let workshop = Workshop::new();
    let newest = workshop.package(&mut workshop.run(7, 1.0)).unwrap();
    let error = workshop.package(&mut workshop.run(3, 1.0)).unwrap_err();
    let error = error.to_string();
    for part in [
        newest.path.to_str().unwrap(),
        "version 7",
        "version 3",
        "`version = 8`",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(workshop.package(&mut workshop.run(8, 1.0)).is_ok());
}

#[test]
fn the_same_version_is_told_of_only_where_the_contents_are_others() {
    let workshop = Workshop::new();
    let mut first = workshop.run(2, 1.0);
    let packaged = workshop.package(&mut first).unwrap();
    assert_eq!(packaged.same_version, None);
    assert_eq!(workshop.package(&mut first).unwrap().same_version, None);
    let twin = workshop.package(&mut workshop.run(2, 1.0)).unwrap();
    assert_eq!((twin.id, twin.same_version), (packaged.id, None));
    let other = workshop.package(&mut workshop.run(2, 9.0)).unwrap();
    let conflict = other.same_version.unwrap();
    assert_eq!((&conflict.run, conflict.version), (&first.0.record.id, 2));
    let told = conflict.to_string();
    assert!(
        told.contains(&first.0.record.id) && told.contains("`version = 3`"),
        "{told}"
    );
}

#[test]
fn stages_refuse_files_that_were_changed_since() {
    let workshop = Workshop::new();
    let (mut run, recipe) = workshop.run(1, 1.0);
    let baseline = run.path(baseline_file(&run));
    let mut bytes = std::fs::read(&baseline).unwrap();
    bytes.push(0);
    std::fs::write(&baseline, bytes).unwrap();
    let error = workshop.package(&mut (run.clone(), recipe)).unwrap_err();
    assert!(
        error.to_string().contains("baseline.bin: changed since"),
        "{error}"
    );
    std::fs::write(run.path(runs::MODEL), "other").unwrap();
    for error in [
        deployed(&run).unwrap_err(),
        compile(&mut run, &workshop.target).unwrap_err(),
    ] {
        assert!(
            error.to_string().contains("model.onnx: changed since"),
            "{error}"
        );
    }
}

#[test]
fn thresholds_calibrated_before_quantizing_are_not_those_of_the_quantized_model() {
    let workshop = Workshop::new();
    let mut made = workshop.run(1, 1.0);
    workshop.package(&mut made).unwrap();
    let model = deployed_bytes(&made.0).unwrap();
    made.0.add_file(INT8_MODEL, &model).unwrap();
    let error = workshop.package(&mut made).unwrap_err();
    assert!(matches!(error, StageError::Missing { .. }), "{error}");
    calibrate(&mut made.0, &made.1, &workshop.splits).unwrap();
    workshop.package(&mut made).unwrap();
}
