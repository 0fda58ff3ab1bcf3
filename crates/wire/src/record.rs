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

use minicbor::decode::{Decode, Decoder};
use minicbor::encode::{Encode, Encoder, Write, write::Cursor};
use minicbor::{Decode as DeriveDecode, Encode as DeriveEncode};

use crate::credential::{Credential, Domain, TAG_BYTES};
use crate::histogram::Histogram;
use crate::limits::{
    BINS, CONFIDENCE_BINS, LATENCY_BINS, MAX_CHANNELS, MAX_LABELS, MAX_RECORD_BYTES,
};
use crate::{BufferTooSmall, BundleId, DeviceId, FirmwareId, Table};

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

/// Statistics of one channel over a window. Each time step of an input counts once.
///
/// Sums are integers, so that they are exact in any order: a value `x` enters as
/// `q = round((x - pivot) × 2^exponent)`, ties to even, clamped to ±2^23.
#[derive(Debug, Clone, Copy, PartialEq, DeriveEncode, DeriveDecode)]
#[cbor(map)]
pub struct Channel {
    /// Values per bin of the bundle's baseline; infinities count, NaN does not.
    #[n(0)]
    pub histogram: Histogram<BINS>,
    /// What was subtracted from every value before it was summed, in the channel's unit.
    #[n(1)]
    pub pivot: f32,
    /// Binary digits after the point in the sums.
    #[n(2)]
    pub exponent: i8,
    /// Sum of q.
    #[n(3)]
    pub sum: i64,
    /// Sum of q², saturating.
    #[n(4)]
    pub sum_of_squares: u64,
    /// Smallest value; infinity when there was none.
    #[n(5)]
    pub minimum: f32,
    /// Largest value; negative infinity when there was none.
    #[n(6)]
    pub maximum: f32,
    /// NaN values.
    #[cbor(n(7), skip_if = "is_zero")]
    pub missing: u32,
    /// Values outside the schema's range.
    #[cbor(n(8), skip_if = "is_zero")]
    pub out_of_range: u32,
    /// Values that repeated the one before when it had already been there as often as the schema's
    /// `stuck_after` says.
    #[cbor(n(9), skip_if = "is_zero")]
    pub stuck: u32,
    /// Distance from the baseline by the baseline's statistic, when the window was judged.
    #[n(10)]
    pub score: Option<f32>,
    /// Whether the score lies above the baseline's threshold.
    #[cbor(n(11), skip_if = "is_false")]
    pub drifted: bool,
}

impl Default for Channel {
    fn default() -> Self {
        Self {
            histogram: Histogram::default(),
            pivot: 0.0,
            exponent: 0,
            sum: 0,
            sum_of_squares: 0,
            minimum: f32::INFINITY,
            maximum: f32::NEG_INFINITY,
            missing: 0,
            out_of_range: 0,
            stuck: 0,
            score: None,
            drifted: false,
        }
    }
}

impl Channel {
    /// Values that were numbers.
    pub fn count(&self) -> u64 {
        self.histogram.total()
    }

    /// Mean in the channel's unit, exact to 2^-(exponent + 1); `None` without values.
    pub fn mean(&self) -> Option<f64> {
        let count = self.count();
        (count > 0).then(|| {
            f64::from(self.pivot)
                + self.sum as f64 / count as f64 * power_of_two(-i32::from(self.exponent))
        })
    }

    /// Population variance in the channel's unit squared; `None` without values.
    ///
    /// n·Σq² − (Σq)² is taken in 128-bit integers, so nothing cancels; then divided by n².
    pub fn variance(&self) -> Option<f64> {
        let count = i128::from(self.count());
        let spread =
            count * i128::from(self.sum_of_squares) - i128::from(self.sum) * i128::from(self.sum);
        let unit = power_of_two(-2 * i32::from(self.exponent));
        (count > 0).then(|| spread.max(0) as f64 / (count * count) as f64 * unit)
    }
}

/// What one period of monitoring saw.
#[derive(Debug, Clone, Copy, PartialEq, Default, DeriveEncode, DeriveDecode)]
#[cbor(map)]
pub struct Window {
    /// Sample time of the first input.
    #[n(0)]
    pub opened_ms: u64,
    /// Sample time from the first input to the last.
    #[n(1)]
    pub span_ms: u64,
    /// Whether it was closed before its time.
    #[cbor(n(2), skip_if = "is_false")]
    pub partial: bool,
    /// Whether it was compared with the baseline: whole, and with as many inputs as that needs.
    #[cbor(n(3), skip_if = "is_false")]
    pub judged: bool,
    /// Inputs seen.
    #[n(4)]
    pub inputs: u32,
    /// Inputs that gave no answer.
    #[cbor(n(5), skip_if = "is_zero")]
    pub errors: u32,
    /// One per channel of the schema, in its order.
    #[n(6)]
    pub channels: Table<Channel, MAX_CHANNELS>,
    /// Answers per label, in label order.
    #[n(7)]
    pub predictions: Table<u32, MAX_LABELS>,
    /// Distance of `predictions` from the baseline, when the window was judged.
    #[n(8)]
    pub prediction_score: Option<f32>,
    /// Whether that score lies above the baseline's threshold.
    #[cbor(n(9), skip_if = "is_false")]
    pub prediction_drifted: bool,
    /// Answers by confidence, in ten bins of equal width.
    #[n(10)]
    pub confidence: Histogram<CONFIDENCE_BINS>,
    /// Answers by latency: [`latency_bin`].
    #[n(11)]
    pub latency: Histogram<LATENCY_BINS>,
}

