//! Packed weights times two columns, or times one row: two groups at a time.
//!
//! A load of 32 bytes holds four steps of a group, in each step the word of channels 0 and 1 and that of
//! channels 2 and 3, so every input word stands twice. `VPMADDWD` is eight `SMLAD` without the sum.
//! For two columns 48 instructions do 256 multiply-accumulates, for a row 34 do 128, with more than 255 steps
//! 52 and 40; what follows the loop takes 75 for the 16 outputs of two columns, 50 for the 8 of a row.

use super::has_avx2;
use crate::multiply::{EVEN, GROUP, Layer, ODD, START_WORDS, group_bytes};
use core::arch::x86_64::*;
use core::hint::black_box;

/// Bytes of four steps: of a group, and of two columns.
const BLOCK: usize = 32;
/// Bytes of four steps of a row.
const ROW_BLOCK: usize = 8;
/// Bytes of a step: of two columns, and of a row.
const PAIR_STEP: usize = 8;
const ROW_STEP: usize = 2;
/// Bytes of a group before its weights.
const START: usize = 4 * START_WORDS;

/// As the portable loop; none where that has to do it.
#[inline(always)]
pub(crate) fn multiply_pair<const TIES: u8>(
    layer: &Layer,
    columns: &[u8],
    first: &mut [u8],
    second: &mut [u8],
) -> Option<()> {
    let fits = [first.len(), second.len()] == [layer.channels(); 2]
        && columns.len() / PAIR_STEP >= layer.steps();
    if !fits || layer.steps() < 4 || !has_avx2() {
        return None;
    }
    // SAFETY: the processor has AVX2. A layer has the groups for its channels, the columns have the
    // words of every step, and both outputs have a byte for every channel.
    unsafe {
        pair::<TIES>(
            layer,
            columns.as_ptr(),
            first.as_mut_ptr(),
            second.as_mut_ptr(),
        )
    };
    Some(())
}

/// As the portable loop; none where that has to do it.
#[inline(always)]
pub(crate) fn multiply_row<const TIES: u8>(
    layer: &Layer,
    inputs: &[u8],
    out: &mut [u8],
) -> Option<()> {
    let fits = out.len() == layer.channels() && inputs.len() / ROW_STEP >= layer.steps();
    if !fits || layer.steps() < 4 || !has_avx2() {
        return None;
    }
    // SAFETY: the processor has AVX2. A layer has the groups for its channels, the inputs of every step
    // are there, and the output has a byte for every channel.
    unsafe { row::<TIES>(layer, inputs.as_ptr(), out.as_mut_ptr()) };
    Some(())
}

/// The address of two columns, twice: loaded for each, their words are part of the shuffle.
type Columns = [*const u8; 2];

/// Two groups; where there is only one left, it stands for both.
#[derive(Clone, Copy)]
struct Groups {
    one: *const u8,
    other: *const u8,
    steps: usize,
}

/// Steps of a group.
#[derive(Clone, Copy)]
enum Place {
    /// The four of a block.
    Four(usize),
    /// The two that follow so many blocks.
    Two(usize),
}

impl Place {
    /// Lanes of the steps, of two filled up with zeros.
    ///
    /// # Safety
    /// The address has 8 bytes for every step.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn load(self, from: *const u8) -> __m256i {
        // SAFETY: as this function's; the loads need no alignment.
        unsafe {
            match self {
                Place::Four(_) => _mm256_loadu_si256(from.cast()),
                Place::Two(_) => _mm256_zextsi128_si256(load_16(from)),
            }
        }
    }

    /// Inputs of both columns, each word twice.
    ///
    /// # Safety
    /// The columns have the steps.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn of_columns(self, columns: Columns) -> [__m256i; 2] {
        let (Place::Four(block) | Place::Two(block)) = self;
        // SAFETY: as this function's.
        let [inputs, again] =
            columns.map(|columns| unsafe { self.load(columns.wrapping_add(block * BLOCK)) });
        [
            _mm256_shuffle_epi32::<0b10_10_00_00>(inputs),
            _mm256_shuffle_epi32::<0b11_11_01_01>(again),
        ]
    }

    /// Inputs of a row, each word twice.
    ///
    /// # Safety
    /// The row has the steps.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn of_row(self, row: *const u8) -> __m256i {
        let (Place::Four(block) | Place::Two(block)) = self;
        let from = row.wrapping_add(block * ROW_BLOCK);
        // SAFETY: as this function's: four steps have 8 inputs, two have 4. The constant has 32 bytes.
        let (inputs, twice) = unsafe {
            let inputs = match self {
                Place::Four(_) => from.cast::<i64>().read_unaligned(),
                Place::Two(_) => from.cast::<u32>().read_unaligned().into(),
            };
            (inputs, _mm256_loadu_si256(TWICE.as_ptr().cast()))
        };
        // Bytes into the upper halves of lanes, from where they are shifted down with their sign.
        _mm256_srai_epi16::<8>(_mm256_shuffle_epi8(_mm256_set1_epi64x(inputs), twice))
    }
}

