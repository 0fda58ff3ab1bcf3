//! Which records are missing.

use dunlin_wire::record::Loss;

use super::model::Gap;

/// Sequence numbers of one device, and those it says it dropped.
#[derive(Default)]
pub(super) struct Sequences {
    numbers: Vec<u32>,
    losses: Vec<Loss>,
}

impl Sequences {
    /// A record's number; they come in any order.
    pub fn take(&mut self, sequence: u32) {
        self.numbers.push(sequence);
    }

    /// A record said that these were dropped.
    pub fn lose(&mut self, loss: Loss) {
        self.losses.push(loss);
    }

    /// The holes between the numbers, or parts of them, that no loss record explains.
    pub fn gaps(&mut self) -> Vec<Gap> {
        self.numbers.sort_unstable();
        self.losses.sort_by_key(|loss| loss.first_sequence);
        let pairs = self.numbers.iter().zip(self.numbers.iter().skip(1));
        pairs
            .filter(|(before, after)| *after - *before > 1)
            .map(|(before, after)| Gap {
                first_sequence: before + 1,
                last_sequence: after - 1,
            })
            .flat_map(|hole| without(hole, &self.losses))
            .collect()
    }

    /// How many records were dropped and never came: what losses tell of, each number once, less those
    /// that had come before their acknowledgement got lost.
    pub fn lost(&mut self) -> u64 {
        self.numbers.sort_unstable();
        self.losses.sort_by_key(|loss| loss.first_sequence);
        let mut next = 0;
        let mut lost = 0;
        for loss in self.losses.iter().filter(|loss| loss.records() > 0) {
            let first = next.max(u64::from(loss.first_sequence));
            next = next.max(u64::from(loss.last_sequence) + 1);
            lost += (next - first.min(next)).saturating_sub(self.came(first, next));
        }
        lost
    }

    /// How many different numbers from `first` to before `end` came; `numbers` are in order.
    fn came(&self, first: u64, end: u64) -> u64 {
        let place = |limit| {
            self.numbers
                .partition_point(|&number| u64::from(number) < limit)
        };
        let numbers = self.numbers.get(place(first)..place(end));
        numbers.unwrap_or_default().chunk_by(|a, b| a == b).count() as u64
    }

    /// The numbers that came more than once, as runs.
    pub fn repeated(&mut self) -> Vec<Gap> {
        self.numbers.sort_unstable();
        let pairs = self.numbers.iter().zip(self.numbers.iter().skip(1));
        let twice = pairs.filter(|(before, after)| before == after);
        twice.fold(Vec::<Gap>::new(), |mut runs, (_, &number)| {
            match runs.last_mut() {
                Some(run) if number - run.last_sequence <= 1 => run.last_sequence = number,
                _ => runs.push(Gap {
                    first_sequence: number,
                    last_sequence: number,
                }),
            }
            runs
        })
    }
}

/// What is left of a gap when `losses`, ascending, are taken away.
fn without(gap: Gap, losses: &[Loss]) -> Vec<Gap> {
    let mut left = Vec::new();
    let mut next = u64::from(gap.first_sequence);
    for loss in losses.iter().filter(|loss| loss.records() > 0) {
        let (first, last) = (
            u64::from(loss.first_sequence),
            u64::from(loss.last_sequence),
        );
        if first > next && first <= u64::from(gap.last_sequence) {
            left.push((next, first - 1));
        }
        next = next.max(last + 1);
    }
    left.push((next, gap.last_sequence.into()));
    let narrow = |sequence| u32::try_from(sequence).unwrap_or(u32::MAX);
    let gaps = left.into_iter().filter(|(first, last)| first <= last);
    gaps.map(|(first, last)| Gap {
        first_sequence: narrow(first),
        last_sequence: narrow(last),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequences(sequences: &[u32], losses: &[(u32, u32)]) -> Sequences {
        let mut numbers = Sequences::default();
        sequences
            .iter()
            .for_each(|&sequence| numbers.take(sequence));
        numbers.losses = losses
            .iter()
            .map(|&(first_sequence, last_sequence)| Loss {
                first_sequence,
                last_sequence,
            })
            .collect();
        numbers
    }

    fn gaps(numbers: &[u32], losses: &[(u32, u32)]) -> Vec<(u32, u32)> {
        pairs(sequences(numbers, losses).gaps())
    }

    fn pairs(runs: Vec<Gap>) -> Vec<(u32, u32)> {
        runs.into_iter()
            .map(|run| (run.first_sequence, run.last_sequence))
            .collect()
    }

    #[test]
    fn a_hole_that_a_loss_explains_is_no_gap() {
        assert_eq!(gaps(&[1, 2, 3], &[]), []);
        assert_eq!(gaps(&[1, 2, 10, 11], &[]), [(3, 9)]);
        assert_eq!(gaps(&[1, 2, 10, 11], &[(3, 9)]), []);
        assert_eq!(gaps(&[1, 2, 10, 11], &[(5, 6)]), [(3, 4), (7, 9)]);
        assert_eq!(gaps(&[1, 2, 10, 11], &[(8, 9), (1, 4)]), [(5, 7)]);
        assert_eq!(gaps(&[1, 10, 12], &[(2, 9)]), [(11, 11)]);
        assert_eq!(gaps(&[1, 10], &[(9, 2), (1, u32::MAX)]), []);
    }

    #[test]
    fn what_several_losses_tell_of_is_counted_once_and_only_if_it_never_came() {
        let lost = |numbers: &[u32], losses: &[(u32, u32)]| sequences(numbers, losses).lost();
        assert_eq!(lost(&[1, 2], &[]), 0);
        assert_eq!(lost(&[10], &[(1, 9)]), 9);
        assert_eq!(lost(&[10], &[(1, 9), (1, 9)]), 9, "told twice");
        assert_eq!(lost(&[30], &[(1, 19), (1, 9), (5, 6)]), 19);
        assert_eq!(lost(&[2, 1, 2, 30], &[(1, 9), (20, 21)]), 9);
        assert_eq!(lost(&[1, 2, 3, 4, 5], &[(1, 4)]), 0, "all had come");
        assert_eq!(
            lost(&[1], &[(9, 2), (1, u32::MAX)]),
            u64::from(u32::MAX) - 1
        );
    }

    #[test]
    fn a_sequence_number_that_comes_with_two_starts_makes_no_gap() {
        assert_eq!(gaps(&[1, 2, 3, 1, 2], &[]), []);
    }

    #[test]
    fn numbers_that_come_with_two_starts_are_told_as_runs() {
        let mut numbers = Sequences::default();
        [1, 2, 3, 4, 5, 6, 2, 3, 6, 6]
            .iter()
            .for_each(|&sequence| numbers.take(sequence));
        assert_eq!(pairs(numbers.repeated()), [(2, 3), (6, 6)]);
        assert_eq!(numbers.gaps(), []);
    }
}
