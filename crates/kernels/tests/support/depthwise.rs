//! Planes, and windows over them.

use super::{Chance, Memory, lane, put_on_edge, put_step, requantised, word};
use dunlin_kernels::{
    Depthwise, Depthwise3, EVEN, LANES, ODD, Rows, TAP_BYTES, UP, depthwise, depthwise3,
    fill_lanes, fill_plane,
};

pub fn plane(chance: &mut Chance, memory: &mut Memory) {
    let (count, columns, pitch) = (
        chance.between(0, 6),
        chance.between(0, 20),
        chance.between(1, 9),
    );
    let (input_more, plane_more) = (chance.between(0, 5), chance.between(0, 3));
    let rows = Rows {
        count,
        columns,
        pitch,
        input_bytes: columns * pitch + input_more,
        plane_bytes: 2 * (columns + plane_more),
    };
    let needed = |row: usize, pitch: usize, size: usize| {
        (count.max(1) - 1) * row + (columns.max(1) - 1) * pitch + size
    };
    let (from, to) = (chance.start(), chance.start() & !1);
    let inputs = needed(rows.input_bytes, pitch, 1) - usize::from(chance.one_in(20));
    let places = needed(rows.plane_bytes, 2, 2) - usize::from(chance.one_in(20));
    let inputs = &mut memory.inputs.0[from..from + inputs];
    inputs
        .iter_mut()
        .for_each(|input| *input = chance.next() as u8);

    let is_there = inputs.len() >= needed(rows.input_bytes, pitch, 1)
        && places >= needed(rows.plane_bytes, 2, 2);
    if is_there && count > 0 && columns > 0 {
        let plane = &mut memory.expected.0[to..];
        for row in 0..count {
            for column in 0..columns {
                let input = i16::from(inputs[row * rows.input_bytes + column * pitch] as i8);
                let at = row * rows.plane_bytes + 2 * column;
                plane[at..at + 2].copy_from_slice(&input.to_le_bytes());
            }
        }
    }
    let done = fill_plane(&rows, inputs, &mut memory.got.0[to..to + places]);
    assert_eq!(done.is_some(), is_there && count > 0 && columns > 0);
}

pub fn lanes(chance: &mut Chance, memory: &mut Memory) {
    let (count, columns, pitch) = (
        chance.between(0, 4),
        chance.between(0, 12),
        chance.between(1, 9),
    );
    let lane_bytes = 2 * (columns + chance.between(0, 3));
    let rows = Rows {
        count,
        columns,
        pitch,
        input_bytes: columns * pitch + chance.between(0, 5),
        plane_bytes: LANES * lane_bytes + 2 * chance.between(0, 3),
    };
    let before = [rows.input_bytes, rows.plane_bytes].map(|row| (count.max(1) - 1) * row);
    let needed = [
        before[0] + (columns.max(1) - 1) * pitch + LANES,
        before[1] + (LANES - 1) * lane_bytes + 2 * columns,
    ];
    let given = needed.map(|bytes| bytes.saturating_sub(usize::from(chance.one_in(20))));
    let (from, to) = (chance.start(), chance.start() & !1);
    let inputs = &mut memory.inputs.0[from..from + given[0]];
    inputs
        .iter_mut()
        .for_each(|input| *input = chance.next() as u8);

    let is_there = given == needed && count > 0 && columns > 0;
    if is_there {
        let plane = &mut memory.expected.0[to..];
        for (row, column) in
            (0..count).flat_map(|row| (0..columns).map(move |column| (row, column)))
        {
            for lane in 0..LANES {
                let input = inputs[row * rows.input_bytes + column * pitch + lane];
                let at = row * rows.plane_bytes + lane * lane_bytes + 2 * column;
                plane[at..at + 2].copy_from_slice(&i16::from(input as i8).to_le_bytes());
            }
        }
    }
    let plane = &mut memory.got.0[to..to + given[1]];
    let filled = fill_lanes(&rows, lane_bytes, inputs, plane).is_some();
    assert_eq!(filled, is_there);
}

/// The sum of a 3 × 3 window whose first input is `first`.
fn sum_of_3(taps: &[u8], plane: &[u8], width: usize, (first, is_second): (usize, bool)) -> i64 {
    // Words (w₀, w₁) and (w₁, w₂): the second of two neighbours takes its w₁ from the second.
    let middle = if is_second { 2 } else { 1 };
    let rows = (0..3).map(|row| {
        let tap = |index| lane(taps, 4 * row + index);
        let x = |index| lane(plane, first + row * width + index);
        tap(0) * x(0) + tap(middle) * x(1) + tap(3) * x(2)
    });
    i64::from(word(taps, 6)) + rows.sum::<i64>()
}

