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
        let places = in_order(parts, wanted);
        let runs: Vec<Range<usize>> = chunk_by_group(&places);
        let window_at = |start: usize, run: &Range<usize>| {
            start..end_of(&places, start, run, lengths.window_ms)
        };
        let fullest = runs
            .iter()
            .flat_map(|run| run.clone().map(move |start| window_at(start, run).len()))
            .max()
            .unwrap_or(0);
        let full = (FULL * fullest as f64).ceil().max(1.0) as usize;
        let stride = (fullest / STARTS_PER_WINDOW)
            .max(places.len() / MOST_WINDOWS)
            .max(1);
        let mut candidates = Vec::new();
        let mut blocks = 0;
        for run in &runs {
            let windows: Vec<_> = run
                .clone()
                .step_by(stride)
                .map(|start| window_at(start, run))
                .filter(|window| window.len() >= full)
                .collect();
            let (Some(first), Some(last)) = (windows.first(), windows.last()) else {
                continue;
            };
            let reach = places[last.end - 1].time_ms - places[first.start].time_ms;
            let whole =
                ((reach as f64 + 0.1 * lengths.block_ms as f64) / lengths.block_ms as f64) as usize;
            let in_run = whole.max(1);
            for inside in &windows {
                let age = places[inside.start].time_ms - places[first.start].time_ms;
                let block = blocks + ((age / lengths.block_ms) as usize).min(in_run - 1);
                candidates.push(Candidate {
                    inside: inside.clone(),
                    left_out: neighbourhood(&places, inside, run, lengths),
                    block,
                });
            }
            blocks += in_run;
        }
        if blocks < 2 {
            return Err(CalibrateError::TooFewBlocks {
                blocks,
                inputs: places.len(),
            });
        }
        Ok(Self {
            places,
            candidates,
            blocks,
            fullest,
        })
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

fn chunk_by_group(places: &[Place]) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let mut start = 0;
    for chunk in places.chunk_by(|a, b| a.group == b.group) {
        runs.push(start..start + chunk.len());
        start += chunk.len();
    }
    runs
}

/// Index behind the last input of the run that lies less than `length_ms` after `start`.
fn end_of(places: &[Place], start: usize, run: &Range<usize>, length_ms: i64) -> usize {
    let end_ms = places[start].time_ms + length_ms;
    start + places[start..run.end].partition_point(|place| place.time_ms < end_ms)
}

/// The window, and as much before and after it as makes a block's length.
fn neighbourhood(
    places: &[Place],
    inside: &Range<usize>,
    run: &Range<usize>,
    lengths: Lengths,
) -> Range<usize> {
    let margin = (lengths.block_ms - lengths.window_ms) / 2;
    let first_ms = places[inside.start].time_ms - margin;
    let end_ms = places[inside.start].time_ms + lengths.window_ms + margin;
    let start = run.start + places[run.clone()].partition_point(|place| place.time_ms < first_ms);
    let end = run.start + places[run.clone()].partition_point(|place| place.time_ms < end_ms);
    start..end
}
