//! Time since the start, from a counter that wraps.

use core::cell::Cell;

/// A free-running hardware counter.
pub trait Counter {
    /// Ticks of one microsecond.
    const TICKS_PER_US: u32;

    /// What it says: counts up from 0 and wraps after 2³² − 1.
    fn count(&self) -> u32;
}

/// A clock that several parts of a firmware may look at. 64 bits wide, and right as long as it is
/// looked at once in every 2³² ticks.
#[derive(Debug)]
pub struct Clock<C> {
    counter: C,
    last: Cell<u32>,
    ticks: Cell<u64>,
}

impl<C: Counter> Clock<C> {
    /// A clock that starts now.
    pub fn new(counter: C) -> Self {
        let last = Cell::new(counter.count());
        Self {
            counter,
            last,
            ticks: Cell::new(0),
        }
    }

    /// Ticks since the start.
    pub fn ticks(&self) -> u64 {
        let count = self.counter.count();
        let passed = count.wrapping_sub(self.last.replace(count));
        self.ticks.set(self.ticks.get() + u64::from(passed));
        self.ticks.get()
    }

    /// Microseconds since the start; never goes back.
    pub fn now_us(&self) -> u64 {
        self.ticks() / u64::from(C::TICKS_PER_US.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Wrapping<'c>(&'c Cell<u32>);

    impl Counter for Wrapping<'_> {
        const TICKS_PER_US: u32 = 25;

        fn count(&self) -> u32 {
            self.0.get()
        }
    }

    #[test]
    fn time_goes_on_where_the_counter_wraps() {
        let count = Cell::new(u32::MAX - 24);
        let clock = Clock::new(Wrapping(&count));
        assert_eq!(clock.now_us(), 0);
        count.set(24);
        assert_eq!((clock.ticks(), clock.now_us()), (49, 1));
        for turn in 1..=8_u32 {
            count.set(turn.wrapping_mul(1 << 30).wrapping_add(24));
            clock.ticks();
        }
        assert_eq!(clock.ticks(), 49 + (8 << 30));
    }
}
