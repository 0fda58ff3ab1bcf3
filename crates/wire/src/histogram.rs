//! Counts of a fixed number of bins.
//!
//! Travels as a CBOR array without the zeros at either end: the index of the first bin that is not
//! zero, then the counts up to the last one that is not zero; no bin filled is an empty array.
//!
//! Counting costs one addition. Counts stop at `u32::MAX`.
//!
//! ```
//! use dunlin_wire::histogram::Histogram;
//! let mut seen = Histogram::<16>::default();
//! seen.add(3);
//! seen.add(3);
//! seen.add(5);
//! assert_eq!((seen.counts[3], seen.total()), (2, 3));
//! ```

use minicbor::decode::{self, Decoder};
use minicbor::encode::{self, Encoder, Write};
use minicbor::{Decode, Encode};

/// How often each of `BINS` bins was hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Histogram<const BINS: usize> {
    /// One count per bin.
    pub counts: [u32; BINS],
}

impl<const BINS: usize> Default for Histogram<BINS> {
    fn default() -> Self {
        Self { counts: [0; BINS] }
    }
}

impl<const BINS: usize> Histogram<BINS> {
    /// Counts one hit of `bin`; a bin beyond the last counts as the last.
    pub fn add(&mut self, bin: usize) {
        if let Some(count) = self.counts.get_mut(bin.min(BINS.saturating_sub(1))) {
            *count = count.saturating_add(1);
        }
    }

    /// Sum of all counts.
    pub fn total(&self) -> u64 {
        self.counts.iter().map(|&count| u64::from(count)).sum()
    }

    /// Whether no bin was hit.
    pub fn is_empty(&self) -> bool {
        self.counts.iter().all(|&count| count == 0)
    }
}

impl<C, const BINS: usize> Encode<C> for Histogram<BINS> {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        let Some(first) = self.counts.iter().position(|&count| count != 0) else {
            return e.array(0)?.ok();
        };
        let last = self
            .counts
            .iter()
            .rposition(|&count| count != 0)
            .unwrap_or(first);
        let filled = self.counts.get(first..=last).unwrap_or_default();
        e.array(filled.len() as u64 + 1)?.u64(first as u64)?;
        filled.iter().try_for_each(|&count| e.u32(count)?.ok())
    }
}

impl<'b, C, const BINS: usize> Decode<'b, C> for Histogram<BINS> {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let position = d.position();
        let length = d
            .array()?
            .ok_or_else(|| decode::Error::message("indefinite array").at(position))?;
        let mut histogram = Self::default();
        if length == 0 {
            return Ok(histogram);
        }
        let first = d.u64()?;
        if first
            .checked_add(length - 1)
            .is_none_or(|end| end > BINS as u64)
        {
            return Err(decode::Error::message("more bins than the format has").at(position));
        }
        for count in histogram
            .counts
            .iter_mut()
            .skip(first as usize)
            .take(length as usize - 1)
        {
            *count = d.u32()?;
        }
        Ok(histogram)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_histogram() -> impl Strategy<Value = Histogram<16>> {
        let count = prop_oneof![3 => Just(0u32), 4 => 0..2000u32, 1 => any::<u32>()];
        proptest::array::uniform16(count).prop_map(|counts| Histogram { counts })
    }

    #[test]
    fn zeros_at_the_ends_do_not_travel() {
        let mut buffer = [0; 32];
        let mut histogram = Histogram::<48>::default();
        histogram.counts[17] = 300;
        histogram.counts[19] = 1;
        minicbor::encode(histogram, buffer.as_mut_slice()).expect("fits");
        assert_eq!(buffer[..8], [0x84, 17, 0x19, 1, 44, 0, 1, 0]);
        minicbor::encode(Histogram::<48>::default(), buffer.as_mut_slice()).expect("fits");
        assert_eq!(buffer[0], 0x80);
    }

    #[test]
    fn more_bins_than_there_are_is_an_error() {
        for bytes in [
            &[0x82, 16, 1][..],
            &[0x83, 15, 1, 1],
            &[0x82, 0x1b, 255, 255, 255, 255, 255, 255, 255, 255, 1],
        ] {
            assert!(
                minicbor::decode::<Histogram<16>>(bytes).is_err(),
                "{bytes:02x?}"
            );
        }
    }

    #[test]
    fn a_bin_beyond_the_last_counts_as_the_last() {
        let mut histogram = Histogram::<4>::default();
        histogram.add(9);
        assert_eq!(histogram.counts, [0, 0, 0, 1]);
    }

    proptest! {
        #[test]
        fn decoding_undoes_encoding(histogram in any_histogram()) {
            let mut buffer = [0; 128];
            minicbor::encode(histogram, buffer.as_mut_slice()).expect("fits");
            prop_assert_eq!(minicbor::decode::<Histogram<16>>(&buffer).expect("decodes"), histogram);
        }
    }
}
