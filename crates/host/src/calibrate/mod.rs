//! Baseline and drift thresholds from training data, by blocks.
//!
//! Runs on the workstation. What a device compares its windows with is the distribution of the
//! training data; how far a window may be from it without anything being wrong is learnt from the
//! training data too. Samples that follow each other are alike, so a threshold for independent
//! samples cries wolf. Instead:
//!
//! 1. The inputs are put in order and windows as long as a device's slide over them, 24 starts to a
//!    window's length, for a device's window may begin at any time of day.
//! 2. Every full window is scored against the rest of the data, without the window and as much
//!    around it as makes a block, with edges and counts taken from that rest: as the device will
//!    score a window that was not in the training data, and with the device's own code.
//! 3. The threshold is the lowest score that keeps the share of windows above it, block by block,
//!    within what is wanted, counting one block more than there is as wholly above: see [`rate`].
//!    With few blocks it is the highest score of all.
//! 4. If the blocks are exchangeable with those to come, no more than that share of their windows is
//!    above it. How sure that is depends on the number of blocks; few say little, and the account
//!    says so.
//!
//! Predictions are scored like a channel. The reference is the model's answers to the data it learnt from, as on the
//! device; a window's answers are those of models that had not learnt from its block, for a device's windows are
//! new to its model. Where no such answers are given the model's own stand in, and the account says so.
//!
//! The account also judges each block by thresholds from the blocks that share no data with it: windows slide, so
//! that those of the blocks before and after it know some of its data and are left out.
//!
//! The statistic is the population stability index on the training quantiles. What makes a window
//! unusual in such data is less a shifted mean than a part of the range it never visits (a night
//! without fresh air), and this index weighs an empty bin by its logarithm where distances between
//! distribution functions see only one bin's share.
//!
//! Cost: one sort per channel, then one pass over its values per window; at most 2,000 windows.
//!
//! **Architecture invariants.** Looks at training and validation data, never at a test. Scores come
//! from `dunlin-monitor`, so that a threshold means on the device what it means here.

mod account;
pub mod rate;
mod score;
#[cfg(test)]
mod tests;
mod timeline;

use dunlin_wire::baseline::{
    ChannelReference, FalseAlarms, MAX_BASELINE_BYTES, Reference, Statistic,
};
use dunlin_wire::limits::{MAX_CHANNELS, MAX_LABELS};
use thiserror::Error;

use crate::data::{Examples, InputSchema};
use crate::recipe;
use crate::words::counted;

pub use account::{Account, Answers, HeldOut, SeriesAccount};
use rate::BlockScore;
use score::{Predictions, SortedChannel, ceiling};
use timeline::{FULL, Lengths, Timeline};

/// Training data with what the model says to it.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// Inputs, with time and group.
    pub examples: &'a Examples,
    /// The model's answer to each; the labels themselves are a stand-in for a good model's answers.
    pub predicted: &'a [u32],
    /// The answers of models that had not learnt from the input's block, where there are some.
    pub unseen: Option<&'a [u32]>,
}

/// A baseline section, and how it came about.
#[derive(Debug, Clone)]
pub struct Calibration {
    /// The section for the bundle: [`dunlin_wire::baseline`].
    pub section: Vec<u8>,
    /// What the thresholds rest on, to be read by people; also as JSON.
    pub account: Account,
}

/// Why data gives no baseline.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum CalibrateError {
    /// Nothing can be left out and compared with the rest.
    #[error(
        "{} make {}, and at least 2 are needed: give more data, a shorter window or a shorter block",
        counted(*inputs as u64, "input"), counted(*blocks as u64, "full block")
    )]
    TooFewBlocks {
        /// Blocks with a full window.
        blocks: usize,
        /// Inputs there are.
        inputs: usize,
    },
    /// A channel has no finite value.
    #[error("channel {channel} has no values")]
    NoValues {
        /// Its name.
        channel: String,
    },
    /// The recipe names a label that the data does not have.
    #[error("[monitor] reference: there is no label {label:?}")]
    UnknownLabel {
        /// The label.
        label: String,
    },
    /// More channels or labels than the format holds.
    #[error(
        "{channels} channels and {labels} labels; the baseline holds {MAX_CHANNELS} and {MAX_LABELS}"
    )]
    TooMany {
        /// Channels of the data.
        channels: usize,
        /// Labels of the data.
        labels: usize,
    },
    /// Parts of different shape, or predictions that do not match the inputs in number.
    #[error(
        "the parts differ in channels, steps or labels, or have other numbers of predictions than inputs"
    )]
    Mismatch,
}

