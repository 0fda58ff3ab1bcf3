//! Thresholds that windows without drift exceed no more often than wanted, and what can be said of
//! that share.
//!
//! Blocks of training data stand for the blocks to come: exchangeable with them, while the windows
//! within a block resemble each other. The loss of a block is the share of its windows above the
//! threshold, between 0 and 1. Over n blocks with a total loss L the loss expected of the next block
//! is at most (L + 1) / (n + 1) (conformal risk control: Angelopoulos et al. 2022), so the threshold
//! is the lowest score for which that is not above the share wanted. Where n is too small for the
//! share, it is the highest score, and 1 / (n + 1) is what can be said.
//!
//! The interval is the one for whole blocks above the threshold, of which there are ⌊L⌋ at most: the
//! share has then the distribution Beta(⌊L⌋ + 1, n − ⌊L⌋), whatever the scores' distribution (Wilks
//! 1941). For L = 0 its upper end is the one of Clopper and Pearson for no exceedance in n, about
//! 3 / n at 95 % one-sided.

/// Share of windows without drift that exceed a threshold.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Rate {
    /// What is to be expected of the next, at most.
    pub expected: f64,
    /// Lower end of the 95 % interval.
    pub lower: f64,
    /// Upper end of the 95 % interval.
    pub upper: f64,
}

/// Total loss that `blocks` may have for the share `wanted`; 0 where they are too few for it.
fn allowed_loss(blocks: usize, wanted: f64) -> f64 {
    (wanted * (blocks + 1) as f64 - 1.0).clamp(0.0, blocks.saturating_sub(1) as f64)
}

/// Whole blocks that may lie above the threshold.
pub fn allowed_blocks(blocks: usize, wanted: f64) -> usize {
    (allowed_loss(blocks, wanted) + 1e-9) as usize
}

/// What a threshold from `blocks` for the share `wanted` vouches for.
pub fn vouched(blocks: usize, wanted: f64) -> Rate {
    let above = allowed_blocks(blocks, wanted) + 1;
    Rate {
        expected: (allowed_loss(blocks, wanted) + 1.0) / (blocks + 1) as f64,
        lower: beta_quantile(above, blocks, 0.025),
        upper: beta_quantile(above, blocks, 0.975),
    }
}

/// A window's score and the block it counts for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BlockScore {
    /// Index of the block.
    pub block: usize,
    /// Its score.
    pub score: f32,
}

/// The lowest of the scores that the blocks' total loss allows as a threshold; infinity without any.
pub fn threshold(scores: impl Iterator<Item = BlockScore>, wanted: f64) -> f32 {
    let mut sorted: Vec<BlockScore> = scores.collect();
    sorted.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut windows = vec![0usize; sorted.iter().map(|one| one.block + 1).max().unwrap_or(0)];
    sorted.iter().for_each(|one| windows[one.block] += 1);
    let blocks = windows.iter().filter(|&&count| count > 0).count();
    let allowed = allowed_loss(blocks, wanted) + 1e-9;
    let mut loss = 0.0;
    let mut lowest = f32::INFINITY;
    for one in sorted {
        if loss > allowed {
            break;
        }
        lowest = one.score;
        loss += 1.0 / windows[one.block] as f64;
    }
    lowest
}

/// Clopper-Pearson interval for `hits` of `trials`.
pub fn of_trials(hits: usize, trials: usize) -> Rate {
    let lower = if hits == 0 {
        0.0
    } else {
        beta_quantile(hits, trials, 0.025)
    };
    let upper = if hits == trials {
        1.0
    } else {
        beta_quantile(hits + 1, trials, 0.975)
    };
    Rate {
        expected: hits as f64 / trials.max(1) as f64,
        lower,
        upper,
    }
}

/// Quantile of Beta(k, n − k + 1): the share p for which at least k of n are hit with probability q.
fn beta_quantile(k: usize, n: usize, q: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if at_least(k, n, middle) < q {
            low = middle
        } else {
            high = middle
        }
    }
    (low + high) / 2.0
}

