//! Walks through trees.

use super::{Chance, Memory};

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
