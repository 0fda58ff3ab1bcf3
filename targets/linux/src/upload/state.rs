//! What was published, what is safe, and when to try again. Pure: time and chance are arguments.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Messages that may be on their way to the collector without its acknowledgement. One: so every
/// message begins with the oldest record that is not acknowledged, and a message that came through
/// where an earlier one got lost cannot be acknowledged in its place.
pub const MAX_IN_FLIGHT: usize = 1;
/// Shortest wait for the collector's acknowledgement before everything unacknowledged is sent again.
pub const FIRST_RESEND: Duration = Duration::from_secs(10);
/// Longest such wait.
pub const LAST_RESEND: Duration = Duration::from_secs(600);
/// Shortest wait before the next attempt to connect.
pub const FIRST_RECONNECT: Duration = Duration::from_millis(500);
/// Longest such wait.
pub const LAST_RECONNECT: Duration = Duration::from_secs(60);

/// A wait that doubles from `first` to `last`, drawn from the upper half of its range so that
/// devices that lost the same broker do not come back in step.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    last: Duration,
    next: Duration,
}

impl Backoff {
    /// Starts at `first` and never exceeds `last`.
    pub fn new(first: Duration, last: Duration) -> Self {
        Self {
            first,
            last,
            next: first,
        }
    }

    /// The next wait; `chance` is any number, evenly drawn.
    pub fn next(&mut self, chance: u64) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(self.last);
        let half = whole / 2;
        let part = (chance % 1024) as u32;
        half + half * part / 1023
    }

    /// What follows succeeded: start over.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

/// Sequence numbers of one device's upload.
///
/// ```text
/// acknowledged ≤ first in flight ≤ … ≤ published
/// ```
#[derive(Debug)]
pub struct UploadState {
    connected: bool,
    acknowledged: u32,
    published: u32,
    in_flight: VecDeque<u32>,
    resend: Backoff,
    resend_at: Option<Instant>,
}

impl UploadState {
    /// Nothing published; records up to `acknowledged` are safe with the collector.
    pub fn new(acknowledged: u32) -> Self {
        Self {
            connected: false,
            acknowledged,
            published: acknowledged,
            in_flight: VecDeque::new(),
            resend: Backoff::new(FIRST_RESEND, LAST_RESEND),
            resend_at: None,
        }
    }

    /// The broker is there: everything not acknowledged goes out again.
    pub fn connected(&mut self) {
        self.connected = true;
        self.start_over();
    }

    /// The broker is gone.
    pub fn disconnected(&mut self) {
        self.connected = false;
        self.start_over();
    }

    /// After which sequence number records are to be published now; `None` when there is no broker
    /// or enough is on its way.
    pub fn wanted(&self) -> Option<u32> {
        (self.connected && self.in_flight.len() < MAX_IN_FLIGHT).then_some(self.published)
    }

    /// One message with records up to `last` went out.
    pub fn published(&mut self, last: u32, now: Instant, chance: u64) {
        self.published = last;
        self.in_flight.push_back(last);
        if self.resend_at.is_none() {
            self.resend_at = Some(now + self.resend.next(chance));
        }
    }

    /// The device took an acknowledgement; records up to `up_to` are gone from its store.
    pub fn acknowledged(&mut self, up_to: u32, now: Instant, chance: u64) {
        if up_to <= self.acknowledged {
            return;
        }
        self.acknowledged = up_to;
        self.published = self.published.max(up_to);
        while self.in_flight.front().is_some_and(|last| *last <= up_to) {
            self.in_flight.pop_front();
        }
        self.resend.reset();
        self.resend_at = (!self.in_flight.is_empty()).then(|| now + self.resend.next(chance));
    }

    /// When [`UploadState::resend_if_due`] has something to do.
    pub fn resend_at(&self) -> Option<Instant> {
        self.resend_at
    }

    /// Goes back to the last acknowledged record when the collector kept silent for too long;
    /// returns whether it did.
    pub fn resend_if_due(&mut self, now: Instant) -> bool {
        let due = self.resend_at.is_some_and(|at| at <= now);
        if due {
            self.start_over();
        }
        due
    }

    fn start_over(&mut self) {
        self.published = self.acknowledged;
        self.in_flight.clear();
        self.resend_at = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backoff_doubles_within_its_bounds_and_differs_by_chance() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));
        let waits: Vec<_> = (0..8).map(|_| backoff.next(1023).as_millis()).collect();
        assert_eq!(
            waits,
            [1000, 2000, 4000, 8000, 10_000, 10_000, 10_000, 10_000]
        );
        assert_eq!(backoff.next(0), Duration::from_secs(5));
        backoff.reset();
        assert_eq!(backoff.next(0), Duration::from_millis(500));
        assert_eq!(backoff.next(511).as_millis(), 1499);
    }

    #[test]
    fn asks_for_nothing_without_a_broker() {
        let mut state = UploadState::new(5);
        assert_eq!(state.wanted(), None);
        state.connected();
        assert_eq!(state.wanted(), Some(5));
        state.disconnected();
        assert_eq!(state.wanted(), None);
    }

    #[test]
    fn publishes_the_next_message_when_all_of_the_last_one_is_acknowledged() {
        let now = Instant::now();
        let mut state = UploadState::new(0);
        state.connected();
        assert_eq!(state.wanted(), Some(0));
        state.published(5, now, 0);
        assert_eq!(state.wanted(), None, "one is on its way");
        state.acknowledged(4, now, 0);
        assert_eq!(state.wanted(), None, "it is acknowledged in part only");
        state.acknowledged(5, now, 0);
        assert_eq!(state.wanted(), Some(5));
    }

    #[test]
    fn starts_again_after_the_last_acknowledged_record_when_the_broker_comes_back() {
        let now = Instant::now();
        let mut state = UploadState::new(0);
        state.connected();
        state.published(10, now, 0);
        state.published(20, now, 0);
        state.acknowledged(10, now, 0);
        state.disconnected();
        state.connected();
        assert_eq!(state.wanted(), Some(10));
    }

    #[test]
    fn sends_again_when_the_collector_keeps_silent_and_waits_longer_each_time() {
        let mut now = Instant::now();
        let mut state = UploadState::new(0);
        state.connected();
        let mut waits = Vec::new();
        for _ in 0..3 {
            state.published(7, now, 1023);
            let at = state.resend_at().expect("something is in flight");
            assert!(!state.resend_if_due(at - Duration::from_millis(1)));
            waits.push((at - now).as_secs());
            now = at;
            assert!(state.resend_if_due(now));
            assert_eq!(state.wanted(), Some(0));
        }
        assert_eq!(waits, [10, 20, 40]);
        state.published(7, now, 1023);
        state.acknowledged(7, now, 0);
        assert_eq!(state.resend_at(), None, "nothing is in flight");
        state.published(8, now, 1023);
        assert_eq!(state.resend_at(), Some(now + FIRST_RESEND));
    }

    #[test]
    fn an_older_acknowledgement_changes_nothing() {
        let now = Instant::now();
        let mut state = UploadState::new(10);
        state.connected();
        state.acknowledged(3, now, 0);
        assert_eq!(state.wanted(), Some(10));
    }
}
