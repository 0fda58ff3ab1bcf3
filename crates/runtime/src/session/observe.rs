//! Samples: run, counted, and their windows closed into records.

use super::{Core, ObserveError, SampleClock, SampleTime};
use crate::admit::fill;
use crate::backend::{Backend, Model};
use crate::device::Board;
use crate::flash::{FlashFault, MappedFlash};
use crate::source::{SampleSource, Sampled};
use dunlin_monitor::Outcome;
use dunlin_wire::limits::MAX_RECORD_BYTES;

/// One inference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timed {
    pub output_bytes: usize,
    pub latency_us: u32,
}

impl<F: MappedFlash, B: Backend> Core<'_, '_, F, B> {
    /// Takes a time step from the sensor; a whole input is run and observed.
    pub fn sample(
        &mut self,
        source: &mut impl SampleSource,
        record: &mut [u8],
        board: &mut impl Board,
    ) {
        let Some(active) = &self.active else { return };
        let (channels, elements) = (active.channels, active.model.input_elements());
        let now_us = board.now_us();
        if self
            .sampling
            .is_some_and(|last| last.clock == SampleClock::Uptime)
        {
            let _ = self.close_if_due(SampleClock::Uptime, now_us / 1000, record, board);
        }
        let Some(step) = self
            .workspace
            .input
            .get_mut(self.filled..self.filled + channels)
        else {
            return;
        };
        match source.sample(now_us, step) {
            Sampled::NotYet => return,
            Sampled::Step => {}
            Sampled::Failed => step.fill(f32::NAN),
        }
        self.filled += channels;
        if self.filled >= elements {
            self.filled = 0;
            let time = SampleTime {
                clock: SampleClock::Uptime,
                time_ms: now_us / 1000,
            };
            let _ = self.observe(time, record, board);
        }
    }

    /// Observes one sample that came over the link; whether it ended a window.
    pub fn observe_bytes(
        &mut self,
        time_ms: u64,
        bytes: &[u8],
        record: &mut [u8],
        board: &mut impl Board,
    ) -> Result<bool, ObserveError> {
        self.take_input(bytes)?;
        self.observe(
            SampleTime {
                clock: SampleClock::Unix,
                time_ms,
            },
            record,
            board,
        )
    }

    /// Puts an input that came over the link where inputs are run.
    pub fn take_input(&mut self, bytes: &[u8]) -> Result<(), ObserveError> {
        let active = self.active.as_ref().ok_or(ObserveError::NoBundle)?;
        let needed = active.model.input_elements() * size_of::<f32>();
        self.filled = 0;
        let taken =
            fill(self.workspace.input, bytes).is_some_and(|values| size_of_val(values) == needed);
        if taken {
            Ok(())
        } else {
            Err(ObserveError::InputSize {
                needed,
                got: bytes.len(),
            })
        }
    }

    /// Puts an input that a target brought where inputs are run.
    pub fn take_values(&mut self, values: &[f32]) -> Result<(), ObserveError> {
        let active = self.active.as_ref().ok_or(ObserveError::NoBundle)?;
        let elements = active.model.input_elements();
        let wrong = ObserveError::InputSize {
            needed: elements * size_of::<f32>(),
            got: size_of_val(values),
        };
        let place = self
            .workspace
            .input
            .get_mut(..elements)
            .filter(|place| place.len() == values.len());
        self.filled = 0;
        place.ok_or(wrong)?.copy_from_slice(values);
        Ok(())
    }

    /// Counts an input that could not be had; whether it ended a window before it.
    pub fn observe_failure(
        &mut self,
        time: SampleTime,
        record: &mut [u8],
        board: &mut impl Board,
    ) -> Result<bool, ObserveError> {
        if self.active.is_none() {
            return Err(ObserveError::NoBundle);
        }
        let closed = self.close_if_due(time.clock, time.time_ms, record, board);
        if let Some(monitor) = &mut self.monitor {
            monitor.observe(time.time_ms, &[], Outcome::Failed);
            self.sampling = Some(time);
        }
        closed.map_err(ObserveError::Flash)
    }

