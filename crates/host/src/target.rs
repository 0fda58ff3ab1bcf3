//! What a kind of device is: triple, memory, budgets, link, flasher, and how it is run.
//!
//! Runs on the workstation. A descriptor is one TOML file, `targets/<name>.toml`; the code of a
//! target lives in the folder that the descriptor names, and several targets may share one. The
//! repository's own descriptors are part of this library, so the command needs no files beside it;
//! any other file is given by its path. `targets/README.md` describes every key.
//!
//! # Example
//! ```
//! use dunlin_host::target::{FlashMethod, Target};
//! let target = Target::find("qemu-cortex-m4f")?;
//! assert_eq!(target.flash, FlashMethod::Qemu);
//! assert!(target.budget.arena_bytes < 1 << 20);
//! # Ok::<(), dunlin_host::target::TargetError>(())
//! ```
//!
//! # Architecture invariants
//! - Data only: nothing here starts a process or opens a link.
//! - Unknown keys are errors; an error names the file, the line or the key, and what to do.

use std::fmt;
use std::path::{Path, PathBuf};

use dunlin_wire::limits::MAX_NAME_BYTES;
use serde::{Deserialize, Serialize};

const BUILT_IN: [(&str, &str); 5] = [
    ("local", include_str!("../../../targets/local.toml")),
    (
        "linux-aarch64",
        include_str!("../../../targets/linux-aarch64.toml"),
    ),
    (
        "linux-armv7",
        include_str!("../../../targets/linux-armv7.toml"),
    ),
    (
        "qemu-cortex-m4f",
        include_str!("../../../targets/qemu-cortex-m4f.toml"),
    ),
    ("nrf52840", include_str!("../../../targets/nrf52840.toml")),
];

/// A kind of device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Its name, also that of its file: lower-case letters, digits, `-`.
    pub name: String,
    /// One line for people.
    pub summary: String,
    /// Folder in `targets/` with its code.
    pub code: PathBuf,
    /// Rust's name for its instruction set and system; none for the machine this runs on.
    #[serde(default)]
    pub triple: Option<String>,
    /// The kernel class that plans are compiled for.
    pub kernel_class: String,
    /// What kinds of model it runs.
    pub models: Vec<ModelKind>,
    /// Memory regions, in address order; empty where an operating system hands out memory.
    #[serde(default)]
    pub memory: Vec<Region>,
    /// What a bundle may take.
    pub budget: Budget,
    /// What the firmware may take; none where there is an operating system.
    #[serde(default)]
    pub firmware: Option<FirmwareBudget>,
    /// How a workstation speaks to it.
    pub link: Link,
    /// How a bundle or a firmware gets there.
    pub flash: FlashMethod,
    /// How its program is started.
    pub run: Run,
}

/// A kind of model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelKind {
    /// A plan, run by the engine.
    Plan,
    /// An ONNX file, run by a library on the device.
    Onnx,
}

/// A piece of the address space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// What it is for.
    pub name: String,
    /// Whether it keeps its content without power.
    pub kind: RegionKind,
    /// First address.
    pub origin: u64,
    /// Length in bytes.
    pub bytes: u64,
}

/// A kind of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RegionKind {
    /// Keeps its content.
    Flash,
    /// Loses it.
    Ram,
}

/// What a bundle may take on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Bytes of the longest bundle: one slot.
    pub flash_bytes: u64,
    /// Bytes of the engine's arena.
    pub arena_bytes: u64,
    /// Bytes of stack for one run of a plan.
    pub stack_bytes: u64,
}

/// What a firmware may take of a board, without bundles; `cargo xtask size` holds it to that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirmwareBudget {
    /// Bytes of code, constants and initial values.
    pub flash_bytes: u64,
    /// Bytes of variables, the arena among them; the stack is not.
    pub ram_bytes: u64,
}

/// How a workstation speaks to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Link {
    /// A TCP port on which the device listens.
    Tcp,
    /// A Unix socket on which the device listens.
    Unix,
    /// A serial port.
    Serial {
        /// Symbols per second.
        baud: u32,
    },
}

