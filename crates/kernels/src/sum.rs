//! Sums of two lists of bytes, each scaled, as many at a time as registers hold.

/// How two codes become one: `(⌊a·M / 2⁸⌋ + ⌊b·N / 2⁸⌋ + C) >> k`, sums modulo 2³², held to the limits.
#[derive(Clone, Copy, Debug)]
pub struct Sum {
    /// `M` of the output's own bytes, and `N` of the others.
    pub factors: [i32; 2],
    /// `C`.
    pub constant: i32,
    /// `k`, at most 31.
    pub shift: u32,
    /// Lowest and highest code.
    pub limits: [i8; 2],
}

/// Writes sums over the first bytes of `own` and says over how many; the others are the caller's.
///
/// 0 where the target has no lanes for it. Cost: 3 instructions for a sum on x86-64.
#[inline(always)]
pub fn sum_lanes(sum: &Sum, own: &mut [u8], other: &[u8]) -> usize {
    #[cfg(simd = "x86_64")]
    return crate::arch::sum(sum, own, other);
    #[cfg(not(simd = "x86_64"))]
    {
        let _ = (sum, own, other);
        0
    }
}
