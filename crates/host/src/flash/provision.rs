//! Gives a device its identity, once.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use dunlin_wire::Table;
use dunlin_wire::provision::{MAX_PROVISION_BYTES, MAX_TRUSTED_KEYS, Provision};

use crate::keys::{Device, Devices, NewDevice};

use super::{FlashError, FlashOptions, Progress, Step};

/// Name of the identity's file in the state folder.
const PROVISION_FILE: &str = "provision.bin";

/// Where the identity of a device lies.
pub(super) fn path(state: &Path) -> PathBuf {
    state.join(PROVISION_FILE)
}

/// Registers the device in the devices file and writes its identity to its folder, each unless it is
/// there already. Keys that came to be trusted since are written too; a running device learns of them
/// when it starts again.
pub(super) fn enrol(
    options: &FlashOptions<'_>,
    progress: &mut dyn Progress,
) -> Result<Device, FlashError> {
    let mut devices = Devices::read(options.devices)?;
    let known = devices.find(options.name).cloned();
    let is_new = known.is_none();
    let device = match known {
        Some(device) => device,
        None => {
            let new = NewDevice {
                name: options.name,
                target: &options.target.name,
            };
            let device = devices.add(new)?.clone();
            devices.write(options.devices)?;
            device
        }
    };
    write(options, &device)?;
    progress.step(Step::Provisioned {
        device: &device,
        is_new,
    });
    Ok(device)
}

fn write(options: &FlashOptions<'_>, device: &Device) -> Result<(), FlashError> {
    let block = block(options, device)?;
    let path = path(options.state);
    match std::fs::read(&path) {
        Ok(present) if present == block => return Ok(()),
        Ok(present) if is_of(&present, device) => {}
        Ok(_) => return Err(FlashError::OtherDevice { path }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(FlashError::Io { path, source }),
    }
    std::fs::create_dir_all(options.state).map_err(FlashError::io(options.state))?;
    write_secret(&path, &block).map_err(FlashError::io(path))
}

/// Whether a block on disk is this device's, whichever keys it trusted so far.
fn is_of(block: &[u8], device: &Device) -> bool {
    Provision::parse(block)
        .is_ok_and(|present| present.device == device.id && present.credential == device.credential)
}

fn block(options: &FlashOptions<'_>, device: &Device) -> Result<Vec<u8>, FlashError> {
    let (limit, got) = (MAX_TRUSTED_KEYS, options.trusted.len());
    if got > limit {
        return Err(FlashError::TooManyKeys { limit, got });
    }
    let trusted: Table<_, MAX_TRUSTED_KEYS> = options.trusted.iter().copied().collect();
    let provision = Provision {
        device: device.id,
        credential: device.credential.clone(),
        trusted,
    };
    let mut block = vec![0; MAX_PROVISION_BYTES];
    let length = provision
        .encode(&mut block)
        .map_err(|_| FlashError::TooManyKeys { limit, got })?;
    block.truncate(length);
    Ok(block)
}

/// Writes a file that only its owner may read; it appears whole or not at all.
fn write_secret(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let partial = path.with_extension("partial");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    restrict(&mut options);
    let mut file = options.open(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&partial, path)
}

#[cfg(unix)]
fn restrict(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600);
}

#[cfg(not(unix))]
fn restrict(_: &mut OpenOptions) {}

/// Writes one line to a small file.
pub(super) fn write_text(path: &Path, line: &str) -> Result<(), FlashError> {
    std::fs::write(path, format!("{line}\n")).map_err(FlashError::io(path))
}
