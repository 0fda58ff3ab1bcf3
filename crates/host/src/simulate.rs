//! A rotating machine's vibration, simulated.
