//! The open window: takes inputs and outcomes, and closes into a record.

use dunlin_wire::baseline::Baseline;
use dunlin_wire::credential::Credential;
use dunlin_wire::limits::MAX_CHANNELS;
use dunlin_wire::record::{self, Channel, Header, Window, confidence_bin, latency_bin};
use dunlin_wire::schema::Schema;
use dunlin_wire::{BufferTooSmall, Table};

use crate::drift;
use crate::statistics::{count_value, empty_channel};

/// What the model made of an input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Outcome {
    /// It answered.
    Answer {
        /// Index of the class; `None` for a model without classes.
        label: Option<u32>,
        /// Probability of that class, 0 to 1.
        confidence: f32,
        /// Time the inference took.
        latency_us: u32,
    },
    /// It did not: the engine or the sensor reported an error.
    Failed,
}

/// Why no monitor can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MonitorError {
    /// The baseline is not one for this schema.
    WrongBaseline {
        /// Channels of the schema.
        channels: usize,
        /// Channels of the baseline.
        baseline_channels: usize,
        /// Labels of the schema.
        labels: usize,
        /// Labels of the baseline.
        baseline_labels: usize,
    },
}

impl core::fmt::Display for MonitorError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self::WrongBaseline {
            channels,
            baseline_channels,
            labels,
            baseline_labels,
        } = self;
        write!(
            f,
            "a baseline of {baseline_channels} channels and {baseline_labels} labels for a schema of {channels} and {labels}"
        )
    }
}

impl core::error::Error for MonitorError {}

/// A window that was closed into a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed {
    /// Bytes of the record at the start of the buffer.
    pub record_bytes: usize,
    /// Whether the window was compared with the baseline.
    pub judged: bool,
    /// Whether a channel or the predictions drifted.
    pub drifted: bool,
}

/// What is remembered of a channel from one value to the next, across windows.
#[derive(Debug, Clone, Copy, Default)]
struct Run {
    bits: u32,
    /// How many times in a row the value was seen; 0 after a NaN and at the start.
    length: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Range {
    minimum: f32,
    maximum: f32,
}

/// Watches what goes into a model and what comes out.
///
/// A window begins with its first input and is due when the baseline's `window_ms` of sample time
/// have passed since, or when the clock went back behind its start. The caller asks
/// [`Monitor::is_due`] before every input and closes a window that is due; a window left open goes
/// on counting.
///
/// Holds about 2.6 kB for 16 channels, whatever the model. One input costs
/// [`count_value`] per value.
#[derive(Debug, Clone)]
pub struct Monitor<'a> {
    baseline: Baseline<'a>,
    ranges: Table<Range, MAX_CHANNELS>,
    runs: [Run; MAX_CHANNELS],
    stuck_after: u32,
    window: Window,
}

impl<'a> Monitor<'a> {
    /// A monitor whose first window begins with the first input.
    ///
    /// # Errors
    /// When schema and baseline differ in the number of channels or labels.
    pub fn new(schema: &Schema, baseline: Baseline<'a>) -> Result<Self, MonitorError> {
        let (channels, labels) = (schema.channels.len(), schema.labels.len());
        let (baseline_channels, baseline_labels) = (
            baseline.channels().len(),
            baseline.prediction_counts().len(),
        );
        if channels != baseline_channels || labels != baseline_labels {
            return Err(MonitorError::WrongBaseline {
                channels,
                baseline_channels,
                labels,
                baseline_labels,
            });
        }
        Ok(Self {
            baseline,
            ranges: schema
                .channels
                .iter()
                .map(|c| Range {
                    minimum: c.minimum,
                    maximum: c.maximum,
                })
                .collect(),
            runs: [Run::default(); MAX_CHANNELS],
            stuck_after: schema.stuck_after,
            window: empty_window(&baseline),
        })
    }

    /// The open window so far, not judged.
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// Whether an input at `now_ms` belongs to a new window, so that the open one must be closed.
    pub fn is_due(&self, now_ms: u64) -> bool {
        self.window.inputs > 0 && (now_ms < self.window.opened_ms || self.is_whole(now_ms))
    }

    /// Counts one input of steps × channels values, row-major, and what became of it. Values after
    /// the last whole step are left out.
    ///
    /// `now_ms` is the input's own time, on the same clock for all inputs.
    pub fn observe(&mut self, now_ms: u64, input: &[f32], outcome: Outcome) {
        if self.window.inputs == 0 {
            self.window.opened_ms = now_ms;
        }
        self.window.span_ms = self
            .window
            .span_ms
            .max(now_ms.saturating_sub(self.window.opened_ms));
        self.window.inputs = self.window.inputs.saturating_add(1);
        for step in input.chunks_exact(self.ranges.len().max(1)) {
            self.count_step(step);
        }
        self.count_outcome(outcome);
    }

