//! The bench image on the emulated board: what it is built around, building it, running it, reading its answers.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use dunlin_engine::{Plan, TensorInfo};

use super::BenchError;
use super::Board;
use super::brackets::{self, Bracket};
use super::disassembly::Listing;
use super::sections::flash_bytes;
use super::tools::{CARGO, output_of, run_within};

const PLAN: &str = "plan.bin";
const INPUTS: &str = "inputs.bin";
const SIZES: &str = "sizes.rs";
const KERNELS: &str = "kernels.rs";
const IMAGE: &str = "bench.elf";
const STUB: &str = "stub.elf";
const COUNTER: &str = "./counter.so";
const COUNTS: &str = "counts.txt";
const ANSWERS: &str = "answers.txt";

/// How long an emulated run may take.
const TIME_LIMIT: Duration = Duration::from_secs(900);

/// What the board said and what was counted while it ran.
#[derive(Debug)]
pub struct Run {
    /// One inference for every input.
    pub inferences: Vec<Bracket>,
    /// Loading and checking the plan.
    pub load: Bracket,
    /// Bytes of all outputs, for every input.
    pub outputs: Vec<Vec<u8>>,
    /// Bytes of stack that an inference uses.
    pub run_stack_bytes: u64,
    /// Bytes of stack that loading the plan uses.
    pub load_stack_bytes: u64,
    /// The image's instructions.
    pub listing: Listing,
    /// Bytes of the engine: the image's flash without that of the stub.
    pub code_bytes: u64,
}

/// The programs that are called, checked before anything is built.
pub fn check_tools(board: &Board) -> Result<(), BenchError> {
    [CARGO, board.linker, board.objdump, board.emulator]
        .iter()
        .try_for_each(|tool| tool.need())
}

/// Whether `root` is the repository whose targets are built.
pub fn check_source(root: &Path) -> Result<(), BenchError> {
    let is_source = root.join("crates/xtask").is_dir() && root.join("targets/qemu-cores").is_dir();
    match is_source {
        true => Ok(()),
        false => Err(BenchError::board(
            "its image is built from Dunlin's source, and the current folder is not its source: go to the folder of \
             the repository",
        )),
    }
}

/// Writes what the image is built around.
pub fn write(folder: &Path, plan_bytes: &[u8], inputs: &[Vec<u8>]) -> Result<(), BenchError> {
    let plan = Plan::load(plan_bytes).map_err(|error| BenchError::board(error.to_string()))?;
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).map_err(BenchError::io(path))
    };
    write(PLAN, plan_bytes)?;
    write(INPUTS, &inputs.concat())?;
    write(SIZES, sizes(&plan).as_bytes())?;
    write(KERNELS, kernels(&plan).as_bytes())
}

fn sizes(plan: &Plan<'_>) -> String {
    let range = |tensor: TensorInfo| {
        let Range { start, end } = tensor.range();
        format!("Range {{ start: {start}, end: {end} }}")
    };
    let outputs: Vec<String> = plan.outputs().map(range).collect();
    format!(
        "const ARENA_BYTES: usize = {};\nconst INPUT: Range<usize> = {};\nconst OUTPUTS: [Range<usize>; {}] = [{}];\n",
        plan.requirements().arena_bytes,
        range(plan.input()),
        outputs.len(),
        outputs.join(", ")
    )
}

fn kernels(plan: &Plan<'_>) -> String {
    let codes: Vec<String> = plan
        .requirements()
        .kernels
        .map(|kernel| format!("{:#010x}", kernel.code()))
        .collect();
    format!(
        "const KERNEL_CODES: [u32; {}] = [{}];\n",
        codes.len(),
        codes.join(", ")
    )
}

/// Builds the image, its stub and the plugin that counts, through the one place for cross builds.
pub fn build(board: &Board, root: &Path, folder: &Path) -> Result<(), BenchError> {
    let mut cargo = CARGO.command();
    cargo.args(["xtask", "bench"]).arg(folder);
    cargo.arg(board.name).current_dir(root);
    output_of(&mut cargo).map(drop)
}

