//! The collector: takes records in, stores them once, reports.
//!
//! Runs on a workstation or a server. Records come over a link ([`collect_link`]), from an MQTT
//! broker ([`collect_mqtt`]), or from anywhere else through [`Store::ingest`]; they are checked
//! against the credentials of the known devices and stored in one SQLite file, each once. A
//! [`report()`] reads that file.
//!
//! A record of 2 KiB takes about 3 KiB of disk; a batch costs one synchronous write to the disk,
//! whatever its size. The embedded broker holds at most 32 MiB of messages.
//!
//! ```
//! use dunlin_fleet::{Device, Devices, ReportOptions, Sender, Store, report};
//! use dunlin_wire::DeviceId;
//! use dunlin_wire::credential::Credential;
//! use dunlin_wire::record::{self, Boot, Header};
//!
//! let device = Device { id: DeviceId([1; 8]), name: "kitchen".to_owned(), credential: Credential([7; 32]) };
//! let header = Header { device: device.id, boot: 1, sequence: 1, ..Header::default() };
//! let mut bytes = [0; 256];
//! let length = record::encode(&header, &Boot::default(), &device.credential, &mut bytes)?;
//!
//! let mut store = Store::in_memory()?;
//! let sender = Sender { transport: "example", device: device.id };
//! let devices: Devices = [device].into_iter().collect();
//! let ingested = store.ingest(&devices, sender, 1_700_000_000_000, [&bytes[..length], &bytes[..length]])?;
//! assert_eq!((ingested.stored, ingested.duplicates, ingested.safe_up_to), (1, 1, Some(1)));
//! assert_eq!(report(&store, ReportOptions::default(), 1_700_000_000_000)?.overview.devices, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Architecture invariants
//! - Nothing is acknowledged before the transaction that stores it is on the disk.
//! - A record is stored once for its (device, boot, sequence); the database sees to that, not the
//!   code. What contradicts a stored record is kept beside it.
//! - What is not authentic changes nothing but a bounded count and a bounded quarantine, and no
//!   acknowledgement rests on what it says.
//! - The bytes of every record are kept; tables of decoded columns are a convenience for queries,
//!   and reports are made from the bytes.
//! - Keys and passwords are in memory only: never stored, never shown, never in an error.
//! - Knows nothing of training, recipes or compilers: not of `dunlin-host`.
#![forbid(unsafe_code)]

mod broker;
mod bundles;
mod collect;
mod devices;
mod error;
mod ingest;
mod refusal;
pub mod report;
mod roster;
mod store;

pub use broker::{MAX_CONNECTIONS, MAX_UPLOAD_BYTES};
pub use collect::link::{Polling, collect_link};
pub use collect::mqtt::{BrokerChoice, BrokerUrl, Password, collect_mqtt};
pub use collect::{Collected, Collecting, Event, Until};
pub use devices::{Device, Devices};
pub use error::FleetError;
pub use ingest::{Ingested, MAX_QUARANTINE_BYTES, MAX_REFUSAL_ROWS, Sender};
pub use refusal::{Refusal, RefusalReason};
pub use report::{Report, ReportOptions, TerminalOptions, report};
pub use roster::Roster;
pub use store::Store;
