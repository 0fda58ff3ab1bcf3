//! The ROC curve and the reliability table.

use super::point::Prepared;
use super::{RELIABILITY_BINS, ReliabilityBin, RocPoint};

const CURVE_POINTS: usize = 200;

impl Prepared<'_> {
    pub(super) fn roc(&self, class: usize) -> Vec<RocPoint> {
        let hits = self
            .answers
            .truth
            .iter()
            .filter(|&&label| label as usize == class)
            .count();
        let alarms = self.answers.truth.len() - hits;
        if hits == 0 || alarms == 0 {
            return Vec::new();
        }
        let mut points = vec![RocPoint {
            false_positive_rate: 0.0,
            true_positive_rate: 0.0,
        }];
        let (mut found, mut raised) = (0usize, 0usize);
        for ranked in &self.ranked[class] {
            match self.answers.truth[ranked.example] as usize == class {
                true => found += 1,
                false => raised += 1,
            }
            if ranked.ends_tie {
                points.push(RocPoint {
                    false_positive_rate: raised as f64 / alarms as f64,
                    true_positive_rate: found as f64 / hits as f64,
                });
            }
        }
        thinned(points)
    }

    pub(super) fn reliability(&self) -> Vec<ReliabilityBin> {
        let mut bins = vec![
            ReliabilityBin {
                examples: 0,
                confidence: 0.0,
                accuracy: 0.0
            };
            RELIABILITY_BINS
        ];
        for example in 0..self.bin.len() {
            let bin = &mut bins[self.bin[example]];
            bin.examples += 1;
            bin.confidence += self.confidence[example];
            bin.accuracy += f64::from(u8::from(
                self.answers.truth[example] == self.answers.predicted[example],
            ));
        }
        for bin in bins.iter_mut().filter(|bin| bin.examples > 0) {
            bin.confidence /= bin.examples as f64;
            bin.accuracy /= bin.examples as f64;
        }
        bins
    }
}

/// Keeps the ends and every corner that is far enough from the last kept one.
fn thinned(points: Vec<RocPoint>) -> Vec<RocPoint> {
    let step = 2.0 / CURVE_POINTS as f64;
    let Some((&last, inner)) = points.split_last() else {
        return points;
    };
    let mut kept: Vec<RocPoint> = Vec::new();
    for &point in inner {
        let moved = kept.last().map_or(f64::INFINITY, |at| {
            (point.false_positive_rate - at.false_positive_rate)
                + (point.true_positive_rate - at.true_positive_rate)
        });
        if moved >= step {
            kept.push(point);
        }
    }
    kept.push(last);
    kept
}
