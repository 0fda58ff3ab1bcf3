//! Counting values into a window, and merging windows.
//!
//! Everything in a window is an integer or an extreme, so that merging is exact and may be done in
//! any order: counts add and stop at their type's end, sums add, extremes and scores keep the
//! outermost, flags add up. The empty window is the identity.
//!
//! Counting one value costs four comparisons for the bin, one rounding, one 64-bit
//! multiplication and a few additions; no floating-point sum is kept anywhere.

use dunlin_wire::baseline::ChannelBaseline;
use dunlin_wire::record::{Channel, Window};
use libm::rintf;

/// Largest magnitude of a value's fixed-point form.
const LARGEST: f32 = 8_388_608.0;
/// Binary digits that the distance from the first to the last edge takes up in the sums.
const SPREAD_BITS: i32 = 15;

/// An empty channel whose sums suit the baseline: the pivot is the middle edge, and the distance
/// from the first edge to the last comes to between 2^15 and 2^16 units.
pub fn empty_channel(baseline: &ChannelBaseline) -> Channel {
    let edge = |index| baseline.edges().nth(index).unwrap_or_default();
    let pivot = edge(7);
    let spread = edge(14) - edge(0);
    let spread = if spread > 0.0 {
        spread
    } else {
        pivot.abs() / 256.0
    };
    Channel {
        pivot,
        exponent: (SPREAD_BITS - binary_exponent(spread)).clamp(-100, 100) as i8,
        ..Channel::default()
    }
}

/// Counts a value that is not NaN and falls into `bin`.
pub fn count_value(channel: &mut Channel, value: f32, bin: usize) {
    let fixed = to_fixed(value, channel.pivot, channel.exponent);
    channel.histogram.add(bin);
    channel.sum = channel.sum.wrapping_add(fixed);
    channel.sum_of_squares = channel
        .sum_of_squares
        .saturating_add(fixed.unsigned_abs().pow(2));
    channel.minimum = least(channel.minimum, value);
    channel.maximum = greatest(channel.maximum, value);
}

fn to_fixed(value: f32, pivot: f32, exponent: i8) -> i64 {
    let scale = f32::from_bits(((i32::from(exponent) + 127).clamp(1, 254) as u32) << 23);
    rintf((value - pivot) * scale).clamp(-LARGEST, LARGEST) as i64
}

/// Exponent of the highest binary digit; 0 for zero.
fn binary_exponent(value: f32) -> i32 {
    if value == 0.0 {
        0
    } else {
        ((value.to_bits() >> 23) & 0xff) as i32 - 127
    }
}

fn least(a: f32, b: f32) -> f32 {
    if b.total_cmp(&a).is_lt() { b } else { a }
}

fn greatest(a: f32, b: f32) -> f32 {
    if b.total_cmp(&a).is_gt() { b } else { a }
}

fn highest(a: Option<f32>, b: Option<f32>) -> Option<f32> {
    match (a, b) {
        (Some(a), Some(b)) => Some(greatest(a, b)),
        (score, None) | (None, score) => score,
    }
}

/// Two windows do not count in the same bins and units, so no sum of them means anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DifferentBaselines;

impl core::fmt::Display for DifferentBaselines {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("windows counted against different baselines cannot be merged")
    }
}

impl core::error::Error for DifferentBaselines {}

/// Adds what `other` saw to `window`.
///
/// Afterwards `opened_ms` is the earlier start, `span_ms` reaches to the later end, scores are the
/// highest of the two, and a flag is set when it was set in either. Histograms of different bundles
/// have different bins; the caller sees to it that both windows come from the same bundle, and what
/// can be checked here is checked.
///
/// # Errors
/// When the numbers of channels or labels, a pivot or an exponent differ; `window` is then as before.
pub fn merge(window: &mut Window, other: &Window) -> Result<(), DifferentBaselines> {
    if is_blank(other) {
        return Ok(());
    }
    if is_blank(window) {
        *window = *other;
        return Ok(());
    }
    if !same_baseline(window, other) {
        return Err(DifferentBaselines);
    }
    merge_times(window, other);
    window.partial |= other.partial;
    window.judged |= other.judged;
    window.inputs = window.inputs.saturating_add(other.inputs);
    window.errors = window.errors.saturating_add(other.errors);
    for (channel, more) in window.channels.iter_mut().zip(other.channels.iter()) {
        merge_channel(channel, more);
    }
    for (count, more) in window.predictions.iter_mut().zip(other.predictions.iter()) {
        *count = count.saturating_add(*more);
    }
    window.prediction_score = highest(window.prediction_score, other.prediction_score);
    window.prediction_drifted |= other.prediction_drifted;
    window.confidence.merge(&other.confidence);
    window.latency.merge(&other.latency);
    Ok(())
}

/// Nothing seen and nothing known of a baseline: the identity.
fn is_blank(window: &Window) -> bool {
    window.inputs == 0 && window.channels.is_empty() && window.predictions.is_empty()
}

fn same_baseline(a: &Window, b: &Window) -> bool {
    let unit = |channel: &Channel| (channel.pivot.to_bits(), channel.exponent);
    a.predictions.len() == b.predictions.len()
        && a.channels.iter().map(unit).eq(b.channels.iter().map(unit))
}

fn merge_times(window: &mut Window, other: &Window) {
    if other.inputs == 0 {
        return;
    }
    let end = |window: &Window| window.opened_ms.saturating_add(window.span_ms);
    let (opened_ms, end_ms) = match window.inputs {
        0 => (other.opened_ms, end(other)),
        _ => (
            window.opened_ms.min(other.opened_ms),
            end(window).max(end(other)),
        ),
    };
    window.opened_ms = opened_ms;
    window.span_ms = end_ms - opened_ms;
}

fn merge_channel(channel: &mut Channel, other: &Channel) {
    channel.histogram.merge(&other.histogram);
    channel.sum = channel.sum.wrapping_add(other.sum);
    channel.sum_of_squares = channel.sum_of_squares.saturating_add(other.sum_of_squares);
    channel.minimum = least(channel.minimum, other.minimum);
    channel.maximum = greatest(channel.maximum, other.maximum);
    channel.missing = channel.missing.saturating_add(other.missing);
    channel.out_of_range = channel.out_of_range.saturating_add(other.out_of_range);
    channel.stuck = channel.stuck.saturating_add(other.stuck);
    channel.score = highest(channel.score, other.score);
    channel.drifted |= other.drifted;
}

#[cfg(test)]
mod tests;
