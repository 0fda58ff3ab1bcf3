//! A place in which devices are flashed, with this agent as their program.

use super::bundle::{Recipe, public_key};
use dunlin_host::flash::FlashOptions;
use dunlin_host::target::{FlashMethod, Target};
use dunlin_wire::PublicKey;
use std::path::PathBuf;
use std::time::Duration;

pub const AGENT: &str = env!("CARGO_BIN_EXE_dunlin-agent");

/// A target whose program is this agent and whose bundles are made for `name`.
pub fn target(name: &'static str) -> Target {
    let mut target = Target::find("local").expect("built in");
    let arguments = [
        "run",
        "--state",
        "{state}",
        "--listen",
        "tcp:127.0.0.1:{port}",
        "--target",
        name,
    ];
    target.name = name.to_owned();
    target.flash = FlashMethod::Agent;
    target.run.image = Some(AGENT.into());
    target.run.arguments = arguments.map(String::from).to_vec();
    target
}

pub fn bundle(version: u32, target: &'static str) -> Vec<u8> {
    Recipe {
        target,
        ..Recipe::version(version)
    }
    .build()
}

/// Where a bench keeps its devices.
pub struct Bench {
    pub folder: tempfile::TempDir,
    pub devices: PathBuf,
    pub state: PathBuf,
    pub trusted: [PublicKey; 1],
}

impl Bench {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (devices, state) = (
            folder.path().join("devices.json"),
            folder.path().join("kitchen"),
        );
        Self {
            folder,
            devices,
            state,
            trusted: [public_key()],
        }
    }

    pub fn options<'a>(&'a self, target: &'a Target, bundle: &'a [u8]) -> FlashOptions<'a> {
        FlashOptions {
            name: "kitchen",
            devices: &self.devices,
            state: &self.state,
            trusted: &self.trusted,
            patience: Duration::from_secs(60),
            ..FlashOptions::new(target, bundle)
        }
    }
}
