//! The device: sample, window, run, observe, store, send; bundle slots.
#![no_std]
#![forbid(unsafe_code)]
