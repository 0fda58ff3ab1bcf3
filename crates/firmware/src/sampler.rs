//! A sensor that does not wait for the flash.

use crate::clock::{Clock, Counter};
use crate::flash::Meanwhile;
use core::cell::RefCell;
use dunlin_runtime::{SampleSource, Sampled};

/// A sensor that is asked from two places: by the runtime, and by [`KeepSampling`] while the flash is
/// busy. What comes in the meantime waits in memory for the runtime, at most `STEPS` steps; further
/// ones stay in the sensor, which counts what it loses.
#[derive(Debug)]
pub struct Sampler<S, const CHANNELS: usize, const STEPS: usize> {
    inner: RefCell<Inner<S, CHANNELS, STEPS>>,
}

#[derive(Debug)]
struct Inner<S, const CHANNELS: usize, const STEPS: usize> {
    source: S,
    waiting: Ring<CHANNELS, STEPS>,
}

/// Steps in the order in which they came.
#[derive(Debug)]
struct Ring<const CHANNELS: usize, const STEPS: usize> {
    steps: [[f32; CHANNELS]; STEPS],
    first: usize,
    count: usize,
}

impl<const CHANNELS: usize, const STEPS: usize> Ring<CHANNELS, STEPS> {
    /// Where the next step goes; `None` when there is no room.
    fn free(&mut self) -> Option<&mut [f32; CHANNELS]> {
        let at = (self.first + self.count) % STEPS.max(1);
        match self.count < STEPS {
            true => self.steps.get_mut(at),
            false => None,
        }
    }

    fn pop(&mut self) -> Option<&[f32; CHANNELS]> {
        let at = self.first;
        self.count = self.count.checked_sub(1)?;
        self.first = (at + 1) % STEPS.max(1);
        self.steps.get(at)
    }
}

impl<S: SampleSource, const CHANNELS: usize, const STEPS: usize> Sampler<S, CHANNELS, STEPS> {
    /// Around a sensor of `CHANNELS` channels.
    pub const fn new(source: S) -> Self {
        Self {
            inner: RefCell::new(Inner {
                source,
                waiting: Ring {
                    steps: [[0.0; CHANNELS]; STEPS],
                    first: 0,
                    count: 0,
                },
            }),
        }
    }

    /// Takes what the sensor has by now. A failed step waits as one without values.
    pub fn gather(&self, now_us: u64) {
        let Ok(mut inner) = self.inner.try_borrow_mut() else {
            return;
        };
        let Inner { source, waiting } = &mut *inner;
        while let Some(step) = waiting.free() {
            match source.sample(now_us, step) {
                Sampled::NotYet => return,
                Sampled::Step => {}
                Sampled::Failed => step.fill(f32::NAN),
            }
            waiting.count += 1;
        }
    }
}

impl<S: SampleSource, const CHANNELS: usize, const STEPS: usize> SampleSource
    for &Sampler<S, CHANNELS, STEPS>
{
    fn channels(&self) -> Option<usize> {
        Some(CHANNELS)
    }

    fn sample(&mut self, now_us: u64, step: &mut [f32]) -> Sampled {
        let Ok(mut inner) = self.inner.try_borrow_mut() else {
            return Sampled::NotYet;
        };
        let Some(waiting) = inner.waiting.pop() else {
            return inner.source.sample(now_us, step);
        };
        step.iter_mut()
            .zip(waiting)
            .for_each(|(to, from)| *to = *from);
        Sampled::Step
    }
}

/// Keeps asking a sensor while the flash is busy.
#[derive(Debug)]
pub struct KeepSampling<'s, S, C, const CHANNELS: usize, const STEPS: usize> {
    /// The sensor.
    pub sampler: &'s Sampler<S, CHANNELS, STEPS>,
    /// What tells it the time.
    pub clock: &'s Clock<C>,
}

impl<S, C, const CHANNELS: usize, const STEPS: usize> Clone
    for KeepSampling<'_, S, C, CHANNELS, STEPS>
{
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<S: SampleSource, C: Counter, const CHANNELS: usize, const STEPS: usize> Meanwhile
    for KeepSampling<'_, S, C, CHANNELS, STEPS>
{
    fn meanwhile(&mut self) {
        self.sampler.gather(self.clock.now_us());
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    /// A step every 10 µs; every fourth fails.
    struct Numbers {
        next: u64,
    }

    impl SampleSource for Numbers {
        fn channels(&self) -> Option<usize> {
            Some(1)
        }

        fn sample(&mut self, now_us: u64, step: &mut [f32]) -> Sampled {
            if now_us < self.next * 10 {
                return Sampled::NotYet;
            }
            self.next += 1;
            if self.next.is_multiple_of(4) {
                return Sampled::Failed;
            }
            step.fill(self.next as f32);
            Sampled::Step
        }
    }

    #[test]
    fn steps_come_in_order_whoever_asked_for_them() {
        let sampler: Sampler<_, 1, 5> = Sampler::new(Numbers { next: 1 });
        let mut seen = Vec::new();
        let mut take = |now_us| {
            let (mut source, mut step) = (&sampler, [0.0]);
            loop {
                match source.sample(now_us, &mut step) {
                    Sampled::NotYet => return,
                    Sampled::Step => seen.push(step[0]),
                    Sampled::Failed => seen.push(f32::NAN),
                }
            }
        };
        sampler.gather(30);
        take(30);
        sampler.gather(200);
        take(90);
        let numbers: Vec<f32> = seen
            .iter()
            .copied()
            .filter(|value| !value.is_nan())
            .collect();
        assert_eq!(numbers, [2.0, 3.0, 5.0, 6.0, 7.0, 9.0, 10.0]);
        assert!(seen[2].is_nan() && seen[6].is_nan(), "{seen:?}");
    }
}
