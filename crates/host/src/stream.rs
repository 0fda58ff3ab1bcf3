//! Feeds samples to a device and fetches what it left.
