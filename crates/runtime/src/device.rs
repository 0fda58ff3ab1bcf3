//! A device: what it is made of, and how it starts.

use crate::admit::{ActivateError, Admitted, Conditions, Workspace, admit};
use crate::allowance::Allowance;
use crate::backend::{Backend, Model};
use crate::flash::{FlashFault, MappedFlash, Regions};
use crate::records::{Origin, Records};
use crate::session::{Core, Session, Transfer};
use crate::slot::Slot;
use crate::source::SampleSource;
use crate::state::{Choice, Choices, State};
use crate::wire::{Port, Wire};
use dunlin_wire::FirmwareId;
use dunlin_wire::frame::CHECKSUM_BYTES;
use dunlin_wire::limits::{MAX_FRAME_BYTES, MAX_MESSAGE_BYTES};
use dunlin_wire::provision::Provision;
use dunlin_wire::record::{Boot, ResetReason};

/// What a board can tell at any time.
pub trait Board {
    /// Time since the start, µs; never goes back.
    fn now_us(&mut self) -> u64;

    /// Stack used so far at the deepest, bytes; 0 where it is not measured.
    fn stack_used_bytes(&mut self) -> u32 {
        0
    }
}

/// What kind of device this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile<'d> {
    /// Name of the target; bundles for another are refused.
    pub target: &'d str,
    /// Name of the kernel class that plans must be packed for.
    pub kernel_class: &'d str,
    /// The firmware build.
    pub firmware: FirmwareId,
    /// Bytes of arena there are.
    pub arena_bytes: usize,
    /// Bytes of stack a model may use.
    pub stack_bytes: usize,
    /// Why the board started.
    pub reset_reason: ResetReason,
}

/// Memory the device works in.
#[derive(Debug)]
pub struct Buffers<'d> {
    /// Where a model runs.
    pub arena: &'d mut [u8],
    /// One model input: steps × channels values.
    pub input: &'d mut [f32],
    /// All outputs of a model.
    pub output: &'d mut [u8],
    /// A message as it comes in.
    pub receive: &'d mut [u8; RECEIVE_BYTES],
    /// A reply before it is framed, or a record before it is stored.
    pub reply: &'d mut [u8; MAX_MESSAGE_BYTES],
    /// A reply as it goes out.
    pub transmit: &'d mut [u8; MAX_FRAME_BYTES],
}

/// Bytes of [`Buffers::receive`].
pub const RECEIVE_BYTES: usize = MAX_MESSAGE_BYTES + CHECKSUM_BYTES;

/// Everything a device is made of.
#[derive(Debug)]
pub struct Parts<'d, F, P, S, B> {
    /// Who the device is.
    pub provision: Provision,
    /// What kind of device it is.
    pub profile: Profile<'d>,
    /// Its flash.
    pub regions: Regions<F>,
    /// Its link.
    pub port: P,
    /// Its sensor.
    pub source: S,
    /// What runs its models.
    pub backend: B,
    /// Its memory.
    pub buffers: Buffers<'d>,
}

/// A device. It does nothing by itself: [`Device::session`] and then [`Session::poll`] make it go.
#[derive(Debug)]
pub struct Device<'d, F, P, S, B> {
    pub(crate) provision: Provision,
    pub(crate) profile: Profile<'d>,
    slots: [Slot<F>; 2],
    state: Choices<F>,
    records: Records<F>,
    wire: Wire<'d, P>,
    source: S,
    backend: B,
    workspace: Workspace<'d>,
    reply: &'d mut [u8],
    /// Unix time less uptime, ms, once somebody has told the time.
    clock_offset_ms: Option<i64>,
    allowance: Allowance,
}

