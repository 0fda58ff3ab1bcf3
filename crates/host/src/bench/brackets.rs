//! What the counting plugin wrote, bracket by bracket.

use std::collections::BTreeMap;

use super::cycles::{Counts, cycles_of, modelled_cycles};
use super::disassembly::Listing;
use serde::Serialize;

/// What ran between two marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bracket {
    /// Instructions that ran, exactly.
    pub instructions: u64,
    /// How often each did.
    pub counts: Counts,
}

/// A function's share of a bracket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FunctionShare {
    /// Its name.
    pub function: String,
    /// Instructions that ran in it, without those of the functions it called.
    pub instructions: u64,
    /// Modelled cycles of these.
    pub modelled_cycles: u64,
}

/// Reads the plugin's file; `None` where it is not what the plugin writes.
pub fn parse(text: &str) -> Option<Vec<Bracket>> {
    let mut brackets: Vec<Bracket> = Vec::new();
    for line in text.lines() {
        let (first, second) = line.split_once(' ')?;
        if first == "bracket" {
            brackets.push(Bracket {
                instructions: second.parse().ok()?,
                counts: Counts::new(),
            });
        } else {
            let address = u32::from_str_radix(first, 16).ok()?;
            let bracket = brackets.last_mut()?;
            bracket.counts.insert(address, second.parse().ok()?);
        }
    }
    let is_whole = |bracket: &Bracket| bracket.counts.values().sum::<u64>() == bracket.instructions;
    brackets.iter().all(is_whole).then_some(brackets)
}

impl Bracket {
    /// Modelled cycles of what ran.
    pub fn modelled_cycles(&self, listing: &Listing) -> u64 {
        modelled_cycles(listing, &self.counts)
    }

    /// The functions in which most instructions ran, first those with most, at most `most` of them.
    pub fn by_function(&self, listing: &Listing, most: usize) -> Vec<FunctionShare> {
        let mut shares = BTreeMap::<&str, u64>::new();
        let mut cycles = BTreeMap::<&str, u64>::new();
        for (address, count) in &self.counts {
            let place = listing.position(*address);
            let instruction = place.and_then(|place| listing.instructions.get(place));
            let name = instruction.map_or("?", |instruction| listing.function_of(instruction));
            *shares.entry(name).or_default() += count;
            *cycles.entry(name).or_default() += cycles_of(listing, &self.counts, *address);
        }
        let mut shares: Vec<FunctionShare> = shares
            .into_iter()
            .map(|(name, instructions)| FunctionShare {
                function: name.to_owned(),
                instructions,
                modelled_cycles: cycles.get(name).copied().unwrap_or_default(),
            })
            .collect();
        shares.sort_by(|a, b| b.instructions.cmp(&a.instructions));
        shares.truncate(most);
        shares
    }
}

#[cfg(test)]
mod tests {
    use super::super::disassembly::tests::LISTING;
    use super::*;

    const COUNTS: &str = "bracket 12\n400 2\n402 1\n41c 9\nbracket 1\n400 1\n";

    #[test]
    fn brackets_are_read_with_their_counts() {
        let brackets = parse(COUNTS).unwrap();
        assert_eq!(brackets.len(), 2);
        assert_eq!(
            (brackets[0].instructions, brackets[1].instructions),
            (12, 1)
        );
        assert_eq!(brackets[0].counts[&0x41c], 9);
    }

    #[test]
    fn a_bracket_whose_counts_do_not_add_up_is_refused() {
        assert_eq!(parse("bracket 3\n400 2\n"), None);
        assert_eq!(parse("400 2\n"), None);
        assert_eq!(parse("nonsense\n"), None);
    }

    #[test]
    fn functions_stand_in_order_of_their_share() {
        let listing = Listing::parse(LISTING);
        let shares = parse(COUNTS).unwrap()[0].by_function(&listing, 9);
        let told: Vec<(&str, u64, u64)> = shares
            .iter()
            .map(|share| {
                (
                    share.function.as_str(),
                    share.instructions,
                    share.modelled_cycles,
                )
            })
            .collect();
        assert_eq!(told, [("engine::run", 10, 13), ("mark_begin", 2, 6)]);
        let cycles = parse(COUNTS).unwrap()[0].modelled_cycles(&listing);
        assert_eq!(
            cycles,
            shares
                .iter()
                .map(|share| share.modelled_cycles)
                .sum::<u64>()
        );
    }
}
