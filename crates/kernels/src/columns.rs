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
    #[cfg(any(cortex_m_dsp, simd = "x86_64"))]
    return crate::arch::widen([a, b, c, d]);
    #[cfg(not(any(cortex_m_dsp, simd = "x86_64")))]
    {
        let lanes = |low: u8, high: u8| {
            let [l0, l1] = i16::from(low as i8).to_le_bytes();
            let [h0, h1] = i16::from(high as i8).to_le_bytes();
            [l0, l1, h0, h1]
        };
        [lanes(a, c), lanes(b, d)]
    }
}

/// Runs of inputs at equal distances, which stand in a column one behind the other.
#[derive(Clone, Copy, Debug)]
pub struct Runs {
    /// How many; at least 1.
    pub count: usize,
    /// Fours of inputs in each; at least 1.
    pub quads: usize,
    /// Bytes from the start of a run to the next.
    pub pitch: usize,
}

impl Runs {
    /// Bytes from the start of the first run to the end of the last.
    pub(crate) fn reach(&self) -> Option<usize> {
        let before = self.count.checked_sub(1)?.checked_mul(self.pitch)?;
        before.checked_add(self.quads.checked_mul(4)?)
    }
}

/// Writes runs of inputs to both columns, those of the second from `distance` on, and gives what is
/// behind them.
///
/// None, and nothing written, where inputs or places are missing.
#[cfg_attr(cortex_m_dsp, inline(never))]
#[cfg_attr(not(cortex_m_dsp), inline(always))]
pub fn fill_pair<'c>(
    columns: &'c mut [u8],
    runs: &Runs,
    inputs: &[u8],
    distance: usize,
) -> Option<&'c mut [u8]> {
    #[cfg(not(cortex_m_dsp))]
    let second = inputs.get(distance..)?.get(..runs.reach()?)?;
    let bytes = runs.count.checked_mul(runs.quads)?.checked_mul(16)?;
    let (head, rest) = columns.split_at_mut_checked(bytes)?;
    let places = head.as_chunks_mut::<16>().0;
    #[cfg(any(cortex_m_dsp, simd = "x86_64", simd = "aarch64"))]
    let done = crate::arch::write_pair(places, runs, inputs, distance);
    #[cfg(not(any(cortex_m_dsp, simd = "x86_64", simd = "aarch64")))]
    let done = None;
    #[cfg(not(cortex_m_dsp))]
    if done.is_none() {
        pair(places, runs, [inputs, second]);
        return Some(rest);
    }
    done.map(|()| rest)
}

/// What every architecture computes.
#[cfg(not(cortex_m_dsp))]
pub(crate) fn pair(places: &mut [[u8; 16]], runs: &Runs, [first, second]: [&[u8]; 2]) {
    let starts = (0..runs.count).map(|run| run.saturating_mul(runs.pitch));
    for (start, places) in starts.zip(places.chunks_exact_mut(runs.quads.max(1))) {
        let inputs = [first, second].map(|inputs| inputs.get(start..).unwrap_or_default());
        let [first, second] = inputs.map(|inputs| inputs.as_chunks::<4>().0);
        for ((place, a), b) in places.iter_mut().zip(first).zip(second) {
            let ([a, c], [b, d]) = (widen(*a), widen(*b));
            let words = place.as_chunks_mut::<4>().0.iter_mut();
            words.zip([a, b, c, d]).for_each(|(to, word)| *to = word);
        }
    }
}

/// Writes a run of inputs to one of two columns, from the start of `columns`, and gives what is behind it.
///
/// Four inputs take 16 bytes of both columns. What does not fit is left out.
#[cfg_attr(cortex_m_dsp, inline(never))]
#[cfg_attr(not(cortex_m_dsp), inline(always))]
pub fn fill<'c>(columns: &'c mut [u8], which: Column, run: &[u8]) -> &'c mut [u8] {
    #[cfg(simd = "x86_64")]
    let bytes = run.len().div_ceil(4).saturating_mul(16);
    #[cfg(simd = "x86_64")]
    if crate::arch::fills(run.len()) && bytes <= columns.len() {
        let (whole, rest) = columns.split_at_mut_checked(bytes).unwrap_or_default();
        crate::arch::fill(whole, which, run);
        return rest;
    }
    let (quads, tail) = run.as_chunks::<4>();
    let rest = write(columns, which, quads);
    if tail.is_empty() {
        return rest;
    }
    // One by one: a loop would become a call of `memcpy`.
    let [a, b, c] = [0, 1, 2].map(|place| tail.get(place).copied().unwrap_or(0));
    write(rest, which, &[[a, b, c, 0]])
}

/// Writes `count` times the same input, as [`fill`] would a run of it.
#[cfg_attr(cortex_m_dsp, inline(never))]
#[cfg_attr(not(cortex_m_dsp), inline(always))]
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
    crate::arch::write(places, which, quads);
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
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

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

    proptest! {
        #[test]
        fn two_columns_at_once_are_what_each_is_alone(
            count in 1_usize..5,
            quads in 1_usize..5,
            pitch in 0_usize..24,
            distance in 0_usize..20,
            spare in 0_usize..3,
        ) {
            let runs = Runs { count, quads, pitch };
            let needed = (count - 1) * pitch + 4 * quads + distance;
            let inputs: Vec<u8> = (0..needed + spare).map(|at| (at * 89 + 7) as u8).collect();
            let bytes = 16 * count * quads;
            let (mut got, mut expected) = (vec![0x55; bytes + 16], vec![0x55; bytes + 16]);
            let rest = fill_pair(&mut got, &runs, &inputs, distance).map(|rest| rest.len());
            prop_assert_eq!(rest, Some(16));
            for (which, first) in [(Column::First, 0), (Column::Second, distance)] {
                let mut columns = &mut expected[..];
                for run in 0..count {
                    let start = first + run * pitch;
                    columns = fill(columns, which, &inputs[start..start + 4 * quads]);
                }
            }
            prop_assert_eq!(got, expected);
        }
    }

    #[test]
    fn two_columns_that_lack_an_input_or_a_place_stay_as_they_are() {
        let runs = Runs {
            count: 2,
            quads: 1,
            pitch: 5,
        };
        let mut columns = [0x55; 32];
        assert!(fill_pair(&mut columns, &runs, &[1; 11], 3).is_none());
        assert!(fill_pair(&mut columns[..31], &runs, &[1; 12], 3).is_none());
        assert_eq!(columns, [0x55; 32]);
        assert!(fill_pair(&mut columns, &runs, &[1; 12], 3).is_some());
    }
}
