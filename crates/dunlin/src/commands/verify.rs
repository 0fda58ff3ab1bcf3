//! `dunlin verify`: the same inputs on every backend, and who computes a model exactly.

use super::existing;
use super::fleet::KeysArguments;
use super::run::{Opened, RunArguments};
use super::stream::part;
use crate::Outcome;
use crate::output::{self, Bar};
use anyhow::{Context, Result};
use clap::Args;
use dunlin_host::data::Splits;
use dunlin_host::flash::{self, FlashOptions, FlashedDevice, Step};
use dunlin_host::onnx::{self, proto::ModelProto};
use dunlin_host::stages;
use dunlin_host::target::Target;
use dunlin_host::verify::exactness::{ExactnessError, Sample, Samples, exactness};
use dunlin_host::verify::{
    Backend, BackendError, Device, Local, OnnxRuntime, OnnxRuntimeOptions, Rival, Skipped,
    Tolerance, Tract, Verification, spread, verify, verify_file,
};
use dunlin_link::Link;
use std::path::{Path, PathBuf};

#[derive(Args)]
#[command(after_help = "Examples:
  dunlin verify latest --on local,tract,onnxruntime,qemu-cortex-m4f,linux-aarch64,linux-armv7
  dunlin verify latest --exact
  dunlin verify model.int8.onnx --samples samples.npz --json
  dunlin verify model.onnx --tolerance 0.001

The engine in this process is what the others are compared with. Devices must give the same bytes;
tract and ONNX Runtime add floats in another order and must stay within a tolerance. Exit status 1
when one does not.

With --exact, or for an ONNX file: at every QuantizeLinear of a quantised model, the bytes of the
engine and of ONNX Runtime, with its graph optimisations and without, that differ from the model in
exact arithmetic, and where ONNX Runtime leaves it. Exit status 1 when the engine differs or
refuses the model. An ONNX file of floats, or with a layer that exact arithmetic does not define
(LSTM, GRU), is compared with tract and ONNX Runtime.")]
pub struct Arguments {
    #[command(flatten)]
    run: RunArguments,
    /// Backends for a run: local, tract, onnxruntime, or targets, whose devices are started for it; the first three
    /// unless given
    #[arg(long, value_delimiter = ',')]
    on: Option<Vec<String>>,
    /// The part of the data to run: train, validation, or a test's name; the first test unless given
    #[arg(long)]
    part: Option<String>,
    /// At most this many inputs, evenly spread
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    inputs: u32,
    /// Count who computes the quantised model exactly, node by node; always so for an ONNX file
    #[arg(long, conflicts_with = "on")]
    exact: bool,
    /// Inputs of an ONNX file: an .npz archive with an array of the input's name or `input…`; other integer arrays
    /// of it are compared with the output. Made up unless given
    #[arg(long, value_name = "FILE")]
    samples: Option<PathBuf>,
    /// How far a float model's results may be from other libraries', of the value or of 1; 0.0001
    /// unless given, 0.1 where only some layers of the model are quantised exactly
    #[arg(long, value_name = "FRACTION", value_parser = fraction)]
    tolerance: Option<f32>,
    /// ONNX Runtime's shared library
    #[arg(long, value_name = "FILE", value_parser = existing())]
    onnxruntime: Option<PathBuf>,
    #[command(flatten)]
    keys: KeysArguments,
    /// Print the comparison as JSON
    #[arg(long)]
    json: bool,
}

/// How far floats that were added in another order may be apart, of the value or of 1.
const FLOAT_TOLERANCE: f32 = 1e-4;
/// The same where the engine rounds to bytes what a library keeps in floats.
const QUANTIZED_TOLERANCE: f32 = 0.1;

/// Whom a run is compared with unless `--on` says otherwise.
const BACKENDS: [&str; 3] = ["local", "tract", "onnxruntime"];

fn fraction(text: &str) -> Result<f32, String> {
    let number = text.parse::<f32>().ok();
    number
        .filter(|number| number.is_finite() && *number >= 0.0)
        .ok_or_else(|| "give a number from 0 up, such as 0.001".to_owned())
}

/// Devices started for a verification, and the folder they live in.
struct Guests {
    folder: tempfile::TempDir,
    devices: Vec<FlashedDevice>,
}

