//! A board in virtual time: flash that takes its time, an accelerometer with a memory of 32 steps, a
//! link that is two queues, and a script that is carried out whenever the main loop rests.

#[path = "../../../runtime/tests/support/bundle.rs"]
#[allow(dead_code)]
pub mod bundle;

use bundle::Recipe;
use core::convert::Infallible;
use core::ops::ControlFlow;
use dunlin_firmware::{
    Assembly, ByteLine, BytePort, Chip, Clock, Counter, KeepSampling, Layout, MARK_BYTES, Memory,
    Platform, RamChip, Sampler, run,
};
use dunlin_runtime::{Board, Device, NoSource, SampleSource, Sampled};
use dunlin_wire::DeviceId;
use dunlin_wire::credential::Credential;
use dunlin_wire::frame::{self, Decoder};
use dunlin_wire::limits::{MAX_FRAME_BYTES, MAX_MESSAGE_BYTES};
use dunlin_wire::link::{Message, Reply, Request};
use dunlin_wire::provision::Provision;
use dunlin_wire::record::ResetReason;
use embedded_hal::i2c::{ErrorType, I2c, Operation};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

pub const DEVICE: DeviceId = DeviceId([0xd0; 8]);
pub const CREDENTIAL: Credential = Credential([0xc5; 32]);
pub const TARGET: &str = "bench";
pub const PAGE_BYTES: usize = 4096;
pub const LAYOUT: Layout = Layout {
    page_bytes: PAGE_BYTES,
    records_bytes: 16 * PAGE_BYTES,
    bundle_bytes: 2 * PAGE_BYTES,
};
/// What the nRF52840 takes to erase a page and to write a word.
const ERASE_US: u32 = 85_000;
const WORD_US: u32 = 41;
/// A transaction of eight bytes on a bus of 400 kHz.
const BUS_US: u32 = 200;
/// A turn of the main loop with nothing to do.
const REST_US: u32 = 200;

pub fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

/// Virtual time, µs.
#[derive(Clone, Debug, Default)]
pub struct Time(Rc<Cell<u64>>);

impl Time {
    fn pass(&self, us: u32) {
        self.0.set(self.0.get() + u64::from(us));
    }

    pub fn now_us(&self) -> u64 {
        self.0.get()
    }
}

impl Counter for Time {
    const TICKS_PER_US: u32 = 1;

    fn count(&self) -> u32 {
        self.0.get() as u32
    }
}

/// Flash that takes its time; a page is erased in `SLICES` slices.
pub struct SlowChip<'m, const SLICES: usize> {
    ram: RamChip<'m, PAGE_BYTES, 4>,
    slices_done: usize,
    time: Time,
    erases: Rc<Cell<usize>>,
}

impl<const SLICES: usize> Chip for SlowChip<'_, SLICES> {
    const PAGE_BYTES: usize = PAGE_BYTES;
    const WORD_BYTES: usize = 4;
    const ERASE_SLICES: usize = SLICES;

    fn mapped(&self) -> &[u8] {
        self.ram.mapped()
    }

    fn erase_slice(&mut self, offset: usize) {
        self.time.pass(ERASE_US / SLICES as u32);
        self.slices_done += 1;
        if self.slices_done == SLICES {
            self.slices_done = 0;
            self.erases.set(self.erases.get() + 1);
            self.ram.erase_slice(offset);
        }
    }

    fn program(&mut self, offset: usize, bytes: &[u8]) {
        self.time.pass(WORD_US * bytes.len() as u32 / 4);
        self.ram.program(offset, bytes);
    }
}

/// An LIS3DH at 400 Hz in stream mode, of which step n says x = n and y = n / 2048, in digits.
pub struct Accelerometer {
    time: Time,
    /// Steps taken out or overwritten so far.
    pub gone: Rc<Cell<u64>>,
    started_us: Option<u64>,
    pub overwritten: Rc<Cell<u64>>,
}

impl Accelerometer {
    pub fn new(time: &Time) -> Self {
        Self {
            time: time.clone(),
            gone: Rc::default(),
            started_us: None,
            overwritten: Rc::default(),
        }
    }

    /// Steps there are now; overwrites those that are too many. Whether it ever had to since a read.
    fn settle(&mut self) -> (u64, bool) {
        let Some(started_us) = self.started_us else {
            return (0, false);
        };
        let made = (self.time.now_us() - started_us) * 400 / 1_000_000;
        let too_many = (made - self.gone.get()).saturating_sub(32);
        self.gone.set(self.gone.get() + too_many);
        self.overwritten.set(self.overwritten.get() + too_many);
        (made - self.gone.get(), too_many > 0)
    }

