//! Who this device is: identity, credential key and the public keys it trusts.
//!
//! Kept in `device.json` in the state folder, mode 0600, written once when the device is flashed:
//!
//! ```json
//! {"device":"00112233445566aa","key":"<64 hexadecimal digits>","trusted":["<64 hexadecimal digits>"]}
//! ```

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use dunlin_wire::DeviceId;
use serde::{Deserialize, Serialize};

use crate::file_flash::sync_folder_of;

/// Name of the file in the state folder.
pub const FILE_NAME: &str = "device.json";

/// What a device is given once.
#[derive(Clone, PartialEq, Eq)]
pub struct Provision {
    /// The device.
    pub device: DeviceId,
    /// Its credential key, shared with the collector.
    pub key: [u8; 32],
    /// Ed25519 public keys whose bundles it runs.
    pub trusted: Vec<[u8; 32]>,
}

impl std::fmt::Debug for Provision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provision")
            .field("device", &self.device)
            .field("trusted", &self.trusted.len())
            .finish_non_exhaustive()
    }
}

/// Reading or writing the provisioning failed. No variant carries the key.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// The state folder has no provisioning: the device was never flashed.
    #[error("{path}: this device is not provisioned; `dunlin flash` does it")]
    Missing {
        /// Where the file was looked for.
        path: PathBuf,
    },
    /// There is one already, and it is another one.
    #[error("{path}: this device is provisioned already, as {device}")]
    Exists {
        /// The file.
        path: PathBuf,
        /// Who the device is.
        device: DeviceId,
    },
    /// The file is not what it should be.
    #[error("{path}: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Which field, and why.
        reason: String,
    },
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    device: String,
    key: String,
    trusted: Vec<String>,
}

impl Provision {
    /// Reads the provisioning of the device in `state`.
    ///
    /// # Errors
    /// [`ProvisionError`]: missing, malformed, or an I/O error.
    pub fn read(state: &Path) -> Result<Self, ProvisionError> {
        let path = state.join(FILE_NAME);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ProvisionError::Missing { path });
            }
            Err(source) => return Err(ProvisionError::Io { path, source }),
        };
        Self::parse(&text).map_err(|reason| ProvisionError::Malformed { path, reason })
    }

    /// Writes the provisioning into `state`, making the folder where there is none. Writing the same
    /// again changes nothing.
    ///
    /// # Errors
    /// [`ProvisionError::Exists`] when the device is somebody else already, or an I/O error.
    pub fn write(&self, state: &Path) -> Result<(), ProvisionError> {
        let path = state.join(FILE_NAME);
        match Self::read(state) {
            Ok(present) if present == *self => return Ok(()),
            Ok(present) => {
                return Err(ProvisionError::Exists {
                    path,
                    device: present.device,
                });
            }
            Err(ProvisionError::Missing { .. }) => {}
            Err(other) => return Err(other),
        }
        self.write_new(state, &path)
            .map_err(|source| ProvisionError::Io { path, source })
    }

    fn write_new(&self, state: &Path, path: &Path) -> io::Result<()> {
        std::fs::create_dir_all(state)?;
        let partial = path.with_extension("partial");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&partial)?;
        let text = serde_json::to_string_pretty(&self.stored()).map_err(io::Error::other)?;
        file.write_all(text.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        std::fs::rename(&partial, path)?;
        sync_folder_of(path)
    }

    fn stored(&self) -> Stored {
        Stored {
            device: self.device.to_string(),
            key: hex(&self.key),
            trusted: self.trusted.iter().map(|key| hex(key)).collect(),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let stored: Stored = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let key_of = |name: &str, text: &str| {
            unhex(text).ok_or_else(|| format!("`{name}` is not 64 hexadecimal digits"))
        };
        Ok(Self {
            device: stored
                .device
                .parse()
                .map_err(|error| format!("`device`: {error}"))?,
            key: key_of("key", &stored.key)?,
            trusted: stored
                .trusted
                .iter()
                .map(|text| key_of("trusted", text))
                .collect::<Result<_, _>>()?,
        })
    }
}

/// Lower-case hexadecimal digits of `bytes`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != 32 || !rest.is_empty() {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut key = [0; 32];
    for (byte, [high, low]) in key.iter_mut().zip(pairs) {
        *byte = (digit(*high)? * 16 + digit(*low)?) as u8;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn provision() -> Provision {
        Provision {
            device: DeviceId([1, 2, 3, 4, 5, 6, 7, 0xAB]),
            key: [0x5A; 32],
            trusted: vec![[7; 32]],
        }
    }

    #[test]
    fn is_read_back_and_only_the_owner_may_read_it() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let state = folder.path().join("state");
        provision().write(&state).expect("writes");
        assert_eq!(Provision::read(&state).expect("reads"), provision());
        let mode = std::fs::metadata(state.join(FILE_NAME))
            .expect("file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn is_given_once() {
        let folder = tempfile::tempdir().expect("temporary folder");
        provision().write(folder.path()).expect("first");
        provision().write(folder.path()).expect("the same again");
        let other = Provision {
            key: [1; 32],
            ..provision()
        };
        assert!(matches!(
            other.write(folder.path()),
            Err(ProvisionError::Exists { .. })
        ));
        assert_eq!(Provision::read(folder.path()).expect("reads"), provision());
    }

    #[test]
    fn says_what_is_missing_or_malformed_without_the_key() {
        let folder = tempfile::tempdir().expect("temporary folder");
        assert!(matches!(
            Provision::read(folder.path()),
            Err(ProvisionError::Missing { .. })
        ));
        let bad = [
            "",
            "{}",
            r#"{"device":"x","key":"","trusted":[]}"#,
            r#"{"device":"0102030405060708","key":"zz","trusted":[]}"#,
        ];
        for text in bad {
            std::fs::write(folder.path().join(FILE_NAME), text).expect("writes");
            assert!(
                matches!(
                    Provision::read(folder.path()),
                    Err(ProvisionError::Malformed { .. })
                ),
                "{text}"
            );
        }
        assert!(!format!("{:?}", provision()).contains(&hex(&provision().key)));
    }
}
