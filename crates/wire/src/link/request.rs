//! What a workstation asks, and its body in CBOR.

use minicbor::decode::Decoder;

use super::{
    ACKNOWLEDGE, ACTIVATE, CLOSE_WINDOW, EncodeResult, INFER, INFO, OBSERVE, Output, PUT_BEGIN,
    PUT_CHUNK, RECORDS_SINCE, Samples, TIME, fields, fixed, malformed,
};

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

impl<'a> Request<'a> {
    pub(super) fn code(&self) -> u8 {
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

    pub(super) fn encode_body(&self, e: &mut Output<'_>) -> EncodeResult {
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

    pub(super) fn decode_body(
        code: u8,
        d: &mut Decoder<'a>,
    ) -> Result<Self, minicbor::decode::Error> {
        Ok(match code {
            INFO => d.null().map(|()| Self::Info)?,
            PUT_BEGIN | PUT_CHUNK => Self::decode_put(code, d)?,
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

    fn decode_put(code: u8, d: &mut Decoder<'a>) -> Result<Self, minicbor::decode::Error> {
        fields(d, 2)?;
        let number = d.u32()?;
        Ok(match code {
            PUT_BEGIN => Self::PutBegin {
                total_bytes: number,
                digest: fixed(d)?,
            },
            _ => Self::PutChunk {
                offset: number,
                bytes: d.bytes()?,
            },
        })
    }
}
