//! The inputs in order of group and time, the windows that slide over them, and the blocks they
//! belong to.

use std::ops::Range;

use crate::data::Examples;

use super::{CalibrateError, Part};

/// Where windows begin: this many times within a window's length.
const STARTS_PER_WINDOW: usize = 24;
/// Windows scored at most, beside one per block.
const MOST_WINDOWS: usize = 2_000;
/// A window counts as full with this share of the inputs of the fullest.
pub const FULL: f64 = 0.9;

/// One input in its place.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Which part it is in.
    pub part: usize,
    /// Which input of that part.
    pub index: usize,
    group: u32,
    time_ms: i64,
}

/// A window to be scored, as ranges of places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Inputs in the window.
    pub inside: Range<usize>,
    /// Inputs that depend on those in the window, which are among them: not to be part of the
    /// reference it is compared with.
    pub left_out: Range<usize>,
    /// The block it counts for.
    pub block: usize,
}

/// Inputs in order, with windows and blocks.
#[derive(Debug, Clone)]
pub struct Timeline {
    /// The inputs.
    pub places: Vec<Place>,
    /// Full windows.
    pub candidates: Vec<Candidate>,
    /// Number of blocks with a full window.
    pub blocks: usize,
    /// Inputs in the fullest window.
    pub fullest: usize,
}

/// Lengths of windows and blocks.
#[derive(Debug, Clone, Copy)]
pub struct Lengths {
    /// Of a window, in milliseconds.
    pub window_ms: i64,
    /// Of a block, in milliseconds; at least a window.
    pub block_ms: i64,
}

impl Timeline {
    /// Puts the inputs with one of the labels `wanted` (all when it is empty) in order.
    ///
    /// # Errors
    /// When there are fewer than two blocks.
    pub fn new(
        parts: &[Part<'_>],
        wanted: &[u32],
        lengths: Lengths,
    ) -> Result<Self, CalibrateError> {
        let row = Row {
            places: in_order(parts, wanted),
            lengths,
        };
        let runs = row.runs();
        let window_lengths = runs
            .iter()
            .flat_map(|run| run.clone().map(|start| row.window_at(start, run).len()));
        let fullest = window_lengths.max().unwrap_or(0);
        let stride = (fullest / STARTS_PER_WINDOW)
            .max(row.places.len() / MOST_WINDOWS)
            .max(1);
        let mut candidates = Vec::new();
        let mut blocks = 0;
        for run in &runs {
            let windows = row.full_windows(run, stride, fullest);
            blocks = row.add_candidates(&windows, run, blocks, &mut candidates);
        }
        if blocks < 2 {
            let inputs = row.places.len();
            return Err(CalibrateError::TooFewBlocks { blocks, inputs });
        }
        Ok(Self {
            places: row.places,
            candidates,
            blocks,
            fullest,
        })
    }
}

impl Timeline {
    /// For each window, whether its block has an input that lies in a window of `block` too: the block itself, and
    /// those before and after it where windows reach from one into the other.
    pub fn shares_inputs_with(&self, block: usize) -> Vec<bool> {
        let of_block = self.candidates.iter().filter(|one| one.block == block);
        let (start, end) = of_block.fold((usize::MAX, 0), |(start, end), one| {
            (start.min(one.inside.start), end.max(one.inside.end))
        });
        let mut shares = vec![false; self.blocks];
        for one in &self.candidates {
            shares[one.block] |= one.inside.start < end && start < one.inside.end;
        }
        self.candidates
            .iter()
            .map(|one| shares[one.block])
            .collect()
    }
}

/// Inputs in order, to be cut into windows and blocks.
struct Row {
    places: Vec<Place>,
    lengths: Lengths,
}

impl Row {
    /// The inputs of each group.
    fn runs(&self) -> Vec<Range<usize>> {
        let mut runs = Vec::new();
        let mut start = 0;
        for chunk in self.places.chunk_by(|a, b| a.group == b.group) {
            runs.push(start..start + chunk.len());
            start += chunk.len();
        }
        runs
    }

    /// The inputs of the run that lie less than a window's length after `start`.
    fn window_at(&self, start: usize, run: &Range<usize>) -> Range<usize> {
        let end_ms = self.places[start].time_ms + self.lengths.window_ms;
        let behind = &self.places[start..run.end];
        start..start + behind.partition_point(|place| place.time_ms < end_ms)
    }

    fn full_windows(&self, run: &Range<usize>, stride: usize, fullest: usize) -> Vec<Range<usize>> {
        let full = (FULL * fullest as f64).ceil().max(1.0) as usize;
        let starts = run.clone().step_by(stride);
        let windows = starts.map(|start| self.window_at(start, run));
        windows.filter(|window| window.len() >= full).collect()
    }

    /// Adds the windows of a run, whose first block has the number `first_block`; returns the number
    /// behind its last.
    ///
    /// A run has as many blocks as fit between the start of its first window and the end of its
    /// last; a window that begins in what is left counts for the last.
    fn add_candidates(
        &self,
        windows: &[Range<usize>],
        run: &Range<usize>,
        first_block: usize,
        candidates: &mut Vec<Candidate>,
    ) -> usize {
        let (Some(first), Some(last)) = (windows.first(), windows.last()) else {
            return first_block;
        };
        let block_ms = self.lengths.block_ms;
        let opened_ms = self.places[first.start].time_ms;
        let reach_ms = self.places[last.end - 1].time_ms - opened_ms;
        let in_run = ((reach_ms + block_ms / 10) / block_ms).max(1);
        let block_of = |window: &Range<usize>| {
            ((self.places[window.start].time_ms - opened_ms) / block_ms).min(in_run - 1)
        };
        let mut next_block = first_block;
        for same_block in windows.chunk_by(|a, b| block_of(a) == block_of(b)) {
            candidates.extend(same_block.iter().map(|inside| Candidate {
                inside: inside.clone(),
                left_out: self.neighbourhood(inside, run),
                block: next_block,
            }));
            next_block += 1;
        }
        next_block
    }

    /// The window, and as much before and after it as makes a block's length.
    fn neighbourhood(&self, inside: &Range<usize>, run: &Range<usize>) -> Range<usize> {
        let Lengths {
            window_ms,
            block_ms,
        } = self.lengths;
        let margin = (block_ms - window_ms) / 2;
        let first_ms = self.places[inside.start].time_ms - margin;
        let end_ms = self.places[inside.start].time_ms + window_ms + margin;
        let inputs = &self.places[run.clone()];
        let start = inputs.partition_point(|place| place.time_ms < first_ms);
        let end = inputs.partition_point(|place| place.time_ms < end_ms);
        run.start + start..run.start + end
    }
}

fn in_order(parts: &[Part<'_>], wanted: &[u32]) -> Vec<Place> {
    let mut places = Vec::new();
    for (part, Part { examples, .. }) in parts.iter().enumerate() {
        let timeless = examples
            .time_ms
            .iter()
            .all(|time| Some(time) == examples.time_ms.first());
        for (index, label) in examples.labels.iter().enumerate() {
            if wanted.is_empty() || wanted.contains(label) {
                let time_ms = if timeless {
                    place_in_row(examples, index)
                } else {
                    examples.time_ms[index]
                };
                places.push(Place {
                    part,
                    index,
                    group: examples.group[index],
                    time_ms,
                });
            }
        }
    }
    places.sort_by_key(|place| (place.group, place.time_ms));
    places
}

/// Time of an input in a table without times, as if one had followed the other.
fn place_in_row(examples: &Examples, index: usize) -> i64 {
    index as i64 * examples.schema.sample_period_ms.max(1) as i64
}
