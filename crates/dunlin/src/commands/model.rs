//! `dunlin export`, `quantize`, `compile`, `package`: from a run's model to a signed bundle.

use super::fleet::KeysArguments;
use super::run::{Opened, RunArguments, RunName};
use crate::{Outcome, output};
use anyhow::{Context, Result};
use clap::Args;
use dunlin_host::calibrate::Account;
use dunlin_host::compile::CompileReport;
use dunlin_host::data::Splits;
use dunlin_host::keys::SecretKey;
use dunlin_host::recipe::Recipe;
use dunlin_host::runs::{self, Run};
use dunlin_host::stages::{self, PackageOptions, Packaged};
use dunlin_host::target::Target;
use dunlin_wire::Digest;
use std::path::{Path, PathBuf};

#[derive(Args)]
#[command(after_help = "Example:\n  dunlin export latest --out occupancy.onnx")]
pub struct Export {
    #[command(flatten)]
    run: RunName,
    /// Where to write the model; its place in the run is printed unless given
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The int8 model in place of the float one
    #[arg(long)]
    int8: bool,
    /// Print what was written as JSON
    #[arg(long)]
    json: bool,
}

impl Export {
    pub fn run(self) -> Result<Outcome> {
        let opened = self.run.open()?;
        let name = if self.int8 {
            stages::INT8_MODEL
        } else {
            runs::MODEL
        };
        let model = opened.run.path(name);
        anyhow::ensure!(
            model.is_file(),
            "{}: not there yet; first `dunlin quantize {}`",
            model.display(),
            opened.run.record.id
        );
        let bytes = opened.run.file(name)?;
        if let Some(out) = &self.out {
            std::fs::write(out, bytes).with_context(|| out.display().to_string())?;
        }
        let written = self.out.unwrap_or(model);
        if self.json {
            output::json(&serde_json::json!({
                "run": opened.run.record.id, "model": written, "int8": self.int8,
            }))?
        } else {
            output::line(written.display())?
        }
        Ok(Outcome::Done)
    }
}

#[derive(Args)]
#[command(after_help = "Example:\n  dunlin quantize latest")]
pub struct Quantize {
    #[command(flatten)]
    run: RunArguments,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

impl Quantize {
    pub fn run(self) -> Result<Outcome> {
        let mut opened = self.run.open()?;
        let splits = self.run.load(&opened)?;
        let model = opened.run.path(runs::MODEL);
        let report = stages::quantize(&mut opened.run, &opened.recipe, &splits)
            .with_context(|| model.display().to_string())?;
        if self.json {
            output::json(&report)?
        } else {
            output::line(report.to_string().trim_end())?
        }
        output::notice(opened.run.path(stages::INT8_MODEL).display());
        Ok(Outcome::Done)
    }
}

#[derive(Args)]
#[command(after_help = "Examples:
  dunlin compile latest --target qemu-cortex-m4f
  dunlin compile model.onnx --target nrf52840 --out plan.bin

Exit status 2 when the model cannot run or does not fit there, with the reason.")]
pub struct Compile {
    /// The run (id, beginning of an id, model name, `latest`), or an ONNX file
    model: String,
    #[command(flatten)]
    root: super::run::RootArguments,
    /// Compile for this target; for every target of the recipe unless given
    #[arg(long)]
    target: Option<String>,
    /// Where to write the plan of an ONNX file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Of an ONNX file: take this many new rows of a stream at a time, and keep the rest
    #[arg(long, value_name = "ROWS")]
    streaming: Option<usize>,
    /// Print what became of every node and why, what every op takes, and what every pass changed
    #[arg(long)]
    explain: bool,
    /// Print the reports as JSON, a list with one for every target
    #[arg(long, conflicts_with = "explain")]
    json: bool,
}

impl Compile {
    pub fn run(self) -> Result<Outcome> {
        if self.model.ends_with(".onnx") {
            self.compile_file()
        } else {
            self.compile_run()
        }
    }

