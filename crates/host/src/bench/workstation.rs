//! The same model on this machine: the engine, tract and ONNX Runtime, each on one thread.
//!
//! Where valgrind is installed, callgrind counts the instructions of an inference: the same every time, where time is
//! not. It shows programs a processor without AVX-512, so they are those of the AVX2 code. Each backend runs in a process
//! of its own, which is this program again, called as [`Call`] says; [`run`] is what it does there.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use dunlin_engine::Plan;
use ort::session::Session;
use ort::value::TensorRef;
use serde::Serialize;
use tract_onnx::prelude::{
    DatumType, Framework, InferenceFact, InferenceModelExt, IntoRunnable, Tensor, tvec,
};

use super::tools::{Tool, output_of};
use super::{BenchError, inputs};
use crate::onnx::proto::ModelProto;
use crate::stages::compile_for;
use crate::target::Target;
use crate::verify::OnnxRuntimeOptions;

/// What runs a model here.
pub const BACKENDS: [&str; 3] = ["dunlin", "tract", "onnxruntime"];

const VALGRIND: Tool = Tool {
    program: "valgrind",
    package: "valgrind",
};
/// Inferences that are counted, after one that is not.
const COUNTED_RUNS: u32 = 3;
/// Inferences of which the median time is taken.
const TIMED_RUNS: u32 = 200;
/// Alignment that suits every kernel.
const ALIGNMENT: usize = 16;

/// How this program is called to run one backend: these arguments, then the model.
pub struct Call {
    /// Arguments before the name of the backend.
    pub arguments: &'static [&'static str],
    /// ONNX Runtime's shared library, if it was named.
    pub onnxruntime: Option<PathBuf>,
}

/// What a model costs on this machine.
#[derive(Debug, Clone, Serialize)]
pub struct WorkstationMeasurement {
    /// Its name.
    pub model: String,
    /// Multiply-accumulates of one inference.
    pub macs: u64,
    /// Bytes of the engine's arena.
    pub arena_bytes: u64,
    /// Bytes of the plan.
    pub plan_bytes: u64,
    /// One for each of [`BACKENDS`].
    pub backends: Vec<BackendCost>,
}

/// What one backend needs for an inference.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BackendCost {
    /// Its name.
    pub backend: &'static str,
    /// Instructions; `None` without valgrind.
    pub instructions: Option<u64>,
    /// Instructions per multiply-accumulate.
    pub instructions_per_mac: Option<f64>,
    /// Median time in microseconds.
    pub median_us: Option<f64>,
    /// Why it did not run.
    pub skipped: Option<String>,
}

/// Measures a model here with every backend; `progress` is told each step.
///
/// # Errors
/// When the model cannot be compiled for the engine. A backend that does not run it is told in its place.
pub fn bench_here(
    model: &ModelProto,
    path: &Path,
    call: &Call,
    progress: &mut dyn FnMut(&str),
) -> Result<WorkstationMeasurement, BenchError> {
    let compiled = compile_for(model, &Target::find("local")?)?;
    let macs = compiled.report.macs;
    let mut cost = |backend: &'static str| {
        progress(backend);
        match measure(backend, path, call) {
            Ok((median_us, instructions)) => BackendCost {
                backend,
                instructions,
                instructions_per_mac: instructions
                    .filter(|_| macs > 0)
                    .map(|count| super::rounded(count as f64 / macs as f64)),
                median_us: Some(median_us),
                skipped: None,
            },
            Err(error) => BackendCost {
                backend,
                instructions: None,
                instructions_per_mac: None,
                median_us: None,
                skipped: Some(error.to_string()),
            },
        }
    };
    Ok(WorkstationMeasurement {
        model: super::name_of(path),
        macs,
        arena_bytes: compiled.report.arena_bytes as u64,
        plan_bytes: compiled.report.plan_bytes as u64,
        backends: BACKENDS.map(&mut cost).to_vec(),
    })
}

