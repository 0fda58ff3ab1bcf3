//! What a model costs on a device: instructions counted, cycles modelled, memory and code measured.
//!
//! Runs on the workstation. A model is compiled, an image is built around its plan, the image runs in QEMU with a plugin
//! that counts every instruction, and its answers are held against those of the engine here, byte for byte.
//!
//! | figure | how it is known |
//! |---|---|
//! | instructions, of an inference and of loading the plan | counted, exactly; the same every time |
//! | cycles | modelled, see [`modelled_cycles`] |
//! | stack | measured: what is below the caller is painted and looked at afterwards, the return address included |
//! | code | measured: flash of the image without that of the same image whose engine does nothing. The engine has the kernels the plan uses and no others, compiled as in the firmware; what it pulls in of `libm` and of the compiler's own library is in it. Sums of symbol sizes would miss constants, which have no symbols |
//! | arena, plan | stated by the plan |
//!
//! Needs the repository's source, `cargo`, linker and `objdump` for the board's core, and its emulator.
//!
//! ```no_run
//! use dunlin_host::bench::{BenchOptions, bench};
//! let model = dunlin_host::onnx::read(std::path::Path::new("model.onnx"))?;
//! let measured = bench(&model, "model", &BenchOptions::default(), &mut |step| eprintln!("{step}"))?;
//! println!("{} instructions", measured.instructions);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Architecture invariants
//! - Nothing outside of the repository is needed but the programs above.
//! - What is built and run is the engine of the firmware with the firmware's profile; nothing here computes an output.

mod board;
mod boards;
mod brackets;
mod cycles;
mod disassembly;
mod error;
mod inputs;
mod mobilenet;
mod peers;
mod samples;
mod sections;
mod table;
mod tools;
mod workstation;

use std::path::{Path, PathBuf};

use dunlin_engine::Plan;
use serde::Serialize;

pub use boards::{BOARDS, Board};
pub use brackets::{Bracket, FunctionShare};
pub use cycles::{Class, Counts, modelled_cycles};
pub use disassembly::{Instruction, Listing};
pub use error::BenchError;
pub use mobilenet::mobilenet;
pub use peers::Peer;
pub use table::table;
pub use workstation::{
    BACKENDS, BackendCost, Call, WorkstationMeasurement, bench_here, run as run_here,
    workstation_table,
};

use crate::compile::Compiled;
use crate::onnx::proto::ModelProto;
use crate::stages::compile_for;
use crate::target::Target;

/// Instructions per MAC that a Cortex-M4 cannot undercut: its widest multiplication does two.
pub const LEAST_INSTRUCTIONS_PER_MAC: f64 = 0.5;
/// Inputs that are run unless told otherwise.
pub const INPUTS: u32 = 4;

/// Functions listed.
const FUNCTIONS: usize = 12;

/// How to measure.
#[derive(Debug, Clone)]
pub struct BenchOptions {
    /// Where to measure.
    pub board: Board,
    /// The repository.
    pub root: PathBuf,
    /// Where to leave image, plan, counts and everything else; nowhere unless given.
    pub keep: Option<PathBuf>,
    /// At most this many inputs; [`INPUTS`] pseudo-random ones, or all of `samples`, unless given.
    pub inputs: Option<u32>,
    /// Inputs to run in place of pseudo-random ones: NumPy's `.npz` or plain bytes.
    pub samples: Option<PathBuf>,
}

impl Default for BenchOptions {
    fn default() -> Self {
        Self {
            board: Board::default(),
            root: PathBuf::from("."),
            keep: None,
            inputs: None,
            samples: None,
        }
    }
}

