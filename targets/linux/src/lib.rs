//! The device side on Linux: the same runtime as a process.
#![forbid(unsafe_code)]
