//! The stages between training and a device, each on a run folder: quantize, calibrate, compile, package.
//!
//! Runs on the workstation. A stage reads what earlier ones left in the run, writes its own files there and lists
//! them with their hashes. Cost: a run of the model over the training data for [`quantize`], some trainings for
//! [`calibrate`], milliseconds for the others.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use dunlin_host::{data, keys::SecretKey, recipe::Recipe, runs, stages, target::Target};
//! let mut run = runs::load("runs".as_ref(), "latest")?;
//! let recipe = Recipe::parse(&run.record.recipe, "recipe.toml".as_ref())?;
//! let splits = data::load(&recipe, &data::LoadOptions::default())?;
//! stages::quantize(&mut run, &recipe, &splits)?;
//! stages::calibrate(&mut run, &recipe, &splits)?;
//! let target = Target::find("qemu-cortex-m4f")?;
//! let key = SecretKey::read("keys/signing.key.pem".as_ref())?;
//! let options = stages::PackageOptions { recipe: &recipe, splits: &splits, target: &target, key: &key };
//! println!("{}", stages::package(&mut run, &options)?.path.display());
//! # Ok(()) }
//! ```
//!
//! **Architecture invariants**: a stage never changes another stage's files, and reads them only while they are as
//! that stage left them; what is deployed is the quantized model where there is one, else the float model; the test
//! parts are not looked at.

mod released;

pub use released::Released;

use std::path::PathBuf;

use dunlin_wire::{BundleId, Digest, ParseIdentityError};
use serde::Serialize;

use crate::calibrate::{self, Account, CalibrateError, Part};
use crate::compile::{self, CompileError, CompileOptions, CompileReport, Limits};
use crate::data::{Examples, Splits};
use crate::evaluate::{self, EvaluateError};
use crate::keys::SecretKey;
use crate::onnx::{self, OnnxError, proto::ModelProto, session::Session};
use crate::package::{self, MadeFrom, PackageError, Parts, Previous, golden};
use crate::quantize::{self, QuantizeError, QuantizeOptions, QuantizeReport};
use crate::recipe::{Algorithm, Recipe};
use crate::runs::{Run, RunsError};
use crate::target::Target;
use crate::train::{self, Effort, TrainError};

/// The quantized model's file name.
pub const INT8_MODEL: &str = "model.int8.onnx";
/// How the thresholds came about, for people.
pub const CALIBRATION: &str = "calibration.txt";
/// Golden vectors in a bundle.
const GOLDEN_VECTORS: usize = 8;

