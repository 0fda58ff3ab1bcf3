//! A device on a bench: flash in memory that can lose power, a port that is two queues, a clock that
//! ticks when it is read.

#![allow(dead_code)]

pub mod bundle;
pub mod flash;

use dunlin_runtime::{
    Board, Buffers, Device, EngineBackend, FlashFault, Next, NoSource, Parts, Profile,
    RECEIVE_BYTES, Regions, SampleSource,
};
use dunlin_wire::credential::Credential;
use dunlin_wire::frame::{self, Decoder};
use dunlin_wire::limits::{MAX_FRAME_BYTES, MAX_MESSAGE_BYTES};
use dunlin_wire::link::{Message, Reason, Reply, Request};
use dunlin_wire::provision::Provision;
use dunlin_wire::record::{Body, Event, EventCode, Kind, Record, ResetReason};
use dunlin_wire::{DeviceId, FirmwareId};
use flash::{Flash, Power};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

pub const DEVICE: DeviceId = DeviceId([0xd0; 8]);
pub const CREDENTIAL: Credential = Credential([0xc5; 32]);
pub const PAGE_BYTES: usize = 512;
pub const ARENA_BYTES: usize = 64;
pub const STACK_BYTES: usize = 1024;

pub fn profile() -> Profile<'static> {
    Profile {
        target: "bench",
        kernel_class: "reference",
        firmware: FirmwareId([0xf1; 8]),
        arena_bytes: ARENA_BYTES,
        stack_bytes: STACK_BYTES,
        reset_reason: ResetReason::POWER,
    }
}

/// The queues behind a port.
#[derive(Default)]
pub struct Line {
    pub to_device: VecDeque<u8>,
    pub from_device: VecDeque<u8>,
}

#[derive(Clone, Default)]
pub struct BenchPort(pub Rc<RefCell<Line>>);

impl embedded_io::ErrorType for BenchPort {
    type Error = core::convert::Infallible;
}

impl embedded_io::ReadReady for BenchPort {
    fn read_ready(&mut self) -> Result<bool, Self::Error> {
        Ok(!self.0.borrow().to_device.is_empty())
    }
}

impl embedded_io::Read for BenchPort {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Self::Error> {
        let mut line = self.0.borrow_mut();
        let length = bytes.len().min(line.to_device.len());
        bytes[..length]
            .iter_mut()
            .for_each(|byte| *byte = line.to_device.pop_front().unwrap_or_default());
        Ok(length)
    }
}

impl embedded_io::WriteReady for BenchPort {
    fn write_ready(&mut self) -> Result<bool, Self::Error> {
        Ok(true)
    }
}

impl embedded_io::Write for BenchPort {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        let taken = bytes.len().min(7);
        self.0.borrow_mut().from_device.extend(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// A clock that goes on by `step_us` whenever it is looked at.
pub struct BenchBoard {
    pub now_us: u64,
    pub step_us: u64,
}

impl Default for BenchBoard {
    fn default() -> Self {
        Self {
            now_us: 0,
            step_us: 10,
        }
    }
}

impl Board for BenchBoard {
    fn now_us(&mut self) -> u64 {
        self.now_us += self.step_us;
        self.now_us
    }

    fn stack_used_bytes(&mut self) -> u32 {
        4321
    }
}

/// Flash that outlives a device's starts.
pub struct Bench {
    pub slots: [Vec<u8>; 2],
    pub state: Vec<u8>,
    pub records: Vec<u8>,
    pub power: Rc<Power>,
    pub profile: Profile<'static>,
    pub next_id: u16,
    /// Whether messages are sent all at once, without waiting for replies.
    pub is_eager: bool,
    pub credential: Credential,
    /// Whether every access to the region for records fails.
    pub records_fail: bool,
    /// Whether only the flash is without power once it is cut, and the device answers on.
    pub outlives_flash: bool,
}

impl Default for Bench {
    fn default() -> Self {
        let region = |pages: usize| vec![0xff; pages * PAGE_BYTES];
        Self {
            slots: [region(8), region(8)],
            state: region(2),
            records: region(56),
            power: Rc::default(),
            profile: profile(),
            next_id: 1,
            is_eager: false,
            credential: CREDENTIAL,
            records_fail: false,
            outlives_flash: false,
        }
    }
}

/// A reply as it came, so that it can be looked at as long as one likes.
pub struct Answer(pub Vec<u8>);

impl Answer {
    pub fn reply(&self) -> Reply<'_> {
        Message::<Reply<'_>>::decode(&self.0)
            .expect("the device sends messages")
            .body
    }
}

impl Bench {
    /// A request as a message, with an id of its own.
    pub fn message(&mut self, request: Request<'_>) -> Vec<u8> {
        let mut bytes = [0; MAX_MESSAGE_BYTES];
        let length = Message {
            id: self.next_id,
            body: request,
        }
        .encode(&mut bytes)
        .expect("fits");
        self.next_id += 1;
        bytes[..length].to_vec()
    }

