//! The device side on Linux: the same runtime as a process.
#![forbid(unsafe_code)]

pub mod address;
pub mod file_flash;
pub mod options;
pub mod provision;
pub mod samples;
pub mod upload;
