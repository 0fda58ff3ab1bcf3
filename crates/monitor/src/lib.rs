//! Watches a model at work: window statistics, drift, and a record store that survives power cuts.
//!
//! Runs on devices and, for the same numbers, on workstations: `no_std`, no allocation.
//!
//! | module | what it does | state |
//! |---|---|---|
//! | [`window`] | counts inputs and answers, judges and closes windows | about 2.6 kB |
//! | [`statistics`] | counting one value | none |
//! | [`drift`] | distance of a window from the reference | none |
//! | [`store`] | keeps records in flash until they are acknowledged | about 60 bytes |
//! | [`state`] | keeps one small value in flash: the active slot, a version floor | the value |
//!
//! # Example
//! ```
//! use dunlin_monitor::window::{Monitor, Outcome};
//! use dunlin_wire::baseline::{Baseline, ChannelReference, FalseAlarms, Reference, Statistic};
//! use dunlin_wire::schema::{Channel, Schema};
//!
//! let reference = Reference {
//!     statistic: Statistic::PSI,
//!     window_ms: 1_000,
//!     minimum_samples: 90,
//!     false_alarms: FalseAlarms::default(),
//!     channels: &[ChannelReference { edges: core::array::from_fn(|i| i as f32), counts: [10; 16], threshold: 1.0 }],
//!     prediction_counts: &[],
//!     prediction_threshold: f32::INFINITY,
//! };
//! let mut section = [0; 256];
//! let length = reference.encode(&mut section).unwrap();
//! let channel = Channel { name: "level", unit: "m", minimum: -1.0, maximum: 20.0 };
//! let schema = Schema { steps: 1, channels: [channel].into_iter().collect(), ..Schema::default() };
//!
//! let mut monitor = Monitor::new(&schema, Baseline::parse(&section[..length]).unwrap()).unwrap();
//! for now_ms in (0..1_000).step_by(10) {
//!     assert!(!monitor.is_due(now_ms));
//!     monitor.observe(now_ms, &[13.5], Outcome::Answer { label: None, confidence: 0.9, latency_us: 40 });
//! }
//! assert!(monitor.is_due(1_000));
//! assert!(monitor.finish(1_000).unwrap().channels[0].drifted);
//! ```
//!
//! # Architecture invariants
//! - No clock, no randomness, no global state: time and flash are arguments.
//! - Knows nothing of the engine: what a model answered is told as an [`window::Outcome`].
//! - What is counted is integer or an extreme; the only floating-point results are scores, computed
//!   in a fixed order with `libm`.
#![no_std]
#![forbid(unsafe_code)]

pub mod drift;
mod log;
mod region;
pub mod state;
pub mod statistics;
pub mod store;
pub mod window;

#[cfg(test)]
mod mock;

pub use state::{StateError, StateLog};
pub use store::{Cursor, Region, RegionError, Store, StoreError, Stored};
pub use window::{Closed, Monitor, MonitorError, Outcome};