    /// Runs and counts the input; whether it ended a window before it.
    pub fn observe(
        &mut self,
        time: SampleTime,
        record: &mut [u8],
        board: &mut impl Board,
    ) -> Result<bool, ObserveError> {
        let closed = self.close_if_due(time.clock, time.time_ms, record, board);
        let outcome = self
            .infer(board)
            .map_or(Outcome::Failed, |timed| self.outcome(timed));
        let active = self.active.as_ref().ok_or(ObserveError::NoBundle)?;
        let elements = active.model.input_elements();
        if let (Some(monitor), Some(input)) =
            (&mut self.monitor, self.workspace.input.get(..elements))
        {
            monitor.observe(time.time_ms, input, outcome);
            self.sampling = Some(time);
        }
        closed.map_err(ObserveError::Flash)
    }

    /// Runs the input; the outputs are then at the start of `output`.
    pub fn infer(&mut self, board: &mut impl Board) -> Option<Timed> {
        let active = self.active.as_mut()?;
        let (elements, output_bytes) = (active.model.input_elements(), active.model.output_bytes());
        let output = self.workspace.output.get_mut(..output_bytes)?;
        let input = self.workspace.input.get(..elements)?;
        let started_us = board.now_us();
        let ran = active.model.run(input, self.workspace.arena, output);
        let latency_us =
            u32::try_from(board.now_us().saturating_sub(started_us)).unwrap_or(u32::MAX);
        ran.ok().map(|()| Timed {
            output_bytes,
            latency_us,
        })
    }

    /// Reads label and confidence from the outputs: for a classifier the label as `i32`, then a
    /// probability for each label.
    fn outcome(&self, timed: Timed) -> Outcome {
        let labels = self.active.as_ref().map_or(0, |active| active.labels);
        let (words, _) = self
            .workspace
            .output
            .get(..timed.output_bytes)
            .unwrap_or_default()
            .as_chunks::<4>();
        let latency_us = timed.latency_us;
        if labels == 0 {
            return Outcome::Answer {
                label: None,
                confidence: 0.0,
                latency_us,
            };
        }
        let Some((label, probabilities)) = words.split_first() else {
            return Outcome::Failed;
        };
        let Ok(label) = u32::try_from(i32::from_le_bytes(*label)) else {
            return Outcome::Failed;
        };
        match probabilities.get(label as usize) {
            Some(confidence) => Outcome::Answer {
                label: Some(label),
                confidence: f32::from_le_bytes(*confidence),
                latency_us,
            },
            None => Outcome::Failed,
        }
    }

    /// Ends the open window when a sample at `time_ms` belongs to the next one, or is on another
    /// clock; whether it did.
    fn close_if_due(
        &mut self,
        clock: SampleClock,
        time_ms: u64,
        record: &mut [u8],
        board: &mut impl Board,
    ) -> Result<bool, FlashFault> {
        let Some(last) = self.sampling else {
            return Ok(false);
        };
        let monitor = self.monitor.as_ref();
        if last.clock != clock {
            return self.close_window(record, board);
        }
        if monitor.is_some_and(|monitor| monitor.is_due(time_ms)) {
            return self.close_at(time_ms, record, board);
        }
        Ok(false)
    }

    /// Ends the open window, full or not; whether there was one.
    pub fn close_window(
        &mut self,
        record: &mut [u8],
        board: &mut impl Board,
    ) -> Result<bool, FlashFault> {
        let Some(last) = self.sampling else {
            return Ok(false);
        };
        let period_ms = self
            .active
            .as_ref()
            .map_or(0, |active| active.sample_period_ms);
        self.close_at(last.time_ms.saturating_add(period_ms), record, board)
    }

    fn close_at(
        &mut self,
        time_ms: u64,
        record: &mut [u8],
        board: &mut impl Board,
    ) -> Result<bool, FlashFault> {
        let origin = self.origin(board);
        let header = self.records.header(origin);
        let Some(monitor) = self.monitor.as_mut() else {
            return Ok(false);
        };
        let credential = &self.provision.credential;
        let room = record
            .get_mut(..MAX_RECORD_BYTES)
            .ok_or(FlashFault::Failed)?;
        let closed = monitor
            .close(time_ms, &header, credential, room)
            .map_err(|_| FlashFault::Failed)?;
        self.sampling = None;
        let Some(closed) = closed else {
            return Ok(false);
        };
        self.records
            .append_encoded(record.get(..closed.record_bytes).unwrap_or_default())?;
        self.records.report_missing(origin, credential, record)?;
        Ok(true)
    }
}