impl<'d, F, P, S, B> Device<'d, F, P, S, B>
where
    F: MappedFlash,
    P: Port,
    S: SampleSource,
    B: Backend,
{
    /// Looks at the flash and records the start. A device whose region for records does not suit or
    /// fails runs its bundle without recording, and so does one without a credential of its own; its
    /// answer to [`Request::Info`](dunlin_wire::link::Request::Info) says why.
    ///
    /// # Errors
    /// When a region for bundles or state does not suit or fails.
    pub fn start(parts: Parts<'d, F, P, S, B>, board: &mut impl Board) -> Result<Self, FlashFault> {
        let Regions {
            slots: [first, second],
            state,
            records,
        } = parts.regions;
        let buffers = parts.buffers;
        let is_provisioned = parts.provision.is_provisioned();
        let mut device = Self {
            provision: parts.provision,
            profile: parts.profile,
            slots: [Slot::open(first)?, Slot::open(second)?],
            state: Choices::open(state)?,
            records: Records::open(records, is_provisioned),
            wire: Wire::new(parts.port, buffers.receive, buffers.transmit),
            source: parts.source,
            backend: parts.backend,
            workspace: Workspace {
                arena: buffers.arena,
                input: buffers.input,
                output: buffers.output,
            },
            reply: buffers.reply,
            clock_offset_ms: None,
            allowance: Allowance::default(),
        };
        device.record_start(board.now_us() / 1000);
        Ok(device)
    }

    /// Records the start, if it can: why not stands in the device's answer to who it is.
    fn record_start(&mut self, uptime_ms: u64) {
        let origin = Origin {
            device: self.provision.device,
            firmware: self.profile.firmware,
            bundle: None,
            uptime_ms,
            time_ms: None,
        };
        let body = Boot {
            reason: self.profile.reset_reason,
        };
        let _ = self
            .records
            .append(origin, &body, &self.provision.credential, self.reply);
    }

    /// Takes up the newest bundle that can run: the active one, else the one before it, else none.
    ///
    /// Costs the verification of a signature and a hash over each bundle tried.
    pub fn session(&mut self) -> Session<'_, 'd, F, P, S, B> {
        let conditions = conditions(
            &self.profile,
            &self.provision,
            &self.source,
            &self.workspace,
        );
        let state = self.state.newest();
        let setback = setback(&mut self.slots, &state, &mut self.backend, &conditions);
        let chosen = setback.map_or(state.active, |_| state.previous);
        let (running, spare, spare_index) = sides(&mut self.slots, chosen);
        let taken = take_up(running, chosen, &mut self.backend, &conditions);
        let setback = setback.or(taken.as_ref().err().copied());
        let mut active = taken.unwrap_or_default();
        if let Some(active) = &mut active {
            active.model.reset(self.workspace.arena);
        }
        Session {
            wire: &mut self.wire,
            source: &mut self.source,
            core: Core {
                provision: &self.provision,
                profile: &self.profile,
                conditions,
                monitor: active.as_ref().and_then(Admitted::monitor),
                active,
                spare,
                spare_index,
                state: &mut self.state,
                records: &mut self.records,
                backend: &mut self.backend,
                workspace: &mut self.workspace,
                clock_offset_ms: &mut self.clock_offset_ms,
                allowance: &mut self.allowance,
                transfer: Transfer::None,
                filled: 0,
                sampling: None,
                reload: false,
            },
            reply: self.reply,
            setback,
            unrecorded: setback.filter(|_| !state.is_setback_recorded),
        }
    }
}

/// What a bundle must suit.
fn conditions<'c, S: SampleSource>(
    profile: &'c Profile<'c>,
    provision: &'c Provision,
    source: &S,
    workspace: &Workspace<'_>,
) -> Conditions<'c> {
    Conditions {
        profile,
        trusted: &provision.trusted,
        sensor_channels: source.channels(),
        input_elements: workspace.input.len(),
        output_bytes: workspace.output.len(),
    }
}

/// The slot that runs, the other one, and that one's number.
fn sides<F>(slots: &mut [Slot<F>; 2], chosen: Option<Choice>) -> (&Slot<F>, &mut Slot<F>, usize) {
    let [first, second] = slots;
    match chosen {
        Some(Choice { slot: 1, .. }) => (second, first, 0),
        _ => (first, second, 1),
    }
}

/// Why the active bundle does not run, though there is one to fall back on; its slot is then free
/// for it to come again.
#[inline(never)]
fn setback<F: MappedFlash, B: Backend>(
    slots: &mut [Slot<F>; 2],
    state: &State,
    backend: &mut B,
    conditions: &Conditions<'_>,
) -> Option<ActivateError> {
    let (active, _) = state.active.zip(state.previous)?;
    let setback = refusal_of(slots, active, backend, conditions)?;
    if let Some(slot) = slots.get_mut(active.slot) {
        slot.disregard();
    }
    Some(setback)
}

/// Why the bundle of `choice` may not run, if so.
fn refusal_of<F: MappedFlash, B: Backend>(
    slots: &[Slot<F>; 2],
    choice: Choice,
    backend: &mut B,
    conditions: &Conditions<'_>,
) -> Option<ActivateError> {
    let slot = slots.get(choice.slot).ok_or(ActivateError::NoTransfer);
    slot.and_then(|slot| run(slot, choice, backend, conditions))
        .err()
}

/// What was chosen, if anything was.
fn take_up<'s, F: MappedFlash, B: Backend>(
    slot: &'s Slot<F>,
    chosen: Option<Choice>,
    backend: &mut B,
    conditions: &Conditions<'_>,
) -> Result<Option<Admitted<'s, B::Model<'s>>>, ActivateError> {
    let run = |choice| run(slot, choice, backend, conditions);
    chosen.map(run).transpose()
}

/// The bundle of `choice`, if it is in `slot` and may run.
fn run<'s, F: MappedFlash, B: Backend>(
    slot: &'s Slot<F>,
    choice: Choice,
    backend: &mut B,
    conditions: &Conditions<'_>,
) -> Result<Admitted<'s, B::Model<'s>>, ActivateError> {
    let bytes = slot.bundle().map_err(|_| ActivateError::NoTransfer)?;
    let admitted = admit(bytes, backend, conditions)?;
    match admitted.id == choice.bundle {
        true => Ok(admitted),
        false => Err(ActivateError::NoTransfer),
    }
}
