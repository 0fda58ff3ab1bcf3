//! The files of one device.
//!
//! | file | what | bytes |
//! |---|---|---|
//! | `provision.bin` | identity, credential, trusted keys | below 256 |
//! | `slot-0.bin`, `slot-1.bin` | bundles: one runs, one is being written | up to 16 MiB each |
//! | `choice.bin` | which slot runs | up to 8 KiB |
//! | `records.bin` | monitoring records until they are acknowledged | up to 4 MiB |
//! | `model/` | slots and choice of `--model`, made anew at every start | as the model |
//!
//! Files are as long as what was written to them.

use std::io;
use std::path::{Path, PathBuf};

use dunlin_runtime::{MappedFlash, Regions};

use crate::file_flash::{FileFlash, OpenError, PAGE_BYTES};

/// Bytes of the longest bundle.
pub const BUNDLE_BYTES: usize = 16 * 1024 * 1024;
/// A slot begins with a page of its own.
const SLOT_BYTES: usize = BUNDLE_BYTES + PAGE_BYTES;
const CHOICE_BYTES: usize = 2 * PAGE_BYTES;
const RECORDS_BYTES: usize = 4 * 1024 * 1024;
const MODEL_FOLDER: &str = "model";

impl MappedFlash for FileFlash {
    fn mapped(&self) -> &[u8] {
        FileFlash::mapped(self)
    }
}

/// Opening the state folder failed.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A flash image.
    #[error(transparent)]
    Flash(#[from] OpenError),
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Opens the flash of the device in `state`.
///
/// # Errors
/// [`StateError`]; an image in use means that another agent is this device already.
pub fn open(state: &Path) -> Result<Regions<FileFlash>, StateError> {
    regions(state, state)
}

/// The same with slots that are empty at every start, for a model from the command line.
///
/// # Errors
/// [`StateError`].
pub fn open_for_bare_model(state: &Path) -> Result<Regions<FileFlash>, StateError> {
    let folder = state.join(MODEL_FOLDER);
    let failed = |source| StateError::Io {
        path: folder.clone(),
        source,
    };
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => std::fs::create_dir_all(&folder).map_err(failed)?,
    }
    regions(&folder, state)
}

/// Records first: they are what tells two agents apart.
fn regions(slots: &Path, records: &Path) -> Result<Regions<FileFlash>, StateError> {
    let records = FileFlash::open(&records.join("records.bin"), RECORDS_BYTES)?;
    let slot = |name: &str| FileFlash::open(&slots.join(name), SLOT_BYTES);
    Ok(Regions {
        records,
        slots: [slot("slot-0.bin")?, slot("slot-1.bin")?],
        state: FileFlash::open(&slots.join("choice.bin"), CHOICE_BYTES)?,
    })
}