    /// The messages that put a bundle from `from` on, in chunks; the first holds the head.
    pub fn transfer(&mut self, bundle: &[u8], from: usize, chunk_bytes: usize) -> Vec<Vec<u8>> {
        let mut messages = vec![self.message(begin(bundle))];
        let head = if from == 0 { head_bytes(bundle) } else { 0 };
        let first = head.next_multiple_of(chunk_bytes).max(chunk_bytes);
        let first = first.min(bundle.len() - from);
        let (start, rest) = bundle[from..].split_at(first);
        messages.push(self.message(Request::PutChunk {
            offset: from as u32,
            bytes: start,
        }));
        for (index, bytes) in rest.chunks(chunk_bytes).enumerate() {
            let offset = (from + first + index * chunk_bytes) as u32;
            messages.push(self.message(Request::PutChunk { offset, bytes }));
        }
        messages
    }

    /// Puts and activates a bundle in one start and gives the reply to the activation, or to the
    /// first request that is refused, as a workstation stops there.
    pub fn install(&mut self, bundle: &[u8]) -> Answer {
        let mut messages = self.transfer(bundle, 0, 256);
        messages.push(self.message(Request::Activate));
        let mut answers = self.start(messages);
        let is_told = |answer: &Answer| match answer.reply() {
            Reply::Refused(refusal) => refusal.reason() != Some(Reason::WrongOffset),
            _ => false,
        };
        match answers.iter().position(is_told) {
            Some(refused) => answers.swap_remove(refused),
            None => answers.pop().expect("a reply to every message"),
        }
    }

    pub fn ask(&mut self, request: Request<'_>) -> Answer {
        let message = self.message(request);
        self.start(vec![message]).pop().expect("a reply")
    }