    fn compile_file(&self) -> Result<Outcome> {
        let target = Target::find(self.target.as_deref().unwrap_or("local"))?;
        let model = dunlin_host::onnx::read(Path::new(&self.model))?;
        let compiled = stages::compile_stream_for(&model, &target, self.streaming)
            .with_context(|| self.model.clone())?;
        if let Some(out) = &self.out {
            std::fs::write(out, &compiled.plan).with_context(|| out.display().to_string())?;
        }
        self.print(&[(target, compiled.report)])
    }

    fn compile_run(&self) -> Result<Outcome> {
        if self.streaming.is_some() {
            anyhow::bail!(
                "--streaming takes an ONNX file: give {}/model.onnx",
                self.model
            );
        }
        let mut run = self.root.find(&self.model)?;
        let recipe = Recipe::parse(&run.record.recipe, &run.path(runs::RECIPE))?;
        let model = stages::deployed_model(&run);
        let mut compiled = Vec::new();
        for target in targets(&recipe, self.target.as_deref())? {
            let report = stages::compile(&mut run, &target)
                .with_context(|| format!("{} for {}", model.display(), target.name))?;
            compiled.push((target, report));
        }
        self.print(&compiled)
    }

    fn print(&self, compiled: &[(Target, CompileReport)]) -> Result<Outcome> {
        if self.json {
            let plans = compiled.iter().map(|(target, report)| {
                serde_json::json!({
                    "target": target.name, "budget": target.budget, "report": report,
                })
            });
            output::json(&plans.collect::<Vec<_>>())?;
            return Ok(Outcome::Done);
        }
        for (target, report) in compiled {
            if self.explain {
                output::line(format!("{report}\n"))?;
            }
            output::line(against_budget(report, target))?;
        }
        Ok(Outcome::Done)
    }
}

#[derive(Args)]
#[command(
    after_help = "Example:\n  dunlin package latest --target local\n\nA key is made on first use."
)]
pub struct Package {
    #[command(flatten)]
    run: RunArguments,
    /// Package for this target; for every target of the recipe unless given
    #[arg(long)]
    target: Option<String>,
    /// Name of the signing key
    #[arg(long, default_value = DEFAULT_KEY)]
    key: String,
    /// Sign the model although it has not been evaluated or has not passed the recipe's gates
    #[arg(long)]
    despite_gates: bool,
    #[command(flatten)]
    keys: KeysArguments,
    /// Print what was made as JSON
    #[arg(long)]
    json: bool,
}

impl Package {
    pub fn run(self) -> Result<Outcome> {
        let mut opened = self.run.open()?;
        if !self.despite_gates && !has_passed(&opened.run)? {
            return self.nothing(&opened.run);
        }
        let splits = self.run.load(&opened)?;
        if !has_baseline(&opened.run) {
            let account = calibrate(&mut opened.run, &opened.recipe, &splits)?;
            if !self.json {
                output::line(account.to_string().trim_end())?;
            }
        }
        let key = signing_key(&self.keys.keys, &self.key)?;
        let Opened { run, recipe } = &mut opened;
        let targets = targets(recipe, self.target.as_deref())?;
        let options = BundleOptions {
            recipe,
            splits: &splits,
            key: &key,
        };
        let bundles = bundles(run, &targets, &options)?;
        if self.json {
            let bundles: Vec<_> = bundles.iter().map(Bundle::json).collect();
            output::json(&serde_json::json!({"run": run.record.id, "bundles": bundles}))?;
        } else {
            bundles.iter().try_for_each(Bundle::print)?;
        }
        Ok(Outcome::Done)
    }

    fn nothing(&self, run: &Run) -> Result<Outcome> {
        let reason = format!(
            "nothing was packaged: {} has not passed its gates as it is now; `dunlin evaluate {}`, or --despite-gates",
            stages::deployed_model(run).display(),
            run.record.id
        );
        if self.json {
            output::json(&serde_json::json!({
                "run": run.record.id, "bundles": [], "reason": reason,
            }))?;
        } else {
            output::line(reason)?;
        }
        Ok(Outcome::Failed)
    }
}

/// A bundle that was made, and for what.
pub struct Bundle<'t> {
    target: &'t Target,
    packaged: Packaged,
}

