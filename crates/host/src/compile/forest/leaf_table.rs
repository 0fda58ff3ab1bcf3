//! The leaf table of a group: the two sides of a branch are neighbours, as often as can be shared.

use std::collections::{BTreeMap, HashMap};

/// What ends at leaves: pairs of codes, and single ones.
#[derive(Default)]
pub(super) struct Leaves {
    ends: Vec<(u16, Option<u16>)>,
    numbers: HashMap<(u16, Option<u16>), usize>,
}

/// A table in which every pair is a pair of neighbours.
pub(super) struct LeafTable {
    pub codes: Vec<u16>,
    /// Where each pair or single code stands.
    pub places: Vec<usize>,
}

impl Leaves {
    /// The number of a pair.
    pub fn pair(&mut self, left: u16, right: u16) -> usize {
        self.end((left, Some(right)))
    }

    /// The number of a code.
    pub fn single(&mut self, code: u16) -> usize {
        self.end((code, None))
    }

    /// How many numbers there are.
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    fn end(&mut self, end: (u16, Option<u16>)) -> usize {
        let next = self.ends.len();
        let number = *self.numbers.entry(end).or_insert(next);
        if number == next {
            self.ends.push(end);
        }
        number
    }

    /// The table: pairs are edges from code to code, and as few trails as possible run through all
    /// of them.
    pub fn table(&self) -> LeafTable {
        let edge = |&(left, right): &(u16, Option<u16>)| Some((left, right?));
        let mut codes = trails(&self.ends.iter().filter_map(edge).collect::<Vec<_>>());
        let mut pairs = HashMap::new();
        for (place, pair) in codes.windows(2).enumerate() {
            pairs.entry((pair[0], pair[1])).or_insert(place);
        }
        let mut singles: HashMap<u16, usize> = HashMap::new();
        for (place, &code) in codes.iter().enumerate() {
            singles.entry(code).or_insert(place);
        }
        let place = |&(left, right): &(u16, Option<u16>)| match right {
            Some(right) => pairs[&(left, right)],
            None => *singles.entry(left).or_insert_with(|| {
                codes.push(left);
                codes.len() - 1
            }),
        };
        let places = self.ends.iter().map(place).collect();
        LeafTable { codes, places }
    }
}

/// The codes along trails that have every edge once, one trail after another.
///
/// Joined to a vertex of its own at every end, each part of the graph is one circuit; cut there,
/// it gives as many trails as there must be.
fn trails(edges: &[(u16, u16)]) -> Vec<u16> {
    let mut surplus: BTreeMap<u16, i64> = BTreeMap::new();
    let mut targets: BTreeMap<Option<u16>, Vec<Option<u16>>> = BTreeMap::new();
    for &(left, right) in edges {
        *surplus.entry(left).or_default() += 1;
        *surplus.entry(right).or_default() -= 1;
        targets.entry(Some(left)).or_default().push(Some(right));
    }
    for (&code, &count) in &surplus {
        let (from, to) = if count > 0 {
            (None, Some(code))
        } else {
            (Some(code), None)
        };
        let ends = targets.entry(from).or_default();
        ends.extend((0..count.abs()).map(|_| to));
    }
    let starts: Vec<Option<u16>> = targets.keys().copied().collect();
    let mut codes = Vec::new();
    for start in starts {
        codes.extend(circuit(start, &mut targets).into_iter().flatten());
    }
    codes
}

/// A circuit through every edge that can be reached from a vertex; nothing if there is none.
fn circuit(
    start: Option<u16>,
    targets: &mut BTreeMap<Option<u16>, Vec<Option<u16>>>,
) -> Vec<Option<u16>> {
    let (mut open, mut closed) = (vec![start], Vec::new());
    while let Some(&vertex) = open.last() {
        match targets.get_mut(&vertex).and_then(Vec::pop) {
            Some(next) => open.push(next),
            None => closed.extend(open.pop()),
        }
    }
    closed.reverse();
    if closed.len() < 2 {
        closed.clear();
    }
    closed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_has_neighbours_and_codes_are_shared() {
        let mut leaves = Leaves::default();
        let pairs = [
            (0, 1),
            (1, 0),
            (2, 0),
            (0, 3),
            (4, 1),
            (1, 5),
            (7, 7),
            (0, 1),
        ];
        let numbers: Vec<usize> = pairs
            .iter()
            .map(|pair| leaves.pair(pair.0, pair.1))
            .collect();
        let singles = [3, 9].map(|code| (code, leaves.single(code)));
        assert_eq!(numbers[0], numbers[7]);
        let table = leaves.table();
        for (pair, number) in pairs.iter().zip(numbers) {
            let place = table.places[number];
            assert_eq!((table.codes[place], table.codes[place + 1]), *pair);
        }
        for (code, number) in singles {
            assert_eq!(table.codes[table.places[number]], code);
        }
        // Two trails of six edges together, a circle of one, and a single code.
        assert_eq!(table.codes.len(), 6 + 2 + 2 + 1);
    }
}
