//! Runs a checked plan in a caller's arena, the same bytes on every machine.
#![no_std]
#![forbid(unsafe_code)]
