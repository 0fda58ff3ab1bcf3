//! From a data file to a signed bundle, and back.
//!
//! Runs on the workstation.
#![forbid(unsafe_code)]

pub mod bench;
pub mod calibrate;
pub mod compile;
pub mod data;
pub mod evaluate;
pub mod features;
pub mod flash;
pub mod keys;
pub mod npz;
pub mod onnx;
pub mod package;
pub mod plot;
pub mod quantize;
pub mod recipe;
pub mod runs;
pub mod simulate;
pub mod stages;
pub mod stream;
pub mod target;
pub mod train;
pub mod verify;
pub mod words;

#[cfg(test)]
mod python;
