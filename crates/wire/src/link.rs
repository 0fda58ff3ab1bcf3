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

mod info;
mod refusal;

pub use info::{ActiveBundle, Info, Limits};
pub use refusal::{Reason, Refusal};

use crate::identity::BundleId;
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

/// What a workstation may ask of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// Who are you, and how are you?
    Info,
    /// A bundle will come. The reply says how much of this very bundle is already held; all of it
    /// when it is the one that runs. Nothing is written yet.
    PutBegin {
        /// Length of the whole bundle.
        total_bytes: u32,
        /// SHA-256 of its COSE_Sign1: [`crate::bundle::digest`].
        digest: [u8; 32],
    },
    /// The next bytes of the bundle announced last. The first chunk holds at least the bundle's
    /// header and COSE_Sign1, which must be admitted before anything is erased.
    PutChunk {
        /// Where in the bundle the bytes stand: right after what the device holds already.
        offset: u32,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// Check the bundle that was put, try it on its golden vectors and run it from now on.
    Activate,
    /// Records with sequence numbers above `sequence`, oldest first; 0 asks for all that are held.
    RecordsSince {
        /// The last sequence number that is not wanted.
        sequence: u32,
    },
    /// Records up to and including `up_to` are safe; the device may forget them.
    Acknowledge {
        /// The last sequence number that is safe.
        up_to: u32,
        /// Proof that whoever says so holds the device's credential.
        tag: [u8; 16],
    },
    /// What time is it?
    Time {
        /// Milliseconds since 1970-01-01 UTC.
        unix_ms: i64,
    },
    /// Samples to be taken as if the device's own sensor had made them.
    Observe(Samples<'a>),
    /// One inference that is not monitored.
    Infer {
        /// The model's input, little-endian `f32`, steps × channels.
        input: &'a [u8],
    },
    /// End the current monitoring window, full or not, and make its record.
    CloseWindow,
    /// A request of a later version.
    Unknown {
        /// Its code.
        code: u8,
    },
}

/// What a device answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply<'a> {
    /// The request was not carried out; the device goes on as before.
    Refused(Refusal),
    /// Answers [`Request::Info`].
    Info(Info<'a>),
    /// Answers [`Request::PutBegin`].
    PutBegin {
        /// Bytes of this bundle the device holds; the next chunk starts here.
        held_bytes: u32,
    },
    /// Answers [`Request::PutChunk`].
    PutChunk {
        /// Bytes of this bundle the device holds; the next chunk starts here.
        held_bytes: u32,
    },
    /// Answers [`Request::Activate`]: this bundle now runs.
    Activate {
        /// The bundle.
        bundle: BundleId,
    },
    /// Answers [`Request::RecordsSince`].
    Records {
        /// Whole records, oldest first; empty when there are none.
        records: Records<'a>,
        /// Whether there are more than fitted.
        more: bool,
    },
    /// Answers [`Request::Acknowledge`].
    Acknowledge {
        /// The highest sequence number acknowledged so far.
        up_to: u32,
    },
    /// Answers [`Request::Time`].
    Time,
    /// Answers [`Request::Observe`].
    Observe {
        /// Samples observed.
        samples: u16,
        /// Windows that were completed by them.
        windows_closed: u16,
    },
    /// Answers [`Request::Infer`].
    Infer {
        /// The plan's outputs one after another: label as little-endian `i32`, then one
        /// little-endian `f32` probability for each label.
        output: &'a [u8],
        /// How long the engine took.
        latency_us: u32,
    },
    /// Answers [`Request::CloseWindow`].
    CloseWindow {
        /// Whether there was a window to close.
        closed: bool,
    },
    /// A reply of a later version.
    Unknown {
        /// Its code.
        code: u8,
    },
}

/// Samples packed one after another: time as `i64` little-endian milliseconds since 1970-01-01 UTC,
/// then the model's input as little-endian `f32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Samples<'a> {
    /// Bytes of one sample's input.
    pub input_bytes: u16,
    /// The samples; a multiple of [`SAMPLE_TIME_BYTES`]` + input_bytes` long.
    pub packed: &'a [u8],
}

