//! The collector: takes records in, stores them once, reports.
#![forbid(unsafe_code)]
