//! `dunlin bench`: what models cost on a device.

use crate::Outcome;
use crate::output::{self, Bar};
use anyhow::{Context, Result};
use clap::Args;
use dunlin_host::bench::{self, BOARD, BenchOptions, Measurement};
use std::path::{Path, PathBuf};

#[derive(Args)]
#[command(after_help = "Example:
  dunlin bench --target qemu-cortex-m4f kws.onnx ic.onnx

Called in the folder of Dunlin's source: an image is built around each model's plan and run in QEMU.
Instructions are counted, cycles modelled. Exit status 1 when the board's output bytes are not those of
the engine on this machine.")]
pub struct Arguments {
    /// ONNX files
    #[arg(required = true, value_name = "MODEL.onnx")]
    models: Vec<PathBuf>,
    /// The target to measure on
    #[arg(long, default_value = BOARD, value_parser = [BOARD])]
    target: String,
    /// How many inputs to run, the same pseudo-random ones every time
    #[arg(long, default_value_t = bench::INPUTS, value_parser = clap::value_parser!(u32).range(1..))]
    inputs: u32,
    /// Leave image, plan and counts in this folder, in one for each model where there are several
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Print the measurements as JSON, a list with one object for every model
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub fn run(self) -> Result<Outcome> {
        let bar = Bar::new(&self.target, 0);
        let measure = |path: &PathBuf| {
            self.measure(path, &bar)
                .with_context(|| path.display().to_string())
        };
        let measured = self
            .models
            .iter()
            .map(measure)
            .collect::<Result<Vec<_>>>()?;
        drop(bar);
        if self.json {
            output::json(&measured)?;
        } else {
            output::line(bench::table(&measured))?;
        }
        Ok(Outcome::of(
            measured.iter().all(|model| model.outputs_equal),
        ))
    }

    fn measure(&self, path: &Path, bar: &Bar) -> Result<Measurement> {
        let name = bench::name_of(path);
        let model = dunlin_host::onnx::read(path)?;
        let keep = self.keep.as_ref().map(|folder| match self.models.len() {
            1 => folder.clone(),
            _ => folder.join(&name),
        });
        let options = BenchOptions {
            keep,
            inputs: self.inputs,
            ..BenchOptions::default()
        };
        let mut progress = |step: &str| bar.say(format!("{name}: {step}"));
        Ok(bench::bench(&model, &name, &options, &mut progress)?)
    }
}
