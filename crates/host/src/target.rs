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

mod check;
mod run;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use check::Fault;
pub use run::Run;

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

/// Names of the targets that this library knows, in the order in which they are listed.
pub fn names() -> Vec<&'static str> {
    BUILT_IN.iter().map(|(name, _)| *name).collect()
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
        let found = BUILT_IN.iter().find(|(built_in, _)| *built_in == name);
        let (name, text) = found.ok_or_else(|| TargetError::Unknown {
            name: name.to_owned(),
            known: names().into_iter().map(str::to_owned).collect(),
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
        match check::fault(&target, stem) {
            Some(Fault { key, message }) => Err(TargetError::Value {
                path: path.to_owned(),
                key,
                message,
            }),
            None => Ok(target),
        }
    }

    /// Whether the target runs models of that kind.
    pub fn runs(&self, kind: ModelKind) -> bool {
        self.models.contains(&kind)
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

#[cfg(test)]
mod tests;
