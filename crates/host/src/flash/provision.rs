//! Gives a device its identity, once, and takes it back from one that could not be flashed.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dunlin_wire::Table;
use dunlin_wire::provision::{MAX_PROVISION_BYTES, MAX_TRUSTED_KEYS, Provision};

use crate::keys::{Device, Devices, NewDevice};

use super::{FlashError, FlashOptions, Progress, Step, process};

/// Name of the identity's file in the state folder.
const PROVISION_FILE: &str = "provision.bin";
/// Name of the file that is locked while a device is flashed. Opened and removed only by who holds the lock of the
/// devices file, so that nobody waits for a file that is gone.
const LOCK_FILE: &str = "flash.lock";
/// How long to try for it; the lock of the devices file is held meanwhile.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
/// The pause between two attempts.
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Where the identity of a device lies.
pub(super) fn path(state: &Path) -> PathBuf {
    state.join(PROVISION_FILE)
}

/// Where the identity of a device belongs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Home<'a> {
    /// In this folder, which is the device's memory, and nowhere else.
    Folder(&'a Path),
    /// On a board; this folder has what is written there.
    Board(&'a Path),
    /// On the device already; this folder is for its address.
    Device(&'a Path),
}

impl<'a> Home<'a> {
    fn folder(self) -> &'a Path {
        match self {
            Self::Folder(folder) | Self::Board(folder) | Self::Device(folder) => folder,
        }
    }
}

/// A device that stands in the devices file, with its folder locked. A new one is taken back when this is dropped
/// before [`Enrolment::keep`]: entry, identity and whatever else is in its folder by then.
#[derive(Debug)]
pub(super) struct Enrolment<'a> {
    pub device: Device,
    pub is_new: bool,
    options: &'a FlashOptions<'a>,
    home: Home<'a>,
    /// Whether the folder was there before.
    had_folder: bool,
    /// None for a folder that is only filled to be copied.
    lock: Option<File>,
}

/// Registers the device in the devices file and writes its identity to its home, each unless it is there already.
/// Keys that came to be trusted since are written too; a running device learns of them when it starts again.
pub(super) fn enrol<'a>(
    options: &'a FlashOptions<'a>,
    home: Home<'a>,
    progress: &mut dyn Progress,
) -> Result<Enrolment<'a>, FlashError> {
    let enrolment = Devices::update(options.devices, |devices| claim(devices, options, home))?;
    progress.step(Step::Provisioned {
        device: &enrolment.device,
        is_new: enrolment.is_new,
    });
    Ok(enrolment)
}

fn claim<'a>(
    devices: &mut Devices,
    options: &'a FlashOptions<'a>,
    home: Home<'a>,
) -> Result<Enrolment<'a>, FlashError> {
    let known = devices.named(options.name).cloned();
    let is_new = known.is_none();
    let device = match known {
        Some(device) => check_known(device, options, home)?,
        None => {
            check_new(options, home)?;
            let (name, target) = (options.name, options.target.name.as_str());
            devices.add(NewDevice { name, target })?.clone()
        }
    };
    let had_folder = home.folder().exists();
    match settle(options, home, &device) {
        Ok(lock) => Ok(Enrolment {
            device,
            is_new,
            options,
            home,
            had_folder,
            lock,
        }),
        Err(error) => {
            if is_new {
                clear(home.folder(), had_folder);
            }
            Err(error)
        }
    }
}

/// A known device stays of its kind, and its identity where it is.
fn check_known(
    device: Device,
    options: &FlashOptions<'_>,
    home: Home<'_>,
) -> Result<Device, FlashError> {
    if !device.target.is_empty() && device.target != options.target.name {
        return Err(FlashError::OtherKind {
            name: device.name,
            known: device.target,
            asked: options.target.name.clone(),
        });
    }
    let Home::Folder(folder) = home else {
        return Ok(device);
    };
    let name = || device.name.clone();
    if folder != options.state && path(options.state).exists() {
        return Err(FlashError::LivesHere {
            name: name(),
            folder: options.state.to_owned(),
        });
    }
    if !path(folder).exists() {
        return Err(FlashError::LivesElsewhere {
            name: name(),
            folder: folder.to_owned(),
        });
    }
    Ok(device)
}

