//! Holds the workspace to its own rules; everything is in `tests/`.
