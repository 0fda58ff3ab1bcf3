//! Arguments that the commands for devices share: where the fleet's files lie.

use anyhow::{Context, Result};
use clap::Args;
use dunlin_fleet::{Devices, Store};
use dunlin_host::keys;
use dunlin_wire::PublicKey;
use std::path::{Path, PathBuf};

/// The fleet's folder and the keys that its devices trust.
#[derive(Args, Clone)]
pub struct FleetArguments {
    /// Folder of the fleet: its devices, their credentials, the collector's database
    #[arg(long, value_name = "DIR", default_value = "fleet")]
    pub fleet: PathBuf,
    /// Folder of the signing keys
    #[arg(long, value_name = "DIR", default_value = "keys")]
    pub keys: PathBuf,
}

impl FleetArguments {
    /// The file with every device's id, name and credential.
    pub fn devices_file(&self) -> PathBuf {
        self.fleet.join("devices.json")
    }

    /// The collector's database.
    pub fn database(&self) -> PathBuf {
        self.fleet.join("records.sqlite")
    }

    /// The folder of one device's state, where it is a process.
    pub fn state(&self, name: &str) -> PathBuf {
        self.fleet.join(name)
    }

    /// The devices that the collector knows.
    pub fn devices(&self) -> Result<Devices> {
        let path = self.devices_file();
        anyhow::ensure!(
            path.exists(),
            "{}: no devices are known here; `dunlin flash` registers one",
            path.display()
        );
        Ok(Devices::read(&path)?)
    }

    /// Opens the collector's database, or makes it.
    pub fn store(&self) -> Result<Store> {
        std::fs::create_dir_all(&self.fleet).with_context(|| self.fleet.display().to_string())?;
        Ok(Store::create(&self.database())?)
    }

    /// Every public key in the folder of keys.
    pub fn trusted(&self) -> Result<Vec<PublicKey>> {
        let trusted: Vec<PublicKey> = public_key_files(&self.keys)?
            .iter()
            .map(|path| keys::read_public(path))
            .collect::<Result<_, _>>()?;
        anyhow::ensure!(
            !trusted.is_empty(),
            "{}: expected a public key (*.pub.pem); `dunlin keys new` makes one",
            self.keys.display()
        );
        Ok(trusted)
    }
}

fn public_key_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Ok(Vec::new());
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| folder.display().to_string())?.path();
        if path.to_string_lossy().ends_with(".pub.pem") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

impl FleetArguments {
    /// The address of a device, given that or its name: a running device's address is in its folder.
    pub fn address(&self, name_or_address: &str) -> Result<String> {
        if name_or_address.contains(':') {
            return Ok(name_or_address.to_owned());
        }
        let path = self.state(name_or_address).join("link");
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!(
                "no running device `{name_or_address}` ({}); give its address, or `dunlin flash` it",
                path.display()
            )
        })?;
        Ok(text.trim().to_owned())
    }
}