/// One sample of [`Samples`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample<'a> {
    /// Milliseconds since 1970-01-01 UTC.
    pub time_ms: i64,
    /// The model's input, little-endian `f32`, steps × channels.
    pub input: &'a [u8],
}

impl<'a> Samples<'a> {
    /// The samples in order.
    pub fn iter(&self) -> impl Iterator<Item = Sample<'a>> + use<'a> {
        self.packed
            .chunks_exact(SAMPLE_TIME_BYTES + usize::from(self.input_bytes))
            .filter_map(|sample| {
                let (time_ms, input) = sample.split_first_chunk()?;
                Some(Sample {
                    time_ms: i64::from_le_bytes(*time_ms),
                    input,
                })
            })
    }

    fn is_whole(&self) -> bool {
        self.packed
            .len()
            .is_multiple_of(SAMPLE_TIME_BYTES + usize::from(self.input_bytes))
    }
}

/// Records one after another, each after its length as `u16` little-endian.
///
/// The body of an upload over MQTT is the same block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Records<'a> {
    /// The block.
    pub packed: &'a [u8],
}

impl<'a> Records<'a> {
    /// The records in order. Ends early at a length that points past the block.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut rest = self.packed;
        core::iter::from_fn(move || {
            let (length, tail) = rest.split_first_chunk::<RECORD_LENGTH_BYTES>()?;
            let (record, tail) = tail.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
            rest = tail;
            Some(record)
        })
    }

    fn is_whole(&self) -> bool {
        self.iter()
            .map(|record| RECORD_LENGTH_BYTES + record.len())
            .sum::<usize>()
            == self.packed.len()
    }
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

impl<'a> Request<'a> {
    fn code(&self) -> u8 {
        match self {
            Self::Info => INFO,
            Self::PutBegin { .. } => PUT_BEGIN,
            Self::PutChunk { .. } => PUT_CHUNK,
            Self::Activate => ACTIVATE,
            Self::RecordsSince { .. } => RECORDS_SINCE,
            Self::Acknowledge { .. } => ACKNOWLEDGE,
            Self::Time { .. } => TIME,
            Self::Observe(_) => OBSERVE,
            Self::Infer { .. } => INFER,
            Self::CloseWindow => CLOSE_WINDOW,
            Self::Unknown { code } => *code,
        }
    }

    fn encode_body(&self, e: &mut Output<'_>) -> EncodeResult {
        match *self {
            Self::Info | Self::Activate | Self::CloseWindow | Self::Unknown { .. } => {
                e.null()?.ok()
            }
            Self::PutBegin {
                total_bytes,
                digest,
            } => e.array(2)?.u32(total_bytes)?.bytes(&digest)?.ok(),
            Self::PutChunk { offset, bytes } => e.array(2)?.u32(offset)?.bytes(bytes)?.ok(),
            Self::RecordsSince { sequence } => e.u32(sequence)?.ok(),
            Self::Acknowledge { up_to, tag } => e.array(2)?.u32(up_to)?.bytes(&tag)?.ok(),
            Self::Time { unix_ms } => e.i64(unix_ms)?.ok(),
            Self::Observe(samples) => e
                .array(2)?
                .u16(samples.input_bytes)?
                .bytes(samples.packed)?
                .ok(),
            Self::Infer { input } => e.bytes(input)?.ok(),
        }
    }

    fn decode_body(code: u8, d: &mut Decoder<'a>) -> Result<Self, minicbor::decode::Error> {
        Ok(match code {
            INFO => d.null().map(|()| Self::Info)?,
            PUT_BEGIN => {
                fields(d, 2)?;
                Self::PutBegin {
                    total_bytes: d.u32()?,
                    digest: fixed(d)?,
                }
            }
            PUT_CHUNK => {
                fields(d, 2)?;
                Self::PutChunk {
                    offset: d.u32()?,
                    bytes: d.bytes()?,
                }
            }
            ACTIVATE => d.null().map(|()| Self::Activate)?,
            RECORDS_SINCE => Self::RecordsSince { sequence: d.u32()? },
            ACKNOWLEDGE => {
                fields(d, 2)?;
                Self::Acknowledge {
                    up_to: d.u32()?,
                    tag: fixed(d)?,
                }
            }
            TIME => Self::Time { unix_ms: d.i64()? },
            OBSERVE => {
                fields(d, 2)?;
                let samples = Samples {
                    input_bytes: d.u16()?,
                    packed: d.bytes()?,
                };
                Some(samples)
                    .filter(Samples::is_whole)
                    .map(Self::Observe)
                    .ok_or_else(malformed)?
            }
            INFER => Self::Infer { input: d.bytes()? },
            CLOSE_WINDOW => d.null().map(|()| Self::CloseWindow)?,
            code => d.skip().map(|()| Self::Unknown { code })?,
        })
    }
}

