//! A window of monitoring: counts, sums, extremes and scores.

use minicbor::{Decode, Encode};

use super::{is_false, is_zero};
use crate::Table;
use crate::histogram::Histogram;
use crate::limits::{BINS, CONFIDENCE_BINS, LATENCY_BINS, MAX_CHANNELS, MAX_LABELS};

/// Statistics of one channel over a window. Each time step of an input counts once.
///
/// Sums are integers, so that they are exact in any order: a value `x` enters as
/// `q = round((x - pivot) × 2^exponent)`, ties to even, clamped to ±2^23.
#[derive(Debug, Clone, Copy, PartialEq, Encode, Decode)]
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
#[derive(Debug, Clone, Copy, PartialEq, Default, Encode, Decode)]
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
