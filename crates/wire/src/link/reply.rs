//! What a device answers, and its body in CBOR.

use minicbor::decode::Decoder;

use super::{
    ACKNOWLEDGE, ACTIVATE, CLOSE_WINDOW, EncodeResult, INFER, INFO, Info, OBSERVE, Output,
    PUT_BEGIN, PUT_CHUNK, RECORDS_SINCE, REFUSED, Records, Refusal, TIME, fields, fixed, malformed,
};
use crate::BundleId;

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

impl<'a> Reply<'a> {
    pub(super) fn code(&self) -> u8 {
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

    pub(super) fn encode_body(&self, e: &mut Output<'_>) -> EncodeResult {
        match *self {
            Self::Refused(refusal) => e.encode(refusal)?.ok(),
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

    pub(super) fn decode_body(
        code: u8,
        d: &mut Decoder<'a>,
    ) -> Result<Self, minicbor::decode::Error> {
        Ok(match code {
            REFUSED => Self::Refused(d.decode()?),
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
            RECORDS_SINCE => Self::decode_records(d)?,
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

    fn decode_records(d: &mut Decoder<'a>) -> Result<Self, minicbor::decode::Error> {
        fields(d, 2)?;
        let (more, records) = (d.bool()?, Records { packed: d.bytes()? });
        match records.is_whole() {
            true => Ok(Self::Records { records, more }),
            false => Err(malformed()),
        }
    }
}
