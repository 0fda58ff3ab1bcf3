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

    /// The threshold that the other blocks give.
    fn threshold_without(&self, block: usize, wanted: f64) -> f32 {
        rate::threshold(
            self.scores.iter().copied().filter(|one| one.block != block),
            wanted,
        )
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
    /// Share of windows that would have raised some flag under thresholds from the other blocks,
    /// with the interval for as many whole blocks, rounded up.
    pub any_flag: Option<Rate>,
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
        predictions: SeriesAccount,
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
            any_flag: any_flag(&all, monitor.false_alarm_rate, timeline.blocks),
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

/// Leaves each block out of the thresholds too, and asks which of its windows would have raised a
/// flag.
fn any_flag(series: &[&SeriesAccount], wanted: f64, blocks: usize) -> Option<Rate> {
    if blocks < 3 {
        return None;
    }
    let shares: f64 = (0..blocks)
        .map(|block| flagged_share(series, wanted, block))
        .sum();
    let whole = rate::of_trials((shares.ceil() as usize).min(blocks), blocks);
    Some(Rate {
        expected: shares / blocks as f64,
        ..whole
    })
}

fn flagged_share(series: &[&SeriesAccount], wanted: f64, block: usize) -> f64 {
    let thresholds: Vec<f32> = series
        .iter()
        .map(|one| one.threshold_without(block, wanted))
        .collect();
    let windows = series.first().map_or(&[][..], |one| &one.scores);
    let of_block: Vec<usize> = (0..windows.len())
        .filter(|&window| windows[window].block == block)
        .collect();
    let raises = |&&window: &&usize| {
        series
            .iter()
            .zip(&thresholds)
            .any(|(one, &threshold)| one.scores[window].score > threshold)
    };
    of_block.iter().filter(raises).count() as f64 / of_block.len().max(1) as f64
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
        if let Some(Rate {
            expected,
            lower,
            upper,
        }) = self.any_flag
        {
            let (expected, lower, upper) = (percent(expected), percent(lower), percent(upper));
            writeln!(
                f,
                "  With thresholds from the other blocks, {expected} of the windows would have raised some flag (95 %: {lower} to {upper})."
            )?;
        }
        Ok(())
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
