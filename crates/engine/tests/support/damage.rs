//! Damages plans, and runs what still loads.
//!
//! Used by the engine's own fuzz, whose plans are built by hand, and by the compiler's, whose plans
//! are compiled from models. Everything is deterministic. Nothing here knows an op: a new one is
//! fuzzed as soon as a plan with it is among the originals.

#![allow(dead_code)]

use dunlin_engine::Plan;
use dunlin_engine::format::{
    HEADER_BYTES, KERNEL_BYTES, OP_BYTES, OPERAND_BYTES, PORT_BYTES, TENSOR_BYTES,
};

/// Runs with more steps than this are too long for a test; their load check was still taken.
pub const MAX_TEST_WORK: u64 = 1 << 20;
/// The same of the arena's bytes.
pub const MAX_TEST_ARENA: usize = 1 << 20;

/// Numbers that look random and are the same everywhere.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `limit`; 0 for a limit of 0.
    pub fn below(&mut self, limit: usize) -> usize {
        ((self.next() >> 8) % limit.max(1) as u64) as usize
    }

    pub fn pick<'s, T>(&mut self, from: &'s [T]) -> &'s T {
        &from[self.below(from.len())]
    }
}

/// Values that sit at the edges of fields.
pub const EDGES: [u32; 16] = [
    0,
    1,
    2,
    3,
    16,
    0x7F,
    0x80,
    0xFF,
    0xFFFF,
    0x1_0000,
    0x7FFF_FFFF,
    0x8000_0000,
    0xFFFF_FFFE,
    0xFFFF_FFFF,
    0x7F80_0000,
    0x7FC0_0000,
];

/// Damages a few bytes, wherever they are.
pub fn damage_bytes(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        match random.below(8) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => bytes[at] = bytes[at].wrapping_add(1),
            3 => bytes[at] = bytes[at].wrapping_sub(1),
            4 => bytes.truncate(at.max(1)),
            5 => {
                let from = random.below(bytes.len());
                let length = random.below(64).min(bytes.len() - at.max(from));
                bytes.copy_within(from..from + length, at);
            }
            _ => {
                let value = EDGES[random.below(EDGES.len())].to_le_bytes();
                let width = [1, 2, 4][random.below(3)].min(bytes.len() - at);
                bytes[at..at + width].copy_from_slice(&value[..width]);
            }
        }
    }
}

/// One table of a plan: where it starts, how many entries of how many bytes it has, and where the
/// fields of an entry are.
struct Table {
    start: usize,
    entries: usize,
    entry_bytes: usize,
    /// Offset and bytes of every field.
    fields: &'static [(usize, usize)],
}

const HEADER_FIELDS: &[(usize, usize)] = &[
    (8, 2),
    (12, 4),
    (16, 4),
    (20, 4),
    (24, 4),
    (28, 2),
    (30, 2),
    (32, 2),
    (34, 2),
    (36, 2),
    (38, 1),
    (39, 1),
    (40, 4),
    (44, 4),
];
const TENSOR_FIELDS: &[(usize, usize)] = &[
    (0, 1),
    (1, 1),
    (2, 1),
    (4, 4),
    (8, 4),
    (12, 4),
    (16, 4),
    (20, 4),
    (24, 4),
    (28, 4),
];
const OP_FIELDS: &[(usize, usize)] = &[
    (0, 2),
    (2, 1),
    (3, 1),
    (4, 1),
    (5, 1),
    (6, 1),
    (8, 2),
    (12, 4),
    (16, 4),
];
const PORT_FIELDS: &[(usize, usize)] = &[(0, 2), (2, 2)];
const KERNEL_FIELDS: &[(usize, usize)] = &[(0, 1), (1, 1), (2, 2)];
const INDEX_FIELD: &[(usize, usize)] = &[(0, 2)];
const WORD_FIELD: &[(usize, usize)] = &[(0, 4)];

fn number(bytes: &[u8], at: usize, width: usize) -> u32 {
    let mut field = [0; 4];
    let end = (at + width).min(bytes.len());
    if at < end {
        field[..end - at].copy_from_slice(&bytes[at..end]);
    }
    u32::from_le_bytes(field)
}

