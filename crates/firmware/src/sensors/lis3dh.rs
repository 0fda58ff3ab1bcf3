//! LIS3DH, a three-axis accelerometer on I²C.
//!
//! The sensor keeps its own time: it samples at its rate into its 32 steps of memory, and the driver
//! takes them out as they come, 12 bits each. Channels: x, y, z in m/s². Register addresses, modes
//! and sensitivities are those of ST's data sheet DocID17530.
//!
//! A sensor that is not asked for longer than its memory lasts (80 ms at 400 Hz) overwrites its oldest
//! steps. Each of those is then told as a failed step, in its place before the ones that are left; how
//! many they are is reckoned from the time that passed, and is as right as the sensor keeps its rate.

use dunlin_runtime::{SampleSource, Sampled};
use embedded_hal::i2c::I2c;

/// Steps a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Rate {
    /// 10 Hz
    Hz10 = 2,
    /// 50 Hz
    Hz50 = 4,
    /// 100 Hz
    Hz100 = 5,
    /// 200 Hz
    Hz200 = 6,
    /// 400 Hz
    Hz400 = 7,
    /// 1344 Hz; takes an I²C bus of 400 kHz.
    Hz1344 = 9,
}

impl Rate {
    /// Steps a second.
    pub const fn hz(self) -> u32 {
        match self {
            Self::Hz10 => 10,
            Self::Hz50 => 50,
            Self::Hz100 => 100,
            Self::Hz200 => 200,
            Self::Hz400 => 400,
            Self::Hz1344 => 1344,
        }
    }
}

/// How the sensor is connected and used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// I²C address: 0x18, or 0x19 with pin SA0 high.
    pub address: u8,
    /// Steps a second.
    pub rate: Rate,
    /// Time between two looks at the sensor's memory; at most 32 steps may come in between.
    pub poll_period_us: u64,
}

impl Default for Settings {
    /// Address 0x18, 400 Hz, looked at every 10 ms.
    fn default() -> Self {
        Self {
            address: 0x18,
            rate: Rate::Hz400,
            poll_period_us: 10_000,
        }
    }
}

/// The sensor. It is set up when it is first asked, and again after every failure, at most once a
/// second; so one that is not plugged in yet costs little and one that comes back is used.
#[derive(Debug)]
pub struct Lis3dh<I> {
    i2c: I,
    settings: Settings,
    is_set_up: bool,
    next_poll_us: u64,
    /// Steps known to wait in the sensor.
    waiting: u8,
    /// Steps that were overwritten and have not been told yet.
    lost: u64,
    /// When the sensor was last asked how many steps wait.
    looked_us: u64,
}

const WHO_AM_I: u8 = 0x0f;
const IDENTITY: u8 = 0x33;
const CONTROL_1: u8 = 0x20;
const CONTROL_4: u8 = 0x23;
const CONTROL_5: u8 = 0x24;
const OUTPUT: u8 = 0x28;
const FIFO_CONTROL: u8 = 0x2e;
const FIFO_SOURCE: u8 = 0x2f;
/// Set in a register's address to read the registers after it too.
const AND_FOLLOWING: u8 = 0x80;

const ALL_AXES: u8 = 0b0111;
/// Both bytes of a value belong together, ±16 g, 12 bits.
const WHOLE_16G_12_BITS: u8 = 0b1011_1000;
const FIFO_ENABLE: u8 = 0b0100_0000;
const FIFO_BYPASS: u8 = 0;
const FIFO_STREAM: u8 = 0b1000_0000;
const FIFO_OVERRUN: u8 = 0b0100_0000;
const FIFO_LEVEL: u8 = 0b0001_1111;
/// Steps that the sensor's memory holds.
const FIFO_STEPS: u8 = 32;

/// m/s² of one digit: 12 mg in the ±16 g range.
const METRES_PER_SECOND_SQUARED: f32 = 0.012 * 9.806_65;
const RETRY_PERIOD_US: u64 = 1_000_000;

impl<I: I2c> Lis3dh<I> {
    /// A driver that has not spoken to the sensor yet.
    pub fn new(i2c: I, settings: Settings) -> Self {
        Self {
            i2c,
            settings,
            is_set_up: false,
            next_poll_us: 0,
            waiting: 0,
            lost: 0,
            looked_us: 0,
        }
    }

