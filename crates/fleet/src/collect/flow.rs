//! Up to where records that come by publication may be acknowledged.
//!
//! A device publishes its records in order, several messages at a time, and begins again with its
//! oldest unacknowledged record after every connection and whenever no acknowledgement comes. A
//! message can get lost between it and the collector while a later one comes through: because the
//! collector subscribed in between, or a broker's queue was full. Acknowledging the later one would
//! then make the device forget what was lost. So a message is acknowledged when it follows on what
//! is acknowledged, or when it goes back: then it begins with the oldest record that the device has,
//! and a hole before it is one that the device knows of.

use std::collections::BTreeMap;

use dunlin_wire::DeviceId;

/// What came from each device since the collector subscribed.
#[derive(Debug, Default)]
pub(super) struct Flows {
    last_begun: BTreeMap<DeviceId, u32>,
}

impl Flows {
    /// Takes note of a message whose records begin at `first`, and says whether all records before
    /// it are safe. `acknowledged` is the last sequence number acknowledged before.
    pub fn follows(&mut self, device: DeviceId, first: u32, acknowledged: u32) -> bool {
        let last = self.last_begun.insert(device, first);
        let goes_back = last.is_some_and(|last| first <= last);
        goes_back || first <= acknowledged.saturating_add(1)
    }

    /// The collector has subscribed anew: messages may have gone past it before.
    pub fn restart(&mut self) {
        self.last_begun.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: DeviceId = DeviceId([1; 8]);

    /// Runs messages by their first and last record; returns up to where each was acknowledged.
    fn run(flows: &mut Flows, mut acknowledged: u32, messages: &[(u32, u32)]) -> Vec<Option<u32>> {
        let mut step = |&(first, last): &(u32, u32)| {
            let safe = flows.follows(ROOM, first, acknowledged);
            acknowledged = if safe {
                acknowledged.max(last)
            } else {
                acknowledged
            };
            safe.then_some(last)
        };
        messages.iter().map(&mut step).collect()
    }

    #[test]
    fn messages_that_follow_one_another_are_acknowledged() {
        let acknowledged = run(&mut Flows::default(), 0, &[(1, 5), (6, 9), (10, 10)]);
        assert_eq!(acknowledged, [Some(5), Some(9), Some(10)]);
    }

    #[test]
    fn what_comes_after_a_lost_message_waits_until_the_device_begins_again() {
        let acknowledged = run(
            &mut Flows::default(),
            0,
            &[(1, 5), (10, 12), (13, 14), (6, 9), (10, 12), (13, 14)],
        );
        assert_eq!(
            acknowledged,
            [Some(5), None, None, Some(9), Some(12), Some(14)]
        );
    }

    #[test]
    fn a_collector_that_subscribed_late_waits_for_the_beginning() {
        let mut flows = Flows::default();
        assert_eq!(run(&mut flows, 0, &[(6, 9), (10, 12)]), [None, None]);
        flows.restart();
        assert_eq!(
            run(&mut flows, 0, &[(6, 9), (1, 5), (6, 9)]),
            [None, Some(5), Some(9)]
        );
    }

    #[test]
    fn a_hole_that_the_device_knows_of_holds_up_one_round_only() {
        let acknowledged = run(
            &mut Flows::default(),
            100,
            &[(501, 505), (506, 510), (501, 505), (506, 510)],
        );
        assert_eq!(acknowledged, [None, None, Some(505), Some(510)]);
    }
}
