//! Walks down decision trees.

/// Nodes that a byte numbers.
pub const WINDOW: usize = 256;

/// Walks from node `start` to a leaf by ranks; gives bits 16 to 30 of the last sum.
///
/// A node's bits 0 – 7 say which image is added to it at bit 8. Bits 16 – 23 of the sum are the
/// next node, counted from `start`; with bit 31 there is none. None without a whole window from
/// `start` on. Endless where the nodes lead in a circle.
#[inline(always)]
pub fn walk_ranks(nodes: &[[u8; 4]], start: usize, images: &[u8; 256]) -> Option<usize> {
    #[cfg(cortex_m_dsp)]
    return crate::arch::walk_ranks(nodes, start, images);
    #[cfg(not(cortex_m_dsp))]
    portable::walk_ranks::<1>(nodes, start, images)
}

/// Most scores of [`Ranked`] trees.
pub const SCORES: usize = 16;
/// Most leaf codes: a node has 15 bits for the place of one.
pub const MAX_LEAVES: usize = 1 << 15;

/// Sums of [`Ranked`] trees, `f32` or whole steps; in words, as loads of floats need them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(4))]
pub struct Sums(pub [[u8; 4]; SCORES]);

/// Nodes on the shortest walk through [`Ranked`] trees: those before are taken for branches.
pub const LEAST_NODES: usize = 4;
/// In a leaf code: the walk goes on in the piece with the number of the other bits.
pub const GOES_ON: u16 = 0x8000;
/// Bits of the weight in an entry of a row; the end and four bits of the score stand above.
pub const WEIGHT_BITS: u32 = 11;
/// In an entry of a row: the last one.
pub const ROW_ENDS: u16 = 1 << WEIGHT_BITS;
/// Where the score of an entry begins.
pub const SCORE_BIT: u32 = WEIGHT_BITS + 1;

/// Trees by ranks, and what their leaves add to scores.
///
/// Trees start at the nodes that the first pieces name. A walk, as [`walk_ranks`] takes it but through at least
/// [`LEAST_NODES`], gives the place of a leaf code. A code below `width` adds the unit to that score; a code `width + r`
/// adds entries of `rows` from `r` on up to one that ends. Weights are whole steps or, for sums of `f32`, places in
/// `values`.
#[derive(Clone, Copy, Debug)]
pub struct Ranked<'a> {
    /// Nodes, and what stands behind them: a window from every start.
    pub nodes: &'a [[u8; 4]],
    /// What the inputs are mapped to.
    pub images: &'a [u8; 256],
    /// The first nodes of pieces.
    pub pieces: &'a [[u8; 2]],
    /// How many pieces begin a tree.
    pub trees: usize,
    /// Leaf codes, and what stands behind them: a power of two that is no less than `leaf_count`.
    pub leaves: &'a [[u8; 2]],
    /// How many leaf codes there are, at most [`MAX_LEAVES`]; a place is taken modulo the next power of two.
    pub leaf_count: usize,
    /// At most [`SCORES`].
    pub width: usize,
    /// The last one ends.
    pub rows: &'a [[u8; 2]],
    /// For sums of `f32` as many as [`are_places`] allows; a place is taken modulo their number.
    pub values: &'a [[u8; 4]],
    /// What a code below `width` adds: bits of an `f32`, or steps.
    pub unit: u32,
}

/// Whether entries of rows name so many values: a power of two, at most 2^[`WEIGHT_BITS`].
pub const fn are_places(values: usize) -> bool {
    values.is_power_of_two() && values >> WEIGHT_BITS <= 1
}

impl Ranked<'_> {
    /// Adds the leaf of every tree, in their order; sums are `f32` or, modulo 2³², steps.
    ///
    /// None where something is missing; sums are of no use then. Endless where nodes or pieces lead in a circle. Cost on
    /// Cortex-M: 6 instructions for a node, 11 more for a tree, 10 for an entry of a row of floats, 7 of steps; sums of
    /// floats are portable where it has no registers for them.
    #[inline(always)]
    pub fn add<const FLOATS: bool>(&self, sums: &mut Sums) -> Option<()> {
        let ends = match self.rows.last() {
            Some(entry) => u16::from_le_bytes(*entry) & ROW_ENDS != 0,
            None => true,
        };
        let weighs = !FLOATS || are_places(self.values.len());
        let starts = self.pieces.get(..self.trees)?;
        let leaves = self.leaf_count.checked_next_power_of_two()?;
        let fits = self.width <= SCORES
            && leaves <= self.leaves.len().min(MAX_LEAVES)
            && ends
            && (weighs || self.rows.is_empty());
        if !fits || starts.is_empty() {
            return fits.then_some(());
        }
        #[cfg(cortex_m_dsp)]
        if !FLOATS || cfg!(cortex_m_fpu) {
            return crate::arch::add_ranked::<FLOATS>(self, starts, leaves - 1, sums);
        }
        portable::add_ranked::<FLOATS>(self, starts, leaves - 1, sums)
    }
}

