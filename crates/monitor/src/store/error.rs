//! Why the store did nothing.

use crate::log::OpenError;
use crate::region::RegionError;

/// Why a call to a [`Store`](super::Store) did nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreError<E> {
    /// The flash reported an error. After a failed write the record may be there or not: call
    /// [`Store::look_again_if_suspect`](super::Store::look_again_if_suspect) before asking for
    /// [`Store::next_sequence`](super::Store::next_sequence) again.
    Flash(E),
    /// The region cannot hold a store.
    Region(RegionError),
    /// The record is longer than a page has room for.
    RecordTooLong {
        /// Bytes of the longest record.
        limit: usize,
        /// Bytes of this one.
        got: usize,
    },
    /// The record carries another number than the next one.
    WrongSequence {
        /// The next sequence number.
        expected: u32,
        /// The one given.
        got: u32,
    },
    /// What is acknowledged was never written.
    NeverWritten {
        /// The last sequence number there is; 0 for none.
        last: u32,
        /// The one acknowledged.
        got: u32,
    },
    /// The buffer is shorter than the next record; the cursor stays before it.
    BufferTooSmall {
        /// Bytes of the record.
        needed: usize,
        /// Bytes of the buffer.
        got: usize,
    },
}

impl<E> From<OpenError<E>> for StoreError<E> {
    fn from(error: OpenError<E>) -> Self {
        match error {
            OpenError::Region(error) => Self::Region(error),
            OpenError::Flash(error) => Self::Flash(error),
        }
    }
}

impl<E: core::fmt::Debug> core::fmt::Display for StoreError<E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Flash(error) => write!(f, "flash: {error:?}"),
            Self::Region(error) => write!(f, "{error}"),
            Self::RecordTooLong { limit, got } => {
                write!(f, "a record of {got} bytes; a page holds {limit}")
            }
            Self::WrongSequence { expected, got } => {
                write!(f, "record {got} where {expected} comes next")
            }
            Self::NeverWritten { last, got } => {
                write!(f, "record {got} was acknowledged, but {last} is the last")
            }
            Self::BufferTooSmall { needed, got } => {
                write!(f, "a record of {needed} bytes for a buffer of {got}")
            }
        }
    }
}

impl<E: core::fmt::Debug> core::error::Error for StoreError<E> {}