/// Runs the image and reads everything that is to be known of it.
pub fn run(board: &Board, folder: &Path, inputs: usize) -> Result<Run, BenchError> {
    let objdump =
        |arguments: &[&str]| output_of(board.objdump.command().args(arguments).current_dir(folder));
    let listing = Listing::parse(&objdump(&["-dC", "--no-show-raw-insn", IMAGE])?);
    emulate(board, folder, &listing)?;
    let mut brackets = counted(folder, inputs)?;
    let load = brackets.remove(1);
    let answers = read(folder, ANSWERS)?;
    let sections = |image| {
        flash_bytes(&objdump(&["-h", image])?)
            .ok_or_else(|| BenchError::board(format!("{image} has no sections")))
    };
    let (image, stub) = (sections(IMAGE)?, sections(STUB)?);
    Ok(Run {
        inferences: brackets,
        load,
        outputs: outputs(&answers, inputs)?,
        run_stack_bytes: number(&answers, "run_stack")?,
        load_stack_bytes: number(&answers, "load_stack")?,
        listing,
        code_bytes: image.saturating_sub(stub),
    })
}

fn emulate(board: &Board, folder: &Path, listing: &Listing) -> Result<(), BenchError> {
    let mark = |name| {
        listing
            .start(name)
            .ok_or_else(|| BenchError::board(format!("its image has no {name}")))
    };
    let (begin, end) = (mark("mark_begin")?, mark("mark_end")?);
    let mut qemu = board.emulator.command();
    qemu.args(board.machine)
        .args([
            "-nographic",
            "-monitor",
            "none",
            "-serial",
            "none",
            "-semihosting",
        ])
        .arg("-plugin")
        .arg(format!(
            "{COUNTER},begin={begin:#x},end={end:#x},out={COUNTS}"
        ))
        .args(["-kernel", IMAGE])
        .current_dir(folder);
    run_within(&mut qemu, &folder.join(ANSWERS), TIME_LIMIT)
}

fn counted(folder: &Path, inputs: usize) -> Result<Vec<Bracket>, BenchError> {
    let text = read(folder, COUNTS)?;
    let brackets =
        brackets::parse(&text).ok_or_else(|| BenchError::board("the counter wrote nonsense"))?;
    match brackets.len() == inputs + 1 && inputs > 0 {
        true => Ok(brackets),
        false => Err(BenchError::board(format!(
            "ran {} brackets, expected {}",
            brackets.len(),
            inputs + 1
        ))),
    }
}

fn read(folder: &Path, name: &str) -> Result<String, BenchError> {
    let path = folder.join(name);
    std::fs::read_to_string(&path).map_err(BenchError::io(path))
}

/// What follows `name` on its lines.
fn values<'a>(answers: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    answers
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter(move |(key, _)| *key == name)
        .map(|(_, value)| value)
}

fn number(answers: &str, name: &str) -> Result<u64, BenchError> {
    let value = values(answers, name)
        .next()
        .and_then(|value| u64::from_str_radix(value, 16).ok());
    value.ok_or_else(|| BenchError::board(format!("it did not say {name}")))
}

fn outputs(answers: &str, inputs: usize) -> Result<Vec<Vec<u8>>, BenchError> {
    let outputs: Option<Vec<Vec<u8>>> = values(answers, "output").map(bytes).collect();
    outputs
        .filter(|outputs| outputs.len() == inputs)
        .ok_or_else(|| BenchError::board(format!("expected the outputs of {inputs} inputs")))
}

fn bytes(hexadecimal: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = hexadecimal.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    rest.is_empty().then(|| pairs.iter().map(byte).collect())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "output 00ff\noutput 7f80\nrun_stack 000000c0\nload_stack 00000150\n";

    #[test]
    fn answers_are_read() {
        assert_eq!(outputs(SAID, 2).unwrap(), [[0, 255], [127, 128]]);
        assert_eq!(number(SAID, "run_stack").unwrap(), 192);
        assert_eq!(number(SAID, "load_stack").unwrap(), 336);
    }

    #[test]
    fn answers_that_are_missing_or_cut_are_an_error() {
        assert!(outputs(SAID, 3).is_err());
        assert!(outputs("output 0\n", 1).is_err());
        assert!(
            number("", "run_stack")
                .unwrap_err()
                .to_string()
                .contains("run_stack")
        );
    }

    #[test]
    fn a_folder_that_is_not_the_repository_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(check_source(folder.path()).is_err());
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        assert!(check_source(&root).is_ok());
    }
}
