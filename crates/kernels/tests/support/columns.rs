//! Bytes widened into columns.

use super::{Chance, Memory, RESULT_BYTES};
use dunlin_kernels::{Column, Runs};

const COLUMNS: [Column; 2] = [Column::First, Column::Second];

/// Where the bytes of the results begin and how many a column may take.
struct Room {
    start: usize,
    bytes: usize,
}

impl Room {
    fn of(chance: &mut Chance, inputs: usize) -> Room {
        let needed = inputs.div_ceil(4) * 16;
        let bytes = match chance.between(0, 7) {
            0 => chance.between(0, needed + 20),
            1 => needed + chance.between(0, 20),
            _ => needed,
        };
        Room {
            start: chance.start(),
            bytes,
        }
    }
}

/// Writes inputs from `at` on, those behind the last as zeros; gives where the next begin.
fn define(out: &mut [u8], at: usize, column: usize, inputs: &[u8]) -> usize {
    let end = at + inputs.len().div_ceil(4) * 16;
    if end > out.len() {
        return out.len();
    }
    for index in 0..inputs.len().next_multiple_of(4) {
        let input = inputs.get(index).map_or(0, |&input| i16::from(input as i8));
        let (quad, place) = (index / 4, index % 4);
        let to = at + 16 * quad + 8 * (place % 2) + 4 * column + place / 2 * 2;
        out[to..to + 2].copy_from_slice(&input.to_le_bytes());
    }
    end
}

/// Notes where a loop stopped, behind everything it may write.
fn note(bytes: &mut [u8; RESULT_BYTES], end: usize) {
    bytes[RESULT_BYTES - 4..].copy_from_slice(&(end as u32).to_le_bytes());
}

pub fn fill(chance: &mut Chance, memory: &mut Memory) {
    let (count, from) = (chance.between(0, 70), chance.start());
    let inputs = &mut memory.inputs.0[from..from + count];
    inputs
        .iter_mut()
        .for_each(|input| *input = chance.next() as u8);
    let (room, column) = (Room::of(chance, count), chance.between(0, 1));
    let out = room.start..room.start + room.bytes;

    let expected = &mut memory.expected.0[out.clone()];
    let (whole, tail) = inputs.split_at(count & !3);
    let end = define(expected, 0, column, whole);
    let end = if tail.is_empty() {
        end
    } else {
        define(expected, end, column, tail)
    };
    note(&mut memory.expected.0, room.bytes - end);

    let rest = dunlin_kernels::fill(&mut memory.got.0[out], COLUMNS[column], inputs).len();
    note(&mut memory.got.0, rest);
}

pub fn repeat(chance: &mut Chance, memory: &mut Memory) {
    let (count, input) = (chance.between(0, 40), chance.next() as u8);
    let (room, column) = (Room::of(chance, count), chance.between(0, 1));
    let out = room.start..room.start + room.bytes;

    let mut end = 0;
    for _ in 0..count.div_ceil(4) {
        let expected = &mut memory.expected.0[out.clone()];
        end = define(expected, end, column, &[input; 4]);
    }
    note(&mut memory.expected.0, room.bytes - end);

    let got = &mut memory.got.0[out];
    let rest = dunlin_kernels::repeat(got, COLUMNS[column], input, count).len();
    note(&mut memory.got.0, rest);
}

/// Both columns of a pair at once, run by run.
pub fn both(chance: &mut Chance, memory: &mut Memory) {
    let runs = Runs {
        count: chance.between(1, 5),
        quads: chance.between(1, 6),
        pitch: chance.between(0, 40),
    };
    let (from, to, distance) = (chance.start(), chance.start() & !3, chance.between(0, 30));
    let reach = (runs.count - 1) * runs.pitch + 4 * runs.quads + distance;
    let inputs = reach - usize::from(chance.one_in(20));
    let inputs = &mut memory.inputs.0[from..from + inputs];
    inputs
        .iter_mut()
        .for_each(|input| *input = chance.next() as u8);
    let needed = 16 * runs.count * runs.quads;
    let room = needed + chance.between(0, 20) - usize::from(chance.one_in(20));

    let is_there = inputs.len() == reach && room >= needed;
    if is_there {
        let out = &mut memory.expected.0[to..];
        for run in 0..runs.count {
            for (column, start) in [0, distance].into_iter().enumerate() {
                let first = start + run * runs.pitch;
                let at = 16 * run * runs.quads;
                define(out, at, column, &inputs[first..first + 4 * runs.quads]);
            }
        }
    }
    let behind = if is_there { room - needed } else { usize::MAX };
    note(&mut memory.expected.0, behind);

    let got = &mut memory.got.0[to..to + room];
    let rest = dunlin_kernels::fill_pair(got, &runs, inputs, distance);
    let rest = rest.map_or(usize::MAX, |rest| rest.len());
    note(&mut memory.got.0, rest);
}