impl Groups {
    /// Calls `add` with where four or two steps are, of all but the first four.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn walk(self, mut add: impl FnMut(Place)) {
        let blocks = self.steps / 4;
        let mut block = 1;
        while block + 1 < blocks {
            add(Place::Four(block));
            add(Place::Four(block + 1));
            block += 2;
        }
        if block < blocks {
            add(Place::Four(block));
        }
        if self.steps & 2 == 2 {
            add(Place::Two(blocks));
        }
    }

    /// Lanes of both groups, of two steps filled up with zeros.
    ///
    /// # Safety
    /// The steps are in both groups.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn weights<const LIFTED: bool>(self, place: Place) -> [Weights<LIFTED>; 2] {
        let (Place::Four(block) | Place::Two(block)) = place;
        let at = START + block * BLOCK;
        let (one, other) = (self.one.wrapping_add(at), self.other.wrapping_add(at));
        // SAFETY: as this function's: four steps are 32 bytes, two are 16.
        let (one, other) = unsafe { (place.load(one), place.load(other)) };
        [Weights::of(one), Weights::of(other)]
    }

    /// 16 bytes of each group in a half.
    ///
    /// # Safety
    /// The bytes are in both groups.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn halves(self, at: usize) -> __m256i {
        // SAFETY: as this function's.
        let (one, other) = unsafe { (load_16(self.one.add(at)), load_16(self.other.add(at))) };
        _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(one), other)
    }
}

/// # Safety
/// The address has 16 bytes.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load_16(from: *const u8) -> __m128i {
    // SAFETY: as this function's; the load needs no alignment.
    unsafe { _mm_loadu_si128(from.cast()) }
}

/// Calls `compute` for every eight channels, or fewer at the end: with their groups, how many channels
/// are before them, and how many they are.
#[inline]
#[target_feature(enable = "avx2")]
fn for_each(layer: &Layer, mut compute: impl FnMut(Groups, usize, usize)) {
    let (steps, bytes) = (layer.steps(), group_bytes(layer.steps()));
    let mut one = layer.groups().as_ptr();
    for before in (0..layer.channels()).step_by(2 * GROUP) {
        let count = layer.channels() - before;
        let other = match count {
            ..=GROUP => one,
            _ => one.wrapping_add(bytes),
        };
        compute(Groups { one, other, steps }, before, count);
        one = other.wrapping_add(bytes);
    }
}

/// # Safety
/// `columns` has the bytes of every step, both outputs one for every channel.
#[target_feature(enable = "avx2")]
unsafe fn pair<const TIES: u8>(layer: &Layer, columns: *const u8, first: *mut u8, second: *mut u8) {
    // The compiler would load once and shuffle twice if it knew that both are the same.
    let columns = [columns, black_box(columns)];
    for_each(layer, |groups, before, count| {
        // SAFETY: as this function's.
        let [of_first, of_second] = unsafe {
            match groups.steps <= MAX_LIFTED_STEPS {
                true => pair_sums::<true>(groups, columns),
                false => pair_sums::<false>(groups, columns),
            }
        };
        // SAFETY: the groups are there.
        let ends = unsafe { Ends::of(groups) };
        let bytes = saturated(
            ends.results::<TIES>(of_first),
            ends.results::<TIES>(of_second),
        );
        // SAFETY: as this function's, of the channels that are left.
        unsafe {
            store(first.wrapping_add(before), bytes, count);
            let bytes = _mm_unpackhi_epi64(bytes, bytes);
            store(second.wrapping_add(before), bytes, count);
        }
    });
}

/// # Safety
/// `inputs` has the bytes of every step, `out` one for every channel.
#[target_feature(enable = "avx2")]
unsafe fn row<const TIES: u8>(layer: &Layer, inputs: *const u8, out: *mut u8) {
    for_each(layer, |groups, before, count| {
        // SAFETY: as this function's.
        let sums = unsafe {
            match groups.steps <= MAX_LIFTED_STEPS {
                true => row_sums::<true>(groups, inputs),
                false => row_sums::<false>(groups, inputs),
            }
        };
        // SAFETY: the groups are there.
        let scaled = unsafe { Ends::of(groups) }.results::<TIES>(sums);
        // SAFETY: as this function's, of the channels that are left.
        unsafe { store(out.wrapping_add(before), saturated(scaled, scaled), count) };
    });
}

