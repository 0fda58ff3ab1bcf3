//! Answers of models that had not learnt from what they answer to.
//!
//! The blocks of the data, or its groups, are dealt to a few folds; for each fold a model learns from the others and
//! answers the fold. What such a model says of a day it never saw is what a device's model will say of the days to
//! come, where the answers to data it learnt from are surer.

use super::{TrainError, Trained, train};
use crate::data::{Examples, Splits};
use crate::recipe::{Algorithm, Recipe};
use std::collections::BTreeSet;

/// Models trained at most.
pub const FOLDS: usize = 5;
/// Multiplications of one training at most, counted from above, so that all folds take some seconds. What is beyond
/// depends on recipe and data alone, so that the same bundle comes out on every machine.
pub const MOST_WORK: u64 = 4_000_000_000;

/// The answers to each part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnseenAnswers {
    /// To the training part.
    pub train: Vec<u32>,
    /// To the validation part.
    pub validation: Vec<u32>,
}

/// What the training of the whole took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Passes over the data; 0 for algorithms without passes.
    pub passes: usize,
    /// Values the model's core sees.
    pub values: usize,
}

/// Trains as the recipe says without each fold in turn and lets the model answer it. Cost: up to [`FOLDS`] trainings.
///
/// `None` where that would take more than [`MOST_WORK`], where there is only one block, or where a part without a fold
/// is nothing to learn from.
///
/// # Errors
/// [`TrainError`] when a library fails.
pub fn unseen_answers(
    recipe: &Recipe,
    splits: &Splits,
    effort: Effort,
) -> Result<Option<UnseenAnswers>, TrainError> {
    let folds = Folds::of(recipe, splits);
    if folds.count < 2 || work(recipe, splits, effort) > MOST_WORK {
        return Ok(None);
    }
    let mut answers = UnseenAnswers {
        train: vec![0; splits.train.len()],
        validation: vec![0; splits.validation.len()],
    };
    for fold in 0..folds.count {
        let trained = match train(recipe, &folds.without(fold, splits), &mut |_| ()) {
            Ok(trained) => trained,
            Err(TrainError::Library { what, reason }) => {
                return Err(TrainError::Library { what, reason });
            }
            Err(_) => return Ok(None),
        };
        let parts = [
            (&splits.train, &folds.train, &mut answers.train),
            (
                &splits.validation,
                &folds.validation,
                &mut answers.validation,
            ),
        ];
        for (examples, of, said) in parts {
            let asked: Vec<usize> = (0..of.len()).filter(|&index| of[index] == fold).collect();
            answer(&trained, examples, &asked, said)?;
        }
    }
    Ok(Some(answers))
}

/// Writes the model's answers to the examples at `asked` into their places.
fn answer(
    trained: &Trained,
    examples: &Examples,
    asked: &[usize],
    said: &mut [u32],
) -> Result<(), TrainError> {
    if asked.is_empty() {
        return Ok(());
    }
    let probabilities = trained.probabilities(&picked(examples, asked).inputs)?;
    let rows = probabilities.chunks_exact(examples.label_names.len().max(1));
    for (&index, row) in asked.iter().zip(rows) {
        said[index] = likeliest(row);
    }
    Ok(())
}

/// The fold of each example.
struct Folds {
    train: Vec<usize>,
    validation: Vec<usize>,
    count: usize,
}

impl Folds {
    /// Neighbouring groups, or blocks of time where there is one group, in folds of about equal numbers.
    fn of(recipe: &Recipe, splits: &Splits) -> Folds {
        let block_ms = i64::try_from(recipe.monitor.block.ms).unwrap_or(i64::MAX);
        let parts = [&splits.train, &splits.validation];
        let groups: BTreeSet<u32> = parts.iter().flat_map(|part| &part.group).copied().collect();
        let keys = parts.map(|part| match groups.len() {
            0 | 1 => blocks(part, block_ms.max(1)),
            _ => part.group.iter().map(|&group| i64::from(group)).collect(),
        });
        let distinct: Vec<i64> = BTreeSet::from_iter(keys.iter().flatten().copied())
            .into_iter()
            .collect();
        let count = FOLDS.min(distinct.len());
        let fold = |key: &i64| distinct.partition_point(|one| one < key) * count / distinct.len();
        let [train, validation] = keys.map(|keys| keys.iter().map(fold).collect());
        Folds {
            train,
            validation,
            count,
        }
    }

    fn without(&self, fold: usize, splits: &Splits) -> Splits {
        let others = |of: &[usize]| -> Vec<usize> {
            (0..of.len()).filter(|&index| of[index] != fold).collect()
        };
        Splits {
            train: picked(&splits.train, &others(&self.train)),
            validation: picked(&splits.validation, &others(&self.validation)),
            tests: Vec::new(),
            data_hash: splits.data_hash.clone(),
            report: splits.report.clone(),
        }
    }
}

/// The block of each example; examples without times follow each other.
fn blocks(examples: &Examples, block_ms: i64) -> Vec<i64> {
    let timed = examples.time_ms.windows(2).any(|pair| pair[0] != pair[1]);
    let period_ms = examples.schema.sample_period_ms.max(1) as i64;
    let time = |index: usize| match timed {
        true => examples.time_ms[index],
        false => index as i64 * period_ms,
    };
    (0..examples.len())
        .map(|index| time(index).div_euclid(block_ms))
        .collect()
}

fn picked(examples: &Examples, indices: &[usize]) -> Examples {
    let mut picked = Examples::new(examples.schema.clone(), examples.label_names.clone());
    for &index in indices {
        picked
            .inputs
            .extend_from_slice(examples.input(index).unwrap_or_default());
        picked.labels.push(examples.labels[index]);
        picked.time_ms.push(examples.time_ms[index]);
        picked.group.push(examples.group[index]);
    }
    picked
}

/// The first class of highest probability, as the exported graph takes it.
fn likeliest(probabilities: &[f32]) -> u32 {
    let mut best = 0;
    for (class, &probability) in probabilities.iter().enumerate() {
        if probability > probabilities[best] {
            best = class;
        }
    }
    best as u32
}

/// Multiplications or comparisons of one training, from above.
fn work(recipe: &Recipe, splits: &Splits, effort: Effort) -> u64 {
    let rows = (splits.train.len() + splits.validation.len()) as u64;
    let (width, classes) = (effort.values, splits.train.label_names.len());
    let settings = &recipe.train;
    let of_one = match settings.algorithm {
        Algorithm::Mlp => {
            let widths: Vec<usize> = std::iter::once(width)
                .chain(settings.mlp.hidden.iter().copied())
                .chain([classes])
                .collect();
            let weights: u64 = widths
                .windows(2)
                .map(|pair| pair[0] as u64 * pair[1] as u64)
                .fold(0, u64::saturating_add);
            weights.saturating_mul(effort.passes as u64)
        }
        Algorithm::Logistic => {
            (width as u64 * classes as u64).saturating_mul(settings.logistic.max_iterations)
        }
        Algorithm::Forest => width as u64 * settings.forest.trees as u64,
    };
    of_one.saturating_mul(rows)
}
