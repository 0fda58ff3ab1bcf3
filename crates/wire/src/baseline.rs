//! Reference distribution and drift thresholds: one section of a bundle.
