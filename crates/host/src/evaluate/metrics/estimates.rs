//! Measures with their intervals.

use super::super::statistics::{Interval, quantile, wilson};
use super::point::{Point, Prepared};
use super::{ClassMetrics, Estimate, Metrics, RESAMPLES, Units};

/// All measures of prepared answers, resampled by these units.
pub(super) fn metrics(prepared: &Prepared<'_>, units: &Units) -> Metrics {
    let ones = vec![1.0; prepared.answers.truth.len()];
    let whole = |row: &Vec<f64>| row.iter().map(|&count| count as u64).collect();
    let estimates = Estimates {
        independent: units.are_rows(),
        confusion: prepared.confusion(&ones).iter().map(whole).collect(),
        point: prepared.point(&ones),
        resamples: prepared.resample(units),
        prepared,
    };
    estimates.metrics(units)
}

struct Estimates<'p, 'a> {
    independent: bool,
    confusion: Vec<Vec<u64>>,
    point: Point,
    resamples: Vec<Point>,
    prepared: &'p Prepared<'a>,
}

impl Estimates<'_, '_> {
    fn metrics(self, units: &Units) -> Metrics {
        let classes = 0..self.confusion.len();
        let examples = self.prepared.answers.truth.len() as u64;
        let right = classes
            .clone()
            .map(|class| self.confusion[class][class])
            .sum();
        Metrics {
            examples,
            resampled: format!("{} × {}", units.count, units.name),
            independent: self.independent,
            accuracy: self.proportion(right, examples, |point| Some(point.accuracy)),
            balanced_accuracy: self.number(|point| point.balanced_accuracy),
            macro_f1: self.number(|point| point.macro_f1),
            roc_auc: self.bootstrapped(|point| point.roc_auc),
            calibration_error: self.number(|point| point.calibration_error),
            log_loss: self.number(|point| point.log_loss),
            classes: classes.map(|class| self.class(class)).collect(),
            reliability: self.prepared.reliability(),
            confusion: self.confusion,
        }
    }

    fn class(&self, class: usize) -> ClassMetrics {
        let right = self.confusion[class][class];
        let support = self.confusion[class].iter().sum();
        let predicted = self.confusion.iter().map(|row| row[class]).sum();
        ClassMetrics {
            name: self.prepared.answers.class_names[class].clone(),
            support,
            precision: self.proportion(right, predicted, |point| point.precision[class]),
            recall: self.proportion(right, support, |point| point.recall[class]),
            f1: self.number(|point| point.f1[class]),
            roc_auc: self.bootstrapped(|point| point.class_auc[class]),
            roc: self.prepared.roc(class),
        }
    }

    /// Wilson's interval where examples are independent, else the bootstrap's; none for 0 of 0.
    fn proportion(
        &self,
        part: u64,
        whole: u64,
        measure: impl Fn(&Point) -> Option<f64>,
    ) -> Estimate {
        let value = if whole > 0 {
            part as f64 / whole as f64
        } else {
            0.0
        };
        let interval = match self.independent {
            true => wilson(part, whole),
            false => self.interval(value, measure),
        };
        Estimate { value, interval }
    }

    fn number(&self, measure: impl Fn(&Point) -> f64) -> Estimate {
        let value = measure(&self.point);
        let interval = self.interval(value, |point| Some(measure(point)));
        Estimate { value, interval }
    }

    /// `None` where the measure is not defined on these examples.
    fn bootstrapped(&self, measure: impl Fn(&Point) -> Option<f64>) -> Option<Estimate> {
        let value = measure(&self.point)?;
        let interval = self.interval(value, measure);
        Some(Estimate { value, interval })
    }

    /// `None` where the measure is defined on too few resamples.
    fn interval(&self, value: f64, measure: impl Fn(&Point) -> Option<f64>) -> Option<Interval> {
        let mut values: Vec<f64> = self.resamples.iter().filter_map(measure).collect();
        values.sort_by(f64::total_cmp);
        (values.len() > RESAMPLES / 2).then(|| Interval {
            low: quantile(&values, 0.025).min(value),
            high: quantile(&values, 0.975).max(value),
        })
    }
}
