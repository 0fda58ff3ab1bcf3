//! Who this device is, from the state folder.
//!
//! `provision.bin` holds a [`dunlin_wire::provision::Provision`] block, the same that a board has in a
//! page of its flash. It is written once, when the device is flashed, with mode 0600: whoever reads
//! it knows the device's credential.

use std::io;
use std::path::{Path, PathBuf};

use dunlin_wire::provision::{self, Provision};

/// Name of the file in the state folder.
pub const FILE_NAME: &str = "provision.bin";

/// Reading the provisioning failed. No variant carries the credential.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// The state folder has no provisioning: the device was never flashed.
    #[error("{path}: this device is not provisioned; `dunlin flash` does it")]
    Missing {
        /// Where the file was looked for.
        path: PathBuf,
    },
    /// The file is not what it should be.
    #[error("{path}: {source}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: provision::ProvisionError,
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

/// Reads the provisioning of the device in `state`.
///
/// # Errors
/// [`ProvisionError`]: missing, malformed, or an I/O error.
pub fn read(state: &Path) -> Result<Provision, ProvisionError> {
    let path = state.join(FILE_NAME);
    match std::fs::read(&path) {
        Ok(block) => {
            Provision::parse(&block).map_err(|source| ProvisionError::Malformed { path, source })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(ProvisionError::Missing { path })
        }
        Err(source) => Err(ProvisionError::Io { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunlin_wire::credential::Credential;
    use dunlin_wire::provision::MAX_PROVISION_BYTES;
    use dunlin_wire::{DeviceId, PublicKey};

    #[test]
    fn reads_what_was_flashed_and_says_what_is_wrong_otherwise() {
        let folder = tempfile::tempdir().expect("temporary folder");
        assert!(matches!(
            read(folder.path()),
            Err(ProvisionError::Missing { .. })
        ));
        let provision = Provision {
            device: DeviceId([1; 8]),
            credential: Credential([2; 32]),
            trusted: [PublicKey([3; 32])].into_iter().collect(),
        };
        let mut block = [0; MAX_PROVISION_BYTES];
        let length = provision.encode(&mut block).expect("fits");
        let path = folder.path().join(FILE_NAME);
        std::fs::write(&path, &block[..length]).expect("writes");
        assert_eq!(read(folder.path()).expect("reads"), provision);
        std::fs::write(&path, &block[..length - 1]).expect("writes");
        assert!(matches!(
            read(folder.path()),
            Err(ProvisionError::Malformed { .. })
        ));
    }
}