/// How a bundle or a firmware gets onto a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlashMethod {
    /// Start the firmware in QEMU, then put the bundle over the link.
    Qemu,
    /// Start the agent as a process of the command itself, then put the bundle over the link.
    Process,
    /// Write the firmware with probe-rs, then put the bundle over the link.
    ProbeRs,
    /// Start the agent's program, under an emulator where the machine is another, then put the
    /// bundle over the link.
    Agent,
}

impl fmt::Display for FlashMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Qemu => "qemu",
            Self::Process => "process",
            Self::ProbeRs => "probe-rs",
            Self::Agent => "agent",
        })
    }
}

/// How the program is started: `launcher… image arguments…`.
///
/// In `launcher` and `arguments`, `{state}` stands for the folder that keeps the device's state and
/// `{port}` for the TCP port of its link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The program, relative to the repository; none for the command that is running.
    #[serde(default)]
    pub image: Option<PathBuf>,
    /// What runs the image where this machine cannot; empty for nothing.
    #[serde(default)]
    pub launcher: Vec<String>,
    /// What the program is told.
    #[serde(default)]
    pub arguments: Vec<String>,
}

/// Why a descriptor cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// No target of that name, and no file either.
    #[error("no target `{name}`: there are {}; or give the path of a descriptor (.toml)", known.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// The file cannot be read.
    #[error("{}: cannot read the target's descriptor: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Not the TOML that describes a target.
    #[error("{}:{line}: {message}; see targets/README.md", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A value that cannot be.
    #[error("{}: {key}: {message}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key with its tables.
        key: String,
        /// What is wrong and what was expected.
        message: String,
    },
}

impl Target {
    /// The targets that this library knows, in the order in which they are listed.
    ///
    /// # Errors
    /// None in practice: a test reads them all.
    pub fn built_in() -> Result<Vec<Self>, TargetError> {
        BUILT_IN
            .iter()
            .map(|(name, text)| Self::parse(text, &built_in_path(name)))
            .collect()
    }