/// The tables of an undamaged plan, as `FORMAT.md` lays them out.
fn tables(plan: &[u8]) -> Vec<Table> {
    let count = |at: usize, width: usize| number(plan, at, width) as usize;
    let layout = [
        (count(28, 2) + count(30, 2), TENSOR_BYTES, TENSOR_FIELDS),
        (count(32, 2), OP_BYTES, OP_FIELDS),
        (count(34, 2), KERNEL_BYTES, KERNEL_FIELDS),
        (count(38, 1) + count(39, 1), PORT_BYTES, PORT_FIELDS),
        (count(36, 2), OPERAND_BYTES, INDEX_FIELD),
        (count(40, 4) / 4, 4, WORD_FIELD),
    ];
    let mut start = HEADER_BYTES;
    let mut tables = vec![Table {
        start: 0,
        entries: 1,
        entry_bytes: HEADER_BYTES,
        fields: HEADER_FIELDS,
    }];
    for (entries, entry_bytes, fields) in layout {
        start = start.next_multiple_of(if fields == WORD_FIELD { 4 } else { 1 });
        if entries > 0 {
            tables.push(Table {
                start,
                entries,
                entry_bytes,
                fields,
            });
        }
        start += entries * entry_bytes;
    }
    tables
}

/// Changes one to three fields of tables, each to something that a field like it may hold: an
/// edge, a neighbour's value, a little more or less, twice or half.
pub fn damage_fields(plan: &mut [u8], random: &mut Random) {
    let tables = tables(plan);
    for _ in 0..=random.below(3) {
        let table = random.pick(&tables);
        let &(offset, width) = random.pick(table.fields);
        let place = |entry: usize| table.start + entry * table.entry_bytes + offset;
        let at = place(random.below(table.entries));
        let (old, other) = (
            number(plan, at, width),
            number(plan, place(random.below(table.entries)), width),
        );
        let new = match random.below(9) {
            0 => *random.pick(&EDGES),
            1 => other,
            2 => old.wrapping_add(1),
            3 => old.wrapping_sub(1),
            4 => old.wrapping_mul(2),
            5 => old / 2,
            6 => random.below(20) as u32,
            7 => old ^ 1 << random.below(8 * width),
            _ => old.wrapping_neg(),
        };
        if at + width <= plan.len() {
            plan[at..at + width].copy_from_slice(&new.to_le_bytes()[..width]);
        }
    }
}

/// Damages a plan in one of the two ways.
pub fn damage(plan: &mut Vec<u8>, random: &mut Random) {
    match random.below(3) {
        0 => damage_bytes(plan, random),
        _ => damage_fields(plan, random),
    }
}

/// What became of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Refused,
    /// Loaded, but too long or large to run in a test.
    Loaded,
    Ran,
}

/// Loads a plan and, where it is not too long, runs it on rubbish, more than once where it keeps
/// state. A panic is for the caller to catch.
pub fn load_and_run(bytes: &[u8], max_work: u64, random: &mut Random) -> Fate {
    let Ok(plan) = Plan::load(bytes) else {
        return Fate::Refused;
    };
    let needed = plan.requirements().arena_bytes;
    if plan.work() > max_work || needed > MAX_TEST_ARENA {
        return Fate::Loaded;
    }
    let mut arena = vec![0; needed];
    arena.fill_with(|| random.next() as u8);
    plan.run(&mut arena).expect("a loaded plan runs");
    if plan.requirements().kept_bytes > 0 {
        plan.reset(&mut arena).expect("a loaded plan forgets");
        for _ in 0..2 {
            plan.run(&mut arena).expect("a loaded plan goes on");
        }
    }
    for class in 0..8 {
        let _ = (plan.label(&arena), plan.probability(&arena, class));
    }
    Fate::Ran
}

/// How many plans met which fate.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fates {
    pub refused: usize,
    pub loaded: usize,
    pub ran: usize,
}

impl Fates {
    pub fn count(&mut self, fate: Fate) {
        match fate {
            Fate::Refused => self.refused += 1,
            Fate::Loaded => self.loaded += 1,
            Fate::Ran => self.ran += 1,
        }
    }

    pub fn total(&self) -> usize {
        self.refused + self.loaded + self.ran
    }
}

/// Damages `original` in `rounds` ways; names the plan and the round of a panic.
pub fn fuzz(name: &str, original: &[u8], rounds: usize, max_work: u64) -> Fates {
    let mut fates = Fates::default();
    for round in 0..rounds {
        let seed = 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(round as u64 * 2 + 1);
        let tried = std::panic::catch_unwind(|| {
            let mut random = Random(seed ^ original.len() as u64 | 1);
            let mut bytes = original.to_vec();
            damage(&mut bytes, &mut random);
            load_and_run(&bytes, max_work, &mut random)
        });
        match tried {
            Ok(fate) => fates.count(fate),
            Err(_) => panic!("{name}, round {round}: a damaged plan made the engine panic"),
        }
    }
    fates
}

/// `DUNLIN_FUZZ` times as many rounds, for a longer hunt.
pub fn rounds(in_tests: usize) -> usize {
    let factor = std::env::var("DUNLIN_FUZZ").ok();
    in_tests * factor.and_then(|factor| factor.parse().ok()).unwrap_or(1)
}
