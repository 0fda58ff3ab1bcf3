//! What a device leaves behind: one record for a window of monitoring, a start, a loss, an event.
//!
//! A record is one CBOR array of three items, so records can stand one after the other:
//!
//! ```text
//! record = [ header, body, tag ]      tag = 16 bytes over everything before them
//! ```
//!
//! Header and body are maps with integer keys; `FORMAT-record.md` holds the CDDL. The header says
//! who speaks and of what kind the body is. A reader that does not know a kind, or a key, still
//! reads the header and can keep the bytes.
//!
//! The tag authenticates the record: [`encode`] makes it with the device's
//! [`Credential`], [`Record::confirmed_by`] checks it.
//!
//! ```
//! use dunlin_wire::credential::Credential;
//! use dunlin_wire::record::{self, Header, Loss, Record};
//! let credential = Credential([7; 32]);
//! let header = Header { boot: 3, sequence: 41, ..Header::default() };
//! let loss = Loss { first_sequence: 20, last_sequence: 40 };
//! let mut buffer = [0; 128];
//! let length = record::encode(&header, &loss, &credential, &mut buffer).unwrap();
//! let (record, rest) = Record::parse(&buffer[..length]).unwrap();
//! assert!(record.confirmed_by(&credential) && rest.is_empty());
//! assert_eq!(record.body::<Loss>(), Ok(loss));
//! ```
//!
//! # Architecture invariants
//! - The sequence number is the device's one numbering over all kinds and all starts; a gap in it
//!   is a loss whether or not a loss record tells of it.
//! - Everything in a window's body can be merged exactly, in any order.
//! - No record that the format's limits allow is longer than [`MAX_RECORD_BYTES`].

mod event;
mod longest;
mod window;

pub use event::{Boot, Event, EventCode, Loss, ResetReason};
pub use longest::{LONGEST_PLAIN_BYTES, longest_window_bytes};
pub use window::{Channel, Window, confidence_bin, latency_bin, latency_bin_start_us};

use minicbor::decode::{Decode, Decoder};
use minicbor::encode::{Encode, Encoder, Write, write::Cursor};
use minicbor::{Decode as DeriveDecode, Encode as DeriveEncode};

use crate::credential::{Credential, Domain, TAG_BYTES};
use crate::limits::MAX_RECORD_BYTES;
use crate::{BufferTooSmall, BundleId, DeviceId, FirmwareId};

/// What a record tells, as a code that may be unknown here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, DeriveEncode, DeriveDecode)]
#[cbor(transparent)]
pub struct Kind(#[n(0)] pub u32);

impl Kind {
    /// A window of monitoring: [`Window`].
    pub const WINDOW: Self = Self(1);
    /// Records that were dropped before anybody had them: [`Loss`].
    pub const LOSS: Self = Self(2);
    /// The device started: [`Boot`].
    pub const BOOT: Self = Self(3);
    /// Something happened to the device's bundle or clock: [`Event`].
    pub const EVENT: Self = Self(4);
}

/// Who speaks, and of what kind the body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, DeriveEncode, DeriveDecode)]
#[cbor(map)]
pub struct Header {
    /// The device.
    #[n(0)]
    pub device: DeviceId,
    /// How many times the device has started with its record store, from 1.
    #[n(1)]
    pub boot: u32,
    /// Number of the record among all of the device's records, from 1.
    #[n(2)]
    pub sequence: u32,
    /// The bundle that was active, if any.
    #[n(3)]
    pub bundle: Option<BundleId>,
    /// The firmware that ran.
    #[n(4)]
    pub firmware: FirmwareId,
    /// What the body is; [`encode`] sets it from the body.
    #[n(5)]
    pub kind: Kind,
    /// Time since the start when the record was made.
    #[n(6)]
    pub uptime_ms: u64,
    /// Unix time when the record was made, where the device knows it.
    #[n(7)]
    pub time_ms: Option<u64>,
}

mod sealed {
    pub trait Sealed: minicbor::Encode<()> + for<'b> minicbor::Decode<'b, ()> {}
}

/// A body that this version of the format knows.
pub trait Body: sealed::Sealed {
    /// What a header says before it.
    const KIND: Kind;
}

macro_rules! body {
    ($body:ty, $kind:ident) => {
        impl sealed::Sealed for $body {}
        impl Body for $body {
            const KIND: Kind = Kind::$kind;
        }
    };
}

body!(Window, WINDOW);
body!(Loss, LOSS);
body!(Boot, BOOT);
body!(Event, EVENT);

/// Writes a record and its tag, and returns the length in bytes. `header.kind` is taken from the body.
///
/// # Errors
/// When `buffer` is too small; [`MAX_RECORD_BYTES`] is enough for every record, whatever its counts:
/// [`longest_window_bytes`].
pub fn encode<B: Body>(
    header: &Header,
    body: &B,
    credential: &Credential,
    buffer: &mut [u8],
) -> Result<usize, BufferTooSmall> {
    let too_small = BufferTooSmall { got: buffer.len() };
    let mut encoder = Encoder::new(Cursor::new(&mut *buffer));
    write(
        &mut encoder,
        &Header {
            kind: B::KIND,
            ..*header
        },
        body,
    )
    .map_err(|_| too_small)?;
    let covered = encoder.into_writer().position();
    let tag = credential.tag(Domain::Record, &[buffer.get(..covered).ok_or(too_small)?]);
    let room = buffer
        .get_mut(covered..covered + TAG_FIELD_BYTES)
        .ok_or(too_small)?;
    let (head, tail) = room.split_at_mut(TAG_FIELD_BYTES - TAG_BYTES);
    head.fill(TAG_HEAD);
    tail.copy_from_slice(&tag);
    Ok(covered + TAG_FIELD_BYTES)
}

/// CBOR head of a byte string of [`TAG_BYTES`] bytes.
const TAG_HEAD: u8 = 0x40 | TAG_BYTES as u8;
/// Bytes of the tag with its head.
const TAG_FIELD_BYTES: usize = 1 + TAG_BYTES;
/// Bytes of the head of the array that a record is.
const RECORD_HEAD_BYTES: usize = 1;

fn write<W: Write, B: Encode<()>>(
    e: &mut Encoder<W>,
    header: &Header,
    body: &B,
) -> Result<(), minicbor::encode::Error<W::Error>> {
    e.array(3)?;
    header.encode(e, &mut ())?;
    body.encode(e, &mut ())
}

/// A record in its bytes: the header is decoded, the body is not, the tag is not checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    header: Header,
    bytes: &'a [u8],
    body: &'a [u8],
}

