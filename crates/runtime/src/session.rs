//! A device at work with one bundle, until another one is activated.

use crate::admit::{ActivateError, Admitted, Conditions, Workspace, admit, check_version, fill};
use crate::backend::{Backend, Model};
use crate::device::{Board, Profile};
use crate::flash::{FlashFault, MappedFlash};
use crate::records::{Origin, Records};
use crate::slot::{Slot, TransferError};
use crate::source::{SampleSource, Sampled};
use crate::state::{Choice, Choices};
use crate::wire::{Port, Wire};
use dunlin_monitor::{Monitor, Outcome};
use dunlin_wire::BundleId;
use dunlin_wire::limits::MAX_RECORD_BYTES;
use dunlin_wire::provision::Provision;
use dunlin_wire::record::{Event, EventCode};

/// What to do after a [`Session::poll`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Poll again.
    Continue,
    /// Another bundle was activated: drop the session and begin a new one.
    Reload,
}

/// A device at work: the link is served, the sensor is asked, samples are run and observed.
pub struct Session<'s, 'd, F, P, S, B: Backend> {
    pub(crate) wire: &'s mut Wire<'d, P>,
    pub(crate) source: &'s mut S,
    pub(crate) core: Core<'s, 'd, F, B>,
    pub(crate) reply: &'s mut [u8],
    pub(crate) setback: Option<ActivateError>,
}

/// Which clock the times of the open window's samples are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SampleClock {
    /// Time since the start: the device's own sensor.
    Uptime,
    /// Unix time: samples that came over the link with their times.
    Unix,
}

/// Time of the last sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SampleTime {
    pub clock: SampleClock,
    pub time_ms: u64,
}

impl SampleTime {
    fn unix(time_ms: u64) -> Self {
        Self {
            clock: SampleClock::Unix,
            time_ms,
        }
    }
}

/// All of a session but the link and the sensor.
pub(crate) struct Core<'s, 'd, F, B: Backend> {
    pub provision: &'s Provision,
    pub profile: &'s Profile<'d>,
    pub conditions: Conditions<'s>,
    pub active: Option<Admitted<'s, B::Model<'s>>>,
    pub monitor: Option<Monitor<'s>>,
    pub spare: &'s mut Slot<F>,
    pub spare_index: usize,
    pub state: &'s mut Choices<F>,
    pub records: &'s mut Records<F>,
    pub backend: &'s mut B,
    pub arena: &'s mut [u8],
    pub input: &'s mut [f32],
    pub output: &'s mut [u8],
    pub clock_offset_ms: &'s mut Option<i64>,
    /// Values of the next input that the sensor has given so far.
    pub filled: usize,
    pub sampling: Option<SampleTime>,
    pub reload: bool,
    /// Whether a transfer was begun since the last start or activation.
    pub transfer_begun: bool,
}

/// Why a sample could not be observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ObserveError {
    /// No bundle runs.
    NoBundle,
    /// The input has another size than the model takes; both in bytes.
    InputSize {
        /// What the model takes.
        needed: usize,
        /// What was given.
        got: usize,
    },
    /// The window's record could not be stored; the sample was observed.
    Flash(FlashFault),
}

impl core::fmt::Display for ObserveError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NoBundle => f.write_str("no bundle runs"),
            Self::InputSize { needed, got } => {
                write!(f, "an input has {got} bytes, the model takes {needed}")
            }
            Self::Flash(fault) => fault.fmt(f),
        }
    }
}

impl core::error::Error for ObserveError {}

/// One inference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timed {
    pub output_bytes: usize,
    pub latency_us: u32,
}

impl<F: MappedFlash, P: Port, S: SampleSource, B: Backend> Session<'_, '_, F, P, S, B> {
    /// Serves the link and the sensor as far as that goes without waiting.
    ///
    /// Costs nothing to speak of when there is nothing to do; otherwise an inference for every
    /// input, and for a request what the request says.
    pub fn poll(&mut self, board: &mut impl Board) -> Next {
        let core = &mut self.core;
        self.wire.poll(self.reply, |message, reply, scratch| {
            core.answer(message, reply, scratch, board)
        });
        if !core.reload {
            core.sample(self.source, self.reply, board);
        }
        if core.reload {
            Next::Reload
        } else {
            Next::Continue
        }
    }

    /// Observes an input that the target got by its own means, at a Unix time in milliseconds; whether
    /// it ended a window. Costs an inference.
    ///
    /// # Errors
    /// [`ObserveError`].
    pub fn observe(
        &mut self,
        unix_ms: u64,
        input: &[f32],
        board: &mut impl Board,
    ) -> Result<bool, ObserveError> {
        self.core.take_values(input)?;
        self.core
            .observe(SampleTime::unix(unix_ms), self.reply, board)
    }

    /// Counts an input that should have come and could not be had; whether it ended a window.
    ///
    /// # Errors
    /// [`ObserveError`].
    pub fn observe_failure(
        &mut self,
        unix_ms: u64,
        board: &mut impl Board,
    ) -> Result<bool, ObserveError> {
        self.core
            .observe_failure(SampleTime::unix(unix_ms), self.reply, board)
    }

    /// Why the bundle that was activated last does not run, if it does not: the one before it runs, or
    /// none. [`ActivateError::NoTransfer`] says that its slot does not hold it any more.
    pub fn setback(&self) -> Option<ActivateError> {
        self.setback
    }

