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
    /// The name is that of another kind of device.
    #[error(
        "`{name}` is a {known}, not a {asked}: give the {asked} another name (--name NAME), or take `{name}` out of the fleet first (dunlin flash --forget {name})"
    )]
    OtherKind {
        /// The name.
        name: String,
        /// Target of the device that has it.
        known: String,
        /// Target that was to be flashed.
        asked: String,
    },
    /// A device that lives here was to be installed elsewhere.
    #[error(
        "`{name}` lives in {}, and a copy of its identity would be a second device of that name: install one with another name (--name NAME), or take `{name}` out of the fleet first (dunlin flash --forget {name})", folder.display()
    )]
    LivesHere {
        /// The device.
        name: String,
        /// Its state folder.
        folder: PathBuf,
    },
    /// A known device's identity is not where it was looked for.
    #[error(
        "`{name}` is known, but its identity is not in {}: it was installed elsewhere, or the folder was removed. Where it runs it is updated with --link ADDRESS; a new device needs another name (--name NAME); to begin anew, dunlin flash --forget {name}", folder.display()
    )]
    LivesElsewhere {
        /// The device.
        name: String,
        /// Where its identity was expected.
        folder: PathBuf,
    },
    /// A device at a link that was never given an identity.
    #[error(
        "no device `{name}` is known, and the one at {link_url} cannot be given an identity over its link: `dunlin flash BUNDLE --name {name} --install DIR` makes a folder with one for it"
    )]
    NotProvisioned {
        /// The name.
        name: String,
        /// Where it was to be flashed.
        link_url: String,
    },
    /// A known board does not answer where one is to be written.
    #[error(
        "the board at {link_url} does not answer as `{name}` ({found}); two boards must not have one identity: a board that is new needs another name (--name NAME); if it is `{name}` and lost its firmware, dunlin flash --forget {name} first"
    )]
    OtherBoard {
        /// The name.
        name: String,
        /// Where it was asked.
        link_url: String,
        /// What came of it.
        found: String,
    },
    /// Somebody else is flashing the device.
    #[error("another `dunlin flash` is at work on `{name}`; wait until it has ended")]
    Busy {
        /// The device.
        name: String,
    },
    /// A device that does not upload over MQTT, or is not started from here, was to do so.
    #[error(
        "{target}: only an agent that is started here can be told to upload over MQTT; its records are fetched with `dunlin collect --from`"
    )]
    NoUpload {
        /// The target.
        target: String,
    },
    /// No device has that name.
    #[error("{}: no device `{name}`", path.display())]
    NoSuchDevice {
        /// What was asked for.
        name: String,
        /// The devices file.
        path: PathBuf,
    },
    /// A device that runs was to be forgotten.
    #[error(
        "`{name}` runs: collect what it recorded, then end it with `dunlin flash --stop {name}`"
    )]
    StillRuns {
        /// The device.
        name: String,
    },
    /// The device takes nothing that is older than what it has run.
    #[error(
        "the bundle is version {offered}, the device has run version {lowest} and takes nothing older: raise `version` in the recipe to {lowest} or more and `dunlin build` it again"
    )]
    Older {
        /// Version of the bundle.
        offered: u32,
        /// Lowest version the device takes.
        lowest: u32,
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
    #[error("{}: not there; `cargo xtask build {target}` makes it, in the folder of Dunlin's source; --image FILE names one that lies elsewhere", path.display())]
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
    #[error("no device answers at {link_url}: {source}{}", said(.output))]
    Silent {
        /// Where.
        link_url: String,
        /// What the last attempt came to.
        source: LinkError,
        /// The end of what its process said; empty for one that was not started from here.
        output: String,
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
