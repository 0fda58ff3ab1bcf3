//! The thread that owns the device: every message and every sample passes here, one at a time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dunlin_runtime::{
    Board, Buffers, Device, FlashFault, Next, NoSource, ObserveError, Parts, Profile,
    RECEIVE_BYTES, Regions, Session,
};
use dunlin_wire::limits::{MAX_FRAME_BYTES, MAX_INPUT_ELEMENTS, MAX_MESSAGE_BYTES};
use dunlin_wire::link::{Message, Reply, Request};
use dunlin_wire::provision::Provision;
use dunlin_wire::record::ResetReason;
use dunlin_wire::{Digest, FirmwareId};

use crate::backend::{LinuxBackend, Shapes};
use crate::events::{CurrentShape, Event, Inbox};
use crate::file_flash::FileFlash;
use crate::log::log;
use crate::pipe::{Pipe, PipePort, pipe};
use crate::samples::Sample;
use crate::upload::Waker;

/// Bytes of memory a plan may run in.
pub const ARENA_BYTES: usize = 1024 * 1024;
/// Bytes of stack a plan may use.
pub const STACK_BYTES: usize = 64 * 1024;
/// Bytes of all outputs of a model.
const OUTPUT_BYTES: usize = 256 * 1024;
/// The kernel class of this build's plans.
pub const KERNEL_CLASS: &str = "reference";
/// How long the thread sleeps when nothing happens.
const IDLE: Duration = Duration::from_secs(1);
/// How often the system's clock is told to the device.
const CLOCK_PERIOD: Duration = Duration::from_secs(600);
/// Polls after which a message without an answer is given up: each takes hundreds of bytes.
const MAX_POLLS: usize = 64;
/// 2020-01-01: a clock that says less was never set.
const EARLIEST_UNIX_MS: i64 = 1_577_836_800_000;

pub(crate) type AgentSession<'s, 'd> = Session<'s, 'd, FileFlash, PipePort, NoSource, LinuxBackend>;

/// What the device is made of.
pub(crate) struct AgentParts<'a> {
    pub provision: Provision,
    pub target: &'a str,
    pub regions: Regions<FileFlash>,
    pub inbox: Inbox,
    pub shape: CurrentShape,
    /// A bundle to run before anything else.
    pub first_bundle: Option<Vec<u8>>,
    /// Whether the end of standard input ends the agent.
    pub until_end: bool,
    /// Whether a bundle can come over a link.
    pub has_link: bool,
}

/// Time since the start, from the system's steady clock.
struct Clock(Instant);

impl Board for Clock {
    fn now_us(&mut self) -> u64 {
        u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// What is kept from one session to the next.
pub(crate) struct Agent {
    pipe: Pipe,
    clock: Clock,
    inbox: Inbox,
    shape: CurrentShape,
    shapes: Shapes,
    uploader: Option<Waker>,
    /// Unix time of the last sample, ms.
    last_sample_ms: u64,
    clock_told: Option<Instant>,
    until_end: bool,
}

/// What comes after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    Continue,
    Reload,
    Stop,
}

/// Why the agent ended other than as it was told.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A flash region failed at the start.
    Flash(FlashFault),
    /// The bundle to begin with is refused.
    FirstBundle(String),
    /// No bundle runs, for this reason, and there is no link that one could come over.
    NoBundle(String),
}

impl From<FlashFault> for Failure {
    fn from(fault: FlashFault) -> Self {
        Self::Flash(fault)
    }
}

/// Memory the device works in.
struct Memory {
    arena: Vec<u8>,
    input: Vec<f32>,
    output: Vec<u8>,
    receive: [u8; RECEIVE_BYTES],
    reply: [u8; MAX_MESSAGE_BYTES],
    transmit: [u8; MAX_FRAME_BYTES],
}

impl Memory {
    fn new() -> Self {
        Self {
            arena: vec![0; ARENA_BYTES],
            input: vec![0.0; MAX_INPUT_ELEMENTS],
            output: vec![0; OUTPUT_BYTES],
            receive: [0; RECEIVE_BYTES],
            reply: [0; MAX_MESSAGE_BYTES],
            transmit: [0; MAX_FRAME_BYTES],
        }
    }

