//! Puts a bundle, or a firmware with it, on a device.
