//! Everything that must hold, in one run.

use crate::{cross, setup};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

/// Crates that run on a device: also tested with overflow checks and debug assertions on.
const DEVICE_CRATES: &[&str] = &[
    "dunlin-wire",
    "dunlin-kernels",
    "dunlin-engine",
    "dunlin-monitor",
    "dunlin-runtime",
    "dunlin-firmware",
];

/// What the test programs reported.
#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    skipped: Vec<String>,
}

impl Tally {
    /// Takes in one line of a test program's output.
    fn read(&mut self, line: &str) {
        if let Some(reason) = line.trim_start().strip_prefix("skipped: ") {
            self.skipped.push(reason.to_owned());
        }
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.passed += count_before(counts, " passed");
            self.failed += count_before(counts, " failed");
        }
    }
}

/// The number that stands before `word`, or zero.
fn count_before(text: &str, word: &str) -> usize {
    let before = text.split(word).next().unwrap_or_default();
    before
        .rsplit(|c: char| !c.is_ascii_digit())
        .next()
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

/// Sets up, builds for every device, runs every test whose name contains `filter`.
///
/// In continuous integration a skipped test counts as a failed one: there everything is installed.
///
/// # Errors
/// Says which step could not run. A failing test is no error: it gives `false`.
pub fn run(filter: Option<&str>) -> Result<bool, String> {
    setup::run()?;
    let mut tally = Tally::default();
    let lints = &["clippy", "--all-targets", "--quiet"];
    let mut good = step("format", cargo().args(["fmt", "--check"]), &mut tally)?;
    good &= step(
        "lints of the device crates",
        for_device_crates(lints).args(["--", "-D", "warnings"]),
        &mut tally,
    )?;
    good &= step(
        "device crates, checked arithmetic",
        for_device_crates(&["test"]).args(filter),
        &mut tally,
    )?;
    println!("== devices");
    cross::build(&["all"])?;
    good &= cross::size(&["qemu-cortex-m4f", "nrf52840"])?;
    for (target, mut tests) in cross::kernel_tests()? {
        let name = format!("the engine's loops on {target}");
        good &= step(&name, tests.args(filter), &mut tally)?;
    }
    good &= step(
        "workspace",
        cargo().args(["build", "--release", "--workspace"]),
        &mut tally,
    )?;
    good &= step(
        "workspace tests",
        cargo()
            .args(["test", "--release", "--workspace"])
            .args(filter),
        &mut tally,
    )?;
    Ok(summary(&tally) && good)
}

fn for_device_crates(arguments: &[&str]) -> Command {
    let mut command = cargo();
    command
        .args(arguments)
        .args(DEVICE_CRATES.iter().flat_map(|name| ["-p", name]));
    command
}

fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(setup::root())
        .env("DUNLIN_PYTHON", setup::python())
        .stdin(Stdio::null());
    command
}

/// Runs one command, shows its output as it comes and keeps count.
fn step(name: &str, command: &mut Command, tally: &mut Tally) -> Result<bool, String> {
    println!("== {name}");
    if command.get_args().any(|verb| verb == "test") {
        command.args(["--no-fail-fast", "--", "--show-output"]);
    }
    let text = format!("{command:?}");
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{text}: {error}"))?;
    let output = child.stdout.take().ok_or("no output")?;
    let mut terminal = std::io::stdout().lock();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.map_err(|error| format!("{text}: {error}"))?;
        let line = String::from_utf8_lossy(&line);
        tally.read(&line);
        writeln!(terminal, "{line}").map_err(|error| error.to_string())?;
    }
    let status = child.wait().map_err(|error| format!("{text}: {error}"))?;
    if !status.success() {
        println!("FAILED: {name}");
    }
    Ok(status.success())
}

fn summary(tally: &Tally) -> bool {
    tally
        .skipped
        .iter()
        .for_each(|reason| println!("skipped: {reason}"));
    println!(
        "{} passed, {} failed, {} skipped",
        tally.passed,
        tally.failed,
        tally.skipped.len()
    );
    let nothing_may_be_skipped = std::env::var_os("CI").is_some();
    tally.failed == 0 && !(nothing_may_be_skipped && !tally.skipped.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_several_programs_add_up() {
        let mut tally = Tally::default();
        tally.read("test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured");
        tally.read("test result: FAILED. 3 passed; 2 failed; 0 ignored");
        tally.read("    skipped: no mosquitto");
        assert_eq!((tally.passed, tally.failed), (15, 2));
        assert_eq!(tally.skipped, ["no mosquitto"]);
    }
}
