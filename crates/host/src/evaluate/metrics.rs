//! Measures of a classifier's answers, with intervals.
//!
//! Proportions (accuracy, precision, recall) carry Wilson score intervals, which take examples for independent.
//! Everything else carries a percentile bootstrap; its unit of resampling is given by [`Units`], because rows of a
//! time series repeat each other and a bootstrap of rows is then far too sure of itself.
//!
//! Every measure is computed from example weights, so that a resample costs one pass over the examples.

use super::statistics::{Interval, quantile, wilson};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Bins of the reliability table and of the calibration error, of equal width from 0 to 1.
pub const RELIABILITY_BINS: usize = 15;
/// Probabilities below this count as this in the log loss, which is infinite at 0.
pub const LEAST_PROBABILITY: f64 = 1e-7;
/// Resamples per interval.
pub const RESAMPLES: usize = 1000;
const RESAMPLING_SEED: u64 = 0x0064_756e_6c69_6e00;
const CURVE_POINTS: usize = 200;

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
    /// Right among those predicted as this class (Wilson); 0 when none was predicted.
    pub precision: Estimate,
    /// Found among those of this class (Wilson); 0 when there is none.
    pub recall: Estimate,
    /// Harmonic mean of both (bootstrap).
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
    /// Share of right answers (Wilson: examples taken for independent).
    pub accuracy: Estimate,
    /// The same share with the interval of the bootstrap over units.
    pub accuracy_by_unit: Estimate,
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
        let prepared = Prepared::new(answers);
        let ones = vec![1.0; answers.truth.len()];
        let point = prepared.point(&ones);
        let resamples = prepared.resample(units);
        Ok(assemble(answers, units, &prepared, &point, &resamples))
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

/// The measures that are bootstrapped, in one place so that a resample fills them all.
#[derive(Debug, Clone, PartialEq)]
struct Point {
    accuracy: f64,
    balanced_accuracy: f64,
    macro_f1: f64,
    roc_auc: Option<f64>,
    calibration_error: f64,
    log_loss: f64,
    f1: Vec<f64>,
    class_auc: Vec<Option<f64>>,
}

/// What does not change between resamples.
struct Prepared<'a> {
    answers: &'a Answers,
    /// Per class: examples by falling probability, with `true` at the end of a run of equal ones.
    ranked: Vec<Vec<Ranked>>,
    bin: Vec<usize>,
    confidence: Vec<f64>,
    surprise: Vec<f64>,
}

struct Ranked {
    example: usize,
    ends_tie: bool,
}

