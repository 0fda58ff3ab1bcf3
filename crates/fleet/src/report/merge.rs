//! Windows added up: exact, in any order, over any grouping of windows of one bundle.

use dunlin_wire::limits::{BINS, CONFIDENCE_BINS, LATENCY_BINS};
use dunlin_wire::record::{self, Window};
use serde::Serialize;

/// Windows of one bundle added up. Counts are added as integers of 64 bits, sums as integers of 128
/// bits, so neither the order of the windows nor their grouping changes anything.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Merged {
    /// The bundle, where one was active.
    pub bundle: Option<String>,
    /// Windows.
    pub windows: u64,
    /// Windows that were judged.
    pub judged: u64,
    /// Windows in which something drifted.
    pub drifted: u64,
    /// Windows closed before their time.
    pub partial: u64,
    /// Inputs seen.
    pub inputs: u64,
    /// Inputs that gave no answer.
    pub errors: u64,
    /// Answers per label.
    pub predictions: Vec<u64>,
    /// Answers by confidence, in ten bins of equal width.
    pub confidence: [u64; CONFIDENCE_BINS],
    /// Answers by latency, in bins as [`record::latency_bin`] numbers them.
    pub latency: Vec<u64>,
    /// The channels in the schema's order.
    pub channels: Vec<MergedChannel>,
}

/// One channel of [`Merged`].
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct MergedChannel {
    /// Values per bin of the bundle's baseline.
    pub histogram: [u64; BINS],
    /// Values that were none.
    pub missing: u64,
    /// Values outside the schema's range.
    pub out_of_range: u64,
    /// Values that stood still for too long.
    pub stuck: u64,
    /// Smallest value.
    pub minimum: Option<f32>,
    /// Largest value.
    pub maximum: Option<f32>,
    #[serde(flatten)]
    moments: Moments,
}

/// Sums of one channel, apart for each unit that devices used; of one bundle, that is one.
#[derive(Debug, Clone, PartialEq, Default)]
struct Moments {
    sums: Vec<Sums>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Sums {
    pivot: f32,
    exponent: i8,
    count: u64,
    sum: i128,
    squares: u128,
}

impl Serialize for Moments {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("mean", &self.mean())?;
        map.serialize_entry("deviation", &self.variance().map(f64::sqrt))?;
        map.end()
    }
}

impl Merged {
    /// Adds a window of the bundle.
    pub fn add(&mut self, window: &Window) {
        self.windows += 1;
        self.judged += u64::from(window.judged);
        self.drifted += u64::from(window.drifted());
        self.partial += u64::from(window.partial);
        self.inputs += u64::from(window.inputs);
        self.errors += u64::from(window.errors);
        add(&mut self.predictions, &window.predictions);
        self.confidence
            .iter_mut()
            .zip(window.confidence.counts)
            .for_each(|(sum, count)| *sum += u64::from(count));
        add(&mut self.latency, &window.latency.counts);
        self.channels.resize_with(
            self.channels.len().max(window.channels.len()),
            MergedChannel::default,
        );
        self.channels
            .iter_mut()
            .zip(window.channels.iter())
            .for_each(|(merged, channel)| merged.add(channel));
    }

    /// Adds windows that were added up elsewhere.
    pub fn merge(&mut self, other: &Self) {
        self.windows += other.windows;
        self.judged += other.judged;
        self.drifted += other.drifted;
        self.partial += other.partial;
        self.inputs += other.inputs;
        self.errors += other.errors;
        add(&mut self.predictions, &other.predictions);
        self.confidence
            .iter_mut()
            .zip(other.confidence)
            .for_each(|(sum, count)| *sum += count);
        add(&mut self.latency, &other.latency);
        self.channels.resize_with(
            self.channels.len().max(other.channels.len()),
            MergedChannel::default,
        );
        self.channels
            .iter_mut()
            .zip(&other.channels)
            .for_each(|(merged, channel)| merged.merge(channel));
    }

    /// Mean confidence from the bins' centres, exact to 0.05; `None` without answers.
    pub fn mean_confidence(&self) -> Option<f64> {
        mean_confidence(&self.confidence)
    }

    /// The latency in µs that the share `quantile` of the answers does not exceed, exact to 19 %.
    pub fn latency_us(&self, quantile: f64) -> Option<f64> {
        latency_us(&self.latency, quantile)
    }
}

impl MergedChannel {
    /// Values that were numbers.
    pub fn count(&self) -> u64 {
        self.histogram.iter().sum()
    }

    /// Mean in the channel's unit; `None` without values.
    pub fn mean(&self) -> Option<f64> {
        self.moments.mean()
    }

    /// Population variance in the channel's unit squared; `None` without values.
    pub fn variance(&self) -> Option<f64> {
        self.moments.variance()
    }

    fn add(&mut self, channel: &record::Channel) {
        self.histogram
            .iter_mut()
            .zip(channel.histogram.counts)
            .for_each(|(sum, count)| *sum += u64::from(count));
        self.missing += u64::from(channel.missing);
        self.out_of_range += u64::from(channel.out_of_range);
        self.stuck += u64::from(channel.stuck);
        self.extend(finite(channel.minimum), finite(channel.maximum));
        self.moments.add(Sums {
            pivot: channel.pivot,
            exponent: channel.exponent,
            count: channel.count(),
            sum: channel.sum.into(),
            squares: channel.sum_of_squares.into(),
        });
    }

