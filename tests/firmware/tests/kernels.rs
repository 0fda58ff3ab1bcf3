//! The engine's inner loops on the emulated core, assembly and all, against their definition in 64-bit integers: the
//! cases of `crates/kernels/tests`.
//!
//! Needs `qemu-system-arm` and what `cargo xtask build qemu-cortex-m4f` needs.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Loops that the image runs.
const LOOPS: usize = 19;

/// How long the emulator may take, as `timeout` has it: a wrong branch need not end.
const TIME_LIMIT: &str = "120";

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn output_of(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output();
    output.unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Builds the image.
fn image() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let built = output_of(
        Command::new("cargo")
            .args(["xtask", "check"])
            .current_dir(root),
    );
    let errors = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{errors}");
    PathBuf::from(String::from_utf8_lossy(&built.stdout).trim())
}

/// What the board prints.
fn run(image: &Path) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let mut qemu = Command::new("timeout");
    qemu.args([TIME_LIMIT, "qemu-system-arm"])
        .args(["-machine", "mps2-an386", "-cpu", "cortex-m4"])
        .args(["-nographic", "-monitor", "none", "-serial", "none"])
        .args(["-semihosting", "-kernel"])
        .arg(image)
        .current_dir(folder.path());
    let ran = output_of(&mut qemu);
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "{}: {said}", ran.status);
    said
}

#[test]
fn every_loop_equals_its_definition_on_the_emulated_core() {
    for tool in ["qemu-system-arm", "arm-none-eabi-ld", "cargo", "timeout"] {
        if !is_installed(tool) {
            eprintln!("skipped: {tool} is not installed");
            return;
        }
    }
    let said = run(&image());
    eprint!("{said}");
    let lines: Vec<Vec<&str>> = said.lines().map(|line| line.split(' ').collect()).collect();
    assert_eq!(lines.len(), LOOPS, "one line for each loop");
    for line in lines {
        let ["equal", name, cases, written] = line[..] else {
            panic!("{}", line.join(" "));
        };
        let number = |text: &str| text.parse::<u32>().expect("a number");
        let (cases, written) = (number(cases), number(written));
        assert!(
            cases >= 1000 && written * 2 > cases,
            "{name} wrote {written} bytes in {cases} cases"
        );
    }
}