impl Arguments {
    pub fn run(self) -> Result<Outcome> {
        let is_file = self.run.name.run.ends_with(".onnx");
        anyhow::ensure!(
            is_file || self.samples.is_none(),
            "--samples is for an ONNX file; a run has its own data"
        );
        anyhow::ensure!(
            !is_file || self.on.is_none(),
            "--on is for a run; an ONNX file is compared with exact arithmetic, or tract and ONNX Runtime"
        );
        if is_file || self.exact {
            return self.count();
        }
        let opened = self.run.open()?;
        let splits = self.run.load(&opened)?;
        let inputs = self.inputs(&splits)?;
        let plan = self.reference_plan(&opened)?;
        let mut guests = Guests {
            folder: tempfile::tempdir()?,
            devices: Vec::new(),
        };
        let (mut rivals, skipped) = self.rivals(&opened, &plan, &mut guests)?;
        let mut found = compare(&plan, &mut rivals, &inputs)?;
        found.skipped = skipped;
        guests.stop()?;
        if self.json {
            output::json(&found)?
        } else {
            output::line(found.to_string().trim_end())?
        }
        Ok(Outcome::of(found.passed()))
    }

    /// Counts, byte by byte, who computes the model exactly.
    fn count(&self) -> Result<Outcome> {
        let (model, samples) = self.quantized_model()?;
        let bar = Bar::new("verify", 0);
        let found = exactness(&model, &samples, &self.onnxruntime(), &mut |what: &str| {
            bar.say(what)
        });
        drop(bar);
        let found = match found {
            Err(ExactnessError::NotQuantized) if !self.exact => {
                return self.compare_file(&model, &samples, FLOAT_TOLERANCE);
            }
            Err(ExactnessError::Exact(error)) if !self.exact => {
                output::notice(format!(
                    "no exact arithmetic for {error}; compared with other libraries instead"
                ));
                return self.compare_file(&model, &samples, QUANTIZED_TOLERANCE);
            }
            found => found.with_context(|| self.run.name.run.clone())?,
        };
        if self.json {
            output::json(&found)?
        } else {
            output::line(found.to_string().trim_end())?
        }
        Ok(Outcome::of(found.passed()))
    }

    /// Compares an ONNX file's floats with those of other libraries.
    fn compare_file(&self, model: &ModelProto, samples: &Samples, usual: f32) -> Result<Outcome> {
        let numbers = samples.inputs.iter().map(|sample| match sample {
            Sample::F32(values) => values.clone(),
            Sample::I8(values) => values.iter().copied().map(f32::from).collect(),
            Sample::U8(values) => values.iter().copied().map(f32::from).collect(),
        });
        let inputs: Vec<Vec<f32>> = numbers.collect();
        let tolerance = Tolerance::Relative(self.tolerance.unwrap_or(usual));
        let found = verify_file(model, &inputs, tolerance, &self.onnxruntime())
            .with_context(|| self.run.name.run.clone())?;
        if self.json {
            output::json(&found)?
        } else {
            output::line(found.to_string().trim_end())?
        }
        Ok(Outcome::of(found.passed()))
    }

    /// The model to count on and its inputs: an ONNX file with samples or made-up ones, or a run's model on its data.
    fn quantized_model(&self) -> Result<(ModelProto, Samples)> {
        let name = &self.run.name.run;
        if !name.ends_with(".onnx") {
            let opened = self.run.open()?;
            let splits = self.run.load(&opened)?;
            let inputs = self.inputs(&splits)?.into_iter();
            let samples = Samples {
                inputs: inputs.map(|input| Sample::F32(input.to_vec())).collect(),
                answers: Vec::new(),
            };
            return Ok((stages::deployed(&opened.run)?, samples));
        }
        anyhow::ensure!(
            self.part.is_none(),
            "--part is for a run; the inputs of an ONNX file are --samples FILE"
        );
        let model = onnx::read(Path::new(name))?;
        let samples = match &self.samples {
            Some(file) => Samples::read(file, &model, self.inputs as usize)?,
            None => Samples::pseudo_random(&model, self.inputs as usize)?,
        };
        Ok((model, samples))
    }

