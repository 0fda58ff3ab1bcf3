//! Run folders: everything that went into a training and came out of it.
