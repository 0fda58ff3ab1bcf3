//! How often a threshold that is an order statistic is exceeded.
//!
//! Of n + 1 exchangeable scores each is the largest with the same probability. So when the threshold
//! is the k-th largest of n block scores, the next one exceeds it with probability k / (n + 1), and
//! the share of exceedances in the long run has the distribution Beta(k, n − k + 1), whatever the
//! scores' distribution (Wilks 1941). For k = 1 the upper end is the one of Clopper and Pearson for
//! no exceedance in n, and about 3 / n at 95 % one-sided.

/// Share of windows without drift that exceed a threshold.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Rate {
    /// What is to be expected of the next.
    pub expected: f64,
    /// Lower end of the 95 % interval.
    pub lower: f64,
    /// Upper end of the 95 % interval.
    pub upper: f64,
}

/// Which of `blocks` scores, counted from the largest as 1, comes nearest to the wanted share
/// without exceeding it; the largest where the blocks are too few for the share.
pub fn rank(blocks: usize, wanted: f64) -> usize {
    let rank = (wanted * (blocks + 1) as f64 + 1e-9).floor() as usize;
    rank.clamp(1, blocks.max(1))
}

/// How often the `rank`-th largest of `blocks` scores is exceeded.
pub fn of_order_statistic(rank: usize, blocks: usize) -> Rate {
    Rate {
        expected: rank as f64 / (blocks + 1) as f64,
        lower: beta_quantile(rank, blocks, 0.025),
        upper: beta_quantile(rank, blocks, 0.975),
    }
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
    fn the_largest_of_five_vouches_for_little() {
        let rate = of_order_statistic(1, 5);
        assert!((rate.expected - 1.0 / 6.0).abs() < 1e-12);
        assert!((rate.lower - (1.0 - 0.975f64.powf(0.2))).abs() < 1e-9);
        assert!((rate.upper - (1.0 - 0.025f64.powf(0.2))).abs() < 1e-9);
    }

    /// scipy.stats.beta.ppf([0.025, 0.975], 5, 95) and the same for 3 of 20 trials.
    #[test]
    fn intervals_equal_published_ones() {
        let rate = of_order_statistic(5, 99);
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
    fn the_rank_keeps_to_the_wanted_share() {
        assert_eq!(
            [
                rank(5, 0.05),
                rank(19, 0.05),
                rank(39, 0.05),
                rank(99, 0.05),
                rank(3, 1.0)
            ],
            [1, 1, 2, 5, 3]
        );
    }

    /// Independent scores: the share of fresh scores above the threshold, over many calibrations,
    /// is the expected one.
    #[test]
    fn fresh_scores_exceed_the_threshold_as_often_as_expected() {
        let mut state = 1u64;
        let mut uniform = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as f64 / (1u64 << 31) as f64
        };
        for (blocks, wanted) in [(5, 0.05), (19, 0.05), (60, 0.1)] {
            let k = rank(blocks, wanted);
            let exceeded = (0..20_000)
                .filter(|_| {
                    let mut scores: Vec<f64> = (0..blocks).map(|_| uniform()).collect();
                    scores.sort_by(|a, b| b.total_cmp(a));
                    uniform() > scores[k - 1]
                })
                .count();
            let expected = of_order_statistic(k, blocks).expected;
            assert!(
                (exceeded as f64 / 20_000.0 - expected).abs() < 0.01,
                "{blocks} blocks: {exceeded}"
            );
        }
    }
}