/// Stores the first `count` bytes, at most eight.
///
/// # Safety
/// `to` has `count` bytes.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn store(to: *mut u8, bytes: __m128i, count: usize) {
    let all = _mm_cvtsi128_si64(bytes).to_le_bytes();
    // SAFETY: as this function's; no store needs alignment.
    unsafe {
        match count {
            8.. => _mm_storel_epi64(to.cast(), bytes),
            4 => to.cast::<i32>().write_unaligned(_mm_cvtsi128_si32(bytes)),
            _ => core::ptr::copy_nonoverlapping(all.as_ptr(), to, count),
        }
    }
}

/// Partial sums of a group: of whole lanes, and of low bytes as [`Weights`] has them.
#[derive(Clone, Copy)]
struct Sums<const LIFTED: bool> {
    lanes: __m256i,
    low: __m256i,
}

impl<const LIFTED: bool> Sums<LIFTED> {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn of(weights: Weights<LIFTED>, inputs: __m256i) -> Self {
        Self {
            lanes: _mm256_madd_epi16(weights.lanes, inputs),
            low: _mm256_madd_epi16(weights.low, inputs),
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn add(&mut self, weights: Weights<LIFTED>, inputs: __m256i) {
        let more = Self::of(weights, inputs);
        self.lanes = _mm256_add_epi32(self.lanes, more.lanes);
        self.low = _mm256_add_epi32(self.low, more.low);
    }

    /// Half of the sums in each half: channels 0 and 1, low; channels 2 and 3, low.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn folded(self) -> __m256i {
        _mm256_add_epi32(
            _mm256_unpacklo_epi32(self.lanes, self.low),
            _mm256_unpackhi_epi32(self.lanes, self.low),
        )
    }
}

/// Lanes of four steps, and their low bytes; with `LIFTED` times 256, which spares a shift.
#[derive(Clone, Copy)]
struct Weights<const LIFTED: bool> {
    lanes: __m256i,
    low: __m256i,
}

/// Most steps for which sums of lifted low bytes fit: a step adds at most `2·128·256·128 = 2²³` in magnitude.
const MAX_LIFTED_STEPS: usize = 255;

impl<const LIFTED: bool> Weights<LIFTED> {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn of(lanes: __m256i) -> Self {
        let lifted = _mm256_slli_epi16::<8>(lanes);
        let low = match LIFTED {
            true => lifted,
            false => _mm256_srai_epi16::<8>(lifted),
        };
        Self { lanes, low }
    }
}

/// The sums of two groups for one column, of which each half holds a group, from where they start.
#[inline]
#[target_feature(enable = "avx2")]
fn total<const LIFTED: bool>(start: __m256i, [one, other]: [Sums<LIFTED>; 2]) -> __m256i {
    let (one, other) = (one.folded(), other.folded());
    let sums = _mm256_add_epi32(
        _mm256_permute2x128_si256::<0x20>(one, other),
        _mm256_permute2x128_si256::<0x31>(one, other),
    );
    let sums = match LIFTED {
        true => _mm256_srav_epi32(sums, _mm256_set1_epi64x(8 << 32)),
        false => sums,
    };
    _mm256_add_epi32(sums, start)
}

/// The sums of two groups for both columns.
///
/// # Safety
/// As [`pair`]'s.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn pair_sums<const LIFTED: bool>(groups: Groups, columns: Columns) -> [__m256i; 2] {
    // SAFETY: there are four steps.
    let ([one, other], [of_first, of_second]) = unsafe {
        let place = Place::Four(0);
        (groups.weights::<LIFTED>(place), place.of_columns(columns))
    };
    let mut first = [Sums::of(one, of_first), Sums::of(other, of_first)];
    let mut second = [Sums::of(one, of_second), Sums::of(other, of_second)];
    groups.walk(|place| {
        // SAFETY: the walk is over the groups' steps.
        let (weights, [of_first, of_second]) =
            unsafe { (groups.weights(place), place.of_columns(columns)) };
        for ((first, second), weights) in first.iter_mut().zip(&mut second).zip(weights) {
            first.add(weights, of_first);
            second.add(weights, of_second);
        }
    });
    // SAFETY: a group starts with 16 bytes.
    let start = unsafe { groups.halves(0) };
    [total(start, first), total(start, second)]
}

/// The sums of two groups for a row of bytes.
///
/// # Safety
/// As [`row`]'s.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn row_sums<const LIFTED: bool>(groups: Groups, inputs: *const u8) -> __m256i {
    // SAFETY: there are four steps.
    let ([one, other], row) = unsafe {
        let place = Place::Four(0);
        (groups.weights::<LIFTED>(place), place.of_row(inputs))
    };
    let mut sums = [Sums::of(one, row), Sums::of(other, row)];
    groups.walk(|place| {
        // SAFETY: the walk is over the groups' steps.
        let (weights, row) = unsafe { (groups.weights(place), place.of_row(inputs)) };
        for (sums, weights) in sums.iter_mut().zip(weights) {
            sums.add(weights, row);
        }
    });
    // SAFETY: a group starts with 16 bytes.
    let start = unsafe { groups.halves(0) };
    total(start, sums)
}