/// Makes the baseline section for the data a model was trained and tuned on.
///
/// The first part is what the model was fitted to. Without unseen answers, its answers to the other parts are more
/// like those to come, so the threshold of the predictions is at least the one that the other parts' windows give.
///
/// # Errors
/// Each reason has its variant in [`CalibrateError`].
pub fn calibrate(
    parts: &[Part<'_>],
    monitor: &recipe::Monitor,
) -> Result<Calibration, CalibrateError> {
    let (schema, labels) = check(parts)?;
    let lengths = Lengths {
        window_ms: monitor.window.ms as i64,
        block_ms: monitor.block.ms.max(monitor.window.ms) as i64,
    };
    let timeline = Timeline::new(parts, &wanted_labels(&monitor.reference, labels)?, lengths)?;
    let wanted = monitor.false_alarm_rate;
    let mut channels = Vec::new();
    let mut series = Vec::new();
    for index in 0..schema.channels.len() {
        let named = (schema.channels[index].name.as_str(), schema.steps);
        let sorted = sorted_channel(parts, &timeline, index);
        let (reference, account) = of_channel(&sorted, &timeline, named, wanted)?;
        channels.push(reference);
        series.push(account);
    }
    let (prediction_counts, of_predictions) =
        of_predictions(parts, &timeline, labels.len(), wanted);
    let predictions = (of_predictions, answers(parts));
    let account = Account::new(monitor, &timeline, series, predictions);
    let reference = Reference {
        statistic: STATISTIC,
        window_ms: monitor.window.ms,
        minimum_samples: (FULL * timeline.fullest as f64).ceil() as u32,
        false_alarms: false_alarms(&account),
        channels: &channels,
        prediction_counts: &prediction_counts,
        prediction_threshold: account.predictions.threshold,
    };
    Ok(Calibration {
        section: encode(&reference),
        account,
    })
}

const STATISTIC: Statistic = Statistic::PSI;

fn answers(parts: &[Part<'_>]) -> Answers {
    match parts.iter().all(|part| part.unseen.is_some()) {
        true => Answers::Unseen,
        false => Answers::Seen,
    }
}

fn of_channel(
    sorted: &SortedChannel,
    timeline: &Timeline,
    (name, steps): (&str, usize),
    wanted: f64,
) -> Result<(ChannelReference, SeriesAccount), CalibrateError> {
    if sorted.len() == 0 {
        return Err(CalibrateError::NoValues {
            channel: name.to_owned(),
        });
    }
    let (edges, counts) = sorted.reference(&(0..0));
    let scores = scores(timeline, |candidate| sorted.score(STATISTIC, candidate));
    let highest = ceiling(STATISTIC, &counts, timeline.fullest * steps);
    let account = SeriesAccount::new(name, scores, wanted, highest);
    let threshold = account.threshold;
    Ok((
        ChannelReference {
            edges,
            counts,
            threshold,
        },
        account,
    ))
}

fn of_predictions(
    parts: &[Part<'_>],
    timeline: &Timeline,
    classes: usize,
    wanted: f64,
) -> (Vec<u32>, SeriesAccount) {
    let predictions = predictions(parts, timeline, classes);
    let counts = predictions.reference(&(0..0));
    let scores = scores(timeline, |candidate| {
        predictions.score(STATISTIC, candidate)
    });
    let unseen = scores_outside_first_part(timeline, &scores);
    let highest = ceiling(STATISTIC, &counts, timeline.fullest);
    let mut account = SeriesAccount::new("predictions", scores, wanted, highest);
    if !unseen.is_empty() {
        account.threshold = account
            .threshold
            .max(rate::threshold(unseen.into_iter(), wanted));
    }
    (counts, account)
}

fn scores_outside_first_part(timeline: &Timeline, scores: &[BlockScore]) -> Vec<BlockScore> {
    let outside = |candidate: &timeline::Candidate| {
        timeline.places[candidate.inside.clone()]
            .iter()
            .all(|place| place.part > 0)
    };
    let both = timeline.candidates.iter().zip(scores);
    both.filter(|(candidate, _)| outside(candidate))
        .map(|(_, score)| *score)
        .collect()
}

fn check<'a>(parts: &[Part<'a>]) -> Result<(&'a InputSchema, &'a [String]), CalibrateError> {
    let first = parts
        .first()
        .ok_or(CalibrateError::TooFewBlocks {
            blocks: 0,
            inputs: 0,
        })?
        .examples;
    let (channels, labels) = (first.schema.channels.len(), first.label_names.len());
    if channels > MAX_CHANNELS || labels > MAX_LABELS {
        return Err(CalibrateError::TooMany { channels, labels });
    }
    let alike = |part: &Part<'_>| {
        let Part {
            examples,
            predicted,
            unseen,
        } = part;
        examples.schema == first.schema
            && examples.label_names == first.label_names
            && predicted.len() == examples.len()
            && unseen.is_none_or(|unseen| unseen.len() == examples.len())
    };
    if parts.iter().all(alike) {
        Ok((&first.schema, &first.label_names))
    } else {
        Err(CalibrateError::Mismatch)
    }
}