/// What a model costs.
#[derive(Debug, Clone, Serialize)]
pub struct Measurement {
    /// Its name.
    pub model: String,
    /// Multiply-accumulates of one inference.
    pub macs: u64,
    /// Instructions of one inference on the first input.
    pub instructions: u64,
    /// The board's name.
    pub target: &'static str,
    /// Modelled cycles of the same, on the Cortex-M4F.
    pub modelled_cycles: Option<u64>,
    /// What the compiler estimates for them from the plan's ops alone, see `dunlin compile --explain`; on the Cortex-M4F.
    pub estimated_cycles: Option<u64>,
    /// Instructions per multiply-accumulate; none where there are none.
    pub instructions_per_mac: Option<f64>,
    /// How many times the physical limit of [`LEAST_INSTRUCTIONS_PER_MAC`] that is, on the Cortex-M4F.
    pub times_the_limit: Option<f64>,
    /// Bytes of arena.
    pub arena_bytes: u64,
    /// Bytes of stack: the more of the two below.
    pub stack_bytes: u64,
    /// Bytes of stack of an inference.
    pub run_stack_bytes: u64,
    /// Bytes of stack of loading the plan.
    pub load_stack_bytes: u64,
    /// Bytes of the plan.
    pub plan_bytes: u64,
    /// Bytes of the engine with the kernels the plan uses.
    pub code_bytes: u64,
    /// Instructions of loading and checking the plan, once.
    pub load_instructions: u64,
    /// The same as a share of an inference.
    pub load_share: f64,
    /// Inputs that were run.
    pub inputs: u64,
    /// Least instructions over the inputs.
    pub least_instructions: u64,
    /// Most instructions over the inputs.
    pub most_instructions: u64,
    /// Mean of the instructions over the inputs.
    pub mean_instructions: f64,
    /// Whether the board gave the bytes that the engine gives here, for every input.
    pub outputs_equal: bool,
    /// Bytes compared.
    pub output_bytes: u64,
    /// CRC-32 of the outputs for the first input, hexadecimal.
    pub output_crc32: String,
    /// Kernels the plan uses.
    pub kernels: Vec<String>,
    /// Functions in which most instructions ran.
    pub by_function: Vec<FunctionShare>,
    /// The reference network that this is, if it is one.
    pub network: Option<&'static str>,
    /// What others need for it.
    pub peers: &'static [Peer],
}

/// Measures a model on the emulated board; `progress` is told each step.
///
/// # Errors
/// When the model cannot run there, a tool is missing, a build fails or the board does.
pub fn bench(
    model: &ModelProto,
    name: &str,
    options: &BenchOptions,
    progress: &mut dyn FnMut(&str),
) -> Result<Measurement, BenchError> {
    let board = &options.board;
    board::check_source(&options.root)?;
    board::check_tools(board)?;
    progress("compiling");
    let compiled = compile_for(model, &target(board)?)?;
    let inputs = inputs_of(&compiled, options)?;
    let temporary = tempfile::tempdir().map_err(BenchError::io(std::env::temp_dir()))?;
    let folder = match &options.keep {
        Some(folder) => {
            std::fs::create_dir_all(folder).map_err(BenchError::io(folder))?;
            folder.canonicalize().map_err(BenchError::io(folder))?
        }
        None => temporary.path().to_owned(),
    };
    board::write(&folder, &compiled.plan, &inputs)?;
    progress("building the image");
    board::build(board, &options.root, &folder)?;
    progress("running it");
    let run = board::run(board, &folder, inputs.len())?;
    let expected = expected(&compiled.plan, &inputs)?;
    let network = peers::recognize(model.graph()?);
    Ok(Measurement {
        model: name.to_owned(),
        network: network.map(|network| network.name),
        peers: match network {
            Some(network) if board.is_modelled => network.peers,
            _ => &[],
        },
        ..measurement(board, &compiled, &run, &expected)
    })
}

/// The board with all the room that its image has; plans are the same for all of them.
fn target(board: &Board) -> Result<Target, BenchError> {
    let mut target = Target::find(Board::default().name)?;
    target.budget.flash_bytes = board.most_flash_bytes;
    target.budget.arena_bytes = board.most_arena_bytes;
    Ok(target)
}

