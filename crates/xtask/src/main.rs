//! Installs what is missing, builds for devices, runs the tests.
fn main() {}
