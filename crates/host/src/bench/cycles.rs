//! A model of the cycles that a Cortex-M4 takes for the instructions it runs: modelled, not measured.
//!
//! Zero wait states, no stalls but those below. Counts are per address, so what an instruction costs is told by the one
//! that stands before it, not by the one that ran before it.
//!
//! | instruction | cycles |
//! |---|---|
//! | load | 2, or 1 right behind a load or store |
//! | load or store of several registers | 1 + registers |
//! | load or store of a float register | 2 |
//! | divide | 7 |
//! | branch taken | 3; a conditional one that falls through 1 |
//! | everything else, also what a condition skips | 1 |
//!
//! A conditional branch has fallen through as often as what stands behind it has run, at most as often as it ran itself.
//! Real flash with wait states makes all of it slower.

use std::collections::BTreeMap;

use super::disassembly::{Instruction, Listing};

/// How often the instruction at each address ran.
pub type Counts = BTreeMap<u32, u64>;

/// Kinds of instruction that the model tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Arithmetic, logic, moves, multiplications: one cycle.
    Plain,
    /// Reads one or two core registers from memory.
    Load,
    /// Writes one or two core registers to memory.
    Store,
    /// Reads or writes a list of this many registers.
    Several {
        /// Registers in the list.
        registers: u64,
    },
    /// Reads or writes a float register.
    FloatTransfer,
    /// Divides.
    Divide,
    /// Always branches.
    Jump,
    /// Branches where a condition holds.
    Branch,
}

const CONDITIONS: [&str; 16] = [
    "eq", "ne", "gt", "lt", "le", "ge", "hi", "ls", "hs", "lo", "cs", "cc", "mi", "pl", "vs", "vc",
];
const JUMPS: [&str; 6] = ["b", "bl", "bx", "blx", "tbb", "tbh"];

const LOAD_CYCLES: u64 = 2;
const PIPELINED_LOAD_CYCLES: u64 = 1;
const FLOAT_TRANSFER_CYCLES: u64 = 2;
const DIVIDE_CYCLES: u64 = 7;
const TAKEN_CYCLES: u64 = 3;

impl Class {
    /// The class of an instruction.
    pub fn of(instruction: &Instruction) -> Self {
        let name = instruction.mnemonic.split('.').next().unwrap_or_default();
        let starts = |beginnings: &[&str]| beginnings.iter().any(|start| name.starts_with(start));
        let is_conditional_jump = || {
            let of = |jump: &&str| name.strip_prefix(jump);
            JUMPS
                .iter()
                .filter_map(of)
                .any(|end| CONDITIONS.contains(&end))
        };
        if starts(&["vldr", "vstr"]) {
            Self::FloatTransfer
        } else if starts(&["ldm", "stm", "push", "pop"]) {
            let registers = registers(&instruction.operands);
            Self::Several { registers }
        } else if starts(&["ldr"]) {
            Self::Load
        } else if starts(&["str"]) {
            Self::Store
        } else if ["sdiv", "udiv"].contains(&name) {
            Self::Divide
        } else if JUMPS.contains(&name) {
            Self::Jump
        } else if ["cbz", "cbnz"].contains(&name) || is_conditional_jump() {
            Self::Branch
        } else {
            Self::Plain
        }
    }

    fn is_single_transfer(self) -> bool {
        matches!(self, Self::Load | Self::Store)
    }
}

/// Length of a register list.
fn registers(operands: &str) -> u64 {
    let list = operands
        .split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'));
    list.map_or(0, |(list, _)| list.split(',').map(length).sum())
}

/// Registers in `r4` or in `r4-r7`.
fn length(part: &str) -> u64 {
    let number = |name: &str| name.trim().strip_prefix('r')?.parse::<u64>().ok();
    let ends = part
        .split_once('-')
        .map(|(from, to)| (number(from), number(to)));
    match ends {
        Some((Some(from), Some(to))) => to.saturating_sub(from) + 1,
        _ => 1,
    }
}

/// Modelled cycles of what ran.
pub fn modelled_cycles(listing: &Listing, counts: &Counts) -> u64 {
    counts
        .keys()
        .map(|&address| cycles_of(listing, counts, address))
        .sum()
}

/// Modelled cycles of the instruction at one address.
pub fn cycles_of(listing: &Listing, counts: &Counts, address: u32) -> u64 {
    let count = counts.get(&address).copied().unwrap_or_default();
    match listing.position(address) {
        Some(position) => cycles_at(listing, counts, position, count),
        None => count,
    }
}

