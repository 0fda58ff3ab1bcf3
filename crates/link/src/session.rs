//! One request at a time, asked until it is answered.

use crate::address::Address;
use crate::answers::{Inference, Info, Observed, Progress, RecordsPage};
use crate::error::{Garbage, LinkError};
use crate::port::{self, Port};
use dunlin_wire::BundleId;
use dunlin_wire::frame::{self, Decoder};
use dunlin_wire::limits::{MAX_FRAME_BYTES, MAX_MESSAGE_BYTES};
use dunlin_wire::link::{
    MAX_OVERHEAD_BYTES, Message, Reason, Reply, Request, SAMPLE_TIME_BYTES, Sample, Samples,
};
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long to wait and how often to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// How long to wait for a reply before asking again.
    pub timeout: Duration,
    /// The same for [`Link::activate`], for which a device checks a signature and runs its golden vectors.
    pub activate_timeout: Duration,
    /// How often a request is sent in all; at least 1.
    pub attempts: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            activate_timeout: Duration::from_secs(30),
            attempts: 5,
        }
    }
}

/// A device at the other end of a port.
pub struct Link {
    port: Box<dyn Port>,
    decoder: Decoder<Vec<u8>>,
    options: Options,
    next_id: u16,
    message_bytes: usize,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link")
            .field("options", &self.options)
            .field("next_id", &self.next_id)
            .finish_non_exhaustive()
    }
}

impl Link {
    /// Opens `tcp:HOST:PORT`, `unix:PATH` or `serial:PATH[:BAUD]`.
    ///
    /// # Errors
    /// [`LinkError::Address`] or [`LinkError::Open`]; the device itself is not asked anything yet.
    pub fn open(address: &str) -> Result<Self, LinkError> {
        Self::open_with(&address.parse()?, Options::default())
    }

    /// [`Link::open`] with a parsed address and other patience.
    ///
    /// # Errors
    /// [`LinkError::Open`].
    pub fn open_with(address: &Address, options: Options) -> Result<Self, LinkError> {
        Ok(Self::over(
            port::open(address, options.connect_timeout)?,
            options,
        ))
    }

    /// A link over a port that is open already.
    pub fn over(port: Box<dyn Port>, options: Options) -> Self {
        let decoder = Decoder::new(vec![0; MAX_MESSAGE_BYTES + frame::CHECKSUM_BYTES]);
        Self {
            port,
            decoder,
            options,
            next_id: starting_id(),
            message_bytes: MAX_MESSAGE_BYTES,
        }
    }

    /// Who the device is, what it runs, what it can hold and how it is.
    ///
    /// # Errors
    /// Any [`LinkError`] of a request.
    pub fn info(&mut self) -> Result<Info, LinkError> {
        let info = self.ask(Request::Info, |reply| match reply {
            Reply::Info(info) => Some(Info::from(info)),
            _ => None,
        })?;
        self.message_bytes =
            (info.limits.message_bytes as usize).clamp(2 * MAX_OVERHEAD_BYTES, MAX_MESSAGE_BYTES);
        Ok(info)
    }

    /// Sends a bundle to the slot that does not run, from where an earlier transfer of the same
    /// bundle ended. `progress` is called at the start and after every chunk.
    ///
    /// # Errors
    /// [`LinkError::Bundle`] for what is none; [`LinkError::Refused`] already at its first bytes when
    /// the device would not run it; any [`LinkError`] of a request. What was sent until then stays,
    /// and another call goes on there.
    pub fn put_bundle(
        &mut self,
        bundle: &[u8],
        mut progress: impl FnMut(Progress),
    ) -> Result<(), LinkError> {
        let total_bytes = u32::try_from(bundle.len()).map_err(|_| LinkError::BundleTooLong {
            bytes: bundle.len(),
        })?;
        let digest = dunlin_wire::bundle::digest(bundle)
            .map_err(LinkError::Bundle)?
            .0;
        self.info()?;
        let mut held_bytes = self.ask(
            Request::PutBegin {
                total_bytes,
                digest,
            },
            |reply| match reply {
                Reply::PutBegin { held_bytes } => Some(held_bytes),
                _ => None,
            },
        )?;
        progress(Progress {
            held_bytes,
            total_bytes,
        });
        while held_bytes < total_bytes {
            held_bytes = self.put_chunk(bundle, held_bytes)?;
            progress(Progress {
                held_bytes,
                total_bytes,
            });
        }
        Ok(())
    }

    fn put_chunk(&mut self, bundle: &[u8], offset: u32) -> Result<u32, LinkError> {
        let rest = bundle.get(offset as usize..).unwrap_or_default();
        let bytes = &rest[..rest.len().min(self.payload_bytes())];
        let held_bytes = self.ask(Request::PutChunk { offset, bytes }, |reply| match reply {
            Reply::PutChunk { held_bytes } => Some(held_bytes),
            _ => None,
        })?;
        if held_bytes <= offset {
            Err(LinkError::Stuck { held_bytes })
        } else {
            Ok(held_bytes)
        }
    }