/// Probability of at least `k` hits in `n` trials of probability `p`, 0 < p < 1.
fn at_least(k: usize, n: usize, p: f64) -> f64 {
    let mut fewer = 0.0;
    let mut log_ways = 0.0;
    for hits in 0..k {
        fewer += (log_ways + hits as f64 * p.ln() + (n - hits) as f64 * (1.0 - p).ln()).exp();
        log_ways += ((n - hits) as f64 / (hits + 1) as f64).ln();
    }
    1.0 - fewer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_of_five_vouches_for_little() {
        let rate = vouched(5, 0.05);
        assert!((rate.expected - 1.0 / 6.0).abs() < 1e-12);
        assert!((rate.lower - (1.0 - 0.975f64.powf(0.2))).abs() < 1e-9);
        assert!((rate.upper - (1.0 - 0.025f64.powf(0.2))).abs() < 1e-9);
    }

    /// scipy.stats.beta.ppf([0.025, 0.975], 5, 95) and the same for 3 of 20 trials.
    #[test]
    fn intervals_equal_published_ones() {
        let rate = vouched(99, 0.05);
        assert!(
            (rate.lower - 0.016_566).abs() < 1e-4 && (rate.upper - 0.100_2).abs() < 1e-3,
            "{rate:?}"
        );
        let rate = of_trials(3, 20);
        assert!(
            (rate.lower - 0.032_07).abs() < 1e-4 && (rate.upper - 0.378_93).abs() < 1e-4,
            "{rate:?}"
        );
    }

    #[test]
    fn what_is_vouched_for_is_the_share_wanted_where_blocks_suffice() {
        for (blocks, above) in [(5, 0), (19, 0), (38, 0), (39, 1), (99, 4)] {
            assert_eq!(allowed_blocks(blocks, 0.05), above, "{blocks}");
            assert!(
                (vouched(blocks, 0.05).expected - 0.05f64.max(1.0 / (blocks + 1) as f64)).abs()
                    < 1e-12
            );
        }
    }

    #[test]
    fn a_block_of_many_windows_weighs_as_much_as_one_of_few() {
        let many = (0..100).map(|i| BlockScore {
            block: 0,
            score: 10.0 + i as f32,
        });
        let few = (1..40).map(|block| BlockScore {
            block,
            score: block as f32 / 10.0,
        });
        assert_eq!(threshold(many.chain(few), 0.05), 3.9);
    }

    #[test]
    fn without_scores_nothing_is_above() {
        assert_eq!(threshold(core::iter::empty(), 0.05), f32::INFINITY);
    }

    /// The share of fresh windows above the threshold, over many calibrations, is the one expected,
    /// for blocks of independent windows and for blocks whose windows are all alike.
    #[test]
    fn fresh_windows_exceed_the_threshold_as_often_as_expected() {
        let mut state = 1u64;
        let mut uniform = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as f32 / (1u64 << 31) as f32
        };
        for (blocks, wanted, alike) in [
            (5, 0.05, true),
            (19, 0.05, true),
            (60, 0.1, true),
            (60, 0.1, false),
        ] {
            let mut exceeded = 0;
            for _ in 0..5_000 {
                let mut scores = Vec::new();
                for block in 0..blocks {
                    let shared = uniform();
                    scores.extend((0..4).map(|_| BlockScore {
                        block,
                        score: if alike { shared } else { uniform() },
                    }));
                }
                exceeded += usize::from(uniform() > threshold(scores.into_iter(), wanted));
            }
            let (seen, expected) = (exceeded as f64 / 5_000.0, vouched(blocks, wanted).expected);
            assert!(
                seen < expected + 0.012 && seen > 0.6 * expected,
                "{blocks} blocks: {seen} for {expected}"
            );
        }
    }
}
