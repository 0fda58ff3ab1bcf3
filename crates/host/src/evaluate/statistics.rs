//! Intervals.

use serde::{Deserialize, Serialize};

/// The normal distribution's 97.5 % point.
const Z_95: f64 = 1.959_963_984_540_054;

/// Two ends, both inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// Wilson's score interval (1927) of a proportion at 95 %; `None` for 0 of 0.
///
/// Takes the trials for independent.
pub fn wilson(part: u64, whole: u64) -> Option<Interval> {
    if whole == 0 {
        return None;
    }
    let (n, share) = (whole as f64, part as f64 / whole as f64);
    let scale = 1.0 + Z_95 * Z_95 / n;
    let centre = (share + Z_95 * Z_95 / (2.0 * n)) / scale;
    let half = Z_95 / scale * (share * (1.0 - share) / n + Z_95 * Z_95 / (4.0 * n * n)).sqrt();
    Some(Interval {
        low: (centre - half).max(0.0),
        high: (centre + half).min(1.0),
    })
}

/// The quantile of rising values by linear interpolation (type 7); 0 of an empty slice.
pub fn quantile(rising: &[f64], share: f64) -> f64 {
    let Some(last) = rising.len().checked_sub(1) else {
        return 0.0;
    };
    let place = share.clamp(0.0, 1.0) * last as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    rising[below] + (place - below as f64) * (rising[above] - rising[below])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_equals_values_worked_out_by_hand() {
        let half = wilson(5, 10).unwrap();
        assert!(
            (half.low - 0.236_593).abs() < 1e-6 && (half.high - 0.763_407).abs() < 1e-6,
            "{half:?}"
        );
        let none = wilson(0, 10).unwrap();
        assert!(
            none.low == 0.0 && (none.high - 0.277_533).abs() < 1e-6,
            "{none:?}"
        );
        assert_eq!(wilson(0, 0), None);
    }

    #[test]
    fn quantiles_interpolate() {
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0], 0.5), 2.5);
        assert_eq!(quantile(&[1.0, 2.0], 1.0), 2.0);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }
}
