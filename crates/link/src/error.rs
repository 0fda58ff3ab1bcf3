//! What can go wrong on a link.

use crate::address::AddressError;
use dunlin_wire::bundle::BundleError;
use dunlin_wire::frame::FrameError;
use dunlin_wire::link::{MessageError, Refusal};
use std::io;
use std::time::Duration;

/// Why a request was not answered, or answered with no.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The address cannot be read.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The port cannot be opened.
    #[error("cannot open {address}: {source}")]
    Open {
        /// Which port.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// The port failed under way, or the other end closed it.
    #[error("the link broke: {0}")]
    Io(#[from] io::Error),
    /// No reply, however often it was asked for.
    #[error("no reply after {attempts} attempts of {timeout:?}{}", garbage(.last_garbage))]
    NoReply {
        /// How often the request was sent.
        attempts: u32,
        /// How long each time.
        timeout: Duration,
        /// The last thing received that was no frame or no message.
        last_garbage: Option<Garbage>,
    },
    /// The device refused; it goes on as before.
    #[error("{0}")]
    Refused(Refusal),
    /// The reply is of a kind that does not answer the request.
    #[error("the device answered another question than the one asked")]
    WrongReply,
    /// The request is too long for a message.
    #[error("the request is too long: {0}")]
    RequestTooLong(MessageError),
    /// The device did not take any of a chunk, several times in a row.
    #[error("the transfer does not get beyond byte {held_bytes}")]
    Stuck {
        /// Where it stays.
        held_bytes: u32,
    },
    /// What was to be sent is not a bundle.
    #[error("{0}")]
    Bundle(BundleError),
    /// The bundle is longer than the format allows.
    #[error("a bundle of {bytes} bytes is longer than a transfer can be")]
    BundleTooLong {
        /// Its length.
        bytes: usize,
    },
}

/// Bytes received that were no frame, or a frame that was no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Garbage {
    /// No frame.
    #[error("{0}")]
    Frame(FrameError),
    /// No message.
    #[error("{0}")]
    Message(MessageError),
}

fn garbage(last: &Option<Garbage>) -> String {
    last.map_or_else(String::new, |garbage| {
        format!(" (received last: {garbage})")
    })
}
