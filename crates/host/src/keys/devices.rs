//! The devices file: who the devices are and the keys they share with the collector.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use dunlin_wire::credential::Credential;
use dunlin_wire::{DeviceId, Digest};
use serde::{Deserialize, Serialize};

use super::{Access, KeyError, check_name, random, restrict};

/// A device that was provisioned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its identity, drawn at random.
    pub id: DeviceId,
    /// What people call it; unique in the file.
    pub name: String,
    /// Name of its target.
    pub target: String,
    /// The key it shares with the collector; never shown.
    pub credential: Credential,
}

/// What a new device is called and what it is.
#[derive(Debug, Clone, Copy)]
pub struct NewDevice<'a> {
    /// What people call it.
    pub name: &'a str,
    /// Name of its target.
    pub target: &'a str,
}

/// The devices of a JSON file that the collector reads:
///
/// ```json
/// {"devices": [{"device": "00112233445566ff", "name": "kitchen", "target": "local", "key": "<64 hexadecimal digits>"}]}
/// ```
///
/// The file is readable by its owner only and replaced in one step. Whoever changes it holds the lock
/// of the file beside it that is named like it with `.lock` at the end: see [`Devices::update`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Devices {
    devices: Vec<Device>,
}

#[derive(Serialize, Deserialize)]
struct DevicesFile {
    devices: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    device: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    target: String,
    key: String,
}

impl Devices {
    /// Reads the file; without one there are no devices.
    ///
    /// # Errors
    /// When there is a file that cannot be read, is not of the expected form, or names a device
    /// twice. No error repeats a key.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(source) => {
                return Err(KeyError::File {
                    path: path.to_owned(),
                    source,
                });
            }
            Ok(text) => text,
        };
        Self::parse(&text).map_err(|reason| KeyError::Devices {
            path: path.to_owned(),
            reason,
        })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let file: DevicesFile = serde_json::from_str(text).map_err(|error| {
            format!(
                "line {}, column {}: expected {{\"devices\": [{{\"device\": …, \"key\": …}}]}}",
                error.line(),
                error.column()
            )
        })?;
        let mut devices = Self::default();
        for entry in file.devices {
            let device = Device::try_from(entry)?;
            if devices
                .iter()
                .any(|known| known.id == device.id || known.name == device.name)
            {
                return Err(format!(
                    "device {} ({}) stands there twice",
                    device.id, device.name
                ));
            }
            devices.devices.push(device);
        }
        Ok(devices)
    }

    /// Reads the file, changes what is in it and writes it, while every other change waits. A change
    /// that fails, or changes nothing, leaves the file as it is.
    ///
    /// # Errors
    /// Those of `change` and of [`Devices::read`], and when the file cannot be locked or written.
    pub fn update<T, E: From<KeyError>>(
        path: &Path,
        change: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let lock = lock(path)?;
        let before = Self::read(path)?;
        let mut devices = before.clone();
        let changed = change(&mut devices)?;
        let written = match devices == before {
            true => Ok(()),
            false => devices.write(path),
        };
        drop(lock);
        written.map(|()| changed).map_err(E::from)
    }

    /// Draws an identity and a credential for a new device. Only [`Devices::update`] keeps it.
    ///
    /// # Errors
    /// When the name is unfit or taken, or there are no random numbers.
    pub fn add(&mut self, new: NewDevice<'_>) -> Result<&Device, KeyError> {
        check_name(new.name)?;
        if self.find(new.name).is_some() {
            let reason = format!(
                "there is a device `{}` already; choose another name",
                new.name
            );
            return Err(KeyError::Devices {
                path: new.name.into(),
                reason,
            });
        }
        let device = Device {
            id: DeviceId(random()?),
            name: new.name.to_owned(),
            target: new.target.to_owned(),
            credential: Credential(random()?),
        };
        Ok(self.devices.push_mut(device))
    }

    /// The device of that name or identity.
    pub fn find(&self, name_or_id: &str) -> Option<&Device> {
        self.iter()
            .find(|device| device.name == name_or_id || device.id.to_string() == name_or_id)
    }

    /// The device of that name.
    pub fn named(&self, name: &str) -> Option<&Device> {
        self.iter().find(|device| device.name == name)
    }

    /// Takes a device out; returns whether it was there.
    pub fn remove(&mut self, id: DeviceId) -> bool {
        let before = self.devices.len();
        self.devices.retain(|device| device.id != id);
        self.devices.len() < before
    }

    /// All devices in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = &Device> {
        self.devices.iter()
    }

    /// Replaces the file at `path` in one step; only its owner may read it. When it cannot be written, the old file
    /// is still there.
    fn write(&self, path: &Path) -> Result<(), KeyError> {
        let file = DevicesFile {
            devices: self.iter().map(Entry::from).collect(),
        };
        let text = serde_json::to_string_pretty(&file).unwrap_or_default();
        replace(path, text.as_bytes()).map_err(|source| KeyError::File {
            path: path.to_owned(),
            source,
        })
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Waits until nobody else changes the file at `path`. The lock is on a file beside it, because that one is replaced.
fn lock(path: &Path) -> Result<File, KeyError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    let beside = Path::new(&beside);
    let locked = || {
        std::fs::create_dir_all(folder_of(path))?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        restrict(&mut options, Access::Owner);
        let file = options.open(beside)?;
        file.lock()?;
        Ok(file)
    };
    locked().map_err(|source| KeyError::File {
        path: beside.to_owned(),
        source,
    })
}

