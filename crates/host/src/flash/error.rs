//! Why a device could not be flashed.

use std::io;
use std::path::PathBuf;

use dunlin_link::LinkError;
use dunlin_wire::DeviceId;
use dunlin_wire::bundle::BundleError;

use crate::keys::KeyError;

/// Why a device could not be flashed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FlashError {
    /// The bundle is damaged, or signed by a key the device would not trust.
    #[error("the bundle cannot go to a device: {0}")]
    Bundle(BundleError),
    /// The bundle was packaged for another kind of device.
    #[error(
        "the bundle is made for {made_for}, not for {target}; `dunlin package` makes one for it"
    )]
    OtherTarget {
        /// Target in the bundle.
        made_for: String,
        /// Target asked for.
        target: String,
    },
    /// More keys than a device can trust.
    #[error("a device trusts at most {limit} keys, {got} were given")]
    TooManyKeys {
        /// Most a device holds.
        limit: usize,
        /// Keys given.
        got: usize,
    },
    /// The devices file or the identity.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The state folder belongs to another device, or trusts other keys.
    #[error("{}: this folder is another device's, or one that trusts other keys; choose another folder, or remove it to begin anew", path.display())]
    OtherDevice {
        /// The provisioning in the folder.
        path: PathBuf,
    },
    /// A program that is needed is not installed.
    #[error("`{tool}` is not installed; {hint}")]
    MissingTool {
        /// The program.
        tool: String,
        /// How to get it.
        hint: &'static str,
    },
    /// The device's program was not built.
    #[error("{}: not there; `cargo xtask build {target}` makes it", path.display())]
    MissingImage {
        /// Where it was looked for.
        path: PathBuf,
        /// The target it belongs to.
        target: String,
    },
    /// A board needs to be told where its serial port is.
    #[error("which serial port is the {target} on? for example --link serial:/dev/ttyACM0")]
    NoLink {
        /// The target.
        target: String,
    },
    /// The descriptor misses what this way of flashing needs.
    #[error("targets/{target}.toml: {key}: expected {expected}")]
    Descriptor {
        /// The target.
        target: String,
        /// The key.
        key: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// The target is not one that is installed by copying files.
    #[error("{target} is not installed from a folder; flash it")]
    NotInstallable {
        /// The target.
        target: String,
    },
    /// A program ended with an error.
    #[error("{program} ended with {status}{}", said(.output))]
    Program {
        /// The program.
        program: String,
        /// Its exit status.
        status: String,
        /// The end of what it said.
        output: String,
    },
    /// The device did not answer in time.
    #[error("no device answers at {link_url}: {source}")]
    Silent {
        /// Where.
        link_url: String,
        /// What the last attempt came to.
        source: LinkError,
    },
    /// Another device answers.
    #[error("another device answers there: {got}, not {expected}")]
    Stranger {
        /// The device that was flashed.
        expected: DeviceId,
        /// The one that answers.
        got: DeviceId,
    },
    /// The link failed, or the device refused.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The file system or the process table.
    #[error("{}: {source}", path.display())]
    Io {
        /// What was read, written or started.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl From<BundleError> for FlashError {
    fn from(error: BundleError) -> Self {
        Self::Bundle(error)
    }
}

impl FlashError {
    /// An I/O error with its path.
    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

fn said(output: &str) -> String {
    match output.trim() {
        "" => String::new(),
        output => format!(":\n{output}"),
    }
}