fn cycles_at(listing: &Listing, counts: &Counts, position: usize, count: u64) -> u64 {
    let instructions = &listing.instructions;
    let at = |position: usize| instructions.get(position);
    match at(position).map(Class::of) {
        Some(Class::Load) => {
            let before = position.checked_sub(1).and_then(at).map(Class::of);
            match before.is_some_and(Class::is_single_transfer) {
                true => count * PIPELINED_LOAD_CYCLES,
                false => count * LOAD_CYCLES,
            }
        }
        Some(Class::Several { registers }) => count * (1 + registers),
        Some(Class::FloatTransfer) => count * FLOAT_TRANSFER_CYCLES,
        Some(Class::Divide) => count * DIVIDE_CYCLES,
        Some(Class::Jump) => count * TAKEN_CYCLES,
        Some(Class::Branch) => {
            let behind = at(position + 1).and_then(|next| counts.get(&next.address));
            let fallen = behind.copied().unwrap_or(0).min(count);
            fallen + (count - fallen) * TAKEN_CYCLES
        }
        Some(Class::Plain | Class::Store) | None => count,
    }
}

#[cfg(test)]
mod tests {
    use super::super::disassembly::tests::LISTING;
    use super::*;

    fn class(mnemonic: &str, operands: &str) -> Class {
        Class::of(&Instruction {
            address: 0,
            mnemonic: mnemonic.to_owned(),
            operands: operands.to_owned(),
            function: 0,
        })
    }

    #[test]
    fn every_class_is_told_from_the_mnemonic() {
        let cases = [
            ("adds", "r0, #1", Class::Plain),
            ("smlad", "r0, r1, r2, r3", Class::Plain),
            ("strb.w", "r0, [r1]", Class::Store),
            ("ldrsh.w", "r0, [r1]", Class::Load),
            ("ldrd", "r0, r1, [r2]", Class::Load),
            ("vldr", "s0, [r0]", Class::FloatTransfer),
            ("vadd.f32", "s0, s0, s1", Class::Plain),
            ("sdiv", "r0, r0, r1", Class::Divide),
            ("b.n", "400 <x>", Class::Jump),
            ("bl", "400 <x>", Class::Jump),
            ("blt.n", "400 <x>", Class::Branch),
            ("bls.n", "400 <x>", Class::Branch),
            ("cbz", "r0, 400 <x>", Class::Branch),
            ("bic.w", "r0, r0, #1", Class::Plain),
            ("bfi", "r0, r1, #0, #8", Class::Plain),
            ("bxeq", "lr", Class::Branch),
            ("pop", "{r4-r7, pc}", Class::Several { registers: 5 }),
            (
                "stmdb",
                "sp!, {r4, r5, lr}",
                Class::Several { registers: 3 },
            ),
        ];
        for (mnemonic, operands, expected) in cases {
            assert_eq!(class(mnemonic, operands), expected, "{mnemonic} {operands}");
        }
    }

    fn counted(counts: &[(u32, u64)]) -> u64 {
        modelled_cycles(&Listing::parse(LISTING), &counts.iter().copied().collect())
    }

    #[test]
    fn a_load_is_pipelined_behind_a_load_and_not_behind_arithmetic() {
        assert_eq!(counted(&[(0x404, 10)]), 20);
        assert_eq!(counted(&[(0x408, 10)]), 10);
    }

    #[test]
    fn a_branch_is_taken_as_often_as_what_is_behind_it_did_not_run() {
        assert_eq!(counted(&[(0x41e, 10), (0x420, 1)]), 9 * 3 + 1 + 3);
        assert_eq!(counted(&[(0x41e, 10)]), 30);
    }

    #[test]
    fn registers_division_floats_jumps_and_the_rest_cost_what_the_table_says() {
        assert_eq!(counted(&[(0x402, 2)]), 2 * 4);
        assert_eq!(counted(&[(0x410, 3)]), 21);
        assert_eq!(counted(&[(0x418, 3)]), 6);
        assert_eq!(counted(&[(0x42a, 2)]), 6);
        assert_eq!(
            counted(&[(0x414, 5), (0x416, 5), (0x40c, 5), (0x40a, 5)]),
            20
        );
    }

    #[test]
    fn what_is_not_listed_costs_a_cycle() {
        assert_eq!(counted(&[(0x9000, 4)]), 4);
    }
}