    /// Closes the window into a record in `buffer`, judges it when it is whole, and begins a new
    /// one. A window closed before it is due is marked as partial. `None` when there was no input.
    ///
    /// # Errors
    /// When the record does not fit; the window is then still open and nothing is lost.
    pub fn close(
        &mut self,
        now_ms: u64,
        header: &Header,
        credential: &Credential,
        buffer: &mut [u8],
    ) -> Result<Option<Closed>, BufferTooSmall> {
        if self.window.inputs == 0 {
            return Ok(None);
        }
        self.judge(now_ms);
        let record_bytes = record::encode(header, &self.window, credential, buffer)?;
        let closed = Closed {
            record_bytes,
            judged: self.window.judged,
            drifted: self.window.drifted(),
        };
        self.window = empty_window(&self.baseline);
        Ok(Some(closed))
    }

    /// Closes the window as [`Monitor::close`] does and returns it instead of writing a record.
    /// Copies about 2.4 kB: meant for workstations.
    pub fn finish(&mut self, now_ms: u64) -> Option<Window> {
        if self.window.inputs == 0 {
            return None;
        }
        self.judge(now_ms);
        Some(core::mem::replace(
            &mut self.window,
            empty_window(&self.baseline),
        ))
    }

    fn is_whole(&self, now_ms: u64) -> bool {
        now_ms
            .checked_sub(self.window.opened_ms)
            .is_some_and(|age| age >= self.baseline.window_ms())
    }

    fn count_step(&mut self, step: &[f32]) {
        let states = self.window.channels.iter_mut().zip(self.runs.iter_mut());
        let context = self.ranges.iter().zip(self.baseline.channels());
        for (&value, ((channel, run), (range, baseline))) in step.iter().zip(states.zip(context)) {
            if value.is_nan() {
                channel.missing = channel.missing.saturating_add(1);
                run.length = 0;
                continue;
            }
            if value < range.minimum || value > range.maximum {
                channel.out_of_range = channel.out_of_range.saturating_add(1);
            }
            if run.is_stuck(value, self.stuck_after) {
                channel.stuck = channel.stuck.saturating_add(1);
            }
            count_value(channel, value, baseline.bin(value));
        }
    }

    fn count_outcome(&mut self, outcome: Outcome) {
        let window = &mut self.window;
        let Outcome::Answer {
            label,
            confidence,
            latency_us,
        } = outcome
        else {
            window.errors = window.errors.saturating_add(1);
            return;
        };
        window.confidence.add(confidence_bin(confidence));
        window.latency.add(latency_bin(latency_us));
        match label.map(|label| window.predictions.get_mut(label as usize)) {
            Some(Some(count)) => *count = count.saturating_add(1),
            Some(None) => window.errors = window.errors.saturating_add(1),
            None => {}
        }
    }

    fn judge(&mut self, now_ms: u64) {
        self.window.partial = !self.is_whole(now_ms);
        if self.window.partial || self.window.inputs < self.baseline.minimum_samples() {
            return;
        }
        self.judge_channels();
        self.judge_predictions();
        let scored = |channel: &Channel| channel.score.is_some();
        self.window.judged =
            self.window.channels.iter().any(scored) || self.window.prediction_score.is_some();
    }

    fn judge_channels(&mut self) {
        let inputs = self.window.inputs;
        let channels = self.window.channels.iter_mut();
        for (channel, reference) in channels.zip(self.baseline.channels()) {
            channel.score = drift::channel_score(&self.baseline, &reference, channel, inputs);
            channel.drifted = channel
                .score
                .is_some_and(|score| score > reference.threshold());
        }
    }

    fn judge_predictions(&mut self) {
        let reference: Table<u32, { dunlin_wire::limits::MAX_LABELS }> =
            self.baseline.prediction_counts().collect();
        let window = &mut self.window;
        let answers: u64 = window
            .predictions
            .iter()
            .map(|&count| u64::from(count))
            .sum();
        if reference.is_empty() || answers < u64::from(self.baseline.minimum_samples()) {
            return;
        }
        window.prediction_score =
            drift::score(self.baseline.statistic(), &reference, &window.predictions);
        window.prediction_drifted = window
            .prediction_score
            .is_some_and(|score| score > self.baseline.prediction_threshold());
    }
}

impl Run {
    /// Takes the next value; whether it repeats one that has been there `stuck_after` times.
    fn is_stuck(&mut self, value: f32, stuck_after: u32) -> bool {
        let repeats = self.length > 0 && value.to_bits() == self.bits;
        self.length = if repeats {
            self.length.saturating_add(1)
        } else {
            1
        };
        self.bits = value.to_bits();
        stuck_after > 0 && self.length > stuck_after
    }
}

fn empty_window(baseline: &Baseline) -> Window {
    Window {
        channels: baseline
            .channels()
            .map(|channel| empty_channel(&channel))
            .collect::<Table<Channel, MAX_CHANNELS>>(),
        predictions: baseline.prediction_counts().map(|_| 0).collect(),
        ..Window::default()
    }
}

#[cfg(test)]
mod tests;
