//! Reference distribution and drift thresholds: one section of a bundle.
//!
//! A fixed little-endian layout that is checked once by [`Baseline::parse`] and then read in place:
//! 64 bytes of header, 128 bytes per channel, 4 bytes per label. `FORMAT-baseline.md` has the table.
//!
//! Parsing looks at every edge once, which is 15 comparisons per channel; every accessor afterwards
//! reads its few bytes where they are.
//!
//! ```
//! use dunlin_wire::baseline::{Baseline, ChannelReference, FalseAlarms, Reference, Statistic};
//! let co2 = ChannelReference { edges: core::array::from_fn(|i| i as f32), counts: [90; 16], threshold: 2.5 };
//! let reference = Reference {
//!     statistic: Statistic::PSI,
//!     window_ms: 86_400_000,
//!     minimum_samples: 1_296,
//!     false_alarms: FalseAlarms { target: 0.05, expected: 0.17, lower: 0.005, upper: 0.52, blocks: 5, exceedances: 0 },
//!     channels: &[co2],
//!     prediction_counts: &[1_000, 440],
//!     prediction_threshold: 1.0,
//! };
//! let mut section = [0; 200];
//! let length = reference.encode(&mut section).unwrap();
//! let baseline = Baseline::parse(&section[..length]).unwrap();
//! assert_eq!(baseline.channel(0).unwrap().bin(3.5), 4);
//! ```
//!
//! # Architecture invariants
//! - What a threshold is compared with is named by a code; a device that does not know the code
//!   judges nothing rather than something else.
//! - Says nothing about valid ranges or names: those are [`crate::schema`]'s.

use crate::BufferTooSmall;
use crate::limits::{BINS, MAX_CHANNELS, MAX_LABELS};

/// First bytes of the section.
pub const MAGIC: [u8; 4] = *b"DLBL";
/// Version of the layout.
pub const FORMAT: u16 = 1;
/// Bytes before the first channel.
pub const HEADER_BYTES: usize = 64;
/// Bytes of one channel: edges, counts, threshold.
pub const CHANNEL_BYTES: usize = 128;
/// Edges between the bins of a channel.
pub const EDGES: usize = BINS - 1;
/// Bytes of the largest section the format allows.
pub const MAX_BASELINE_BYTES: usize = HEADER_BYTES + MAX_CHANNELS * CHANNEL_BYTES + MAX_LABELS * 4;

/// How a window is compared with the reference, as a code that may be unknown here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistic(pub u8);

impl Statistic {
    /// Population stability index with half a count added to every bin.
    pub const PSI: Self = Self(1);
}

/// How often a window without drift raises one channel's flag: what was asked for, and what the
/// training data can vouch for.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct FalseAlarms {
    /// Share of windows asked for.
    pub target: f32,
    /// Share expected of the next window like the blocks seen.
    pub expected: f32,
    /// Lower end of the share's 95 % interval.
    pub lower: f32,
    /// Upper end of the share's 95 % interval.
    pub upper: f32,
    /// Separate blocks of training data the thresholds rest on.
    pub blocks: u32,
    /// Blocks whose score lies above the threshold.
    pub exceedances: u32,
}

/// Reference of one channel, to be written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChannelReference {
    /// Upper ends of the first 15 bins, ascending, in the channel's unit; equal ones are allowed.
    pub edges: [f32; EDGES],
    /// Training values per bin.
    pub counts: [u32; BINS],
    /// A window whose score is above it has drifted; infinity for never.
    pub threshold: f32,
}

/// Everything in a section, to be written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reference<'a> {
    /// What the thresholds are compared with.
    pub statistic: Statistic,
    /// Length of a window in sample time.
    pub window_ms: u64,
    /// A window with fewer inputs is not judged.
    pub minimum_samples: u32,
    /// What the thresholds promise.
    pub false_alarms: FalseAlarms,
    /// One per channel of the schema, in its order; at most [`MAX_CHANNELS`].
    pub channels: &'a [ChannelReference],
    /// Predictions per label on the training data, in label order; at most [`MAX_LABELS`].
    pub prediction_counts: &'a [u32],
    /// A window whose predictions' score is above it has drifted; infinity for never.
    pub prediction_threshold: f32,
}

