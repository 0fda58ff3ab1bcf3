//! What a device leaves behind for a monitoring window.