/// Images of inputs on a grid: `(x - below) >> shift` of each input's bits as an `i32`, saturated to 32 bits and then
/// to a byte. Gives whether an input has its sign set. As many as there are inputs and images.
#[inline(always)]
pub fn map_to_grid(inputs: &[[u8; 4]], below: i32, shift: u32, images: &mut [u8]) -> bool {
    let count = inputs.len().min(images.len());
    let (inputs, images) = (inputs.get(..count), images.get_mut(..count));
    let (inputs, images) = inputs.zip(images).unwrap_or_default();
    #[cfg(cortex_m_dsp)]
    return crate::arch::map_to_grid(inputs, below, shift & 31, images);
    #[cfg(not(cortex_m_dsp))]
    portable::map_to_grid(inputs, below, shift & 31, images)
}

/// Branches that compare inputs with thresholds.
///
/// Bits of a link: 0 – 11 where to go if `x ≤ threshold`, 12 – 23 where to go if not (a NaN does
/// not), 24 – 31 the input. Thresholds are `f32` that are not negative: their bits compare as they
/// do.
#[derive(Clone, Copy)]
pub struct Branches<'a> {
    thresholds: &'a [[u8; 4]],
    links: &'a [[u8; 4]],
    x: &'a [[u8; 4]],
}

impl<'a> Branches<'a> {
    /// Branches over `x`; none without as many thresholds as links.
    #[inline(always)]
    pub fn new(thresholds: &'a [[u8; 4]], links: &'a [[u8; 4]], x: &'a [[u8; 4]]) -> Option<Self> {
        let thresholds = thresholds.get(..links.len())?;
        Some(Self {
            thresholds,
            links,
            x,
        })
    }

    /// Walks from a place to the first that is no branch. Endless where links lead in a circle.
    #[inline(always)]
    pub fn walk(&self, place: usize) -> Option<usize> {
        portable::walk_thresholds([self.thresholds, self.links, self.x], place)
    }

    /// A quicker way, where the architecture has one and `x` allows it: none of the first `inputs`
    /// words, which the links name, is a NaN with its sign set, and `x` goes on up to a power of two.
    #[inline(always)]
    pub fn quick(self, inputs: usize) -> Option<Quick<'a>> {
        #[cfg(cortex_m_dsp)]
        return Quick::new([self.thresholds, self.links, self.x], inputs);
        #[cfg(not(cortex_m_dsp))]
        {
            let _ = inputs;
            None
        }
    }
}

#[cfg(cortex_m_dsp)]
pub use crate::arch::Quick;

/// Branches on an architecture that has no quicker way: there are none.
#[cfg(not(cortex_m_dsp))]
pub struct Quick<'a>(Branches<'a>, core::convert::Infallible);

#[cfg(not(cortex_m_dsp))]
impl Quick<'_> {
    /// As [`Branches::walk`].
    pub fn walk(&self, place: usize) -> Option<usize> {
        self.0.walk(place)
    }
}

/// What every architecture computes.
#[cfg_attr(cortex_m_dsp, allow(dead_code))]
pub(crate) mod portable {
    use super::{
        GOES_ON, LEAST_NODES, ROW_ENDS, Ranked, SCORE_BIT, SCORES, Sums, WEIGHT_BITS, WINDOW,
    };

    const PLACE_BITS: u32 = 12;
    const PLACE: u32 = 0xFFF;
    /// The last negative bits that are no NaN.
    pub const NEGATIVE_INFINITY: u32 = 0xFF80_0000;

    /// Walks through at least `LEAST` nodes: those before are taken for branches.
    #[inline(always)]
    pub fn walk_ranks<const LEAST: usize>(
        nodes: &[[u8; 4]],
        start: usize,
        images: &[u8; 256],
    ) -> Option<usize> {
        let window: &[[u8; 4]; WINDOW] = nodes.get(start..)?.first_chunk()?;
        let (mut at, mut nodes) = (0, 0);
        loop {
            let node = u32::from_le_bytes(*window.get(at)?);
            let image = *images.get(usize::from(node as u8))?;
            let sum = node.wrapping_add(u32::from(image) << 8);
            (at, nodes) = ((sum >> 16 & 0xFF) as usize, nodes + 1);
            if nodes >= LEAST && sum.cast_signed() < 0 {
                return Some((sum << 1 >> 17) as usize);
            }
        }
    }

    pub fn map_to_grid(inputs: &[[u8; 4]], below: i32, shift: u32, images: &mut [u8]) -> bool {
        let mut signs = 0;
        for (input, image) in inputs.iter().zip(images) {
            let bits = i32::from_le_bytes(*input);
            signs |= bits;
            *image = (bits.saturating_sub(below) >> shift).clamp(0, 255) as u8;
        }
        signs < 0
    }

