//! Loops for 64-bit Arm with NEON, which every such target of Rust has.
//!
//! `SDOT` would need the weights as bytes, which takes five instructions for every 32 bytes of them, and would still
//! halve the loop of `multiply_pair`. It is not used: the upper byte of a lane from 0x7F80 on is 128,
//! which no byte holds, and a plan that has such lanes must give the bytes that every other target gives.

mod columns;
mod multiply;

pub(crate) use columns::write_pair;
pub(crate) use multiply::{multiply_pair, multiply_row};