    /// Finds a target by its name, or reads it from a path that ends in `.toml`.
    ///
    /// # Errors
    /// When there is no such target, or its descriptor is wrong.
    pub fn find(name: &str) -> Result<Self, TargetError> {
        if Path::new(name)
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            return Self::read(Path::new(name));
        }
        let known = || {
            BUILT_IN
                .iter()
                .map(|(name, _)| (*name).to_owned())
                .collect()
        };
        let found = BUILT_IN.iter().find(|(built_in, _)| *built_in == name);
        let (name, text) = found.ok_or_else(|| TargetError::Unknown {
            name: name.to_owned(),
            known: known(),
        })?;
        Self::parse(text, &built_in_path(name))
    }

    /// Reads a descriptor.
    ///
    /// # Errors
    /// When the file cannot be read or is wrong.
    pub fn read(path: &Path) -> Result<Self, TargetError> {
        let text = std::fs::read_to_string(path).map_err(|source| TargetError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, path)
    }

    /// Reads a descriptor's text; `path` stands in errors, and its file name must be the target's.
    ///
    /// # Errors
    /// When the text is not TOML, misses a key or has one too many, or a value cannot be.
    pub fn parse(text: &str, path: &Path) -> Result<Self, TargetError> {
        let target: Self = toml::from_str(text).map_err(|error| TargetError::Syntax {
            path: path.to_owned(),
            line: error.span().map_or(1, |span| line_of(text, span.start)),
            message: error.message().to_owned(),
        })?;
        let stem = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default();
        match target.fault(stem) {
            Some((key, message)) => Err(TargetError::Value {
                path: path.to_owned(),
                key,
                message,
            }),
            None => Ok(target),
        }
    }

    /// The first value that cannot be: its key, and what is wrong with it.
    fn fault(&self, stem: &str) -> Option<(String, String)> {
        let fault = |key: &str, message: String| Some((key.to_owned(), message));
        if !is_name(&self.name) {
            return fault(
                "name",
                format!(
                    "`{}`: expected 1 to {MAX_NAME_BYTES} of a-z, 0-9 and `-`",
                    self.name
                ),
            );
        }
        if self.name != stem {
            return fault(
                "name",
                format!(
                    "`{}` stands in `{stem}.toml`; name the file like the target",
                    self.name
                ),
            );
        }
        if !is_name(&self.kernel_class) {
            return fault(
                "kernel_class",
                format!(
                    "`{}`: expected a kernel class such as `reference`",
                    self.kernel_class
                ),
            );
        }
        if self.models.is_empty() {
            return fault(
                "models",
                "expected at least one of \"plan\" and \"onnx\"".to_owned(),
            );
        }
        if self.models.contains(&ModelKind::Plan) && self.budget.arena_bytes == 0 {
            return fault(
                "budget.arena_bytes",
                "expected more than 0 on a target that runs plans".to_owned(),
            );
        }
        self.region_fault()
            .or_else(|| self.budget_fault())
            .or_else(|| self.run_fault())
    }

    fn region_fault(&self) -> Option<(String, String)> {
        let message =
            |index: usize, message: &str| Some((format!("memory[{index}]"), message.to_owned()));
        for (index, region) in self.memory.iter().enumerate() {
            if region.bytes == 0 || region.origin.checked_add(region.bytes).is_none() {
                return message(
                    index,
                    "expected more than 0 bytes, within the address space",
                );
            }
            let before = index
                .checked_sub(1)
                .and_then(|before| self.memory.get(before));
            if before
                .is_some_and(|before| before.origin.saturating_add(before.bytes) > region.origin)
            {
                return message(
                    index,
                    "overlaps the region before it; list regions in address order",
                );
            }
        }
        None
    }

    fn budget_fault(&self) -> Option<(String, String)> {
        let total = |kind| {
            self.memory
                .iter()
                .filter(|region| region.kind == kind)
                .map(|region| region.bytes)
                .sum()
        };
        let (flash, ram): (u64, u64) = (total(RegionKind::Flash), total(RegionKind::Ram));
        let has_flash = self
            .memory
            .iter()
            .any(|region| region.kind == RegionKind::Flash);
        if has_flash && self.budget.flash_bytes > flash {
            let message = format!(
                "{} bytes of {flash} bytes of flash",
                self.budget.flash_bytes
            );
            return Some(("budget.flash_bytes".to_owned(), message));
        }
        let wanted = self
            .budget
            .arena_bytes
            .saturating_add(self.budget.stack_bytes);
        if !self.memory.is_empty() && wanted > ram {
            return Some((
                "budget".to_owned(),
                format!("arena and stack take {wanted} bytes of {ram} bytes of RAM"),
            ));
        }
        None
    }

    fn run_fault(&self) -> Option<(String, String)> {
        let parts = |key: &'static str, parts: &'_ [String]| {
            let unknown = parts.iter().find_map(|part| unknown_placeholder(part));
            unknown.map(|name| {
                (
                    key.to_owned(),
                    format!("`{{{name}}}`: expected {{state}} or {{port}}"),
                )
            })
        };
        if self.run.image.is_none() && self.flash != FlashMethod::Process {
            return Some((
                "run.image".to_owned(),
                "expected the path of the program or firmware".to_owned(),
            ));
        }
        parts("run.launcher", &self.run.launcher)
            .or_else(|| parts("run.arguments", &self.run.arguments))
    }

    /// Whether the target runs models of that kind.
    pub fn runs(&self, kind: ModelKind) -> bool {
        self.models.contains(&kind)
    }
}