    pub fn add_ranked<const FLOATS: bool>(
        trees: &Ranked,
        starts: &[[u8; 2]],
        leaf_mask: usize,
        Sums(sums): &mut Sums,
    ) -> Option<()> {
        let leaf = |start: [u8; 2]| {
            let start = u16::from_le_bytes(start).into();
            let place = walk_ranks::<LEAST_NODES>(trees.nodes, start, trees.images)?;
            let code = trees.leaves.get(place & leaf_mask)?;
            Some(u16::from_le_bytes(*code))
        };
        for start in starts {
            let mut code = leaf(*start)?;
            while usize::from(code) >= trees.width.saturating_add(trees.rows.len()) {
                let piece = usize::from(code.checked_sub(GOES_ON)?);
                code = leaf(*trees.pieces.get(piece)?)?;
            }
            let code = usize::from(code);
            match code.checked_sub(trees.width) {
                None => add::<FLOATS>(sums.get_mut(code)?, trees.unit),
                Some(row) => add_row::<FLOATS>(trees, row, sums)?,
            }
        }
        Some(())
    }

    fn add_row<const FLOATS: bool>(
        trees: &Ranked,
        row: usize,
        sums: &mut [[u8; 4]; SCORES],
    ) -> Option<()> {
        let mask = trees.values.len().wrapping_sub(1);
        for entry in trees.rows.get(row..)? {
            let entry = u16::from_le_bytes(*entry);
            let weight = entry & ((1 << WEIGHT_BITS) - 1);
            let weight = match FLOATS {
                true => u32::from_le_bytes(*trees.values.get(usize::from(weight) & mask)?),
                false => weight.into(),
            };
            let score = usize::from(entry >> SCORE_BIT);
            add::<FLOATS>(sums.get_mut(score)?, weight);
            if entry & ROW_ENDS != 0 {
                return Some(());
            }
        }
        None
    }

    fn add<const FLOATS: bool>(score: &mut [u8; 4], weight: u32) {
        let sum = u32::from_le_bytes(*score);
        let sum = match FLOATS {
            false => sum.wrapping_add(weight),
            true => (f32::from_bits(sum) + f32::from_bits(weight)).to_bits(),
        };
        *score = sum.to_le_bytes();
    }

    #[inline(never)]
    pub fn walk_thresholds(tables: [&[[u8; 4]]; 3], mut place: usize) -> Option<usize> {
        let [thresholds, links, x] = tables;
        while let Some(link) = links.get(place) {
            let link = u32::from_le_bytes(*link);
            let threshold = u32::from_le_bytes(*thresholds.get(place)?);
            let bits = u32::from_le_bytes(*x.get((link >> 24) as usize)?);
            let is_below_zero = bits.cast_signed() < 0 && bits <= NEGATIVE_INFINITY;
            place = match bits <= threshold || is_below_zero {
                true => link & PLACE,
                false => link >> PLACE_BITS & PLACE,
            } as usize;
        }
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A test of image 3 at the root, of image 255 behind it on the left.
    #[test]
    fn the_carry_picks_the_right_neighbour() {
        let leaf = |leaf: u32| 1 << 31 | leaf << 16;
        let mut nodes = [[0; 4]; WINDOW];
        let test = |image: u32, rank: u32| image | (255 - rank) << 8;
        nodes[0] = (test(3, 7) | 254 << 16).to_le_bytes();
        nodes[254] = (test(255, 0) | leaf(10)).to_le_bytes();
        nodes[255] = leaf(0x7FFF).to_le_bytes();
        let mut images = [0; 256];
        let walk = |images: &[u8; 256]| walk_ranks(&nodes, 0, images);
        for (first, last, expected) in [(7, 0, 10), (7, 1, 11), (8, 0, 0x7FFF), (255, 9, 0x7FFF)] {
            (images[3], images[255]) = (first, last);
            assert_eq!(walk(&images), Some(expected), "{first} {last}");
        }
    }

    #[test]
    fn branches_send_numbers_up_to_the_threshold_left() {
        let thresholds = [0.5_f32, 2.0].map(f32::to_le_bytes);
        let links = [1_u32 | 7 << 12 | 1 << 24, 5 | 6 << 12].map(u32::to_le_bytes);
        let words = |x: [f32; 2]| x.map(f32::to_le_bytes);
        let cases = [
            ([2.0, 0.5], 5),
            ([2.5, 0.0], 6),
            ([0.0, 0.75], 7),
            ([-1.0, -0.0], 5),
            ([f32::NAN, f32::NEG_INFINITY], 6),
            ([0.0, -f32::NAN], 7),
        ];
        for (x, expected) in cases {
            let x = words(x);
            let branches = Branches::new(&thresholds, &links, &x).unwrap();
            assert_eq!(branches.walk(0), Some(expected));
            let quick = branches.quick(2).map(|quick| quick.walk(0));
            assert!(quick.is_none_or(|place| place == Some(expected)));
        }
        assert!(Branches::new(&thresholds[..1], &links, &[]).is_none());
    }
}
