//! The signed file that goes to a device: container, manifest, signature.
