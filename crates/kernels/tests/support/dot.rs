//! Sums of products with two rows.

use super::{Chance, Memory};
use dunlin_kernels::dot_pair;

pub fn pair(chance: &mut Chance, memory: &mut Memory) {
    let count = chance.between(0, 300);
    let [x, a, b] = core::array::from_fn(|_| match chance.one_in(4) {
        true => count + chance.between(0, 9),
        false => count,
    });
    let is_extreme = chance.one_in(4);
    for byte in memory.constants.0[..2000]
        .iter_mut()
        .chain(&mut memory.inputs.0[..400])
    {
        let any = chance.next();
        *byte = match is_extreme {
            true => [0x80, 0x7F][any as usize & 1],
            false => any as u8,
        };
    }
    let (from, first, second) = (chance.start(), chance.start(), 1000 + chance.start());
    let x = &memory.inputs.0[from..from + x];
    let rows =
        [(first, a), (second, b)].map(|(from, length)| &memory.constants.0[from..from + length]);
    let places = memory.expected.0.as_chunks_mut::<4>().0;
    let shortest = x.len().min(rows[0].len()).min(rows[1].len());
    for (place, row) in places.iter_mut().zip(rows) {
        let products = x
            .iter()
            .zip(row)
            .map(|(&x, &w)| i64::from(x as i8) * i64::from(w as i8));
        *place = (products.take(shortest).sum::<i64>() as i32).to_le_bytes();
    }
    let places = memory.got.0.as_chunks_mut::<4>().0;
    for (place, sum) in places.iter_mut().zip(dot_pair(x, rows)) {
        *place = sum.to_le_bytes();
    }
}