    fn merge(&mut self, other: &Self) {
        self.histogram
            .iter_mut()
            .zip(other.histogram)
            .for_each(|(sum, count)| *sum += count);
        self.missing += other.missing;
        self.out_of_range += other.out_of_range;
        self.stuck += other.stuck;
        self.extend(other.minimum, other.maximum);
        other
            .moments
            .sums
            .iter()
            .for_each(|sums| self.moments.add(*sums));
    }

    fn extend(&mut self, minimum: Option<f32>, maximum: Option<f32>) {
        self.minimum = self.minimum.into_iter().chain(minimum).reduce(f32::min);
        self.maximum = self.maximum.into_iter().chain(maximum).reduce(f32::max);
    }
}

impl Moments {
    /// Keeps the units sorted, so that their order does not depend on the windows'.
    fn add(&mut self, other: Sums) {
        if other.count == 0 {
            return;
        }
        match self.sums.binary_search_by_key(&other.unit(), Sums::unit) {
            Ok(at) => {
                if let Some(sums) = self.sums.get_mut(at) {
                    sums.count += other.count;
                    sums.sum += other.sum;
                    sums.squares += other.squares;
                }
            }
            Err(at) => self.sums.insert(at, other),
        }
    }

    fn count(&self) -> f64 {
        self.sums.iter().map(|sums| sums.count as f64).sum()
    }

    fn mean(&self) -> Option<f64> {
        let count = self.count();
        (count > 0.0).then(|| {
            self.sums
                .iter()
                .map(|sums| sums.mean() * sums.count as f64)
                .sum::<f64>()
                / count
        })
    }

    /// Within each unit exactly, between units by the parallel rule of Chan, Golub and LeVeque.
    fn variance(&self) -> Option<f64> {
        let (count, mean) = (self.count(), self.mean()?);
        let spread = self
            .sums
            .iter()
            .map(|sums| (sums.variance() + (sums.mean() - mean).powi(2)) * sums.count as f64);
        Some(spread.sum::<f64>() / count)
    }
}

impl Sums {
    fn unit(&self) -> (i8, u32) {
        (self.exponent, self.pivot.to_bits())
    }

    fn step(&self) -> f64 {
        f64::powi(2.0, -i32::from(self.exponent))
    }

    fn mean(&self) -> f64 {
        f64::from(self.pivot) + self.sum as f64 / self.count as f64 * self.step()
    }

    /// (n·Σq² − (Σq)²) / n², the numerator in integers where they are wide enough.
    fn variance(&self) -> f64 {
        let count = u128::from(self.count);
        let square = self.sum.unsigned_abs().checked_pow(2);
        let numerator = match (count.checked_mul(self.squares), square) {
            (Some(left), Some(right)) => left.saturating_sub(right) as f64,
            _ => (count as f64 * self.squares as f64 - (self.sum as f64).powi(2)).max(0.0),
        };
        numerator / (self.count as f64).powi(2) * self.step().powi(2)
    }
}

fn add<T: Copy + Into<u64>>(sums: &mut Vec<u64>, counts: &[T]) {
    sums.resize(sums.len().max(counts.len()), 0);
    sums.iter_mut()
        .zip(counts)
        .for_each(|(sum, count)| *sum += (*count).into());
}

pub(super) fn finite(value: f32) -> Option<f32> {
    Some(value).filter(|value| value.is_finite())
}

pub(super) fn mean_confidence<T: Copy + Into<u64>>(counts: &[T]) -> Option<f64> {
    let total: u64 = counts.iter().map(|&count| count.into()).sum();
    let centres = counts
        .iter()
        .enumerate()
        .map(|(bin, &count)| (bin as f64 + 0.5) / counts.len() as f64 * count.into() as f64);
    (total > 0).then(|| centres.sum::<f64>() / total as f64)
}

/// The middle, on the logarithmic scale, of the bin that holds the quantile.
pub(super) fn latency_us<T: Copy + Into<u64>>(counts: &[T], quantile: f64) -> Option<f64> {
    let total: u64 = counts.iter().map(|&count| count.into()).sum();
    let wanted = (total as f64 * quantile).ceil().max(1.0);
    let mut seen = 0;
    let bin = counts.iter().position(|&count| {
        seen += count.into();
        seen as f64 >= wanted
    })?;
    Some(record::latency_bin_start_us(bin.min(LATENCY_BINS)) * f64::powf(2.0, 0.25))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_lies_within_its_bin() {
        let mut counts = [0_u32; LATENCY_BINS];
        counts[record::latency_bin(100)] = 99;
        counts[record::latency_bin(5000)] = 1;
        for (quantile, latency) in [(0.5, 100.0), (0.99, 100.0), (1.0, 5000.0)] {
            let found = latency_us(&counts, quantile).unwrap();
            assert!((found / latency).ln().abs() < 0.35, "{found} for {latency}");
        }
        assert_eq!(latency_us(&[0_u32; LATENCY_BINS], 0.5), None);
    }

    #[test]
    fn the_mean_confidence_is_that_of_the_bins_centres() {
        let mean = mean_confidence(&[0_u32, 0, 0, 0, 0, 0, 0, 0, 1, 1]).unwrap();
        assert!((mean - 0.9).abs() < 1e-12, "{mean}");
        assert_eq!(mean_confidence(&[0_u32; 10]), None);
    }
}
