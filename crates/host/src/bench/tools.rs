//! Programs that are called, and the Debian packages that bring them.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::BenchError;

/// A program and the Debian package that brings it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tool {
    /// The program.
    pub program: &'static str,
    /// The package.
    pub package: &'static str,
}

/// Emulates Arm boards.
pub const QEMU_ARM: Tool = Tool {
    program: "qemu-system-arm",
    package: "qemu-system-arm",
};
/// Emulates RISC-V boards.
pub const QEMU_RISCV: Tool = Tool {
    program: "qemu-system-riscv32",
    package: "qemu-system-misc",
};
/// Lists instructions and sections.
pub const ARM_OBJDUMP: Tool = Tool {
    program: "arm-none-eabi-objdump",
    package: "binutils-arm-none-eabi",
};
/// The same for RISC-V.
pub const RISCV_OBJDUMP: Tool = Tool {
    program: "riscv64-unknown-elf-objdump",
    package: "binutils-riscv64-unknown-elf",
};
/// Links the image.
pub const ARM_LINKER: Tool = Tool {
    program: "arm-none-eabi-ld",
    package: "gcc-arm-none-eabi",
};
/// The same for RISC-V.
pub const RISCV_LINKER: Tool = Tool {
    program: "riscv64-unknown-elf-ld",
    package: "binutils-riscv64-unknown-elf",
};
/// Builds the image.
pub const CARGO: Tool = Tool {
    program: "cargo",
    package: "cargo",
};

/// How often a program that runs under a time limit is looked after.
const POLL: Duration = Duration::from_millis(5);
/// Characters of what a program said that an error shows.
const SHOWN_CHARACTERS: usize = 4000;

impl Tool {
    /// Whether the program is on the path.
    pub fn is_installed(&self) -> bool {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(self.program).is_file())
    }

    /// An error unless the program is there.
    pub fn need(&self) -> Result<(), BenchError> {
        match self.is_installed() {
            true => Ok(()),
            false => Err(BenchError::MissingTool {
                program: self.program.to_owned(),
                package: self.package.to_owned(),
            }),
        }
    }

    /// A call of the program, without input.
    pub fn command(&self) -> Command {
        let mut command = Command::new(self.program);
        command.stdin(Stdio::null());
        command
    }
}

/// Runs a program to its end and returns what it printed.
pub fn output_of(command: &mut Command) -> Result<String, BenchError> {
    let text = words_of(command);
    let failed = |reason: String| BenchError::Command {
        command: text.clone(),
        reason,
    };
    let output = command
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(failed(format!("{}\n{}", output.status, end_of(&said))))
}

/// Runs a program whose standard output goes to a file; ends it when it takes longer than the limit.
pub fn run_within(command: &mut Command, output: &Path, limit: Duration) -> Result<(), BenchError> {
    let text = words_of(command);
    let failed = |reason: String| BenchError::Command {
        command: text.clone(),
        reason,
    };
    let file = |path: &Path| std::fs::File::create(path).map_err(BenchError::io(path));
    let errors = output.with_extension("errors.txt");
    command.stdout(file(output)?).stderr(file(&errors)?);
    let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
    let deadline = Instant::now() + limit;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => std::thread::sleep(POLL),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(failed(format!("not done after {} s", limit.as_secs())));
            }
            Err(error) => return Err(failed(error.to_string())),
        }
    };
    if status.success() {
        return Ok(());
    }
    let said = std::fs::read_to_string(&errors).unwrap_or_default();
    Err(failed(format!("{status}\n{}", end_of(&said))))
}

fn words_of(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<String> = words
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    words.join(" ")
}

/// The end of a long text, which says what went wrong.
fn end_of(text: &str) -> String {
    let text = text.trim_end();
    let skipped = text.chars().count().saturating_sub(SHOWN_CHARACTERS);
    text.chars().skip(skipped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_tool_names_its_package() {
        let tool = Tool {
            program: "no-such-program-here",
            package: "some-package",
        };
        let error = tool.need().unwrap_err().to_string();
        assert!(
            error.contains("no-such-program-here")
                && error.contains("apt-get install some-package")
        );
    }

    #[test]
    fn a_program_that_does_not_end_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let mut sleep = Command::new("sleep");
        let run = run_within(
            sleep.arg("60"),
            &folder.path().join("out"),
            Duration::from_millis(50),
        );
        assert!(run.unwrap_err().to_string().contains("not done after"));
    }

    #[test]
    fn an_error_shows_what_the_program_said() {
        let mut list = Command::new("ls");
        let error = output_of(list.arg("/no/such/folder"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("ls /no/such/folder") && error.contains("No such file"),
            "{error}"
        );
    }
}
