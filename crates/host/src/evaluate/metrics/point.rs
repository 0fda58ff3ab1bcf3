//! All measures of weighted examples in one pass, and their resamples.

use super::{Answers, LEAST_PROBABILITY, RELIABILITY_BINS, RESAMPLES, Units};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const RESAMPLING_SEED: u64 = 0x0064_756e_6c69_6e00;

/// The measures that are bootstrapped, in one place so that a resample fills them all.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Point {
    pub(super) accuracy: f64,
    pub(super) balanced_accuracy: f64,
    pub(super) macro_f1: f64,
    pub(super) roc_auc: Option<f64>,
    pub(super) calibration_error: f64,
    pub(super) log_loss: f64,
    pub(super) precision: Vec<Option<f64>>,
    pub(super) recall: Vec<Option<f64>>,
    pub(super) f1: Vec<f64>,
    pub(super) class_auc: Vec<Option<f64>>,
}

/// What does not change between resamples.
pub(super) struct Prepared<'a> {
    pub(super) answers: &'a Answers,
    /// Per class: examples by falling probability, with `true` at the end of a run of equal ones.
    pub(super) ranked: Vec<Vec<Ranked>>,
    pub(super) bin: Vec<usize>,
    pub(super) confidence: Vec<f64>,
    surprise: Vec<f64>,
}

pub(super) struct Ranked {
    pub(super) example: usize,
    pub(super) ends_tie: bool,
}

impl<'a> Prepared<'a> {
    pub(super) fn new(answers: &'a Answers) -> Prepared<'a> {
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

    pub(super) fn point(&self, weights: &[f64]) -> Point {
        let confusion = self.confusion(weights);
        let (classes, total) = (0..confusion.len(), weights.iter().sum::<f64>());
        let right: f64 = classes.clone().map(|class| confusion[class][class]).sum();
        let of_each = |measure: fn(&[Vec<f64>], usize) -> Option<f64>| -> Vec<Option<f64>> {
            classes
                .clone()
                .map(|class| measure(&confusion, class))
                .collect()
        };
        let (precision, recall, f1) = (of_each(precision), of_each(recall), of_each(f1));
        let class_auc: Vec<Option<f64>> = classes
            .clone()
            .map(|class| self.auc(class, weights))
            .collect();
        Point {
            accuracy: right / total,
            balanced_accuracy: mean_of_defined(&recall).unwrap_or(0.0),
            macro_f1: mean_of_defined(&f1).unwrap_or(0.0),
            roc_auc: mean_of_defined(&class_auc),
            calibration_error: self.calibration_error(weights, total),
            log_loss: self.log_loss(weights, total),
            precision,
            recall,
            f1: f1.into_iter().map(Option::unwrap_or_default).collect(),
            class_auc,
        }
    }

    fn log_loss(&self, weights: &[f64], total: f64) -> f64 {
        let losses = self.surprise.iter().zip(weights);
        losses
            .map(|(surprise, weight)| surprise * weight)
            .sum::<f64>()
            / total
    }

    pub(super) fn confusion(&self, weights: &[f64]) -> Vec<Vec<f64>> {
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

    pub(super) fn resample(&self, units: &Units) -> Vec<Point> {
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

fn support(confusion: &[Vec<f64>], class: usize) -> f64 {
    confusion[class].iter().sum()
}

fn predicted(confusion: &[Vec<f64>], class: usize) -> f64 {
    confusion.iter().map(|row| row[class]).sum()
}

fn precision(confusion: &[Vec<f64>], class: usize) -> Option<f64> {
    ratio(confusion[class][class], predicted(confusion, class))
}

fn recall(confusion: &[Vec<f64>], class: usize) -> Option<f64> {
    ratio(confusion[class][class], support(confusion, class))
}

/// Defined for classes that occur or were predicted.
fn f1(confusion: &[Vec<f64>], class: usize) -> Option<f64> {
    ratio(
        2.0 * confusion[class][class],
        support(confusion, class) + predicted(confusion, class),
    )
}

fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

fn mean_of_defined(values: &[Option<f64>]) -> Option<f64> {
    let defined: Vec<f64> = values.iter().flatten().copied().collect();
    (!defined.is_empty()).then(|| defined.iter().sum::<f64>() / defined.len() as f64)
}