/// A new device begins in an empty folder, and never at the end of a link: an identity does not travel there.
fn check_new(options: &FlashOptions<'_>, home: Home<'_>) -> Result<(), FlashError> {
    if let (Home::Device(_), Some(link)) = (home, options.link) {
        return Err(FlashError::NotProvisioned {
            name: options.name.to_owned(),
            link_url: link.to_owned(),
        });
    }
    let folder = home.folder();
    let files = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        files => files.map_err(FlashError::io(folder))?,
    };
    match files.flatten().any(|file| file.file_name() != LOCK_FILE) {
        true => Err(FlashError::OtherDevice {
            path: folder.to_owned(),
        }),
        false => Ok(()),
    }
}

/// Makes the folder, locks it where the device runs from it, and writes the identity into it where it belongs there.
fn settle(
    options: &FlashOptions<'_>,
    home: Home<'_>,
    device: &Device,
) -> Result<Option<File>, FlashError> {
    let folder = home.folder();
    std::fs::create_dir_all(folder).map_err(FlashError::io(folder))?;
    let runs_there = folder == options.state;
    let lock = runs_there.then(|| lock(folder, &device.name)).transpose()?;
    match home {
        Home::Device(_) => {}
        Home::Folder(folder) | Home::Board(folder) => write(options, folder, device)?,
    }
    Ok(lock)
}

/// Takes the folder for one `flash` at a time. A lock outlasts its owner by the moment in which a process that was
/// started meanwhile still holds its files, so one that is held is tried again for [`LOCK_PATIENCE`].
fn lock(folder: &Path, name: &str) -> Result<File, FlashError> {
    let path = folder.join(LOCK_FILE);
    let file = File::create(&path).map_err(FlashError::io(&path))?;
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                std::thread::sleep(LOCK_PAUSE);
            }
            Err(TryLockError::WouldBlock) => {
                return Err(FlashError::Busy {
                    name: name.to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(FlashError::Io { path, source }),
        }
    }
}

impl Enrolment<'_> {
    /// The device is what it should be: it stays.
    pub fn keep(mut self) {
        self.is_new = false;
    }

    fn take_back(&mut self) -> Result<(), FlashError> {
        Devices::update(self.options.devices, |devices| {
            devices.remove(self.device.id);
            clear(self.home.folder(), self.had_folder);
            drop(self.lock.take());
            Ok(())
        })
    }
}

impl Drop for Enrolment<'_> {
    fn drop(&mut self) {
        if self.is_new {
            let _ = self.take_back();
        }
    }
}

/// Empties the folder of a device that was new; what was not there before goes altogether.
fn clear(folder: &Path, had_folder: bool) {
    let _ = std::fs::remove_dir_all(folder);
    if had_folder {
        let _ = std::fs::create_dir(folder);
    }
}

/// Takes a device out of the devices file and removes the folder that holds its identity, with the records that were
/// not collected. What the collector has of it stays. A device that is a board, or runs on another machine, goes on
/// unheard.
///
/// # Errors
/// [`FlashError::NoSuchDevice`]; [`FlashError::StillRuns`] while its process runs; [`FlashError::Io`].
pub fn forget(devices: &Path, name: &str, state: &Path) -> Result<Device, FlashError> {
    Devices::update(devices, |known| {
        let device = known.named(name).cloned();
        let device = device.ok_or_else(|| FlashError::NoSuchDevice {
            name: name.to_owned(),
            path: devices.to_owned(),
        })?;
        if process::is_running(state)? {
            return Err(FlashError::StillRuns {
                name: name.to_owned(),
            });
        }
        if std::fs::read(path(state)).is_ok_and(|block| is_of(&block, &device)) {
            let _lock = lock(state, name)?;
            std::fs::remove_dir_all(state).map_err(FlashError::io(state))?;
        }
        known.remove(device.id);
        Ok(device)
    })
}

fn write(options: &FlashOptions<'_>, folder: &Path, device: &Device) -> Result<(), FlashError> {
    let block = block(options, device)?;
    let path = path(folder);
    match std::fs::read(&path) {
        Ok(present) if present == block => return Ok(()),
        Ok(present) if is_of(&present, device) => {}
        Ok(_) => return Err(FlashError::OtherDevice { path }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(FlashError::Io { path, source }),
    }
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
