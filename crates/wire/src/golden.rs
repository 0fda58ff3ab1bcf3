//! Golden vectors: inputs and the exact outputs a device must reproduce before it activates a bundle.