impl<'a> Prepared<'a> {
    fn new(answers: &'a Answers) -> Prepared<'a> {
        let classes = answers.class_names.len();
        let rows: Vec<&[f32]> = answers.probabilities.chunks_exact(classes).collect();
        let confidence: Vec<f64> = rows
            .iter()
            .map(|row| row.iter().fold(0.0, |best, &p| f64::max(best, p.into())))
            .collect();
        let bin = confidence.iter().map(|&top| reliability_bin(top)).collect();
        let own =
            |(row, &label): (&&[f32], &u32)| row.get(label as usize).map_or(0.0, |&p| f64::from(p));
        let surprise = rows
            .iter()
            .zip(&answers.truth)
            .map(own)
            .map(|p| -p.clamp(LEAST_PROBABILITY, 1.0).ln())
            .collect();
        let ranked = (0..classes).map(|class| rank(&rows, class)).collect();
        Prepared {
            answers,
            ranked,
            bin,
            confidence,
            surprise,
        }
    }

    fn point(&self, weights: &[f64]) -> Point {
        let confusion = self.confusion(weights);
        let total: f64 = weights.iter().sum();
        let recalls = self
            .present(&confusion)
            .map(|class| recall(&confusion, class));
        let f1: Vec<f64> = (0..confusion.len())
            .map(|class| f1(&confusion, class))
            .collect();
        let seen = (0..confusion.len())
            .filter(|&class| support(&confusion, class) + predicted(&confusion, class) > 0.0);
        let class_auc: Vec<Option<f64>> = (0..confusion.len())
            .map(|class| self.auc(class, weights))
            .collect();
        Point {
            accuracy: (0..confusion.len())
                .map(|class| confusion[class][class])
                .sum::<f64>()
                / total,
            balanced_accuracy: mean(recalls).unwrap_or(0.0),
            macro_f1: mean(seen.map(|class| f1[class])).unwrap_or(0.0),
            roc_auc: mean(class_auc.iter().flatten().copied()),
            calibration_error: self.calibration_error(weights, total),
            log_loss: self
                .surprise
                .iter()
                .zip(weights)
                .map(|(surprise, weight)| surprise * weight)
                .sum::<f64>()
                / total,
            f1,
            class_auc,
        }
    }

    fn confusion(&self, weights: &[f64]) -> Vec<Vec<f64>> {
        let classes = self.answers.class_names.len();
        let mut counts = vec![vec![0.0; classes]; classes];
        for ((&truth, &predicted), &weight) in self
            .answers
            .truth
            .iter()
            .zip(&self.answers.predicted)
            .zip(weights)
        {
            counts[truth as usize][predicted as usize] += weight;
        }
        counts
    }

    fn present<'c>(&self, confusion: &'c [Vec<f64>]) -> impl Iterator<Item = usize> + 'c {
        (0..confusion.len()).filter(|&class| support(confusion, class) > 0.0)
    }

    /// Area by the trapezoid rule over ties, which is the Mann-Whitney statistic.
    fn auc(&self, class: usize, weights: &[f64]) -> Option<f64> {
        let (mut hits, mut alarms, mut area) = (0.0, 0.0, 0.0);
        let (mut tie_hits, mut tie_alarms) = (0.0, 0.0);
        for ranked in &self.ranked[class] {
            match self.answers.truth[ranked.example] as usize == class {
                true => tie_hits += weights[ranked.example],
                false => tie_alarms += weights[ranked.example],
            }
            if ranked.ends_tie {
                area += tie_alarms * (hits + tie_hits / 2.0);
                hits += tie_hits;
                alarms += tie_alarms;
                (tie_hits, tie_alarms) = (0.0, 0.0);
            }
        }
        (hits > 0.0 && alarms > 0.0).then(|| area / (hits * alarms))
    }

    fn calibration_error(&self, weights: &[f64], total: f64) -> f64 {
        let mut gaps = [0.0; RELIABILITY_BINS];
        for (example, &weight) in weights.iter().enumerate() {
            let right = self.answers.truth[example] == self.answers.predicted[example];
            gaps[self.bin[example]] +=
                weight * (f64::from(u8::from(right)) - self.confidence[example]);
        }
        gaps.iter().map(|gap| gap.abs()).sum::<f64>() / total
    }

    fn resample(&self, units: &Units) -> Vec<Point> {
        if units.count < 2 {
            return Vec::new();
        }
        let mut random = ChaCha8Rng::seed_from_u64(RESAMPLING_SEED);
        (0..RESAMPLES)
            .filter_map(|_| self.one_resample(units, &mut random))
            .collect()
    }

    fn one_resample(&self, units: &Units, random: &mut ChaCha8Rng) -> Option<Point> {
        let mut drawn = vec![0.0; units.count];
        for _ in 0..units.count {
            drawn[random.random_range(0..units.count)] += 1.0;
        }
        let weights: Vec<f64> = units.unit.iter().map(|&unit| drawn[unit]).collect();
        (weights.iter().sum::<f64>() > 0.0).then(|| self.point(&weights))
    }

    fn roc(&self, class: usize) -> Vec<RocPoint> {
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

    fn reliability(&self) -> Vec<ReliabilityBin> {
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

fn rank(rows: &[&[f32]], class: usize) -> Vec<Ranked> {
    let score = |example: usize| rows[example][class];
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by(|&a, &b| score(b).total_cmp(&score(a)));
    let ends = |place: usize| {
        order
            .get(place + 1)
            .is_none_or(|&next| score(next) != score(order[place]))
    };
    (0..order.len())
        .map(|place| Ranked {
            example: order[place],
            ends_tie: ends(place),
        })
        .collect()
}

fn reliability_bin(confidence: f64) -> usize {
    ((confidence * RELIABILITY_BINS as f64).ceil() as usize).clamp(1, RELIABILITY_BINS) - 1
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

fn support(confusion: &[Vec<f64>], class: usize) -> f64 {
    confusion[class].iter().sum()
}

fn predicted(confusion: &[Vec<f64>], class: usize) -> f64 {
    confusion.iter().map(|row| row[class]).sum()
}

fn recall(confusion: &[Vec<f64>], class: usize) -> f64 {
    ratio(confusion[class][class], support(confusion, class))
}

fn f1(confusion: &[Vec<f64>], class: usize) -> f64 {
    ratio(
        2.0 * confusion[class][class],
        support(confusion, class) + predicted(confusion, class),
    )
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

fn bootstrapped(
    value: f64,
    resamples: &[Point],
    measure: impl Fn(&Point) -> Option<f64>,
) -> Estimate {
    let mut values: Vec<f64> = resamples.iter().filter_map(measure).collect();
    values.sort_by(f64::total_cmp);
    let interval = (values.len() > RESAMPLES / 2).then(|| Interval {
        low: quantile(&values, 0.025).min(value),
        high: quantile(&values, 0.975).max(value),
    });
    Estimate { value, interval }
}

fn proportion(part: u64, whole: u64) -> Estimate {
    Estimate {
        value: ratio(part as f64, whole as f64),
        interval: wilson(part, whole),
    }
}

fn assemble(
    answers: &Answers,
    units: &Units,
    prepared: &Prepared,
    point: &Point,
    resamples: &[Point],
) -> Metrics {
    let ones = vec![1.0; answers.truth.len()];
    let whole = |row: &Vec<f64>| row.iter().map(|&count| count as u64).collect();
    let confusion: Vec<Vec<u64>> = prepared.confusion(&ones).iter().map(whole).collect();
    let right = (0..confusion.len())
        .map(|class| confusion[class][class])
        .sum();
    let examples = answers.truth.len() as u64;
    let all = |value, measure: fn(&Point) -> f64| {
        bootstrapped(value, resamples, |point| Some(measure(point)))
    };
    Metrics {
        examples,
        resampled: format!("{} × {}", units.count, units.name),
        accuracy: proportion(right, examples),
        accuracy_by_unit: all(point.accuracy, |point| point.accuracy),
        balanced_accuracy: all(point.balanced_accuracy, |point| point.balanced_accuracy),
        macro_f1: all(point.macro_f1, |point| point.macro_f1),
        roc_auc: point
            .roc_auc
            .map(|value| bootstrapped(value, resamples, |point| point.roc_auc)),
        calibration_error: all(point.calibration_error, |point| point.calibration_error),
        log_loss: all(point.log_loss, |point| point.log_loss),
        classes: (0..confusion.len())
            .map(|class| class_metrics(class, answers, &confusion, prepared, point, resamples))
            .collect(),
        confusion,
        reliability: prepared.reliability(),
    }
}

fn class_metrics(
    class: usize,
    answers: &Answers,
    confusion: &[Vec<u64>],
    prepared: &Prepared,
    point: &Point,
    resamples: &[Point],
) -> ClassMetrics {
    let right = confusion[class][class];
    let support = confusion[class].iter().sum();
    let predicted = confusion.iter().map(|row| row[class]).sum();
    ClassMetrics {
        name: answers.class_names[class].clone(),
        support,
        precision: proportion(right, predicted),
        recall: proportion(right, support),
        f1: bootstrapped(point.f1[class], resamples, |point| {
            point.f1.get(class).copied()
        }),
        roc_auc: point.class_auc[class].map(|value| {
            bootstrapped(value, resamples, |point| {
                point.class_auc.get(class).copied().flatten()
            })
        }),
        roc: prepared.roc(class),
    }
}
