//! Inner loops of the engine, with assembly where it earns its place.
//!
//! Every loop is a safe function over slices. `portable` defines what each gives, in plain Rust for
//! any target; a module per architecture replaces single loops and gives the same bytes for every
//! input, also for constants that no compiler would write. Slices that are too short for what is
//! asked, or not aligned as an architecture needs it, take the portable way: nothing here can read
//! or write outside of a slice.
//!
//! | loop | Cortex-M with DSP (M4, M7, M33) | elsewhere |
//! |---|---|---|
//! | [`multiply_pair`] | 0.76 instructions per multiply-accumulate, 6 per output | portable |
//! | [`multiply_row`] | 1.03, 7 per output | portable |
//! | [`depthwise3`], stride 1 | 0.83, 7.5 per output | portable |
//! | [`fill_pair`] | 1.25 per input | portable |
//!
//! **Architecture invariants**: no allocation, no panic; unsafe code only in the modules of an
//! architecture, each block with the bounds that make it sound.
#![no_std]
#![deny(unsafe_code)]

mod columns;
mod depthwise;
mod multiply;

#[cfg(cortex_m_dsp)]
#[allow(unsafe_code)]
mod cortex_m;

pub use columns::{Column, Runs, fill, fill_pair, repeat, widen};
pub use depthwise::{
    Depthwise3, Rows, TAP_BYTES, Window, depthwise_output, depthwise3, fill_plane,
};
pub use multiply::{GROUP, Layer, group_bytes, multiply_pair, multiply_row};