/// Where the bytes of a row go: the words of every step twice.
static TWICE: [u8; BLOCK] = {
    const NONE: u8 = 0x80;
    [
        NONE, 0, NONE, 2, NONE, 0, NONE, 2, NONE, 1, NONE, 3, NONE, 1, NONE, 3, //
        NONE, 4, NONE, 6, NONE, 4, NONE, 6, NONE, 5, NONE, 7, NONE, 5, NONE, 7,
    ]
};

/// How the sums of two groups become bytes.
struct Ends {
    /// `M` of channels 0 and 2 in even places.
    factors: __m256i,
    /// `M` of channels 1 and 3 in even places.
    lifted_factors: __m256i,
    /// `R` of channels 1, 0, 3, 2.
    offsets: __m256i,
    /// Shifts in the same order.
    shifts: __m256i,
    /// What sums are less by for the value before, in the same order.
    steps: __m256i,
}

impl Ends {
    /// # Safety
    /// Both groups are there.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn of(groups: Groups) -> Self {
        let end = START + 8 * groups.steps;
        // SAFETY: three times 16 bytes end a group.
        let (a, b, c) = unsafe {
            (
                groups.halves(end),
                groups.halves(end + 16),
                groups.halves(end + 32),
            )
        };
        // (m0 r0 e0 m1) (r1 e1 m2 r2) (e2 m3 r3 e3)
        let factors = _mm256_blend_epi32::<0b0100_0100>(a, b);
        let lifted = _mm256_blend_epi32::<0b0010_0010>(a, c);
        let offsets = _mm256_blend_epi32::<0b0010_0010>(b, a);
        let offsets = _mm256_blend_epi32::<0b0100_0100>(offsets, c);
        let shifts = _mm256_blend_epi32::<0b0010_0010>(c, b);
        let shifts = _mm256_blend_epi32::<0b0100_0100>(shifts, a);
        let shifts = _mm256_shuffle_epi32::<0b00_11_10_01>(shifts);
        let steps = _mm256_srai_epi32::<8>(shifts);
        let shifts = _mm256_and_si256(shifts, _mm256_set1_epi32(0xFF));
        Self {
            factors,
            lifted_factors: _mm256_shuffle_epi32::<0b00_01_00_11>(lifted),
            offsets,
            shifts: _mm256_add_epi32(shifts, _mm256_set1_epi64x(8)),
            steps,
        }
    }

    /// Results of channels 1, 0, 3, 2 before they are saturated.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn results<const TIES: u8>(&self, sums: __m256i) -> __m256i {
        let low = pairs(sums);
        let lifted = _mm256_sub_epi32(sums, low);
        let results = self.scaled(low, lifted);
        if TIES != EVEN && TIES != ODD {
            return results;
        }
        let low = _mm256_sub_epi32(low, pairs(self.steps));
        let before = self.scaled(low, _mm256_sub_epi32(lifted, self.steps));
        match TIES {
            EVEN => _mm256_and_si256(results, _mm256_or_si256(before, _mm256_set1_epi32(!1))),
            _ => _mm256_or_si256(before, _mm256_and_si256(results, _mm256_set1_epi32(1))),
        }
    }

    /// Values of sums in even places: of channels 0 and 2, and lifted ones of channels 1 and 3.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn scaled(&self, low: __m256i, lifted: __m256i) -> __m256i {
        let lifted = _mm256_mul_epi32(lifted, self.lifted_factors);
        let plain = _mm256_mul_epi32(low, self.factors);
        let high = _mm256_blend_epi32::<0b1010_1010>(_mm256_srli_epi64::<32>(lifted), plain);
        // A shift of 32 or more leaves the sign alone, as one of 31 does.
        _mm256_srav_epi32(_mm256_add_epi32(high, self.offsets), self.shifts)
    }
}

/// What stands in odd places, in even ones too.
#[inline]
#[target_feature(enable = "avx2")]
fn pairs(lanes: __m256i) -> __m256i {
    _mm256_shuffle_epi32::<0b11_11_01_01>(lanes)
}

/// Eight bytes of the first column, then eight of the second.
#[inline]
#[target_feature(enable = "avx2")]
fn saturated(first: __m256i, second: __m256i) -> __m128i {
    let words = _mm256_packs_epi32(first, second);
    let bytes = _mm256_packs_epi16(words, words);
    let (one, other) = (
        _mm256_castsi256_si128(bytes),
        _mm256_extracti128_si256::<1>(bytes),
    );
    let order = _mm_setr_epi8(1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
    _mm_shuffle_epi8(_mm_unpacklo_epi32(one, other), order)
}