impl Window {
    /// Whether any channel, or the predictions, drifted.
    pub fn drifted(&self) -> bool {
        self.prediction_drifted || self.channels.iter().any(|channel| channel.drifted)
    }
}

/// Records that were dropped, because the store was full, before they were acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, DeriveEncode, DeriveDecode)]
#[cbor(map)]
pub struct Loss {
    /// The first that is gone.
    #[n(0)]
    pub first_sequence: u32,
    /// The last that is gone.
    #[n(1)]
    pub last_sequence: u32,
}

impl Loss {
    /// How many records are gone.
    pub fn records(&self) -> u32 {
        self.last_sequence
            .checked_sub(self.first_sequence)
            .map_or(0, |more| more.saturating_add(1))
    }
}

/// Why a device started, as a code that may be unknown here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, DeriveEncode, DeriveDecode)]
#[cbor(transparent)]
pub struct ResetReason(#[n(0)] pub u32);

impl ResetReason {
    /// Not known.
    pub const UNKNOWN: Self = Self(0);
    /// Power came.
    pub const POWER: Self = Self(1);
    /// The reset pin or a debugger.
    pub const EXTERNAL: Self = Self(2);
    /// The firmware asked for it.
    pub const SOFTWARE: Self = Self(3);
    /// The watchdog.
    pub const WATCHDOG: Self = Self(4);
}

/// The device started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, DeriveEncode, DeriveDecode)]
#[cbor(map)]
pub struct Boot {
    /// Why.
    #[n(0)]
    pub reason: ResetReason,
}

/// What happened, as a code that may be unknown here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, DeriveEncode, DeriveDecode)]
#[cbor(transparent)]
pub struct EventCode(#[n(0)] pub u32);

impl EventCode {
    /// A bundle became active; `bundle` is the one.
    pub const ACTIVATED: Self = Self(1);
    /// A bundle on probation was given up; `bundle` is the one.
    pub const ROLLED_BACK: Self = Self(2);
    /// A bundle was refused; `detail` says why.
    pub const REFUSED: Self = Self(3);
    /// A bundle passed its probation; `bundle` is the one.
    pub const CONFIRMED: Self = Self(4);
    /// The clock was set.
    pub const CLOCK_SET: Self = Self(5);
}

/// Something happened to the device's bundle or clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, DeriveEncode, DeriveDecode)]
#[cbor(map)]
pub struct Event {
    /// What.
    #[n(0)]
    pub code: EventCode,
    /// A number whose meaning depends on the code.
    #[cbor(n(1), skip_if = "is_zero")]
    pub detail: u32,
    /// The bundle concerned, if any.
    #[n(2)]
    pub bundle: Option<BundleId>,
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
/// When `buffer` is too small; [`MAX_RECORD_BYTES`] is enough for a window of 16 channels whose
/// counts stay below 65 536, and for everything else.
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

/// Bin of a latency: two per octave from 1 µs; the second half of an octave begins at √2 times its
/// start. 0 µs counts as 1 µs, the last bin holds everything from 11.9 s.
pub fn latency_bin(latency_us: u32) -> usize {
    let latency = u64::from(latency_us.max(1));
    let octave = latency.ilog2();
    let upper_half = latency * latency >= 1 << (2 * octave + 1);
    (2 * octave as usize + usize::from(upper_half)).min(LATENCY_BINS - 1)
}

/// Lowest latency of a bin in microseconds: 2^(bin / 2).
pub fn latency_bin_start_us(bin: usize) -> f64 {
    let octave = power_of_two((bin / 2) as i32);
    if bin.is_multiple_of(2) {
        octave
    } else {
        octave * core::f64::consts::SQRT_2
    }
}

/// Bin of a confidence between 0 and 1; what lies outside counts in the nearest, NaN in the first.
pub fn confidence_bin(confidence: f32) -> usize {
    ((confidence * CONFIDENCE_BINS as f32) as usize).min(CONFIDENCE_BINS - 1)
}

/// 2^exponent, exact, for exponents from -1022 to 1023.
fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((exponent + 1023).clamp(1, 2046) as u64) << 52)
}

fn is_zero(value: &u32) -> bool {
    *value == 0
}

fn is_false(value: &bool) -> bool {
    !*value
}

#[cfg(test)]
mod tests;