/// Why a stage failed.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// A file of an earlier stage is not there.
    #[error("{}: not there yet; first `{command}`", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The command that makes it.
        command: String,
    },
    /// The model is of a kind that is not quantized.
    #[error("{algorithm} models have no dense layers to quantize; they compile as they are")]
    NothingToQuantize {
        /// The algorithm.
        algorithm: Algorithm,
    },
    /// A hash in the run's record is none.
    #[error("{}: `{field}`: {source}", path.display())]
    Record {
        /// The record.
        path: PathBuf,
        /// The field.
        field: &'static str,
        /// What was expected.
        source: ParseIdentityError,
    },
    /// The run could not be read or written, or one of its files is not what a stage left there.
    #[error(transparent)]
    Run(#[from] RunsError),
    /// A model could not be read.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// The model could not be run over the data.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// Quantization failed.
    #[error(transparent)]
    Quantize(#[from] QuantizeError),
    /// Compilation failed.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// A model without a part of the data could not be trained.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// Thresholds could not be calibrated.
    #[error(transparent)]
    Calibrate(#[from] CalibrateError),
    /// The bundle could not be assembled.
    #[error(transparent)]
    Package(#[from] PackageError),
}

/// What a bundle is packaged for, and from what beside the run.
#[derive(Clone, Copy)]
pub struct PackageOptions<'a> {
    /// The run's recipe.
    pub recipe: &'a Recipe,
    /// The data the run learnt from; the training part gives the golden vectors.
    pub splits: &'a Splits,
    /// The kind of device.
    pub target: &'a Target,
    /// The key that signs.
    pub key: &'a SecretKey,
}

/// A packaged bundle.
#[derive(Debug, Clone, Serialize)]
pub struct Packaged {
    /// Its identity.
    #[serde(serialize_with = "as_text")]
    pub id: BundleId,
    /// The file.
    pub path: PathBuf,
    /// Bytes of the file.
    pub bytes: usize,
    /// What its plan takes on the target.
    pub report: CompileReport,
    /// Another bundle of this model, target and version with other contents: a device that has run it refuses this
    /// one. [`Released`] says so in words.
    pub same_version: Option<Released>,
}

fn as_text<S: serde::Serializer>(id: &BundleId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

/// File name of the plan for a target.
pub fn plan_file(target: &Target) -> String {
    format!("plan-{}.bin", target.name)
}

/// File name of the bundle for a target.
pub fn bundle_file(run: &Run, target: &Target) -> String {
    format!("{}-{}.bundle", run.record.name, target.name)
}

/// The run's bundle for a target, as [`package`] left it.
///
/// # Errors
/// [`StageError::Missing`] before [`package`]; [`StageError::Run`] when the file was changed since, or cannot be read.
pub fn bundle(run: &Run, target: &Target) -> Result<Vec<u8>, StageError> {
    let name = bundle_file(run, target);
    run.file(&name).map_err(|error| {
        absent(
            error,
            format!("dunlin package {} --target {}", run.record.id, target.name),
        )
    })
}

/// File name of the model that is deployed: the quantized one where there is one.
fn deployed_name(run: &Run) -> &'static str {
    if run.path(INT8_MODEL).is_file() {
        INT8_MODEL
    } else {
        crate::runs::MODEL
    }
}

/// File name of the baseline section for the model that is deployed: another model answers otherwise.
pub fn baseline_file(run: &Run) -> &'static str {
    match deployed_name(run) {
        INT8_MODEL => "baseline.int8.bin",
        _ => "baseline.bin",
    }
}

/// Path of the model that is deployed: the quantized one where there is one.
pub fn deployed_model(run: &Run) -> PathBuf {
    run.path(deployed_name(run))
}

/// Bytes of the model that is deployed, as the stage that made it left them.
///
/// # Errors
/// [`StageError::Run`] when the file was changed since, or cannot be read.
pub fn deployed_bytes(run: &Run) -> Result<Vec<u8>, StageError> {
    read(run, deployed_name(run), "train")
}

/// The model that is deployed.
///
/// # Errors
/// As [`deployed_bytes`]; [`StageError::Onnx`] when the file is no model.
pub fn deployed(run: &Run) -> Result<ModelProto, StageError> {
    Ok(onnx::decode_file(
        &deployed_bytes(run)?,
        &deployed_model(run),
    )?)
}

/// Quantizes an MLP to int8 with ranges from the training part; writes [`INT8_MODEL`].
///
/// # Errors
/// [`StageError::NothingToQuantize`] for other algorithms; otherwise what failed.
pub fn quantize(
    run: &mut Run,
    recipe: &Recipe,
    splits: &Splits,
) -> Result<QuantizeReport, StageError> {
    if recipe.train.algorithm != Algorithm::Mlp {
        return Err(StageError::NothingToQuantize {
            algorithm: recipe.train.algorithm,
        });
    }
    let bytes = read(run, crate::runs::MODEL, "train")?;
    let model = onnx::decode_file(&bytes, &run.path(crate::runs::MODEL))?;
    let options = QuantizeOptions {
        max_rows: recipe.quantize.calibration_rows,
        ..QuantizeOptions::default()
    };
    let quantized = quantize::quantize(&model, &splits.train.inputs, &options)?;
    run.add_file(INT8_MODEL, &onnx::encode(&quantized.model))?;
    run.save()?;
    Ok(quantized.report)
}

/// Makes the baseline and its drift thresholds from the training and validation parts; writes [`baseline_file`]
/// and [`CALIBRATION`]. Cost: up to [`train::FOLDS`] trainings of small models, for answers to data they did not see.
///
/// # Errors
/// What failed.
pub fn calibrate(run: &mut Run, recipe: &Recipe, splits: &Splits) -> Result<Account, StageError> {
    let model = deployed(run)?;
    let session = Session::new(&model)?;
    let said = |examples: &Examples| -> Result<Vec<u32>, StageError> {
        Ok(evaluate::answers(&session, &model, examples)?.predicted)
    };
    let (train, validation) = (said(&splits.train)?, said(&splits.validation)?);
    let effort = Effort {
        passes: run.record.curve.len(),
        values: run.record.features.len(),
    };
    let unseen = train::unseen_answers(recipe, splits, effort)?;
    let parts = [
        Part {
            examples: &splits.train,
            predicted: &train,
            unseen: unseen.as_ref().map(|unseen| unseen.train.as_slice()),
        },
        Part {
            examples: &splits.validation,
            predicted: &validation,
            unseen: unseen.as_ref().map(|unseen| unseen.validation.as_slice()),
        },
    ];
    let calibration = calibrate::calibrate(&parts, &recipe.monitor)?;
    run.add_file(baseline_file(run), &calibration.section)?;
    run.add_file(CALIBRATION, calibration.account.to_string().as_bytes())?;
    run.save()?;
    Ok(calibration.account)
}

/// Compiles the deployed model for a target, against its budgets; writes the plan.
///
/// # Errors
/// [`StageError::Compile`] when it cannot run or does not fit there; otherwise what failed.
pub fn compile(run: &mut Run, target: &Target) -> Result<CompileReport, StageError> {
    let model = deployed(run)?;
    let compiled = compile_for(&model, target)?;
    run.add_file(&plan_file(target), &compiled.plan)?;
    run.save()?;
    Ok(compiled.report)
}

/// Compiles any model for a target, against its budgets.
///
/// # Errors
/// When it cannot run or does not fit there.
pub fn compile_for(model: &ModelProto, target: &Target) -> Result<compile::Compiled, CompileError> {
    compile_stream_for(model, target, None)
}

/// As [`compile_for`], for a plan that takes this many new rows of a stream where a number is given.
///
/// # Errors
/// As [`compile_for`].
pub fn compile_stream_for(
    model: &ModelProto,
    target: &Target,
    streaming: Option<usize>,
) -> Result<compile::Compiled, CompileError> {
    let limits = Limits {
        plan_bytes: Some(target.budget.flash_bytes as usize),
        arena_bytes: Some(target.budget.arena_bytes as usize),
        stack_bytes: Some(target.budget.stack_bytes as usize),
        kernels: None,
    };
    compile::compile(
        model,
        &CompileOptions {
            limits,
            streaming,
            ..CompileOptions::default()
        },
    )
}

/// Compiles the deployed model for a target, assembles the bundle and signs it; writes both into the run.
///
/// The other runs in the same folder say which versions of the model there are: an older one than the newest of them
/// is refused; one with the same version and other contents is packaged and told in [`Packaged::same_version`].
///
/// # Errors
/// [`StageError::Missing`] before [`calibrate`]; otherwise what failed.
pub fn package(run: &mut Run, options: &PackageOptions<'_>) -> Result<Packaged, StageError> {
    let PackageOptions { recipe, target, .. } = *options;
    let released = released::of(run, target)?;
    let model = deployed_bytes(run)?;
    let compiled = compile_for(&onnx::decode_file(&model, &deployed_model(run))?, target)?;
    let packed = assemble(run, options, &compiled.plan, &released)?;
    run.add_file(&plan_file(target), &compiled.plan)?;
    let same_version = released::conflicting(released, recipe.version, &packed.bytes);
    let name = bundle_file(run, target);
    run.add_file(&name, &packed.bytes)?;
    run.save()?;
    Ok(Packaged {
        id: packed.id,
        path: run.path(&name),
        bytes: packed.bytes.len(),
        report: compiled.report,
        same_version,
    })
}

fn assemble(
    run: &Run,
    options: &PackageOptions<'_>,
    plan: &[u8],
    released: &[Released],
) -> Result<package::Package, StageError> {
    let train = &options.splits.train;
    let chosen = golden::choose(&train.labels, GOLDEN_VECTORS);
    let inputs = chosen.iter().filter_map(|&index| train.input(index));
    let newest = released::newest_elsewhere(released, run);
    let previous = newest.map(|newest| Previous {
        version: newest.version,
        path: &newest.path,
    });
    let parts = Parts {
        name: &options.recipe.name,
        version: options.recipe.version,
        previous,
        target: options.target,
        plan: Some(plan),
        onnx: None,
        schema: &train.schema,
        labels: &train.label_names,
        baseline: Some(&read(run, baseline_file(run), "package")?),
        golden: &golden::from_plan(plan, inputs)?,
        made_from: made_from(run, &deployed_bytes(run)?)?,
    };
    Ok(package::package(&parts, options.key)?)
}

/// A file of the run as it was written; `command` makes it where it is missing.
fn read(run: &Run, name: &str, command: &str) -> Result<Vec<u8>, StageError> {
    run.file(name)
        .map_err(|error| absent(error, format!("dunlin {command} {}", run.record.id)))
}

/// The same error, or where a file is not there the command that makes it.
fn absent(error: RunsError, command: String) -> StageError {
    match error {
        RunsError::File { path, source } if source.kind() == std::io::ErrorKind::NotFound => {
            StageError::Missing { path, command }
        }
        other => StageError::Run(other),
    }
}

fn made_from(run: &Run, model: &[u8]) -> Result<MadeFrom, StageError> {
    let digest = |field: &'static str, hex: &str| -> Result<Digest, StageError> {
        hex.parse().map_err(|source| StageError::Record {
            path: run.path(crate::runs::RECORD),
            field,
            source,
        })
    };
    Ok(MadeFrom {
        recipe: digest("recipe_hash", &run.record.recipe_hash)?,
        data: digest("data_hash", &run.record.data_hash)?,
        model: Digest::of(model),
    })
}

#[cfg(test)]
mod tests;
