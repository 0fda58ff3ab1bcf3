//! What thresholds rest on, to be read by people.

use std::fmt;

use serde::Serialize;

use super::rate::{self, BlockScore, Rate};
use super::timeline::Timeline;
use crate::recipe;

/// How one channel, or the predictions, came to its threshold.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SeriesAccount {
    /// The channel's name, or `predictions`.
    pub name: String,
    /// A window with a higher score has drifted.
    pub threshold: f32,
    /// Highest score a full window can have; none is higher than one with all values in the bin that
    /// is rarest in training.
    pub ceiling: f32,
    /// The highest score of each block, in order of time.
    pub block_scores: Vec<f32>,
    /// The score of every window.
    #[serde(skip)]
    scores: Vec<BlockScore>,
}

impl SeriesAccount {
    pub(super) fn new(
        name: &str,
        scores: Vec<BlockScore>,
        wanted: f64,
        ceiling: Option<f32>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            threshold: rate::threshold(scores.iter().copied(), wanted),
            ceiling: ceiling.unwrap_or(f32::INFINITY),
            block_scores: highest_of_blocks(&scores),
            scores,
        }
    }

    /// The threshold that the windows give which are not left out.
    fn threshold_without(&self, left_out: &[bool], wanted: f64) -> f32 {
        let both = self.scores.iter().zip(left_out);
        rate::threshold(both.filter(|(_, out)| !**out).map(|(one, _)| *one), wanted)
    }

    /// Whether hardly any window could raise the flag: the blocks themselves are as far from each
    /// other as a window can be.
    pub fn is_blunt(&self) -> bool {
        self.threshold > 0.9 * self.ceiling
    }
}

fn highest_of_blocks(scores: &[BlockScore]) -> Vec<f32> {
    let mut highest = Vec::new();
    for one in scores {
        if highest.len() <= one.block {
            highest.resize(one.block + 1, 0.0f32);
        }
        highest[one.block] = highest[one.block].max(one.score);
    }
    highest
}

/// What thresholds do on data they do not know of: each block is judged by those from the windows that share no input
/// with its windows. They are fewer than the blocks of the baseline, so that the share is rather too high.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct HeldOut {
    /// Share of windows that would have raised some flag, with the interval for as many whole blocks, rounded up.
    pub rate: Rate,
    /// Blocks judged.
    pub judged: usize,
    /// The fewest blocks that thresholds came from.
    pub fewest: usize,
    /// The most.
    pub most: usize,
}

/// Whose answers the windows' predictions are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answers {
    /// Of models that had not learnt from the window's blocks: what a device sees.
    Unseen,
    /// Of the model to the data it learnt from: surer than what a device sees, so that the threshold may be too low.
    Seen,
}

/// How a baseline came about. `Display` writes it as a short table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Account {
    /// Length of a window.
    pub window_ms: u64,
    /// Length of a block.
    pub block_ms: u64,
    /// Inputs in the fullest window.
    pub inputs_per_window: usize,
    /// Blocks with at least one full window.
    pub blocks: usize,
    /// Windows scored.
    pub windows: usize,
    /// Blocks that may lie above the threshold as a whole.
    pub blocks_above: usize,
    /// Share of false alarms asked for, per window and channel.
    pub wanted_rate: f64,
    /// Share of false alarms that the blocks vouch for, per window and channel.
    pub rate: Rate,
    /// What thresholds would have done on data they do not know of.
    pub any_flag: Option<HeldOut>,
    /// Whose answers the windows' predictions are.
    pub answers: Answers,
    /// The channels in order.
    pub channels: Vec<SeriesAccount>,
    /// The distribution of predictions.
    pub predictions: SeriesAccount,
}

impl Account {
    pub(super) fn new(
        monitor: &recipe::Monitor,
        timeline: &Timeline,
        channels: Vec<SeriesAccount>,
        (predictions, answers): (SeriesAccount, Answers),
    ) -> Self {
        let all: Vec<&SeriesAccount> = channels.iter().chain([&predictions]).collect();
        Self {
            window_ms: monitor.window.ms,
            block_ms: monitor.block.ms,
            inputs_per_window: timeline.fullest,
            blocks: timeline.blocks,
            windows: timeline.candidates.len(),
            blocks_above: rate::allowed_blocks(timeline.blocks, monitor.false_alarm_rate),
            wanted_rate: monitor.false_alarm_rate,
            rate: rate::vouched(timeline.blocks, monitor.false_alarm_rate),
            any_flag: held_out(&all, monitor.false_alarm_rate, timeline),
            answers,
            channels,
            predictions,
        }
    }

    /// Whether the blocks are too few for the share asked for.
    pub fn falls_short(&self) -> bool {
        self.rate.expected > self.wanted_rate + 1e-9
    }

    /// Blocks needed for the share asked for.
    pub fn blocks_needed(&self) -> usize {
        (1.0 / self.wanted_rate - 1.0 - 1e-9).ceil().max(1.0) as usize
    }
}

/// Fewest blocks whose share of flags is worth a number.
const FEWEST_JUDGED: usize = 3;

