//! Counting values into a window.
//!
//! Everything in a window is an integer or an extreme, so that windows of one bundle can be added up
//! exactly and in any order: counts stop at their type's end, sums add, extremes keep the outermost.
//! The collector does that.
//!
//! Counting one value costs four comparisons for the bin, one rounding, one 64-bit
//! multiplication and a few additions; no floating-point sum is kept anywhere.

use dunlin_wire::baseline::ChannelBaseline;
use dunlin_wire::record::Channel;
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

#[cfg(test)]
mod tests;
