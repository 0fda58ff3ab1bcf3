//! Arguments that the commands for devices share: where the fleet's files lie.

use anyhow::{Context, Result};
use clap::Args;
use dunlin_fleet::{Roster, Store};
use dunlin_host::keys;
use dunlin_wire::{BundleId, PublicKey};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// The fleet's folder.
#[derive(Args, Clone)]
pub struct FleetArguments {
    /// Folder of the fleet: its devices, their credentials, the collector's database
    #[arg(long, value_name = "DIR", default_value = "fleet")]
    pub fleet: PathBuf,
}

/// The keys that sign, and that devices trust.
#[derive(Args, Clone)]
pub struct KeysArguments {
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
    pub fn devices(&self) -> Result<Roster> {
        let path = self.devices_file();
        anyhow::ensure!(
            path.exists(),
            "{}: no devices are known here; `dunlin flash` registers one",
            path.display()
        );
        Ok(Roster::read(&path)?)
    }

    /// Opens the collector's database, or makes it.
    pub fn store(&self) -> Result<Store> {
        std::fs::create_dir_all(&self.fleet).with_context(|| self.fleet.display().to_string())?;
        Ok(Store::create(&self.database())?)
    }

    /// The schema of a bundle that was flashed from here.
    pub fn bundle_schema(&self, bundle: BundleId) -> Result<Option<Vec<u8>>> {
        let database = self.database();
        if !database.is_file() {
            return Ok(None);
        }
        Ok(Store::open(&database)?.bundle_schema(bundle)?)
    }

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

    /// Takes a device for one stream of samples, as those of two would mix; until the file is dropped.
    /// A device that is given by its address is taken as it is.
    pub fn turn(&self, name_or_address: &str) -> Result<Option<File>> {
        if name_or_address.contains(':') {
            return Ok(None);
        }
        let path = self.state(name_or_address).join("stream.lock");
        let file = File::create(&path).with_context(|| path.display().to_string())?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => anyhow::bail!(
                "another `dunlin stream` feeds device {name_or_address}, and their samples would mix; wait until it has ended"
            ),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| path.display().to_string())
            }
        }
    }
}

/// What is said of a device that cannot be reached.
pub fn silent(name_or_address: &str, address: &str) -> String {
    format!(
        "device {name_or_address} at {address}; where it has ended, `dunlin flash` starts it again"
    )
}

impl KeysArguments {
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

#[cfg(test)]
mod tests {
    use super::FleetArguments;
    use dunlin_fleet::Devices as Known;
    use dunlin_host::keys::{Devices as Provisioned, KeyError, NewDevice};

    const ID: &str = "00112233445566ff";

    fn entry(device: &str, name: &str, key: &str) -> String {
        format!(r#"{{"device": "{device}", "name": {name}, "target": "local", "key": "{key}"}}"#)
    }

    #[test]
    fn the_collector_knows_the_devices_that_were_provisioned() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("devices.json");
        for (name, target) in [("kitchen", "local"), ("bench", "nrf52840")] {
            let add = |devices: &mut Provisioned| -> Result<(), KeyError> {
                devices.add(NewDevice { name, target }).map(|_| ())
            };
            Provisioned::update(&path, add).expect("adds");
        }
        let provisioned = Provisioned::read(&path).expect("reads");
        let known = Known::read(&path).expect("reads");
        assert_eq!(known.iter().count(), 2);
        for device in provisioned.iter() {
            let same = known.get(device.id).expect("is known");
            assert_eq!(
                (&same.name, &same.credential),
                (&device.name, &device.credential)
            );
        }
    }

    #[test]
    fn both_readers_of_the_devices_file_take_and_refuse_the_same() {
        let key = "0123456789abcdef".repeat(4);
        let good = entry(ID, "\"kitchen\"", &key);
        let second = entry("00112233445566fe", "\"cellar\"", &key);
        let cases = [
            (format!("[{good}, {second}]"), true),
            (format!("[{}]", entry(ID, "\"\"", &key)), true),
            (
                format!("[{}]", entry(ID, "\"kitchen\"", &key.to_uppercase())),
                true,
            ),
            (format!("[{good}, {good}]"), false),
            (
                format!(
                    "[{good}, {}]",
                    entry("00112233445566fe", "\"kitchen\"", &key)
                ),
                false,
            ),
            (format!("[{}]", entry("0011", "\"kitchen\"", &key)), false),
            (format!("[{}]", entry(ID, "\"kitchen\"", &key[1..])), false),
            (format!("[{}]", entry(ID, "7", &key)), false),
            ("{}".to_owned(), false),
        ];
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("devices.json");
        for (devices, is_good) in cases {
            std::fs::write(&path, format!(r#"{{"devices": {devices}}}"#)).expect("writes");
            let verdicts = (Provisioned::read(&path).is_ok(), Known::read(&path).is_ok());
            assert_eq!(verdicts, (is_good, is_good), "{devices}");
        }
    }

    #[test]
    fn a_broker_is_named_alike_for_agents_and_the_collector() {
        for text in [
            "mqtt://host",
            "mqtt://host:2883",
            "mqtt://[::1]:1883",
            "mqtt://[::1]",
            "mqtts://host",
            "tcp://host",
            "host",
            "mqtt://",
            "mqtt://me:secret@host",
            "mqtt://host:0x7",
            "mqtt://host:99999",
            "mqtt://host/path",
        ] {
            let agent = text.parse::<dunlin_agent::upload::BrokerUrl>();
            let collector = text.parse::<dunlin_fleet::BrokerUrl>();
            assert_eq!(
                agent.map(|url| url.to_string()).ok(),
                collector.map(|url| url.to_string()).ok(),
                "{text}"
            );
        }
    }

    #[test]
    fn a_device_is_fed_by_one_stream_at_a_time() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("kitchen")).expect("a state folder");
        let fleet = FleetArguments {
            fleet: folder.path().to_owned(),
        };
        let turn = fleet.turn("kitchen").expect("free");
        let refused = fleet.turn("kitchen").expect_err("taken").to_string();
        assert!(refused.contains("device kitchen"), "{refused}");
        drop(turn);
        assert!(fleet.turn("kitchen").expect("free again").is_some());
    }
}