    /// The bundle that runs, if there is one.
    pub fn bundle(&self) -> Option<BundleId> {
        self.core.active.as_ref().map(|active| active.id)
    }
}

impl<F: MappedFlash, B: Backend> Core<'_, '_, F, B> {
    /// Takes a time step from the sensor; a whole input is run and observed.
    fn sample(
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
        let Some(step) = self.input.get_mut(self.filled..self.filled + channels) else {
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
        let taken = fill(self.input, bytes).is_some_and(|values| size_of_val(values) == needed);
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
    fn take_values(&mut self, values: &[f32]) -> Result<(), ObserveError> {
        let active = self.active.as_ref().ok_or(ObserveError::NoBundle)?;
        let elements = active.model.input_elements();
        let wrong = ObserveError::InputSize {
            needed: elements * size_of::<f32>(),
            got: size_of_val(values),
        };
        let place = self
            .input
            .get_mut(..elements)
            .filter(|place| place.len() == values.len());
        self.filled = 0;
        place.ok_or(wrong)?.copy_from_slice(values);
        Ok(())
    }

    /// Counts an input that could not be had; whether it ended a window before it.
    fn observe_failure(
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
    fn observe(
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
        if let (Some(monitor), Some(input)) = (&mut self.monitor, self.input.get(..elements)) {
            monitor.observe(time.time_ms, input, outcome);
            self.sampling = Some(time);
        }
        closed.map_err(ObserveError::Flash)
    }

    /// Runs the input; the outputs are then at the start of `output`.
    pub fn infer(&mut self, board: &mut impl Board) -> Option<Timed> {
        let active = self.active.as_mut()?;
        let (elements, output_bytes) = (active.model.input_elements(), active.model.output_bytes());
        let output = self.output.get_mut(..output_bytes)?;
        let input = self.input.get(..elements)?;
        let started_us = board.now_us();
        let ran = active.model.run(input, self.arena, output);
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
        self.records.report_loss(origin, credential, record)?;
        Ok(true)
    }

    /// Checks the bundle in the spare slot and makes it the one to run. A bundle that is refused is
    /// let go of. Without a transfer before, what is there may be the one to fall back on, and stays.
    pub fn activate(
        &mut self,
        record: &mut [u8],
        board: &mut impl Board,
    ) -> Result<BundleId, ActivateError> {
        match self.judge_spare() {
            Ok((choice, _)) if self.runs(choice.bundle) => Ok(choice.bundle),
            Ok((choice, version)) => {
                let _ = self.close_window(record, board);
                self.state
                    .activate(choice, version)
                    .map_err(ActivateError::Flash)?;
                self.note(EventCode::ACTIVATED, 0, Some(choice.bundle), record, board);
                self.reload = true;
                Ok(choice.bundle)
            }
            Err(error) => {
                let is_whole = !matches!(
                    error,
                    ActivateError::NoTransfer | ActivateError::Incomplete { .. }
                );
                if is_whole {
                    self.spare.forget().map_err(ActivateError::Flash)?;
                }
                Err(error)
            }
        }
    }

    fn judge_spare(&mut self) -> Result<(Choice, u32), ActivateError> {
        let bytes = self.spare.bundle().map_err(|error| match error {
            TransferError::Incomplete { total, held } => ActivateError::Incomplete {
                needed: total,
                got: held,
            },
            _ => ActivateError::NoTransfer,
        })?;
        let mut admitted = admit(bytes, self.backend, &self.conditions)?;
        let state = self.state.newest();
        let choice = Choice {
            slot: self.spare_index,
            bundle: admitted.id,
        };
        if !self.transfer_begun && state.previous == Some(choice) {
            return Err(ActivateError::NoTransfer);
        }
        check_version(admitted.version, admitted.id, &state)?;
        let mut workspace = Workspace {
            arena: self.arena,
            input: self.input,
            output: self.output,
        };
        self.filled = 0;
        admitted.self_test(&mut workspace)?;
        Ok((choice, admitted.version))
    }

    fn runs(&self, bundle: BundleId) -> bool {
        self.active
            .as_ref()
            .is_some_and(|active| active.id == bundle)
    }

    /// Records that something happened; a full or failing store is no reason to stop.
    pub fn note(
        &mut self,
        code: EventCode,
        detail: u32,
        bundle: Option<BundleId>,
        record: &mut [u8],
        board: &mut impl Board,
    ) {
        let origin = self.origin(board);
        let event = Event {
            code,
            detail,
            bundle,
        };
        let _ = self
            .records
            .append(origin, &event, &self.provision.credential, record);
    }

    pub fn origin(&self, board: &mut impl Board) -> Origin {
        let uptime_ms = board.now_us() / 1000;
        Origin {
            device: self.provision.device,
            firmware: self.profile.firmware,
            bundle: self.active.as_ref().map(|active| active.id),
            uptime_ms,
            time_ms: self
                .unix_ms(uptime_ms)
                .and_then(|time| u64::try_from(time).ok()),
        }
    }

    pub fn unix_ms(&self, uptime_ms: u64) -> Option<i64> {
        let offset = (*self.clock_offset_ms)?;
        offset.checked_add(i64::try_from(uptime_ms).ok()?)
    }
}