    fn read(&mut self, register: u8, bytes: &mut [u8]) {
        let (level, overrun) = self.settle();
        match register {
            0x0f => bytes[0] = 0x33,
            0x2f => bytes[0] = (level.min(31) as u8) | u8::from(overrun) << 6,
            0xa8 => {
                let step = self.gone.get() as u16;
                self.gone.set(self.gone.get() + 1);
                bytes[..2].copy_from_slice(&((step & 0x7ff) << 4).to_le_bytes());
                bytes[2..4].copy_from_slice(&((step >> 11 & 0x7ff) << 4).to_le_bytes());
                bytes[4..6].fill(0);
            }
            other => panic!("register {other:#x} is not read by this driver"),
        }
    }
}

impl ErrorType for Accelerometer {
    type Error = Infallible;
}

impl I2c for Accelerometer {
    fn transaction(
        &mut self,
        address: u8,
        operations: &mut [Operation<'_>],
    ) -> Result<(), Infallible> {
        assert_eq!(address, 0x18);
        self.time.pass(BUS_US);
        match operations {
            [Operation::Write(register), Operation::Read(bytes)] => self.read(register[0], bytes),
            [Operation::Write([0x20, control])] if control >> 4 == 7 => {
                self.started_us = Some(self.time.now_us());
            }
            [Operation::Write([_, _])] => {}
            other => panic!("{other:?}"),
        }
        Ok(())
    }
}

/// A sensor of three channels as one of two, which is what the test bundle takes.
pub struct FirstTwo<S>(pub S);

impl<S: SampleSource> SampleSource for FirstTwo<S> {
    fn channels(&self) -> Option<usize> {
        Some(2)
    }

    fn sample(&mut self, now_us: u64, step: &mut [f32]) -> Sampled {
        let mut three = [0.0; 3];
        let sampled = self.0.sample(now_us, &mut three);
        step.copy_from_slice(&three[..2]);
        sampled
    }
}

#[derive(Default)]
struct Queues {
    to_device: VecDeque<u8>,
    from_device: VecDeque<u8>,
}

/// The device's end of the link.
#[derive(Clone, Default)]
pub struct Line(Rc<RefCell<Queues>>);

impl ByteLine for Line {
    type Error = Infallible;

    fn may_read(&mut self) -> Result<bool, Infallible> {
        Ok(!self.0.borrow().to_device.is_empty())
    }

    fn read_byte(&mut self) -> Result<u8, Infallible> {
        let byte = self.0.borrow_mut().to_device.pop_front();
        Ok(byte.expect("only asked when there is one"))
    }

    fn may_write(&mut self) -> Result<bool, Infallible> {
        Ok(true)
    }

    fn write_byte(&mut self, byte: u8) -> Result<(), Infallible> {
        self.0.borrow_mut().from_device.push_back(byte);
        Ok(())
    }
}

/// A reply as it came.
pub struct Answer(Vec<u8>);

impl Answer {
    pub fn reply(&self) -> Reply<'_> {
        Message::<Reply<'_>>::decode(&self.0)
            .expect("a message")
            .body
    }
}

/// The workstation and the watchdog: sends a message every `pace_us`, but not before the last one is
/// answered, and ends the loop after the last answer.
pub struct Script<'c> {
    clock: &'c Clock<Time>,
    time: Time,
    line: Line,
    decoder: Decoder<Vec<u8>>,
    messages: VecDeque<Vec<u8>>,
    is_waiting: bool,
    pace_us: u64,
    next_us: u64,
    fed_us: u64,
    pub answers: Vec<Answer>,
    pub feeds: usize,
    pub rests: usize,
    /// Longest time that the watchdog went without food.
    pub hungriest_us: u64,
}

impl<'c> Script<'c> {
    fn new(clock: &'c Clock<Time>, time: &Time, line: Line, messages: VecDeque<Vec<u8>>) -> Self {
        Self {
            clock,
            time: time.clone(),
            line,
            decoder: Decoder::new(vec![0; MAX_FRAME_BYTES]),
            messages,
            is_waiting: false,
            pace_us: 0,
            next_us: 0,
            fed_us: time.now_us(),
            answers: Vec::new(),
            feeds: 0,
            rests: 0,
            hungriest_us: 0,
        }
    }

    fn exchange(&mut self) -> ControlFlow<()> {
        while let Some(byte) = self.line.0.borrow_mut().from_device.pop_front() {
            if let Some(message) = self.decoder.push(byte).expect("the device sends frames") {
                self.answers.push(Answer(message.to_vec()));
                self.is_waiting = false;
            }
        }
        let now_us = self.time.now_us();
        if self.is_waiting || now_us < self.next_us {
            return ControlFlow::Continue(());
        }
        let Some(message) = self.messages.pop_front() else {
            return ControlFlow::Break(());
        };
        self.next_us = now_us + self.pace_us;
        let mut line = vec![0; MAX_FRAME_BYTES];
        let length = frame::encode(&message, &mut line).expect("fits");
        self.line.0.borrow_mut().to_device.extend(&line[..length]);
        self.is_waiting = true;
        ControlFlow::Continue(())
    }
}

impl Board for Script<'_> {
    fn now_us(&mut self) -> u64 {
        self.clock.now_us()
    }
}

