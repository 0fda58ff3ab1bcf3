//! The model's input channels and output labels: one section of a bundle.
