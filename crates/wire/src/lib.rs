//! The formats that a workstation and a device share.
//!
//! Runs everywhere: `no_std`, no allocation, no I/O, no clock. Every decoder takes a byte slice,
//! borrows from it and returns an error for anything malformed; none panics.
//!
//! | module | what it describes |
//! |---|---|
//! | [`bundle`] | the signed file that goes to a device: container, manifest, signature |
//! | [`schema`] | the model's input channels and output labels, one section of a bundle |
//! | [`baseline`] | reference distribution and drift thresholds, one section of a bundle |
//! | [`golden`] | golden vectors, one section of a bundle |
//! | [`record`] | what a device leaves behind for a monitoring window |
//! | [`histogram`] | counts of a fixed number of bins, in a record |
//! | [`frame`] | bytes on a serial line: COBS, length limit, CRC-32 |
//! | [`link`] | requests and replies inside frames |
//! | [`provision`] | the block that makes a board a device |
//! | [`credential`] | per-device key: tags on records and acknowledgements |
//!
//! # Architecture invariants
//! - Depends on nothing in the workspace, and no third party's type stands in its public API.
//! - Discriminants are explicit and pinned by a test; unknown codes are data, not errors of framing.
//! - Every limit is a named `MAX_…` in [`limits`] and is checked before it is used.
#![no_std]
#![forbid(unsafe_code)]

pub mod baseline;
pub mod bundle;
pub mod credential;
mod encode;
pub mod frame;
pub mod golden;
pub mod histogram;
pub mod identity;
pub mod limits;
pub mod link;
pub mod provision;
pub mod record;
pub mod schema;
mod table;
mod text;

pub use encode::BufferTooSmall;
pub use identity::{BundleId, DeviceId, Digest, FirmwareId, KeyId, ParseIdentityError, PublicKey};
pub use table::Table;
