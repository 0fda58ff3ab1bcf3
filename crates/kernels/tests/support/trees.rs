//! Walks through trees.

use super::{Chance, Memory};
use dunlin_kernels::{
    GOES_ON, LEAST_NODES, ROW_ENDS, Ranked, SCORE_BIT, SCORES, Sums, WEIGHT_BITS, map_to_grid,
};

pub fn walk(chance: &mut Chance, memory: &mut Memory) {
    let images: &mut [u8; 256] = memory.constants.0.first_chunk_mut().expect("images");
    images
        .iter_mut()
        .for_each(|image| *image = chance.next() as u8);
    let nodes: &mut [u8; 1024] = memory.inputs.0.first_chunk_mut().expect("nodes");
    let nodes = nodes.as_chunks_mut::<4>().0;
    for (index, node) in nodes.iter_mut().enumerate() {
        let any = chance.next();
        let leads_on = index < 254 && any >> 16 & 7 != 0;
        let to = match leads_on {
            true => chance.between(index + 1, 254.min(index + 30)) as u32,
            false => 0x8000 | (any >> 20).wrapping_mul(8),
        };
        *node = (any & 0xFFFF | to << 16).to_le_bytes();
    }
    let nodes: &[[u8; 4]; 256] = (&*nodes).try_into().expect("256 nodes");

    let mut at = 0;
    let leaf = loop {
        let [column, complement, low, high] = nodes[at];
        let is_greater = images[usize::from(column)] > 255 - complement;
        let to = u16::from_le_bytes([low, high]) + u16::from(is_greater);
        if to & 0x8000 != 0 {
            break to;
        }
        at = usize::from(to);
    };
    memory.expected.0[..2].copy_from_slice(&leaf.to_le_bytes());
    let got = dunlin_kernels::walk_ranks(nodes, 0, images).map_or(0, |leaf| 0x8000 | leaf as u16);
    memory.got.0[..2].copy_from_slice(&got.to_le_bytes());
}

/// Nodes before the window of the last tree.
const NODES: usize = 640;
/// Pieces begin this many nodes behind one another, so that they overlap.
const PITCH: usize = 64;
/// Where walks go on.
const LAST_PIECE: usize = 6;
const LEAVES: usize = 128;
const ROWS: usize = 64;
const VALUES: usize = 32;

/// The tables of random trees.
struct Tables<'m> {
    nodes: &'m [[u8; 4]],
    images: &'m [u8; 256],
    pieces: [[u8; 2]; LAST_PIECE + 1],
    leaves: [[u8; 2]; LEAVES],
    rows: [[u8; 2]; ROWS],
    values: &'m [[u8; 4]],
    width: usize,
    unit: u32,
}

impl Tables<'_> {
    /// The leaf code that a walk from a piece on gets to.
    fn code(&self, mut piece: usize) -> usize {
        loop {
            let start = usize::from(u16::from_le_bytes(self.pieces[piece]));
            let (mut at, mut nodes) = (0, 0);
            let place = loop {
                let [column, complement, low, high] = self.nodes[start + at];
                let is_greater = self.images[usize::from(column)] > 255 - complement;
                let to = u16::from_le_bytes([low, high]).wrapping_add(u16::from(is_greater));
                nodes += 1;
                if nodes >= LEAST_NODES && to & 0x8000 != 0 {
                    break to & 0x7FFF;
                }
                at = usize::from(to & 0xFF);
            };
            let code = u16::from_le_bytes(self.leaves[usize::from(place) % LEAVES]);
            match code & 0x8000 {
                0 => return usize::from(code),
                _ => piece = usize::from(code & 0x7FFF),
            }
        }
    }

    fn weight(&self, entry: u16, floats: bool) -> u32 {
        let weight = usize::from(entry) % (1 << WEIGHT_BITS);
        match floats {
            true => u32::from_le_bytes(self.values[weight % VALUES]),
            false => weight as u32,
        }
    }

    /// Scores and weights that a leaf code adds.
    fn added(&self, code: usize, floats: bool, mut add: impl FnMut(usize, u32)) {
        if code < self.width {
            return add(code, self.unit);
        }
        for entry in &self.rows[code - self.width..] {
            let entry = u16::from_le_bytes(*entry);
            add(usize::from(entry >> SCORE_BIT), self.weight(entry, floats));
            if entry & ROW_ENDS != 0 {
                return;
            }
        }
    }
}

pub fn steps(chance: &mut Chance, memory: &mut Memory) {
    ranked::<false>(chance, memory);
}

pub fn floats(chance: &mut Chance, memory: &mut Memory) {
    ranked::<true>(chance, memory);
}

