//! Records to a collector over MQTT 5: store and forward.
//!
//! | what | topic | payload |
//! |---|---|---|
//! | records, QoS 1 | `dunlin/<device>/records` | [`dunlin_wire::link::Records`]: each after its length as `u16` |
//! | acknowledgement, QoS 1 | `dunlin/<device>/ack` | CBOR `[up_to, tag]`, as [`dunlin_wire::link::Request::Acknowledge`] |
//!
//! The device presents itself with its id as client id and user name and with
//! [`dunlin_wire::credential::Credential::password`] in hexadecimal digits as password. Records stay
//! in the device's store until the collector's tagged acknowledgement comes; what the broker says
//! (PUBACK) deletes nothing. After every new connection, and when the collector keeps silent, what
//! is not acknowledged is published again. The collector counts a record once.
//!
//! Runs in threads of its own: a broker that is slow or away never holds up a sample. There is no
//! TLS here: where the network is not trusted, put a TLS tunnel or a local broker with a bridge
//! between.

mod client;
mod state;
mod url;

pub use client::{Batch, Closing, RecordSource, UploadOptions, Uploader, Waker};
pub use state::{Backoff, UploadState};
pub use url::{BrokerUrl, BrokerUrlError};
