//! Inputs that are the same everywhere: Marsaglia's xorshift32.
//!
//! Input number `n` starts from state `n + 1`; each element is one step `x ^= x << 13; x ^= x >> 17; x ^= x << 5`. An
//! `int8` is the low byte of the state, a `float32` the state as a signed number divided by 2^31.

use dunlin_engine::TensorInfo;
use dunlin_engine::format::DType;

/// The bytes of input number `index`.
pub fn generated(tensor: &TensorInfo, index: u32) -> Vec<u8> {
    let states = states(index + 1).take(tensor.elements());
    match tensor.dtype {
        DType::F32 => states
            .flat_map(|state| (state.cast_signed() as f32 / HALF_RANGE).to_le_bytes())
            .collect(),
        DType::I32 => states.flat_map(u32::to_le_bytes).collect(),
        _ => states.map(|state| state as u8).collect(),
    }
}

/// 2^31.
const HALF_RANGE: f32 = 2_147_483_648.0;

fn states(seed: u32) -> impl Iterator<Item = u32> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    })
}

/// CRC-32 as zlib computes it.
pub fn crc32(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0xedb8_8320;
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ POLYNOMIAL * (crc & 1);
        }
    }
    !crc
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use dunlin_engine::format::Role;

    /// A tensor of one dimension at the start of the arena.
    pub(in crate::bench) fn tensor(dtype: DType, elements: u32) -> TensorInfo {
        TensorInfo {
            dtype,
            rank: 1,
            dims: [1, 1, 1, elements],
            offset: 0,
            scale: 0.0,
            zero_point: 0,
            role: Role::Plain,
        }
    }

    /// What TensorFlow Lite Micro was fed for the published figures.
    #[test]
    fn int8_inputs_are_those_of_the_published_figures() {
        for (elements, expected) in [(490, 0x02ae_be2b), (3072, 0xebac_ec56), (640, 0xae86_c059)] {
            let bytes = generated(&tensor(DType::I8, elements), 0);
            assert_eq!(bytes.len(), elements as usize);
            assert_eq!(crc32(&bytes), expected, "{elements} elements");
        }
    }

    #[test]
    fn floats_fill_the_range_from_minus_one_to_one() {
        let bytes = generated(&tensor(DType::F32, 1000), 1);
        let values: Vec<f32> = bytes
            .as_chunks()
            .0
            .iter()
            .map(|b| f32::from_le_bytes(*b))
            .collect();
        assert!(values.iter().all(|value| (-1.0..=1.0).contains(value)));
        assert!(
            values.iter().any(|value| *value < -0.9) && values.iter().any(|value| *value > 0.9)
        );
    }

    #[test]
    fn inputs_differ_from_each_other() {
        let tensor = tensor(DType::I8, 64);
        assert_ne!(generated(&tensor, 0), generated(&tensor, 1));
    }
}
