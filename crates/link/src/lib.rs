//! Opens a link to a device and asks it.
#![forbid(unsafe_code)]