impl Bundle<'_> {
    /// What it is and what it takes.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "target": self.target.name,
            "bundle": self.packaged.id.to_string(),
            "bytes": self.packaged.bytes,
            "path": self.packaged.path,
            "budget": self.target.budget,
            "report": self.packaged.report,
        })
    }

    /// The same in two lines.
    pub fn print(&self) -> Result<()> {
        output::line(against_budget(&self.packaged.report, self.target))?;
        output::line(format!(
            "bundle {} ({} B) {}",
            self.packaged.id,
            self.packaged.bytes,
            self.packaged.path.display()
        ))
    }
}

/// Calibrates drift thresholds.
pub fn calibrate(run: &mut Run, recipe: &Recipe, splits: &Splits) -> Result<Account> {
    let model = stages::deployed_model(run);
    stages::calibrate(run, recipe, splits).with_context(|| model.display().to_string())
}

/// What bundles are made from besides the run.
pub struct BundleOptions<'a> {
    /// The run's recipe.
    pub recipe: &'a Recipe,
    /// Its data, for golden vectors.
    pub splits: &'a Splits,
    /// Signs.
    pub key: &'a SecretKey,
}

/// Makes a bundle for every target.
pub fn bundles<'t>(
    run: &mut Run,
    targets: &'t [Target],
    options: &BundleOptions<'_>,
) -> Result<Vec<Bundle<'t>>> {
    let model = stages::deployed_model(run);
    let mut make = |target: &'t Target| {
        let options = PackageOptions {
            recipe: options.recipe,
            splits: options.splits,
            target,
            key: options.key,
        };
        let packaged = stages::package(run, &options)
            .with_context(|| format!("{} for {}", model.display(), target.name))?;
        warn_of_same_version(&packaged);
        Ok(Bundle { target, packaged })
    };
    targets.iter().map(&mut make).collect()
}

/// Tells when another run holds a bundle of the same version with other contents.
fn warn_of_same_version(packaged: &Packaged) {
    if let Some(other) = &packaged.same_version {
        output::warning(other);
    }
}

/// Whether the model that is deployed was evaluated and passed every gate.
fn has_passed(run: &Run) -> Result<bool> {
    let model = stages::deployed_bytes(run)?;
    let evaluation = run.record.evaluation.as_ref();
    Ok(evaluation.is_some_and(|evaluation| {
        evaluation.passed() && evaluation.model_hash == Digest::of(&model).to_string()
    }))
}

/// Whether thresholds were calibrated for the model that is deployed.
fn has_baseline(run: &Run) -> bool {
    run.path(stages::baseline_file(run)).is_file()
}

/// What a compiled model takes of what a target offers.
pub fn against_budget(report: &CompileReport, target: &Target) -> String {
    format!(
        "{}: flash {} of {} B, arena {} of {} B, stack {} of {} B, {} MACs",
        target.name,
        report.plan_bytes,
        target.budget.flash_bytes,
        report.arena_bytes,
        target.budget.arena_bytes,
        report.stack_bytes,
        target.budget.stack_bytes,
        report.macs
    )
}

/// The target asked for, or every target of the recipe.
pub fn targets(recipe: &Recipe, asked: Option<&str>) -> Result<Vec<Target>> {
    let names: Vec<&str> = match asked {
        Some(name) => vec![name],
        None => recipe.deploy.targets.iter().map(String::as_str).collect(),
    };
    Ok(names
        .into_iter()
        .map(Target::find)
        .collect::<Result<_, _>>()?)
}

/// Name of the key that is made when it is first needed.
pub const DEFAULT_KEY: &str = "signing";

/// Reads the signing key of this name; makes it when it is the default one.
pub fn signing_key(folder: &Path, name: &str) -> Result<SecretKey> {
    let path = folder.join(format!("{name}.key.pem"));
    if !path.exists() && name == DEFAULT_KEY {
        let created = dunlin_host::keys::create(folder, name)?;
        output::warning(format!(
            "made signing key {} in {}",
            created.id,
            created.secret_path.display()
        ));
    }
    Ok(SecretKey::read(&path)?)
}