impl Run {
    /// The command line: launcher, `image`, arguments, with every placeholder filled in. `image`
    /// overrides the descriptor's.
    pub fn command(&self, image: &Path, state: &Path, port: u16) -> Vec<String> {
        let fill = |part: &String| {
            part.replace("{state}", &state.to_string_lossy())
                .replace("{port}", &port.to_string())
        };
        let image = image.to_string_lossy().into_owned();
        self.launcher
            .iter()
            .map(fill)
            .chain([image])
            .chain(self.arguments.iter().map(fill))
            .collect()
    }
}

fn built_in_path(name: &str) -> PathBuf {
    Path::new("targets").join(format!("{name}.toml"))
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text
        .as_bytes()
        .iter()
        .take(at)
        .filter(|&&byte| byte == b'\n')
        .count()
}

fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=MAX_NAME_BYTES).contains(&text.len()) && text.chars().all(fits)
}

fn unknown_placeholder(part: &str) -> Option<&str> {
    part.split('{')
        .skip(1)
        .filter_map(|rest| rest.split('}').next())
        .find(|name| !["state", "port"].contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> String {
        BUILT_IN
            .iter()
            .find(|(name, _)| *name == "qemu-cortex-m4f")
            .map(|(_, text)| (*text).to_owned())
            .unwrap()
    }

    fn error(text: &str) -> String {
        Target::parse(text, Path::new("qemu-cortex-m4f.toml"))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn every_descriptor_of_the_repository_is_built_in_and_valid() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../targets");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "toml")
            })
            .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        let mut built_in: Vec<String> = Target::built_in()
            .unwrap()
            .into_iter()
            .map(|target| target.name)
            .collect();
        files.sort();
        built_in.sort();
        assert_eq!(files, built_in);
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = Target::find("esp32").unwrap_err().to_string();
        assert!(
            error.contains("esp32") && error.contains("qemu-cortex-m4f"),
            "{error}"
        );
    }

    #[test]
    fn a_wrong_value_is_named_with_file_and_key() {
        let cases = [
            (
                "kernel_class = \"reference\"",
                "kernel_class = \"\"",
                "kernel_class",
            ),
            (
                "name = \"qemu-cortex-m4f\"",
                "name = \"other\"",
                "name the file like the target",
            ),
            ("models = [\"plan\"]", "models = []", "models"),
            ("{port}", "{ports}", "{ports}"),
        ];
        for (from, to, expected) in cases {
            let wrong = text().replacen(from, to, 1);
            assert_ne!(wrong, text(), "{from} is not there");
            let error = error(&wrong);
            assert!(
                error.starts_with("qemu-cortex-m4f.toml: ") && error.contains(expected),
                "{error}"
            );
        }
    }

    #[test]
    fn an_unknown_key_is_an_error_with_its_line() {
        let wrong = text().replacen("kernel_class", "kernels", 1);
        let line = wrong
            .lines()
            .position(|line| line.starts_with("kernels"))
            .unwrap()
            + 1;
        let error = error(&wrong);
        assert!(
            error.starts_with(&format!("qemu-cortex-m4f.toml:{line}: "))
                && error.contains("kernels"),
            "{error}"
        );
    }

    #[test]
    fn a_budget_beyond_the_memory_is_refused() {
        let mut target = Target::find("qemu-cortex-m4f").unwrap();
        target.budget.arena_bytes = 1 << 40;
        assert_eq!(target.fault("qemu-cortex-m4f").unwrap().0, "budget");
        target.budget.arena_bytes = 1;
        let last = target.memory.last().unwrap().clone();
        target.memory.push(last);
        assert!(
            target
                .fault("qemu-cortex-m4f")
                .unwrap()
                .0
                .starts_with("memory[")
        );
    }

    #[test]
    fn placeholders_are_filled_in() {
        let run = Run {
            image: None,
            launcher: vec!["emulate".to_owned(), "--port={port}".to_owned()],
            arguments: vec!["--state".to_owned(), "{state}".to_owned()],
        };
        let command = run.command(Path::new("agent"), Path::new("/s"), 7001);
        assert_eq!(
            command,
            ["emulate", "--port=7001", "agent", "--state", "/s"]
        );
    }
}