    /// Inputs of the part asked for, or of the first test, spread evenly over it.
    fn inputs<'s>(&self, splits: &'s Splits) -> Result<Vec<&'s [f32]>> {
        let first = splits.tests.first().map_or("validation", |(name, _)| name);
        let examples = part(splits, self.part.as_deref().unwrap_or(first))?;
        let chosen = spread(examples.len(), self.inputs as usize);
        Ok(chosen.filter_map(|index| examples.input(index)).collect())
    }

    /// Every backend asked for, and what cannot be asked here.
    fn rivals(
        &self,
        opened: &Opened,
        plan: &[u8],
        guests: &mut Guests,
    ) -> Result<(Vec<Rival>, Vec<Skipped>)> {
        let (mut rivals, mut skipped) = (Vec::new(), Vec::new());
        let usual = || BACKENDS.map(str::to_owned).to_vec();
        for name in &self.on.clone().unwrap_or_else(usual) {
            if name == "onnxruntime" && self.onnxruntime().find().is_none() {
                skipped.push(Skipped {
                    backend: name.clone(),
                    reason: "no library; name one with --onnxruntime FILE or ORT_DYLIB_PATH, or `pip install onnxruntime`".to_owned(),
                });
            } else {
                rivals.push(self.rival(name, opened, plan, guests)?);
            }
        }
        Ok((rivals, skipped))
    }

    /// The plan of the local target, compiled now where the run has none: plans are the same for every target of a
    /// kernel class.
    fn reference_plan(&self, opened: &Opened) -> Result<Vec<u8>> {
        let local = Target::find("local")?;
        let model = stages::deployed(&opened.run)?;
        Ok(stages::compile_for(&model, &local)?.plan)
    }

    fn rival(
        &self,
        name: &str,
        opened: &Opened,
        plan: &[u8],
        guests: &mut Guests,
    ) -> Result<Rival> {
        let near = Tolerance::Absolute(opened.recipe.deploy.probability_tolerance as f32);
        let onnx = || stages::deployed_bytes(&opened.run);
        Ok(match name {
            "local" => Rival {
                backend: Box::new(Again::load(plan)?),
                tolerance: Tolerance::Exact,
            },
            "tract" => Rival {
                backend: Box::new(Tract::load(&onnx()?)?),
                tolerance: near,
            },
            "onnxruntime" => Rival {
                backend: Box::new(OnnxRuntime::load(&onnx()?, &self.onnxruntime())?),
                tolerance: near,
            },
            target => {
                let device = self
                    .start(target, opened, guests)
                    .with_context(|| target.to_owned())?;
                Rival {
                    backend: Box::new(device),
                    tolerance: Tolerance::Exact,
                }
            }
        })
    }

    fn onnxruntime(&self) -> OnnxRuntimeOptions {
        OnnxRuntimeOptions {
            library: self.onnxruntime.clone(),
            ..OnnxRuntimeOptions::default()
        }
    }

    /// Starts a device of this kind for the length of the verification.
    fn start(&self, target: &str, opened: &Opened, guests: &mut Guests) -> Result<Device> {
        let target = Target::find(target)?;
        let bundle = stages::bundle(&opened.run, &target)?;
        let trusted = self.keys.trusted()?;
        let (devices, state) = (guests.file("devices.json"), guests.file(&target.name));
        let options = FlashOptions {
            devices: &devices,
            state: &state,
            trusted: &trusted,
            ..FlashOptions::new(&target, &bundle)
        };
        let bar = Bar::new("start", 0);
        let flashed = flash::flash(&options, &mut |step: Step<'_>| bar.say(step.to_string()))?;
        let link = Link::open(&flashed.link_url)?;
        guests.devices.push(flashed);
        Ok(Device::over(link)?)
    }
}

/// Runs the inputs everywhere, with a progress bar.
fn compare(plan: &[u8], rivals: &mut [Rival], inputs: &[&[f32]]) -> Result<Verification> {
    let bar = Bar::new("verify", inputs.len() as u64);
    let counted = inputs.iter().enumerate().map(|(index, input)| {
        bar.set(index as u64);
        *input
    });
    Ok(verify(&mut Local::load(plan)?, rivals, counted)?)
}

impl Guests {
    fn file(&self, name: &str) -> PathBuf {
        let folder: &Path = self.folder.path();
        folder.join(name)
    }

    fn stop(self) -> Result<()> {
        for device in self.devices {
            device.stop()?;
        }
        Ok(())
    }
}

/// The engine in this process, with a plan of its own and an arena that starts dirty: a result that depended on
/// what an arena held before would show.
struct Again {
    plan: Vec<u8>,
}

impl Again {
    fn load(plan: &[u8]) -> Result<Self> {
        Local::load(plan)?;
        Ok(Again {
            plan: plan.to_vec(),
        })
    }
}

impl Backend for Again {
    fn name(&self) -> &str {
        "local"
    }

    fn run(&mut self, input: &[f32]) -> Result<dunlin_host::verify::Answer, BackendError> {
        let mut local = Local::load(&self.plan)?;
        let reversed: Vec<f32> = input.iter().rev().copied().collect();
        local.run(&reversed)?;
        local.run(input)
    }
}