impl Reference<'_> {
    /// Writes the section and returns its length in bytes. [`Baseline::parse`] checks the values.
    ///
    /// # Errors
    /// When `buffer` is shorter than the section; [`MAX_BASELINE_BYTES`] is always enough.
    pub fn encode(&self, buffer: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let mut writer = Writer { buffer, length: 0 };
        self.encode_header(&mut writer)?;
        for channel in self.channels {
            channel
                .edges
                .iter()
                .try_for_each(|edge| writer.put(&edge.to_le_bytes()))?;
            channel
                .counts
                .iter()
                .try_for_each(|count| writer.put(&count.to_le_bytes()))?;
            writer.put(&channel.threshold.to_le_bytes())?;
        }
        self.prediction_counts
            .iter()
            .try_for_each(|count| writer.put(&count.to_le_bytes()))?;
        Ok(writer.length)
    }

    fn encode_header(&self, writer: &mut Writer) -> Result<(), BufferTooSmall> {
        let alarms = &self.false_alarms;
        writer.put(&MAGIC)?;
        writer.put(&FORMAT.to_le_bytes())?;
        writer.put(&[
            self.channels.len() as u8,
            self.prediction_counts.len() as u8,
        ])?;
        writer.put(&[self.statistic.0, BINS as u8, 0, 0])?;
        writer.put(&self.minimum_samples.to_le_bytes())?;
        writer.put(&self.window_ms.to_le_bytes())?;
        for share in [alarms.target, alarms.expected, alarms.lower, alarms.upper] {
            writer.put(&share.to_le_bytes())?;
        }
        writer.put(&alarms.blocks.to_le_bytes())?;
        writer.put(&alarms.exceedances.to_le_bytes())?;
        writer.put(&self.prediction_threshold.to_le_bytes())?;
        writer.put(&[0; 12])
    }
}

struct Writer<'a> {
    buffer: &'a mut [u8],
    length: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), BufferTooSmall> {
        let got = self.buffer.len();
        let end = self.length + bytes.len();
        self.buffer
            .get_mut(self.length..end)
            .ok_or(BufferTooSmall { got })?
            .copy_from_slice(bytes);
        self.length = end;
        Ok(())
    }
}

/// A checked section, read in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Baseline<'a> {
    header: &'a [u8; HEADER_BYTES],
    channels: &'a [[u8; CHANNEL_BYTES]],
    predictions: &'a [[u8; 4]],
}

impl<'a> Baseline<'a> {
    /// Checks a section.
    ///
    /// # Errors
    /// Each rule of the layout has its variant in [`BaselineError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BaselineError> {
        let (header, rest) =
            bytes
                .split_first_chunk::<HEADER_BYTES>()
                .ok_or(BaselineError::Length {
                    needed: HEADER_BYTES,
                    got: bytes.len(),
                })?;
        let (channels, labels) = check_header(header)?;
        let needed = HEADER_BYTES + channels * CHANNEL_BYTES + labels * 4;
        let wrong_length = BaselineError::Length {
            needed,
            got: bytes.len(),
        };
        if bytes.len() != needed {
            return Err(wrong_length);
        }
        let (channels, predictions) = rest
            .split_at_checked(channels * CHANNEL_BYTES)
            .ok_or(wrong_length)?;
        let baseline = Self {
            header,
            channels: channels.as_chunks().0,
            predictions: predictions.as_chunks().0,
        };
        baseline.check_values()?;
        Ok(baseline)
    }

    fn check_values(&self) -> Result<(), BaselineError> {
        for (channel, reference) in self.channels().enumerate() {
            if !reference.edges().is_sorted() || !reference.edges().all(f32::is_finite) {
                return Err(BaselineError::Edges { channel });
            }
            if reference.threshold().is_nan() {
                return Err(BaselineError::Threshold);
            }
        }
        if self.prediction_threshold().is_nan() {
            return Err(BaselineError::Threshold);
        }
        Ok(())
    }

    /// What the thresholds are compared with.
    pub fn statistic(&self) -> Statistic {
        let [_, _, _, _, _, _, _, _, statistic, ..] = *self.header;
        Statistic(statistic)
    }

    /// Length of a window in sample time.
    pub fn window_ms(&self) -> u64 {
        u64::from_le_bytes(field(self.header, 16))
    }

    /// A window with fewer inputs is not judged.
    pub fn minimum_samples(&self) -> u32 {
        u32::from_le_bytes(field(self.header, 12))
    }

    /// What the thresholds promise.
    pub fn false_alarms(&self) -> FalseAlarms {
        let share = |at| f32::from_le_bytes(field(self.header, at));
        let count = |at| u32::from_le_bytes(field(self.header, at));
        FalseAlarms {
            target: share(24),
            expected: share(28),
            lower: share(32),
            upper: share(36),
            blocks: count(40),
            exceedances: count(44),
        }
    }

    /// The channels in the schema's order.
    pub fn channels(&self) -> impl ExactSizeIterator<Item = ChannelBaseline<'a>> + use<'a> {
        self.channels.iter().map(|bytes| ChannelBaseline { bytes })
    }

    /// One channel, when there is one of that index.
    pub fn channel(&self, index: usize) -> Option<ChannelBaseline<'a>> {
        self.channels
            .get(index)
            .map(|bytes| ChannelBaseline { bytes })
    }

    /// Predictions per label on the training data, in label order.
    pub fn prediction_counts(&self) -> impl ExactSizeIterator<Item = u32> + use<'a> {
        self.predictions
            .iter()
            .map(|bytes| u32::from_le_bytes(*bytes))
    }

    /// A window whose predictions' score is above it has drifted.
    pub fn prediction_threshold(&self) -> f32 {
        f32::from_le_bytes(field(self.header, 48))
    }
}