/// Median time, and instructions where they can be counted.
fn measure(backend: &str, model: &Path, call: &Call) -> Result<(f64, Option<u64>), BenchError> {
    let program = std::env::current_exe().map_err(BenchError::io("this program"))?;
    let add = |command: &mut Command| {
        command.args(call.arguments).arg(backend);
        if let Some(library) = &call.onnxruntime {
            command.arg("--onnxruntime").arg(library);
        }
        command.arg(model);
    };
    let mut timed = Command::new(&program);
    add(&mut timed);
    let text = output_of(&mut timed)?;
    let median = text
        .trim()
        .parse()
        .map_err(|_| BenchError::board(format!("{backend} said {text:?}")))?;
    if !VALGRIND.is_installed() {
        return Ok((median, None));
    }
    let folder = tempfile::tempdir().map_err(BenchError::io(std::env::temp_dir()))?;
    let counts = folder.path().join("callgrind.out");
    let mut counted = VALGRIND.command();
    counted
        .args([
            "--tool=callgrind",
            "--collect-atstart=no",
            "--toggle-collect=*bench*workstation*collected*",
        ])
        .arg(format!("--callgrind-out-file={}", counts.display()))
        .arg(&program);
    add(&mut counted);
    counted.env(COUNTING, "1");
    output_of(&mut counted)?;
    let text = std::fs::read_to_string(&counts).map_err(BenchError::io(&counts))?;
    let total = total(&text).ok_or_else(|| BenchError::board("callgrind wrote no totals"))?;
    Ok((median, Some(total / u64::from(COUNTED_RUNS))))
}

/// Set where callgrind counts, so that few inferences are run.
const COUNTING: &str = "DUNLIN_BENCH_COUNTING";

/// Instructions of all that was collected.
fn total(counts: &str) -> Option<u64> {
    let line = counts.lines().find_map(|line| line.strip_prefix("totals:"));
    line?.split_whitespace().next()?.parse().ok()
}

/// Runs one backend on a generated input and returns the median time of an inference in microseconds.
///
/// # Errors
/// When the backend is not known, is not there or does not run the model.
pub fn run(
    backend: &str,
    model: &ModelProto,
    onnxruntime: Option<PathBuf>,
) -> Result<f64, BenchError> {
    let compiled = compile_for(model, &Target::find("local")?)?;
    let plan = Plan::load(&compiled.plan).map_err(wrong)?;
    let input = inputs::generated(&plan.input(), 0);
    let onnx = crate::onnx::encode(model);
    let shape: Vec<usize> = plan
        .input()
        .shape()
        .iter()
        .map(|&extent| extent as usize)
        .collect();
    match backend {
        "dunlin" => run_engine(&plan, &input),
        "tract" => run_tract(&onnx, &shape, &input),
        "onnxruntime" => run_onnxruntime(&onnx, &shape, &input, onnxruntime),
        other => Err(BenchError::board(format!("no backend {other}"))),
    }
}

fn wrong(error: impl std::fmt::Display) -> BenchError {
    BenchError::board(error.to_string())
}

/// What callgrind looks for: nothing but an inference is in it.
#[inline(never)]
fn collected(inference: &mut dyn FnMut() -> Result<(), BenchError>) -> Result<(), BenchError> {
    inference()
}