fn ranked<const FLOATS: bool>(chance: &mut Chance, memory: &mut Memory) {
    let (images, rest) = memory.constants.0.split_first_chunk_mut().expect("images");
    let images: &mut [u8; 256] = images;
    images
        .iter_mut()
        .for_each(|image| *image = chance.next() as u8);
    let from = chance.start();
    let values = rest[from..from + 4 * VALUES].as_chunks_mut::<4>().0;
    let nodes: &mut [u8; 4 * NODES] = memory.inputs.0.first_chunk_mut().expect("nodes");
    let nodes = nodes.as_chunks_mut::<4>().0;
    for (index, node) in nodes.iter_mut().enumerate() {
        let (any, place) = (chance.next(), index % PITCH);
        // Windows overlap, so that a node leads on by the same way from every start: within its own pitch.
        let leads_on = place + 2 < PITCH && (place < 12 || any >> 16 & 3 != 0);
        // The last piece gets to even leaves only, which do not go on.
        let is_last = index >= PITCH * LAST_PIECE;
        *node = match (leads_on, is_last) {
            (true, _) => any & 0xFFFF | (place as u32 + 1) << 16,
            (false, false) => any & 0xFFFF | (0x8000 | any >> 20) << 16,
            (false, true) => any & 0xFF | (0x8000 | any >> 20 & !1) << 16,
        }
        .to_le_bytes();
    }
    let width = chance.between(1, SCORES);
    let small = |chance: &mut Chance| (chance.next() as i16 as f32 / 64.0).to_bits();
    let unit = match FLOATS {
        true => small(chance),
        false => chance.next() & 0xFF,
    };
    let mut tables = Tables {
        nodes,
        images,
        pieces: [[0; 2]; LAST_PIECE + 1],
        leaves: [[0; 2]; LEAVES],
        rows: [[0; 2]; ROWS],
        values: &[],
        width,
        unit,
    };
    for (index, piece) in tables.pieces.iter_mut().enumerate() {
        *piece = ((index * PITCH) as u16).to_le_bytes();
    }
    for (index, leaf) in tables.leaves.iter_mut().enumerate() {
        let code = match chance.between(0, 15) {
            0 | 1 if index % 2 == 1 => GOES_ON | LAST_PIECE as u16,
            0..8 => chance.between(0, width - 1) as u16,
            _ => chance.between(width, width + ROWS - 1) as u16,
        };
        *leaf = code.to_le_bytes();
    }
    for (index, entry) in tables.rows.iter_mut().enumerate() {
        let ends = index + 1 == ROWS || chance.one_in(3);
        let score = chance.between(0, width - 1) as u16;
        let weight = chance.next() as u16 & (ROW_ENDS - 1);
        *entry = (weight | if ends { ROW_ENDS } else { 0 } | score << SCORE_BIT).to_le_bytes();
    }
    for value in values.iter_mut() {
        *value = small(chance).to_le_bytes();
    }
    tables.values = values;
    let trees = chance.between(0, LAST_PIECE);
    let mut expected = [0_u32; SCORES];
    for tree in 0..trees {
        let code = tables.code(tree);
        tables.added(code, FLOATS, |score, weight| {
            let sum = expected[score];
            expected[score] = match FLOATS {
                true => (f32::from_bits(sum) + f32::from_bits(weight)).to_bits(),
                false => sum.wrapping_add(weight),
            };
        });
    }
    let ranked = Ranked {
        nodes: tables.nodes,
        images: tables.images,
        pieces: &tables.pieces,
        trees,
        leaves: &tables.leaves,
        leaf_count: LEAVES,
        width,
        rows: &tables.rows,
        values: tables.values,
        unit,
    };
    let mut sums = Sums::default();
    let done = ranked.add::<FLOATS>(&mut sums);
    assert!(done.is_some());
    for (index, (sum, expected)) in sums.0.iter().zip(expected).enumerate() {
        memory.got.0[4 * index..][..4].copy_from_slice(sum);
        memory.expected.0[4 * index..][..4].copy_from_slice(&expected.to_le_bytes());
    }
}

pub fn grid(chance: &mut Chance, memory: &mut Memory) {
    let (count, from, to) = (chance.between(0, 40), chance.start(), chance.start());
    let inputs = &mut memory.inputs.0[from..from + 4 * count];
    chance.words(inputs);
    let inputs = inputs.as_chunks::<4>().0;
    let (below, shift) = (chance.next() as i32, chance.between(0, 31) as u32);
    for (input, image) in inputs.iter().zip(&mut memory.expected.0[to..]) {
        let distance = i64::from(i32::from_le_bytes(*input)) - i64::from(below);
        let distance = distance.clamp(i32::MIN.into(), i32::MAX.into());
        *image = (distance >> shift).clamp(0, 255) as u8;
    }
    let images = &mut memory.got.0[to..to + count];
    let any_sign = map_to_grid(inputs, below, shift, images);
    let expected = inputs.iter().any(|[_, _, _, high]| high & 0x80 != 0);
    memory.got.0[2047] = any_sign.into();
    memory.expected.0[2047] = expected.into();
}
