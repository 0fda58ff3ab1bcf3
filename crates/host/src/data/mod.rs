//! Sources, schema, checks, splits, content hash.
