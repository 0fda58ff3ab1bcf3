//! What can go wrong in the collector.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use dunlin_wire::DeviceId;
use rusqlite::ErrorCode;

/// Why collecting or reporting could not go on. What a device sends never ends up here: a bad
/// record is a [`crate::Refusal`]. Each message tells the whole reason, so none has a further source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FleetError {
    /// The database cannot be read or written.
    #[error("{}: the collector's database: {error}", path.display())]
    Database {
        /// Its file.
        path: PathBuf,
        /// What SQLite says.
        error: rusqlite::Error,
    },
    /// There is no database where one was expected.
    #[error("no database at {}; collect first, or look in another fleet's folder", path.display())]
    NoDatabase {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file is not a database of the collector.
    #[error(
        "{}: expected a database of the collector, found {found}; look in another fleet's folder, or move the file away and collect anew",
        path.display()
    )]
    NotADatabase {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        found: &'static str,
    },
    /// The database was made by a later version of this program.
    #[error(
        "{}: the database has layout {found}, this version knows up to {known}; use the newer dunlin that made it",
        path.display()
    )]
    LaterDatabase {
        /// Its file.
        path: PathBuf,
        /// Its layout.
        found: usize,
        /// The newest layout known here.
        known: usize,
    },
    /// The database was made by an earlier version and must be brought up to date before it is read.
    #[error(
        "{}: the database has layout {found}, this version reads {known}; `dunlin collect` brings it up to date",
        path.display()
    )]
    EarlierDatabase {
        /// Its file.
        path: PathBuf,
        /// Its layout.
        found: usize,
        /// The layout that this version reads.
        known: usize,
    },
    /// The newest records are in the write-ahead log, which can only be read where it can be written.
    #[error(
        "{}: its newest records are still in the file beside it that ends in -wal, and reading those needs write access to the folder; copy both files to a folder of your own and read them there",
        path.display()
    )]
    Unfinished {
        /// The database's file.
        path: PathBuf,
    },
    /// A row of the database does not hold what this program writes.
    #[error("{}: holds {what} that this program did not write: {reason}", path.display())]
    Damaged {
        /// The database's file.
        path: PathBuf,
        /// Which value.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A file cannot be read.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The devices file does not say what it should.
    #[error("{}: {reason}", path.display())]
    Devices {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A bundle cannot be registered.
    #[error("{}: {error}", path.display())]
    Bundle {
        /// The file.
        path: PathBuf,
        /// Why.
        error: dunlin_wire::bundle::BundleError,
    },
    /// The device at the other end of a link is not one the collector knows.
    #[error(
        "device {device} is not in the devices file; flash it first, or use the fleet's folder that knows it"
    )]
    Stranger {
        /// Who it says it is.
        device: DeviceId,
    },
    /// The link to a device failed.
    #[error(transparent)]
    Link(#[from] dunlin_link::LinkError),
    /// The embedded broker cannot listen.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// The embedded broker ended.
    #[error("the embedded broker: {reason}")]
    Broker {
        /// Why.
        reason: String,
    },
    /// An MQTT broker cannot be reached or does not let the collector in.
    #[error("MQTT broker {broker}: {reason}")]
    Mqtt {
        /// Its address, without user name or password.
        broker: String,
        /// Why.
        reason: String,
    },
    /// A URL of an MQTT broker cannot be read.
    #[error("expected mqtt://HOST[:PORT]: {reason}")]
    BrokerUrl {
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// What goes wrong inside the database, before it is said in which file.
#[derive(Debug)]
pub(crate) enum Fault {
    Sqlite(rusqlite::Error),
    Damaged { what: &'static str, reason: String },
}

impl Fault {
    pub fn damaged(what: &'static str, reason: impl std::fmt::Display) -> Self {
        Self::Damaged {
            what,
            reason: reason.to_string(),
        }
    }

    /// The same with the database's file.
    pub fn at(self, path: &Path) -> FleetError {
        let path = path.to_owned();
        match self {
            Self::Sqlite(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
                FleetError::NotADatabase {
                    path,
                    found: "another kind of file",
                }
            }
            Self::Sqlite(error) => FleetError::Database { path, error },
            Self::Damaged { what, reason } => FleetError::Damaged { path, what, reason },
        }
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}
