//! Drivers over `embedded-hal` 1.0 that are sample sources.

mod lis3dh;

pub use lis3dh::{Lis3dh, Rate, Settings};
