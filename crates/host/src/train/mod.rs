//! Trains what a recipe describes.
