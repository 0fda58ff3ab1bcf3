//! Samples and records packed one after another, as they stand inside messages.

use super::{RECORD_LENGTH_BYTES, SAMPLE_TIME_BYTES};

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

    pub(super) fn is_whole(&self) -> bool {
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

    pub(super) fn is_whole(&self) -> bool {
        self.iter()
            .map(|record| RECORD_LENGTH_BYTES + record.len())
            .sum::<usize>()
            == self.packed.len()
    }
}