fn median(mut inference: impl FnMut() -> Result<(), BenchError>) -> Result<f64, BenchError> {
    inference()?;
    let runs = match std::env::var_os(COUNTING) {
        Some(_) => COUNTED_RUNS,
        None => TIMED_RUNS,
    };
    let mut times = Vec::new();
    for _ in 0..runs {
        let start = Instant::now();
        collected(&mut inference)?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    Ok(times.get(times.len() / 2).copied().unwrap_or_default())
}

fn run_engine(plan: &Plan<'_>, input: &[u8]) -> Result<f64, BenchError> {
    let mut memory = vec![0; plan.requirements().arena_bytes + ALIGNMENT];
    let start = memory.as_ptr().align_offset(ALIGNMENT) % ALIGNMENT;
    let arena = memory.get_mut(start..).unwrap_or_default();
    median(|| {
        arena
            .get_mut(plan.input().range())
            .unwrap_or_default()
            .copy_from_slice(input);
        plan.run(arena).map_err(wrong)
    })
}

fn run_tract(onnx: &[u8], shape: &[usize], input: &[u8]) -> Result<f64, BenchError> {
    let tensor = match values(input, shape) {
        Values::Floats(values) => Tensor::from_shape(shape, &values),
        Values::Bytes(values) => Tensor::from_shape(shape, &values),
    };
    let tensor = tensor.map_err(|error| wrong(format!("{error:#}")))?;
    let kind: DatumType = tensor.datum_type();
    let plan = tract_onnx::onnx()
        .model_for_read(&mut std::io::Cursor::new(onnx))
        .and_then(|model| model.with_input_fact(0, InferenceFact::dt_shape(kind, shape)))
        .and_then(|model| model.into_optimized())
        .and_then(|model| model.into_runnable())
        .map_err(|error| wrong(format!("{error:#}")))?;
    median(|| {
        let answer = plan.run(tvec!(tensor.clone().into()));
        answer
            .map(drop)
            .map_err(|error| wrong(format!("{error:#}")))
    })
}

fn run_onnxruntime(
    onnx: &[u8],
    shape: &[usize],
    input: &[u8],
    library: Option<PathBuf>,
) -> Result<f64, BenchError> {
    let options = OnnxRuntimeOptions {
        library,
        ..OnnxRuntimeOptions::default()
    };
    let path = options.find().ok_or_else(|| {
        wrong("no library; name one with --onnxruntime FILE or ORT_DYLIB_PATH, or `pip install onnxruntime`")
    })?;
    let environment = ort::init_from(&path)
        .map_err(wrong)?
        .build()
        .map_err(wrong)?;
    let mut session = session(onnx, &environment).map_err(wrong)?;
    match values(input, shape) {
        Values::Floats(values) => median(|| {
            let tensor = TensorRef::from_array_view((shape, values.as_slice())).map_err(wrong)?;
            session.run(ort::inputs![tensor]).map(drop).map_err(wrong)
        }),
        Values::Bytes(values) => median(|| {
            let tensor = TensorRef::from_array_view((shape, values.as_slice())).map_err(wrong)?;
            session.run(ort::inputs![tensor]).map(drop).map_err(wrong)
        }),
    }
}

fn session(onnx: &[u8], environment: &ort::environment::Environment) -> ort::Result<Session> {
    Session::builder(environment)?
        .with_intra_threads(1)?
        .commit_from_memory(onnx)
}

/// An input as the other libraries take it.
enum Values {
    Floats(Vec<f32>),
    Bytes(Vec<i8>),
}

/// A float input has four bytes for each element.
fn values(input: &[u8], shape: &[usize]) -> Values {
    if input.len() == shape.iter().product::<usize>() {
        return Values::Bytes(input.iter().map(|byte| byte.cast_signed()).collect());
    }
    let (floats, _) = input.as_chunks::<4>();
    Values::Floats(
        floats
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect(),
    )
}

/// One line for every backend of every model.
pub fn workstation_table(measured: &[WorkstationMeasurement]) -> String {
    let mut text = format!(
        "{:<24} {:>12} {:<12} {:>14} {:>8} {:>12}\n",
        "MODEL", "MACS", "BACKEND", "INSTRUCTIONS", "PER MAC", "MEDIAN US"
    );
    for model in measured {
        for cost in &model.backends {
            let number = |number: Option<f64>, digits| {
                number.map_or("-".to_owned(), |number| format!("{number:.digits$}"))
            };
            let instructions = cost
                .instructions
                .map_or("-".to_owned(), super::table::grouped);
            text += &format!(
                "{:<24} {:>12} {:<12} {instructions:>14} {:>8} {:>12}",
                model.model,
                super::table::grouped(model.macs),
                cost.backend,
                number(cost.instructions_per_mac, 2),
                number(cost.median_us, 1),
            );
            if let Some(reason) = &cost.skipped {
                text += &format!("  skipped: {reason}");
            }
            text.push('\n');
        }
    }
    text + "instructions are counted by callgrind, of one inference on one thread, AVX2 at most; time depends on what else runs"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_read_from_what_callgrind_writes() {
        assert_eq!(
            total("events: Ir\nsummary: 9\n\ntotals: 3600\n"),
            Some(3600)
        );
        assert_eq!(total("events: Ir\n"), None);
    }
}
