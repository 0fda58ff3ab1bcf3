//! Walks through decision trees over ranks.

/// Nodes that a byte names.
pub const WINDOW: usize = 256;

/// Walks from the first node of a window to a leaf and gives the word that names it: its top bit is set,
/// bits 16 to 30 are the leaf.
///
/// Bits of a node, little-endian: 0 to 7 the image that is tested; 8 to 15 the complement of its rank;
/// 16 to 30 where to go; 31 set if that is a leaf. The image is added at bit 8, so that its carry
/// picks the right one of two neighbours; of where to go next, eight bits count. Nodes that lead back
/// are walked forever. Six instructions per node on Cortex-M.
#[inline(always)]
pub fn walk(nodes: &[[u8; 4]; WINDOW], images: &[u8; 256]) -> u32 {
    #[cfg(cortex_m_dsp)]
    return crate::arch::walk(nodes, images);
    #[cfg(not(cortex_m_dsp))]
    {
        let mut at = 0;
        loop {
            let node = nodes
                .get(usize::from(at))
                .map_or(u32::MAX, |node| u32::from_le_bytes(*node));
            let image = images.get(usize::from(node as u8)).copied();
            let sum = node.wrapping_add(u32::from(image.unwrap_or_default()) << 8);
            if sum.cast_signed() < 0 {
                return sum;
            }
            at = (sum >> 16) as u8;
        }
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
        let walk = |images: &[u8; 256]| walk(&nodes, images) >> 16;
        for (first, last, expected) in [(7, 0, 10), (7, 1, 11), (8, 0, 0x7FFF), (255, 9, 0x7FFF)] {
            (images[3], images[255]) = (first, last);
            assert_eq!(walk(&images), 1 << 15 | expected, "{first} {last}");
        }
    }
}