/// One channel of a [`Baseline`], read in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelBaseline<'a> {
    bytes: &'a [u8; CHANNEL_BYTES],
}

impl<'a> ChannelBaseline<'a> {
    /// Upper ends of the first 15 bins, ascending, in the channel's unit.
    pub fn edges(&self) -> impl ExactSizeIterator<Item = f32> + use<'a> {
        self.words().take(EDGES).map(f32::from_le_bytes)
    }

    /// Training values per bin.
    pub fn counts(&self) -> [u32; BINS] {
        let mut counts = [0; BINS];
        counts
            .iter_mut()
            .zip(self.words().skip(EDGES))
            .for_each(|(count, word)| *count = u32::from_le_bytes(word));
        counts
    }

    /// A window whose score is above it has drifted.
    pub fn threshold(&self) -> f32 {
        f32::from_le_bytes(field(self.bytes, CHANNEL_BYTES - 4))
    }

    /// Number of edges below `value`: the bin whose upper end is the first edge not below it. The
    /// last bin for a value above all edges; 0 for a NaN. Four comparisons.
    pub fn bin(&self, value: f32) -> usize {
        let (words, _) = self.bytes.as_chunks::<4>();
        let edges = words.get(..EDGES).unwrap_or_default();
        edges.partition_point(|edge| f32::from_le_bytes(*edge) < value)
    }

    fn words(&self) -> impl ExactSizeIterator<Item = [u8; 4]> + use<'a> {
        self.bytes.as_chunks::<4>().0.iter().copied()
    }
}

/// Why bytes are not a baseline section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BaselineError {
    /// The section is not as long as its header says.
    Length {
        /// Bytes the header asks for.
        needed: usize,
        /// Bytes there are.
        got: usize,
    },
    /// It does not begin with [`MAGIC`].
    NotABaseline,
    /// A layout, or a number of bins, that is unknown here.
    UnsupportedFormat {
        /// The layout's version.
        format: u16,
        /// Bins per channel.
        bins: u8,
    },
    /// More channels or labels than the format allows.
    TooMany {
        /// Channels in the header.
        channels: u8,
        /// Labels in the header.
        labels: u8,
    },
    /// A channel's edges descend or are not finite.
    Edges {
        /// Index of the channel.
        channel: usize,
    },
    /// A threshold is not a number.
    Threshold,
    /// A window of no length.
    NoWindow,
}

impl core::fmt::Display for BaselineError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Length { needed, got } => {
                write!(f, "a baseline of {needed} bytes stands in {got}")
            }
            Self::NotABaseline => write!(f, "not a baseline section"),
            Self::UnsupportedFormat { format, bins } => {
                write!(f, "baseline format {format} with {bins} bins is unknown")
            }
            Self::TooMany { channels, labels } => {
                write!(
                    f,
                    "a baseline for {channels} channels and {labels} labels; {MAX_CHANNELS} and {MAX_LABELS} are allowed"
                )
            }
            Self::Edges { channel } => write!(
                f,
                "the edges of channel {channel} are not finite and ascending"
            ),
            Self::Threshold => write!(f, "a threshold is not a number"),
            Self::NoWindow => write!(f, "a window of no length"),
        }
    }
}

impl core::error::Error for BaselineError {}

fn check_header(header: &[u8; HEADER_BYTES]) -> Result<(usize, usize), BaselineError> {
    if field::<4>(header, 0) != MAGIC {
        return Err(BaselineError::NotABaseline);
    }
    let [_, _, _, _, _, _, channels, labels, _, bins, ..] = *header;
    let format = u16::from_le_bytes(field(header, 4));
    if format != FORMAT || usize::from(bins) != BINS {
        return Err(BaselineError::UnsupportedFormat { format, bins });
    }
    if usize::from(channels) > MAX_CHANNELS || usize::from(labels) > MAX_LABELS {
        return Err(BaselineError::TooMany { channels, labels });
    }
    if field::<8>(header, 16) == [0; 8] {
        return Err(BaselineError::NoWindow);
    }
    Ok((usize::from(channels), usize::from(labels)))
}

/// `N` bytes at `at`; zeros where the bytes end before, which no caller here reaches.
fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .copied()
        .unwrap_or([0; N])
}

#[cfg(test)]
mod tests;