/// Leaves each block out of the thresholds too, with every window that shares an input with it, and asks which of its
/// windows would have raised a flag. A block that leaves no other is not judged.
fn held_out(series: &[&SeriesAccount], wanted: f64, timeline: &Timeline) -> Option<HeldOut> {
    let left_out = (0..timeline.blocks).map(|block| timeline.shares_inputs_with(block));
    let judged: Vec<Judged> = left_out
        .enumerate()
        .filter_map(|(block, left_out)| judged(series, wanted, block, &left_out))
        .collect();
    if judged.len() < FEWEST_JUDGED {
        return None;
    }
    let shares: f64 = judged.iter().map(|one| one.flagged).sum();
    let whole = rate::of_trials((shares.ceil() as usize).min(judged.len()), judged.len());
    Some(HeldOut {
        rate: Rate {
            expected: shares / judged.len() as f64,
            ..whole
        },
        judged: judged.len(),
        fewest: judged.iter().map(|one| one.blocks).min().unwrap_or(0),
        most: judged.iter().map(|one| one.blocks).max().unwrap_or(0),
    })
}

struct Judged {
    /// Share of the block's windows above some threshold.
    flagged: f64,
    /// Blocks that the thresholds came from.
    blocks: usize,
}

fn judged(
    series: &[&SeriesAccount],
    wanted: f64,
    block: usize,
    left_out: &[bool],
) -> Option<Judged> {
    let windows = &series.first()?.scores;
    let kept = windows.iter().zip(left_out).filter(|(_, out)| !**out);
    let mut blocks: Vec<usize> = kept.map(|(one, _)| one.block).collect();
    blocks.dedup();
    if blocks.is_empty() {
        return None;
    }
    let thresholds: Vec<f32> = series
        .iter()
        .map(|one| one.threshold_without(left_out, wanted))
        .collect();
    let of_block: Vec<usize> = (0..windows.len())
        .filter(|&window| windows[window].block == block)
        .collect();
    let raises = |&&window: &&usize| {
        let mut both = series.iter().zip(&thresholds);
        both.any(|(one, &threshold)| one.scores[window].score > threshold)
    };
    Some(Judged {
        flagged: of_block.iter().filter(raises).count() as f64 / of_block.len().max(1) as f64,
        blocks: blocks.len(),
    })
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Drift thresholds from {} blocks of training data ({} windows of {} inputs)",
            self.blocks, self.windows, self.inputs_per_window
        )?;
        writeln!(
            f,
            "  {:<20} {:>9}  {:>8}  highest score of each block",
            "", "threshold", "possible"
        )?;
        for series in self.channels.iter().chain([&self.predictions]) {
            write_series(f, series)?;
        }
        self.write_rates(f)
    }
}

impl Account {
    fn write_rates(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rate {
            expected,
            lower,
            upper,
        } = self.rate;
        let (expected, lower, upper) = (percent(expected), percent(lower), percent(upper));
        let wanted = percent(self.wanted_rate);
        writeln!(
            f,
            "  False alarms per window and channel: at most {expected} expected, 95 % interval {lower} to {upper}; {wanted} asked for."
        )?;
        if self.falls_short() {
            writeln!(
                f,
                "  {} blocks cannot vouch for {wanted}: that takes {}. The thresholds are the highest scores seen.",
                self.blocks,
                self.blocks_needed()
            )?;
        }
        if let Some(held_out) = &self.any_flag {
            self.write_held_out(f, held_out)?;
        }
        match self.answers {
            Answers::Unseen => writeln!(
                f,
                "  Predictions were scored with the answers of models that had not learnt from the window's blocks."
            ),
            Answers::Seen => writeln!(
                f,
                "  Predictions were scored with the model's answers to data it learnt from: their threshold may be too low."
            ),
        }
    }

    fn write_held_out(&self, f: &mut fmt::Formatter<'_>, held_out: &HeldOut) -> fmt::Result {
        let Rate {
            expected,
            lower,
            upper,
        } = held_out.rate;
        let (expected, lower, upper) = (percent(expected), percent(lower), percent(upper));
        let blocks = match (held_out.fewest, held_out.most) {
            (fewest, most) if fewest == most => fewest.to_string(),
            (fewest, most) => format!("{fewest} to {most}"),
        };
        writeln!(
            f,
            "  With thresholds from the {blocks} of {} blocks that share no data with it, {expected} of a block's windows would have raised some flag (95 %: {lower} to {upper}); thresholds from all blocks raise rather fewer.",
            self.blocks
        )
    }
}

/// Block scores shown in a line.
const SHOWN: usize = 8;

fn write_series(f: &mut fmt::Formatter<'_>, series: &SeriesAccount) -> fmt::Result {
    write!(
        f,
        "  {:<20} {:>9.3}  {:>8.2} ",
        series.name, series.threshold, series.ceiling
    )?;
    for score in series.block_scores.iter().take(SHOWN) {
        write!(f, " {score:.2}")?;
    }
    if series.block_scores.len() > SHOWN {
        write!(f, " and {} more", series.block_scores.len() - SHOWN)?;
    }
    if series.is_blunt() {
        write!(f, "  (blocks differ so much that drift can hardly be told)")?;
    }
    writeln!(f)
}

fn percent(share: f64) -> String {
    if share < 0.01 {
        format!("{:.1} %", 100.0 * share)
    } else {
        format!("{:.0} %", 100.0 * share)
    }
}