impl Platform for Script<'_> {
    type End = ();

    fn feed_watchdog(&mut self) {
        let now_us = self.time.now_us();
        self.hungriest_us = self.hungriest_us.max(now_us - self.fed_us);
        self.fed_us = now_us;
        self.feeds += 1;
    }

    fn rest(&mut self) -> ControlFlow<()> {
        self.rests += 1;
        self.time.pass(REST_US);
        self.exchange()
    }
}

/// Storage that outlives a start, and what is sent at the next one.
pub struct Bench {
    pub memory: Vec<u8>,
    pub messages: VecDeque<Vec<u8>>,
    pub pace_us: u64,
    pub time: Time,
    pub erases: Rc<Cell<usize>>,
    next_id: u16,
}

impl Bench {
    /// A board that knows who it is, with flash that was never used.
    pub fn provisioned() -> Self {
        let mut bench = Self::bare();
        let provision = Provision {
            device: DEVICE,
            credential: CREDENTIAL,
            trusted: [bundle::public_key()].into_iter().collect(),
        };
        provision.encode(&mut bench.memory).expect("fits a page");
        bench
    }

    /// A board fresh from the factory.
    pub fn bare() -> Self {
        Self {
            memory: vec![0xff; LAYOUT.bytes() + MARK_BYTES],
            messages: VecDeque::new(),
            pace_us: 0,
            time: Time::default(),
            erases: Rc::default(),
            next_id: 1,
        }
    }

    pub fn ask(&mut self, body: Request<'_>) {
        let mut bytes = vec![0; MAX_MESSAGE_BYTES];
        let id = self.next_id;
        self.next_id += 1;
        let length = Message { id, body }.encode(&mut bytes).expect("fits");
        self.messages.push_back(bytes[..length].to_vec());
    }

    /// Asks for a bundle to be put and activated.
    pub fn ask_install(&mut self, recipe: &Recipe) {
        let bundle = recipe.build();
        self.ask(Request::PutBegin {
            total_bytes: bundle.len() as u32,
            digest: dunlin_wire::bundle::digest(&bundle).expect("a bundle").0,
        });
        for (index, bytes) in bundle.chunks(512).enumerate() {
            let offset = index as u32 * 512;
            self.ask(Request::PutChunk { offset, bytes });
        }
        self.ask(Request::Activate);
    }

    /// Starts the firmware without a sensor and lets it run until the script ends.
    pub fn start(&mut self) -> Vec<Answer> {
        let clock = Clock::new(self.time.clone());
        self.start_with::<1, _, _>(&clock, NoSource, ()).answers
    }

    /// The same with the accelerometer and flash that is erased in `SLICES` slices; gives how many
    /// steps the sensor made, and how many of them it overwrote.
    pub fn start_sensing<const SLICES: usize>(&mut self) -> (u64, u64) {
        let clock = Clock::new(self.time.clone());
        let sensor = Accelerometer::new(&self.time);
        let (gone, overwritten) = (Rc::clone(&sensor.gone), Rc::clone(&sensor.overwritten));
        let settings = dunlin_firmware::sensors::Settings::default();
        let driver = dunlin_firmware::sensors::Lis3dh::new(sensor, settings);
        let sampler: Sampler<_, 2, 128> = Sampler::new(FirstTwo(driver));
        let keep = KeepSampling {
            sampler: &sampler,
            clock: &clock,
        };
        self.start_with::<SLICES, _, _>(&clock, &sampler, keep);
        (gone.get(), overwritten.get())
    }

    pub fn start_with<'c, const SLICES: usize, S, W>(
        &mut self,
        clock: &'c Clock<Time>,
        source: S,
        meanwhile: W,
    ) -> Script<'c>
    where
        S: SampleSource,
        W: dunlin_firmware::Meanwhile + Clone,
    {
        let line = Line::default();
        let (storage, _) = self.memory.split_at_mut(LAYOUT.bytes());
        let (provision, mut rest) = storage.split_at_mut(LAYOUT.provision().end);
        let (time, erases) = (&self.time, &self.erases);
        let chip = |place: core::ops::Range<usize>| {
            let (now, later) = std::mem::take(&mut rest).split_at_mut(place.len());
            rest = later;
            SlowChip::<SLICES> {
                ram: RamChip::new(now),
                slices_done: 0,
                time: time.clone(),
                erases: Rc::clone(erases),
            }
        };
        let mut memory: Memory<64, 8, 16> = Memory::new();
        let assembly = Assembly {
            target: TARGET,
            image: b"firmware",
            model_stack_bytes: 1024,
            reset_reason: ResetReason::WATCHDOG,
            provision,
            regions: LAYOUT.regions(chip, &meanwhile),
            port: BytePort(line.clone()),
            source,
            memory: &mut memory,
        };
        let messages = std::mem::take(&mut self.messages);
        let mut script = Script::new(clock, time, line, messages);
        script.pace_us = self.pace_us;
        let mut device = Device::start(assembly.parts(), &mut script).expect("the flash suits");
        run(&mut device, &mut script);
        script
    }
}
