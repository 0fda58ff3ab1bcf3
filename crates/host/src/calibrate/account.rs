//! What thresholds rest on, to be read by people.

use std::fmt;

use serde::Serialize;

use super::rate::{self, Rate};
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
}

impl SeriesAccount {
    pub(super) fn new(
        name: &str,
        block_scores: Vec<f32>,
        rank: usize,
        ceiling: Option<f32>,
    ) -> Self {
        let threshold = kth_highest(&block_scores, rank);
        Self {
            name: name.to_owned(),
            threshold,
            ceiling: ceiling.unwrap_or(f32::INFINITY),
            block_scores,
        }
    }

    /// Whether hardly any window could raise the flag: the blocks themselves are as far from each
    /// other as a window can be.
    pub fn is_blunt(&self) -> bool {
        self.threshold > 0.9 * self.ceiling
    }
}

fn kth_highest(scores: &[f32], rank: usize) -> f32 {
    let mut sorted = scores.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or(f32::INFINITY)
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
    /// The threshold is the block score of this rank, counted from the highest as 1.
    pub rank: usize,
    /// Share of false alarms asked for, per window and channel.
    pub wanted_rate: f64,
    /// Share of false alarms that the blocks vouch for, per window and channel.
    pub rate: Rate,
    /// Share of blocks that would have raised some flag under thresholds from the other blocks.
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
        rank: usize,
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
            rank,
            wanted_rate: monitor.false_alarm_rate,
            rate: rate::of_order_statistic(rank, timeline.blocks),
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

/// Leaves each block out of the thresholds too, and asks whether it would have raised a flag.
fn any_flag(series: &[&SeriesAccount], wanted: f64, blocks: usize) -> Option<Rate> {
    if blocks < 3 {
        return None;
    }
    let rank = rate::rank(blocks - 1, wanted);
    let flagged = |block: &usize| {
        series.iter().any(|series| {
            let mut others = series.block_scores.clone();
            let score = others.remove(*block);
            score > kth_highest(&others, rank)
        })
    };
    Some(rate::of_trials((0..blocks).filter(flagged).count(), blocks))
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
        writeln!(
            f,
            "  False alarms per window and channel: {} expected, 95 % interval {} to {}; {} asked for.",
            percent(self.rate.expected),
            percent(self.rate.lower),
            percent(self.rate.upper),
            percent(self.wanted_rate)
        )?;
        if self.falls_short() {
            writeln!(
                f,
                "  {} blocks cannot vouch for {}: that takes {}. The thresholds are the highest scores seen.",
                self.blocks,
                percent(self.wanted_rate),
                self.blocks_needed()
            )?;
        }
        if let Some(any) = &self.any_flag {
            writeln!(
                f,
                "  With thresholds from the other blocks, {} of the blocks would have raised some flag (95 %: {} to {}).",
                percent(any.expected),
                percent(any.lower),
                percent(any.upper)
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