fn wanted_labels(reference: &[String], labels: &[String]) -> Result<Vec<u32>, CalibrateError> {
    let number = |label: &String| {
        labels
            .iter()
            .position(|name| name == label)
            .map(|index| index as u32)
    };
    reference
        .iter()
        .map(|label| {
            number(label).ok_or_else(|| CalibrateError::UnknownLabel {
                label: label.clone(),
            })
        })
        .collect()
}

fn sorted_channel(parts: &[Part<'_>], timeline: &Timeline, channel: usize) -> SortedChannel {
    let Some(schema) = parts.first().map(|part| &part.examples.schema) else {
        return SortedChannel::new(Vec::new(), 1);
    };
    let of_input = |input: &[f32]| {
        input
            .iter()
            .skip(channel)
            .step_by(schema.channels.len())
            .copied()
            .collect::<Vec<f32>>()
    };
    let inputs = timeline
        .places
        .iter()
        .filter_map(|place| parts[place.part].examples.input(place.index));
    SortedChannel::new(inputs.flat_map(of_input).collect(), schema.steps)
}

fn predictions(parts: &[Part<'_>], timeline: &Timeline, classes: usize) -> Predictions {
    let said = |place: &timeline::Place| parts[place.part].predicted[place.index];
    let unseen = |place: &timeline::Place| {
        let part = &parts[place.part];
        part.unseen.unwrap_or(part.predicted)[place.index]
    };
    Predictions {
        said: timeline.places.iter().map(said).collect(),
        unseen: timeline.places.iter().map(unseen).collect(),
        classes,
    }
}

fn scores(
    timeline: &Timeline,
    score: impl Fn(&timeline::Candidate) -> Option<f32>,
) -> Vec<BlockScore> {
    let of = |candidate: &timeline::Candidate| BlockScore {
        block: candidate.block,
        score: score(candidate).unwrap_or_default(),
    };
    timeline.candidates.iter().map(of).collect()
}

fn false_alarms(account: &Account) -> FalseAlarms {
    FalseAlarms {
        target: account.wanted_rate as f32,
        expected: account.rate.expected as f32,
        lower: account.rate.lower as f32,
        upper: account.rate.upper as f32,
        blocks: account.blocks as u32,
        exceedances: account.blocks_above as u32,
    }
}

fn encode(reference: &Reference<'_>) -> Vec<u8> {
    let mut section = vec![0; MAX_BASELINE_BYTES];
    let length = reference
        .encode(&mut section)
        .expect("the largest section's length was given");
    section.truncate(length);
    section
}