impl<'a> Record<'a> {
    /// Takes the first record off `bytes`; what follows it is returned too.
    ///
    /// # Errors
    /// [`RecordError::Malformed`] when the bytes do not begin with a whole record,
    /// [`RecordError::TooLong`] when it is longer than [`MAX_RECORD_BYTES`].
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), RecordError> {
        let mut d = Decoder::new(bytes);
        let malformed = |at: usize| RecordError::Malformed { position: at };
        if d.array().ok().flatten() != Some(3) {
            return Err(malformed(0));
        }
        let header = Header::decode(&mut d, &mut ()).map_err(|_| malformed(d.position()))?;
        let body_from = d.position();
        d.skip().map_err(|_| malformed(body_from))?;
        let body = bytes
            .get(body_from..d.position())
            .ok_or(malformed(body_from))?;
        let tag_from = d.position();
        if bytes.get(tag_from) != Some(&TAG_HEAD) || bytes.len() < tag_from + TAG_FIELD_BYTES {
            return Err(malformed(tag_from));
        }
        let (bytes, rest) = bytes
            .split_at_checked(tag_from + TAG_FIELD_BYTES)
            .ok_or(malformed(tag_from))?;
        if bytes.len() > MAX_RECORD_BYTES {
            return Err(RecordError::TooLong { got: bytes.len() });
        }
        Ok((
            Self {
                header,
                bytes,
                body,
            },
            rest,
        ))
    }

    /// Who speaks, and of what kind the body is.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The whole record, with its tag.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The body as it stands: one CBOR item.
    pub fn body_bytes(&self) -> &'a [u8] {
        self.body
    }

    /// Whether the tag is the one that the device with this credential makes.
    pub fn confirmed_by(&self, credential: &Credential) -> bool {
        let covered = self.bytes.len().saturating_sub(TAG_FIELD_BYTES);
        let tag = self.bytes.len().saturating_sub(TAG_BYTES);
        match (self.bytes.get(..covered), self.bytes.get(tag..)) {
            (Some(covered), Some(tag)) => credential.confirms(Domain::Record, &[covered], tag),
            _ => false,
        }
    }

    /// Decodes the body: [`Window`], [`Loss`], [`Boot`] or [`Event`].
    ///
    /// # Errors
    /// [`RecordError::WrongKind`] when the record is of another kind, [`RecordError::Malformed`]
    /// (position within the body) when the body does not follow the format.
    pub fn body<B: Body>(&self) -> Result<B, RecordError> {
        if self.header.kind != B::KIND {
            return Err(RecordError::WrongKind {
                wanted: B::KIND,
                got: self.header.kind,
            });
        }
        let mut d = Decoder::new(self.body);
        B::decode(&mut d, &mut ()).map_err(|_| RecordError::Malformed {
            position: d.position(),
        })
    }
}

/// Why bytes are not a record, or not the one wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordError {
    /// The bytes break the format near this position.
    Malformed {
        /// Bytes from the start of what was decoded.
        position: usize,
    },
    /// Longer than [`MAX_RECORD_BYTES`].
    TooLong {
        /// Bytes of the record.
        got: usize,
    },
    /// The body is of another kind.
    WrongKind {
        /// The kind asked for.
        wanted: Kind,
        /// The kind in the header.
        got: Kind,
    },
}

impl core::fmt::Display for RecordError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Malformed { position } => write!(f, "malformed record near byte {position}"),
            Self::TooLong { got } => {
                write!(f, "a record of {got} bytes; {MAX_RECORD_BYTES} are allowed")
            }
            Self::WrongKind { wanted, got } => {
                write!(f, "a record of kind {}, not {}", got.0, wanted.0)
            }
        }
    }
}

impl core::error::Error for RecordError {}

fn is_zero(value: &u32) -> bool {
    *value == 0
}

fn is_false(value: &bool) -> bool {
    !*value
}

#[cfg(test)]
mod tests;
