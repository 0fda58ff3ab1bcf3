//! Inner loops of the engine, with assembly where it earns its place.
//!
//! Every loop is a safe function over slices. `portable` defines what each gives, in plain Rust for
//! any target; a module per architecture replaces single loops and gives the same bytes for every
//! input that its documentation allows, also for constants that no compiler would write. Nothing here
//! can read or write outside of a slice: what is too short for what is asked is refused. Constants,
//! columns and planes begin at a multiple of 4; Cortex-M refuses others.
//!
//! | loop | Cortex-M with DSP (M4, M7, M33) | x86-64 with AVX2 | aarch64 | armv7 Linux with NEON | elsewhere |
//! |---|---|---|---|---|---|
//! | [`multiply_pair`] | 0.76 instructions per multiply-accumulate, 6 per output | 0.19, 7 | 0.45, 6 | 0.42, 30 | portable |
//! | [`multiply_row`] | 1.03, 7 per output | 0.3, 7 | 0.6, 6 | 0.6, 30 | portable |
//! | [`depthwise3`], stride 1 | 0.83, 7.5 per output | portable | portable | portable | portable |
//! | [`depthwise3_image`], stride 1 | – | 5 per output | – | – | – |
//! | [`fill_pair`] | 1.25 per input | 0.6 | 0.7 | portable | portable |
//! | [`Ranked::add`] | 6 per node, 11 more per tree, 10 per entry of a row of floats, 7 of steps | portable | portable | portable | portable |
//! | [`map_to_grid`] | 5.75 per input | portable | portable | portable | portable |
//! | [`walk_ranks`] | 6 per node of a tree | portable | portable | portable | portable |
//! | [`Quick::walk`] | 10 per branch of a tree | portable | portable | portable | portable |
//! | [`sum_lanes`] | – | 3 per sum | – | – | – |
//! | [`fill_plane`], [`fill_lanes`] | 3.5, 2.1 per input | portable | portable | portable | portable |
//! | [`sum_channels`] | 1.5 per input | 1.25 | portable | portable | portable |
//! | [`dot_pair`] | 1.9 per product | portable | portable | portable | portable |
//!
//! Ties that do not go up ([`EVEN`], [`ODD`]) cost 5 instructions more per output on Cortex-M; on NEON the loop is portable
//! then.
//!
//! **Architecture invariants**: no allocation, no panic; unsafe code only in the modules of an
//! architecture, each block with the bounds that make it sound.
#![no_std]
#![deny(unsafe_code)]

mod channels;
mod columns;
mod depthwise;
mod dot;
mod multiply;
mod sum;
mod trees;

#[cfg(cortex_m_dsp)]
#[allow(unsafe_code)]
#[path = "cortex_m/mod.rs"]
mod arch;

#[cfg(simd = "x86_64")]
#[allow(unsafe_code)]
#[path = "x86_64/mod.rs"]
mod arch;

#[cfg(simd = "aarch64")]
#[allow(unsafe_code)]
#[path = "aarch64/mod.rs"]
mod arch;

#[cfg(simd = "arm")]
#[allow(unsafe_code)]
#[path = "arm/mod.rs"]
mod arch;

/// Constants, columns and planes start at a multiple of so many bytes: loads of two words trap where they are not
/// aligned, and no firmware needs a second loop for that.
pub const ALIGNMENT: usize = if cfg!(cortex_m_dsp) { 4 } else { 1 };

#[cfg(test)]
mod tests;

pub use channels::sum_channels;
pub use columns::{Column, Runs, fill, fill_pair, repeat, widen};
pub use depthwise::{
    Depthwise, Depthwise3, Image3, LANES, Rows, TAP_BYTES, depthwise, depthwise3, depthwise3_image,
    fill_lanes, fill_plane,
};
pub use dot::dot_pair;
pub use multiply::{EVEN, GROUP, Layer, ODD, UP, group_bytes, multiply_pair, multiply_row};
pub use sum::{Sum, sum_lanes};
pub use trees::{
    Branches, GOES_ON, LEAST_NODES, MAX_LEAVES, Quick, ROW_ENDS, Ranked, SCORE_BIT, SCORES, Sums,
    WEIGHT_BITS, WINDOW, are_places, map_to_grid, walk_ranks,
};
