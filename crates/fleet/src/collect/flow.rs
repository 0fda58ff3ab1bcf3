//! Up to where records that come by publication may be acknowledged.
//!
//! A device publishes its records in order, each message beginning with its oldest record that is not
//! acknowledged, and again after every connection and whenever no acknowledgement comes. A message
//! can get lost on the way: because the collector subscribed late, or a broker's queue was full. A
//! device that does not wait for acknowledgements would then have the next one acknowledged and
//! forget what was lost. So a message is acknowledged when it follows on what is acknowledged, or
//! when it goes back: then it begins with the oldest record that the device has, and a hole before
//! it is one that the device knows of.

use std::collections::BTreeMap;

use dunlin_wire::DeviceId;

/// What came from each device since the collector subscribed.
#[derive(Debug, Default)]
pub(super) struct Flows {
    last_begun: BTreeMap<DeviceId, u32>,
}

impl Flows {
    /// Takes note of a message whose first authentic record is `first`, and says whether all records
    /// before it are safe, apart from refused ones in the message, which are the caller's to judge. `acknowledged` is the last sequence number acknowledged before.
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
    use proptest::prelude::*;
    use std::collections::BTreeSet;

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

    /// A device with records from 1 on, as it publishes them, over a channel that loses messages and
    /// acknowledgements.
    struct Rehearsal {
        flows: Flows,
        made: u32,
        /// The oldest record the device has.
        oldest: u32,
        /// What the device had to drop before it was acknowledged.
        dropped: BTreeSet<u32>,
        acknowledged_to_device: u32,
        stored: BTreeSet<u32>,
        acknowledged: u32,
    }

    impl Rehearsal {
        /// One message, from the oldest unacknowledged record on.
        fn upload(&mut self, length: u32, arrives: bool, answer_arrives: bool) {
            let first = self.oldest.max(self.acknowledged_to_device + 1);
            let last = (first + length).min(self.made);
            if first > last || !arrives {
                return;
            }
            self.stored.extend(first..=last);
            if self.flows.follows(ROOM, first, self.acknowledged) {
                self.acknowledged = self.acknowledged.max(last);
                if answer_arrives {
                    self.acknowledged_to_device = self.acknowledged_to_device.max(last);
                }
            }
        }

        /// The device's store is full: the oldest records go.
        fn overflow(&mut self, count: u32) {
            let first = self.oldest.max(self.acknowledged_to_device + 1);
            let end = (first + count).min(self.made + 1);
            self.dropped.extend(first..end);
            self.oldest = self.oldest.max(end);
        }
    }

    proptest! {
        #[test]
        fn what_is_acknowledged_was_stored_or_dropped_by_the_device(
            steps in proptest::collection::vec((0_u8..6, 0_u32..5, any::<bool>(), any::<bool>()), 0..60),
        ) {
            let mut run = Rehearsal {
                flows: Flows::default(),
                made: 0,
                oldest: 1,
                dropped: BTreeSet::new(),
                acknowledged_to_device: 0,
                stored: BTreeSet::new(),
                acknowledged: 0,
            };
            for (step, number, arrives, answer_arrives) in steps {
                match step {
                    0 | 1 => run.made += number,
                    2 => run.overflow(number),
                    3 => run.flows.restart(),
                    _ => run.upload(number, arrives, answer_arrives),
                }
                let safe = |sequence: &u32| run.stored.contains(sequence) || run.dropped.contains(sequence);
                prop_assert!((1..=run.acknowledged).all(|sequence| safe(&sequence)));
            }
            for _ in 0..2 {
                run.upload(u32::MAX / 2, true, true);
            }
            let unsafe_left = run.acknowledged_to_device < run.made && run.oldest <= run.made;
            prop_assert!(!unsafe_left, "two rounds that arrive are enough");
        }
    }
}
