//! Requests and replies inside frames.
