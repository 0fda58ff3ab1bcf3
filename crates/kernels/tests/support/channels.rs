//! Sums of neighbouring channels.

use super::{Chance, Memory};
use dunlin_kernels::{LANES, sum_channels};

pub fn sums(chance: &mut Chance, memory: &mut Memory) {
    let (count, pitch, from) = (chance.between(0, 600), chance.between(1, 9), chance.start());
    let needed = count.max(1) * pitch + LANES;
    let given = if chance.one_in(10) {
        chance.between(0, needed)
    } else {
        needed
    };
    let inputs = &mut memory.inputs.0[from..from + given];
    let is_extreme = chance.one_in(4);
    for input in inputs.iter_mut() {
        let any = chance.next();
        *input = match is_extreme {
            true => [0x80, 0x7F][any as usize & 1],
            false => any as u8,
        };
    }
    // All of one end, where a sum in 16 bits would overflow first.
    if chance.one_in(8) {
        inputs.fill(0x80);
    }
    for channel in 0..LANES {
        let sum: i64 = (0..count)
            .filter_map(|index| inputs.get(index * pitch + channel))
            .map(|&input| i64::from(input as i8))
            .sum();
        memory.expected.0[4 * channel..][..4].copy_from_slice(&(sum as i32).to_le_bytes());
    }
    let sums = sum_channels(inputs, pitch, count);
    let places = memory.got.0.as_chunks_mut::<4>().0;
    for (place, sum) in places.iter_mut().zip(sums) {
        *place = sum.to_le_bytes();
    }
}
