//! Signing keys and device credentials on disk.
