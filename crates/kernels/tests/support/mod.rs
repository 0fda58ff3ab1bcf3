//! Random cases for the loops, and what each must give by a plain definition in 64-bit integers.
//!
//! Needs neither the standard library nor an allocator, so that the same cases run on the workstation and on an
//! emulated core. A case is a number; the same number gives the same case everywhere.

mod chance;
mod channels;
mod columns;
mod depthwise;
mod dot;
mod multiply;
mod trees;

pub use chance::Chance;
use dunlin_kernels::{EVEN, ODD, UP};

/// Bytes of the constants and of the inputs of a case.
pub const INPUT_BYTES: usize = 8192;
/// Bytes of its results.
pub const RESULT_BYTES: usize = 2048;

/// Aligned as the arena of an engine.
#[repr(C, align(16))]
pub struct Aligned<const N: usize>(pub [u8; N]);

/// What a case lies in.
pub struct Memory {
    pub constants: Aligned<INPUT_BYTES>,
    pub inputs: Aligned<INPUT_BYTES>,
    /// What the loop wrote, and everything around it.
    pub got: Aligned<RESULT_BYTES>,
    /// What the definition wrote.
    pub expected: Aligned<RESULT_BYTES>,
}

impl Memory {
    pub const fn new() -> Memory {
        Memory {
            constants: Aligned([0; INPUT_BYTES]),
            inputs: Aligned([0; INPUT_BYTES]),
            got: Aligned([0; RESULT_BYTES]),
            expected: Aligned([0; RESULT_BYTES]),
        }
    }
}

/// Where a loop differs from its definition.
#[derive(Debug)]
pub struct Difference {
    pub name: &'static str,
    pub case: u32,
    pub byte: usize,
    pub got: u8,
    pub expected: u8,
}

/// A loop: runs it and its definition on a case.
type Loop = (&'static str, fn(&mut Chance, &mut Memory));

/// The loops, but for those over trees with thresholds, which whole models cover.
pub const LOOPS: [Loop; 19] = [
    ("multiply_pair", multiply::pair::<UP>),
    ("multiply_row", multiply::row::<UP>),
    ("multiply_pair_even", multiply::pair::<EVEN>),
    ("multiply_row_even", multiply::row::<EVEN>),
    ("multiply_pair_odd", multiply::pair::<ODD>),
    ("multiply_row_odd", multiply::row::<ODD>),
    ("fill", columns::fill),
    ("repeat", columns::repeat),
    ("fill_pair", columns::both),
    ("fill_plane", depthwise::plane),
    ("fill_lanes", depthwise::lanes),
    ("sum_channels", channels::sums),
    ("dot_pair", dot::pair),
    ("depthwise3", depthwise::three),
    ("depthwise", depthwise::any),
    ("walk", trees::walk),
    ("add_steps", trees::steps),
    ("add_floats", trees::floats),
    ("map_to_grid", trees::grid),
];

/// What the results are before a loop runs.
const UNTOUCHED: u8 = 0xA5;

/// Runs one case of a loop; gives how many bytes the definition wrote.
pub fn check((name, run): Loop, case: u32, memory: &mut Memory) -> Result<usize, Difference> {
    let mut chance = Chance::new(case);
    memory.got.0.fill(UNTOUCHED);
    memory.expected.0.fill(UNTOUCHED);
    run(&mut chance, memory);
    let pairs = memory.got.0.iter().zip(&memory.expected.0);
    if let Some((byte, (&got, &expected))) = pairs.enumerate().find(|(_, (a, b))| a != b) {
        return Err(Difference {
            name,
            case,
            byte,
            got,
            expected,
        });
    }
    Ok(memory
        .expected
        .0
        .iter()
        .filter(|&&byte| byte != UNTOUCHED)
        .count())
}

/// The word of 32 bits at a place.
fn word(bytes: &[u8], index: usize) -> i32 {
    let at = 4 * index;
    i32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The lane of 16 bits at a place.
fn lane(bytes: &[u8], index: usize) -> i64 {
    i64::from(i16::from_le_bytes([bytes[2 * index], bytes[2 * index + 1]]))
}

/// `sat((⌊sum·M / 2³²⌋ + R) >> shift)` with the words from `at` on, shifted by `lift` more; of two values that differ in
/// parity, the one that `ties` names, which is the lower one or the same.
fn requantised(sum: i64, words: &[u8], at: usize, lift: u32, ties: u8) -> u8 {
    let shift = word(words, at + 2);
    let value = |sum: i64| {
        let high = (i64::from(sum as i32) * i64::from(word(words, at))) >> 32;
        let value = (high + i64::from(word(words, at + 1))) as i32;
        (value >> (shift as u32 & 0xFF).min(31)) >> lift
    };
    let (at, before) = (value(sum), value(sum - i64::from(shift >> 8)));
    // The wanted one's lowest bit replaces that of the value which is sure to have all others.
    let result = match ties {
        EVEN if before & 1 == 0 => at & !1,
        ODD if at & 1 == 1 => before | 1,
        ODD => before,
        _ => at,
    };
    result.clamp(-128, 127) as u8
}

/// Gives a shift's word a step as compilers choose it, or any.
fn put_step(chance: &mut Chance, word: &mut [u8], lift: u32) {
    let step = match chance.between(0, 4) {
        0 => 0,
        1 => -1,
        2 => return,
        _ => 1,
    };
    let bytes = (step << (lift + 8)) as u32 | u32::from(word[0]);
    word.copy_from_slice(&bytes.to_le_bytes());
}

/// Makes the words from `at` on bring a sum to the edge between two results, or one below.
fn put_on_edge(chance: &mut Chance, sum: i64, words: &mut [u8], at: usize, lift: u32) {
    let shift = chance.between(0, 23 - lift as usize) as u32;
    let high = (i64::from(sum as i32) * i64::from(word(words, at))) >> 32;
    let edge = (chance.between(0, 260) as i64 - 130) << (shift + lift);
    let offset = edge - high - chance.between(0, 1) as i64;
    words[4 * at + 4..4 * at + 8].copy_from_slice(&(offset as i32).to_le_bytes());
    words[4 * at + 8] = shift as u8;
}