impl<'a> Reply<'a> {
    fn code(&self) -> u8 {
        match self {
            Self::Refused(_) => REFUSED,
            Self::Info(_) => INFO,
            Self::PutBegin { .. } => PUT_BEGIN,
            Self::PutChunk { .. } => PUT_CHUNK,
            Self::Activate { .. } => ACTIVATE,
            Self::Records { .. } => RECORDS_SINCE,
            Self::Acknowledge { .. } => ACKNOWLEDGE,
            Self::Time => TIME,
            Self::Observe { .. } => OBSERVE,
            Self::Infer { .. } => INFER,
            Self::CloseWindow { .. } => CLOSE_WINDOW,
            Self::Unknown { code } => *code,
        }
    }

    fn encode_body(&self, e: &mut Output<'_>) -> EncodeResult {
        match *self {
            Self::Refused(refusal) => e
                .array(3)?
                .u16(refusal.code)?
                .u32(refusal.needed)?
                .u32(refusal.got)?
                .ok(),
            Self::Info(info) => e.encode(info)?.ok(),
            Self::PutBegin { held_bytes } | Self::PutChunk { held_bytes } => {
                e.u32(held_bytes)?.ok()
            }
            Self::Activate { bundle } => e.bytes(&bundle.0)?.ok(),
            Self::Records { records, more } => e.array(2)?.bool(more)?.bytes(records.packed)?.ok(),
            Self::Acknowledge { up_to } => e.u32(up_to)?.ok(),
            Self::Time | Self::Unknown { .. } => e.null()?.ok(),
            Self::Observe {
                samples,
                windows_closed,
            } => e.array(2)?.u16(samples)?.u16(windows_closed)?.ok(),
            Self::Infer { output, latency_us } => e.array(2)?.bytes(output)?.u32(latency_us)?.ok(),
            Self::CloseWindow { closed } => e.bool(closed)?.ok(),
        }
    }

    fn decode_body(code: u8, d: &mut Decoder<'a>) -> Result<Self, minicbor::decode::Error> {
        Ok(match code {
            REFUSED => {
                fields(d, 3)?;
                Self::Refused(Refusal {
                    code: d.u16()?,
                    needed: d.u32()?,
                    got: d.u32()?,
                })
            }
            INFO => Self::Info(d.decode()?),
            PUT_BEGIN => Self::PutBegin {
                held_bytes: d.u32()?,
            },
            PUT_CHUNK => Self::PutChunk {
                held_bytes: d.u32()?,
            },
            ACTIVATE => Self::Activate {
                bundle: BundleId(fixed(d)?),
            },
            RECORDS_SINCE => {
                fields(d, 2)?;
                let (more, records) = (d.bool()?, Records { packed: d.bytes()? });
                Some(records)
                    .filter(Records::is_whole)
                    .map(|records| Self::Records { records, more })
                    .ok_or_else(malformed)?
            }
            ACKNOWLEDGE => Self::Acknowledge { up_to: d.u32()? },
            TIME => d.null().map(|()| Self::Time)?,
            OBSERVE => {
                fields(d, 2)?;
                Self::Observe {
                    samples: d.u16()?,
                    windows_closed: d.u16()?,
                }
            }
            INFER => {
                fields(d, 2)?;
                Self::Infer {
                    output: d.bytes()?,
                    latency_us: d.u32()?,
                }
            }
            CLOSE_WINDOW => Self::CloseWindow { closed: d.bool()? },
            code => d.skip().map(|()| Self::Unknown { code })?,
        })
    }
}

#[cfg(test)]
mod tests;
