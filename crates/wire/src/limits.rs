//! Limits of every format in this crate. A decoder checks them before it uses a length.

/// Input channels a schema, a baseline and a record may have.
pub const MAX_CHANNELS: usize = 16;
/// Labels a classifier may have.
pub const MAX_LABELS: usize = 16;
/// Bins of a channel's histogram; the edges are `BINS - 1` training quantiles.
pub const BINS: usize = 16;
/// Bins of the confidence histogram, equal width over 0 to 1.
pub const CONFIDENCE_BINS: usize = 10;
/// Bins of the latency histogram, two per octave from 1 µs.
pub const LATENCY_BINS: usize = 48;
/// Bytes of a name, a unit or a label in UTF-8.
pub const MAX_NAME_BYTES: usize = 32;
/// Bytes of the signed manifest (the whole COSE_Sign1).
pub const MAX_MANIFEST_BYTES: usize = 2048;
/// Sections of a bundle.
pub const MAX_SECTIONS: usize = 8;
/// Alignment of every section, counted from the bundle's first byte.
pub const SECTION_ALIGNMENT: usize = 16;
/// Bytes of one encoded record, with its tag: what a window of [`MAX_CHANNELS`] and [`MAX_LABELS`]
/// can become, with room for a few fields to come.
pub const MAX_RECORD_BYTES: usize = 3072;
/// Bytes of one link message before framing.
pub const MAX_MESSAGE_BYTES: usize = 3328;
/// Bytes of one frame on the wire: message, CRC-32, COBS overhead, delimiter.
pub const MAX_FRAME_BYTES: usize = MAX_MESSAGE_BYTES + 4 + (MAX_MESSAGE_BYTES + 4) / 254 + 2;
/// Values of one input: steps × channels.
pub const MAX_INPUT_ELEMENTS: usize = 16_384;
/// Outputs of a model.
pub const MAX_OUTPUTS: usize = 4;
/// Vectors of a golden section.
pub const MAX_GOLDEN_VECTORS: usize = 32;
/// Kernels a bundle may require.
pub const MAX_KERNELS: usize = 64;