/// A temporary file is made with mode 0600, beside the one it replaces, and is on the disk before it does.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = folder_of(path);
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.write_all(b"\n")?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    sync_folder(folder)
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> std::io::Result<()> {
    Ok(())
}

impl From<&Device> for Entry {
    fn from(device: &Device) -> Self {
        Self {
            device: device.id.to_string(),
            name: device.name.clone(),
            target: device.target.clone(),
            key: Digest(device.credential.0).to_string(),
        }
    }
}

impl TryFrom<Entry> for Device {
    type Error = String;

    fn try_from(entry: Entry) -> Result<Self, String> {
        let id: DeviceId = entry
            .device
            .parse()
            .map_err(|error| format!("device `{}`: {error}", entry.device))?;
        let key: Digest = entry
            .key
            .parse()
            .map_err(|error| format!("device {id}: key: {error}"))?;
        let name = if entry.name.is_empty() {
            id.to_string()
        } else {
            entry.name
        };
        Ok(Self {
            id,
            name,
            target: entry.target,
            credential: Credential(key.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(name: &str) -> NewDevice<'_> {
        NewDevice {
            name,
            target: "local",
        }
    }

    #[test]
    fn devices_come_back_from_their_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fleet/devices.json");
        assert_eq!(Devices::read(&path).unwrap().iter().count(), 0);
        let add = |name| Devices::update(&path, |devices| devices.add(new(name)).cloned()).unwrap();
        let (kitchen, cellar) = (add("kitchen"), add("cellar"));

        let again = Devices::read(&path).unwrap();
        assert_eq!(again.iter().count(), 2);
        assert_eq!(again.find("kitchen"), Some(&kitchen));
        assert_eq!(again.find(&cellar.id.to_string()), Some(&cellar));
        assert_ne!(kitchen.id, cellar.id);
        assert_ne!(kitchen.credential, cellar.credential);
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_read_the_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("devices.json");
        std::fs::write(&path, "{\"devices\": []}").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        Devices::update(&path, |devices| devices.add(new("kitchen")).cloned()).unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    #[test]
    fn devices_that_are_added_at_the_same_time_are_all_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = &folder.path().join("devices.json");
        let add = |name: String| {
            Devices::update(path, |devices| {
                devices
                    .add(NewDevice {
                        name: &name,
                        target: "local",
                    })
                    .cloned()
            })
        };
        std::thread::scope(|scope| {
            for thread in 0..8 {
                scope.spawn(move || {
                    (0..8).for_each(|at| drop(add(format!("d{thread}-{at}")).unwrap()))
                });
            }
        });
        assert_eq!(Devices::read(path).unwrap().iter().count(), 64);
    }

    #[test]
    fn a_change_that_fails_leaves_the_file_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("devices.json");
        let add = |name| Devices::update(&path, |devices| devices.add(new(name)).cloned());
        let kitchen = add("kitchen").unwrap();
        let failed: Result<(), KeyError> = Devices::update(&path, |devices| {
            devices.remove(kitchen.id);
            Err(KeyError::Name {
                name: String::new(),
            })
        });
        assert!(failed.is_err());
        assert_eq!(
            Devices::read(&path).unwrap().named("kitchen"),
            Some(&kitchen)
        );
        let removed: Result<bool, KeyError> =
            Devices::update(&path, |devices| Ok(devices.remove(kitchen.id)));
        assert!(removed.unwrap());
        assert_eq!(Devices::read(&path).unwrap(), Devices::default());
    }

    #[test]
    fn a_name_is_given_once() {
        let mut devices = Devices::default();
        devices.add(new("kitchen")).unwrap();
        assert!(
            devices
                .add(new("kitchen"))
                .unwrap_err()
                .to_string()
                .contains("already")
        );
        assert!(matches!(
            devices.add(new("a b")),
            Err(KeyError::Name { .. })
        ));
        assert_eq!(devices.iter().count(), 1);
    }

    #[test]
    fn a_wrong_file_is_refused_without_repeating_a_key() {
        let key = "5ec2e7".repeat(10);
        let entry = |device: &str| format!(r#"{{"device": "{device}", "key": "{key}0000"}}"#);
        let cases = [
            format!(r#"{{"devices": [{{"device": "00112233445566ff", "key": "{key}"}}]}}"#),
            format!(r#"{{"devices": [{}]}}"#, entry("0011")),
            format!(r#"{{"devices": [{0}, {0}]}}"#, entry("00112233445566ff")),
            format!(r#"{{"devices": "{key}"}}"#),
        ];
        for text in cases {
            let reason = Devices::parse(&text).unwrap_err();
            assert!(!reason.contains(&key), "{reason}");
        }
        let good = format!(r#"{{"devices": [{}]}}"#, entry("00112233445566ff"));
        assert_eq!(
            Devices::parse(&good).unwrap().iter().next().unwrap().name,
            "00112233445566ff"
        );
    }
}
