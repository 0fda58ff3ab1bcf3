//! What can go wrong in the collector.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use dunlin_wire::DeviceId;

/// Why collecting or reporting could not go on. What a device sends never ends up here: a bad
/// record is a [`crate::Refusal`]. Each message tells the whole reason, so none has a further source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FleetError {
    /// The database cannot be read or written.
    #[error("the collector's database: {0}")]
    Database(rusqlite::Error),
    /// There is no database where one was expected.
    #[error("no database at {}; collect first, or look in another fleet's folder", path.display())]
    NoDatabase {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The database was made by a later version of this program.
    #[error(
        "the database has layout {found}, this version knows up to {known}; use the newer dunlin that made it"
    )]
    LaterDatabase {
        /// Its layout.
        found: usize,
        /// The newest layout known here.
        known: usize,
    },
    /// A row of the database does not hold what this program writes.
    #[error("the database holds {what} that this program did not write: {reason}")]
    Damaged {
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

impl From<rusqlite::Error> for FleetError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}