    /// Gives the bus back.
    pub fn release(self) -> I {
        self.i2c
    }

    /// Sets the sensor up; `None` when it does not answer, or is another one.
    fn set_up(&mut self) -> Option<()> {
        if self.read(WHO_AM_I)? != IDENTITY {
            return None;
        }
        self.write(CONTROL_4, WHOLE_16G_12_BITS)?;
        self.write(CONTROL_5, FIFO_ENABLE)?;
        self.write(FIFO_CONTROL, FIFO_BYPASS)?;
        self.write(FIFO_CONTROL, FIFO_STREAM)?;
        self.write(CONTROL_1, (self.settings.rate as u8) << 4 | ALL_AXES)
    }

    /// Looks at how many steps wait, and reckons how many were overwritten where some were.
    fn look(&mut self, now_us: u64) -> Option<()> {
        let source = self.read(FIFO_SOURCE)?;
        let passed_us = now_us.saturating_sub(self.looked_us);
        self.looked_us = now_us;
        if source & FIFO_OVERRUN == 0 {
            self.waiting = source & FIFO_LEVEL;
            return Some(());
        }
        let arrived = passed_us.saturating_mul(self.settings.rate.hz().into()) / 1_000_000;
        self.lost = arrived.saturating_sub(FIFO_STEPS.into()).max(1);
        self.waiting = FIFO_STEPS;
        Some(())
    }

    /// Tells a lost step, or takes one that waits.
    fn next_step(&mut self, step: &mut [f32]) -> Option<Sampled> {
        if self.lost > 0 {
            self.lost -= 1;
            return Some(Sampled::Failed);
        }
        match self.waiting {
            0 => Some(Sampled::NotYet),
            _ => self.take(step),
        }
    }

    fn take(&mut self, step: &mut [f32]) -> Option<Sampled> {
        let mut bytes = [0; 6];
        self.i2c
            .write_read(self.settings.address, &[OUTPUT | AND_FOLLOWING], &mut bytes)
            .ok()?;
        for (value, axis) in step.iter_mut().zip(bytes.as_chunks().0) {
            *value = f32::from(i16::from_le_bytes(*axis) >> 4) * METRES_PER_SECOND_SQUARED;
        }
        self.waiting -= 1;
        Some(Sampled::Step)
    }

    fn advance(&mut self, now_us: u64, step: &mut [f32]) -> Option<Sampled> {
        if self.lost > 0 || self.waiting > 0 {
            return self.next_step(step);
        }
        if now_us < self.next_poll_us {
            return Some(Sampled::NotYet);
        }
        self.next_poll_us = now_us.saturating_add(self.settings.poll_period_us);
        if !self.is_set_up {
            self.set_up()?;
            (self.is_set_up, self.looked_us) = (true, now_us);
            return Some(Sampled::NotYet);
        }
        self.look(now_us)?;
        self.next_step(step)
    }

    fn read(&mut self, register: u8) -> Option<u8> {
        let mut value = [0];
        self.i2c
            .write_read(self.settings.address, &[register], &mut value)
            .ok()?;
        let [value] = value;
        Some(value)
    }

    fn write(&mut self, register: u8, value: u8) -> Option<()> {
        self.i2c
            .write(self.settings.address, &[register, value])
            .ok()
    }
}

impl<I: I2c> SampleSource for Lis3dh<I> {
    fn channels(&self) -> Option<usize> {
        Some(3)
    }

