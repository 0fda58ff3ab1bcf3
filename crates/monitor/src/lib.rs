//! Statistics, drift and a power-fail-safe record store for devices.
#![no_std]
#![forbid(unsafe_code)]