    fn buffers(&mut self) -> Buffers<'_> {
        Buffers {
            arena: &mut self.arena,
            input: &mut self.input,
            output: &mut self.output,
            receive: &mut self.receive,
            reply: &mut self.reply,
            transmit: &mut self.transmit,
        }
    }
}

/// Runs the device until told to stop. `started` is told the acknowledged sequence number once the
/// device is up and has taken its first bundle, and returns the handle that is told of new records.
///
/// # Errors
/// [`Failure`], before `started` was called.
pub(crate) fn run(
    parts: AgentParts<'_>,
    started: impl FnOnce(u32) -> Option<Waker>,
) -> Result<(), Failure> {
    let (pipe, port) = pipe();
    let backend = LinuxBackend::default();
    let (mut memory, mut first_bundle) = (Memory::new(), parts.first_bundle);
    let mut agent = Agent {
        pipe,
        clock: Clock(Instant::now()),
        inbox: parts.inbox,
        shape: parts.shape,
        shapes: backend.shapes(),
        uploader: None,
        last_sample_ms: 0,
        clock_told: None,
        until_end: parts.until_end,
    };
    let device = Parts {
        provision: parts.provision,
        profile: profile(parts.target),
        regions: parts.regions,
        port,
        source: NoSource,
        backend,
        buffers: memory.buffers(),
    };
    let mut device = Device::start(device, &mut agent.clock)?;
    let mut started = Some(started);
    loop {
        let mut session = device.session();
        if let Some(file) = first_bundle.take()
            && agent
                .install(&mut session, &file)
                .map_err(Failure::FirstBundle)?
                == After::Reload
        {
            continue;
        }
        report_standing(&session, parts.has_link)?;
        if let Some(started) = started.take() {
            agent.uploader = started(agent.acknowledged(&mut session));
        }
        if agent.serve(&mut session) == After::Stop {
            return Ok(());
        }
    }
}

/// Says on standard error what is wrong when not the bundle runs that was activated last.
fn report_standing(session: &AgentSession<'_, '_>, has_link: bool) -> Result<(), Failure> {
    match (session.bundle(), session.setback()) {
        (Some(_), None) => {}
        (Some(bundle), Some(reason)) => log(format_args!(
            "the bundle activated last does not run: {reason}; bundle {bundle}, which ran before it, does"
        )),
        (None, reason) => {
            let reason = reason.map_or("none was activated here".into(), |reason| {
                format!("the one activated last is refused: {reason}")
            });
            if !has_link {
                return Err(Failure::NoBundle(reason));
            }
            log(format_args!(
                "no bundle runs: {reason}. Samples wait until one comes over the link (`dunlin flash`); \
                 or start with --bundle FILE"
            ));
        }
    }
    Ok(())
}

fn profile(target: &str) -> Profile<'_> {
    Profile {
        target,
        kernel_class: KERNEL_CLASS,
        firmware: firmware(),
        arena_bytes: ARENA_BYTES,
        stack_bytes: STACK_BYTES,
        reset_reason: ResetReason::UNKNOWN,
    }
}

/// The first bytes of the hash of this very program; zeros where the system does not show it.
fn firmware() -> FirmwareId {
    let program = std::env::current_exe()
        .and_then(std::fs::read)
        .unwrap_or_default();
    let digest = Digest::of(&program);
    FirmwareId(digest.0.first_chunk().copied().unwrap_or_default())
}

impl Agent {
    /// Works with one bundle until another one is activated or the agent is told to stop.
    fn serve(&mut self, session: &mut AgentSession<'_, '_>) -> After {
        self.shape
            .set(session.bundle().and_then(|bundle| self.shapes.of(bundle)));
        loop {
            self.tell_time(session);
            let after = match self.inbox.next(IDLE) {
                Some(event) => self.take(session, event),
                None => After::Continue,
            };
            if after != After::Continue {
                return after;
            }
        }
    }

