/// Numbers that look random and are the same everywhere.
pub struct Chance(u64);

impl Chance {
    pub fn new(case: u32) -> Chance {
        Chance(u64::from(case).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03)
    }

    pub fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed >> 32) as u32
    }

    /// From `low` up to `high`, both included.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + (self.next() as usize) % (high - low + 1)
    }

    pub fn one_in(&mut self, count: u32) -> bool {
        self.next().is_multiple_of(count)
    }

    /// Often on a word, else on any byte: where a slice begins in memory that is aligned.
    pub fn start(&mut self) -> usize {
        match self.between(0, 5) {
            0 => self.between(0, 15),
            1 | 2 => 4 * self.between(0, 3),
            _ => 0,
        }
    }

    /// Fills lanes of 16 bits: any, those of bytes, or the ends of the range.
    pub fn lanes(&mut self, bytes: &mut [u8]) {
        let kind = self.between(0, 3);
        for lane in bytes.as_chunks_mut::<2>().0 {
            let any = self.next();
            let value = match kind {
                0 => any as i16,
                1 if any & 3 == 0 => [i16::MIN, i16::MAX][any as usize >> 2 & 1],
                2 => [-128, 127][any as usize & 1],
                _ => i16::from(any as i8),
            };
            *lane = value.to_le_bytes();
        }
    }

    /// Fills words of 32 bits: any, small, or the ends of the range.
    pub fn words(&mut self, bytes: &mut [u8]) {
        for word in bytes.as_chunks_mut::<4>().0 {
            let any = self.next();
            let value = match self.between(0, 7) {
                0 => [i32::MIN, i32::MAX, 0, -1][any as usize & 3],
                1 | 2 => any as i32 >> 16,
                _ => any as i32,
            };
            *word = value.to_le_bytes();
        }
    }
}
