//! A device at work with one bundle, until another one is activated.

mod observe;
mod update;

pub(crate) use update::Transfer;

use crate::admit::{ActivateError, Admitted, Conditions, Workspace};
use crate::allowance::Allowance;
use crate::backend::Backend;
use crate::device::{Board, Profile};
use crate::flash::{FlashFault, MappedFlash};
use crate::records::{Origin, Records};
use crate::slot::Slot;
use crate::source::SampleSource;
use crate::state::Choices;
use crate::wire::{Port, Wire};
use dunlin_monitor::Monitor;
use dunlin_wire::BundleId;
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
    /// The setback, until a record tells of it.
    pub(crate) unrecorded: Option<ActivateError>,
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
    pub workspace: &'s mut Workspace<'d>,
    pub clock_offset_ms: &'s mut Option<i64>,
    /// Values of the next input that the sensor has given so far.
    pub filled: usize,
    pub sampling: Option<SampleTime>,
    pub reload: bool,
    pub transfer: Transfer,
    pub allowance: &'s mut Allowance,
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

impl<F: MappedFlash, P: Port, S: SampleSource, B: Backend> Session<'_, '_, F, P, S, B> {
    /// Serves the link and the sensor as far as that goes without waiting.
    ///
    /// Costs nothing to speak of when there is nothing to do; otherwise an inference for every
    /// input, and for a request what the request says. The first poll after a
    /// [`setback`](Self::setback) records it, once for each activation.
    pub fn poll(&mut self, board: &mut impl Board) -> Next {
        let core = &mut self.core;
        if let Some(error) = self.unrecorded.take() {
            core.record_setback(error, self.reply, board);
        }
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
    /// Records that something happened; a full or failing store is no reason to stop.
    pub fn note(&mut self, event: Event, record: &mut [u8], board: &mut impl Board) {
        let origin = self.origin(board);
        let _ = self
            .records
            .append(origin, &event, &self.provision.credential, record);
    }

    /// Records that the active bundle does not run, and remembers that; what cannot be remembered is
    /// recorded again after the next start.
    #[inline(never)]
    fn record_setback(&mut self, error: ActivateError, record: &mut [u8], board: &mut impl Board) {
        let event = Event {
            code: EventCode::ROLLED_BACK,
            detail: error.refusal().code.into(),
            bundle: self.state.newest().active.map(|choice| choice.bundle),
        };
        self.note(event, record, board);
        if self.records.fault().is_none() {
            let _ = self.state.setback_recorded();
        }
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
