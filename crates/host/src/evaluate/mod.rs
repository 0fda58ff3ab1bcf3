//! Metrics, intervals, gates and the report.
