//! Requests and replies inside frames: the workstation asks, the device serves.
//!
//! A message is one CBOR array `[id, code, body]`; `FORMAT-link.md` has its CDDL. A reply carries the
//! id and the code of its request, or code 0 and a [`Refusal`]. A device that gets the same message
//! twice in a row repeats its reply and does nothing else.
//!
//! Runs everywhere; decoding borrows from the message and touches each byte once.
//!
//! ```
//! use dunlin_wire::link::{Message, Request};
//!
//! let mut bytes = [0; 16];
//! let length = Message { id: 7, body: Request::Time { unix_ms: 1_700_000_000_000 } }.encode(&mut bytes)?;
//! let message = Message::<Request>::decode(&bytes[..length])?;
//! assert_eq!((message.id, message.body), (7, Request::Time { unix_ms: 1_700_000_000_000 }));
//! # Ok::<(), dunlin_wire::link::MessageError>(())
//! ```

mod blocks;
mod info;
mod refusal;
mod reply;
mod request;

pub use blocks::{Records, Sample, Samples};
pub use info::{ActiveBundle, Info, Limits};
pub use refusal::{Reason, Refusal};
pub use reply::Reply;
pub use request::Request;

use minicbor::decode::Decoder;
use minicbor::encode::Encoder;
use minicbor::encode::write::Cursor;

/// Version of this protocol, stated in [`Info`]; it changes when an old peer would misunderstand.
pub const PROTOCOL: u8 = 1;
/// Bytes of a message around the samples of [`Request::Observe`], the bytes of
/// [`Request::PutChunk`] or the records of [`Reply::Records`], at most.
pub const MAX_OVERHEAD_BYTES: usize = 20;
/// A bundle's head fits the first chunk.
const _: () = assert!(
    crate::bundle::HEADER_BYTES + crate::limits::MAX_MANIFEST_BYTES
        <= crate::limits::MAX_MESSAGE_BYTES - MAX_OVERHEAD_BYTES
);
/// Bytes of the time that precedes each sample's input.
pub const SAMPLE_TIME_BYTES: usize = 8;
/// Bytes of the length that precedes each record in a [`Records`] block.
pub const RECORD_LENGTH_BYTES: usize = 2;

const REFUSED: u8 = 0;
const INFO: u8 = 1;
const PUT_BEGIN: u8 = 2;
const PUT_CHUNK: u8 = 3;
const ACTIVATE: u8 = 4;
const RECORDS_SINCE: u8 = 5;
const ACKNOWLEDGE: u8 = 6;
const TIME: u8 = 7;
const OBSERVE: u8 = 8;
const INFER: u8 = 9;
const CLOSE_WINDOW: u8 = 10;

/// A request or a reply with the id that joins them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<T> {
    /// Chosen by the one who asks, repeated by the one who answers.
    pub id: u16,
    /// What is asked or answered.
    pub body: T,
}

/// Why bytes are not a message, or a message cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageError {
    /// The message does not fit the buffer.
    TooLong {
        /// Bytes the buffer has.
        limit: usize,
    },
    /// Not a message of this protocol.
    Malformed {
        /// Where the decoder stopped.
        position: usize,
        /// The message's id, if it could be read.
        id: Option<u16>,
    },
}

impl core::fmt::Display for MessageError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::TooLong { limit } => {
                write!(f, "a message is longer than the buffer's {limit} bytes")
            }
            Self::Malformed { position, .. } => {
                write!(f, "a message is malformed at byte {position}")
            }
        }
    }
}

impl core::error::Error for MessageError {}

type EncodeResult = Result<(), minicbor::encode::Error<minicbor::encode::write::EndOfSlice>>;
type Output<'o> = Encoder<Cursor<&'o mut [u8]>>;

impl Message<Request<'_>> {
    /// Writes the message into `out` and returns its length.
    ///
    /// # Errors
    /// [`MessageError::TooLong`] when `out` is too small.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, MessageError> {
        encode(out, self.id, self.body.code(), |e| self.body.encode_body(e))
    }
}

impl<'a> Message<Request<'a>> {
    /// Reads one message. A code that is not known gives [`Request::Unknown`].
    ///
    /// # Errors
    /// [`MessageError::Malformed`], with the id when that much could be read.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, MessageError> {
        decode(bytes, Request::decode_body)
    }
}

impl Message<Reply<'_>> {
    /// Writes the message into `out` and returns its length.
    ///
    /// # Errors
    /// [`MessageError::TooLong`] when `out` is too small.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, MessageError> {
        encode(out, self.id, self.body.code(), |e| self.body.encode_body(e))
    }
}

impl<'a> Message<Reply<'a>> {
    /// Reads one message. A code that is not known gives [`Reply::Unknown`].
    ///
    /// # Errors
    /// [`MessageError::Malformed`], with the id when that much could be read.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, MessageError> {
        decode(bytes, Reply::decode_body)
    }
}

fn encode(
    out: &mut [u8],
    id: u16,
    code: u8,
    body: impl FnOnce(&mut Output<'_>) -> EncodeResult,
) -> Result<usize, MessageError> {
    let limit = out.len();
    let mut e = Encoder::new(Cursor::new(out));
    let written = e
        .array(3)
        .and_then(|e| e.u16(id))
        .and_then(|e| e.u8(code))
        .map(|_| ())
        .and_then(|()| body(&mut e));
    written.map_err(|_| MessageError::TooLong { limit })?;
    Ok(e.writer().position())
}

fn decode<'a, T>(
    bytes: &'a [u8],
    body: impl FnOnce(u8, &mut Decoder<'a>) -> Result<T, minicbor::decode::Error>,
) -> Result<Message<T>, MessageError> {
    let mut d = Decoder::new(bytes);
    let mut id = None;
    let read = fields(&mut d, 3).and_then(|()| d.u16()).and_then(|read| {
        id = Some(read);
        let code = d.u8()?;
        Ok(Message {
            id: read,
            body: body(code, &mut d)?,
        })
    });
    match read {
        Ok(message) if d.position() == bytes.len() => Ok(message),
        _ => Err(MessageError::Malformed {
            position: d.position(),
            id,
        }),
    }
}

/// Reads the head of an array of exactly `count` fields.
fn fields(d: &mut Decoder<'_>, count: u64) -> Result<(), minicbor::decode::Error> {
    match d.array()? {
        Some(got) if got == count => Ok(()),
        _ => Err(malformed()),
    }
}

fn malformed() -> minicbor::decode::Error {
    minicbor::decode::Error::message("not this protocol")
}

fn fixed<const N: usize>(d: &mut Decoder<'_>) -> Result<[u8; N], minicbor::decode::Error> {
    d.bytes()?.try_into().map_err(|_| malformed())
}

#[cfg(test)]
mod tests;