    pub fn ask_all(&mut self, requests: &[Request<'_>]) -> Vec<Answer> {
        let messages = requests
            .iter()
            .map(|request| self.message(*request))
            .collect();
        self.start(messages)
    }

    /// Starts the device, sends one message after another and gives the replies; panics when the
    /// flash fails.
    pub fn start(&mut self, messages: Vec<Vec<u8>>) -> Vec<Answer> {
        let mut answers = Vec::new();
        self.try_start(NoSource, &mut BenchBoard::default(), messages, &mut answers)
            .expect("the flash suits");
        answers
    }

    /// Starts the device and sends messages until they are answered or the power is gone.
    pub fn try_start(
        &mut self,
        source: impl SampleSource,
        board: &mut BenchBoard,
        messages: Vec<Vec<u8>>,
        answers: &mut Vec<Answer>,
    ) -> Result<(), FlashFault> {
        self.power.restore();
        let power = self.power.clone();
        let [first, second] = &mut self.slots;
        let regions = Regions {
            slots: [Flash::new(first, &power), Flash::new(second, &power)],
            state: Flash::new(&mut self.state, &power),
            records: Flash::new(&mut self.records, &power).failing(self.records_fail),
        };
        let provision = Provision {
            device: DEVICE,
            credential: self.credential.clone(),
            trusted: [bundle::public_key()].into_iter().collect(),
        };
        let (mut receive, mut reply) = ([0; RECEIVE_BYTES], [0; MAX_MESSAGE_BYTES]);
        let (mut transmit, mut arena) = ([0; MAX_FRAME_BYTES], [0; ARENA_BYTES]);
        let (mut input, mut output) = ([0.0; 8], [0; 16]);
        let port = BenchPort::default();
        let parts = Parts {
            provision,
            profile: self.profile,
            regions,
            port: port.clone(),
            source,
            backend: EngineBackend,
            buffers: Buffers {
                arena: &mut arena,
                input: &mut input,
                output: &mut output,
                receive: &mut receive,
                reply: &mut reply,
                transmit: &mut transmit,
            },
        };
        let mut device = Device::start(parts, board)?;
        let (mut messages, mut waiting) = (messages.into_iter(), 0);
        let mut decoder = Decoder::new(vec![0; RECEIVE_BYTES]);
        loop {
            let mut session = device.session();
            loop {
                while waiting == 0 || (self.is_eager && !messages.as_slice().is_empty()) {
                    let Some(message) = messages.next() else {
                        return Ok(());
                    };
                    send(&port, &message);
                    waiting += 1;
                }
                let next = session.poll(board);
                if power.is_out() && !self.outlives_flash {
                    return Ok(());
                }
                if let Some(answer) = receive_one(&port, &mut decoder) {
                    answers.push(answer);
                    waiting -= 1;
                }
                if next == Next::Reload {
                    break;
                }
            }
        }
    }
}

/// All records on the device, taken page by page; each is authentic, and they are in order.
pub fn records(bench: &mut Bench) -> Vec<Vec<u8>> {
    let (mut all, mut sequence) = (Vec::new(), 0);
    loop {
        let answer = bench.ask(Request::RecordsSince { sequence });
        let Reply::Records { records, more } = answer.reply() else {
            panic!("{:?}", answer.reply())
        };
        for record in records.iter() {
            let (parsed, rest) = Record::parse(record).expect("a record");
            assert!(rest.is_empty() && parsed.confirmed_by(&CREDENTIAL));
            assert!(parsed.header().sequence > sequence, "in order");
            sequence = parsed.header().sequence;
            all.push(record.to_vec());
        }
        if !more {
            return all;
        }
    }
}

/// The bodies of the records of a kind.
pub fn bodies<B: Body>(records: &[Vec<u8>], kind: Kind) -> Vec<B> {
    let parsed = records
        .iter()
        .map(|record| Record::parse(record).expect("a record").0);
    parsed
        .filter(|record| record.header().kind == kind)
        .map(|record| record.body().expect("a body"))
        .collect()
}

/// All recorded events of a kind.
pub fn events(bench: &mut Bench, code: EventCode) -> Vec<Event> {
    let mut all: Vec<Event> = bodies(&records(bench), Kind::EVENT);
    all.retain(|event| event.code == code);
    all
}

/// Announces a bundle.
pub fn begin(bundle: &[u8]) -> Request<'static> {
    let digest =
        dunlin_wire::bundle::digest(bundle).unwrap_or_else(|_| dunlin_wire::Digest::of(bundle));
    Request::PutBegin {
        total_bytes: bundle.len() as u32,
        digest: digest.0,
    }
}

/// Bytes of a bundle's header and COSE_Sign1; 0 where there is none.
pub fn head_bytes(bundle: &[u8]) -> usize {
    dunlin_wire::bundle::signed_bytes(bundle).map_or(0, |signed| 16 + signed.len())
}

pub fn send(port: &BenchPort, message: &[u8]) {
    let mut line = vec![0; MAX_FRAME_BYTES];
    let length = frame::encode(message, &mut line).expect("fits");
    port.0.borrow_mut().to_device.extend(&line[..length]);
}

fn receive_one(port: &BenchPort, decoder: &mut Decoder<Vec<u8>>) -> Option<Answer> {
    while let Some(byte) = port.0.borrow_mut().from_device.pop_front() {
        if let Some(message) = decoder.push(byte).expect("the device sends frames") {
            return Some(Answer(message.to_vec()));
        }
    }
    None
}

pub fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}
