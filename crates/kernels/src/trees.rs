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
    portable::walk_ranks(nodes, start, images)
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
    /// words, which the links name, is negative, and `x` goes on up to a power of two.
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
    use super::WINDOW;

    const PLACE_BITS: u32 = 12;
    const PLACE: u32 = 0xFFF;
    const NEGATIVE_INFINITY: u32 = 0xFF80_0000;

    #[inline(always)]
    pub fn walk_ranks(nodes: &[[u8; 4]], start: usize, images: &[u8; 256]) -> Option<usize> {
        let window: &[[u8; 4]; WINDOW] = nodes.get(start..)?.first_chunk()?;
        let mut at = 0;
        loop {
            let node = u32::from_le_bytes(*window.get(at)?);
            let image = *images.get(usize::from(node as u8))?;
            let sum = node.wrapping_add(u32::from(image) << 8);
            at = (sum >> 16 & 0xFF) as usize;
            if sum.cast_signed() < 0 {
                return Some((sum << 1 >> 17) as usize);
            }
        }
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
