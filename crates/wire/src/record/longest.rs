//! How long a record can become.

use super::{RECORD_HEAD_BYTES, TAG_FIELD_BYTES};
use crate::limits::{
    BINS, CONFIDENCE_BINS, LATENCY_BINS, MAX_CHANNELS, MAX_LABELS, MAX_RECORD_BYTES,
};

/// Longest CBOR of a `u8`, a `u32`, an `f32`, a `u64` or an `i64`, and an id of 8 bytes.
const U8: usize = 2;
const U32: usize = 5;
const F32: usize = 5;
const U64: usize = 9;
const ID: usize = 9;
/// A boolean, the head of a map or an array of up to 23 items, and a key up to 23.
const SHORT: usize = 1;

/// Array head, header and tag: device, boot, sequence, bundle, firmware, kind, uptime, time.
const FRAME_BYTES: usize =
    RECORD_HEAD_BYTES + SHORT + 8 * SHORT + 3 * ID + 2 * U32 + SHORT + 2 * U64 + TAG_FIELD_BYTES;

/// Bytes of the longest record that is not a window: an event with all its fields.
pub const LONGEST_PLAIN_BYTES: usize = FRAME_BYTES + SHORT + 3 * SHORT + 2 * U32 + ID;

/// Pivot, exponent, two sums, two extremes, three counts, score and flag, with histogram and keys.
const CHANNEL_BYTES: usize =
    SHORT + 12 * SHORT + histogram_bytes(BINS) + 4 * F32 + U8 + 2 * U64 + 3 * U32 + SHORT;

/// Bytes of the longest record of a window with so many channels and labels: every count, sum and
/// time as wide as CBOR can make it, every bin filled, every optional field there.
///
/// What a schema and its baseline ask for is known from their numbers of channels and labels alone:
/// bins are the format's. Never more than [`MAX_RECORD_BYTES`] within [`MAX_CHANNELS`] and
/// [`MAX_LABELS`], which the compiler checks.
pub const fn longest_window_bytes(channels: usize, labels: usize) -> usize {
    let times_and_flags = 2 * U64 + 3 * SHORT;
    let counts = 2 * U32 + array_head_bytes(labels) + labels * U32;
    let histograms = histogram_bytes(CONFIDENCE_BINS) + histogram_bytes(LATENCY_BINS);
    FRAME_BYTES
        + SHORT
        + 12 * SHORT
        + times_and_flags
        + counts
        + F32
        + histograms
        + array_head_bytes(channels)
        + channels * CHANNEL_BYTES
}

const _: () = assert!(longest_window_bytes(MAX_CHANNELS, MAX_LABELS) <= MAX_RECORD_BYTES);
const _: () = assert!(LONGEST_PLAIN_BYTES <= MAX_RECORD_BYTES);

/// The first bin's index, then all counts.
const fn histogram_bytes(bins: usize) -> usize {
    array_head_bytes(bins + 1) + SHORT + bins * U32
}

const fn array_head_bytes(items: usize) -> usize {
    match items {
        0..24 => 1,
        24..0x100 => 2,
        _ => 3,
    }
}