pub fn three(chance: &mut Chance, memory: &mut Memory) {
    let (rows, columns) = (chance.between(1, 6), chance.between(1, 12));
    let stride = if chance.one_in(12) {
        3
    } else {
        chance.between(1, 2)
    };
    let pitch = chance.between(1, 7);
    let least = match stride {
        1 => columns.next_multiple_of(2) + 2,
        stride => stride * columns + 2,
    };
    let width = least
        + match chance.between(0, 5) {
            0 => chance.between(0, 5),
            _ => least % 2,
        };
    let (from, taps_from, to) = (
        chance.start() & !1,
        chance.start() & !1,
        chance.between(0, 5),
    );
    let plane_bytes = 2 * width * ((rows - 1) * stride + 3);
    let plane = &mut memory.inputs.0[from..from + plane_bytes];
    chance.lanes(plane);
    let taps = &mut memory.constants.0[taps_from..taps_from + TAP_BYTES];
    chance.lanes(&mut taps[..24]);
    chance.words(&mut taps[24..]);
    taps[36] = chance.between(16, 34) as u8;
    let first = |row: usize, column: usize| {
        let is_second = stride == 1 && column % 2 == 1;
        (row * stride * width + column * stride, is_second)
    };
    let (row, column) = (chance.between(0, rows - 1), chance.between(0, columns - 1));
    let sum = sum_of_3(taps, plane, width, first(row, column));
    if chance.one_in(2) {
        put_on_edge(chance, sum, taps, 7, 0);
    }

    let out = match chance.between(0, 9) {
        0 => chance.between(0, rows * columns * pitch),
        _ => (rows * columns - 1) * pitch + 1 + chance.between(0, pitch),
    };
    for index in (0..rows * columns).take_while(|index| index * pitch < out) {
        let sum = sum_of_3(taps, plane, width, first(index / columns, index % columns));
        memory.expected.0[to + index * pitch] = requantised(sum, taps, 7, 0, UP);
    }
    let channel = Depthwise3 {
        plane,
        lane_bytes: 0,
        row_bytes: 2 * width,
        width,
        stride,
        taps,
        pitch,
        columns,
    };
    if depthwise3(&channel, rows, &mut memory.got.0[to..to + out]).is_none() {
        // Another stride, too few outputs, or slices that do not begin at a word, as the core needs them.
        memory.expected.0 = memory.got.0;
    }
}

pub fn any(chance: &mut Chance, memory: &mut Memory) {
    let (rows, row_words) = (chance.between(1, 6), chance.between(1, 5));
    let width = 2 * row_words + chance.between(0, 6);
    let (from, taps_from) = (chance.start() & !1, chance.start() & !1);
    let plane = &mut memory.inputs.0[from..from + 2 * width * rows];
    chance.lanes(plane);
    let weights = 4 * rows * row_words;
    let taps = &mut memory.constants.0[taps_from..taps_from + weights + 16];
    chance.lanes(&mut taps[..weights]);
    chance.words(&mut taps[weights..]);
    taps[weights + 12] = chance.between(16, 34) as u8;
    put_step(chance, &mut taps[weights + 12..], 0);
    let at = weights / 4;
    let mut sum = i64::from(word(taps, at));
    for row in 0..rows {
        for column in 0..2 * row_words {
            sum += lane(taps, 2 * row * row_words + column) * lane(plane, row * width + column);
        }
    }
    if chance.one_in(2) {
        put_on_edge(chance, sum, taps, at + 1, 0);
    }
    let ties = [UP, EVEN, ODD][chance.between(0, 2)];
    memory.expected.0[0] = requantised(sum, taps, at + 1, 0, ties);
    let work = Depthwise {
        plane,
        row_bytes: 2 * width,
        taps,
        row_words,
        stride: [1, 1],
        pitch: 1,
        columns: 1,
    };
    let out = &mut memory.got.0[..1];
    let done = match ties {
        EVEN => depthwise::<EVEN>(&work, 1, out),
        ODD => depthwise::<ODD>(&work, 1, out),
        _ => depthwise::<UP>(&work, 1, out),
    };
    assert!(done.is_some());
}
