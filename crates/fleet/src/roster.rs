//! The known devices while a collector runs: read again when their file changed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::{Devices, FleetError};

/// The devices of a file as it is now, shared by everyone who holds a clone.
///
/// A file that changed into one that cannot be read, or is gone, changes nothing: the devices known
/// before still hold. Looking at the file costs one call of the system; it is read only when its
/// length or time of modification changed.
#[derive(Debug, Clone)]
pub struct Roster {
    file: Option<PathBuf>,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug)]
struct Known {
    devices: Arc<Devices>,
    stamp: Option<Stamp>,
    news: Option<News>,
}

/// Length and time of modification of a file.
type Stamp = (u64, SystemTime);

/// What came of reading the file again.
#[derive(Debug)]
pub(crate) enum News {
    Read(Arc<Devices>),
    Unread(FleetError),
}

impl Roster {
    /// Reads the devices file.
    ///
    /// # Errors
    /// Those of [`Devices::read`].
    pub fn read(path: &Path) -> Result<Self, FleetError> {
        let stamp = stamp(path);
        Ok(Self::new(
            Some(path.to_owned()),
            Devices::read(path)?,
            stamp,
        ))
    }

    fn new(file: Option<PathBuf>, devices: Devices, stamp: Option<Stamp>) -> Self {
        let known = Known {
            devices: Arc::new(devices),
            stamp,
            news: None,
        };
        Self {
            file,
            known: Arc::new(Mutex::new(known)),
        }
    }

    /// The devices as last read.
    pub fn devices(&self) -> Arc<Devices> {
        self.lock().devices.clone()
    }

    /// The devices after another look at the file.
    pub(crate) fn renewed(&self) -> Arc<Devices> {
        let mut known = self.lock();
        if let Some(path) = &self.file {
            known.look(path);
        }
        known.devices.clone()
    }

    /// What came of the last change that nobody asked for yet.
    pub(crate) fn news(&self) -> Option<News> {
        self.lock().news.take()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<Devices> for Roster {
    /// Devices that stay as they are.
    fn from(devices: Devices) -> Self {
        Self::new(None, devices, None)
    }
}

impl Known {
    fn look(&mut self, path: &Path) {
        let now = stamp(path);
        if now == self.stamp {
            return;
        }
        self.stamp = now;
        self.news = Some(match Devices::read(path) {
            Ok(devices) => {
                self.devices = Arc::new(devices);
                News::Read(self.devices.clone())
            }
            Err(error) => News::Unread(error),
        });
    }
}

/// `None` for a file that is not there.
fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.len(), metadata.modified().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(ids: &[&str]) -> String {
        let key = "0123456789abcdef".repeat(4);
        let entries: Vec<String> = ids
            .iter()
            .map(|id| format!(r#"{{"device": "{id}", "key": "{key}"}}"#))
            .collect();
        format!(r#"{{"devices": [{}]}}"#, entries.join(", "))
    }

    const FIRST: &str = "00112233445566ff";
    const SECOND: &str = "00112233445566fe";

    #[test]
    fn a_changed_file_is_read_again_and_everyone_sees_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("devices.json");
        std::fs::write(&path, file(&[FIRST])).unwrap();
        let roster = Roster::read(&path).unwrap();
        let other = roster.clone();
        assert_eq!(roster.renewed().iter().count(), 1);
        assert!(roster.news().is_none());
        std::fs::write(&path, file(&[FIRST, SECOND])).unwrap();
        assert_eq!(roster.devices().iter().count(), 1);
        assert_eq!(roster.renewed().iter().count(), 2);
        assert_eq!(other.devices().iter().count(), 2);
        assert!(matches!(other.news(), Some(News::Read(devices)) if devices.iter().count() == 2));
        assert!(roster.news().is_none());
    }

    #[test]
    fn a_file_that_broke_or_went_keeps_the_last_good_devices_and_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("devices.json");
        std::fs::write(&path, file(&[FIRST])).unwrap();
        let roster = Roster::read(&path).unwrap();
        let break_it: [&dyn Fn(); 2] = [&|| std::fs::write(&path, "{").unwrap(), &|| {
            std::fs::remove_file(&path).unwrap();
        }];
        for change in break_it {
            change();
            assert_eq!(roster.renewed().iter().count(), 1);
            assert!(matches!(roster.news(), Some(News::Unread(_))));
            assert_eq!(roster.renewed().iter().count(), 1);
            assert!(roster.news().is_none());
        }
        std::fs::write(&path, file(&[FIRST, SECOND])).unwrap();
        assert_eq!(roster.renewed().iter().count(), 2);
    }
}