    /// Makes the device check the bundle that was put, try it on its golden vectors and run it.
    ///
    /// # Errors
    /// [`LinkError::Refused`] when the bundle is not to be run; the device goes on with what it had.
    pub fn activate(&mut self) -> Result<BundleId, LinkError> {
        let timeout = self.options.activate_timeout;
        self.ask_within(timeout, Request::Activate, |reply| match reply {
            Reply::Activate { bundle } => Some(bundle),
            _ => None,
        })
    }

    /// As many records with sequence numbers above `sequence` as fit one reply, oldest first.
    ///
    /// # Errors
    /// Any [`LinkError`] of a request.
    pub fn records_since(&mut self, sequence: u32) -> Result<RecordsPage, LinkError> {
        self.ask(Request::RecordsSince { sequence }, |reply| match reply {
            Reply::Records { records, more } => Some(RecordsPage {
                records: records.iter().map(<[u8]>::to_vec).collect(),
                more,
            }),
            _ => None,
        })
    }

    /// Tells the device that records up to and including `up_to` are safe; `tag` proves the right
    /// to say so. Returns the highest sequence number acknowledged so far.
    ///
    /// # Errors
    /// [`LinkError::Refused`] when the tag is not the credential's or there is no such record.
    pub fn acknowledge(&mut self, up_to: u32, tag: [u8; 16]) -> Result<u32, LinkError> {
        self.ask(Request::Acknowledge { up_to, tag }, |reply| match reply {
            Reply::Acknowledge { up_to } => Some(up_to),
            _ => None,
        })
    }

    /// Tells the device the time, ms since 1970-01-01 UTC.
    ///
    /// # Errors
    /// Any [`LinkError`] of a request.
    pub fn set_time(&mut self, unix_ms: i64) -> Result<(), LinkError> {
        self.ask(Request::Time { unix_ms }, |reply| {
            matches!(reply, Reply::Time).then_some(())
        })
    }

