//! Inputs as the multiplying loops read them: bytes widened to 16 bits, four at a time.
//!
//! Bytes 0 to 3 of a run become the lanes `(0, 2)` and `(1, 3)` of two words, which is what one
//! `SXTB16` each gives; weights are packed in the same order. A run whose length is not a multiple
//! of four is filled up with zeros, whose weights are zero.

/// One of the two columns that stand word by word beside each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// Every other word from the first.
    First,
    /// Every other word from the second.
    Second,
}

/// The words that four bytes become.
#[inline(always)]
pub fn widen([a, b, c, d]: [u8; 4]) -> [[u8; 4]; 2] {
    #[cfg(cortex_m_dsp)]
    return crate::cortex_m::widen([a, b, c, d]);
    #[cfg(not(cortex_m_dsp))]
    {
        let lanes = |low: u8, high: u8| {
            let [l0, l1] = i16::from(low as i8).to_le_bytes();
            let [h0, h1] = i16::from(high as i8).to_le_bytes();
            [l0, l1, h0, h1]
        };
        [lanes(a, c), lanes(b, d)]
    }
}

/// Writes a run of inputs to one of two columns, from the start of `columns`, and gives what is behind it.
///
/// Four inputs take 16 bytes of both columns. What does not fit is left out.
#[inline(always)]
pub fn fill<'c>(columns: &'c mut [u8], which: Column, run: &[u8]) -> &'c mut [u8] {
    let (quads, tail) = run.as_chunks::<4>();
    let rest = write(columns, which, quads);
    if tail.is_empty() {
        return rest;
    }
    let mut last = [0; 4];
    last.iter_mut().zip(tail).for_each(|(to, from)| *to = *from);
    write(rest, which, &[last])
}

/// Writes `count` times the same input, as [`fill`] would a run of it.
#[inline(always)]
pub fn repeat(columns: &mut [u8], which: Column, input: u8, count: usize) -> &mut [u8] {
    let mut rest = columns;
    for _ in 0..count.div_ceil(4) {
        rest = write(rest, which, &[[input; 4]]);
    }
    rest
}

#[inline(always)]
fn write<'c>(columns: &'c mut [u8], which: Column, quads: &[[u8; 4]]) -> &'c mut [u8] {
    let bytes = quads.len().saturating_mul(16);
    let Some((head, rest)) = columns.split_at_mut_checked(bytes) else {
        return &mut [];
    };
    let places = head.as_chunks_mut::<16>().0;
    #[cfg(cortex_m_dsp)]
    crate::cortex_m::write(places, which, quads);
    #[cfg(not(cortex_m_dsp))]
    for (place, quad) in places.iter_mut().zip(quads) {
        let words = place.as_chunks_mut::<4>().0;
        let (a, b) = match (which, words) {
            (Column::First, [a, _, b, _]) | (Column::Second, [_, a, _, b]) => (a, b),
            _ => continue,
        };
        [*a, *b] = widen(*quad);
    }
    rest
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    #[test]
    fn two_columns_stand_word_by_word() {
        let mut column = [0x55; 48];
        let rest = fill(&mut column, Column::First, &[1, 2, 3, 0xFC, 5]).len();
        assert_eq!(rest, 16);
        fill(&mut column, Column::Second, &[6, 7]);
        let words = column.as_chunks::<4>().0;
        assert_eq!(words[0], [1, 0, 3, 0]);
        assert_eq!(words[1], [6, 0, 0, 0]);
        assert_eq!(words[2], [2, 0, 0xFC, 0xFF]);
        assert_eq!(words[3], [7, 0, 0, 0]);
        assert_eq!(words[4], [5, 0, 0, 0]);
        assert_eq!(words[6], [0; 4]);
        assert_eq!(words[8], [0x55; 4]);
    }

    #[test]
    fn a_run_that_does_not_fit_is_left_out() {
        let mut column = [0x55; 15];
        assert!(fill(&mut column, Column::First, &[1, 2, 3, 4]).is_empty());
        assert_eq!(column, [0x55; 15]);
    }
}