    fn take(&mut self, session: &mut AgentSession<'_, '_>, event: Event) -> After {
        match event {
            Event::Message {
                is_own,
                message,
                reply,
            } => {
                let (answer, after) = self.transact(session, &message);
                if let Some(answer) = answer {
                    let _ = reply.send(answer);
                }
                if !is_own {
                    self.wake_uploader();
                }
                after
            }
            Event::Sample(sample) => self.observe(session, &sample),
            Event::BadLine => self.observe_failure(session),
            Event::InputEnded if self.until_end => After::Stop,
            Event::InputEnded => After::Continue,
            Event::Stop => After::Stop,
        }
    }

    fn observe(&mut self, session: &mut AgentSession<'_, '_>, sample: &Sample) -> After {
        let time_ms = sample.time_ms.unwrap_or_else(unix_ms);
        self.last_sample_ms = u64::try_from(time_ms).unwrap_or(0);
        let observed = session.observe(self.last_sample_ms, &sample.values, &mut self.clock);
        self.note(observed)
    }

    /// A line that could not be read counts as an input that failed, at the time of the one before.
    fn observe_failure(&mut self, session: &mut AgentSession<'_, '_>) -> After {
        if self.last_sample_ms == 0 {
            self.last_sample_ms = u64::try_from(unix_ms()).unwrap_or(0);
        }
        let observed = session.observe_failure(self.last_sample_ms, &mut self.clock);
        self.note(observed)
    }

    fn note(&self, observed: Result<bool, ObserveError>) -> After {
        match observed {
            Ok(true) => self.wake_uploader(),
            Ok(false) => {}
            Err(error) => log(format_args!("a sample was not observed: {error}")),
        }
        After::Continue
    }

    fn wake_uploader(&self) {
        if let Some(uploader) = &self.uploader {
            uploader.wake();
        }
    }

    /// Has the device answer one message; `None` for what is no message.
    fn transact(
        &mut self,
        session: &mut AgentSession<'_, '_>,
        message: &[u8],
    ) -> (Option<Vec<u8>>, After) {
        let mut after = After::Continue;
        if !self.pipe.send(message) {
            return (None, after);
        }
        for _ in 0..MAX_POLLS {
            if session.poll(&mut self.clock) == Next::Reload {
                after = After::Reload;
            }
            if let Some(answer) = self.pipe.receive() {
                return (Some(answer), after);
            }
        }
        (None, after)
    }

    /// Has the device answer a request of the process itself.
    pub(crate) fn ask<T>(
        &mut self,
        session: &mut AgentSession<'_, '_>,
        request: Request<'_>,
        read: impl FnOnce(Reply<'_>) -> Option<T>,
    ) -> (Option<T>, After) {
        let mut message = vec![0; MAX_MESSAGE_BYTES];
        let Ok(length) = (Message {
            id: 0,
            body: request,
        })
        .encode(&mut message) else {
            return (None, After::Continue);
        };
        let (answer, after) = self.transact(session, &message[..length]);
        let answer = answer.unwrap_or_default();
        let reply = Message::<Reply<'_>>::decode(&answer).ok();
        (reply.and_then(|reply| read(reply.body)), after)
    }

    fn acknowledged(&mut self, session: &mut AgentSession<'_, '_>) -> u32 {
        let (acknowledged, _) = self.ask(session, Request::Info, |reply| match reply {
            Reply::Info(info) => Some(info.acknowledged_sequence),
            _ => None,
        });
        acknowledged.unwrap_or(0)
    }

    /// Tells the device the time of day, now and then; not from a clock that was never set.
    fn tell_time(&mut self, session: &mut AgentSession<'_, '_>) {
        let unix_ms = unix_ms();
        let is_due = self
            .clock_told
            .is_none_or(|told| told.elapsed() >= CLOCK_PERIOD);
        if is_due && unix_ms >= EARLIEST_UNIX_MS {
            self.clock_told = Some(Instant::now());
            let _ = self.ask(session, Request::Time { unix_ms }, |_| Some(()));
        }
    }
}

fn unix_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