    /// Has the device observe `samples` as if its own sensor had made them, as many a message as fit. `progress` is
    /// called after every message with what was observed until then, also after one that the device ended half-way.
    ///
    /// # Errors
    /// Any [`LinkError`] of a request; what `progress` was told last has been observed by then, and where no reply came
    /// at all perhaps the samples of one more message.
    pub fn observe(
        &mut self,
        samples: &[Sample<'_>],
        mut progress: impl FnMut(Observed),
    ) -> Result<Observed, LinkError> {
        let mut observed = Observed::default();
        for alike in samples.chunk_by(|a, b| a.input.len() == b.input.len()) {
            let sample_bytes =
                SAMPLE_TIME_BYTES + alike.first().map_or(0, |sample| sample.input.len());
            for message in alike.chunks((self.payload_bytes() / sample_bytes).max(1)) {
                let part = self.observe_message(message);
                let taken = part
                    .as_ref()
                    .map_or_else(taken_before_refusal, |part| *part);
                observed.samples += taken.samples;
                observed.windows_closed += taken.windows_closed;
                progress(observed);
                part?;
            }
        }
        Ok(observed)
    }

    fn observe_message(&mut self, samples: &[Sample<'_>]) -> Result<Observed, LinkError> {
        let input_bytes = samples.first().map_or(0, |sample| sample.input.len());
        let input_bytes = u16::try_from(input_bytes).map_err(|_| self.too_long())?;
        let packed: Vec<u8> = samples
            .iter()
            .flat_map(|s| {
                s.time_ms
                    .to_le_bytes()
                    .into_iter()
                    .chain(s.input.iter().copied())
            })
            .collect();
        self.ask(
            Request::Observe(Samples {
                input_bytes,
                packed: &packed,
            }),
            |reply| match reply {
                Reply::Observe {
                    samples,
                    windows_closed,
                } => Some(Observed {
                    samples: samples.into(),
                    windows_closed: windows_closed.into(),
                }),
                _ => None,
            },
        )
    }

    /// One inference that is not monitored. `input` is little-endian `f32`, steps × channels.
    ///
    /// # Errors
    /// [`LinkError::Refused`] when no bundle runs or the input has another length than its model takes.
    pub fn infer(&mut self, input: &[u8]) -> Result<Inference, LinkError> {
        self.ask(Request::Infer { input }, |reply| match reply {
            Reply::Infer { output, latency_us } => Some(Inference {
                output: output.to_vec(),
                latency_us,
            }),
            _ => None,
        })
    }

    /// Ends the current monitoring window; returns whether there was one.
    ///
    /// # Errors
    /// Any [`LinkError`] of a request.
    pub fn close_window(&mut self) -> Result<bool, LinkError> {
        self.ask(Request::CloseWindow, |reply| match reply {
            Reply::CloseWindow { closed } => Some(closed),
            _ => None,
        })
    }

    fn payload_bytes(&self) -> usize {
        self.message_bytes - MAX_OVERHEAD_BYTES
    }

    fn too_long(&self) -> LinkError {
        LinkError::RequestTooLong(dunlin_wire::link::MessageError::TooLong {
            limit: self.message_bytes,
        })
    }

    fn ask<T>(
        &mut self,
        request: Request<'_>,
        answer: impl Fn(Reply<'_>) -> Option<T>,
    ) -> Result<T, LinkError> {
        self.ask_within(self.options.timeout, request, answer)
    }

    fn ask_within<T>(
        &mut self,
        timeout: Duration,
        request: Request<'_>,
        answer: impl Fn(Reply<'_>) -> Option<T>,
    ) -> Result<T, LinkError> {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        let line = self.framed(id, request)?;
        let mut last_garbage = None;
        for _ in 0..self.options.attempts.max(1) {
            self.port.write_all(&line)?;
            self.port.flush()?;
            let deadline = Instant::now() + timeout;
            if let Some(answered) = self.wait(id, deadline, &answer, &mut last_garbage)? {
                return Ok(answered);
            }
        }
        Err(LinkError::NoReply {
            attempts: self.options.attempts.max(1),
            timeout,
            last_garbage,
        })
    }

    /// A delimiter, so that the device lets go of half a frame, then the request.
    fn framed(&self, id: u16, body: Request<'_>) -> Result<Vec<u8>, LinkError> {
        let mut message = [0; MAX_MESSAGE_BYTES];
        let length = Message { id, body }
            .encode(&mut message[..self.message_bytes])
            .map_err(LinkError::RequestTooLong)?;
        let mut line = vec![frame::DELIMITER; 1 + MAX_FRAME_BYTES];
        let framed =
            frame::encode(&message[..length], &mut line[1..]).map_err(|_| self.too_long())?;
        line.truncate(1 + framed);
        Ok(line)
    }

    /// Reads until the reply to `id` has come (`Some`) or `deadline` has passed (`None`).
    fn wait<T>(
        &mut self,
        id: u16,
        deadline: Instant,
        answer: impl Fn(Reply<'_>) -> Option<T>,
        last_garbage: &mut Option<Garbage>,
    ) -> Result<Option<T>, LinkError> {
        let mut bytes = [0; 512];
        while let Some(left) = deadline
            .checked_duration_since(Instant::now())
            .filter(|left| !left.is_zero())
        {
            self.port
                .set_read_timeout(left.max(Duration::from_millis(1)))?;
            let length = read_some(&mut *self.port, &mut bytes)?;
            let mut answered = None;
            for &byte in &bytes[..length] {
                match self.decoder.push(byte) {
                    Ok(None) => {}
                    Ok(Some(message)) => match Message::<Reply<'_>>::decode(message) {
                        Ok(reply) if reply.id == id => answered = Some(judge(reply.body, &answer)),
                        Ok(_) => {}
                        Err(error) => *last_garbage = Some(Garbage::Message(error)),
                    },
                    Err(error) => *last_garbage = Some(Garbage::Frame(error)),
                }
            }
            if let Some(answered) = answered {
                return answered.map(Some);
            }
        }
        Ok(None)
    }
}

/// What a device observed of a message before its storage failed.
fn taken_before_refusal(error: &LinkError) -> Observed {
    match error {
        LinkError::Refused(refusal) if refusal.reason() == Some(Reason::StorageFailed) => {
            Observed {
                samples: refusal.got.into(),
                windows_closed: 0,
            }
        }
        _ => Observed::default(),
    }
}

fn judge<T>(reply: Reply<'_>, answer: impl Fn(Reply<'_>) -> Option<T>) -> Result<T, LinkError> {
    match reply {
        Reply::Refused(refusal) => Err(LinkError::Refused(refusal)),
        reply => answer(reply).ok_or(LinkError::WrongReply),
    }
}

/// Reads what there is; 0 when the time was up.
fn read_some(port: &mut dyn Port, bytes: &mut [u8]) -> Result<usize, LinkError> {
    match port.read(bytes) {
        Ok(0) => Err(io::Error::from(ErrorKind::UnexpectedEof).into()),
        Ok(length) => Ok(length),
        Err(error) => match error.kind() {
            ErrorKind::TimedOut | ErrorKind::WouldBlock | ErrorKind::Interrupted => Ok(0),
            _ => Err(error.into()),
        },
    }
}

/// Differs from session to session, so that a device does not take a new session's first request
/// for an old one sent again.
fn starting_id() -> u16 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    (now.subsec_nanos() >> 4) as u16
        ^ (now.as_secs() as u16).rotate_left(8)
        ^ (std::process::id() as u16)
}
