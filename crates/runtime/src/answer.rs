//! What a device answers to each request.

use crate::backend::{Backend, Model};
use crate::device::Board;
use crate::flash::MappedFlash;
use crate::session::{Core, ObserveError};
use crate::slot::Announcement;
use dunlin_wire::limits::MAX_MESSAGE_BYTES;
use dunlin_wire::link::{
    ActiveBundle, Info, Limits, MAX_OVERHEAD_BYTES, Message, MessageError, PROTOCOL, Reason,
    Records, Refusal, Reply, Request, Samples,
};
use dunlin_wire::record::{Event, EventCode};

/// A time told is noted when it moves the clock by more than this.
const CLOCK_TOLERANCE_MS: u64 = 2000;

impl<F: MappedFlash, B: Backend> Core<'_, '_, F, B> {
    /// Answers one message in `reply` and returns the reply's length; `None` for what has no id to
    /// be answered to. `scratch` is memory for records on their way.
    pub(crate) fn answer(
        &mut self,
        message: &[u8],
        reply: &mut [u8],
        scratch: &mut [u8],
        board: &mut impl Board,
    ) -> Option<usize> {
        let (id, body) = match Message::<Request<'_>>::decode(message) {
            Ok(Message { id, body }) => (id, self.carry_out(body, scratch, reply, board)),
            Err(MessageError::Malformed {
                position,
                id: Some(id),
            }) => (id, refuse(Reason::MalformedRequest, 0, position)),
            Err(_) => return None,
        };
        let too_long = Message {
            id,
            body: refuse(Reason::ReplyTooLong, reply.len(), 0),
        };
        Message { id, body }
            .encode(reply)
            .or_else(|_| too_long.encode(reply))
            .ok()
    }

    fn carry_out<'r>(
        &'r mut self,
        request: Request<'_>,
        scratch: &'r mut [u8],
        record: &mut [u8],
        board: &mut impl Board,
    ) -> Reply<'r> {
        match request {
            Request::Info => self.info(board),
            Request::PutBegin {
                total_bytes,
                digest,
            } => {
                let announcement = Announcement {
                    total_bytes,
                    digest,
                };
                reply(self.put_begin(announcement), |held_bytes| Reply::PutBegin {
                    held_bytes,
                })
            }
            Request::PutChunk { offset, bytes } => {
                reply(self.put_chunk(offset, bytes), |held_bytes| {
                    Reply::PutChunk { held_bytes }
                })
            }
            Request::Activate => reply(self.activate(record, board), |bundle| Reply::Activate {
                bundle,
            }),
            Request::RecordsSince { sequence } => self.pack_records(sequence, scratch),
            Request::Acknowledge { up_to, tag } => self.acknowledge(up_to, &tag),
            Request::Time { unix_ms } => self.set_time(unix_ms, record, board),
            Request::Observe(samples) => self.observe_all(samples, record, board),
            Request::Infer { input } => self.infer_once(input, board),
            Request::CloseWindow => reply(self.close_window(record, board), |closed| {
                Reply::CloseWindow { closed }
            }),
            Request::Unknown { code } => refuse(Reason::UnknownRequest, 0, code.into()),
        }
    }

    fn info(&self, board: &mut impl Board) -> Reply<'_> {
        let uptime_ms = board.now_us() / 1000;
        Reply::Info(Info {
            protocol: PROTOCOL,
            device: self.provision.device,
            firmware: self.profile.firmware,
            target: self.profile.target,
            bundle: self.active.as_ref().map(|active| ActiveBundle {
                id: active.id,
                name: active.name,
                version: active.version,
                input_bytes: number(active.model.input_elements() * size_of::<f32>()),
                output_bytes: number(active.model.output_bytes()),
            }),
            lowest_version: self.state.newest().lowest_version,
            boot: self.records.boot(),
            uptime_ms,
            time_ms: self.unix_ms(uptime_ms),
            last_sequence: self.records.last_sequence(),
            acknowledged_sequence: self.records.acknowledged(),
            limits: Limits {
                bundle_bytes: self.spare.bundle_bytes(),
                arena_bytes: number(self.profile.arena_bytes),
                stack_bytes: number(self.profile.stack_bytes),
                message_bytes: number(MAX_MESSAGE_BYTES),
            },
            stack_used_bytes: board.stack_used_bytes(),
            provisioned: self.provision.is_provisioned(),
            recording_fault: self.records.fault().map(Refusal::from),
        })
    }

    fn pack_records<'r>(&mut self, sequence: u32, scratch: &'r mut [u8]) -> Reply<'r> {
        let room = scratch.len().min(MAX_MESSAGE_BYTES - MAX_OVERHEAD_BYTES);
        let block = scratch.get_mut(..room).unwrap_or_default();
        match self.records.pack(sequence, block) {
            Ok(packed) => {
                let block: &'r [u8] = block;
                Reply::Records {
                    records: Records {
                        packed: block.get(..packed.bytes).unwrap_or_default(),
                    },
                    more: packed.more,
                }
            }
            Err(fault) => Reply::Refused(fault.into()),
        }
    }

    fn acknowledge(&mut self, up_to: u32, tag: &[u8]) -> Reply<'static> {
        if !self.provision.is_provisioned() {
            return refuse(Reason::Unprovisioned, 0, 0);
        }
        if !self
            .provision
            .credential
            .confirms_acknowledgement(self.provision.device, up_to, tag)
        {
            return refuse(Reason::BadTag, 0, 0);
        }
        let last = self.records.last_sequence();
        if up_to > last {
            return Reply::Refused(Refusal::with(Reason::NotStored, last, up_to));
        }
        match self.records.acknowledge(up_to) {
            Ok(()) => Reply::Acknowledge {
                up_to: self.records.acknowledged(),
            },
            Err(fault) => Reply::Refused(fault.into()),
        }
    }

    fn set_time(
        &mut self,
        unix_ms: i64,
        record: &mut [u8],
        board: &mut impl Board,
    ) -> Reply<'static> {
        let uptime_ms = board.now_us() / 1000;
        let moved = self
            .unix_ms(uptime_ms)
            .is_none_or(|before| before.abs_diff(unix_ms) > CLOCK_TOLERANCE_MS);
        *self.clock_offset_ms = i64::try_from(uptime_ms)
            .ok()
            .and_then(|uptime| unix_ms.checked_sub(uptime));
        if moved && self.allowance.take_clock_record() {
            let event = Event {
                code: EventCode::CLOCK_SET,
                ..Event::default()
            };
            self.note(event, record, board);
        }
        Reply::Time
    }

    fn observe_all(
        &mut self,
        samples: Samples<'_>,
        record: &mut [u8],
        board: &mut impl Board,
    ) -> Reply<'static> {
        let (mut observed, mut windows_closed) = (0, 0);
        for sample in samples.iter() {
            let time_ms = u64::try_from(sample.time_ms).unwrap_or(0);
            match self.observe_bytes(time_ms, sample.input, record, board) {
                Ok(closed) => windows_closed += u16::from(closed),
                Err(ObserveError::Flash(_)) => {
                    let taken = usize::from(observed) + 1;
                    return refuse(Reason::StorageFailed, samples.iter().count(), taken);
                }
                Err(error) => return refuse_observation(error),
            }
            observed += 1;
        }
        Reply::Observe {
            samples: observed,
            windows_closed,
        }
    }

    fn infer_once(&mut self, input: &[u8], board: &mut impl Board) -> Reply<'_> {
        if let Err(error) = self.take_input(input) {
            return refuse_observation(error);
        }
        match self.infer(board) {
            Some(timed) => Reply::Infer {
                output: self
                    .workspace
                    .output
                    .get(..timed.output_bytes)
                    .unwrap_or_default(),
                latency_us: timed.latency_us,
            },
            None => refuse(Reason::RunFailed, 0, 0),
        }
    }
}

fn number(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

fn refuse(reason: Reason, needed: usize, got: usize) -> Reply<'static> {
    Reply::Refused(Refusal::with(reason, number(needed), number(got)))
}

/// What was done, as its reply, or why it was not.
fn reply<T, E: Into<Refusal>>(
    done: Result<T, E>,
    reply: impl FnOnce(T) -> Reply<'static>,
) -> Reply<'static> {
    done.map_or_else(|error| Reply::Refused(error.into()), reply)
}

fn refuse_observation(error: ObserveError) -> Reply<'static> {
    match error {
        ObserveError::NoBundle => refuse(Reason::NoBundle, 0, 0),
        ObserveError::InputSize { needed, got } => refuse(Reason::InputSize, needed, got),
        ObserveError::Flash(fault) => Reply::Refused(fault.into()),
    }
}