    fn sample(&mut self, now_us: u64, step: &mut [f32]) -> Sampled {
        self.advance(now_us, step).unwrap_or_else(|| {
            (self.is_set_up, self.waiting, self.lost) = (false, 0, 0);
            self.next_poll_us = now_us.saturating_add(RETRY_PERIOD_US);
            Sampled::Failed
        })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use embedded_hal::i2c::{ErrorKind, NoAcknowledgeSource};
    use embedded_hal_mock::eh1::i2c::{Mock, Transaction};
    use std::vec;
    use std::vec::Vec;

    const ADDRESS: u8 = 0x18;

    fn set_up() -> Vec<Transaction> {
        vec![
            Transaction::write_read(ADDRESS, vec![0x0f], vec![0x33]),
            Transaction::write(ADDRESS, vec![0x23, 0b1011_1000]),
            Transaction::write(ADDRESS, vec![0x24, 0x40]),
            Transaction::write(ADDRESS, vec![0x2e, 0x00]),
            Transaction::write(ADDRESS, vec![0x2e, 0x80]),
            Transaction::write(ADDRESS, vec![0x20, 0x77]),
        ]
    }

    fn level(source: u8) -> Transaction {
        Transaction::write_read(ADDRESS, vec![0x2f], vec![source])
    }

    fn output(bytes: [u8; 6]) -> Transaction {
        Transaction::write_read(ADDRESS, vec![0xa8], bytes.to_vec())
    }

    fn silence() -> Transaction {
        Transaction::write_read(ADDRESS, vec![0x0f], vec![0])
            .with_error(ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address))
    }

    /// Asks the driver at these times; gives what it said and the last step.
    fn asked(expected: Vec<Transaction>, times_us: &[u64]) -> (Vec<Sampled>, [f32; 3]) {
        let mut driver = Lis3dh::new(Mock::new(&expected), Settings::default());
        let mut step = [0.0; 3];
        let said = times_us
            .iter()
            .map(|&now_us| driver.sample(now_us, &mut step))
            .collect();
        driver.release().done();
        (said, step)
    }

    #[test]
    fn steps_come_out_in_metres_per_second_squared() {
        let mut expected = set_up();
        expected.extend([
            level(2),
            output([0; 6]),
            output([0x10, 0, 0xf0, 0xff, 0x00, 0x80]),
        ]);
        let (said, step) = asked(expected, &[0, 10_000, 10_001]);
        assert_eq!(said, [Sampled::NotYet, Sampled::Step, Sampled::Step]);
        let digit = 0.012 * 9.806_65_f32;
        assert_eq!(step, [digit, -digit, -2048.0 * digit]);
    }

    #[test]
    fn the_bus_is_left_alone_between_looks() {
        let mut expected = set_up();
        expected.push(level(0));
        let (said, _) = asked(expected, &[0, 9_999, 10_000, 19_999]);
        assert_eq!(said, [Sampled::NotYet; 4]);
    }

    #[test]
    fn steps_that_the_sensor_overwrote_fail_one_by_one_before_those_that_are_left() {
        let mut expected = set_up();
        expected.push(level(0x5f));
        expected.extend((0..32).map(|_| output([0; 6])));
        expected.push(level(1));
        expected.push(output([0; 6]));
        let mut times_us = vec![0];
        times_us.extend((0..36).map(|turn| 90_000 + turn));
        times_us.push(100_000);
        let (said, _) = asked(expected, &times_us);
        let count = |wanted| said.iter().filter(|&&said| said == wanted).count();
        assert_eq!(
            said[1..5],
            [Sampled::Failed; 4],
            "36 came in 90 ms, 32 are left"
        );
        assert_eq!(said[5..37], [Sampled::Step; 32]);
        assert_eq!((count(Sampled::Failed), count(Sampled::Step)), (4, 33));
    }

    #[test]
    fn a_sensor_that_says_it_lost_a_step_is_believed_whatever_the_clock_says() {
        let mut expected = set_up();
        expected.extend([level(0x5f), output([0; 6])]);
        let (said, _) = asked(expected, &[0, 50_000, 50_001]);
        assert_eq!(said, [Sampled::NotYet, Sampled::Failed, Sampled::Step]);
    }

    #[test]
    fn a_sensor_that_is_not_there_is_looked_for_once_a_second() {
        let mut expected = vec![silence(), silence()];
        expected.extend(set_up());
        let (said, _) = asked(expected, &[0, 500_000, 1_000_000, 1_900_000, 2_000_000]);
        use Sampled::{Failed, NotYet};
        assert_eq!(said, [Failed, NotYet, Failed, NotYet, NotYet]);
    }

    #[test]
    fn another_chip_at_the_address_is_not_used() {
        let expected = vec![Transaction::write_read(ADDRESS, vec![0x0f], vec![0x44])];
        assert_eq!(asked(expected, &[0]).0, [Sampled::Failed]);
    }
}
