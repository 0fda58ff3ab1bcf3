//! `dunlin bench`: what models cost, on an emulated device or on this machine.

use super::existing;
use crate::Outcome;
use crate::output::{self, Bar};
use anyhow::{Context, Result};
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser};
use dunlin_host::bench::{self, BOARDS, BenchOptions, Board, Call, Measurement};
use dunlin_host::onnx;
use std::path::{Path, PathBuf};

const HERE: &str = "local";
/// Networks that can be made.
const NETWORKS: [&str; 1] = ["mobilenet-v1-0.25"];

#[derive(Args)]
#[command(after_help = "Examples:
  dunlin bench --target qemu-cortex-m4f kws.onnx ic.onnx
  dunlin bench forest.onnx --samples forest_samples.npz
  dunlin bench --target qemu-riscv32 kws.onnx
  dunlin bench --target local kws.onnx
  dunlin bench --make mobilenet-v1-0.25 mobilenet.onnx

On an emulated board, called in the folder of Dunlin's source: an image is built around each model's
plan and run in QEMU. Instructions are counted, cycles modelled on the Cortex-M4F. Exit status 1 when the board's output
bytes are not those of the engine on this machine. On this machine: the engine, tract and ONNX Runtime
side by side, on one thread; instructions where valgrind is installed.")]
pub struct Arguments {
    /// ONNX files
    #[arg(required_unless_present = "make", value_name = "MODEL.onnx")]
    models: Vec<PathBuf>,
    /// The target to measure on
    #[arg(long, default_value = Board::default().name, value_parser = targets())]
    target: String,
    /// How many inputs to run on the board: pseudo-random ones, the same every time, 4 unless given
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    inputs: Option<u32>,
    /// Inputs to run in place of pseudo-random ones, all unless --inputs says fewer: NumPy's `.npz`,
    /// or plain bytes one input after another
    #[arg(long, value_name = "FILE")]
    samples: Option<PathBuf>,
    /// Leave image, plan and counts in this folder, in one for each model where there are several
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// ONNX Runtime's shared library
    #[arg(long, value_name = "FILE", value_parser = existing())]
    onnxruntime: Option<PathBuf>,
    /// Print the measurements as JSON, a list with one object for every model
    #[arg(long)]
    json: bool,
    /// Write a network to measure with, and measure nothing; there is: mobilenet-v1-0.25
    #[arg(long, num_args = 2, value_names = ["NETWORK", "FILE"], conflicts_with = "models")]
    make: Option<Vec<String>>,
    /// Run one backend on this machine and print its median time
    #[arg(long, hide = true)]
    only: Option<String>,
}

fn targets() -> PossibleValuesParser {
    let boards = BOARDS.map(|board| PossibleValue::new(board.name).help(board.summary));
    let here = PossibleValue::new(HERE).help("this machine");
    PossibleValuesParser::new(boards.into_iter().chain([here]))
}

impl Arguments {
    pub fn run(self) -> Result<Outcome> {
        if let Some([network, file]) = self.make.as_deref() {
            return make(network, Path::new(file), self.json);
        }
        if let (Some(backend), [model]) = (&self.only, self.models.as_slice()) {
            let median_us = bench::run_here(backend, &onnx::read(model)?, self.onnxruntime)?;
            output::line(median_us)?;
            return Ok(Outcome::Done);
        }
        match self.target.as_str() {
            HERE => self.here(),
            name => self.board(Board::find(name).unwrap_or_default()),
        }
    }

    fn board(&self, board: Board) -> Result<Outcome> {
        let bar = Bar::new(&self.target, 0);
        let measure = |path: &PathBuf| self.measure(board, path, &bar);
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

    fn measure(&self, board: Board, path: &Path, bar: &Bar) -> Result<Measurement> {
        let name = bench::name_of(path);
        let model = onnx::read(path)?;
        let keep = self.keep.as_ref().map(|folder| match self.models.len() {
            1 => folder.clone(),
            _ => folder.join(&name),
        });
        let options = BenchOptions {
            board,
            keep,
            inputs: self.inputs,
            samples: self.samples.clone(),
            ..BenchOptions::default()
        };
        let mut progress = |step: &str| bar.say(format!("{name}: {step}"));
        bench::bench(&model, &name, &options, &mut progress)
            .with_context(|| path.display().to_string())
    }

    fn here(&self) -> Result<Outcome> {
        let for_boards = self.samples.is_some() || self.inputs.is_some() || self.keep.is_some();
        anyhow::ensure!(
            !for_boards,
            "--samples, --inputs and --keep are for emulated boards; leave them out with --target {HERE}"
        );
        let bar = Bar::new(HERE, 0);
        let call = Call {
            arguments: &["bench", "--target", HERE, "--only"],
            onnxruntime: self.onnxruntime.clone(),
        };
        let measure = |path: &PathBuf| {
            let name = bench::name_of(path);
            let model = onnx::read(path)?;
            let mut progress = |step: &str| bar.say(format!("{name}: {step}"));
            bench::bench_here(&model, path, &call, &mut progress)
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
            output::line(bench::workstation_table(&measured))?;
        }
        Ok(Outcome::Done)
    }
}

fn make(network: &str, file: &Path, json: bool) -> Result<Outcome> {
    anyhow::ensure!(
        NETWORKS.contains(&network),
        "no network `{network}`; there is: {}",
        NETWORKS.join(", ")
    );
    onnx::write(&bench::mobilenet(), file)?;
    match json {
        true => output::json(&serde_json::json!({ "network": network, "file": file }))?,
        false => output::line(file.display())?,
    }
    Ok(Outcome::Done)
}
