//! Baseline and drift thresholds from training data, by blocks.
