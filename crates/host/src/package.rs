//! Assembles and signs a bundle.