fn inputs_of(compiled: &Compiled, options: &BenchOptions) -> Result<Vec<Vec<u8>>, BenchError> {
    let plan = Plan::load(&compiled.plan).map_err(|error| BenchError::board(error.to_string()))?;
    let input = plan.input();
    let inputs: Vec<Vec<u8>> = match &options.samples {
        Some(path) => samples::read(
            path,
            &input,
            options.inputs.map_or(usize::MAX, |most| most as usize),
        )?,
        None => (0..options.inputs.unwrap_or(INPUTS))
            .map(|index| inputs::generated(&input, index))
            .collect(),
    };
    let bytes = (inputs.len() * input.bytes() + compiled.plan.len()) as u64;
    let most = options.board.most_flash_bytes;
    if inputs.is_empty() || bytes > most {
        let reason = format!(
            "{} inputs and the plan take {bytes} bytes, the image has room for {most}: take fewer inputs",
            inputs.len()
        );
        return Err(BenchError::Inputs { reason });
    }
    Ok(inputs)
}

/// What the engine gives here.
fn expected(plan: &[u8], inputs: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, BenchError> {
    const ALIGNMENT: usize = 16;
    let plan = Plan::load(plan).map_err(|error| BenchError::board(error.to_string()))?;
    let mut memory = vec![0; plan.requirements().arena_bytes + ALIGNMENT];
    let start = memory.as_ptr().align_offset(ALIGNMENT) % ALIGNMENT;
    let arena = memory.get_mut(start..).unwrap_or_default();
    let mut expected = Vec::new();
    for input in inputs {
        let place = arena.get_mut(plan.input().range()).unwrap_or_default();
        place.copy_from_slice(input);
        plan.run(arena)
            .map_err(|error| BenchError::board(error.to_string()))?;
        let bytes =
            |output: dunlin_engine::TensorInfo| arena.get(output.range()).unwrap_or_default();
        expected.push(plan.outputs().flat_map(bytes).copied().collect());
    }
    Ok(expected)
}

fn measurement(
    board: &Board,
    compiled: &Compiled,
    run: &board::Run,
    expected: &[Vec<u8>],
) -> Measurement {
    let report = &compiled.report;
    let counts: Vec<u64> = run
        .inferences
        .iter()
        .map(|bracket| bracket.instructions)
        .collect();
    let instructions = counts.first().copied().unwrap_or_default();
    let first = run.inferences.first();
    let per_mac = (report.macs > 0).then(|| instructions as f64 / report.macs as f64);
    Measurement {
        model: String::new(),
        macs: report.macs,
        instructions,
        target: board.name,
        modelled_cycles: first
            .filter(|_| board.is_modelled)
            .map(|bracket| bracket.modelled_cycles(&run.listing)),
        estimated_cycles: board.is_modelled.then_some(report.modelled_cycles),
        instructions_per_mac: per_mac.map(rounded),
        times_the_limit: per_mac
            .filter(|_| board.is_modelled)
            .map(|ratio| rounded(ratio / LEAST_INSTRUCTIONS_PER_MAC)),
        arena_bytes: report.arena_bytes as u64,
        stack_bytes: run.run_stack_bytes.max(run.load_stack_bytes),
        run_stack_bytes: run.run_stack_bytes,
        load_stack_bytes: run.load_stack_bytes,
        plan_bytes: report.plan_bytes as u64,
        code_bytes: run.code_bytes,
        load_instructions: run.load.instructions,
        load_share: rounded(run.load.instructions as f64 / instructions.max(1) as f64),
        inputs: counts.len() as u64,
        least_instructions: counts.iter().copied().min().unwrap_or_default(),
        most_instructions: counts.iter().copied().max().unwrap_or_default(),
        mean_instructions: counts.iter().sum::<u64>() as f64 / counts.len().max(1) as f64,
        outputs_equal: run.outputs == expected,
        output_bytes: expected.iter().map(|bytes| bytes.len() as u64).sum(),
        output_crc32: format!(
            "{:08x}",
            inputs::crc32(run.outputs.first().map_or(&[], Vec::as_slice))
        ),
        kernels: report.kernels.clone(),
        by_function: first.map_or_else(Vec::new, |bracket| {
            bracket.by_function(&run.listing, FUNCTIONS)
        }),
        network: None,
        peers: &[],
    }
}

/// To four decimals.
fn rounded(ratio: f64) -> f64 {
    (ratio * 1e4).round() / 1e4
}

/// The name of a model in tables: its file without folder and ending.
pub fn name_of(path: &Path) -> String {
    path.file_stem().map_or_else(
        || path.display().to_string(),
        |stem| stem.to_string_lossy().into_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::{CompileOptions, compile};
    use crate::onnx::builder::{Extent, GraphBuilder};
    use crate::onnx::proto::DataType;

    /// A model that doubles two values.
    fn compiled() -> Compiled {
        let mut graph = GraphBuilder::new("double");
        let extents = [Extent::Fixed(1), Extent::Fixed(2)];
        let input = graph.input("input", DataType::Float, &extents);
        let two = graph.constant_f32("two", &[], &[2.0]);
        let doubled = graph.node("Mul", &[&input, &two], vec![]);
        graph.output(&doubled, "doubled", DataType::Float, &extents);
        compile(&graph.finish(), &CompileOptions::default()).unwrap()
    }

    fn run(outputs: Vec<Vec<u8>>) -> board::Run {
        let bracket = |instructions| Bracket {
            instructions,
            counts: Counts::from([(0x400, instructions)]),
        };
        board::Run {
            inferences: vec![bracket(100), bracket(300)],
            load: bracket(7),
            outputs,
            run_stack_bytes: 64,
            load_stack_bytes: 96,
            listing: Listing::default(),
            code_bytes: 1000,
        }
    }

    #[test]
    fn one_byte_that_differs_from_the_engine_here_is_noticed() {
        let compiled = compiled();
        let options = BenchOptions {
            inputs: Some(2),
            ..BenchOptions::default()
        };
        let inputs = inputs_of(&compiled, &options).unwrap();
        let expected = expected(&compiled.plan, &inputs).unwrap();
        let board = Board::default();
        let same = measurement(&board, &compiled, &run(expected.clone()), &expected);
        assert!(same.outputs_equal);
        assert_eq!(same.output_bytes, 16);
        let mut other = expected.clone();
        other[1][3] ^= 1;
        assert!(!measurement(&board, &compiled, &run(other), &expected).outputs_equal);
        assert!(
            !measurement(&board, &compiled, &run(expected[..1].to_vec()), &expected).outputs_equal
        );
    }

    #[test]
    fn figures_are_those_of_the_first_input_and_the_deeper_stack() {
        let compiled = compiled();
        let measured = measurement(&Board::default(), &compiled, &run(vec![]), &[]);
        assert_eq!(
            (measured.instructions, measured.modelled_cycles),
            (100, Some(100))
        );
        assert_eq!(
            (measured.least_instructions, measured.most_instructions),
            (100, 300)
        );
        assert_eq!(
            (measured.mean_instructions, measured.load_share),
            (200.0, 0.07)
        );
        assert_eq!(measured.stack_bytes, 96);
        assert_eq!(measured.instructions_per_mac, None);
        let estimated = compiled.report.modelled_cycles;
        assert_eq!(measured.estimated_cycles, Some(estimated));
        assert!(estimated > 0);
        let other = Board::find("qemu-cortex-m3").unwrap();
        let measured = measurement(&other, &compiled, &run(vec![]), &[]);
        assert_eq!(
            (measured.instructions, measured.modelled_cycles),
            (100, None)
        );
    }

    #[test]
    fn inputs_that_do_not_fit_the_image_are_refused() {
        let options = BenchOptions {
            inputs: Some(1 << 20),
            ..BenchOptions::default()
        };
        let error = inputs_of(&compiled(), &options).unwrap_err().to_string();
        assert!(error.contains("take fewer inputs"), "{error}");
    }
}
