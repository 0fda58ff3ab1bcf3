//! Packed weights times columns or a row.

use super::{Chance, Memory, lane, put_on_edge, put_step, requantised, word};
use dunlin_kernels::{GROUP, Layer, group_bytes, multiply_pair, multiply_row};

/// Sizes of a case, and where its slices begin.
struct Case {
    steps: usize,
    channels: usize,
    groups: usize,
    constants: usize,
    inputs: usize,
    result: usize,
}

impl Case {
    fn of(chance: &mut Chance) -> Case {
        let steps = match chance.between(0, 9) {
            0 => chance.between(0, 20),
            1 => 2 * chance.between(20, 120),
            _ => 2 * chance.between(1, 20),
        };
        let channels = chance.between(0, 14);
        Case {
            steps,
            channels,
            groups: channels.div_ceil(GROUP) - usize::from(channels > 0 && chance.one_in(16)),
            constants: chance.start(),
            inputs: chance.start(),
            result: chance.between(0, 9),
        }
    }

    fn constant_range(&self) -> core::ops::Range<usize> {
        self.constants..self.constants + self.groups * group_bytes(self.steps)
    }

    /// Weights, starts and words of the requantisation.
    fn fill(&self, chance: &mut Chance, constants: &mut [u8]) {
        for group in constants.chunks_exact_mut(group_bytes(self.steps)) {
            let (starts, rest) = group.split_at_mut(16);
            let (weights, ends) = rest.split_at_mut(8 * self.steps);
            chance.words(starts);
            chance.lanes(weights);
            chance.words(ends);
            for (channel, end) in ends.chunks_exact_mut(12).enumerate() {
                end[8] = chance.between(16, 34) as u8;
                put_step(chance, &mut end[8..], 8 * (channel as u32 & 1));
            }
        }
    }
}

/// The sum of a channel: inputs of a step are the lanes `2·step` and `2·step + 1` of `input`.
fn sum(group: &[u8], steps: usize, channel: usize, input: impl Fn(usize) -> i64) -> i64 {
    let (pair, is_odd) = (channel / 2, channel % 2 == 1);
    let (mut joined, mut low) = (
        i64::from(word(group, 2 * pair)),
        i64::from(word(group, 2 * pair + 1)),
    );
    for step in 0..steps {
        for place in 0..2 {
            let x = input(2 * step + place);
            let weight = lane(group, 2 * (4 + 2 * step + pair) + place);
            joined += weight * x;
            low += i64::from(weight as i8) * x;
        }
    }
    if is_odd { joined - low } else { low }
}

/// The bytes of all channels.
fn define<const TIES: u8>(
    case: &Case,
    constants: &[u8],
    input: impl Fn(usize) -> i64,
    out: &mut [u8],
) {
    if case.groups < case.channels.div_ceil(GROUP) || case.steps % 2 == 1 || case.steps == 0 {
        return;
    }
    let size = group_bytes(case.steps);
    for (channel, out) in out[..case.channels].iter_mut().enumerate() {
        let group = channel / GROUP * size;
        let group = &constants[group..group + size];
        let place = channel % GROUP;
        let sum = sum(group, case.steps, place, &input);
        let at = 4 + 2 * case.steps + 3 * place;
        *out = requantised(sum, group, at, 8 * (place as u32 & 1), TIES);
    }
}

/// Brings a channel's sum to the edge between two results.
fn put_a_channel_on_edge(
    chance: &mut Chance,
    case: &Case,
    constants: &mut [u8],
    input: impl Fn(usize) -> i64,
) {
    let size = group_bytes(case.steps);
    for group in constants.chunks_exact_mut(size) {
        let place = chance.between(0, GROUP - 1);
        let sum = sum(group, case.steps, place, &input);
        let at = 4 + 2 * case.steps + 3 * place;
        put_on_edge(chance, sum, group, at, 8 * (place as u32 & 1));
    }
}

pub fn pair<const TIES: u8>(chance: &mut Chance, memory: &mut Memory) {
    let case = Case::of(chance);
    let constants = &mut memory.constants.0[case.constant_range()];
    case.fill(chance, constants);
    let columns = &mut memory.inputs.0[case.inputs..case.inputs + 8 * case.steps];
    chance.lanes(columns);
    // Lanes hold bytes, as a filled column's do.
    for lane in columns.chunks_exact_mut(2) {
        lane[1] = if lane[0] < 0x80 { 0 } else { 0xFF };
    }
    // Two columns stand word by word beside each other.
    let input = |column: usize| {
        let columns = &*columns;
        move |index: usize| lane(columns, 4 * (index / 2) + 2 * column + index % 2)
    };
    let column = chance.between(0, 1);
    put_a_channel_on_edge(chance, &case, constants, input(column));
    let (first, second) = (
        case.result,
        case.result + case.channels + chance.between(0, 3),
    );
    let out = &mut memory.expected.0;
    define::<TIES>(&case, constants, input(0), &mut out[first..]);
    define::<TIES>(&case, constants, input(1), &mut out[second..]);
    let (a, b) = memory.got.0.split_at_mut(second);
    let Some(layer) = Layer::new(constants, case.steps, case.channels) else {
        return;
    };
    let (a, b) = (
        &mut a[first..first + case.channels],
        &mut b[..case.channels],
    );
    if multiply_pair::<TIES>(&layer, columns, a, b).is_none() {
        // Slices that do not begin at a word, as the core needs them.
        memory.expected.0 = memory.got.0;
    }
}

pub fn row<const TIES: u8>(chance: &mut Chance, memory: &mut Memory) {
    let mut case = Case::of(chance);
    case.steps = case.steps.next_multiple_of(2);
    let constants = &mut memory.constants.0[case.constant_range()];
    case.fill(chance, constants);
    let inputs = &mut memory.inputs.0[case.inputs..case.inputs + 2 * case.steps];
    inputs.iter_mut().for_each(|input| {
        *input = match chance.next() {
            any if any & 7 == 0 => [0x80, 0x7F][any as usize >> 8 & 1],
            any => (any >> 8) as u8,
        }
    });
    // Four bytes become the lanes (0, 2) and (1, 3).
    let input = |index: usize| {
        let place = [0, 2, 1, 3][index % 4];
        i64::from(inputs[index / 4 * 4 + place] as i8)
    };
    put_a_channel_on_edge(chance, &case, constants, input);
    define::<TIES>(
        &case,
        constants,
        input,
        &mut memory.expected.0[case.result..],
    );
    let Some(layer) = Layer::new(constants, case.steps, case.channels) else {
        return;
    };
    let out = &mut memory.got.0[case.result..case.result + case.channels];
    if multiply_row::<TIES>(&layer, inputs, out).is_none() {
        // Slices that do not begin at a word, as the core needs them.
        memory.expected.0 = memory.got.0;
    }
}
