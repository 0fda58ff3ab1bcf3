//! Measures of a classifier's answers, with intervals.
//!
//! Every measure carries one interval. Where examples resemble each other, in a time series or within a group, it is
//! the percentile bootstrap over whole [`Units`], because an interval for independent rows is then far too sure of
//! itself. Where they are independent rows, proportions (accuracy, precision, recall) carry Wilson's score interval
//! and everything else the bootstrap over rows.
//!
//! Every measure is computed from example weights, so that a resample costs one pass over the examples.

mod curves;
mod estimates;
mod point;

use super::statistics::Interval;
use point::Prepared;
use serde::{Deserialize, Serialize};

/// Bins of the reliability table and of the calibration error, of equal width from 0 to 1.
pub const RELIABILITY_BINS: usize = 15;
/// Probabilities below this count as this in the log loss, which is infinite at 0.
pub const LEAST_PROBABILITY: f64 = 1e-7;
/// Resamples per interval.
pub const RESAMPLES: usize = 1000;

/// What a model answered to examples whose label is known.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answers {
    /// True labels, n.
    pub truth: Vec<u32>,
    /// Predicted labels, n.
    pub predicted: Vec<u32>,
    /// Class probabilities, `[n, classes]` row-major.
    pub probabilities: Vec<f32>,
    /// Names of the classes.
    pub class_names: Vec<String>,
}

/// What is drawn together when resampling: one number per example, equal numbers being drawn together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Units {
    /// Unit of each example, from 0 without gaps.
    pub unit: Vec<usize>,
    /// Number of units.
    pub count: usize,
    /// What a unit is, for people: `row`, `block of 1 d`, `group`.
    pub name: String,
}

impl Units {
    /// Every example on its own.
    pub fn rows(examples: usize) -> Units {
        Units {
            unit: (0..examples).collect(),
            count: examples,
            name: "row".into(),
        }
    }

    /// Examples with equal keys together.
    pub fn keyed<K: Ord + Clone>(keys: &[K], name: &str) -> Units {
        let mut distinct = keys.to_vec();
        distinct.sort();
        distinct.dedup();
        let unit = keys
            .iter()
            .map(|key| distinct.binary_search(key).unwrap_or(0))
            .collect();
        Units {
            unit,
            count: distinct.len(),
            name: name.to_owned(),
        }
    }

    /// Whether the units are single examples.
    pub fn are_rows(&self) -> bool {
        self.count == self.unit.len()
    }
}

/// A measure with the interval that holds its true value in 95 of 100 samplings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The measure on these examples.
    pub value: f64,
    /// Its interval; `None` when there is nothing to resample.
    pub interval: Option<Interval>,
}

/// Measures of one class against the rest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassMetrics {
    /// Name of the class.
    pub name: String,
    /// Examples of the class.
    pub support: u64,
    /// Right among those predicted as this class; 0 when none was predicted.
    pub precision: Estimate,
    /// Found among those of this class; 0 when there is none.
    pub recall: Estimate,
    /// Harmonic mean of both.
    pub f1: Estimate,
    /// Area under the ROC curve; `None` when the class or the rest is absent.
    pub roc_auc: Option<Estimate>,
    /// The ROC curve, thinned.
    pub roc: Vec<RocPoint>,
}

/// A point of a ROC curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RocPoint {
    /// False alarms among the rest.
    pub false_positive_rate: f64,
    /// Hits among the class.
    pub true_positive_rate: f64,
}

/// A bin of the reliability table: how sure the model was and how often it was right.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// Examples whose highest probability falls here.
    pub examples: u64,
    /// Mean of that probability.
    pub confidence: f64,
    /// Share of right answers.
    pub accuracy: f64,
}

/// All measures on one set of examples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Number of examples.
    pub examples: u64,
    /// What was resampled, and how many of it there were.
    pub resampled: String,
    /// Whether examples were taken for independent of each other, so that proportions carry Wilson's interval.
    #[serde(default)]
    pub independent: bool,
    /// Share of right answers.
    pub accuracy: Estimate,
    /// Mean of the recalls of the classes that occur.
    pub balanced_accuracy: Estimate,
    /// Mean of the F1 of the classes that occur or were predicted.
    pub macro_f1: Estimate,
    /// Mean of the one-against-the-rest areas that are defined; `None` when none is.
    pub roc_auc: Option<Estimate>,
    /// Expected calibration error over [`RELIABILITY_BINS`] bins of the highest probability.
    pub calibration_error: Estimate,
    /// Mean of -ln p(truth).
    pub log_loss: Estimate,
    /// Per class.
    pub classes: Vec<ClassMetrics>,
    /// Examples by true class (rows) and predicted class (columns).
    pub confusion: Vec<Vec<u64>>,
    /// [`RELIABILITY_BINS`] bins.
    pub reliability: Vec<ReliabilityBin>,
}

impl Metrics {
    /// The measures that describe all classes, by the names that gates and comparisons use; `None` where one is not
    /// defined on these examples.
    pub fn all_named(&self) -> [(&'static str, Option<Estimate>); 6] {
        [
            ("accuracy", Some(self.accuracy)),
            ("balanced_accuracy", Some(self.balanced_accuracy)),
            ("f1", Some(self.macro_f1)),
            ("roc_auc", self.roc_auc),
            ("calibration_error", Some(self.calibration_error)),
            ("log_loss", Some(self.log_loss)),
        ]
    }

    /// The measure of that name, where there is one and it is defined.
    pub fn named(&self, name: &str) -> Option<Estimate> {
        self.all_named()
            .into_iter()
            .find_map(|(measure, value)| value.filter(|_| measure == name))
    }
}

/// Why measures cannot be computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetricsError {
    /// There is nothing to measure.
    #[error("there are no examples")]
    Empty,
    /// The parts of the answers do not belong together.
    #[error(
        "{labels} labels, {predicted} predictions, {probabilities} probabilities and {units} units do not fit {classes} classes"
    )]
    Shape {
        /// True labels.
        labels: usize,
        /// Predicted labels.
        predicted: usize,
        /// Probabilities.
        probabilities: usize,
        /// Units.
        units: usize,
        /// Classes.
        classes: usize,
    },
    /// A label has no class.
    #[error("label {label} is not below the number of classes")]
    Label {
        /// The label.
        label: u32,
    },
}

impl Metrics {
    /// Measures answers. Cost: [`RESAMPLES`] passes over n × classes values.
    ///
    /// # Errors
    /// [`MetricsError`] when there is nothing to measure or the parts do not fit each other.
    pub fn measure(answers: &Answers, units: &Units) -> Result<Metrics, MetricsError> {
        check(answers, units)?;
        Ok(estimates::metrics(&Prepared::new(answers), units))
    }
}

fn check(answers: &Answers, units: &Units) -> Result<(), MetricsError> {
    let (labels, classes) = (answers.truth.len(), answers.class_names.len());
    if labels == 0 || classes == 0 {
        return Err(MetricsError::Empty);
    }
    let (predicted, probabilities) = (answers.predicted.len(), answers.probabilities.len());
    if predicted != labels || probabilities != labels * classes || units.unit.len() != labels {
        return Err(MetricsError::Shape {
            labels,
            predicted,
            probabilities,
            units: units.unit.len(),
            classes,
        });
    }
    match answers
        .truth
        .iter()
        .chain(&answers.predicted)
        .find(|&&label| label as usize >= classes)
    {
        Some(&label) => Err(MetricsError::Label { label }),
        None => Ok(()),
    }
}
